"""OpenAPI 3.1 of the compatible resources and the native endpoints, from the model."""

from __future__ import annotations

import msgspec

from skytrail.api.documents import Document
from skytrail.api.schema import Schema, collection_name
from skytrail.model.catalog_types import ComplexType, Field, ObjectType, Property

_TYPES = {"string": "string", "integer": "integer", "boolean": "boolean"}
_ANY: Document = {"type": "object"}


def document(schema: Schema) -> bytes:
    """Return the description as JSON bytes."""
    components: Document = {name: _complex(entry) for name, entry in schema.complex_types.items()}
    components |= {name: _resource(entry) for name, entry in schema.resources.items()}
    paths: Document = dict(_NATIVE)
    for resource in schema.resources.values():
        paths |= _paths(resource)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "Skytrail configuration API", "version": "1"},
            "paths": paths,
            "components": {"schemas": components},
        }
    )


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _field(entry: Field) -> Document:
    shape: Document
    if entry.is_compound:
        shape = _ref(entry.type)
    else:
        shape = {"type": _TYPES[entry.base]}
        if entry.enum:
            shape["enum"] = list(entry.enum)
        if entry.minimum is not None:
            shape["minimum"] = entry.minimum
        if entry.maximum is not None:
            shape["maximum"] = entry.maximum
        if entry.default is not None:
            shape["default"] = entry.default
    if entry.description and not entry.is_compound:
        shape["description"] = entry.description
    if entry.is_list and not isinstance(entry, Property):
        return {"type": "array", "items": shape}
    return shape


def _complex(entry: ComplexType) -> Document:
    fields: Document = {name: _field(field) for name, field in entry.fields.items()}
    return {"type": "object", "properties": fields}


def _resource(resource: ObjectType) -> Document:
    members: Document = {
        "uuid": {"type": "string", "format": "uuid"},
        "fq_name": {"type": "array", "items": {"type": "string"}},
    }
    if resource.parent_types:
        members["parent_type"] = {"type": "string", "enum": list(resource.parent_types)}
        members["parent_uuid"] = {"type": "string", "format": "uuid", "readOnly": True}
    for name, prop in resource.properties.items():
        members[name] = _field(prop)
    for name, reference in resource.references.items():
        members[name] = {"type": "array", "items": _reference(reference.attr_type)}
    for name in (*resource.back_references, *resource.children):
        members[name] = {"type": "array", "items": _reference(""), "readOnly": True}
    shape: Document = {"type": "object", "properties": members, "required": ["fq_name"]}
    if resource.description:
        shape["description"] = resource.description
    return shape


def _reference(attribute: str) -> Document:
    return {
        "type": "object",
        "properties": {
            "to": {"type": "array", "items": {"type": "string"}},
            "uuid": {"type": "string"},
            "href": {"type": "string", "readOnly": True},
            "attr": {"anyOf": [_ref(attribute), {"type": "null"}]} if attribute else {},
        },
    }


def _json(schema: Document) -> Document:
    return {"application/json": {"schema": schema}}


def _replies(schema: Document | None, *refusals: int) -> Document:
    good: Document = {"description": "Done"}
    if schema is not None:
        good["content"] = _json(schema)
    replies: Document = {"200": good}
    for status in refusals:
        replies[str(status)] = {
            "description": "Refused; the body is one line of text",
            "content": {"text/html": {"schema": {"type": "string"}}},
        }
    return replies


def _query(*names: str) -> list[Document]:
    return [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]


def _paths(resource: ObjectType) -> Document:
    name = resource.name
    wrapped: Document = {"type": "object", "properties": {name: _ref(name)}, "required": [name]}
    listed: Document = {
        "type": "object",
        "properties": {collection_name(resource): {"type": "array", "items": _ref(name)}},
    }
    uuid: Document = {
        "name": "uuid", "in": "path", "required": True, "schema": {"type": "string"},
    }  # fmt: skip
    body: Document = {"required": True, "content": _json(wrapped)}
    key = resource.json_name
    return {
        f"/{collection_name(resource)}": {
            "get": {
                "operationId": f"list_{key}",
                "parameters": _query(
                    "detail", "fields", "count", "parent_id", "parent_fq_name_str", "back_ref_id",
                    "obj_uuids", "fq_names", "filters", "page_marker", "page_limit",
                    "exclude_hrefs",
                ),
                "responses": _replies(listed, 400),
            },
            "post": {
                "operationId": f"create_{key}",
                "requestBody": body,
                "responses": _replies(wrapped, 400, 403, 409, 412, 413),
            },
        },
        f"/{name}/{{uuid}}": {
            "parameters": [uuid],
            "get": {
                "operationId": f"read_{key}",
                "parameters": _query(
                    "fields", "exclude_back_refs", "exclude_children", "exclude_hrefs"
                ),
                "responses": _replies(wrapped, 404),
            },
            "put": {
                "operationId": f"update_{key}",
                "requestBody": body,
                "responses": _replies(wrapped, 400, 403, 404, 409),
            },
            "delete": {"operationId": f"delete_{key}", "responses": _replies(None, 404, 409)},
        },
    }  # fmt: skip


_NATIVE: Document = {
    "/api/v1/watch": {
        "get": {
            "operationId": "watch",
            "parameters": _query("types", "from_revision"),
            "responses": {"200": {"description": "Lines", "content": {"application/x-ndjson": {}}}},
        }
    },
    "/api/v1/transaction": {
        "post": {
            "operationId": "transact",
            "requestBody": {"required": True, "content": _json(_ANY)},
            "responses": _replies(_ANY, 400, 403, 404, 409, 412, 413),
        }
    },
    "/api/v1/allocate": {
        "post": {
            "operationId": "allocate",
            "requestBody": {"required": True, "content": _json(_ANY)},
            "responses": _replies(_ANY, 400, 409),
        }
    },
    "/api/v1/free": {
        "post": {
            "operationId": "free",
            "requestBody": {"required": True, "content": _json(_ANY)},
            "responses": _replies(_ANY, 400, 409),
        }
    },
}
