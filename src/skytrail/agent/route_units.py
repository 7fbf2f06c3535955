"""The units of learnt routes, and of addresses that several ports here share. Pure."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network
from itertools import chain

from skytrail.agent.fib import LearntRoute
from skytrail.agent.identity import NO_IDENTITY
from skytrail.agent.label import NumbersExhausted
from skytrail.agent.ledger import Rank, leave
from skytrail.agent.listeners import is_of_group
from skytrail.agent.outcome import RouteSource
from skytrail.agent.port_rows import (
    ENCAPSULATIONS_UNSAID,
    FABRIC_INSTANCE,
    NATIVE,
    PortPlan,
    is_mpls_label,
    led_back,
    omitted_by,
    preferred,
    shared_route,
)
from skytrail.agent.route_order import enet_order, place_order
from skytrail.agent.share import share_of
from skytrail.agent.tables import (
    BridgeRow,
    Encapsulation,
    InetRouteRow,
    IpNetwork,
    NextHopId,
    Row,
    VrfId,
)
from skytrail.agent.world import World
from skytrail.net import BROADCAST_MAC, GATEWAY_MAC, Mac
from skytrail.wire.xmpp import EnetKey, Family, NextHop, RouteKey


class RouteUnits:
    """Claims the rows of addresses and MACs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._learnt_version = world.inputs.learnt.version

    def settle(self) -> None:
        """Compute everything again that changed."""
        for place in sorted(self._world.dirty_places, key=place_order):
            self._shared_address(*place)
            self._route(*place)
        for vrf, mac in sorted(self._world.dirty_macs):
            self._mac(vrf, mac)

    def take_changes(self) -> None:
        """Routes that changed in VRFs of ours must be computed again."""
        learnt = self._world.inputs.learnt
        changes = learnt.changes_since(self._learnt_version)
        if changes is None:
            self._take_all()
        for (vrf, family), key in changes or ():
            if vrf in self._world.entered:
                self._learnt_changed(vrf, family, key)
            if vrf == FABRIC_INSTANCE and isinstance(key, IPv4Network):
                self._world.dirty_places.update((each, key) for each in self._world.underlay_vrfs)
        self._learnt_version = learnt.version

    def _take_all(self) -> None:
        """There were too many changes to tell which: every route, gone or there, is looked at."""
        entered = sorted(self._world.entered)
        self._forget(entered)
        for vrf in entered:
            self.enter(vrf)
        self._world.dirty_floods.update(entered)
        for learnt in self._world.inputs.learnt.best(FABRIC_INSTANCE, Family.INET):
            if isinstance(learnt.key, IPv4Network):
                places = [(each, learnt.key) for each in self._world.underlay_vrfs]
                self._world.dirty_places.update(places)

    def enter(self, vrf: str) -> None:
        """The first port of a VRF, or led to it, is here: its learnt routes count now."""
        self._world.entered.add(vrf)
        for family in Family:
            for learnt in self._world.inputs.learnt.best(vrf, family):
                self._learnt_changed(vrf, family, learnt.key)

    def leave(self, vrf: str) -> None:
        """Nobody here is in a VRF, or led to it, any more: forget its learnt routes."""
        self._forget([vrf])

    def _forget(self, vrfs: Collection[str]) -> None:
        """O(learnt routes), once for all of them."""
        world = self._world
        world.entered.difference_update(vrfs)
        for vrf in vrfs:
            world.listeners.leave(vrf)
        for slot in [slot for slot in world.enet if slot[0] in vrfs]:
            for key in world.enet.pop(slot):
                if key.mac != BROADCAST_MAC:
                    self._stitch(slot[0], key, present=False)
        # Routes that lead nowhere have no row to explain, but are known to be looked at.
        nowhere = [world.uses.users("nexthop", n) for n in world.nexthops.nowhere()]
        for rank, name, key in [*world.explained.values, *chain.from_iterable(nowhere)]:
            if name not in vrfs:
                continue
            if rank == Rank.ROUTE and isinstance(key, IPv4Network | IPv6Network):
                world.dirty_places.add((name, key))
            elif rank == Rank.MAC and isinstance(key, Mac):
                world.dirty_macs.add((name, key))

    def _shared_address(self, vrf: str, prefix: IpNetwork) -> None:
        """An address of one port has its row already; shared by several, it is load-shared."""
        unit = (Rank.SHARED, vrf, prefix)
        offered = self._world.offers.get((vrf, prefix))
        if offered is None and not self._world.explained.is_claimed(unit):
            return  # Nobody here has it, or had it: it is somebody else's, as most are.
        offers = [plan for _, plan in sorted(offered.items())] if offered else []
        rows: list[Row] = []
        self._world.published.release(unit, (vrf, prefix))
        if len(offers) > 1 and not self._world.is_own_address(vrf, prefix):
            used = preferred(offers, (vrf, prefix))
            first, nexthop = used[0], used[0].numbers.layer3
            with self._world.shortage.noted(unit):
                if len(used) > 1:
                    shares = {(p.numbers.layer3, 0): p.share for p in used}
                    nexthop = self._world.nexthops.ecmp(shares, omitted_by(used))
            vrf_id, identity = first.places[vrf, prefix]
            self._world.published.claim(unit, (vrf, prefix), shared_route(vrf, prefix, used))
            mac = first.mac_of((vrf, prefix))
            rows.append(InetRouteRow(vrf_id, prefix, nexthop, 0, identity, mac))
        self._world.rows.put(unit, rows)
        ifnames = tuple(plan.active.plugged.ifname for plan in offers)
        self._world.explain(unit, [RouteSource(vrf, prefix, "local", ifnames)] if offers else ())
        self._world.uses.keep(unit)

    def _learnt_changed(self, vrf: str, family: Family, key: RouteKey) -> None:
        if not isinstance(key, EnetKey):
            self._world.dirty_places.add((vrf, key))
            return
        slot, learnt = (vrf, key.mac), self._world.inputs.learnt.winner(vrf, family, key)
        if is_of_group(key):
            flags = None if learnt is None else learnt.multicast_flags
            self._world.listeners.put(vrf, key, flags)
            self._world.dirty_floods.add(vrf)
            return
        if learnt is None:
            leave(self._world.enet, slot, key)
        else:
            self._world.enet.setdefault(slot, {})[key] = learnt
        if key.mac == BROADCAST_MAC:
            # Its address is the vRouter's that wants copies.
            self._world.dirty_floods.add(vrf)
            return
        self._stitch(vrf, key, present=learnt is not None)
        self._world.dirty_macs.add(slot)

    def _stitch(self, vrf: str, key: EnetKey, *, present: bool) -> None:
        """BGP carries an address's MAC in its layer 2 route alone: the other one follows."""
        if key.address is None:
            return
        place = (vrf, key.address)
        if present:
            self._world.macs_of.setdefault(place, {})[key.mac] = None
        else:
            leave(self._world.macs_of, place, key.mac)
        self._world.dirty_places.add(place)

    def _route(self, vrf: str, prefix: IpNetwork) -> None:
        unit = (Rank.ROUTE, vrf, prefix)
        family = Family.INET if prefix.version == 4 else Family.INET6
        learnt = None
        if vrf in self._world.entered:
            learnt = self._world.inputs.learnt.winner(vrf, family, prefix)
        if vrf == FABRIC_INSTANCE and prefix in self._world.underlay_offers:
            learnt = None
        elif (
            learnt is None
            and vrf in self._world.underlay_vrfs
            and (vrf, prefix) not in self._world.offers
            and isinstance(prefix, IPv4Network)  # IPv6 of such networks has tunnels.
        ):
            learnt = self._world.inputs.learnt.winner(FABRIC_INSTANCE, family, prefix)
        row: Row | None = None
        try:
            row = self._learnt_inet(vrf, prefix, learnt) if learnt is not None else None
            self._world.shortage.settle(unit)
        except NumbersExhausted as why:
            self._world.shortage.note(unit, why)
            row = self._nowhere(vrf, prefix)
        own = (self._world.inputs.underlay.address, self._world.own_labels)
        sources = led_back((vrf, prefix), learnt, own) if learnt is not None and row else ()
        self._world.rows.put(unit, () if row is None else (row, *sources))
        self._world.explain(unit, [RouteSource(vrf, prefix, learnt, ())] if learnt and row else ())
        self._world.uses.keep(unit)

    def _nowhere(self, vrf: str, prefix: IpNetwork) -> Row | None:
        """Return the row of a route that lacks a number: a shorter one must not take its place."""
        vrf_id = self._world.numbers.vrf.find(vrf)
        if vrf_id is None:
            return None
        try:
            discard = self._world.nexthops.discard()
        except NumbersExhausted:
            return None
        return InetRouteRow(VrfId(vrf_id), prefix, discard, 0, NO_IDENTITY)

    def _learnt_inet(self, vrf: str, prefix: IpNetwork, learnt: LearntRoute) -> Row | None:
        if not self._world.mode(vrf).routes:
            return None
        if self._world.is_own_address(vrf, prefix):
            return None  # Nobody may take over an address of the vRouter.
        offers = self._world.offers.get((vrf, prefix), {})
        place = (vrf, prefix)
        local = preferred((plan for _, plan in sorted(offers.items())), place) if offers else []
        if local:
            rank = (learnt.local_preference, learnt.sequence_number)
            own = max((plan.preference_of(place), plan.sequence_of(prefix)) for plan in local)
            if rank < own:
                return None
            if rank > own:
                local = []  # Ours stand by for somebody else's, or have moved there.
        native = vrf == FABRIC_INSTANCE or vrf in self._world.underlay_vrfs
        targets = [(hop, self._target(hop, native=native)) for hop in learnt.next_hops]
        usable = [(hop, target) for hop, target in targets if target is not None]
        if not usable:
            return None
        identity = self._world.identities.of(
            tuple([hop.virtual_network for hop, _ in usable if hop.virtual_network]),
            learnt.security_groups,
            tuple([tag for hop, _ in usable for tag in hop.tags]),
        )
        if local or len(usable) > 1:
            nexthop, label = self._shared(learnt, local, usable)
        else:
            nexthop, label = usable[0][1]
        mac = next((hop.mac for hop, _ in usable if hop.mac), None)
        if mac is None and prefix.prefixlen == prefix.max_prefixlen:
            # Whom nobody knows a MAC of is reached through the gateway.
            mac = min(self._world.macs_of.get((vrf, prefix), ()), default=GATEWAY_MAC)
        vrf_id = VrfId(self._world.number("vrf", vrf))
        return InetRouteRow(vrf_id, prefix, nexthop, label, identity, mac)

    def _shared(
        self,
        learnt: LearntRoute,
        local: list[PortPlan],
        usable: list[tuple[NextHop, tuple[NextHopId, int]]],
    ) -> tuple[NextHopId, int]:
        """Return the next hop of a route with several targets, here and elsewhere."""
        shares = {target: share_of(hop.address, hop.label) for hop, target in usable}
        if local:
            shares = {(plan.numbers.layer3, 0): plan.share for plan in local} | shares
        members = list(shares)
        # Do not share load with a tunnel that leads nowhere yet, unless there is nothing better.
        members = [m for m in members if self._world.nexthops.is_resolved(m[0])] or members
        if len(members) == 1:
            return members[0]
        omitted = learnt.omitted | omitted_by(local)
        return self._world.nexthops.ecmp({m: shares[m] for m in members}, omitted), 0

    def _mac(self, vrf: str, mac: Mac) -> None:
        unit = (Rank.MAC, vrf, mac)
        offers = self._world.enet.get((vrf, mac), {}).values()
        learnt = max(offers, key=enet_order, default=None)
        row: Row | None = None
        try:
            row = self._learnt_bridge(vrf, mac, learnt) if learnt is not None else None
            self._world.shortage.settle(unit)
        except NumbersExhausted as why:
            self._world.shortage.note(unit, why)
        self._world.rows.put(unit, () if row is None else (row,))
        self._world.explain(
            unit, [RouteSource(vrf, learnt.key, learnt, ())] if learnt and row else ()
        )
        self._world.uses.keep(unit)

    def _learnt_bridge(self, vrf: str, mac: Mac, learnt: LearntRoute) -> Row | None:
        if not self._world.mode(vrf).bridges:
            return None
        here = self._world.own_macs.get((vrf, mac))
        numbers = [self._world.plans[uuid].sequence for uuid in here or ()]
        numbers += self._world.learnt_macs.get((vrf, mac), {}).values()
        if numbers and learnt.sequence_number <= max(numbers):
            return None
        for hop in learnt.next_hops:
            target = self._target(hop, layer2=True)
            if target is not None:
                networks = (hop.virtual_network,) if hop.virtual_network else ()
                identity = self._world.identities.of(networks, learnt.security_groups, hop.tags)
                vrf_id = VrfId(self._world.number("vrf", vrf))
                return BridgeRow(vrf_id, mac, target[0], target[1], identity)
        return None

    def layer2_target(self, hop: NextHop) -> tuple[NextHopId, int] | None:
        """Return where a copy of what is for everybody goes; None: it cannot."""
        unit = (Rank.FLOOD, "", hop.address)
        try:
            target = self._target(hop, layer2=True)
        except NumbersExhausted as why:
            self._world.shortage.note(unit, why)
            return None
        self._world.shortage.settle(unit)
        return target

    def _target(
        self, hop: NextHop, *, layer2: bool = False, native: bool = False
    ) -> tuple[NextHopId, int] | None:
        """Return (next hop, label) for an offer, or None when it cannot be used.

        ``native``: no tunnel is needed where the offer says so.
        """
        address = hop.address
        if not self._world.nexthops.reaches(address):
            return None
        if address == self._world.inputs.underlay.address:
            # Our own workload, imported from another instance.
            self._world.uses.note("own label", str(hop.label))
            own = self._world.own_labels.get(hop.label)
            return own and ((own.numbers.layer2 if layer2 else own.numbers.layer3), 0)
        offered = hop.encapsulations or ENCAPSULATIONS_UNSAID
        if native and NATIVE in offered and address.version == 4:
            return self._world.nexthops.tunnel(address, Encapsulation.NATIVE, layer2=False), 0
        for kind, text in self._world.encapsulations:
            if text not in offered:
                continue
            if kind is Encapsulation.VXLAN:
                # VXLAN carries frames: routed packets need the far end's MAC to be put in.
                label = hop.vni or (hop.label if layer2 else 0)
                if not label or (not layer2 and hop.mac is None):
                    continue
            else:
                label = hop.label
                if not is_mpls_label(label):
                    continue
            return self._world.nexthops.tunnel(address, kind, layer2=layer2), label
        return None
