"""What the compiler derives, case by case: ``intent.yaml`` in, ``expected.yaml`` out.

A case with ``settled.yaml`` instead is about what follows from derived objects too: writes are
applied until none is left.

``SKYTRAIL_UPDATE_GOLDEN=1`` rewrites the expected files; review the diff.
"""

import os
from pathlib import Path

import msgspec
import pytest
import yaml

from skytrail.compiler.engine import Engine, Put, describe
from skytrail.compiler.passes import ALL_PASSES
from skytrail.compiler.passes.policy_sets import PolicySet, PortPolicySets
from skytrail.model.catalog import CATALOG
from skytrail.model.objects import decode_object
from skytrail.testing.compiled import settle
from skytrail.testing.configuration import uuid_of

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/intent.yaml"))


def complete(document):
    """Fill in what a stored object has and a reader does not need to see: uuids."""
    kind, wire = document["type"], {k: v for k, v in document.items() if k != "type"}
    wire["fq_name"] = wire.pop("name").split(":")
    wire["uuid"] = uuid_of(kind, wire["fq_name"])
    if "parent_type" in wire:
        wire["parent_uuid"] = uuid_of(wire["parent_type"], wire["fq_name"][:-1])
    for field, reference in CATALOG.objects[kind].references.items():
        wire[field] = [
            {
                "to": each["to"].split(":"),
                "uuid": uuid_of(reference.target, each["to"].split(":")),
                "attr": each.get("attr"),
            }
            for each in wire.get(field, [])
        ]
    return decode_object(kind, wire)


def shown(engine):
    derived = []
    for key in engine.wanted_keys():
        wanted = engine.wanted(key)
        links = {
            field: [
                {"to": ":".join(link.to), **({"attr": plain(link.attr)} if link.attr else {})}
                for link in listed
            ]
            for field, listed in wanted.links.items()
        }
        properties = {name: plain(value) for name, value in wanted.properties.items()}
        derived.append(
            {"type": key.type_name, "name": ":".join(key.fq_name), **properties, **links}
        )
    violations = [
        {"type": each.type_name, "name": ":".join(each.fq_name), "reason": each.reason}
        for each in engine.violations()
    ]
    sets = [plain(each) for each in engine.values("policy_set", PolicySet) if each.rules]
    ports = [plain(each) for each in engine.values("port_policy_sets", PortPolicySets)]
    tag_based = {"policy_sets": sets, "ports": ports} if sets or ports else {}
    return {"derived": derived, **tag_based, "violations": violations}


def plain(value):
    return msgspec.json.decode(msgspec.json.encode(value))


def compare(path, text):
    if os.environ.get("SKYTRAIL_UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text


@pytest.mark.parametrize("case", CASES)
def test_case_derives_what_is_written_down(case):
    folder = HERE / case
    engine = Engine(ALL_PASSES)
    for document in yaml.safe_load_all((folder / "intent.yaml").read_text()):
        engine.apply([Put(complete(document))])
    settled = folder / "settled.yaml"
    if settled.exists():
        settle(engine)

    compare(
        settled if settled.exists() else folder / "expected.yaml",
        yaml.safe_dump(shown(engine), sort_keys=False, width=100),
    )


def test_graph_of_passes_is_the_one_written_down():
    compare(HERE / "graph.txt", describe(ALL_PASSES))
