"""Typed selection of objects: filters by field, tags, labels, parents; sorting. Pure.

    filter=<field>:<operator>[:<value>]     mtu:gt:1400   display_name:prefix:web   mtu:absent
    filter=<field.member...>:...            virtual_network_properties.forwarding_mode:eq:l3
    filter=<reference>:eq:<uuid or a:b:c>   network_policy_refs:exists
    tags=tier=web,site=paris                every tag named
    labels=team=net                         annotations, key by key

A field that the type does not have, an operator that its values do not know and a value of the
wrong kind are refused with what would be right. Of a list any element may fit. Each test is tried
on each object, so there are at most ``SELECTORS_COUNT_MAX`` of each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from skytrail.api import authorize, documents
from skytrail.api.caller import NOBODY_ASKED, Caller
from skytrail.api.documents import is_document
from skytrail.api.graph import Record, View, find
from skytrail.api.identity import is_uuid
from skytrail.api.problem import did_you_mean, listed
from skytrail.api.refusal import Refused, bad_request, not_found
from skytrail.model.catalog import CATALOG
from skytrail.model.catalog_types import Field, ObjectType
from skytrail.model.secret_values import Masks
from skytrail.model.validate import shown

Test = Callable[[Record], bool]
_ENVELOPE = ("uuid", "fq_name", "name", "parent_uuid", "parent_type")
_WITHOUT_VALUE = ("exists", "absent")
_ORDERED = ("lt", "le", "gt", "ge")
_OPERATORS = {
    "string": ("eq", "ne", "in", "prefix", "contains", *_WITHOUT_VALUE),
    "integer": ("eq", "ne", "in", *_ORDERED, *_WITHOUT_VALUE),
    "boolean": ("eq", "ne", *_WITHOUT_VALUE),
    "compound": _WITHOUT_VALUE,
    "reference": ("eq", "ne", "in", *_WITHOUT_VALUE),
}
SELECTORS_COUNT_MAX = 20
_MASKS = Masks(CATALOG)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of one type a reader wants."""

    tests: tuple[Test, ...] = ()

    def fits(self, record: Record) -> bool:
        return all(test(record) for test in self.tests)


def selection_of(
    view: View,
    resource: ObjectType,
    given: Mapping[str, Sequence[str]],
    caller: Caller = NOBODY_ASKED,
) -> Selection:
    """Return the selection that query parameters (each with all its values) ask for."""
    tests = [_filter(resource, text) for text in _bounded("filter", given.get("filter", ()))]
    tests += map(_tag, _bounded("tags", _pairs(given, "tags")))
    tests += map(_label, _bounded("labels", _pairs(given, "labels")))
    for text in _bounded("parent", given.get("parent", ())):
        tests.append(_parent(view, resource, text, caller))
    return Selection(tuple(tests))


def _pairs(given: Mapping[str, Sequence[str]], name: str) -> Sequence[str]:
    return [pair for text in given.get(name, ()) for pair in text.split(",") if pair]


def _bounded(name: str, selectors: Sequence[str]) -> Iterable[str]:
    """Return each selector once; refuse more of them than one list may cost."""
    distinct = dict.fromkeys(selectors)
    if len(distinct) > SELECTORS_COUNT_MAX:
        raise bad_request(f"{name}: at most {SELECTORS_COUNT_MAX}, not {len(distinct)}")
    return distinct


def _filter(resource: ObjectType, text: str) -> Test:
    path, _, rest = text.partition(":")
    operator, _, value = rest.partition(":")
    if not path or not operator:
        raise bad_request(f"filter {shown(text)!r}: write it as field:operator:value")
    keys = path.split(".")
    base = _base_of(resource, keys, text)
    known = _OPERATORS[base]
    if operator not in known:
        near = did_you_mean(operator, known)
        raise bad_request(f"filter {shown(text)!r}: {base} fields know {listed(known)}.{near}")
    fits = _comparison(base, operator, value, text)
    wants_absent = operator in ("ne", "absent")

    def test(record: Record) -> bool:
        values = list(_values(record, keys))
        return all(map(fits, values)) if wants_absent else any(map(fits, values))

    return test


def _base_of(resource: ObjectType, keys: list[str], text: str) -> str:
    """Return what kind of value is at a path; refuse paths the type does not have."""
    if _MASKS.is_secret(resource.properties, tuple(keys)):
        raise bad_request(f"filter {shown(text)!r}: secrets cannot be selected by")
    first = keys[0]
    if len(keys) == 1 and first in _ENVELOPE:
        return "string"
    if len(keys) == 1 and first in resource.references:
        return "reference"
    fields: dict[str, Field] = {**resource.properties}
    known = (*_ENVELOPE, *resource.references, *fields)
    owner = resource.name
    for place, key in enumerate(keys):
        field = fields.get(key)
        if field is None:
            near = did_you_mean(key, known)
            raise bad_request(f"filter {shown(text)!r}: {owner} has no field {shown(key)!r}.{near}")
        if place == len(keys) - 1:
            return field.base
        if field.base != "compound":
            raise bad_request(f"filter {shown(text)!r}: {key} has no members")
        fields, owner = dict(CATALOG.types[field.type].fields), field.type
        known = tuple(fields)
    raise bad_request(f"filter {shown(text)!r}: no field is named")


