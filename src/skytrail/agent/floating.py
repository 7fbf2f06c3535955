"""The kernel's choice among floating addresses, over plain rows; ``bpf/include/floating.h``. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from skytrail.agent.lookup import Tables
from skytrail.agent.tables import FloatingRow, InetRouteRow, NextHopKind, VifId

IpAddress = IPv4Address | IPv6Address
_NOT_BY_IT = (NextHopKind.RECEIVE, NextHopKind.BRIDGE)


def by_outside(tables: Tables, vif_id: VifId, address: IpAddress) -> FloatingRow | None:
    """Return the floating or alias address of a port that a packet to ``address`` comes for."""
    return next((row for row in _rows(tables, vif_id) if row.outside == address), None)


def leaves_by(
    tables: Tables,
    vif_id: VifId,
    ends: tuple[IpAddress | None, IpAddress],
    transport: tuple[int, int],
    own: InetRouteRow | None,
) -> FloatingRow | None:
    """Return by which address a new connection leaves; None: by the port's own.

    ``ends``: source and destination; ``transport``: protocol and source port; ``own``: the route of
    the port's own network.
    """
    source, destination = ends
    chosen: FloatingRow | None = None
    best = -1
    if own is not None:
        way = tables.nexthops.get(own.nexthop_id)
        gives_way = way is not None and way.kind is NextHopKind.FABRIC
        best = own.prefix.prefixlen - gives_way
    for row in _rows(tables, vif_id):
        if row.inside != source or not row.is_outward:
            continue
        if row.inside == row.outside:
            return row
        route = tables.route(row.vrf_id, destination)
        if route is None or route.prefix.prefixlen <= best:
            continue
        target = tables.nexthops.get(route.nexthop_id)
        if target is None or target.kind in _NOT_BY_IT:
            continue
        if mapped_port(tables, row, transport, is_inside=True) is None:
            continue
        chosen, best = row, route.prefix.prefixlen
    return chosen


def mapped_port(
    tables: Tables, row: FloatingRow, transport: tuple[int, int], *, is_inside: bool
) -> int | None:
    """Return what a port seen from one side is on the other; None: it is not mapped."""
    protocol, port = transport
    if not row.has_ports:
        return port
    return tables.floating_ports.get((row.vif_id, row.outside, protocol, port, is_inside))


def _rows(tables: Tables, vif_id: VifId) -> Iterator[FloatingRow]:
    places = tables.floatings.get(vif_id, {})
    for place in range(len(places)):
        if place in places:
            yield places[place]
