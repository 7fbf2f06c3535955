"""Longest-prefix lookup over IPv4 and IPv6 prefixes.

One hash table per prefix length in use: a lookup costs one probe per distinct length, longest
first, which in Python beats walking a bit trie and stays within 33 (IPv4) or 129 (IPv6) probes.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Generic, TypeVar

IpPrefix = IPv4Network | IPv6Network
IpAddress = IPv4Address | IPv6Address

T = TypeVar("T")


class PrefixTrie(Generic[T]):
    """A map from prefixes to values; IPv4 and IPv6 live side by side and never match each other."""

    __slots__ = ("_lengths", "_tables")

    def __init__(self) -> None:
        self._tables: dict[tuple[int, int], dict[int, tuple[IpPrefix, T]]] = {}
        self._lengths: dict[int, list[int]] = {4: [], 6: []}

    def __len__(self) -> int:
        return sum(len(table) for table in self._tables.values())

    def insert(self, prefix: IpPrefix, value: T) -> None:
        """Set the value of exactly ``prefix``, replacing an earlier one."""
        slot = (prefix.version, prefix.prefixlen)
        table = self._tables.get(slot)
        if table is None:
            table = self._tables[slot] = {}
            lengths = self._lengths[prefix.version]
            lengths.append(prefix.prefixlen)
            lengths.sort(reverse=True)
        table[int(prefix.network_address)] = (prefix, value)

    def remove(self, prefix: IpPrefix) -> T | None:
        """Delete exactly ``prefix`` and return its value, or None when it was absent."""
        slot = (prefix.version, prefix.prefixlen)
        table = self._tables.get(slot)
        if table is None:
            return None
        entry = table.pop(int(prefix.network_address), None)
        if not table:
            del self._tables[slot]
            self._lengths[prefix.version].remove(prefix.prefixlen)
        return None if entry is None else entry[1]

    def exact(self, prefix: IpPrefix) -> T | None:
        """Return the value of exactly ``prefix``, or None."""
        entry = self._tables.get((prefix.version, prefix.prefixlen), {}).get(
            int(prefix.network_address)
        )
        return None if entry is None else entry[1]

    def longest_match(self, target: IpAddress | IpPrefix) -> tuple[IpPrefix, T] | None:
        """Return the most specific (prefix, value) that covers an address or a whole prefix."""
        if isinstance(target, IPv4Network | IPv6Network):
            number, limit = int(target.network_address), target.prefixlen
        else:
            number, limit = int(target), target.max_prefixlen
        bits = target.max_prefixlen
        for length in self._lengths[target.version]:
            if length > limit:
                continue
            masked = (number >> (bits - length)) << (bits - length)
            entry = self._tables[(target.version, length)].get(masked)
            if entry is not None:
                return entry
        return None

    def items(self) -> Iterator[tuple[IpPrefix, T]]:
        """Yield every (prefix, value): IPv4 before IPv6, short prefixes first, then by address."""
        for slot in sorted(self._tables):
            table = self._tables[slot]
            for number in sorted(table):
                yield table[number]
