"""Prefixes that are keys of many tables: the standard library's, with their hash kept.

A network of ``ipaddress`` computes its hash anew each time it is looked up, and compares by parts; a
route's key is looked up some forty times between its stanza and the kernel. It is also slow to make: it
reads many spellings, and makes what ``hosts`` will return. These are networks in every other respect,
equal to plain ones and found under them.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

_V6_BYTES = 16
_V4_BITS, _V6_BITS = 32, 128
_OCTETS = {str(number): number for number in range(256)}
_LENGTHS4 = {str(bits): bits for bits in range(_V4_BITS + 1)}
_MASKS4 = [IPv4Network((0, bits)).netmask for bits in range(_V4_BITS + 1)]
_MASKS6 = [IPv6Network((0, bits)).netmask for bits in range(_V6_BITS + 1)]
_MASK_NUMBERS4 = [int(mask) for mask in _MASKS4]
_MASK_NUMBERS6 = [int(mask) for mask in _MASKS6]


class HashedNetwork4(IPv4Network):
    """An :class:`IPv4Network` that is cheap to make and to look up."""

    def __init__(self, address: object, strict: bool = True) -> None:
        number, bits = _spelled4(address)
        if bits < 0 or (strict and number & _MASK_NUMBERS4[bits] != number):
            # What is spelled differently, and mistakes.
            super().__init__(address, strict)
            number, bits = int(self.network_address), self._prefixlen
        else:
            number &= _MASK_NUMBERS4[bits]
            self.network_address = IPv4Address(number)
            self.netmask, self._prefixlen = _MASKS4[bits], bits
        self._key = (number, bits)
        self._hash = hash(number ^ _MASK_NUMBERS4[bits])

    def hosts(self) -> Iterator[IPv4Address]:
        """As the plain network's, which are made with it and not asked for."""
        if self._prefixlen < _V4_BITS - 1:
            return super().hosts()
        return iter([self.network_address] if self._prefixlen == _V4_BITS else self)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, HashedNetwork4):
            return self._key == other._key
        return super().__eq__(other)


class HashedNetwork6(IPv6Network):
    """An :class:`IPv6Network` that is cheap to make, of bytes, and to look up."""

    def __init__(self, address: object, strict: bool = True) -> None:
        number, bits = _packed(address, _V6_BITS)
        if bits < 0 or (strict and number & _MASK_NUMBERS6[bits] != number):
            super().__init__(address, strict)
            number, bits = int(self.network_address), self._prefixlen
        else:
            number &= _MASK_NUMBERS6[bits]
            self.network_address = IPv6Address(number)
            self.netmask, self._prefixlen = _MASKS6[bits], bits
        self._key = (number, bits)
        self._hash = hash(number ^ _MASK_NUMBERS6[bits])

    def hosts(self) -> Iterator[IPv6Address]:
        """As the plain network's, which are made with it and not asked for."""
        if self._prefixlen < _V6_BITS - 1:
            return super().hosts()
        return iter([self.network_address] if self._prefixlen == _V6_BITS else self)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, HashedNetwork6):
            return self._key == other._key
        return super().__eq__(other)


def _spelled4(address: object) -> tuple[int, int]:
    """Return the number and length of a prefix in its usual spelling; length -1: it is another."""
    if not isinstance(address, str):
        return _packed(address, _V4_BITS)
    text, _, length = address.partition("/")
    octets = text.split(".")
    try:
        a, b, c, d = [_OCTETS[octet] for octet in octets]
        return a << 24 | b << 16 | c << 8 | d, _LENGTHS4[length]
    except (KeyError, ValueError):
        return 0, -1


def _packed(address: object, bits_max: int) -> tuple[int, int]:
    match address:
        case (bytes(packed), int(bits)) if len(packed) * 8 == bits_max and 0 <= bits <= bits_max:
            return int.from_bytes(packed, "big"), bits
        case _:
            return 0, -1


def hashed_network(
    address: str | tuple[bytes, int], *, strict: bool = True
) -> IPv4Network | IPv6Network:
    """As ``ip_network``: ``ValueError`` when it is none."""
    is_v6 = ":" in address if isinstance(address, str) else len(address[0]) == _V6_BYTES
    try:
        return HashedNetwork6(address, strict) if is_v6 else HashedNetwork4(address, strict)
    except ValueError:
        # It words the mistake.
        return ip_network(address, strict)
