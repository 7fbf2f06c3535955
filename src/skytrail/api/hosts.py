"""Which hosts an object matters to, and through which interfaces. Pure.

From the object steps lead towards interfaces: a rule table to its network, a network to the
interfaces in it. An interface is on the host whose virtual-router it belongs to or runs its
machine; where configuration does not say, the control nodes know which agent asked for the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from skytrail.api.graph import Record, View, children, referrers

PORT: Final = "virtual-machine-interface"
_BALANCER: Final = "loadbalancer"
_MACHINE: Final = "virtual-machine"
_NETWORK: Final = "virtual-network"
_ROUTER: Final = "virtual-router"
VISITED_COUNT_MAX: Final = 20_000
"""Objects looked at for one answer; beyond, hosts may be missing and the answer says so."""


@dataclass(frozen=True, slots=True)
class _Steps:
    """Where to look next: types by how they relate to the object."""

    parent: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    referrers: tuple[str, ...] = ()


_TOWARDS_PORTS: Mapping[str, _Steps] = {
    "access-control-list": _Steps(parent=(_NETWORK, "security-group")),
    "address-group": _Steps(referrers=("firewall-rule",)),
    "alias-ip": _Steps(targets=(PORT,)),
    "application-policy-set": _Steps(referrers=("project", "tag")),
    "bgp-as-a-service": _Steps(targets=(PORT,)),
    "firewall-policy": _Steps(referrers=("application-policy-set",)),
    "firewall-rule": _Steps(referrers=("firewall-policy",)),
    "floating-ip": _Steps(targets=(PORT,)),
    "global-system-config": _Steps(children=(_ROUTER,)),
    "global-vrouter-config": _Steps(parent=("global-system-config",)),
    "instance-ip": _Steps(targets=(PORT,)),
    "interface-route-table": _Steps(referrers=(PORT,)),
    "loadbalancer-healthmonitor": _Steps(referrers=("loadbalancer-pool",)),
    "loadbalancer-listener": _Steps(targets=(_BALANCER,)),
    "loadbalancer-member": _Steps(parent=("loadbalancer-pool",)),
    "loadbalancer-pool": _Steps(targets=("loadbalancer-listener",)),
    "logical-router": _Steps(targets=(PORT, _NETWORK)),
    "network-ipam": _Steps(referrers=(_NETWORK,)),
    "network-policy": _Steps(referrers=(_NETWORK,)),
    "project": _Steps(children=(PORT,)),
    "route-table": _Steps(referrers=(_NETWORK,)),
    "routing-instance": _Steps(parent=(_NETWORK,)),
    "security-group": _Steps(referrers=(PORT,)),
    "service-group": _Steps(referrers=("firewall-rule",)),
    "service-health-check": _Steps(referrers=(PORT, _NETWORK, "bgp-as-a-service")),
    "tag": _Steps(referrers=(PORT, _MACHINE, _NETWORK, "project")),
    "virtual-DNS": _Steps(referrers=("network-ipam",)),
    "virtual-DNS-record": _Steps(parent=("virtual-DNS",)),
    _MACHINE: _Steps(children=(PORT,), referrers=(PORT,)),
    _NETWORK: _Steps(referrers=(PORT,)),
}
_COMPILED: Mapping[str, tuple[str, ...]] = {
    _NETWORK: ("access-control-list", "routing-instance"),
    "security-group": ("access-control-list",),
}
"""What hosts get of a change of these is what the compiler derives below them."""
_NOTHING = _Steps()
_JOINS_NETWORKS = "logical-router"
_COPY_START = "load-balancer-"
"""Of the names of ports that the compiler makes for load balancers."""


@dataclass(slots=True)
class Need:
    """Who needs an object."""

    ports: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """Interfaces by host."""
    unplaced_count: int = 0
    """Interfaces of which no host is known."""
    revision: int = 0
    """What a host must have: the object's own last change and what was derived from it."""
    is_partial: bool = False
    looked_at_count: int = 0
    """Objects that finding this out took."""


def need_of(view: View, record: Record, machines: Mapping[str, set[str]]) -> Need:
    """Return who needs the object; ``machines`` are hosts by the machines their agents asked for."""
    need = Need(revision=record.mod_revision)
    seen: dict[str, Record] = {record.uuid: record}
    stack = [record]
    while stack:
        current = stack.pop()
        _take(view, current, machines, need)
        for other in _next(view, current, record):
            if other.uuid not in seen:
                if len(seen) >= VISITED_COUNT_MAX:
                    need.is_partial, need.looked_at_count = True, len(seen)
                    return need
                seen[other.uuid] = other
                stack.append(other)
    need.looked_at_count = len(seen)
    return need


def _take(view: View, current: Record, machines: Mapping[str, set[str]], need: Need) -> None:
    if current.type_name == _ROUTER:
        need.ports.setdefault(current.name, set())
    elif current.type_name == PORT:
        hosts = hosts_of(view, current.uuid, machines)
        for host in hosts:
            need.ports.setdefault(host, set()).add(current.uuid)
        need.unplaced_count += not hosts
        if current.name.startswith(_COPY_START):
            # What a copy serves is written at its machine.
            for machine in _targets(view, current, (_MACHINE,)):
                need.revision = max(need.revision, machine.mod_revision)
    for type_name in _COMPILED.get(current.type_name, ()):
        for derived in children(view, current.uuid, type_name):
            need.revision = max(need.revision, derived.mod_revision)


def _next(view: View, current: Record, start: Record) -> Iterator[Record]:
    if current.type_name == PORT and start.type_name == _JOINS_NETWORKS:
        # A router's own interfaces are on no host; they stand for the networks it joins.
        yield from _targets(view, current, (_NETWORK,))
        return
    if current.type_name == _BALANCER:
        yield from _copies(view, current)
        return
    steps = _TOWARDS_PORTS.get(current.type_name, _NOTHING)
    parent = view.get(current.parent_uuid) if current.parent_uuid else None
    if parent is not None and parent.type_name in steps.parent:
        yield parent
    for type_name in steps.children:
        yield from children(view, current.uuid, type_name)
    for type_name in steps.referrers:
        yield from referrers(view, current.uuid, type_name)
    yield from _targets(view, current, steps.targets)


def _copies(view: View, balancer: Record) -> Iterator[Record]:
    """Yield the ports that serve a load balancer: they have its address too, which its own port,
    that nobody plugs, stands for.
    """
    for port in _targets(view, balancer, (PORT,)):
        for address in referrers(view, port.uuid, "instance-ip"):
            for holder in _targets(view, address, (PORT,)):
                if holder.name.startswith(_COPY_START):
                    yield holder


def _targets(view: View, current: Record, types: tuple[str, ...]) -> Iterator[Record]:
    for _, uuid in current.targets if types else ():
        target = view.get(uuid)
        if target is not None and target.type_name in types:
            yield target


def hosts_of(view: View, port: str, machines: Mapping[str, set[str]] | None = None) -> set[str]:
    """Return the hosts of an interface: where configuration puts it, and where its machine runs."""
    record = view.get(port)
    if record is None:
        return set()
    owners = {target for name, target in record.targets if name == "virtual_machine_refs"}
    if record.parent_type == _MACHINE and record.parent_uuid is not None:
        owners.add(record.parent_uuid)
    hosts: set[str] = set()
    if record.parent_type == _ROUTER:
        hosts.add(record.fq_name[-2])
    for owner in owners:
        hosts.update(each.name for each in referrers(view, owner, _ROUTER))
        machine = view.get(owner) if machines else None
        if machines and machine is not None:
            hosts.update(machines.get(machine.name, ()))
    return hosts
