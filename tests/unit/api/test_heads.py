"""What is read of stored bytes equals what a decoded document says; bodies come and go."""

import msgspec
import pytest

from skytrail.api import graph, heads, persistence
from skytrail.api.graph import Graph, make_record
from skytrail.api.schema import Schema
from skytrail.model.catalog import CATALOG
from skytrail.store.plugin import KeyValue

NETWORK = "11111111-1111-4111-8111-111111111111"
PORT = {
    "uuid": "22222222-2222-4222-8222-222222222222",
    "fq_name": ["default-domain", "default-project", "port"],
    "parent_type": "project",
    "parent_uuid": "33333333-3333-4333-8333-333333333333",
    "id_perms": {"created": "2026-11-27T00:00:00.000000", "enable": True},
    "virtual_network_refs": [{"to": ["a", "b", "c"], "uuid": NETWORK, "attr": None}],
    "routing_instance_refs": [
        {"to": ["a"], "uuid": "44444444-4444-4444-8444-444444444444", "attr": {"direction": "both"}}
    ],
    "display_name": "port",
}


@pytest.fixture
def reader():
    return persistence.head_reader(Schema(CATALOG))


@pytest.mark.parametrize("type_name", ["virtual-machine-interface", "type-of-a-later-release"])
def test_head_of_stored_bytes_equals_head_of_the_document(reader, type_name):
    read = reader.read(type_name, msgspec.json.encode(PORT))
    expected = heads.head_of(PORT)

    assert dict(zip(read.targets, read.attributes, strict=True)) == dict(
        zip(expected.targets, expected.attributes, strict=True)
    )
    assert read._replace(targets=(), attributes=()) == expected._replace(targets=(), attributes=())


def test_objects_without_attributes_keep_none(reader):
    plain = {**PORT, "routing_instance_refs": []}

    assert reader.read("virtual-machine-interface", msgspec.json.encode(plain)).attributes == ()


def test_record_of_stored_bytes_decodes_its_body_when_asked(reader):
    stored = msgspec.json.encode(PORT)
    key = f"/o/virtual-machine-interface/{PORT['uuid']}"
    record, created = persistence.stored_record(reader, KeyValue(key, stored, 3, 7))

    assert not record.has_body
    assert record.body == PORT
    assert record.encode() is stored
    assert created == PORT["id_perms"]["created"]
    assert (record.create_revision, record.mod_revision) == (3, 7)


def test_oldest_bodies_are_forgotten_when_trimmed_and_come_back(monkeypatch):
    monkeypatch.setattr(graph, "BODIES_COUNT_MAX", 2)
    present = Graph()
    records = [
        make_record("project", {"uuid": str(number), "fq_name": [str(number)]})
        for number in range(4)
    ]
    for record in records:
        record.encode()
        present.put(record)

    present.bodies.trim()

    assert [record.has_body for record in records] == [False, False, True, True]
    assert records[0].body == {"uuid": "0", "fq_name": ["0"]}


def test_part_reader_gives_the_same_of_bytes_and_of_bodies(reader):
    stored = msgspec.json.encode({**PORT, "mtu": None})
    key = f"/o/virtual-machine-interface/{PORT['uuid']}"
    undecoded, _ = persistence.stored_record(reader, KeyValue(key, stored, 1, 1))
    parts = heads.PartReader(("display_name", "fq_name", "mtu", "absent"))

    from_bytes = parts.read(undecoded)

    assert not undecoded.has_body
    assert from_bytes == parts.read(make_record("virtual-machine-interface", PORT))
    assert from_bytes == {"display_name": "port", "fq_name": PORT["fq_name"]}
