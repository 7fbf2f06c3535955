"""Checks property values against the model and edits list and map properties by element.

Error texts are part of the wire contract: clients show and match them. Null members inside complex
values mean "not given" and are dropped; so are null elements.
"""

from __future__ import annotations

import re
from typing import cast

from skytrail.api import documents
from skytrail.api.documents import Document, is_document
from skytrail.api.refusal import bad_request
from skytrail.api.schema import Schema
from skytrail.model.catalog_types import Field, ObjectType, Property

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_DEPTH_MAX = 32
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**64 - 1
_SHOWN_MAX = 512


class PropertyFault(Exception):
    """A value the model does not allow; the text says where and what instead."""


def has_illegal_characters(value: str) -> bool:
    """Whether XML, and so the control channel to the hosts, could not carry the text."""
    return _ILLEGAL.search(value) is not None


def shown(value: object) -> str:
    """Return a value as error texts print it, bounded and printable."""
    printed = str(value).encode("utf-8", "backslashreplace").decode()
    return printed if len(printed) <= _SHOWN_MAX else printed[:_SHOWN_MAX] + "..."


def check_properties(
    schema: Schema, resource: ObjectType, body: Document, operation: str
) -> Document:
    """Return the checked properties of a request body, nulls kept at top level.

    ``operation`` is the word the error text starts with: ``create`` or ``http_put``.
    """
    checked: Document = {}
    for name, value in body.items():
        prop = resource.properties.get(name)
        if prop is None:
            continue
        if value is None:
            checked[name] = None
            continue
        try:
            checked[name] = check_value(schema, prop, value)
        except PropertyFault as fault:
            where = f"{name} value {shown(value)} " if prop.base == "compound" else ""
            raise bad_request(
                f"Bad property in {operation}: Error validating property {where}{fault}"
            ) from None
    return checked


def check_value(schema: Schema, field: Field, value: object, depth: int = 0) -> object:
    """Return the value in the form it is stored in; raise PropertyFault."""
    if not field.is_list:
        return _check_one(schema, field, value, depth)
    if not isinstance(value, list):
        msg = f"Field {field.name} must be a list. Received value: {shown(value)}"
        raise PropertyFault(msg)
    elements = cast("list[object]", value)
    return [_check_one(schema, field, item, depth) for item in elements if item is not None]


def _check_one(schema: Schema, field: Field, value: object, depth: int) -> object:
    match field.base:
        case "compound":
            return check_complex(schema, field.type, value, depth + 1)
        case "integer":
            return _check_integer(field, value)
        case "boolean":
            if not isinstance(value, bool):
                raise PropertyFault(_instead(field, "true/false expected", value))
            return value
        case "string":
            return _check_string(field, value)


def check_complex(schema: Schema, type_name: str, value: object, depth: int = 0) -> Document:
    """Return a checked value of a complex type; raise PropertyFault."""
    if depth > _DEPTH_MAX:
        msg = f"value is nested deeper than {_DEPTH_MAX} levels"
        raise PropertyFault(msg)
    if not is_document(value):
        msg = f"class {type_name} expects an object instead of {shown(value)}"
        raise PropertyFault(msg)
    fields = schema.complex_types[type_name].fields
    checked: Document = {}
    for name, part in value.items():
        field = fields.get(name)
        if field is None:
            msg = f"class {type_name} does not have field {shown(name)}"
            raise PropertyFault(msg)
        if part is not None and (field.is_list or part != []):
            checked[name] = check_value(schema, field, part, depth)
    return checked


