"""From which addresses tunnels may come to this host (ADR 0320). Pure.

```
 control node: every host's and router's address, in BUCKETS_COUNT parts --+
 next hops of routes, members of flood lists ------------------------------+--> TunnelEndRow each
 settings of the host -----------------------------------------------------+
```
The datapath is told to look only once the configuration is known to know hosts: all parts are
there, and this host's own address is in one. Before that, a host whose routes are not here yet
would be taken for a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import list_of, text_of, usable_address_of
from skytrail.agent.ledger import Rank, RowClaims
from skytrail.agent.nexthop import Underlay
from skytrail.agent.tables import TunnelEndRow
from skytrail.net import IpAddress
from skytrail.wire.xmpp import TUNNEL_ENDS, TUNNEL_ENDS_PARTS_COUNT

Parts = Mapping[str, tuple[IpAddress, ...]]
"""Addresses by the name of the part they are in."""


@dataclass(frozen=True, slots=True)
class ToldEnds:
    """What control nodes say."""

    parts: Parts = field(default_factory=dict[str, tuple[IpAddress, ...]])

    def covers(self, address: IpAddress) -> bool:
        """Tell whether everything was told, by somebody who knows this host's own address."""
        return len(self.parts) >= TUNNEL_ENDS_PARTS_COUNT and any(
            address in part for part in self.parts.values()
        )


def told_ends(graph: ConfigGraph) -> ToldEnds:
    """Read what has arrived. O(addresses)."""
    parts: dict[str, tuple[IpAddress, ...]] = {}
    for node in graph.nodes(TUNNEL_ENDS):
        listed = [usable_address_of(text_of(e)) for e in list_of(node.properties.get("address"))]
        parts[node.key.name] = tuple(dict.fromkeys([each for each in listed if each is not None]))
    return ToldEnds(parts)


def are_checked(told: ToldEnds, underlay: Underlay) -> bool:
    """Tell whether the datapath looks where tunnels come from."""
    return not underlay.takes_any_end and told.covers(underlay.address)


def described(told: ToldEnds, underlay: Underlay, ends_count: int) -> str:
    """Say whose tunnels are taken, and why, for people."""
    if underlay.takes_any_end:
        return "anybody, by --tunnels-from"
    if not told.covers(underlay.address):
        return f"anybody: no virtual-router with the address {underlay.address} is known here"
    return f"known ends: {ends_count}"


class TunnelEnds:
    """Claims the row of each address; a set of units of the desired state."""

    def __init__(self, rows: RowClaims) -> None:
        self._rows = rows
        self._told: Parts = {}
        self._remotes: frozenset[IpAddress] = frozenset()

    def update(self, told: ToldEnds, remotes: frozenset[IpAddress], underlay: Underlay) -> None:
        """These are the ends now; parts that are the same objects cost nothing."""
        self._put("further", underlay.further_ends, underlay)
        if told.parts is not self._told:
            for name in self._told.keys() | told.parts.keys():
                self._put(f"told {name}", told.parts.get(name, ()), underlay)
            self._told = told.parts
        for address in remotes - self._remotes:
            self._put(f"next hop {address}", (address,), underlay)
        for address in self._remotes - remotes:
            self._put(f"next hop {address}", (), underlay)
        self._remotes = remotes

    def _put(self, name: str, addresses: tuple[IpAddress, ...], underlay: Underlay) -> None:
        unit = (Rank.UNDERLAY, f"tunnel ends: {name}", None)
        # What comes in by our own address was sent by somebody else.
        kept = [a for a in addresses if underlay.reaches(a) and a != underlay.address]
        self._rows.put(unit, [TunnelEndRow(address) for address in kept])
