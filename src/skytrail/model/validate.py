"""Structural checks of wire mappings against the catalog, with the compatible API's texts.

Only shape is judged here: value types, enumerations, integer ranges, unknown fields of complex
values. Whether an object makes sense beside others is for the API's rules. Nulls and empty lists
are "not given" everywhere and never violate anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import cast

import msgspec

from skytrail.model.catalog import CATALOG, Field, ObjectType, Property

_SHOWN_LENGTH_MAX = 500
_ENVELOPE = frozenset({"uuid", "fq_name", "parent_type", "parent_uuid", "name"})
# What any integer without a range of its own may be: the numbers JSON readers agree on.
_INTEGER_MIN = -(2**63)
_INTEGER_MAX = 2**64 - 1
# Written by the server into what clients read, and sent back by clients that edit and return it.
_SERVER_WRITTEN = frozenset({"href", "parent_href"})
# Patterns are advisory except for these types, where clients depend on the refusal.
_ENFORCED_PATTERNS = frozenset({"ServiceInterfaceType"})


class Violation(msgspec.Struct, frozen=True):
    """One broken rule: `path` in dots from the object, `text` as the client shall read it."""

    path: str
    text: str


def check_properties(object_type: str, mapping: Mapping[str, object]) -> list[Violation]:
    """All violations in the properties of a create or update body, in schema order.

    Texts start with "Error validating property"; the caller puts its own prefix before them.
    """
    properties = CATALOG.objects[object_type].properties
    return [
        violation
        for name, entry in properties.items()
        if name in mapping
        for violation in _property(entry, mapping[name])
    ]


def check_property(object_type: str, name: str, value: object) -> list[Violation]:
    """All violations of one property's whole value; an unknown name is a KeyError."""
    return list(_property(CATALOG.objects[object_type].properties[name], value))


def check_element(object_type: str, name: str, element: object) -> list[Violation]:
    """All violations of one element of a list or map property; other names are a KeyError."""
    entry = CATALOG.objects[object_type].properties[name]
    if not entry.wrapper_field:
        raise KeyError(name)
    wrapper = CATALOG.types[entry.type].fields[entry.wrapper_field]
    texts = _value(wrapper, element, name)
    return [Violation(path, _in_property(entry, element, text)) for path, text in texts]


def check_references(object_type: str, mapping: Mapping[str, object]) -> list[Violation]:
    """All violations in the reference lists of a create or update body, attributes included."""
    return [
        violation
        for name in CATALOG.objects[object_type].references
        if name in mapping
        for violation in _references(object_type, name, mapping[name])
    ]


def check_reference_attr(object_type: str, field: str, attr: object) -> list[Violation]:
    """All violations of one reference's attribute; `field` like `network_ipam_refs`.

    A reference kind without attribute type accepts anything, as clients send empty objects.
    """
    attr_type = CATALOG.objects[object_type].references[field].attr_type
    if not attr_type or _is_absent(attr):
        return []
    return [
        Violation(path, f"Error validating reference {field} value {_shown(attr)} {text}")
        for path, text in _compound(attr_type, attr, field)
    ]


def unknown_keys(object_type: str, mapping: Mapping[str, object]) -> list[str]:
    """Top-level keys that mean nothing for the type, sorted: worth a warning, never an error.

    Children, back references and links may be sent back by a client that read them.
    """
    entry = CATALOG.objects[object_type]
    return sorted(key for key in mapping if not _is_known(key, entry))


def _is_known(key: str, entry: ObjectType) -> bool:
    return (
        key in _ENVELOPE
        or key in _SERVER_WRITTEN
        or key in entry.properties
        or key in entry.references
        or key in entry.children
        or key in entry.back_references
    )


def _property(entry: Property, value: object) -> Iterator[Violation]:
    if _is_absent(value):
        return
    if not entry.is_compound:
        for path, text in _scalar(entry, value, entry.name):
            yield Violation(path, f"Error validating property {text}")
    elif not isinstance(value, Mapping):
        text = f"Error in property {entry.name} type {entry.type} value of {_shown(value)}"
        yield Violation(entry.name, text)
    else:
        for path, text in _compound(entry.type, value, entry.name):
            yield Violation(path, _in_property(entry, value, text))


