"""The OpenAPI 3.1 description of the REST API, computed from the catalog.

Built on request instead of being committed: it is a pure function of `CATALOG`, takes a few
milliseconds, and the server adds which actions it really serves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from skytrail.model.catalog_types import Catalog, Field, ObjectType, Property, ReferenceField
from skytrail.model.openapi_actions import ACTIONS, NATIVE, Action
from skytrail.model.openapi_native import native_components
from skytrail.model.openapi_native_actions import NATIVE_ACTIONS

Schema = dict[str, object]

_LIST_PARAMETERS: Mapping[str, str] = {
    "detail": "`true` returns whole objects instead of names.",
    "count": "`true` returns only the number of objects.",
    "fields": "Further fields to return, separated by commas.",
    "parent_id": "Only children of these uuids, separated by commas.",
    "parent_fq_name_str": "Only children of this name, its items joined by colons.",
    "parent_type": "Type of the parent given by name.",
    "back_ref_id": "Only objects that refer to one of these uuids.",
    "obj_uuids": "Only these uuids, separated by commas; unknown ones are skipped.",
    "fq_names": "Only these names, separated by commas, items joined by colons.",
    "filters": "`field==json` pairs separated by commas: same field is OR, others are AND.",
    "shared": "`true` adds what others share; nothing yet, as everybody may read everything.",
    "page_marker": "Marker of the previous reply, empty for the first page.",
    "page_limit": "Objects per page.",
    "exclude_hrefs": "Leaves out links when present.",
}
_READ_PARAMETERS: Mapping[str, str] = {
    "fields": "Only these fields, separated by commas; also names children and back references.",
    "exclude_back_refs": "Leaves out back references when present.",
    "exclude_children": "Leaves out children when present.",
    "exclude_hrefs": "Leaves out links when present.",
}
_ERRORS: Mapping[str, str] = {
    "400": "The body or a parameter is wrong; the text says which and why.",
    "401": "The server wants to know who asks.",
    "403": "Who asks may not do this, or nobody may from outside.",
    "404": "No such object.",
    "409": "The name or uuid is taken, or other objects depend on this one.",
    "412": "A quota would be exceeded.",
    "413": "The body or the object is too large.",
    "415": "The body is not announced as application/json.",
    "410": "What was asked for is discarded.",
    "429": "Too many requests; Retry-After says when to come again.",
    "501": "This server does not have it.",
    "503": "The store is not reachable; try again.",
}
_COMMON_ERRORS = ("401", "403", "429")
_READ_ERRORS = ("400", "404", *_COMMON_ERRORS)
_WRITE_ERRORS = ("400", "404", "409", "412", "413", "415", "503", *_COMMON_ERRORS)


def openapi_document(
    catalog: Catalog, *, version: str, without: frozenset[str] = frozenset()
) -> Schema:
    """The document as JSON builtins; `without` names actions that the server does not serve."""
    paths: dict[str, object] = {}
    for entry in catalog.objects.values():
        paths[f"/{entry.collection}"] = _collection_path(entry)
        paths[f"/{entry.name}/{{uuid}}"] = _resource_path(entry)
    for action in (*ACTIONS, *NATIVE, *NATIVE_ACTIONS):
        if action.name not in without:
            operations = paths.setdefault(action.path, {})
            if isinstance(operations, dict):
                operations[action.method.lower()] = _action_operation(action)
    native = native_components()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Skytrail configuration API",
            "version": version,
            "description": "Null counts as not given in every place of a body.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [
            {"name": f.title, "description": f.description} for f in catalog.families.values()
        ],
        "paths": {path: _tagged(path, item, catalog) for path, item in paths.items()},
        "components": {
            "schemas": {**_schemas(catalog), **native["schemas"]},
            "parameters": {**_parameters(), **native["parameters"]},
            "responses": {**_responses(), **native["responses"]},
        },
    }


def _tagged(path: str, item: object, catalog: Catalog) -> object:
    """Adds the family's title as tag to the operations of object types."""
    name = path.split("/")[1]
    entry = catalog.objects.get(name) or catalog.objects.get(name.removesuffix("s"))
    if entry is None or path.count("/") > 2 or not isinstance(item, dict):
        return item
    tags = [catalog.families[entry.family].title]
    return {
        key: {"tags": tags, **value} if isinstance(value, dict) else value
        for key, value in item.items()
    }


