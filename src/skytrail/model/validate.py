"""The form of wire mappings, held to the catalog: one walk that checks and brings into stored form.

Only form is judged here: value types, enumerations, integer ranges, patterns, characters that XML
cannot carry, unknown fields of complex values. Whether an object makes sense beside others is for
the API's rules. Texts are those of the compatible API, whose clients show and match them.

Null is "not given" everywhere, and so is an empty list where no list belongs. Stored form has
neither, and has numbers where clients may also send their decimal text. `check_*` tells every
violation and where it is; `stored_*` stops at the first and returns the stored form. Values are
what JSON and YAML make: dicts, lists, texts, numbers. No type contains itself, so the catalog alone
bounds how deep the walk goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeGuard, cast

import msgspec

from skytrail.model.catalog import CATALOG, Field, ObjectType, Property, ReferenceField
from skytrail.model.secret_values import MASK, Masks

_SHOWN_LENGTH_MAX = 512
_ENVELOPE = frozenset({"uuid", "fq_name", "parent_type", "parent_uuid", "name"})
# What any integer without a range of its own may be: the numbers JSON readers agree on.
_INTEGER_MIN = -(2**63)
_INTEGER_MAX = 2**64 - 1
# Twenty digits hold every 64-bit number; longer text would only cost time to convert.
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,19})")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# Control characters, separators of lines, and what turns the direction of the text after it (Unicode's
# embeddings, overrides and isolates): a name with them looks like another one.
_MISLEADING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# Written by the server into what clients read, and sent back by clients that edit and return it.
_SERVER_WRITTEN = frozenset({"href", "parent_href"})
# Patterns are advisory except for these types, where clients depend on the refusal.
_ENFORCED_PATTERNS = frozenset({"ServiceInterfaceType"})
_TYPES = CATALOG.types
_MASKS = Masks(CATALOG)
"""Nobody's password comes back in an error text, which ends up in logs of clients."""


class Violation(msgspec.Struct, frozen=True):
    """One broken rule: `path` in dots from the object, `text` as the client shall read it."""

    path: str
    text: str


class InvalidValue(ValueError):
    """The first violation of a value whose stored form was asked for; its text is the message."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.text)
        self.violation = violation


_Place = tuple["_Place | None", str | int]
"""Where the walk is, innermost key last: cheap to make, put into words only for a violation."""
_Fault = tuple[_Place, str]
_Note = Callable[[_Fault], object]
"""What happens to a fault; when it returns, the faulty value counts as not given."""


class _Stop(Exception):
    """Ends a walk at its first fault."""

    def __init__(self, fault: _Fault) -> None:
        super().__init__(fault)
        self.fault = fault


def _path(place: _Place) -> str:
    keys: list[str] = []
    here: _Place | None = place
    while here is not None:
        here, key = here
        keys.append(str(key))
    return ".".join(reversed(keys))


def _stop(fault: _Fault) -> NoReturn:
    raise _Stop(fault)


def has_illegal_characters(value: str) -> bool:
    """Whether XML, and so the control channel to the hosts, could not carry the text."""
    return _ILLEGAL.search(value) is not None


def misleading_character(name: str) -> str | None:
    """The first character by which a name looks like another one, as `U+202E`; None: it has none."""
    found = _MISLEADING.search(name)
    return None if found is None else f"U+{ord(found[0]):04X}"


def without_misleading(name: str) -> str:
    """The name with `_` in the place of each character by which it would look like another one."""
    return _MISLEADING.sub("_", name)


def shown(value: object) -> str:
    """A value as error texts print it: printable, cut so that a hostile body cannot blow it up."""
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN_LENGTH_MAX else f"{text[:_SHOWN_LENGTH_MAX]}..."


def stored_properties(entry: ObjectType, mapping: Mapping[str, object]) -> dict[str, object]:
    """The properties of a create or update body in stored form, None for those not given.

    Raises InvalidValue for the first violation in the body's order.
    """
    stored: dict[str, object] = {}
    for name, value in mapping.items():
        prop = entry.properties.get(name)
        if prop is None:
            continue
        try:
            stored[name] = _value(prop, value, (None, name), _stop)
        except _Stop as stop:
            raise InvalidValue(_property_violation(prop, prop, value, stop.fault)) from None
    return stored


def stored_element(prop: Property, element: object) -> object:
    """One element of a list or map property in stored form.

    Raises InvalidValue for its first violation, of which null is one.
    """
    place = (None, prop.name)
    try:
        return _item(_elements_of(prop), element, place, _stop)
    except _Stop as stop:
        raise InvalidValue(
            _property_violation(prop, _elements_of(prop), element, stop.fault)
        ) from None


def stored_attribute(reference: ReferenceField, attr: object) -> object:
    """A reference's attribute in stored form, None when there is none; raises InvalidValue.

    A reference kind without attribute type drops anything, as clients send empty objects.
    """
    if not reference.attr_type or _is_absent(attr):
        return None
    try:
        return _compound(reference.attr_type, attr, (None, reference.name), _stop)
    except _Stop as stop:
        raise InvalidValue(_attribute_violation(reference, attr, stop.fault)) from None


def check_properties(object_type: str, mapping: Mapping[str, object]) -> list[Violation]:
    """All violations in the properties of a create or update body, in schema order.

    Texts start with "Error validating property"; the caller puts its own prefix before them.
    """
    return [
        violation
        for name in CATALOG.objects[object_type].properties
        if name in mapping
        for violation in check_property(object_type, name, mapping[name])
    ]


def check_property(object_type: str, name: str, value: object) -> list[Violation]:
    """All violations of one property's whole value; an unknown name is a KeyError."""
    prop = CATALOG.objects[object_type].properties[name]
    faults: list[_Fault] = []
    _value(prop, value, (None, name), faults.append)
    return [_property_violation(prop, prop, value, fault) for fault in faults]


