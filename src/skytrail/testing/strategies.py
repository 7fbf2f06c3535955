"""Hypothesis strategies derived from the catalog: every valid object of the model can come up.

Values are wire mappings (JSON builtins) without nulls and empty lists, so that they survive a
round trip unchanged. Objects are sparse: a few properties and references at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import cast
from uuid import UUID

from hypothesis import strategies as st

from skytrail.model.catalog import CATALOG, Field, Property, ReferenceField
from skytrail.model.objects import ConfigObject, decode_object

_FIELDS_COUNT_MAX = 4
_ITEMS_COUNT_MAX = 3
_INTEGERS = st.integers(min_value=-(2**63), max_value=2**64 - 1)
# Any text that JSON and UTF-8 can carry: no lone surrogates.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# What the model accepts: text that XML can carry too.
XML_TEXTS = st.text(
    st.characters(
        exclude_categories=["Cs"],
        exclude_characters=[*map(chr, {*range(32)} - {9, 10, 13}), "\ufffe", "\uffff"],
    ),
    max_size=12,
)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=8)
UUIDS = st.integers(0, 2**128 - 1).map(lambda number: str(UUID(int=number)))
TYPE_NAMES = st.sampled_from(sorted(CATALOG.objects))
JSON_VALUES: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | TEXTS
    | st.text("-0123456789", max_size=21),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def scalars(field: Field) -> st.SearchStrategy[object]:
    """Valid values of a field whose base is not compound."""
    match field.base:
        case "integer":
            if field.minimum is None or field.maximum is None:
                return _INTEGERS
            return st.integers(field.minimum, field.maximum)
        case "boolean":
            return st.booleans()
        case _:
            if field.enum:
                return st.sampled_from(field.enum)
            # The one pattern that the server enforces.
            return st.just("left") if field.type == "ServiceInterfaceType" else XML_TEXTS


@cache
def compounds(type_name: str) -> st.SearchStrategy[dict[str, object]]:
    """Valid sparse values of a complex type."""
    fields = CATALOG.types[type_name].fields
    return _sparse({name: lambda field=field: _field(field) for name, field in fields.items()})


def properties(entry: Property) -> st.SearchStrategy[object]:
    """Valid values of a whole property, wrapper included."""
    return (
        cast("st.SearchStrategy[object]", compounds(entry.type))
        if entry.is_compound
        else (scalars(entry))
    )


@st.composite
def wire_objects(
    draw: st.DrawFn, type_names: st.SearchStrategy[str] = TYPE_NAMES
) -> tuple[str, dict[str, object]]:
    """A type name and a valid wire mapping of that type; references go anywhere."""
    type_name = draw(type_names)
    entry = CATALOG.objects[type_name]
    wire: dict[str, object] = {
        "uuid": draw(UUIDS),
        "fq_name": draw(st.lists(NAMES, min_size=1, max_size=4)),
    }
    if entry.parent_types:
        wire["parent_type"] = draw(st.sampled_from(entry.parent_types))
        wire["parent_uuid"] = draw(UUIDS)
    fields: dict[str, Callable[[], st.SearchStrategy[object]]] = {
        name: lambda item=item: properties(item) for name, item in entry.properties.items()
    }
    fields.update(
        {
            name: lambda item=item: cast("st.SearchStrategy[object]", references(item))
            for name, item in entry.references.items()
        }
    )
    return type_name, {**wire, **draw(_sparse(fields))}


def config_objects(
    type_names: st.SearchStrategy[str] = TYPE_NAMES,
) -> st.SearchStrategy[ConfigObject]:
    """Typed valid objects."""
    return wire_objects(type_names).map(lambda pair: decode_object(*pair))


def references(entry: ReferenceField) -> st.SearchStrategy[list[dict[str, object]]]:
    """Non-empty reference lists, with the attribute when the reference kind has one."""
    required = {"to": st.lists(NAMES, min_size=1, max_size=3), "uuid": UUIDS}
    optional: Mapping[str, st.SearchStrategy[object]] = (
        {"attr": cast("st.SearchStrategy[object]", compounds(entry.attr_type))}
        if entry.attr_type
        else {}
    )
    one = st.fixed_dictionaries(required, optional=dict(optional))
    return cast(
        "st.SearchStrategy[list[dict[str, object]]]",
        st.lists(one, min_size=1, max_size=_ITEMS_COUNT_MAX),
    )


def _field(field: Field) -> st.SearchStrategy[object]:
    one = (
        cast("st.SearchStrategy[object]", compounds(field.type))
        if field.is_compound
        else scalars(field)
    )
    if not field.is_list:
        return one
    items = st.lists(one, min_size=1, max_size=_ITEMS_COUNT_MAX)
    return cast("st.SearchStrategy[object]", items)


@st.composite
def _sparse(
    draw: st.DrawFn, fields: Mapping[str, Callable[[], st.SearchStrategy[object]]]
) -> dict[str, object]:
    """A mapping with some of the fields; strategies are made only for those chosen."""
    if not fields:
        return {}
    names = st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=_FIELDS_COUNT_MAX)
    return {name: draw(fields[name]()) for name in draw(names)}
