"""The OpenAPI description covers every endpoint and refers only to what it defines."""

import json

import pytest

from skytrail.model.catalog import CATALOG
from skytrail.model.openapi import openapi_document
from skytrail.model.openapi_actions import ACTIONS, NATIVE


@pytest.fixture(scope="module")
def document():
    return openapi_document(CATALOG, version="1.2.3")


def nested(value):
    yield value
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            yield from nested(item)


def test_every_type_can_be_listed_created_read_updated_and_deleted(document):
    for entry in CATALOG.objects.values():
        assert {"get", "post"} <= set(document["paths"][f"/{entry.collection}"])
        assert {"get", "put", "delete"} <= set(document["paths"][f"/{entry.name}/{{uuid}}"])


def test_every_action_has_its_operation(document):
    for action in (*ACTIONS, *NATIVE):
        assert action.method.lower() in document["paths"][action.path]


def test_references_lead_to_components(document):
    used = {v["$ref"] for v in nested(document) if isinstance(v, dict) and "$ref" in v}

    for reference in used:
        _, components, kind, name = reference.split("/")
        assert name in document[components][kind]


def test_operation_names_are_unique(document):
    names = [
        v["operationId"] for v in nested(document) if isinstance(v, dict) and "operationId" in v
    ]

    assert len(names) == len(set(names))


def test_actions_that_are_not_served_are_left_out():
    document = openapi_document(CATALOG, version="1", without=frozenset({"execute-job"}))

    assert "/execute-job" not in document["paths"]
    assert "/fqname-to-id" in document["paths"]


def test_enumerations_and_ranges_are_described(document):
    schemas = document["components"]["schemas"]

    assert schemas["VpnType"]["enum"] == ["l2", "l3"]
    assert (schemas["NetworkMtuType"]["minimum"], schemas["NetworkMtuType"]["maximum"]) == (0, 9216)


def test_document_is_json(document):
    assert json.loads(json.dumps(document))["openapi"] == "3.1.0"