def check_element(object_type: str, name: str, element: object) -> list[Violation]:
    """All violations of one element of a list or map property; other names are a KeyError."""
    prop = CATALOG.objects[object_type].properties[name]
    faults: list[_Fault] = []
    _item(_elements_of(prop), element, (None, name), faults.append)
    return [_property_violation(prop, _elements_of(prop), element, fault) for fault in faults]


def check_references(object_type: str, mapping: Mapping[str, object]) -> list[Violation]:
    """All violations in the reference lists of a create or update body, attributes included."""
    return [
        violation
        for name, reference in CATALOG.objects[object_type].references.items()
        if name in mapping
        for violation in _references(reference, mapping[name])
    ]


def check_reference_attr(object_type: str, field: str, attr: object) -> list[Violation]:
    """All violations of one reference's attribute; `field` like `network_ipam_refs`."""
    reference = CATALOG.objects[object_type].references[field]
    return _attribute_violations(reference, attr, (None, field))


def unknown_keys(object_type: str, mapping: Mapping[str, object]) -> list[str]:
    """Top-level keys that mean nothing for the type, sorted: worth a warning, never an error."""
    entry = CATALOG.objects[object_type]
    return sorted(key for key in mapping if not is_known_key(entry, key))


def is_known_key(entry: ObjectType, key: str) -> bool:
    """Whether a top-level key means something for the type.

    Children, back references and links do: clients that read an object send them back.
    """
    return (
        key in _ENVELOPE
        or key in entry.properties
        or key in entry.references
        or key in _SERVER_WRITTEN
        or key in entry.children
        or key in entry.back_references
    )


def _elements_of(prop: Property) -> Field:
    if not prop.wrapper_field:
        raise KeyError(prop.name)
    return _TYPES[prop.type].fields[prop.wrapper_field]


def _property_violation(prop: Property, field: Field, value: object, fault: _Fault) -> Violation:
    place, text = fault
    where = ""
    if prop.base == "compound":
        where = f"{prop.name} value {shown(_MASKS.field(field, value))} "
    return Violation(_path(place), f"Error validating property {where}{text}")


def _attribute_violation(reference: ReferenceField, attr: object, fault: _Fault) -> Violation:
    place, text = fault
    masked = shown(_MASKS.typed(reference.attr_type, attr))
    text = f"Error validating reference {reference.name} value {masked} {text}"
    return Violation(_path(place), text)


def _attribute_violations(
    reference: ReferenceField, attr: object, place: _Place
) -> list[Violation]:
    if not reference.attr_type or _is_absent(attr):
        return []
    faults: list[_Fault] = []
    _compound(reference.attr_type, attr, place, faults.append)
    return [_attribute_violation(reference, attr, fault) for fault in faults]


