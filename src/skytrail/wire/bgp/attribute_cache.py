"""Readings of attribute bytes, kept: most UPDATEs of a full table repeat a few sets.

The cache is bounded in bytes of keys. It ages by generations, so that a flood of unique sets costs
the flooder's readings, not the memory of the process, and what is in use survives.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from skytrail.wire.bgp.attribute_decode import AttributeReading, PeerKind, read_attributes
from skytrail.wire.bgp.families import BgpFamily

NextHopHead: TypeAlias = tuple[BgpFamily, IPv4Address | IPv6Address, bool]
"""Family, next hop, and whether it was read where extended next hop is negotiated."""
HEADS_MAX = 65_536
CACHE_BYTES_MAX = 16 << 20
_ENTRY_BYTES = 600
"""Rough cost of one reading beside its key; without it a flood of tiny sets would count little."""


class AttributeCache:
    """One may serve all peers. Not safe between threads."""

    def __init__(self, bytes_max: int = CACHE_BYTES_MAX) -> None:
        self.hits = 0
        self.misses = 0
        self.heads: dict[bytes, NextHopHead] = {}
        """MP_REACH_NLRI up to its routes: there are as many as next hops."""
        self._half_max = bytes_max // 2
        self._young: dict[PeerKind, dict[bytes, AttributeReading]] = _empty()
        self._old: dict[PeerKind, dict[bytes, AttributeReading]] = _empty()
        self._young_bytes = 0

    def read(self, data: bytes, peer: PeerKind) -> AttributeReading:
        """Return what :func:`read_attributes` returns; raises what it raises, uncached."""
        reading = self.known(data, peer)
        if reading is None:
            self.misses += 1
            reading = read_attributes(data, peer)
            self._keep(data, peer, reading)
        return reading

    def known(self, data: bytes, peer: PeerKind) -> AttributeReading | None:
        """Return a reading made before, if it is still here."""
        reading = self._young[peer].get(data)
        if reading is None:
            reading = self._old[peer].get(data)
            if reading is None:
                return None
            self._keep(data, peer, reading)
        self.hits += 1
        return reading

    def keep_head(self, data: bytes, head: NextHopHead) -> None:
        """Remember what the start of an MP_REACH_NLRI meant."""
        if len(self.heads) >= HEADS_MAX:
            self.heads.clear()
        self.heads[data] = head

    def __len__(self) -> int:
        return sum(len(self._young[peer].keys() | self._old[peer].keys()) for peer in self._young)

    def _keep(self, data: bytes, peer: PeerKind, reading: AttributeReading) -> None:
        self._young_bytes += len(data) + _ENTRY_BYTES
        if self._young_bytes > self._half_max:
            self._old = self._young
            self._young = _empty()
            self._young_bytes = len(data) + _ENTRY_BYTES
        self._young[peer][data] = reading


def _empty() -> dict[PeerKind, dict[bytes, AttributeReading]]:
    return {PeerKind(four, internal): {} for four in (False, True) for internal in (False, True)}
