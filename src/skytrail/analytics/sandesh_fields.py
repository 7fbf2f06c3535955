"""Fields of what agents that speak Sandesh tell of sessions and flows, checked: ``DecodeError`` names the field. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final

from skytrail.analytics.sessions import TEXT_CHARACTERS_MAX
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import Field, Struct, StructMap

U8: Final = (1 << 8) - 1
U16: Final = (1 << 16) - 1
I64: Final = (1 << 63) - 1
_NO_REASON: Final = frozenset({"", "0", "UNKNOWN"})
"""What flows that were not dropped have as their reason."""

Fields = Mapping[str, Field]


def drop_reason(*flows: Fields) -> str:
    """Return why the first of these flows that was dropped was; "": none was."""
    reasons = [text(flow, "drop_reason") for flow in flows]
    return next((each for each in reasons if each not in _NO_REASON), "")


def text(fields: Fields, name: str) -> str:
    """Return a text; "" where none is told."""
    each = fields.get(name)
    return "" if each is None else word(name, each.value)


def word(name: str, value: object) -> str:
    """Return a value that is a text, or a number from some agents, as reasons of dropping are."""
    said = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(said, str):
        raise DecodeError(f"field {name} is no text")
    if len(said) > TEXT_CHARACTERS_MAX:
        raise DecodeError(f"field {name}: a text of over {TEXT_CHARACTERS_MAX} characters")
    return said


def address(fields: Fields, name: str) -> str:
    """Return an address as everywhere in the store; "" where none is told."""
    said = text(fields, name)
    try:
        return str(ip_address(said)) if said else ""
    except ValueError as error:
        raise DecodeError(f"field {name}: {said[:64]!r} is no address") from error


def number(fields: Fields, name: str, most: int, least: int = 0) -> int:
    """Return a number from ``least`` to ``most``; 0 where none is told."""
    each = fields.get(name)
    if each is None:
        return 0
    if isinstance(each.value, bool) or not isinstance(each.value, int):
        raise DecodeError(f"field {name} is no number")
    if not least <= each.value <= most:
        raise DecodeError(f"field {name}: {each.value} is not from {least} to {most}")
    return each.value


def struct(fields: Fields, name: str) -> Fields:
    """Return the fields of a struct; none where it is not told."""
    each = fields.get(name)
    if each is None:
        return {}
    if not isinstance(each.value, Struct):
        raise DecodeError(f"field {name} is no struct")
    return each.value.fields


def structs(fields: Fields, name: str) -> Iterator[Struct]:
    """Yield the structs of a list, which has to be told."""
    each = fields.get(name)
    values = each.value if each is not None else None
    if not isinstance(values, list):
        raise DecodeError(f"field {name} is no list")
    for value in values:
        if not isinstance(value, Struct):
            raise DecodeError(f"field {name} is no list of structs")
        yield value


def entries(fields: Fields, name: str) -> list[tuple[Struct, Struct]]:
    """Return the entries of a map from structs to structs; none where it is not told."""
    each = fields.get(name)
    if each is None:
        return []
    if not isinstance(each.value, StructMap):
        raise DecodeError(f"field {name} is no map keyed by structs")
    found = [(key, value) for key, value in each.value.entries if isinstance(value, Struct)]
    if len(found) != len(each.value.entries):
        raise DecodeError(f"field {name} is no map of structs")
    return found
