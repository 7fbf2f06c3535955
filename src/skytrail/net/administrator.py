"""The ``administrator:number`` pair route targets and route distinguishers share.

Kind 0 is a 2-byte AS with a 4-byte number, kind 1 an IPv4 address with a 2-byte number and
kind 2 a 4-byte AS with a 2-byte number (RFC 4364 section 4.2, RFC 4360 section 3, RFC 5668).
"""

from __future__ import annotations

from ipaddress import IPv4Address

_TWO_BYTES_MAX = 0xFFFF
_FOUR_BYTES_MAX = 0xFFFF_FFFF
KIND_AS2 = 0
KIND_ADDRESS = 1
KIND_AS4 = 2


def pack_administrator(text: str, *, whole: str) -> tuple[int, bytes]:
    """Return (kind, six bytes) of ``text``; ``ValueError`` quotes ``whole``."""
    head, separator, tail = text.partition(":")
    if not separator or not _is_number(tail):
        raise ValueError(f"{whole!r} needs <AS number or IPv4 address>:<number>")
    number = int(tail)
    if "." in head:
        return KIND_ADDRESS, _address(head, whole).packed + _fixed(number, 2, whole)
    if not _is_number(head):
        raise ValueError(f"{whole!r} needs <AS number or IPv4 address>:<number>")
    asn = int(head)
    if asn <= _TWO_BYTES_MAX:
        return KIND_AS2, asn.to_bytes(2) + _fixed(number, 4, whole)
    return KIND_AS4, _fixed(asn, 4, whole) + _fixed(number, 2, whole)


def format_administrator(kind: int, value: bytes) -> str:
    """Inverse of :func:`pack_administrator` for kinds 0, 1 and 2."""
    if kind == KIND_AS2:
        return f"{int.from_bytes(value[:2])}:{int.from_bytes(value[2:])}"
    head = IPv4Address(value[:4]) if kind == KIND_ADDRESS else int.from_bytes(value[:4])
    return f"{head}:{int.from_bytes(value[4:])}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(_FOUR_BYTES_MAX))


def _address(text: str, whole: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise ValueError(f"{whole!r} holds no IPv4 address: {error}") from error


def _fixed(number: int, width: int, whole: str) -> bytes:
    if number >= 1 << (8 * width):
        raise ValueError(f"{whole!r}: {number} does not fit {width} bytes")
    return number.to_bytes(width)
