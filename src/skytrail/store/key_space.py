"""The keys of the store: one place that knows their form.

    /o/<type>/<uuid>            object body
    /f/<type>/<fq_name>         uuid; absent before the create, so names are unique by compare
    /c/<parent>/<type>/<uuid>   child of a parent
    /b/<to>/<from>              back-reference: object <from> refers to <to>
    /a/<pool>/<number>          owner of an allocated number, 20 digits so that order is numeric
    /s/<scope>/<type>/<uuid>    object shared with a scope

Name parts are escaped, so a part may contain any character without touching another key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

OBJECTS: Final = "/o/"
NAMES: Final = "/f/"
CHILDREN: Final = "/c/"
BACK_REFERENCES: Final = "/b/"
ALLOCATIONS: Final = "/a/"
SHARES: Final = "/s/"

_DIGITS_COUNT: Final = 20
_SURROGATES: Final = (0xD800, 0xE000)
_LAST_CODE_POINT: Final = 0x10FFFF


def object_key(type_name: str, uuid: str) -> str:
    return f"/o/{type_name}/{uuid}"


def objects_prefix(type_name: str) -> str:
    return f"/o/{type_name}/"


def split_object_key(key: str) -> tuple[str, str]:
    """Return (type, uuid) of an object key; ValueError for any other key."""
    parts = key.split("/")
    if len(parts) != 4 or parts[0] or parts[1] != "o":
        raise ValueError(f"{key!r} is not an object key")
    return parts[2], parts[3]


def name_key(type_name: str, fq_name: Sequence[str]) -> str:
    name = ":".join(fq_name)
    if "%" in name or "/" in name or name.count(":") >= len(fq_name):
        name = ":".join(map(_escape, fq_name))
    return f"/f/{type_name}/{name}"


def child_key(parent_uuid: str, type_name: str, uuid: str) -> str:
    return f"/c/{parent_uuid}/{type_name}/{uuid}"


def children_prefix(parent_uuid: str, type_name: str | None = None) -> str:
    return f"/c/{parent_uuid}/" if type_name is None else f"/c/{parent_uuid}/{type_name}/"


def back_reference_key(to_uuid: str, from_uuid: str) -> str:
    return f"/b/{to_uuid}/{from_uuid}"


def back_references_prefix(to_uuid: str) -> str:
    return f"/b/{to_uuid}/"


def share_key(scope: str, type_name: str, uuid: str) -> str:
    return f"/s/{_escape(scope)}/{type_name}/{uuid}"


def allocation_key(pool: str, number: int) -> str:
    """Return the key of one number (0..2^64-1) of a pool; pool names are escaped."""
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{number} is outside 0..2^64-1")
    return f"{allocations_prefix(pool)}{number:0{_DIGITS_COUNT}d}"


def allocations_prefix(pool: str) -> str:
    return f"/a/{_escape(pool)}/"


def split_allocation_key(key: str) -> tuple[str, int]:
    """Return (pool, number) of an allocation key; ValueError for any other key."""
    parts = key.split("/")
    if len(parts) != 4 or parts[0] or parts[1] != "a":
        raise ValueError(f"{key!r} is not an allocation key")
    number = parts[3]
    if len(number) != _DIGITS_COUNT or not (number.isascii() and number.isdigit()):
        raise ValueError(f"{key!r} does not end in {_DIGITS_COUNT} digits")
    return _unescape(parts[2]), int(number)


def prefix_end(prefix: str) -> str | None:
    """Return the first key after all that start with the prefix; None when there is no such.

    Order is by code point, which is also the order of the UTF-8 bytes.
    """
    kept = prefix.rstrip(chr(_LAST_CODE_POINT))
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    if following == _SURROGATES[0]:
        following = _SURROGATES[1]
    return kept[:-1] + chr(following)


def _escape(part: str) -> str:
    return part.replace("%", "%25").replace("/", "%2F").replace(":", "%3A")


def _unescape(part: str) -> str:
    return part.replace("%3A", ":").replace("%2F", "/").replace("%25", "%")
