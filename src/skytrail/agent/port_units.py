"""The units of ports: what each plugged port wants, and what others get to know of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from skytrail.agent.copies import with_copies
from skytrail.agent.interface import (
    NO_MACS,
    WELL,
    ActivePort,
    InactivePort,
    PluggedPort,
    PortInputs,
    resolve_port,
)
from skytrail.agent.ledger import Rank, leave
from skytrail.agent.policy import POLICY_DISABLED, Policy
from skytrail.agent.port_plan import PortPlanner
from skytrail.agent.port_rows import (
    FABRIC_INSTANCE,
    PortPlan,
    port_rows,
    published_routes,
    quarantine_row,
)
from skytrail.agent.sub_interfaces import by_parent, plugged_with
from skytrail.agent.tables import PolicyId, Row, VifId
from skytrail.agent.tagged import with_tagged
from skytrail.agent.world import World


class PortUnits:
    """Claims what all ports want."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def _planner(self) -> PortPlanner:
        """Not kept: it would keep this object and its world when they are replaced."""
        world = self._world
        return PortPlanner(world.number, self._policy, world.identities, world.nexthops)

    def update(self) -> None:
        """Compute the ports again whose inputs changed."""
        plugged = self._world.inputs.plugged
        changed: list[tuple[str, PortInputs]] = []
        present: set[str] = set()
        for parent, whole in self._whole(plugged):
            for uuid, now in with_tagged(parent, whole):
                present.add(uuid)
                known = self._world.port_inputs.get(uuid)
                if known is None or not known.same(now) or uuid in self._world.dirty_ports:
                    changed.append((uuid, now))
        for uuid in sorted(self._world.port_inputs.keys() - present):
            self._unplugged(uuid)
        for uuid, port_inputs in sorted(changed, key=lambda entry: entry[0]):
            self._world.port_inputs[uuid] = port_inputs
            self._port(uuid, port_inputs)

    def _whole(self, plugged: Mapping[str, PluggedPort]) -> Iterator[tuple[str, PortInputs]]:
        """Yield what is plugged here, and the sub-interfaces that come with it."""
        inputs, view = self._world.inputs, self._world.inputs.view
        failing = with_copies(plugged, view, inputs.failing)
        subs = by_parent(view.ports)
        for uuid, port in plugged.items():
            found = view.ports.get(uuid), view.problems.get(uuid)
            well = failing.get(uuid, WELL)
            captured, macs = uuid in inputs.captured, inputs.macs.get(uuid, NO_MACS)
            yield uuid, PortInputs(port, *found, well, captured, macs)
            for sub, own in plugged_with(port, subs.get(uuid, ())):
                captured, macs = sub.uuid in inputs.captured, inputs.macs.get(sub.uuid, NO_MACS)
                yield sub.uuid, PortInputs(own, sub, None, well, captured, macs)

    def _unplugged(self, uuid: str) -> None:
        unit = (Rank.PORT, uuid, None)
        del self._world.port_inputs[uuid]
        self._world.states.release(unit, uuid)
        vif_id = self._world.numbers.vif.find(uuid)
        if vif_id is not None:
            self._world.vifs.release(unit, VifId(vif_id))
        self._offer(uuid, None)
        self._world.shortage.settle(unit)
        self._world.finish(unit, ())

    def _port(self, uuid: str, inputs: PortInputs) -> None:
        unit, plugged = (Rank.PORT, uuid, None), inputs.plugged
        mtu_bytes = self._world.inputs.underlay.mtu4_bytes
        state = resolve_port(inputs, underlay_mtu_bytes=mtu_bytes)
        vif_id: VifId | None = None
        plan: PortPlan | None = None
        rows: tuple[Row, ...] = ()
        with self._world.shortage.noted(unit):
            vif_id = VifId(self._world.number("vif", uuid))
            self._world.vifs.claim(unit, vif_id, uuid)
            if isinstance(state, ActivePort):
                plan = self._planner.plan(
                    state,
                    vif_id,
                    underlay=self._world.inputs.underlay,
                    encapsulations=self._world.inputs.view.encapsulations,
                )
                rows = port_rows(plan)
        if self._world.shortage.has(unit):
            state = InactivePort(plugged, self._world.shortage.why(unit))
        if vif_id is not None and plan is None and plugged.ifindex:
            rows = (quarantine_row(plugged, vif_id, is_captured=inputs.is_captured),)
        self._world.states.claim(unit, uuid, state)
        self._offer(uuid, plan)
        self._world.finish(unit, rows)

    def _policy(self, policy: Policy) -> PolicyId:
        if not policy.stages:
            return POLICY_DISABLED
        digest = self._world.policies.digest(policy)
        self._world.uses.note("policy", digest)
        return self._world.policies.intern(policy, digest)

    def _offer(self, uuid: str, plan: PortPlan | None) -> None:
        """Tell the units around a port what it is now (None: not active)."""
        unit, old = (Rank.PORT, uuid, None), self._world.plans.pop(uuid, None)
        if old is not None:
            for key in published_routes(old):
                self._world.published.release(unit, key)
            self._world.vrfs.release(unit, old.vrf)
            for vrf, _ in old.ways:
                self._world.vrfs.release(unit, vrf)
                leave(self._world.guests, vrf, uuid)
            leave(self._world.members, old.vrf, uuid)
            leave(self._world.visited, old.vrf, uuid)
            for vrf in old.led_out:
                leave(self._world.outlets, vrf, uuid)
            leave(self._world.guests, old.vrf, uuid)
            for place in old.places:
                leave(self._world.offers, place, uuid)
            for each in old.floating:
                leave(self._world.visited, each.network.vrf, uuid)
            for prefix in old.underlay_prefixes:
                leave(self._world.underlay_offers, prefix, uuid)
            self._world.own_macs.get((old.vrf, old.active.port.mac), set()).discard(uuid)
            for mac, _ in old.learnt:
                leave(self._world.learnt_macs, (old.vrf, mac), uuid)
            del (
                self._world.own_labels[old.numbers.label],
                self._world.own_labels[old.numbers.layer2_label],
            )
        if plan is not None:
            self._world.plans[uuid] = plan
            for key, route in published_routes(plan).items():
                self._world.published.claim(unit, key, route)
            self._world.vrfs.claim(unit, plan.vrf, plan.numbers.vrf_id)
            for vrf, vrf_id in plan.ways:
                self._world.vrfs.claim(unit, vrf, vrf_id)
                self._world.guests.setdefault(vrf, {})[uuid] = None
            self._join(uuid, plan)
            for place in plan.places:
                self._world.offers.setdefault(place, {})[uuid] = plan
            for each in plan.floating:
                self._world.visited.setdefault(each.network.vrf, {})[uuid] = each.network
            for prefix in plan.underlay_prefixes:
                self._world.underlay_offers.setdefault(prefix, {})[uuid] = plan
            if plan.is_bridged:
                self._world.own_macs.setdefault((plan.vrf, plan.active.port.mac), set()).add(uuid)
            for mac, number in plan.learnt:
                self._world.learnt_macs.setdefault((plan.vrf, mac), {})[uuid] = number
            self._world.own_labels[plan.numbers.label] = self._world.own_labels[
                plan.numbers.layer2_label
            ] = plan
        before, after = ({(p.vrf, each) for each in p.learnt} if p else set() for p in (old, plan))
        self._world.dirty_macs.update((vrf, mac) for vrf, (mac, _) in before ^ after)
        for side in (old, plan):
            if side is not None:
                self._world.dirty_vrfs.update(
                    (side.vrf, *side.led_out, *(vrf for vrf, _ in side.ways))
                )
                self._world.dirty_places.update(side.places)
                self._world.dirty_places.update(
                    (FABRIC_INSTANCE, p) for p in side.underlay_prefixes
                )
                self._world.dirty_macs.add((side.vrf, side.active.port.mac))
                for label in (side.numbers.label, side.numbers.layer2_label):
                    self._world.used_changed("own label", str(label))

    def _join(self, uuid: str, plan: PortPlan) -> None:
        """Be a member of the port's network, or what else it is there."""
        port = plan.active.port
        for vrf in plan.led_out:
            self._world.outlets.setdefault(vrf, {})[uuid] = plan
        if port.source_nat is not None:
            # As one that only has an address there.
            self._world.guests.setdefault(plan.vrf, {})[uuid] = None
            self._world.visited.setdefault(plan.vrf, {})[uuid] = port.network
        elif port.tag is not None:
            self._world.guests.setdefault(plan.vrf, {})[uuid] = None
        else:
            self._world.members.setdefault(plan.vrf, {})[uuid] = port.network
