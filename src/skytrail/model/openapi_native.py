"""The native API's part of the OpenAPI description, and the JSON Schema of each type.

Paths and components to merge into the document of ``openapi``; the schemas of object types are
those of the compatible API, since both speak of the same objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from skytrail.model.catalog_types import Catalog, ObjectType

Schema = dict[str, object]

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_STRING: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "integer"}
_LIST: Schema = {"type": "array", "items": {"type": "object"}}

_QUERY: Mapping[str, tuple[str, Schema]] = {
    "dry_run": ("Say what would change, change nothing.", {"type": "boolean"}),
    "cascade": ("Also delete what is in the way.", {"type": "boolean"}),
    "field_owner": ("Who applies; the user when absent.", _STRING),
    "force": ("Take over fields of other owners.", {"type": "boolean"}),
    "revision": ("As of this revision, out of the audit log.", _NUMBER),
    "filter": ("`field:operator:value`; repeated, all must hold.", _STRING),
    "tags": ("`type=value` pairs separated by commas.", _STRING),
    "labels": ("Annotations: `key=value` pairs separated by commas.", _STRING),
    "parent": ("Only children of this uuid or name (joined by colons).", _STRING),
    "realised": (
        "How far the last change came: failed, pending, unknown, done; several by commas.",
        _STRING,
    ),
    "sort": ("A field, or `realised`; `-` before it for downwards.", _STRING),
    "fields": ("Only these members, separated by commas.", _STRING),
    "limit": ("Objects per page.", _NUMBER),
    "cursor": ("`next` of the page before.", _STRING),
    "count": ("Only the number of objects.", {"type": "boolean"}),
}
_LIST_QUERY = (
    "filter", "tags", "labels", "parent", "realised", "sort", "fields", "limit", "cursor", "count",
    "revision",
)  # fmt: skip
_EDIT_QUERY = ("dry_run",)


def native_components() -> dict[str, Schema]:
    """Return the components that native operations refer to, by kind."""
    parameters: Schema = {
        f"native_{name}": {"name": name, "in": "query", "description": text, "schema": schema}
        for name, (text, schema) in _QUERY.items()
    }
    parameters["native_fq_name"] = {
        "name": "fq_name",
        "in": "path",
        "required": True,
        "description": "The names from the top of the tree down, joined by colons.",
        "schema": _STRING,
    }
    for header, text in (
        ("If-Match", "Entity tags; 412 unless the object has one of them."),
        ("If-None-Match", "`*`: 412 if the object exists; for reads: 304 if it has this tag."),
    ):
        name = "native_" + header.lower().replace("-", "_")
        parameters[name] = {
            "name": header,
            "in": "header",
            "description": text,
            "schema": _STRING,
        }
    problem: Schema = {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": _STRING,
            "title": _STRING,
            "status": _NUMBER,
            "detail": _STRING,
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"pointer": _STRING, "detail": _STRING},
                },
            },
        },
    }
    page: Schema = {
        "type": "object",
        "required": ["revision", "count"],
        "properties": {
            "revision": _NUMBER,
            "count": _NUMBER,
            "next": {"type": ["string", "null"]},
            "items": _LIST,
        },
    }
    refused: Schema = {
        "description": "Refused; the problem says everything that is wrong.",
        "content": {"application/problem+json": {"schema": _schema_ref("Problem")}},
    }
    return {
        "schemas": {"Problem": problem, "NativePage": page},
        "parameters": parameters,
        "responses": {"problem": refused},
    }


def native_paths(catalog: Catalog) -> Schema:
    """Return the native paths of every object type."""
    paths: Schema = {}
    for entry in catalog.objects.values():
        tags = [catalog.families[entry.family].title]
        place = f"/api/v1/{entry.name}"
        paths[place] = _collection(entry, tags)
        paths[f"{place}/{{uuid}}"] = _by_uuid(entry, tags)
        paths[f"{place}/by-name/{{fq_name}}"] = _by_name(entry, tags)
        paths[f"{place}/{{uuid}}/status"] = {
            "parameters": [_parameter("uuid")],
            "get": _operation(
                entry, "status_of", tags, f"How far the last change of a {entry.name} has come"
            ),
        }
    return paths


def _collection(entry: ObjectType, tags: list[str]) -> Schema:
    listed = _operation(entry, "select", tags, f"Select {entry.name} objects", _LIST_QUERY)
    replies = cast("Schema", listed["responses"])
    replies["200"] = _reply("The objects, one page.", _schema_ref("NativePage"))
    made = _operation(entry, "make", tags, f"Create a {entry.name}", _EDIT_QUERY)
    _take_body(made, entry, "application/json")
    cast("Schema", made["responses"])["201"] = _reply("The new object.", _object(entry))
    return {"get": listed, "post": made}


def _by_uuid(entry: ObjectType, tags: list[str]) -> Schema:
    read = _reading(entry, tags, "fetch")
    put = _operation(entry, "replace", tags, f"Replace a {entry.name}", _EDIT_QUERY, writes=True)
    patch = _operation(
        entry, "patch", tags, f"Change a {entry.name} by merge patch", _EDIT_QUERY, writes=True
    )
    _take_body(put, entry, "application/json")
    _take_body(patch, entry, "application/merge-patch+json")
    gone = _operation(
        entry, "remove", tags, f"Delete a {entry.name}", ("dry_run", "cascade"), writes=True
    )
    found: Schema = {"get": read, "put": put, "patch": patch, "delete": gone}
    return {"parameters": [_parameter("uuid")], **found}


def _by_name(entry: ObjectType, tags: list[str]) -> Schema:
    query = ("dry_run", "field_owner", "force")
    apply = _operation(entry, "apply", tags, f"Make a {entry.name} so, by name", query, writes=True)
    _take_body(apply, entry, "application/json")
    replies = cast("Schema", apply["responses"])
    replies["201"] = _reply("The new object.", _object(entry))
    gone = _operation(
        entry, "remove_named", tags, f"Delete a {entry.name} by name", ("dry_run", "cascade"),
        writes=True,
    )  # fmt: skip
    read = _reading(entry, tags, "fetch_named")
    return {"parameters": [_parameter("native_fq_name")], "get": read, "put": apply, "delete": gone}


def _reading(entry: ObjectType, tags: list[str], verb: str) -> Schema:
    query = ("revision",) if verb == "fetch" else ()
    read = _operation(entry, verb, tags, f"Read a {entry.name}", query)
    cast("list[object]", read["parameters"]).append(_parameter("native_if_none_match"))
    replies = cast("Schema", read["responses"])
    replies["200"] = _reply("The object.", _object(entry))
    replies["304"] = {"description": "It is as the given tag says."}
    return read


def _operation(
    entry: ObjectType,
    verb: str,
    tags: list[str],
    summary: str,
    query: tuple[str, ...] = (),
    *,
    writes: bool = False,
) -> Schema:
    parameters: list[object] = [_parameter(f"native_{name}") for name in query]
    if writes:
        parameters += [_parameter("native_if_match"), _parameter("native_if_none_match")]
    problem = {"$ref": "#/components/responses/problem"}
    codes = ("400", "401", "403", "404", "409", "410", "412", "413", "415", "429", "503")
    replies: Schema = {"200": _reply("Done, or what a dry run says.", {"type": "object"})}
    return {
        "operationId": f"{verb}_{entry.json_name}",
        "summary": summary,
        "tags": tags,
        "parameters": parameters,
        "responses": replies | dict.fromkeys(codes, problem),
    }


def _take_body(operation: Schema, entry: ObjectType, media_type: str) -> None:
    content = {media_type: {"schema": _object(entry)}}
    operation["requestBody"] = {"required": True, "content": content}


def _object(entry: ObjectType) -> Schema:
    return _schema_ref(f"{entry.class_name}Native")


def native_schemas(schemas: Mapping[str, object], catalog: Catalog) -> Schema:
    """Return the bodies of the native API: those of the compatible one, with nothing unknown."""
    found: Schema = {}
    for entry in catalog.objects.values():
        base = cast("Schema", schemas[entry.class_name])
        members = {**cast("Schema", base["properties"]), "name": _STRING}
        found[f"{entry.class_name}Native"] = {
            "type": "object",
            "description": entry.description,
            "properties": members,
            "additionalProperties": False,
        }
    return found


def type_schema(schemas: Mapping[str, object], entry: ObjectType) -> Schema:
    """Return the self-contained JSON Schema of a type, with what it refers to under ``$defs``."""
    top = f"{entry.class_name}Native"
    needed: Schema = {}
    waiting = [top]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = schemas[name]
            waiting += _named_in(schemas[name])
    moved = cast("Schema", _moved(needed))
    body = cast("Schema", moved.pop(top))
    head: Schema = {"$schema": SCHEMA_DIALECT, "$id": f"/api/v1/schemas/{entry.name}"}
    return {**head, "title": entry.name, **body, "required": ["fq_name"], "$defs": moved}


_PREFIX = "#/components/schemas/"


def _named_in(value: object) -> list[str]:
    if isinstance(value, dict):
        found: list[str] = []
        for key, part in cast("Schema", value).items():
            if key == "$ref" and isinstance(part, str):
                found.append(part.removeprefix(_PREFIX))
            else:
                found += _named_in(part)
        return found
    if isinstance(value, list):
        return [name for part in cast("list[object]", value) for name in _named_in(part)]
    return []


def _moved(value: object) -> object:
    """Return a schema whose references lead to ``$defs``."""
    if isinstance(value, dict):
        return {
            key: f"#/$defs/{part.removeprefix(_PREFIX)}"
            if key == "$ref" and isinstance(part, str)
            else _moved(part)
            for key, part in cast("Schema", value).items()
        }
    if isinstance(value, list):
        return [_moved(part) for part in cast("list[object]", value)]
    return value


def _parameter(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def _schema_ref(name: str) -> Schema:
    return {"$ref": f"{_PREFIX}{name}"}


def _reply(text: str, schema: Schema) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": schema}}}
