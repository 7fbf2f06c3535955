"""The served OpenAPI document is well formed (3.1) and tells the truth about what is served."""

from __future__ import annotations

import re

import pytest

from skytrail.api import home
from skytrail.api.io import http
from skytrail.runtime.asgi import Router

METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}
PATH_ITEM_KEYS = METHODS | {"parameters", "summary", "description", "servers", "$ref"}
OPERATION_KEYS = {
    "tags", "summary", "description", "operationId", "parameters", "requestBody", "responses",
    "deprecated",
}  # fmt: skip
TYPES = {"string", "integer", "number", "boolean", "object", "array", "null"}
LOCAL_USERS = ("/api/v1/login", "/api/v1/users")
"""Answer 501 where there are none."""
SOME_UUID = "11111111-1111-4111-8111-111111111111"


@pytest.fixture(scope="module")
def served(fuzzed):
    return fuzzed.call("GET", "/openapi.json").json


def operations(document):
    for path, item in document["paths"].items():
        assert set(item) <= PATH_ITEM_KEYS, path
        for method in METHODS & set(item):
            yield path, method, item[method], item.get("parameters", [])


def resolved(document, value):
    """Follows one reference; a dangling one is a KeyError."""
    if "$ref" not in value:
        return value
    head, *keys = value["$ref"].split("/")
    assert head == "#"
    found = document
    for key in keys:
        found = found[key]
    return found


def schemas_in(value):
    """Every schema object below a place that holds one."""
    yield value
    for key in ("items", "additionalProperties"):
        if isinstance(value.get(key), dict):
            yield from schemas_in(value[key])
    for part in value.get("properties", {}).values():
        yield from schemas_in(part)
    for key in ("anyOf", "allOf", "oneOf"):
        for part in value.get(key, ()):
            yield from schemas_in(part)


def all_schemas(document):
    """Schemas of components and of operations; bodies and replies included."""
    yield from document["components"]["schemas"].values()
    for parameter in document["components"]["parameters"].values():
        yield parameter["schema"]
    for _, _, operation, _ in operations(document):
        holders = [operation.get("requestBody", {}), *operation["responses"].values()]
        for holder in holders:
            for media in resolved(document, holder).get("content", {}).values():
                yield media["schema"]


def test_document_has_the_required_parts(served):
    assert re.fullmatch(r"3\.1\.\d+", served["openapi"])
    assert {"title", "version"} <= set(served["info"])
    for kind, entries in served["components"].items():
        assert kind in {"schemas", "parameters", "responses"}
        assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in entries)


def test_every_operation_is_complete_and_named_once(served):
    names = []
    for path, method, operation, _ in operations(served):
        assert set(operation) <= OPERATION_KEYS, (path, method)
        names.append(operation["operationId"])
        assert operation["responses"], (path, method)
        for status, reply in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert resolved(served, reply)["description"]
        if "requestBody" in operation:
            assert method in {"put", "post", "patch"} or path.startswith("/int-pool")
            assert operation["requestBody"]["content"]
    assert len(names) == len(set(names))


def test_parameters_are_complete_and_those_of_paths_are_exactly_their_placeholders(served):
    for path, method, operation, shared in operations(served):
        given = [resolved(served, p) for p in (*shared, *operation.get("parameters", []))]
        keys = [(p["in"], p["name"]) for p in given]
        assert len(keys) == len(set(keys)), (path, method)
        assert all(p["in"] in {"path", "query", "header"} and p["schema"] for p in given)
        in_path = {p["name"]: p["required"] for p in given if p["in"] == "path"}
        assert in_path == dict.fromkeys(re.findall(r"\{(\w+)\}", path), True), (path, method)


def test_paths_differ_by_more_than_the_names_of_their_placeholders(served):
    shapes = [re.sub(r"\{\w+\}", "{}", path) for path in served["paths"]]

    assert all(path.startswith("/") for path in shapes)
    assert len(shapes) == len(set(shapes))


def test_schemas_are_well_formed_and_refer_to_what_is_there(served):
    for top in all_schemas(served):
        for schema in schemas_in(top):
            if "$ref" in schema:
                resolved(served, schema)
            kinds = schema.get("type", [])
            assert set([kinds] if isinstance(kinds, str) else kinds) <= TYPES
            assert kinds != "array" or "items" in schema
            assert set(schema.get("required", ())) <= set(schema.get("properties", {}))
            assert len(schema.get("enum", [0])) > 0
            assert schema.get("minimum", 0) <= schema.get("maximum", schema.get("minimum", 0))


STREAMS = ("/api/v1/watch", "/api/v1/events")


def test_every_described_operation_is_served(fuzzed, served):
    for path, method, _, _ in operations(served):
        target = path.replace("{uuid}", SOME_UUID).replace("{table}", "service")
        # A stream that starts would never end: ask for one that is refused.
        query = "?from_revision=x" if path in STREAMS else ""

        reply = fuzzed.call(method.upper(), target + query, {} if method != "get" else None)

        allowed = {501} if path.startswith(LOCAL_USERS) else set()
        assert reply.status not in {405, 500, 501} - allowed, (method, path, reply.text)
        assert not reply.text.startswith("Not found: "), (method, path)


def test_everything_on_the_home_page_is_described_unless_it_answers_501(fuzzed, served):
    for _, path, method in home.ACTIONS:
        target = f"/{path}".replace("%s", "{uuid}")
        described = method.lower() in served["paths"].get(target, {})
        reply = fuzzed.call(method, target.replace("{uuid}", SOME_UUID), {})

        assert described == (reply.status != 501), target


def test_every_native_call_is_described(monkeypatch, fresh, served) -> None:
    routes = []

    class Noting(Router):
        def add(self, method, pattern, handler):
            routes.append((method.lower(), re.sub(r"\{\w+\}", "{}", pattern)))
            super().add(method, pattern, handler)

    monkeypatch.setattr(http, "Router", Noting)
    fresh().close()

    described = {
        (method, re.sub(r"\{\w+\}", "{}", path)) for path, method, _, _ in operations(served)
    }
    calls = {each for each in routes if not each[1].startswith("/api/v1/{}")}
    # Where the schema of a type is stands in the description of /api/v1/schemas.
    assert calls - described <= {("get", "/api/v1/schemas/{}"), ("get", "/int-pool")}


def test_what_is_not_there_is_not_described(served):
    first_segments = {path.split("/")[1] for path in served["paths"]}

    assert not first_segments & set(home.NOT_THERE)