def _comparison(base: str, operator: str, value: str, text: str) -> Callable[[object], bool]:
    if operator == "exists":
        return lambda present: present is not None
    if operator == "absent":
        return lambda present: present is None
    if base == "reference":
        wanted = frozenset(value.split(",")) if operator == "in" else frozenset({value})
        if operator == "ne":
            return lambda present: not _refers(present, wanted)
        return lambda present: _refers(present, wanted)
    if operator == "in":
        several = frozenset(_typed(base, each, text) for each in value.split(","))
        return lambda present: isinstance(present, str | int) and present in several
    one = _typed(base, value, text)
    if operator == "eq":
        return lambda present: present == one
    if operator == "ne":
        return lambda present: present != one
    if operator in ("prefix", "contains"):
        return _textual(operator, str(one))
    return _ordered(operator, cast("int", one))


def _textual(operator: str, wanted: str) -> Callable[[object], bool]:
    if operator == "prefix":
        return lambda present: isinstance(present, str) and present.startswith(wanted)
    return lambda present: isinstance(present, str) and wanted in present


def _ordered(operator: str, bound: int) -> Callable[[object], bool]:
    def test(present: object) -> bool:
        if not isinstance(present, int):
            return False
        match operator:
            case "lt":
                return present < bound
            case "le":
                return present <= bound
            case "gt":
                return present > bound
            case _:
                return present >= bound

    return test


def _typed(base: str, value: str, text: str) -> object:
    if base == "integer":
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
            raise bad_request(f"filter {shown(text)!r}: {shown(value)!r} is not a number")
        return int(value)
    if base == "boolean":
        if value not in ("true", "false"):
            raise bad_request(f"filter {shown(text)!r}: true or false, not {shown(value)!r}")
        return value == "true"
    return value


def _refers(present: object, wanted: frozenset[str]) -> bool:
    if not is_document(present):
        return False
    return present.get("uuid") in wanted or ":".join(documents.texts(present, "to")) in wanted


def _values(record: Record, keys: list[str]) -> Iterable[object]:
    """Yield every value at a path, None once when there is none."""
    if keys == ["name"]:
        return [record.name]
    if keys == ["fq_name"]:
        return [":".join(record.fq_name)]
    here: list[object] = [record.body]
    for key in keys:
        found: list[object] = []
        for value in here:
            part = value.get(key) if is_document(value) else None
            found += documents.as_list(part) if isinstance(part, list) else [part]
        here = found
    present = [value for value in here if value is not None]
    return present or [None]


def _tag(pair: str) -> Test:
    if "=" not in pair:
        raise bad_request(f"tags {shown(pair)!r}: write them as type=value")

    def test(record: Record) -> bool:
        return any(
            documents.texts(each, "to")[-1:] == [pair]
            for each in documents.sections(record.body, "tag_refs")
        )

    return test


def _label(pair: str) -> Test:
    key, separator, value = pair.partition("=")

    def test(record: Record) -> bool:
        pairs = documents.sections(documents.section(record.body, "annotations"), "key_value_pair")
        return any(
            each.get("key") == key and (not separator or each.get("value") == value)
            for each in pairs
        )

    return test


def _parent(view: View, resource: ObjectType, text: str, caller: Caller) -> Test:
    if is_uuid(text):
        return lambda record: record.parent_uuid == text
    name = tuple(text.split(":"))
    uuids = {
        record.uuid
        for kind in resource.parent_types
        if (record := find(view, kind, name)) is not None and authorize.knows(view, caller, record)
    }
    if not uuids:
        kinds = " or ".join(resource.parent_types) or "object (it has no parents)"
        raise not_found(f"parent: no {kinds} is named {shown(text)!r}")
    return lambda record: record.parent_uuid in uuids


def sort_key_of(
    resource: ObjectType, text: str
) -> tuple[Callable[[Record], tuple[object, ...]], bool]:
    """Return the key to sort by, and whether downwards; absent values come last."""
    downwards = text.startswith("-")
    keys = text.removeprefix("-").split(".")
    try:
        base = _base_of(resource, keys, text)
    except Refused as refusal:
        raise bad_request(refusal.text.replace("filter", "sort", 1)) from None
    if base not in ("string", "integer", "boolean"):
        raise bad_request(f"sort {shown(text)!r}: only simple fields have an order")

    def key(record: Record) -> tuple[object, ...]:
        value = next(iter(_values(record, keys)))
        return (value is None) != downwards, "" if value is None else value, record.fq_name

    if base == "string":
        return key, downwards
    return (lambda record: _numeric(key(record))), downwards


def _numeric(key: tuple[object, ...]) -> tuple[object, ...]:
    return (key[0], 0 if key[1] == "" else key[1], key[2])