def _check_integer(field: Field, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise PropertyFault(_instead(field, "integer value expected", value))
    try:
        number = int(value)
    except ValueError:
        raise PropertyFault(_instead(field, "integer value expected", value)) from None
    low = _INTEGER_MIN if field.minimum is None else field.minimum
    high = _INTEGER_MAX if field.maximum is None else field.maximum
    if not low <= number <= high:
        msg = f"{field.name}: value must be between {low} and {high}"
        raise PropertyFault(msg)
    return number


def _check_string(field: Field, value: object) -> str:
    if not isinstance(value, str):
        raise PropertyFault(_instead(field, "string value expected", value))
    if field.enum and value and value not in field.enum:
        msg = f"{field.name}: value must be one of {list(field.enum)}"
        raise PropertyFault(msg)
    if has_illegal_characters(value):
        msg = f"{field.name}: value has illegal xml characters"
        raise PropertyFault(msg)
    return value


def _instead(field: Field, expected: str, value: object) -> str:
    return f"{field.name}: {expected} instead of {shown(value)}"


def collection_of(resource: ObjectType, name: str) -> Property:
    """Return a list or map property; refuse others as the wire contract words it."""
    prop = resource.properties.get(name)
    if prop is None or prop.kind == "simple":
        raise bad_request(f'{shown(name)} neither "ListProperty" nor "MapProperty"')
    return prop


def elements_of(body: Document, prop: Property) -> list[object]:
    """Return a copy of the elements of a list or map property."""
    return list(documents.as_list(documents.section(body, prop.name).get(prop.wrapper_field)))


def positions_of(
    body: Document, prop: Property, kept: dict[str, list[str]]
) -> list[tuple[object, str]]:
    """Return (element, position) pairs; the position of a map element is its key."""
    elements = elements_of(body, prop)
    if prop.kind == "map":
        return [(item, _key_of(prop, item)) for item in elements]
    positions = kept.get(prop.name)
    if positions is None or len(positions) != len(elements):
        return [(item, str(index)) for index, item in enumerate(elements)]
    return list(zip(elements, positions, strict=True))


def _key_of(prop: Property, element: object) -> str:
    if not is_document(element):
        return ""
    key = element.get(prop.map_key)
    return "" if key is None else str(key)


def edit_collection(
    schema: Schema,
    prop: Property,
    pairs: list[tuple[object, str]],
    update: Document,
    *,
    fresh_position: str,
) -> list[tuple[object, str]]:
    """Return the pairs after one element operation; refuse what makes no sense."""
    operation = documents.text(update, "operation") or ""
    position = update.get("position")
    place = None if position is None else str(position)
    verb = operation.lower()
    allowed = ("add", "modify", "delete") if prop.kind == "list" else ("set", "delete")
    if verb not in allowed:
        raise bad_request(f"Unsupported operation {shown(operation)} in request {shown(update)}")
    if verb == "delete":
        if place is None:
            raise bad_request(f"position is needed in request {shown(update)}")
        return [pair for pair in pairs if pair[1] != place]
    element = _checked_element(schema, prop, update.get("value"))
    if verb == "set":
        place = _key_of(prop, element)
    elif verb == "modify" and place is None:
        raise bad_request(f"position is needed in request {shown(update)}")
    place = place or fresh_position
    if has_illegal_characters(place):
        raise bad_request("position has illegal xml characters")
    if any(pair[1] == place for pair in pairs):
        return [(element, place) if pair[1] == place else pair for pair in pairs]
    return [*pairs, (element, place)]


def _checked_element(schema: Schema, prop: Property, value: object) -> object:
    wrapper = schema.complex_types[prop.type].fields[prop.wrapper_field]
    try:
        return check_value(schema, wrapper, [value])[0]  # type: ignore[index] # a list in, a list out
    except (PropertyFault, IndexError) as fault:
        raise bad_request(
            f"Bad property in prop-collection-update: Error validating property {prop.name} "
            f"value {shown(value)} {fault}"
        ) from None


def reference_attribute(schema: Schema, reference: str, attribute: str, value: object) -> object:
    """Return the checked attribute of a reference, None when there is none."""
    if value is None or not attribute:
        return None
    try:
        return check_complex(schema, attribute, value)
    except PropertyFault as fault:
        msg = f"Error validating reference {reference} value {shown(value)} {fault}"
        raise PropertyFault(msg) from None
