"""The way of an overlay flow through switches: what they saw, in the order in which they are connected. Pure.

```
 links that switches tell (PRouterLinkEntry) --> graph --> fewest hops between the hosts' names,
 switches that saw the flow or its tunnel -------------->  of ways of equal length the one that most of these are on
```
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, cast

LINKS: Final = "PRouterLinkEntry"
ROUTER_TABLE: Final = "ObjectPRouter"
NODES_COUNT_MAX: Final = 100_000
"""Of a graph that is walked."""


@dataclass(frozen=True, slots=True)
class Link:
    """One cable, as one end tells it; interfaces by name."""

    source: str
    destination: str
    source_interface: str = ""
    destination_interface: str = ""


@dataclass(slots=True)
class Seen:
    """What one switch told of a flow; interfaces by their index."""

    name: str
    address: str
    packets: float = 0.0
    bytes: float = 0.0
    input_indexes: set[int] = field(default_factory=set[int])
    output_indexes: set[int] = field(default_factory=set[int])
    has_flow: bool = False
    """It saw the flow itself, not only the tunnel that it is in."""


def links_of(structs: Iterable[tuple[str, Mapping[str, object]]]) -> list[Link]:
    """Return the links of switches' structs ``PRouterLinkEntry``, by the switch that tells; others are passed over."""
    found: list[Link] = []
    for name, struct in structs:
        table = struct.get("link_table")
        for each in cast("list[object]", table) if isinstance(table, list) else []:
            if isinstance(each, dict):
                entry = cast("Mapping[str, object]", each)
                remote = str(entry.get("remote_system_name") or "")
                if remote:
                    near, far = (
                        str(entry.get(f"{side}_interface_name") or "")
                        for side in ("local", "remote")
                    )
                    found.append(Link(name, remote, near, far))
    return found


def seen_of(rows: Iterable[Mapping[str, object]]) -> dict[str, Seen]:
    """Return what each switch told, by its name; rows are of ``UFlowData`` by switch and interfaces."""
    found: dict[str, Seen] = {}
    for row in rows:
        name, address = str(row["Source"]), str(row["name"])
        seen = found.setdefault(name, Seen(name, address))
        seen.packets += float(cast("float", row["SUM(flow.packets)"]))
        seen.bytes += float(cast("float", row["SUM(flow.bytes)"]))
        for column, indexes in (
            ("flow.pifindex", seen.input_indexes),
            ("flow.oifindex", seen.output_indexes),
        ):
            index = int(float(str(row.get(column) or 0)))
            if index:
                indexes.add(index)
        seen.has_flow = seen.has_flow or bool(row.get("flow.inner_sip"))
    return found


def way(links: Sequence[Link], source: str, destination: str, seen: Iterable[str]) -> list[str]:
    """Return the names from one host to the other, empty where links do not lead there."""
    evident = set(seen)
    neighbours: dict[str, set[str]] = defaultdict(set)
    for link in links:
        neighbours[link.source].add(link.destination)
        neighbours[link.destination].add(link.source)
    hosts = {source, destination}
    switches = {link.source for link in links} | evident
    best: dict[str, tuple[int, int]] = {source: (0, 0)}
    before: dict[str, str] = {}
    waiting = [(0, 0, source)]
    while waiting:
        hops, unseen, name = heapq.heappop(waiting)
        if name == destination:
            break
        # Other hosts are ends of links, and forward nothing.
        if (hops, unseen) > best[name] or (name != source and name not in switches):
            continue
        for other in sorted(neighbours[name]):
            cost = hops + 1, unseen + (other not in evident and other not in hosts)
            if (other not in best or cost < best[other]) and len(best) < NODES_COUNT_MAX:
                best[other], before[other] = cost, name
                heapq.heappush(waiting, (*cost, other))
    if destination not in before:
        return []
    path = [destination]
    while path[-1] != source:
        path.append(before[path[-1]])
    return path[::-1]


def answer(
    links: Sequence[Link], ends: tuple[str, str], tunnel: tuple[str, str], seen: Mapping[str, Seen]
) -> dict[str, object]:
    """Return nodes, links and path as JSON has them; ``ends`` are the hosts' names, ``tunnel`` their addresses."""
    path = way(links, *ends, seen) if all(ends) and ends[0] != ends[1] else []
    names = list(dict.fromkeys([*path, *seen]))
    nodes: list[dict[str, object]] = [
        {"id": name, "kind": "host" if name in ends else "switch", "seen": _shown(seen.get(name))}
        for name in names
    ]
    for node in nodes:
        if node["id"] in ends:
            node["address"] = tunnel[ends.index(str(node["id"]))]
    if any(each.has_flow for each in seen.values()):
        found_by = "flow"
    elif seen:
        found_by = "tunnel"
    else:
        found_by = "topology" if path else "nothing"
    return {
        "found_by": found_by,
        "tunnel": {"source": tunnel[0], "destination": tunnel[1]},
        "path": path or list(seen),
        "is_ordered": bool(path),
        "nodes": nodes,
        "links": [_joined(links, *pair) for pair in pairwise(path)],
    }


def _shown(seen: Seen | None) -> dict[str, object] | None:
    if seen is None:
        return None
    return {
        "by": "flow" if seen.has_flow else "tunnel",
        "address": seen.address,
        "packets": round(seen.packets),
        "bytes": round(seen.bytes),
        "input_interfaces": sorted(seen.input_indexes),
        "output_interfaces": sorted(seen.output_indexes),
    }


def _joined(links: Sequence[Link], near: str, far: str) -> dict[str, object]:
    """Return the link between two neighbours, as either end tells it."""
    for link in links:
        if (link.source, link.destination) == (near, far):
            ends = link.source_interface, link.destination_interface
            break
        if (link.source, link.destination) == (far, near):
            ends = link.destination_interface, link.source_interface
            break
    else:
        ends = "", ""
    return {"from": near, "to": far, "from_interface": ends[0], "to_interface": ends[1]}
