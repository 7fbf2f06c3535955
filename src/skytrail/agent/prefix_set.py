"""Prefixes, and which of them contain another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skytrail.agent.tables import IpNetwork


class PrefixSet:
    """Asked often, never changed: a question costs a lookup for each length there is."""

    def __init__(self, prefixes: Iterable[IpNetwork]) -> None:
        self._known = {(p.version, p.prefixlen, int(p.network_address)): p for p in prefixes}
        self._lengths = sorted({(version, length) for version, length, _ in self._known})

    def covering(self, inner: IpNetwork) -> Iterator[IpNetwork]:
        """Yield the prefixes that contain ``inner``, itself included, shortest first."""
        address, bits = int(inner.network_address), inner.max_prefixlen
        for version, length in self._lengths:
            if version == inner.version and length <= inner.prefixlen:
                start = address >> (bits - length) << (bits - length)
                outer = self._known.get((version, length, start))
                if outer is not None:
                    yield outer
