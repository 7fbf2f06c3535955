"""Ports of transparent services: which routing instance of which chain a tagged packet belongs to.

A transparent service sees frames, not routes: each chain through it has a VLAN on both interfaces
of a member, and the port's reference to the chain's routing instance says VLAN and addresses. The
same VLAN serves both interfaces. A port keeps the VLAN it has; a fresh chain starts looking at a
hash of its identity, so numbers depend on the configuration alone (docs/adr/0113).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from skytrail.compiler.derived import Derived, DerivedKey, Link, Outcome, Violation
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes.chain import chain_id_of
from skytrail.compiler.passes.interfaces import role_of
from skytrail.compiler.passes.service_chains import Chains, ChainState, Hop
from skytrail.compiler.passes.service_instances import (
    LEFT,
    PORT,
    RIGHT,
    TRANSPARENT,
    Member,
    Service,
)
from skytrail.compiler.passes.virtual_network import INSTANCE, INSTANCE_FIELD
from skytrail.model.generated.objects import (
    PortTuple,
    RoutingInstance,
    VirtualMachine,
    VirtualMachineInterface,
)
from skytrail.model.generated.types import PolicyBasedForwardingRuleType

VLANS: Final = range(1, 4095)
LEFT_MAC: Final = "02:00:00:00:00:01"
RIGHT_MAC: Final = "02:00:00:00:00:02"


def chain_port(view: View, uuid: str) -> Outcome:
    """Derive the references of a service's port to the instances of its chains."""
    port = view.get(VirtualMachineInterface, uuid)
    if port is None:
        return Outcome()
    held = [each for each in port.routing_instance_refs if chain_id_of(each.to) is not None]
    role = role_of(port)
    found = place_of(view, port, {TRANSPARENT}) if role in {LEFT, RIGHT} else None
    links: list[Link] = []
    violations: list[Violation] = []
    if found is not None and role is not None:
        service, member = found
        passing = list(passing_chains(view, service))
        vlans = _vlans(view, member, [state.chain.id for state, _ in passing])
        for state, hop in passing:
            name = hop.left if role == LEFT else hop.right
            vlan = vlans.get(state.chain.id)
            if vlan is None:
                violations.append(_no_vlan(port))
            elif name is not None and view.by_name(RoutingInstance, name) is not None:
                links.append(Link(name, _forwarding(hop, role, vlan)))
    if not links and not held:
        return Outcome(violations=tuple(violations))
    others = [
        Link(each.to, each.attr)
        for each in port.routing_instance_refs
        if chain_id_of(each.to) is None
    ]
    filled = Derived(
        DerivedKey(PORT, port.fq_name),
        links={INSTANCE_FIELD: (*others, *links)},
        update_only=True,
    )
    return Outcome(derived=(filled,), violations=tuple(violations))


def place_of(
    view: View, port: VirtualMachineInterface, modes: Collection[str]
) -> tuple[Service, Member] | None:
    """Return the service of one of these modes, and its member, that a port belongs to."""
    for service_uuid in _service_uuids(view, port):
        service = view.row("service", service_uuid, Service)
        if service is None or service.mode not in modes:
            continue
        for member in service.members:
            if any(known == port.uuid for _, known in member.interfaces):
                return service, member
    return None


def _service_uuids(view: View, port: VirtualMachineInterface) -> Iterator[str]:
    for reference in port.port_tuple_refs:
        port_tuple = view.get(PortTuple, reference.uuid)
        if port_tuple is not None and port_tuple.parent_uuid is not None:
            yield port_tuple.parent_uuid
    for reference in port.virtual_machine_refs:
        machine = view.get(VirtualMachine, reference.uuid)
        for target in () if machine is None else machine.service_instance_refs:
            yield target.uuid


def passing_chains(view: View, service: Service) -> Iterator[tuple[ChainState, Hop]]:
    """Yield the complete chains through a service; a chain may use it once."""
    for _, chains in view.rows("service_chains", Chains):
        for state in chains.states:
            if state.is_ready:
                for hop in state.hops:
                    if hop.service.uuid == service.uuid:
                        yield state, hop
                        break


def _vlans(view: View, member: Member, chain_ids: Iterable[str]) -> dict[str, int]:
    wanted = sorted(set(chain_ids))
    held: dict[str, int] = {}
    for role in (LEFT, RIGHT):
        port = view.get(VirtualMachineInterface, member.port(role) or "")
        for reference in () if port is None else port.routing_instance_refs:
            chain_id = chain_id_of(reference.to)
            vlan = None if reference.attr is None else reference.attr.vlan_tag
            if chain_id is not None and vlan is not None and vlan in VLANS:
                held.setdefault(chain_id, vlan)
    found: dict[str, int] = {}
    for chain_id in wanted:
        vlan = held.get(chain_id)
        if vlan is not None and vlan not in found.values():
            found[chain_id] = vlan
    used = set(found.values())
    for chain_id in wanted:
        if chain_id not in found:
            vlan = next((each for each in _candidates(chain_id) if each not in used), None)
            if vlan is not None:
                found[chain_id] = vlan
                used.add(vlan)
    return found


def _candidates(chain_id: str) -> Iterator[int]:
    start = int.from_bytes(hashlib.blake2b(chain_id.encode(), digest_size=4).digest())
    for step in range(len(VLANS)):
        yield VLANS[(start + step) % len(VLANS)]


def _forwarding(hop: Hop, role: str, vlan: int) -> PolicyBasedForwardingRuleType:
    near, far = (LEFT_MAC, RIGHT_MAC) if role == LEFT else (RIGHT_MAC, LEFT_MAC)
    return PolicyBasedForwardingRuleType(
        direction="both",
        vlan_tag=vlan,
        src_mac=near,
        dst_mac=far,
        service_chain_address=hop.left_addresses.v4,
        ipv6_service_chain_address=hop.left_addresses.v6,
    )


def _no_vlan(port: VirtualMachineInterface) -> Violation:
    return Violation(
        PORT,
        port.fq_name,
        "vlans_exhausted",
        f"more than {len(VLANS)} chains go through this port: the rest lead nowhere",
    )


PASSES: Final = (
    UnitPass(
        "chain_ports",
        PORT,
        frozenset({PORT, INSTANCE, PortTuple.type_name, VirtualMachine.type_name}),
        chain_port,
        ("service_chains", "service"),
    ),
)
