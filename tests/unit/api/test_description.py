"""The native API describes itself: schemas that fit what it answers, and a page of its own."""

from __future__ import annotations

import re

import jsonschema_rs
import pytest

PROJECT = ["default-domain", "default-project"]


def test_every_type_has_a_schema_complete_in_itself(fuzzed) -> None:
    names = fuzzed.call("GET", "/api/v1/schemas").json["types"]

    for name in names:
        schema = fuzzed.call("GET", f"/api/v1/schemas/{name}").json
        jsonschema_rs.Draft202012Validator(schema)
        assert "#/components" not in str(schema)
    assert len(names) == len(fuzzed.service.schema.resources)


@pytest.mark.parametrize("name", ["virtual-network", "network-ipam", "routing-instance", "project"])
def test_what_the_api_answers_fits_the_schema_of_its_type(fuzzed, name) -> None:
    schema = fuzzed.call("GET", f"/api/v1/schemas/{name}").json
    validator = jsonschema_rs.Draft202012Validator(schema)

    for item in fuzzed.call("GET", f"/api/v1/{name}").json["items"]:
        assert [error.message for error in validator.iter_errors(item)] == []


def test_the_schema_refuses_what_the_api_refuses(fuzzed) -> None:
    schema = fuzzed.call("GET", "/api/v1/schemas/virtual-network").json
    body = {"fq_name": [*PROJECT, "n"], "mtuu": 1}

    assert not jsonschema_rs.Draft202012Validator(schema).is_valid(body)
    assert fuzzed.call("POST", "/api/v1/virtual-network?dry_run=true", body).status == 400


def test_the_page_asks_no_other_server(fuzzed) -> None:
    reply = fuzzed.call("GET", "/api/v1/docs")

    assert reply.headers["content-type"].startswith("text/html")
    assert "connect-src 'self'" in reply.headers["content-security-policy"]
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?https?:""", reply.text) == []


def test_an_unknown_type_has_no_schema(fuzzed) -> None:
    assert fuzzed.call("GET", "/api/v1/schemas/virtual-netwrok").status == 404
