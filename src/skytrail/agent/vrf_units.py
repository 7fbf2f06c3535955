"""The units of VRFs: the vRouter's own addresses, ways into a VRF, and copies. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Network, ip_network

from skytrail.agent.fabric import Outlet, routes_out
from skytrail.agent.flood import (
    broadcast_addresses,
    copies_hop,
    inclusive_routes,
    own_addresses,
    tree_join,
)
from skytrail.agent.flood_units import Floods, Surroundings, is_asked
from skytrail.agent.health import segment
from skytrail.agent.ledger import Rank, Unit
from skytrail.agent.listeners import Announcement, Herald, told_of
from skytrail.agent.membership import Groups
from skytrail.agent.network_config import VirtualNetwork
from skytrail.agent.outcome import RouteSource
from skytrail.agent.port_rows import FABRIC_INSTANCE, PortPlan, receive_rows
from skytrail.agent.route_units import RouteUnits
from skytrail.agent.tables import IdentityId, InetRouteRow, IpNetwork, LabelRow, Row, VniRow, VrfId
from skytrail.agent.world import World
from skytrail.net import BROADCAST_MAC
from skytrail.wire.xmpp import BROADCAST_TREE, Family, TreeBranch


class VrfUnits:
    """Claims what VRFs want beside their ports and routes."""

    def __init__(self, world: World, routes: RouteUnits) -> None:
        self._world = world
        self._routes = routes
        self._floods = Floods(world.nexthops, routes.layer2_target, world.rows, world.uses)
        self._herald = Herald(world.published)
        self._branches_version = world.inputs.learnt.branches.version

    def compute(self, vrf: str) -> None:
        """Claim the vRouter's own addresses, and the VNI that leads into the VRF."""
        unit = (Rank.SERVICE, vrf, None)
        members = self._world.members.get(vrf)
        self._mode(vrf, members)
        addresses: set[IpNetwork] = set()
        rows: list[Row] = []
        if members:
            with self._world.shortage.noted(unit):
                addresses, rows = self._service(vrf, members)
        else:
            self._world.shortage.settle(unit)
            if any(self._is_tagged(each, vrf) for each in self._world.guests.get(vrf, ())):
                # What comes out of a transparent service for an end of its health check.
                addresses.update(segment.ENDS)
                vrf_id = VrfId(self._world.number("vrf", vrf))
                rows += receive_rows(vrf_id, self._world.nexthops.receive(), addresses)
            self._world.published.release(unit, (vrf, BROADCAST_TREE))
            for network in list(self._world.visited.get(vrf, {}).values())[:1]:
                # Nobody here is in it, but some have addresses of it.
                bridge = self._world.nexthops.bridge(vrf, VrfId(self._world.number("vrf", vrf)))
                rows += [VniRow(network.vni, bridge)] if network.vni else []
        for prefix in addresses ^ self._world.own_addresses.pop(vrf, set()):
            self._world.dirty_places.add((vrf, prefix))
        if addresses:
            self._world.own_addresses[vrf] = addresses
        self._world.rows.put(unit, rows)
        ordered = sorted(addresses, key=lambda a: (a.version, int(a.network_address)))
        self._world.explain(unit, [RouteSource(vrf, a, "vrouter", ("receive",)) for a in ordered])
        self._world.uses.keep(unit)
        is_read = bool(members or self._world.guests.get(vrf))
        if is_read != (vrf in self._world.entered):
            self._routes.enter(vrf) if is_read else self._routes.leave(vrf)
        if vrf == FABRIC_INSTANCE:
            self._world.underlay_interface()
        seen = {**self._world.visited.get(vrf, {}), **(members or {})}
        is_underlay = any(network.is_underlay for network in seen.values())
        if is_underlay != (vrf in self._world.underlay_vrfs):
            self._world.underlay_vrfs ^= {vrf}
            for instance in (vrf, FABRIC_INSTANCE):
                learnt = self._world.inputs.learnt.best(instance, Family.INET)
                keys = [each.key for each in learnt if isinstance(each.key, IPv4Network)]
                self._world.dirty_places.update((vrf, key) for key in keys)

    def _service(
        self, vrf: str, members: Mapping[str, VirtualNetwork]
    ) -> tuple[set[IpNetwork], list[Row]]:
        """Return the vRouter's own addresses in a VRF with members, and what leads to it and them."""
        unit, network = (Rank.SERVICE, vrf, None), members[max(members)]
        vrf_id = VrfId(self._world.number("vrf", vrf))
        bridge = self._world.nexthops.bridge(vrf, vrf_id)
        addresses: set[IpNetwork] = set()
        rows: list[Row] = []
        if network.forwarding.routes:
            addresses = own_addresses(network)
            for uuid in members:
                # Where answers to health checks come back to.
                port = self._world.plans[uuid].active.port
                addresses.update(map(ip_network, port.check_addresses))
            rows += receive_rows(vrf_id, self._world.nexthops.receive(), addresses)
            rows += [
                InetRouteRow(vrf_id, a, bridge, 0, IdentityId(0))
                for a in (broadcast_addresses(network) if network.forwarding.bridges else ())
                if (vrf, a) not in self._world.offers and a not in addresses
            ]
            outlet = self._outlet(vrf)
            rows += routes_out(network, self._world.fabric, vrf_id, self._world.in_use, outlet)
        if network.vni:
            rows.append(VniRow(network.vni, bridge))
        rows.append(LabelRow(self._world.number("label", f"bridge:{vrf}"), bridge))
        if network.forwarding.bridges:
            rows += self._relay(vrf, network, unit)
        else:
            self._world.published.release(unit, (vrf, BROADCAST_TREE))
        return addresses, rows

    def _is_tagged(self, uuid: str, vrf: str) -> bool:
        plan = self._world.plans[uuid]
        return plan.vrf == vrf and plan.active.port.tag is not None

    def _outlet(self, vrf: str) -> Outlet | None:
        """Return by which address workloads of a VRF leave; of several always the same one."""
        found = self._world.outlets.get(vrf)
        plan = found[min(found)] if found else None
        told = plan.active.port.source_nat if plan is not None else None
        if plan is None or told is None:
            return None
        uuid, vif_id = plan.active.port.uuid, plan.numbers.vif_id
        return Outlet(self._world.nexthops.source_nat(uuid, vif_id), told.inside)

    def _mode(self, vrf: str, members: Mapping[str, VirtualNetwork] | None) -> None:
        """Learnt routes of a VRF count by how it forwards."""
        before = self._world.mode(vrf)
        if members:
            self._world.modes[vrf] = members[max(members)].forwarding
        else:
            self._world.modes.pop(vrf, None)
        if self._world.mode(vrf) is not before and vrf in self._world.entered:
            self._routes.leave(vrf)

    def take_branches(self) -> None:
        """VRFs whose trees changed must be computed again."""
        branches = self._world.inputs.learnt.branches
        changed = branches.changes_since(self._branches_version)
        self._world.dirty_vrfs.update(vrf for vrf in changed if vrf in self._world.members)
        self._branches_version = branches.version

    def settle(self) -> None:
        """Compute the copies of all VRFs again that changed."""
        for vrf in sorted(self._world.dirty_floods | self._world.dirty_vrfs):
            self._flood(vrf)
        self._floods.settle()
        self._herald.settle()

    def groups_changed(self, before: Mapping[str, Groups]) -> None:
        """Copies follow what ports listen to."""
        after = self._world.inputs.groups
        for uuid in before.keys() | after.keys():
            if before.get(uuid) is not after.get(uuid) and uuid in self._world.plans:
                self._world.dirty_floods.add(self._world.plans[uuid].vrf)

    def _ask_for_copies(self, vrf: str, network: VirtualNetwork, plans: Sequence[PortPlan]) -> None:
        """Publish where copies for a network's members go, and of which groups they are wanted."""
        inputs = self._world.inputs
        label = self._world.numbers.label.find(f"bridge:{vrf}") or 0
        offer = (inputs.underlay.address, inputs.view.encapsulations)
        is_on_tree = self._branch(vrf) is not None
        asked = [plan for plan in plans if is_asked(plan)]
        announcement = Announcement(
            inclusive_routes(network, label, offer, self._world.replicator, is_on_tree=is_on_tree),
            copies_hop(network, label, offer),
            told_of(inputs.groups.get(plan.active.port.uuid, {}) for plan in asked),
            is_whole=len(asked) == len(plans),
        )
        self._herald.put((Rank.SERVICE, vrf, None), vrf, announcement)

    def _relay(self, vrf: str, network: VirtualNetwork, unit: Unit) -> Iterator[Row]:
        """Be a member of the network's tree, if it has one: yield what its copies come by."""
        offer = (self._world.inputs.underlay.address, self._world.inputs.view.encapsulations)
        join = None
        if network.floods_by_tree:
            label = self._world.number("label", f"tree:{vrf}")
            join = tree_join(vrf, label, offer)
        if join is None:
            self._world.published.release(unit, (vrf, BROADCAST_TREE))
            return
        self._world.published.claim(unit, (vrf, BROADCAST_TREE), join)
        vrf_id = VrfId(self._world.number("vrf", vrf))
        yield LabelRow(join.first_label, self._world.nexthops.relay(vrf, vrf_id))

    def _branch(self, vrf: str) -> TreeBranch | None:
        """Return our part of a VRF's tree, once there is somebody else on it."""
        members = self._world.members.get(vrf, {})
        if not members or not members[max(members)].floods_by_tree:
            return None
        branch = self._world.inputs.learnt.branches.best(vrf, BROADCAST_TREE)
        label = self._world.numbers.label.find(f"tree:{vrf}")
        return branch if branch is not None and branch.edges and branch.label == label else None

    def _flood(self, vrf: str) -> None:
        """Who gets what a member sends to everybody: local ports, and vRouters with members."""
        members = self._world.members.get(vrf)
        if not members or not self._world.mode(vrf).bridges:
            self._floods.drop(vrf)
            self._herald.put((Rank.SERVICE, vrf, None), vrf, None)
            return
        around = Surroundings(
            self._world.inputs.underlay.address,
            self._world.replicator,
            self._branch(vrf),
            self._world.enet.get((vrf, BROADCAST_MAC), {}).values(),
            self._world.inputs.groups,
            partial(self._world.listeners.groups, vrf),
        )
        plans = [self._world.plans[uuid] for uuid in sorted(members)]
        numbered = (vrf, plans[0].numbers.vrf_id)
        network = members[max(members)]
        self._floods.put(numbered, network, plans, around)
        self._ask_for_copies(vrf, network, plans)
