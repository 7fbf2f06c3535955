"""Prefixes that are keys of many tables: the standard library's, with their hash kept.

A network of ``ipaddress`` computes its hash anew each time it is looked up, and compares by parts; a
route's key is looked up some forty times between its stanza and the kernel. These are networks in
every other respect, equal to plain ones and found under them.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

_V6_BYTES = 16


class HashedNetwork4(IPv4Network):
    """An :class:`IPv4Network` that is cheap to look up."""

    def __init__(self, address: object, strict: bool = True) -> None:
        super().__init__(address, strict)
        self._key = (int(self.network_address), self.prefixlen)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, HashedNetwork4):
            return self._key == other._key
        return super().__eq__(other)


class HashedNetwork6(IPv6Network):
    """An :class:`IPv6Network` that is cheap to look up."""

    def __init__(self, address: object, strict: bool = True) -> None:
        super().__init__(address, strict)
        self._key = (int(self.network_address), self.prefixlen)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, HashedNetwork6):
            return self._key == other._key
        return super().__eq__(other)


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