def _in_property(entry: Property, value: object, text: str) -> str:
    return f"Error validating property {entry.name} value {_shown(value)} {text}"


def _references(object_type: str, name: str, value: object) -> Iterator[Violation]:
    if _is_absent(value):
        return
    if not isinstance(value, list | tuple):
        yield Violation(name, f"Field {name} must be a list. Received value: {_shown(value)}")
        return
    for index, item in enumerate(cast("list[object]", value)):
        path = f"{name}.{index}"
        if not _is_reference(item):
            yield Violation(path, f"Error validating reference {name} value {_shown(item)}")
            continue
        attr = cast("Mapping[str, object]", item).get("attr")
        for violation in check_reference_attr(object_type, name, attr):
            yield Violation(path + violation.path.removeprefix(name), violation.text)


def _is_reference(item: object) -> bool:
    """Whether an item names its target by a list of names, by uuid text, or by both."""
    if not isinstance(item, Mapping):
        return False
    mapping = cast("Mapping[str, object]", item)
    to, uuid = mapping.get("to"), mapping.get("uuid")
    if to is None and uuid is None:
        return False
    names_fit = to is None or (
        isinstance(to, list | tuple)
        and bool(to)
        and all(isinstance(name, str) for name in cast("list[object]", to))
    )
    return names_fit and (uuid is None or isinstance(uuid, str))


def _compound(type_name: str, value: object, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield path, f"{type_name} object expected instead of {_shown(value)}"
        return
    fields = CATALOG.types[type_name].fields
    for key, item in cast("Mapping[str, object]", value).items():
        field = fields.get(key)
        here = f"{path}.{key}"
        if field is None:
            yield here, f"class {type_name} does not have field {key}"
        elif not _is_absent(item):
            yield from _field(field, item, here)


def _field(field: Field, value: object, path: str) -> Iterator[tuple[str, str]]:
    if not field.is_list:
        yield from _value(field, value, path)
        return
    if not isinstance(value, list | tuple):
        yield path, f"Field {field.name} must be a list. Received value: {_shown(value)}"
        return
    for index, item in enumerate(cast("list[object]", value)):
        if not _is_absent(item):
            yield from _value(field, item, f"{path}.{index}")


def _value(field: Field, value: object, path: str) -> Iterator[tuple[str, str]]:
    if field.is_compound:
        yield from _compound(field.type, value, path)
    else:
        yield from _scalar(field, value, path)


def _scalar(field: Field, value: object, path: str) -> Iterator[tuple[str, str]]:
    match field.base:
        case "integer":
            text = _integer_fault(field, value)
        case "boolean":
            text = "" if isinstance(value, bool) else f"true/false expected instead of {value}"
        case _:
            text = _string_fault(field, value)
    if text:
        yield path, f"{field.name}: {text}"


def _integer_fault(field: Field, value: object) -> str:
    number = _integer(value)
    if number is None:
        return f"integer value expected instead of {_shown(value)}"
    low = _INTEGER_MIN if field.minimum is None else field.minimum
    high = _INTEGER_MAX if field.maximum is None else field.maximum
    if not low <= number <= high:
        return f"value must be between {low} and {high}"
    return ""


def _integer(value: object) -> int | None:
    """The number behind an integer or its decimal text; a boolean is not a number here."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # Twenty digits hold every 64-bit number; longer text would only cost time to convert.
    if isinstance(value, str) and re.fullmatch(r"-?(0|[1-9][0-9]{0,19})", value):
        return int(value)
    return None


def _string_fault(field: Field, value: object) -> str:
    if not isinstance(value, str):
        return f"string value expected instead of {_shown(value)}"
    if field.enum and value and value not in field.enum:
        return f"value must be one of {list(field.enum)}"
    if field.type in _ENFORCED_PATTERNS and not re.fullmatch(field.pattern, value):
        return f"value must match {field.pattern}"
    return ""


def _is_absent(value: object) -> bool:
    return value is None or (isinstance(value, list | tuple) and not value)


def _shown(value: object) -> str:
    """A value for an error text, cut so that a hostile body cannot blow the reply up."""
    text = str(value)
    return text if len(text) <= _SHOWN_LENGTH_MAX else f"{text[:_SHOWN_LENGTH_MAX]}..."