def _collection_path(entry: ObjectType) -> Schema:
    listed: Schema = {
        "type": "array",
        "items": {
            "anyOf": [_ref("schemas", "ListedObject"), _wrapped(entry.name, entry.class_name)]
        },
    }
    create = {
        "operationId": f"create_{entry.json_name}",
        "summary": f"Create a {entry.name}",
        "requestBody": _body(_wrapped(entry.name, entry.class_name)),
        "responses": {
            "200": _reply(_wrapped(entry.name, "CreatedObject"), "The identity of the object."),
            **_error_references(*_WRITE_ERRORS),
        },
    }
    count = _object_schema({"count": _scalar("integer")}, ("count",))
    found: Schema = {
        entry.collection: {"anyOf": [listed, count]},
        "marker": {"type": ["string", "null"], "description": "Of the next page, when paged."},
    }
    return {
        "get": {
            "operationId": f"list_{entry.json_name}",
            "summary": f"List objects of type {entry.name}",
            "parameters": [_ref("parameters", f"list_{name}") for name in _LIST_PARAMETERS],
            "responses": {
                "200": _reply(_object_schema(found), "The objects found."),
                **_error_references("400", *_COMMON_ERRORS),
            },
        },
        "post": create,
    }


def _resource_path(entry: ObjectType) -> Schema:
    wrapped = _wrapped(entry.name, entry.class_name)
    return {
        "parameters": [_ref("parameters", "uuid")],
        "get": {
            "operationId": f"read_{entry.json_name}",
            "summary": f"Read a {entry.name}",
            "parameters": [_ref("parameters", f"read_{name}") for name in _READ_PARAMETERS],
            "responses": {
                "200": _reply(_wrapped(entry.name, f"{entry.class_name}Read"), "The object."),
                "304": {"description": "Unchanged since the given ETag."},
                **_error_references(*_READ_ERRORS),
            },
        },
        "put": {
            "operationId": f"update_{entry.json_name}",
            "summary": f"Change a {entry.name}; absent fields stay, null removes",
            "requestBody": _body(wrapped),
            "responses": {
                "200": _reply(_wrapped(entry.name, "UpdatedObject"), "The object was changed."),
                **_error_references(*_WRITE_ERRORS),
            },
        },
        "delete": {
            "operationId": f"delete_{entry.json_name}",
            "summary": f"Delete a {entry.name}",
            "responses": {
                "200": {"description": "The object is gone."},
                **_error_references("400", "404", "409", "503", *_COMMON_ERRORS),
            },
        },
    }


def _action_operation(action: Action) -> Schema:
    operation: Schema = {
        "operationId": f"{action.name.replace('-', '_')}_{action.method.lower()}",
        "summary": action.summary,
        "tags": ["Actions"],
    }
    parameters: list[object] = [
        {
            "name": name,
            "in": "query",
            "required": required,
            "schema": {"type": "string"},
        }
        for name, required in action.query.items()
    ]
    for name in re.findall(r"\{(\w+)\}", action.path):
        parameters.insert(0, _path_parameter(name))
    if parameters:
        operation["parameters"] = parameters
    if action.body:
        operation["requestBody"] = _body(_object_schema(action.body, action.required))
    good: Schema = {"description": "Done."}
    if action.media_type != "application/json":
        good["content"] = {action.media_type: {"schema": {"type": "string"}}}
    elif action.reply:
        good = _reply(_object_schema(action.reply), "Done.")
    errors = (*(_READ_ERRORS if action.method == "GET" else _WRITE_ERRORS), *action.errors)
    is_native = action.path.startswith("/api/v1/")
    refused = dict.fromkeys(errors, _PROBLEM) if is_native else _error_references(*errors)
    responses: Schema = {action.status: good, **refused}
    if action.problem:
        responses["503"] = _reply(_object_schema(action.problem), _ERRORS["503"])
    operation["responses"] = responses
    return operation


_PROBLEM: Schema = {"$ref": "#/components/responses/problem"}


def _path_parameter(name: str) -> Schema:
    if name == "uuid":
        return _ref("parameters", "uuid")
    return {"name": name, "in": "path", "required": True, "schema": _STRING}


def _schemas(catalog: Catalog) -> Schema:
    schemas: Schema = {
        "ListedObject": _object_schema({"uuid": _STRING, "fq_name": _NAMES, "href": _STRING}),
        "UpdatedObject": _object_schema({"uuid": _STRING, "href": _STRING}),
        "CreatedObject": _object_schema({**_IDENTITY, "name": _STRING, "href": _STRING}),
        "Related": _object_schema({"to": _NAMES, "uuid": _STRING, "href": _STRING}),
    }
    for name, simple in catalog.simple_types.items():
        schemas[name] = {"description": simple.description, **_scalar(simple.base)}
        if simple.enum:
            schemas[name] = {**_mapping(schemas[name]), "enum": list(simple.enum)}
        if simple.minimum is not None and simple.maximum is not None:
            bounds = {"minimum": simple.minimum, "maximum": simple.maximum}
            schemas[name] = {**_mapping(schemas[name]), **bounds}
    for name, complex_type in catalog.types.items():
        fields = {f.name: _field_schema(catalog, f) for f in complex_type.fields.values()}
        schemas[name] = {
            **_object_schema(fields),
            "description": complex_type.description,
            "additionalProperties": False,
        }
    for entry in catalog.objects.values():
        schemas[entry.class_name] = _object_type(catalog, entry)
        schemas[f"{entry.class_name}Read"] = _read_type(entry)
    return schemas


