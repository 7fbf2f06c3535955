"""UVEs as the REST interface shows them: aggregated over generators, flat or with their types.

How a field of several generators becomes one, by its annotation ``aggtype``:

| aggtype | becomes |
| --- | --- |
| sum, and counter of integers | their sum |
| union (lists) | every element once |
| append (lists) | all elements; structs with a field of aggtype ``listkey`` are added up by it |
| none | each different value with the generators that say so; flat, a value all agree on alone |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

from skytrail.wire.sandesh import Field, Struct, StructMap, Value, plain
from skytrail.wire.sandesh.message import INTEGER_TYPES

Said = Mapping[str, Mapping[str, Mapping[str, Field]]]
"""Struct to generator to fields."""
Shown = Callable[[Field], object]
_CONTAINERS: Final = frozenset({"list", "set"})


def flat(said: Said) -> dict[str, object]:
    """Return structs with plain values."""
    return _aggregated(said, lambda each: plain(each.value), is_flat=True)


def typed(said: Said) -> dict[str, object]:
    """Return structs whose values carry ``@type`` and ``@aggtype``."""
    return _aggregated(said, typed_field, is_flat=False)


def _aggregated(said: Said, shown: Shown, *, is_flat: bool) -> dict[str, object]:
    return {
        struct: {
            name: _one(by_generator, shown, is_flat=is_flat)
            for name, by_generator in _by_field(of_struct).items()
        }
        for struct, of_struct in said.items()
    }


def _by_field(of_struct: Mapping[str, Mapping[str, Field]]) -> dict[str, dict[str, Field]]:
    found: dict[str, dict[str, Field]] = {}
    for generator, fields in of_struct.items():
        for name, each in fields.items():
            found.setdefault(name, {})[generator] = each
    return found


def _one(by_generator: Mapping[str, Field], shown: Shown, *, is_flat: bool) -> object:
    fields = list(by_generator.values())
    rule = fields[0].annotations.get("aggtype", "")
    if _all_sum(fields, rule):
        total = sum(each.value for each in fields if isinstance(each.value, int))
        return shown(Field(fields[0].type, total, "", fields[0].annotations))
    if rule in {"union", "append"} and all(each.type in _CONTAINERS for each in fields):
        items = [item for each in fields for item in cast("list[Value]", each.value)]
        gathered = _union(items) if rule == "union" else _added_up(items)
        first = fields[0]
        return shown(Field(first.type, gathered, first.element_type, first.annotations))
    return _side_by_side(by_generator, shown, is_flat=is_flat)


def _all_sum(fields: Iterable[Field], rule: str) -> bool:
    return rule in {"sum", "counter"} and all(
        each.type in INTEGER_TYPES and isinstance(each.value, int) for each in fields
    )


def _union(items: Iterable[Value]) -> list[Value]:
    # Equality as it shows; structs cannot be hashed, and lists of entities can be long.
    seen: dict[str, Value] = {}
    for each in items:
        seen.setdefault(repr(plain(each)), each)
    return list(seen.values())


def _added_up(items: list[Value]) -> list[Value]:
    first = items[0] if items else None
    if not isinstance(first, Struct):
        return items
    key = next(
        (
            name
            for name, each in first.fields.items()
            if each.annotations.get("aggtype") == "listkey"
        ),
        "",
    )
    if not key:
        return items
    rows: dict[object, Struct] = {}
    for each in items:
        if isinstance(each, Struct) and key in each.fields:
            name = repr(plain(each.fields[key].value))
            rows[name] = _sum_of(rows[name], each, key) if name in rows else each
    return list(rows.values())


def _sum_of(one: Struct, other: Struct, key: str) -> Struct:
    fields = dict(one.fields)
    for name, each in other.fields.items():
        former = fields.get(name)
        if former is None:
            fields[name] = each
        elif (
            name != key
            and each.type in INTEGER_TYPES
            and isinstance(each.value, int)
            and isinstance(former.value, int)
        ):
            fields[name] = Field(each.type, former.value + each.value, "", each.annotations)
    return Struct(one.name, fields)


def _side_by_side(by_generator: Mapping[str, Field], shown: Shown, *, is_flat: bool) -> object:
    rows: dict[str, list[object]] = {}
    for generator, each in by_generator.items():
        row = rows.setdefault(repr(plain(each.value)), [shown(each)])
        row.append(generator)
    if is_flat and len(rows) == 1:
        return next(iter(rows.values()))[0]
    return list(rows.values())


def typed_field(each: Field) -> dict[str, object]:
    """Return a field with its type: ``{"@type": "u64", "@aggtype": "sum", "#text": "7"}``."""
    said: dict[str, object] = {"@type": each.type}
    said |= {f"@{name}": text for name, text in each.annotations.items()}
    value = each.value
    if isinstance(value, Struct):
        said[value.name] = _typed_struct(value)
    elif isinstance(value, list):
        said[each.type] = {
            "@type": each.element_type,
            "@size": str(len(value)),
            **_typed_items(value, each.element_type),
        }
    elif isinstance(value, dict):
        said["map"] = _typed_map(cast("dict[str, Value]", value), each.element_type)
    elif isinstance(value, StructMap):
        said["map"] = _typed_struct_map(value, each.element_type)
    else:
        said["#text"] = _text(value)
    return said


def _typed_struct(struct: Struct) -> dict[str, object]:
    return {name: typed_field(each) for name, each in struct.fields.items()}


def _typed_items(values: list[Value], element_type: str) -> dict[str, object]:
    first = values[0] if values else None
    if isinstance(first, Struct):
        structs = [_typed_struct(each) for each in values if isinstance(each, Struct)]
        return {first.name: structs}
    return {"element": [_element(each, element_type) for each in values]}


def _typed_map(members: Mapping[str, Value], element_type: str) -> dict[str, object]:
    said: dict[str, object] = {"@key": "string", "@value": element_type, "@size": str(len(members))}
    said["element"] = [
        part for key, each in members.items() for part in (key, _element(each, element_type))
    ]
    return said


def _typed_struct_map(members: StructMap, element_type: str) -> dict[str, object]:
    """Return keys by their struct's name and values by theirs, both in one order."""
    keys, values = ([entry[side] for entry in members.entries] for side in (0, 1))
    said = {"@key": "struct", "@value": element_type, "@size": str(len(keys))}
    return {
        **said,
        **_typed_items(list(keys), "struct"),
        **_typed_items(list(values), element_type),
    }


def _element(value: Value, element_type: str) -> object:
    if isinstance(value, Struct):
        return {value.name: _typed_struct(value)}
    if isinstance(value, list | dict | StructMap):
        return typed_field(Field(element_type, value))
    return _text(value)


def _text(value: str | float | bool) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
