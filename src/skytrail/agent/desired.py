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

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_network

from skytrail.agent.address_learning import AddressOwners
from skytrail.agent.fabric import FabricInputs, fabric_rows
from skytrail.agent.flow_shares import FlowShares
from skytrail.agent.identity import Identity
from skytrail.agent.inputs import Inputs
from skytrail.agent.label import Numbers, NumbersExhausted
from skytrail.agent.ledger import Changes, Rank
from skytrail.agent.mac_learning import Owners
from skytrail.agent.outcome import Desired
from skytrail.agent.policy import Policy
from skytrail.agent.policy_rows import PolicyCompiler
from skytrail.agent.port_units import PortUnits
from skytrail.agent.route_units import RouteUnits
from skytrail.agent.tables import IdentityId, PolicyId, Row
from skytrail.agent.tunnel_ends import TunnelEnds
from skytrail.agent.vrf_units import VrfUnits
from skytrail.agent.world import World
from skytrail.net import IpAddress, Mac
from skytrail.wire.xmpp import Family


class Planner:
    """Computes the desired state; what it keeps between runs never shows in the result."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.policies = PolicyCompiler(numbers)
        self._units: _Computation | None = None
        self._version = 0

    def compute(self, inputs: Inputs, *, full: bool = False) -> Desired:
        """Return the desired state.

        O(what changed), beside looking whether each port's inputs are the same objects as before;
        O(ports + routes + policy rows) the first time, when ``full``, and when the underlay's own
        address or the encapsulations changed. What gets no number forwards nothing: ``Desired.shortage``.
        """
        units, self._units = self._units, None
        known = not full and units is not None and units.fits(inputs)
        if units is None or not known:
            units = _Computation(inputs, self)
        self._version += 1
        desired = units.advance(inputs, self._version)
        if not known:
            self.numbers.finish_cycle()
            desired.changes = replace(desired.changes, whole=True)
        # Only now: what a failure left half done is nothing to build upon.
        self._units = units
        return desired

    def who_has(self, vrf: str, mac: Mac) -> Owners:
        """Tell what the last desired state knew of a MAC."""
        return Owners() if self._units is None else self._units.who_has(vrf, mac)

    def who_has_address(self, vrf: str, address: IpAddress) -> AddressOwners:
        """Likewise of an address."""
        units = self._units
        return AddressOwners() if units is None else units.who_has_address(vrf, address)


class _Computation:
    """All units of a desired state."""

    def __init__(self, inputs: Inputs, planner: Planner) -> None:
        self._policy_versions = (-1, -1)
        self._policies_lack: Mapping[PolicyId, NumbersExhausted] = {}
        self._policies_freed = 0
        """Numbers given back when policies were compiled."""
        self._identities_used: Mapping[IdentityId, Identity] = {}
        self._policies_used: Mapping[PolicyId, Policy] = {}
        self._fabric: FabricInputs | None = None
        self._world = World(inputs, planner.numbers, planner.policies)
        self._ports = PortUnits(self._world)
        self._routes = RouteUnits(self._world)
        self._vrfs = VrfUnits(self._world, self._routes)
        self._shares = FlowShares(self._world.rows)
        self._ends = TunnelEnds(self._world.rows)
        self._world.qos.update(inputs.view)
        self._world.underlay_interface()

    def who_has(self, vrf: str, mac: Mac) -> Owners:
        slot, world = (vrf, mac), self._world
        return Owners(bool(world.own_macs.get(slot)), tuple(world.enet.get(slot, {}).values()))

    def who_has_address(self, vrf: str, address: IpAddress) -> AddressOwners:
        world, prefix = self._world, ip_network(address)
        family = Family.INET if address.version == 4 else Family.INET6
        here = world.offers.get((vrf, prefix), {}).values()
        is_here = any(plan.is_own((vrf, prefix)) for plan in here)
        learnt = world.inputs.learnt.winner(vrf, family, prefix)
        return AddressOwners(is_here or world.is_own_address(vrf, prefix), learnt)

    def fits(self, inputs: Inputs) -> bool:
        """False when everything depends on what changed."""
        old = self._world.inputs
        return (
            replace(inputs.underlay, paths={}) == replace(old.underlay, paths={})
            and inputs.view.encapsulations == old.view.encapsulations
            and inputs.view.replicator == old.view.replicator
            and inputs.learnt is old.learnt
        )

    def advance(self, inputs: Inputs, version: int) -> Desired:
        """Compute again what depends on changed inputs; return everything."""
        world, before = self._world, self._world.inputs
        world.inputs = inputs
        if (inputs.view.fabric_qos, inputs.view.tunnel_ends) != (
            before.view.fabric_qos,
            before.view.tunnel_ends,
        ):
            world.underlay_interface()
        self._vrfs.groups_changed(before.groups)
        for name in world.nexthops.move(inputs.underlay):
            world.used_changed("nexthop", name)
        world.compute_lacking()
        self._compute_units()
        if world.compute_lacking():
            # What the first round gave back is for who lacked it.
            self._compute_units()
        world.qos.update(inputs.view)
        for name, row in world.nexthops.take_made():
            world.rows.put((Rank.NEXT_HOP, name, None), (row,))
        self._ends.update(inputs.view.tunnel_ends, world.nexthops.remotes(), inputs.underlay)
        self._compile_policies()
        return self._settle(version)

    def _compute_units(self) -> None:
        world = self._world
        self._ports.update()
        self._host_network()
        self._vrfs.take_branches()
        for vrf in sorted(world.dirty_vrfs):
            self._vrfs.compute(vrf)
        self._routes.take_changes()
        self._routes.settle()
        self._vrfs.settle()
        world.forget_changes()
        self._release_idle()

    def _settle(self, version: int) -> Desired:
        ports = self._world.states.settle()
        self._shares.update(ports, self._world.plans)
        rows, published = self._world.rows.settle(), self._world.published.settle()
        for claims in (self._world.explained, self._world.vifs, self._world.vrfs):
            claims.settle()
        return Desired(
            rows=self._world.rows.values(),
            ports=self._world.states.values,
            vifs=self._world.vifs.values,
            vrfs=self._world.vrfs.values,
            published=self._world.published.values,
            remotes=self._world.nexthops.remotes(),
            unreachable=self._world.nexthops.unreachable(),
            identities=self._identities_used,
            policies=self._policies_used,
            explained=self._world.explained.values,
            shortage=self._world.shortage.text,
            changes=Changes(version, rows, published, ports, whole=False),
        )

    def _release_idle(self) -> None:
        """Give back what nothing uses any more."""
        for kind, name in self._world.uses.take_idle():
            match kind:
                case "nexthop":
                    self._world.nexthops.release(name)
                    self._world.rows.put((Rank.NEXT_HOP, name, None), ())
                case "identity":
                    self._world.identities.release(name)
                case "policy":
                    self._world.policies.release(name)
                case "vif" | "vrf" | "label" | "copy" | "mirror":
                    self._world.numbers.spaces()[kind].retire(name)
                case "qos":
                    self._world.qos.release(name)
                case _:
                    pass

    def _host_network(self) -> None:
        """Services outside of all networks, and the host's ports that stand for workloads'."""
        world = self._world
        fabric = FabricInputs(world.fabric, world.inputs.names, bool(world.outlets))
        if fabric == self._fabric:
            return
        unit, self._fabric = (Rank.UNDERLAY, "fabric", None), fabric
        rows: tuple[Row, ...] = ()
        with self._world.shortage.noted(unit):
            rows = tuple(fabric_rows(fabric, self._world.inputs.underlay, self._world.in_use))
        if self._world.shortage.has(unit):
            self._fabric = None
        self._world.finish(unit, rows)
        self._world.underlay_interface()
        self._world.dirty_vrfs.update(self._world.members)

    def _compile_policies(self) -> None:
        """All policies at once: their classes depend on every identity in use."""
        versions = (self._world.policies.changes, self._world.identities.changes)
        waits = self._policies_lack and self._policies_freed != self._world.numbers.freed
        if versions == self._policy_versions and not waits:
            return
        self._policy_versions, before = versions, self._policies_lack
        self._identities_used = dict(self._world.identities.used())
        self._policies_used = dict(self._world.policies.used())
        rows = self._world.policies.compile(self._identities_used)
        self._policies_lack, self._policies_freed = rows.lacking, self._world.numbers.freed
        for policy_id in before.keys() | rows.lacking.keys():
            unit = (Rank.POLICIES, str(policy_id), None)
            self._world.shortage.settle(unit)
            if policy_id in rows.lacking:
                self._world.shortage.note(unit, rows.lacking[policy_id])
        groups = (rows.identities, rows.prefixes, rows.verdicts, rows.source_ports)
        self._world.rows.put(
            (Rank.POLICIES, "", None), tuple(row for group in groups for row in group)
        )
