"""Which flow a connection shares with others, and with which addresses, as ``bpf/include/fold.h`` finds it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_network

from skytrail.agent.tables import FatFlowRow, FoldRow, IpNetwork, VifId
from skytrail.net import IpAddress

Ends = tuple[IpAddress, IpAddress]
"""The interface's side, the far side."""


def fold_of(
    rows: Callable[[int], Iterable[FoldRow]], ends: Ends, port: int
) -> tuple[IpNetwork, IpNetwork] | None:
    """Return the addresses, own side first, whose connections share a flow; None: each has its own.

    ``rows`` gives the rules of a port, by number; 0 has those of every port.
    """
    for asked in (port, 0):
        for row in rows(asked):
            if _is_in(ends[0], row.own) and _is_in(ends[1], row.far):
                return _kept(ends[0], row.own_bits), _kept(ends[1], row.far_bits)
    return None


class Folds:
    """Rules of merged flows by interface."""

    def __init__(self) -> None:
        self._folds: dict[tuple[VifId, int, int], list[FoldRow]] = {}
        self._merged: set[tuple[VifId, int, int]] = set()

    def add(self, row: FoldRow | FatFlowRow) -> None:
        if isinstance(row, FatFlowRow):
            self._merged.add(row.key)
        else:
            listed = self._folds.setdefault((row.vif_id, row.protocol, row.port), [])
            listed.append(row)
            listed.sort(key=lambda each: each.number)

    def steps(
        self, vif_id: VifId, ends: Ends, protocol: int, port: int
    ) -> Iterator[tuple[str, str, str]]:
        """Yield what connections to ``port`` share, as a step for people: stage, question, answer."""
        folded = fold_of(lambda asked: self._folds.get((vif_id, protocol, asked), ()), ends, port)
        question = f"vif {vif_id} protocol {protocol} port {port}"
        if folded is not None:
            own, far = folded
            yield (
                "merged flow",
                question,
                f"counted in one flow of {own} (this side) and {far}; each packet is decided by itself",
            )
        elif {(vif_id, protocol, port), (vif_id, protocol, 0)} & self._merged:
            yield (
                "merged flow",
                question,
                f"one flow for all ports of the opener, {ends[0]} (this side) and {ends[1]}",
            )


def _is_in(address: IpAddress, prefix: IpNetwork | None) -> bool:
    return prefix is None or (address.version == prefix.version and address in prefix)


def _kept(address: IpAddress, bits: int | None) -> IpNetwork:
    kept = address.max_prefixlen if bits is None else bits
    return ip_network(f"{address}/{kept}", strict=False)
