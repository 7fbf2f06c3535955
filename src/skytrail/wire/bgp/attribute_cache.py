"""Readings of attribute bytes, kept: most UPDATEs of a full table repeat a few sets.

The cache is bounded in bytes of keys. It ages by generations, so that a flood of unique sets costs
the flooder's readings, not the memory of the process, and what is in use survives.
"""

from __future__ import annotations

from skytrail.wire.bgp.attribute_decode import AttributeReading, PeerKind, read_attributes

CACHE_BYTES_MAX = 16 << 20
_ENTRY_BYTES = 600
"""Rough cost of one reading beside its key; without it a flood of tiny sets would count little."""


class AttributeCache:
    """One may serve all peers. Not safe between threads."""

    def __init__(self, bytes_max: int = CACHE_BYTES_MAX) -> None:
        self.hits = 0
        self.misses = 0
        self._half_max = bytes_max // 2
        self._young: dict[tuple[bytes, PeerKind], AttributeReading] = {}
        self._old: dict[tuple[bytes, PeerKind], AttributeReading] = {}
        self._young_bytes = 0

    def read(self, data: bytes, peer: PeerKind) -> AttributeReading:
        """Return what :func:`read_attributes` returns; raises what it raises, uncached."""
        key = (data, peer)
        reading = self._young.get(key)
        if reading is not None:
            self.hits += 1
            return reading
        reading = self._old.get(key)
        if reading is None:
            self.misses += 1
            reading = read_attributes(data, peer)
        else:
            self.hits += 1
        self._keep(key, reading)
        return reading

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def _keep(self, key: tuple[bytes, PeerKind], reading: AttributeReading) -> None:
        self._young_bytes += len(key[0]) + _ENTRY_BYTES
        if self._young_bytes > self._half_max:
            self._old = self._young
            self._young = {}
            self._young_bytes = len(key[0]) + _ENTRY_BYTES
        self._young[key] = reading
