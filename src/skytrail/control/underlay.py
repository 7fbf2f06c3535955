"""Workloads that the underlay routes to: plain IPv4 routes between agents and switches.

```
 agents' routes in the fabric instance --> relay table: told to BGP peers of family inet
 inet routes of BGP peers (relay table) --> fabric instance: told to agents, without tunnel
```
The next hop of a workload's /32 is its host's own address, as the agent said; of a switch's route
what the switch said. Of agents' routes only those in networks that the underlay routes are told. What one peer says is passed on to the others by the relay table alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from skytrail.control.best_path import select_one
from skytrail.control.bgp_config import Speaker
from skytrail.control.bgp_import import NO_DISTINGUISHER
from skytrail.control.bgp_values import community_number
from skytrail.control.config_graph import Change
from skytrail.control.origination import Best, Draft, Table
from skytrail.control.path import (
    FABRIC_INSTANCE,
    VPN_INSTANCE,
    Learned,
    Path,
    PathSlot,
    PeerName,
    Relay,
)
from skytrail.control.relay import RelayEntry, RelayTable
from skytrail.control.route_target import Replicator
from skytrail.control.underlay_ranges import Ranges, matters, ranges
from skytrail.model.graph import ObjectGraph
from skytrail.wire.bgp import Attributes, BgpFamily
from skytrail.wire.bgp.attributes import ORIGIN_IGP
from skytrail.wire.xmpp import Family, NextHop, RouteKey

OWN = PeerName("underlay routes")
"""The source of what this node tells of agents' workloads."""
_TABLE: Table = (FABRIC_INSTANCE, Family.INET)
_NATIVE = ("native",)


class UnderlayRoutes:
    """Both directions. A maker that looks at the fabric instance and makes nothing in it."""

    def __init__(self, replicator: Replicator, relay: RelayTable) -> None:
        self._replicator = replicator
        self._relay = relay
        self._speaker: Speaker | None = None
        self._ranges = Ranges()
        self._told: dict[IPv4Network, Path] = {}
        """What agents offer, whether or not it is told to anybody."""
        self._heard: dict[IPv4Network, PathSlot] = {}
        """Where peers' routes stand in the fabric instance."""
        relay.on_inet = self._hear

    def speaker_changed(self, speaker: Speaker | None) -> None:
        """The name of this node among BGP peers changed; None: it speaks no BGP."""
        if speaker != self._speaker:
            self._speaker = speaker
            for key, path in self._told.items():
                self._tell(key, path)

    def follow(self, changes: Iterable[Change], graph: ObjectGraph) -> None:
        """Take over changed configuration: other addresses may be told to switches."""
        if not matters(changes):
            return
        found = ranges(graph)
        if found != self._ranges:
            self._ranges = found
            for key, path in self._told.items():
                self._tell(key, path)

    @property
    def refused(self) -> list[str]:
        """What hosts published that is not in a network the underlay routes, in order."""
        return [str(key) for key in sorted(self._told) if not self._ranges.covers(key)]

    def instance_changed(self) -> None:
        """The fabric instance appeared, changed or is gone."""
        if FABRIC_INSTANCE not in self._replicator.vrfs:
            self._heard.clear()
            for key in self._told:
                self._relay.remove((BgpFamily.INET, key), OWN)
            self._told.clear()
            return
        for (family, _), entry in list(self._relay.entries.items()):
            if family is BgpFamily.INET:
                self._hear(entry)

    # As a maker.

    @property
    def spec(self) -> object:
        return "underlay"

    @property
    def table(self) -> Table:
        return _TABLE

    @property
    def watched(self) -> tuple[Table, ...]:
        return (_TABLE,)

    @property
    def stands_for(self) -> Collection[RouteKey]:
        return ()

    def touched(self, table: Table, key: RouteKey, best: Best) -> Iterable[RouteKey]:
        """Tell BGP peers of a workload; only agents' routes are news to them."""
        if isinstance(key, IPv4Network):
            ours = (path for path in best(table, key) if path.learned is None)
            found = next(ours, None)
            if found is None:
                self._told.pop(key, None)
                self._relay.remove((BgpFamily.INET, key), OWN)
            else:
                self._told[key] = found
                self._tell(key, found)
        return ()

    def make(self, key: RouteKey, best: Best) -> Iterator[Draft]:
        del key, best
        yield from ()

    def _tell(self, key: IPv4Network, path: Path) -> None:
        speaker, next_hop = self._speaker, path.next_hops[0].address
        is_told = speaker is not None and self._ranges.covers(key)
        if not is_told or speaker is None or not isinstance(next_hop, IPv4Address):
            self._relay.remove((BgpFamily.INET, key), OWN)
            return
        attributes = Attributes(
            origin=ORIGIN_IGP,
            local_preference=path.attributes.local_preference,
            communities=tuple(sorted(map(community_number, path.attributes.communities))),
        )
        told = Path(
            slot=PathSlot(OWN, VPN_INSTANCE, key),
            distinguisher=NO_DISTINGUISHER,
            next_hops=(),
            attributes=path.attributes,
            targets=frozenset(),
            # As if heard from outside: told to everybody, with nothing added for reflection.
            learned=Learned(attributes, is_external=True, router_id=speaker.router_id),
            relay=Relay(BgpFamily.INET, next_hop, key),
        )
        self._relay.put((BgpFamily.INET, key), told)

    def _hear(self, entry: RelayEntry) -> None:
        """A peer's plain route appeared, changed or is gone."""
        vrf, key = self._replicator.vrfs.get(FABRIC_INSTANCE), entry.nlri
        if vrf is None or not isinstance(key, IPv4Network):
            return
        offers = [p for p in entry.paths.values() if p.source != OWN and p.relay is not None]
        best = select_one(offers)
        if best is None or best.relay is None or best.relay.next_hop.version != 4:
            slot = self._heard.pop(key, None)
            if slot is not None:
                vrf.ribs[Family.INET].remove(slot)
            return
        slot = self._heard.setdefault(key, PathSlot(OWN, VPN_INSTANCE, key))
        vrf.put(
            Path(
                slot=slot,
                distinguisher=NO_DISTINGUISHER,
                next_hops=(NextHop(best.relay.next_hop, encapsulations=_NATIVE),),
                attributes=best.attributes,
                targets=frozenset(),
                is_stale=best.is_stale,
                learned=best.learned,
            )
        )