def _references(reference: ReferenceField, value: object) -> list[Violation]:
    name = reference.name
    if value is None:
        return []
    if not isinstance(value, list):
        masked = shown(_MASKS.reference(reference.attr_type, value))
        text = f"Field {name} must be a list. Received value: {masked}"
        return [Violation(name, text)]
    found: list[Violation] = []
    for index, item in enumerate(cast("list[object]", value)):
        place = ((None, name), index)
        if _is_reference(item):
            found += _attribute_violations(reference, item.get("attr"), (place, "attr"))
        else:
            masked = shown(_MASKS.reference(reference.attr_type, item))
            text = f"Error validating reference {name} value {masked}"
            found.append(Violation(_path(place), text))
    return found


def _is_reference(item: object) -> TypeGuard[dict[str, object]]:
    """Whether an item names its target by a list of names, by uuid text, or by both."""
    if not isinstance(item, dict):
        return False
    mapping = cast("dict[str, object]", item)
    to, uuid = mapping.get("to"), mapping.get("uuid")
    if to is None and uuid is None:
        return False
    names_fit = to is None or (
        isinstance(to, list)
        and bool(cast("list[object]", to))
        and all(isinstance(name, str) for name in cast("list[object]", to))
    )
    return names_fit and (uuid is None or isinstance(uuid, str))


def _value(field: Field, value: object, place: _Place, note: _Note) -> object:
    """The whole value of a field or property in stored form."""
    if not field.is_list:
        return None if value is None or value == [] else _item(field, value, place, note)
    if value is None:
        return None
    if not isinstance(value, list):
        masked = shown(_MASKS.field(field, value))
        note((place, f"Field {field.name} must be a list. Received value: {masked}"))
        return None
    return [
        _item(field, item, (place, index), note)
        for index, item in enumerate(cast("list[object]", value))
        if item is not None
    ]


def _item(field: Field, value: object, place: _Place, note: _Note) -> object:
    """A field's value, or one element of it, in stored form."""
    base = field.base
    if base == "compound":
        return _compound(field.type, value, place, note)
    if base == "string":
        fault = _string_fault(field, value)
    elif base == "boolean":
        fault = "" if isinstance(value, bool) else f"true/false expected instead of {shown(value)}"
    else:
        number = _integer(value)
        fault = _integer_fault(field, value, number)
        value = number
    if fault:
        note((place, f"{field.name}: {fault}"))
        return None
    return value


def _compound(
    type_name: str, value: object, place: _Place, note: _Note
) -> dict[str, object] | None:
    if not isinstance(value, dict):
        masked = shown(_MASKS.typed(type_name, value))
        note((place, f"class {type_name} expects an object instead of {masked}"))
        return None
    fields = _TYPES[type_name].fields
    stored: dict[str, object] = {}
    for key, item in cast("dict[str, object]", value).items():
        field = fields.get(key)
        here = (place, key)
        if field is None:
            note((here, f"class {type_name} does not have field {shown(key)}"))
            continue
        part = _value(field, item, here, note)
        if part is not None:
            stored[key] = part
    return stored


def _integer(value: object) -> int | None:
    """The number behind an integer or its decimal text; a boolean is not a number here."""
    if isinstance(value, int):
        return None if isinstance(value, bool) else value
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return int(value)
    return None


def _integer_fault(field: Field, value: object, number: int | None) -> str:
    if number is None:
        return f"integer value expected instead of {shown(value)}"
    low = _INTEGER_MIN if field.minimum is None else field.minimum
    high = _INTEGER_MAX if field.maximum is None else field.maximum
    return "" if low <= number <= high else f"value must be between {low} and {high}"


def _string_fault(field: Field, value: object) -> str:
    if not isinstance(value, str):
        return f"string value expected instead of {MASK if field.secret else shown(value)}"
    if field.enum and value and value not in field.enum:
        return f"value must be one of {list(field.enum)}"
    if _ILLEGAL.search(value) is not None:
        return "value has illegal xml characters"
    if field.type in _ENFORCED_PATTERNS and not re.fullmatch(field.pattern, value):
        return f"value must match {field.pattern}"
    return ""


def _is_absent(value: object) -> bool:
    return value is None or value == []
