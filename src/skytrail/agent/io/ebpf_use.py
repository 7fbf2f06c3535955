"""What the kernel's maps hold and take."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from skytrail.agent.io.bpf_syscall import BpfMap, map_bytes, object_description
from skytrail.agent.table_use import TableUse

_COUNTED_KINDS = frozenset({1, 5, 9, 11})
"""Hash, per-CPU hash, LRU hash, LPM trie: an entry is there or not."""
_FLOWS = frozenset({"flows4", "flows6"})
_PAIRS = "flow_pairs"
_ALL_INTERFACES = bytes(4)


def table_uses(maps: Mapping[str, BpfMap]) -> Iterator[TableUse]:
    """Tell of every map.

    The two tables of flows, which may be large and change while one counts, share one number of
    pairs, which the programs keep.
    """
    for name, table in sorted(maps.items()):
        yield TableUse(name, _entries(name, table, maps), table.max_entries, map_bytes(table.fd))


def _entries(name: str, table: BpfMap, maps: Mapping[str, BpfMap]) -> int | None:
    if name == _PAIRS:
        raw = maps["interface_flows"].lookup(_ALL_INTERFACES) or bytes(4)
        return int.from_bytes(raw, "little")
    kind: int = struct.unpack_from("=I", object_description(table.fd))[0]
    if kind not in _COUNTED_KINDS or name in _FLOWS:
        return None
    return table.count()