def _object_type(catalog: Catalog, entry: ObjectType) -> Schema:
    fields: Schema = dict(_IDENTITY)
    if entry.parent_types:
        fields["parent_type"] = {"type": "string", "enum": list(entry.parent_types)}
    fields.update({p.name: _field_schema(catalog, p) for p in entry.properties.values()})
    fields.update({r.name: _reference_schema(r) for r in entry.references.values()})
    schema = _object_schema(fields, ("fq_name",))
    marks: Schema = {"x-origin": entry.origin} if entry.origin != "user" else {}
    return {**schema, "description": entry.description, **marks}


def _read_type(entry: ObjectType) -> Schema:
    related: Schema = {"type": "array", "items": _ref("schemas", "Related")}
    fields: Schema = {"href": _STRING, "name": _STRING}
    fields.update(dict.fromkeys(entry.children, related))
    for back in entry.back_references.values():
        fields[back.name] = _related_list(back.attr_type)
    return {"allOf": [_ref("schemas", entry.class_name), _object_schema(fields)]}


def _reference_schema(reference: ReferenceField) -> Schema:
    return {**_related_list(reference.attr_type), "description": reference.description}


def _related_list(attr_type: str) -> Schema:
    if not attr_type:
        return {"type": "array", "items": _ref("schemas", "Related")}
    attr: Schema = {"anyOf": [_ref("schemas", attr_type), {"type": "null"}]}
    with_attr: Schema = {"allOf": [_ref("schemas", "Related"), _object_schema({"attr": attr})]}
    return {"type": "array", "items": with_attr}


def _field_schema(catalog: Catalog, field: Field | Property) -> Schema:
    named = field.is_compound or field.type in catalog.simple_types
    one: Schema = _ref("schemas", field.type) if named else _scalar(field.base)
    schema: Schema = {"type": "array", "items": one} if field.is_list else one
    if field.max_items is not None:
        schema["maxItems"] = field.max_items
    schema["description"] = field.description
    if field.default is not None:
        schema["default"] = field.default
    if field.deprecated:
        schema["deprecated"] = True
    if field.presence == "system-only":
        schema["x-set-by"] = "system"
    return schema


def _parameters() -> Schema:
    found: Schema = {
        "uuid": {"name": "uuid", "in": "path", "required": True, "schema": {"type": "string"}}
    }
    for prefix, table in (("list", _LIST_PARAMETERS), ("read", _READ_PARAMETERS)):
        for name, text in table.items():
            found[f"{prefix}_{name}"] = {
                "name": name,
                "in": "query",
                "description": text,
                "schema": {"type": "string"},
            }
    return found


def _responses() -> Schema:
    content = {"text/html": {"schema": {"type": "string"}}}
    return {
        f"error_{code}": {"description": text, "content": content} for code, text in _ERRORS.items()
    }


def _error_references(*codes: str) -> Schema:
    return {code: _ref("responses", f"error_{code}") for code in codes}


def _body(schema: Schema) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _reply(schema: Schema, text: str) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _wrapped(name: str, schema: str) -> Schema:
    return _object_schema({name: _ref("schemas", schema)}, (name,))


def _object_schema(fields: Mapping[str, object], required: tuple[str, ...] = ()) -> Schema:
    schema: Schema = {"type": "object", "properties": dict(fields)}
    if required:
        schema["required"] = list(required)
    return schema


def _ref(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def _scalar(base: str) -> Schema:
    return {"type": base}


def _mapping(value: object) -> Schema:
    return dict(value) if isinstance(value, dict) else {}


_STRING: Schema = {"type": "string"}
_NAMES: Schema = {"type": "array", "items": _STRING}
_IDENTITY: Schema = {
    "uuid": {"type": ["string", "null"], "description": "Chosen by the server when null."},
    "fq_name": {**_NAMES, "description": "Names from the top of the tree down to the object."},
    "parent_type": _STRING,
    "parent_uuid": {**_STRING, "readOnly": True},
}
