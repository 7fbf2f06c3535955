"""Flows as configured: which are one for many connections, and how long they live. What cannot be read is left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from skytrail.agent.access_list import protocol_of
from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import (
    bounded_of,
    list_of,
    mapping_of,
    number_of,
    prefix_of,
    text_of,
)
from skytrail.agent.tables import (
    FOLDS_COUNT_MAX,
    AgeingRow,
    FatFlowRow,
    FoldRow,
    IpNetwork,
    Row,
    VifId,
)
from skytrail.wire.xmpp import ConfigValue

FatFlow = tuple[int, int]
"""Protocol and port; port 0: every port."""
FAT_FLOWS_OF_PORT = "virtual_machine_interface_fat_flow_protocols"
FAT_FLOWS_OF_NETWORK = "virtual_network_fat_flow_protocols"
_PORT_MAX = 65535
_IDLE_S_MAX = 10_000_000
_WHOLE_BITS = 129
"""Longer than any address: how an address that is kept whole compares."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Connections of a port that are one flow for many addresses; ``own``: the interface's side."""

    place: FatFlow
    own: IpNetwork | None = None
    far: IpNetwork | None = None
    own_bits: int | None = None
    far_bits: int | None = None


@dataclass(frozen=True, slots=True)
class FatFlows:
    """What a ``FatFlowProtocols`` asks for."""

    merged: tuple[FatFlow, ...] = ()
    """One flow for each pair of addresses."""
    folded: tuple[Fold, ...] = ()


NO_FAT_FLOWS = FatFlows()


def read_fat_flows(value: ConfigValue | None) -> FatFlows:
    merged: set[FatFlow] = set()
    folded: set[Fold] = set()
    for entry in list_of(mapping_of(value).get("fat_flow_protocol")):
        given = mapping_of(entry)
        place = _place(given)
        if place is None:
            continue
        fold = _fold(place, given)
        if fold is not None:
            folded.add(fold)
        if fold is None or (fold.own is None and fold.far is None):
            # Also what may not be folded: its addresses are few.
            merged.add(place)
    return FatFlows(tuple(sorted(merged)), tuple(sorted(folded, key=_order)))


def fat_rows(vif_id: VifId, *asked: FatFlows) -> Iterator[Row]:
    """Yield the rows of an interface. Of more folds than a port may have the most exact ones count."""
    for protocol, port in sorted({place for each in asked for place in each.merged}):
        yield FatFlowRow(vif_id, protocol, port)
    folds: defaultdict[FatFlow, list[Fold]] = defaultdict(list)
    for fold in sorted({fold for each in asked for fold in each.folded}, key=_order):
        folds[fold.place].append(fold)
    for place, listed in folds.items():
        for number, fold in enumerate(listed[:FOLDS_COUNT_MAX]):
            yield FoldRow(vif_id, *place, number, fold.own, fold.far, fold.own_bits, fold.far_bits)


def ageing_rows(graph: ConfigGraph) -> tuple[AgeingRow, ...]:
    """Return the times of silence that the global settings name."""
    found: dict[FatFlow, int] = {}
    for node in graph.nodes("global-vrouter-config"):
        listed = mapping_of(node.properties.get("flow_aging_timeout_list"))
        for entry in list_of(listed.get("flow_aging_timeout")):
            given = mapping_of(entry)
            place, idle_s = _place(given), bounded_of(given.get("timeout_in_seconds"), _IDLE_S_MAX)
            if place is not None and idle_s:
                found[place] = idle_s
    return tuple([AgeingRow(*place, idle_s) for place, idle_s in sorted(found.items())])


def _place(given: Mapping[str, ConfigValue]) -> FatFlow | None:
    protocol, readable = protocol_of(text_of(given.get("protocol")))
    port = number_of(given.get("port") or "0")
    if not readable or protocol is None or port is None or not 0 <= port <= _PORT_MAX:
        return None
    return protocol, port


def _fold(place: FatFlow, given: Mapping[str, ConfigValue]) -> Fold | None:
    """Return how the addresses are folded; None: they are not."""
    ignored = text_of(given.get("ignore_address")).strip().lower()
    own, own_bits = _side(given, "source", is_ignored=ignored == "source")
    far, far_bits = _side(given, "destination", is_ignored=ignored == "destination")
    if own_bits is None and far_bits is None:
        return None
    return Fold(place, own, far, own_bits, far_bits)


def _side(
    given: Mapping[str, ConfigValue], name: str, *, is_ignored: bool
) -> tuple[IpNetwork | None, int | None]:
    """Return the prefix that addresses must be in, and how many of their bits count."""
    if is_ignored:
        return None, 0
    prefix = prefix_of(given.get(f"{name}_prefix"))
    if prefix is None:
        return None, None
    asked = number_of(given.get(f"{name}_aggregate_prefix_length"))
    if asked is None or not 0 < asked <= prefix.max_prefixlen:
        return prefix, None
    # No address beyond the prefix shares the flow, so it has no less of it.
    return prefix, max(asked, prefix.prefixlen)


def _order(fold: Fold) -> tuple[FatFlow, int, int, str]:
    """Sort the longest prefixes first, then what folds most."""
    inside = sum(each.prefixlen for each in (fold.own, fold.far) if each is not None)
    kept = sum(_WHOLE_BITS if each is None else each for each in (fold.own_bits, fold.far_bits))
    return fold.place, -inside, kept, f"{fold.own} {fold.far} {fold.own_bits} {fold.far_bits}"
