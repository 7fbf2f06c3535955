r"""The whole desired state as one function of the current inputs.

```
 plugged + view -> ports -> VRFs -> own addresses, VNIs
                        \-> shared addresses --+
 learnt routes -------------------------------+-> routes, MACs -> next hops
 policies + identities in use -> policy rows
```
It is computed in units (a port, a VRF's own addresses, a route, a MAC, the policies), each a
function of its inputs. :class:`Planner` starts with all units; later it computes again those whose
inputs are not the very same, in the order of the picture, and ``ledger`` puts the units' results
together. The result equals a computation from nothing (``tests/property``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

from skytrail.agent.copies import with_copies
from skytrail.agent.fabric import UNDERLAY_VIF_NAME, FabricInputs, fabric_rows, routes_out
from skytrail.agent.fib import LearntRoute
from skytrail.agent.flood import (
    broadcast_addresses,
    inclusive_key,
    inclusive_routes,
    own_addresses,
    tree_join,
)
from skytrail.agent.flood_units import Floods, Surroundings
from skytrail.agent.health import segment
from skytrail.agent.host_rows import HostRows
from skytrail.agent.identity import Identity, IdentityTable
from skytrail.agent.inputs import Inputs
from skytrail.agent.interface import (
    WELL,
    ActivePort,
    PortInputs,
    PortState,
    resolve_port,
)
from skytrail.agent.label import Numbers
from skytrail.agent.ledger import (
    Changes,
    Claims,
    Published,
    PublishKey,
    Rank,
    RowClaims,
    Unit,
    Uses,
    leave,
)
from skytrail.agent.membership import Groups
from skytrail.agent.network_config import VirtualNetwork
from skytrail.agent.nexthop import NextHopTable
from skytrail.agent.outcome import Desired, RouteSource
from skytrail.agent.policy import POLICY_DISABLED, Policy
from skytrail.agent.policy_rows import PolicyCompiler
from skytrail.agent.port_plan import PortPlanner
from skytrail.agent.port_rows import (
    ENCAPSULATION_TEXTS,
    ENCAPSULATIONS_UNSAID,
    FABRIC_INSTANCE,
    NATIVE,
    PortPlan,
    is_mpls_label,
    led_back,
    omitted_by,
    port_rows,
    preferred,
    published_routes,
    quarantine_row,
    receive_rows,
    shared_route,
    underlay_row,
)
from skytrail.agent.route_order import Place, enet_order, place_order
from skytrail.agent.share import share_of
from skytrail.agent.tables import (
    BridgeRow,
    Encapsulation,
    IdentityId,
    InetRouteRow,
    IpNetwork,
    LabelRow,
    NextHopId,
    PolicyId,
    QosId,
    Row,
    VifId,
    VniRow,
    VrfId,
)
from skytrail.agent.tagged import with_tagged
from skytrail.net import BROADCAST_MAC, GATEWAY_MAC, Mac
from skytrail.wire.xmpp import (
    BROADCAST_TREE,
    EnetKey,
    Family,
    NextHop,
    Route,
    RouteKey,
    TreeBranch,
)


class Planner:
    """Computes the desired state; what it keeps between runs never shows in the result."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.policies = PolicyCompiler(numbers)
        self._world: _World | None = None
        self._version = 0

    def compute(self, inputs: Inputs, *, full: bool = False) -> Desired:
        """Return the desired state.

        O(what changed), beside looking whether each port's inputs are the same objects as before;
        O(ports + routes + policy rows) the first time, when ``full``, and when the underlay's own
        address or the encapsulations changed. Raises ``NumbersExhausted``.
        """
        world, self._world = self._world, None
        known = not full and world is not None and world.fits(inputs)
        if world is None or not known:
            world = _World(inputs, self)
        self._version += 1
        desired = world.advance(inputs, self._version)
        if not known:
            self.numbers.finish_cycle()
            desired.changes = replace(desired.changes, whole=True)
        # Only now: what a failure left half done is nothing to build upon.
        self._world = world
        return desired


class _World:
    """All units of a desired state, and what must be computed again."""

    def __init__(self, inputs: Inputs, planner: Planner) -> None:
        self._inputs = inputs
        self._numbers = planner.numbers
        self._numbers.begin_cycle()
        self._policies = planner.policies
        self._policies.begin()
        self._uses = Uses()
        note = self._uses.note
        self._identities = IdentityTable(
            planner.numbers.identity, lambda name: note("identity", name)
        )
        self._nexthops = NextHopTable(
            planner.numbers.nexthop, inputs.underlay, lambda name: note("nexthop", name)
        )
        self._encapsulations = [
            (kind, ENCAPSULATION_TEXTS[kind]) for kind in inputs.view.encapsulations
        ]
        self._in_use = (self._nexthops, self._identities, self._number)
        self._planner = PortPlanner(self._number, self._policy, self._identities, self._nexthops)
        # Results.
        self._rows = RowClaims()
        self._floods = Floods(self._nexthops, self._layer2_target, self._rows, self._uses)
        self._published: Claims[PublishKey, Published] = Claims()
        self._explained: Claims[Unit, tuple[RouteSource, ...]] = Claims()
        self._states: Claims[str, PortState] = Claims()
        self._vifs: Claims[VifId, str] = Claims()
        self._vrfs: Claims[str, VrfId] = Claims()
        # What units look up of each other.
        self._port_inputs: dict[str, PortInputs] = {}
        self._plans: dict[str, PortPlan] = {}
        self._members: dict[str, dict[str, VirtualNetwork]] = {}
        """VRF -> port uuid -> its network."""
        self._visited: dict[str, dict[str, VirtualNetwork]] = {}
        """VRF -> port that has a floating or alias address there -> the VRF's network."""
        self._guests: dict[str, dict[str, None]] = {}
        """VRF -> ports elsewhere whose policies lead there."""
        self._offers: dict[Place, dict[str, PortPlan]] = {}
        self._own_labels: dict[int, PortPlan] = {}
        self._own_macs: dict[tuple[str, Mac], set[str]] = {}
        self._own_addresses: dict[str, set[IpNetwork]] = {}
        self._enet: dict[tuple[str, Mac], dict[EnetKey, LearntRoute]] = {}
        self._entered: set[str] = set()
        """VRFs whose learnt routes are taken in."""
        self._underlay_vrfs: set[str] = set()
        """VRFs of networks that the underlay routes: its routes are theirs as well."""
        self._underlay_offers: dict[IpNetwork, dict[str, PortPlan]] = {}
        # What must be computed again.
        self._learnt_version = inputs.learnt.version
        self._branches_version = inputs.learnt.branches.version
        self._dirty_vrfs: set[str] = set()
        self._dirty_ports: set[str] = set()
        self._dirty_floods: set[str] = set()
        self._macs_of: dict[Place, dict[Mac, None]] = {}
        """MACs that layer 2 routes give for an address."""
        self._dirty_places: set[Place] = set()
        self._dirty_macs: set[tuple[str, Mac]] = set()
        self._policy_versions = (-1, -1)
        self._identities_used: Mapping[IdentityId, Identity] = {}
        self._policies_used: Mapping[PolicyId, Policy] = {}
        self._qos = HostRows(planner.numbers.qos, self._rows)
        self._qos.update(inputs.view)
        self._fabric: FabricInputs | None = None
        self._underlay_interface()

    def fits(self, inputs: Inputs) -> bool:
        """False when everything depends on what changed."""
        old = self._inputs
        return (
            replace(inputs.underlay, paths={}) == replace(old.underlay, paths={})
            and inputs.view.encapsulations == old.view.encapsulations
            and inputs.view.replicator == old.view.replicator
            and inputs.learnt is old.learnt
            and inputs.learnt.changes_since(self._learnt_version) is not None
        )

    def advance(self, inputs: Inputs, version: int) -> Desired:
        """Compute again what depends on changed inputs; return everything."""
        before, self._inputs = self._inputs, inputs
        if inputs.view.fabric_qos != before.view.fabric_qos:
            self._underlay_interface()
        self._groups_changed(before.groups)
        for name in self._nexthops.move(inputs.underlay):
            self._used_changed("nexthop", name)
        self._ports()
        self._host_network()
        branches = inputs.learnt.branches
        changed = branches.changes_since(self._branches_version)
        self._dirty_vrfs.update(vrf for vrf in changed if vrf in self._members)
        self._branches_version = branches.version
        for vrf in sorted(self._dirty_vrfs):
            self._vrf(vrf)
        self._take_learnt_changes()
        for place in sorted(self._dirty_places, key=place_order):
            self._shared_address(*place)
            self._route(*place)
        for vrf, mac in sorted(self._dirty_macs):
            self._mac(vrf, mac)
        for vrf in sorted(self._dirty_floods | self._dirty_vrfs):
            self._flood(vrf)
        self._floods.settle()
        self._dirty_floods, self._dirty_ports = set(), set()
        self._dirty_vrfs, self._dirty_places, self._dirty_macs = set(), set(), set()
        self._release_idle()
        self._qos.update(inputs.view)
        for name, row in self._nexthops.take_made():
            self._rows.put((Rank.NEXT_HOP, name, None), (row,))
        self._compile_policies()
        return self._settle(version)

    def _settle(self, version: int) -> Desired:
        rows, published = self._rows.settle(), self._published.settle()
        ports = self._states.settle()
        for claims in (self._explained, self._vifs, self._vrfs):
            claims.settle()
        return Desired(
            rows=self._rows.values(),
            ports=self._states.values,
            vifs=self._vifs.values,
            vrfs=self._vrfs.values,
            published=self._published.values,
            remotes=self._nexthops.remotes(),
            identities=self._identities_used,
            policies=self._policies_used,
            explained=self._explained.values,
            changes=Changes(version, rows, published, ports, whole=False),
        )

    def _used_changed(self, kind: str, name: str) -> None:
        """Whatever uses this must be computed again."""
        for rank, vrf, key in self._uses.users(kind, name):
            if rank == Rank.FLOOD:
                self._dirty_floods.add(vrf)
            elif rank == Rank.MAC and isinstance(key, Mac):
                self._dirty_macs.add((vrf, key))
            elif rank == Rank.PORT:
                self._dirty_ports.add(vrf)
            elif isinstance(key, IPv4Network | IPv6Network):
                self._dirty_places.add((vrf, key))

    def _release_idle(self) -> None:
        """Give back what nothing uses any more."""
        for kind, name in self._uses.take_idle():
            match kind:
                case "nexthop":
                    self._nexthops.release(name)
                    self._rows.put((Rank.NEXT_HOP, name, None), ())
                case "identity":
                    self._identities.release(name)
                case "policy":
                    self._policies.release(name)
                case "vif" | "vrf" | "label" | "copy" | "mirror":
                    self._numbers.spaces()[kind].retire(name)
                case "qos":
                    self._qos.release(name)
                case _:
                    pass

    def _number(self, kind: str, name: str) -> int:
        self._uses.note(kind, name)
        if kind == "qos":
            self._qos.use(name)
        return self._numbers.spaces()[kind].number(name)

    def _finish(self, unit: Unit, rows: Iterable[Row]) -> None:
        self._rows.put(unit, rows)
        self._uses.keep(unit)

    def _underlay_interface(self) -> None:
        unit, is_routed = (Rank.UNDERLAY, "", None), bool(self._guests.get(FABRIC_INSTANCE))
        row = underlay_row(
            self._inputs.underlay,
            VifId(self._number("vif", UNDERLAY_VIF_NAME)),
            VrfId(self._number("vrf", FABRIC_INSTANCE) if is_routed else 0),
            qos_id=QosId(self._number("qos", qos) if (qos := self._inputs.view.fabric_qos) else 0),
            replicator=self._replicator,
            translates=self._inputs.view.fabric.takes_ports,
        )
        self._finish(unit, (row,))

    def _host_network(self) -> None:
        """Services outside of all networks, and the host's ports that stand for workloads'."""
        fabric = FabricInputs(self._inputs.view.fabric, self._inputs.names)
        if fabric == self._fabric:
            return
        unit, self._fabric = (Rank.UNDERLAY, "fabric", None), fabric
        self._finish(unit, fabric_rows(fabric, self._inputs.underlay, self._in_use))
        self._underlay_interface()
        self._dirty_vrfs.update(self._members)

    # Ports.

    def _ports(self) -> None:
        plugged, view = self._inputs.plugged, self._inputs.view
        failing_now = with_copies(plugged, view, self._inputs.failing)
        changed: list[tuple[str, PortInputs]] = []
        present: set[str] = set()
        for parent, port in plugged.items():
            failing = failing_now.get(parent, WELL)
            found = view.ports.get(parent), view.problems.get(parent)
            whole = PortInputs(port, *found, failing, parent in self._inputs.captured)
            for uuid, now in with_tagged(parent, whole):
                present.add(uuid)
                known = self._port_inputs.get(uuid)
                if known is None or not known.same(now) or uuid in self._dirty_ports:
                    changed.append((uuid, now))
        for uuid in sorted(self._port_inputs.keys() - present):
            self._unplugged(uuid)
        for uuid, port_inputs in sorted(changed, key=lambda entry: entry[0]):
            self._port_inputs[uuid] = port_inputs
            self._port(uuid, port_inputs)

    def _unplugged(self, uuid: str) -> None:
        unit = (Rank.PORT, uuid, None)
        del self._port_inputs[uuid]
        self._states.release(unit, uuid)
        vif_id = self._numbers.vif.find(uuid)
        if vif_id is not None:
            self._vifs.release(unit, VifId(vif_id))
        self._offer(uuid, None)
        self._finish(unit, ())

    def _port(self, uuid: str, inputs: PortInputs) -> None:
        unit, plugged = (Rank.PORT, uuid, None), inputs.plugged
        mtu_bytes = self._inputs.underlay.mtu_bytes
        state = resolve_port(inputs, underlay_mtu_bytes=mtu_bytes)
        vif_id = VifId(self._number("vif", uuid))
        self._states.claim(unit, uuid, state)
        self._vifs.claim(unit, vif_id, uuid)
        plan: PortPlan | None = None
        rows: tuple[Row, ...] = ()
        if isinstance(state, ActivePort):
            plan = self._planner.plan(
                state,
                vif_id,
                underlay=self._inputs.underlay,
                encapsulations=self._inputs.view.encapsulations,
            )
            rows = port_rows(plan)
        elif plugged.ifindex:
            rows = (quarantine_row(plugged, vif_id, is_captured=inputs.is_captured),)
        self._offer(uuid, plan)
        self._finish(unit, rows)

    def _policy(self, policy: Policy) -> PolicyId:
        if not policy.stages:
            return POLICY_DISABLED
        digest = self._policies.digest(policy)
        self._uses.note("policy", digest)
        return self._policies.intern(policy, digest)

    def _offer(self, uuid: str, plan: PortPlan | None) -> None:
        """Tell the units around a port what it is now (None: not active)."""
        unit, old = (Rank.PORT, uuid, None), self._plans.pop(uuid, None)
        if old is not None:
            for key in published_routes(old):
                self._published.release(unit, key)
            self._vrfs.release(unit, old.vrf)
            for vrf, _ in old.ways:
                self._vrfs.release(unit, vrf)
                leave(self._guests, vrf, uuid)
            leave(self._members, old.vrf, uuid)
            leave(self._guests, old.vrf, uuid)
            for place in old.places:
                leave(self._offers, place, uuid)
            for each in old.floating:
                leave(self._visited, each.network.vrf, uuid)
            for prefix in old.underlay_prefixes:
                leave(self._underlay_offers, prefix, uuid)
            self._own_macs.get((old.vrf, old.active.port.mac), set()).discard(uuid)
            del self._own_labels[old.numbers.label], self._own_labels[old.numbers.layer2_label]
        if plan is not None:
            self._plans[uuid] = plan
            for key, route in published_routes(plan).items():
                self._published.claim(unit, key, route)
            self._vrfs.claim(unit, plan.vrf, plan.numbers.vrf_id)
            for vrf, vrf_id in plan.ways:
                self._vrfs.claim(unit, vrf, vrf_id)
                self._guests.setdefault(vrf, {})[uuid] = None
            if plan.active.port.tag is not None:
                self._guests.setdefault(plan.vrf, {})[uuid] = None
            else:
                self._members.setdefault(plan.vrf, {})[uuid] = plan.active.port.network
            for place in plan.places:
                self._offers.setdefault(place, {})[uuid] = plan
            for each in plan.floating:
                self._visited.setdefault(each.network.vrf, {})[uuid] = each.network
            for prefix in plan.underlay_prefixes:
                self._underlay_offers.setdefault(prefix, {})[uuid] = plan
            if not plan.active.failing.port:
                self._own_macs.setdefault((plan.vrf, plan.active.port.mac), set()).add(uuid)
            self._own_labels[plan.numbers.label] = self._own_labels[plan.numbers.layer2_label] = (
                plan
            )
        for side in (old, plan):
            if side is not None:
                self._dirty_vrfs.update((side.vrf, *(vrf for vrf, _ in side.ways)))
                self._dirty_places.update(side.places)
                self._dirty_places.update((FABRIC_INSTANCE, p) for p in side.underlay_prefixes)
                self._dirty_macs.add((side.vrf, side.active.port.mac))
                for label in (side.numbers.label, side.numbers.layer2_label):
                    self._used_changed("own label", str(label))

    # VRFs.

    def _vrf(self, vrf: str) -> None:
        """The vRouter's own addresses, and the VNI that leads into the VRF."""
        unit = (Rank.SERVICE, vrf, None)
        members = self._members.get(vrf)
        addresses: set[IpNetwork] = set()
        rows: list[Row] = []
        if members:
            network = members[max(members)]
            vrf_id = VrfId(self._number("vrf", vrf))
            receive, bridge = self._nexthops.receive(), self._nexthops.bridge(vrf, vrf_id)
            addresses = own_addresses(network)
            for uuid in members:
                # Where answers to health checks come back to.
                addresses.update(map(ip_network, self._plans[uuid].active.port.check_addresses))
            rows += receive_rows(vrf_id, receive, addresses)
            rows += [
                InetRouteRow(vrf_id, a, bridge, 0, IdentityId(0))
                for a in broadcast_addresses(network)
                if (vrf, a) not in self._offers and a not in addresses
            ]
            rows += routes_out(network, self._inputs.view.fabric, vrf_id, self._in_use)
            if network.vni:
                rows.append(VniRow(network.vni, bridge))
            label = self._number("label", f"bridge:{vrf}")
            rows.append(LabelRow(label, bridge))
            self._ask_for_copies(vrf, network, label)
            rows += self._relay(vrf, network, unit)
        else:
            if any(self._plans[each].vrf == vrf for each in self._guests.get(vrf, ())):
                # What comes out of a transparent service for an end of its health check.
                addresses.update(segment.ENDS)
                vrf_id = VrfId(self._number("vrf", vrf))
                rows += receive_rows(vrf_id, self._nexthops.receive(), addresses)
            self._ask_for_copies(vrf, None, 0)
            self._published.release(unit, (vrf, BROADCAST_TREE))
            for network in list(self._visited.get(vrf, {}).values())[:1]:
                # Nobody here is in it, but some have addresses of it.
                bridge = self._nexthops.bridge(vrf, VrfId(self._number("vrf", vrf)))
                rows += [VniRow(network.vni, bridge)] if network.vni else []
        for prefix in addresses ^ self._own_addresses.pop(vrf, set()):
            self._dirty_places.add((vrf, prefix))
        if addresses:
            self._own_addresses[vrf] = addresses
        self._rows.put(unit, rows)
        ordered = sorted(addresses, key=lambda a: (a.version, int(a.network_address)))
        self._explain(unit, [RouteSource(vrf, a, "vrouter", ("receive",)) for a in ordered])
        self._uses.keep(unit)
        is_read = bool(members or self._guests.get(vrf))
        if is_read != (vrf in self._entered):
            self._enter(vrf) if is_read else self._leave_vrf(vrf)
        if vrf == FABRIC_INSTANCE:
            self._underlay_interface()
        seen = {**self._visited.get(vrf, {}), **(members or {})}
        is_underlay = any(network.is_underlay for network in seen.values())
        if is_underlay != (vrf in self._underlay_vrfs):
            self._underlay_vrfs ^= {vrf}
            for instance in (vrf, FABRIC_INSTANCE):
                learnt = self._inputs.learnt.best(instance, Family.INET)
                keys = [each.key for each in learnt if isinstance(each.key, IPv4Network)]
                self._dirty_places.update((vrf, key) for key in keys)

    @property
    def _replicator(self) -> IPv4Address | None:
        """By which we copy for leaves: never the address at which copies end."""
        address = self._inputs.view.replicator
        return None if address == self._inputs.underlay.address else address

    def _ask_for_copies(self, vrf: str, network: VirtualNetwork | None, label: int) -> None:
        """Publish where copies for a network's members go; None: there are none."""
        unit, own, replicator = (Rank.SERVICE, vrf, None), self._inputs.underlay, self._replicator
        routes: dict[EnetKey, Route] = {}
        if network is not None:
            offer = (own.address, self._inputs.view.encapsulations)
            is_on_tree = self._branch(vrf) is not None
            routes = inclusive_routes(network, label, offer, replicator, is_on_tree=is_on_tree)
        for key in (inclusive_key(each) for each in (own.address, replicator) if each is not None):
            if key in routes:
                self._published.claim(unit, (vrf, key), routes[key])
            else:
                self._published.release(unit, (vrf, key))

    def _relay(self, vrf: str, network: VirtualNetwork, unit: Unit) -> Iterator[Row]:
        """Be a member of the network's tree, if it has one: yield what its copies come by."""
        offer = (self._inputs.underlay.address, self._inputs.view.encapsulations)
        join = None
        if network.floods_by_tree:
            label = self._number("label", f"tree:{vrf}")
            join = tree_join(vrf, label, offer)
        if join is None:
            self._published.release(unit, (vrf, BROADCAST_TREE))
            return
        self._published.claim(unit, (vrf, BROADCAST_TREE), join)
        vrf_id = VrfId(self._number("vrf", vrf))
        yield LabelRow(join.first_label, self._nexthops.relay(vrf, vrf_id))

    def _branch(self, vrf: str) -> TreeBranch | None:
        """Return our part of a VRF's tree, once there is somebody else on it."""
        members = self._members.get(vrf, {})
        if not members or not members[max(members)].floods_by_tree:
            return None
        branch = self._inputs.learnt.branches.best(vrf, BROADCAST_TREE)
        label = self._numbers.label.find(f"tree:{vrf}")
        return branch if branch is not None and branch.edges and branch.label == label else None

    def _flood(self, vrf: str) -> None:
        """Who gets what a member sends to everybody: local ports, and vRouters with members."""
        members = self._members.get(vrf)
        if not members:
            self._floods.drop(vrf)
            return
        around = Surroundings(
            self._inputs.underlay.address,
            self._replicator,
            self._branch(vrf),
            self._enet.get((vrf, BROADCAST_MAC), {}).values(),
            self._inputs.groups,
        )
        plans = [self._plans[uuid] for uuid in sorted(members)]
        numbered = (vrf, VrfId(self._number("vrf", vrf)))
        self._floods.put(numbered, members[max(members)], plans, around)

    def _groups_changed(self, before: Mapping[str, Groups]) -> None:
        after = self._inputs.groups
        for uuid in before.keys() | after.keys():
            if before.get(uuid) is not after.get(uuid) and uuid in self._plans:
                self._dirty_floods.add(self._plans[uuid].vrf)

    def _enter(self, vrf: str) -> None:
        """The first port of a VRF, or led to it, is here: its learnt routes count now."""
        self._entered.add(vrf)
        for family in Family:
            for learnt in self._inputs.learnt.best(vrf, family):
                self._learnt_changed(vrf, family, learnt.key)

    def _leave_vrf(self, vrf: str) -> None:
        self._entered.discard(vrf)
        for slot in [slot for slot in self._enet if slot[0] == vrf]:
            for key in self._enet.pop(slot):
                if key.mac == BROADCAST_MAC:
                    continue
                self._stitch(vrf, key, present=False)
        for rank, name, key in list(self._explained.values):
            if name == vrf and rank == Rank.ROUTE and isinstance(key, IPv4Network | IPv6Network):
                self._dirty_places.add((vrf, key))
            elif name == vrf and rank == Rank.MAC and isinstance(key, Mac):
                self._dirty_macs.add((vrf, key))

    def _shared_address(self, vrf: str, prefix: IpNetwork) -> None:
        """An address of one port has its row already; shared by several, it is load-shared."""
        unit = (Rank.SHARED, vrf, prefix)
        offers = [plan for _, plan in sorted(self._offers.get((vrf, prefix), {}).items())]
        rows: list[Row] = []
        self._published.release(unit, (vrf, prefix))
        if len(offers) > 1 and not self._is_own_address(vrf, prefix):
            used = preferred(offers)
            first, nexthop = used[0], used[0].numbers.layer3
            if len(used) > 1:
                shares = {(p.numbers.layer3, 0): p.share for p in used}
                nexthop = self._nexthops.ecmp(shares, omitted_by(used))
            vrf_id, identity = first.places[vrf, prefix]
            self._published.claim(unit, (vrf, prefix), shared_route(vrf, prefix, used))
            rows.append(InetRouteRow(vrf_id, prefix, nexthop, 0, identity, first.active.port.mac))
        self._rows.put(unit, rows)
        ifnames = tuple(plan.active.plugged.ifname for plan in offers)
        self._explain(unit, [RouteSource(vrf, prefix, "local", ifnames)] if offers else ())
        self._uses.keep(unit)

    def _is_own_address(self, vrf: str, prefix: IpNetwork) -> bool:
        return prefix in self._own_addresses.get(vrf, ())

    # Learnt routes.

    def _take_learnt_changes(self) -> None:
        learnt = self._inputs.learnt
        for (vrf, family), key in learnt.changes_since(self._learnt_version) or ():
            if vrf in self._entered:
                self._learnt_changed(vrf, family, key)
            if vrf == FABRIC_INSTANCE and isinstance(key, IPv4Network):
                self._dirty_places.update((each, key) for each in self._underlay_vrfs)
        self._learnt_version = learnt.version

    def _learnt_changed(self, vrf: str, family: Family, key: RouteKey) -> None:
        if not isinstance(key, EnetKey):
            self._dirty_places.add((vrf, key))
            return
        slot, learnt = (vrf, key.mac), self._inputs.learnt.winner(vrf, family, key)
        if learnt is None:
            leave(self._enet, slot, key)
        else:
            self._enet.setdefault(slot, {})[key] = learnt
        if key.mac == BROADCAST_MAC:
            # Its address is the vRouter's that wants copies.
            self._dirty_floods.add(vrf)
            return
        self._stitch(vrf, key, present=learnt is not None)
        self._dirty_macs.add(slot)

    def _stitch(self, vrf: str, key: EnetKey, *, present: bool) -> None:
        """BGP carries an address's MAC in its layer 2 route alone: the other one follows."""
        if key.address is None:
            return
        place = (vrf, key.address)
        if present:
            self._macs_of.setdefault(place, {})[key.mac] = None
        else:
            leave(self._macs_of, place, key.mac)
        self._dirty_places.add(place)

    def _route(self, vrf: str, prefix: IpNetwork) -> None:
        unit = (Rank.ROUTE, vrf, prefix)
        family = Family.INET if prefix.version == 4 else Family.INET6
        learnt = None
        if vrf in self._entered:
            learnt = self._inputs.learnt.winner(vrf, family, prefix)
        if vrf == FABRIC_INSTANCE and prefix in self._underlay_offers:
            learnt = None
        elif (
            learnt is None
            and vrf in self._underlay_vrfs
            and (vrf, prefix) not in self._offers
            and isinstance(prefix, IPv4Network)  # IPv6 of such networks has tunnels.
        ):
            learnt = self._inputs.learnt.winner(FABRIC_INSTANCE, family, prefix)
        row = self._learnt_inet(vrf, prefix, learnt) if learnt is not None else None
        own = (self._inputs.underlay.address, self._own_labels)
        sources = led_back((vrf, prefix), learnt, own) if learnt is not None and row else ()
        self._rows.put(unit, () if row is None else (row, *sources))
        self._explain(unit, [RouteSource(vrf, prefix, learnt, ())] if learnt and row else ())
        self._uses.keep(unit)

    def _learnt_inet(self, vrf: str, prefix: IpNetwork, learnt: LearntRoute) -> Row | None:
        if self._is_own_address(vrf, prefix):
            return None  # Nobody may take over an address of the vRouter.
        offers = self._offers.get((vrf, prefix), {})
        local = preferred(plan for _, plan in sorted(offers.items()))
        rank = (learnt.local_preference, learnt.sequence_number)
        own = max(((plan.preference, plan.sequence_of(prefix)) for plan in local), default=rank)
        if rank < own:
            return None
        if rank > own:
            local = []  # Ours stand by for somebody else's, or have moved there.
        native = vrf == FABRIC_INSTANCE or vrf in self._underlay_vrfs
        targets = [(hop, self._target(hop, native=native)) for hop in learnt.next_hops]
        usable = [(hop, target) for hop, target in targets if target is not None]
        shares = {target: share_of(hop.address, hop.label) for hop, target in usable}
        if not shares:
            return None
        if local:
            shares = {(plan.numbers.layer3, 0): plan.share for plan in local} | shares
        members = list(shares)
        # Do not share load with a tunnel that leads nowhere yet, unless there is nothing better.
        members = [m for m in members if self._nexthops.is_resolved(m[0])] or members
        identity = self._identities.of(
            [hop.virtual_network for hop, _ in usable if hop.virtual_network],
            learnt.security_groups,
            [tag for hop, _ in usable for tag in hop.tags],
        )
        nexthop, label = members[0]
        if len(members) > 1:
            omitted = learnt.omitted | omitted_by(local)
            nexthop, label = self._nexthops.ecmp({m: shares[m] for m in members}, omitted), 0
        mac = next((hop.mac for hop, _ in usable if hop.mac), None)
        if mac is None and prefix.prefixlen == prefix.max_prefixlen:
            # Whom nobody knows a MAC of is reached through the gateway.
            mac = min(self._macs_of.get((vrf, prefix), ()), default=GATEWAY_MAC)
        vrf_id = VrfId(self._number("vrf", vrf))
        return InetRouteRow(vrf_id, prefix, nexthop, label, identity, mac)

    def _mac(self, vrf: str, mac: Mac) -> None:
        unit = (Rank.MAC, vrf, mac)
        offers = self._enet.get((vrf, mac), {}).values()
        learnt = max(offers, key=enet_order, default=None)
        row = self._learnt_bridge(vrf, mac, learnt) if learnt is not None else None
        self._rows.put(unit, () if row is None else (row,))
        self._explain(unit, [RouteSource(vrf, learnt.key, learnt, ())] if learnt and row else ())
        self._uses.keep(unit)

    def _learnt_bridge(self, vrf: str, mac: Mac, learnt: LearntRoute) -> Row | None:
        here = self._own_macs.get((vrf, mac))
        if here and learnt.sequence_number <= max(self._plans[uuid].sequence for uuid in here):
            return None
        for hop in learnt.next_hops:
            target = self._target(hop, layer2=True)
            if target is not None:
                networks = [hop.virtual_network] if hop.virtual_network else []
                identity = self._identities.of(networks, learnt.security_groups, hop.tags)
                vrf_id = VrfId(self._number("vrf", vrf))
                return BridgeRow(vrf_id, mac, target[0], target[1], identity)
        return None

    def _layer2_target(self, hop: NextHop) -> tuple[NextHopId, int] | None:
        return self._target(hop, layer2=True)

    def _target(
        self, hop: NextHop, *, layer2: bool = False, native: bool = False
    ) -> tuple[NextHopId, int] | None:
        """Return (next hop, label) for an offer, or None when it cannot be used.

        ``native``: no tunnel is needed where the offer says so.
        """
        address = hop.address
        if not isinstance(address, IPv4Address):
            return None
        if address == self._inputs.underlay.address:
            # Our own workload, imported from another instance.
            self._uses.note("own label", str(hop.label))
            own = self._own_labels.get(hop.label)
            return own and ((own.numbers.layer2 if layer2 else own.numbers.layer3), 0)
        offered = hop.encapsulations or ENCAPSULATIONS_UNSAID
        if native and NATIVE in offered:
            return self._nexthops.tunnel(address, Encapsulation.NATIVE, layer2=False), 0
        for kind, text in self._encapsulations:
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
            return self._nexthops.tunnel(address, kind, layer2=layer2), label
        return None

    # Policies.

    def _compile_policies(self) -> None:
        """All policies at once: their classes depend on every identity in use."""
        versions = (self._policies.changes, self._identities.changes)
        if versions == self._policy_versions:
            return
        self._policy_versions = versions
        self._identities_used = dict(self._identities.used())
        self._policies_used = dict(self._policies.used())
        rows = self._policies.compile(self._identities_used)
        groups = (rows.identities, rows.prefixes, rows.verdicts, rows.source_ports)
        self._rows.put((Rank.POLICIES, "", None), tuple(row for group in groups for row in group))

    def _explain(self, unit: Unit, sources: Iterable[RouteSource]) -> None:
        found = tuple(sources)
        if found:
            self._explained.claim(unit, unit, found)
        else:
            self._explained.release(unit, unit)
