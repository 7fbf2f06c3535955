"""Load balancers: two copies of each on two hosts, with what they serve.

```
 loadbalancer --> port of its address --> network, security groups, the address (instance-ip)
   ^ listeners <-- pools --> monitor, members
   | load_balancer         machine, port and own address of each copy; what it serves, as JSON
   +--> shared_address     the balancer's address belongs to the copies' ports as well
   +--> shared_floating    and the floating addresses of its port
   +--> host_machines      hosts refer to the machines of their copies (host_machines.py)
```
The ports of both copies have the balancer's address; the second one's local preference is lower, so it
waits. Each copy has an address of its own too, from which it speaks to members: both can ask whether
members are well, and answers come back to who asked (ADR 0207).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import msgspec

from skytrail.compiler.derived import (
    Derived,
    DerivedKey,
    FqName,
    Link,
    Outcome,
    Violation,
)
from skytrail.compiler.engine import TablePass, UnitPass, View
from skytrail.model import load_balancer as served
from skytrail.model.annotation_names import LOAD_BALANCER, LOAD_BALANCER_HOSTS
from skytrail.model.derived_uuid import derived_uuid
from skytrail.model.generated.objects import (
    FloatingIp,
    InstanceIp,
    Loadbalancer,
    LoadbalancerHealthmonitor,
    LoadbalancerListener,
    LoadbalancerMember,
    LoadbalancerPool,
    SecurityGroup,
    VirtualMachine,
    VirtualMachineInterface,
    VirtualNetwork,
    VirtualRouter,
)
from skytrail.model.generated.types import (
    KeyValuePair,
    KeyValuePairs,
    LoadbalancerListenerType,
    LoadbalancerPoolType,
    VirtualMachineInterfacePropertiesType,
)

BALANCER: Final = Loadbalancer.type_name
PORT: Final = VirtualMachineInterface.type_name
MACHINE: Final = VirtualMachine.type_name
ADDRESS: Final = InstanceIp.type_name
ROUTER: Final = VirtualRouter.type_name
FLOATING: Final = FloatingIp.type_name
PREFERENCES: Final = (200, 100)
"""Of the active copy and of the one that waits."""
NAME_START: Final = "load-balancer-"
"""Of machines, ports and addresses of copies."""
_TOR: Final = "tor"
_HTTP_KINDS: Final = frozenset({"HTTP", "HTTPS"})


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a balancer's copies are, and what they share."""

    addresses: tuple[str, ...]
    """uuids of the instance-ips of its address"""
    vip: str
    floating: tuple[str, ...]
    """uuids of the floating-ips that are bound to its port"""
    ports: tuple[FqName, ...]
    machines: tuple[tuple[str, FqName], ...]
    """(uuid of the host's virtual-router, machine)"""


def load_balancer(view: View, uuid: str) -> Outcome:
    """Derive the copies of one balancer."""
    item = view.get(Loadbalancer, uuid)
    if item is None or _is_off(item.loadbalancer_properties):
        return Outcome()

    def refused(reason: str, detail: str) -> Outcome:
        return Outcome(violations=(Violation(BALANCER, item.fq_name, reason, detail),))

    provider = item.loadbalancer_provider or ""
    if provider not in served.PROVIDERS:
        return refused("provider_not_served", f"nothing is served: provider {provider} is not ours")
    port = next(
        (view.get(VirtualMachineInterface, r.uuid) for r in item.virtual_machine_interface_refs),
        None,
    )
    if port is None:
        detail = "nothing is served: refer to the virtual-machine-interface of its address"
        return refused("no_port", detail)
    network = next((view.get(VirtualNetwork, r.uuid) for r in port.virtual_network_refs), None)
    vips = [each for each in view.referrers(InstanceIp, port.uuid) if each.instance_ip_address]
    wanted = None if item.loadbalancer_properties is None else item.loadbalancer_properties
    text = None if wanted is None else wanted.vip_address
    chosen = [each for each in vips if text in {None, "", each.instance_ip_address}]
    if network is None or not chosen:
        detail = f"nothing is served: port {':'.join(port.fq_name)} has not the address yet"
        return refused("no_address", detail)
    hosts, problem = _hosts(view, item)
    if not hosts:
        return refused("no_host", f"nothing is served: {problem}")
    vip = min(chosen, key=lambda each: each.uuid)
    violations: list[Violation] = []
    balancer = served.LoadBalancer(
        uuid=uuid,
        vip=vip.instance_ip_address or "",
        listeners=tuple(_listeners(view, item, violations)),
    )
    derived: list[Derived] = []
    ports: list[FqName] = []
    machines: list[tuple[str, FqName]] = []
    for place, host in enumerate(hosts):
        name = f"{NAME_START}{uuid}-{place + 1}"
        derived += _copy(view, (port, network, vip), name, place, balancer)
        ports.append((*port.fq_name[:-1], name))
        machines.append((host.uuid, (name,)))
    text = vip.instance_ip_address or ""
    floating = tuple(each.uuid for each in view.referrers(FloatingIp, port.uuid))
    value = Placed((vip.uuid,), text, floating, tuple(ports), tuple(machines))
    return Outcome(value, tuple(derived), tuple(violations))


def balancer_addresses(view: View) -> dict[str, Outcome]:
    """Return the copies' ports that have an address, by the address's uuid."""
    wanted: dict[str, set[FqName]] = {}
    for _, placed in view.rows("load_balancer", Placed):
        for uuid in placed.addresses:
            wanted.setdefault(uuid, set()).update(placed.ports)
    return {uuid: Outcome(frozenset(ports)) for uuid, ports in wanted.items()}


def shared_address(view: View, uuid: str) -> Outcome:
    """Give an address to the copies' ports, beside those that users gave it to."""
    address = view.get(InstanceIp, uuid)
    if address is None or _is_copy(ADDRESS, uuid, address.fq_name):
        return Outcome()
    wanted: frozenset[FqName] = view.row("balancer_addresses", uuid, frozenset) or frozenset()
    holders = {each.to: each.uuid for each in address.virtual_machine_interface_refs}
    own = {name for name, holder in holders.items() if not _is_copy(PORT, holder, name)}
    if not wanted and own == holders.keys():
        return Outcome()
    return _linked(ADDRESS, address.fq_name, "virtual_machine_interface_refs", own | wanted)


def balancer_floating(view: View) -> dict[str, Outcome]:
    """Return the copies' ports that have a floating address, and what it stands for."""
    found: dict[str, Outcome] = {}
    for _, placed in view.rows("load_balancer", Placed):
        for uuid in placed.floating:
            found.setdefault(uuid, Outcome((placed.vip, placed.ports)))
    return found


def shared_floating(view: View, uuid: str) -> Outcome:
    """Give a floating address of a balancer's port to the copies' ports as well."""
    floating = view.get(FloatingIp, uuid)
    if floating is None:
        return Outcome()
    vip, ports = view.row("balancer_floating", uuid, tuple) or ("", ())
    holders = {each.to: each.uuid for each in floating.virtual_machine_interface_refs}
    own = {name for name, holder in holders.items() if not _is_copy(PORT, holder, name)}
    if not ports and own == holders.keys():
        return Outcome()
    links = {"virtual_machine_interface_refs": tuple(Link(e) for e in sorted(own.union(ports)))}
    # Each copy has an address of its own too, which is not what is meant.
    stands_for = floating.floating_ip_fixed_ip_address or vip or None
    properties = {"floating_ip_fixed_ip_address": stands_for}
    key = DerivedKey(FLOATING, floating.fq_name)
    return Outcome(derived=(Derived(key, properties, links, update_only=True),))


def _linked(type_name: str, name: FqName, field: str, targets: set[FqName]) -> Outcome:
    links = {field: tuple(Link(each) for each in sorted(targets))}
    return Outcome(derived=(Derived(DerivedKey(type_name, name), links=links, update_only=True),))


def _is_copy(type_name: str, uuid: str, name: FqName) -> bool:
    return name[-1].startswith(NAME_START) and uuid == derived_uuid(type_name, name)


def _is_off(properties: object) -> bool:
    return getattr(properties, "admin_state", None) is False


def _hosts(view: View, item: Loadbalancer) -> tuple[list[VirtualRouter], str]:
    """Return the hosts of the copies, the active one first: as said, else chosen so that balancers
    spread, and that a host more or less moves few of them.
    """
    found = {
        each.name: each
        for each in view.every(VirtualRouter)
        if not (each.virtual_router_type or "").startswith(_TOR)
    }
    pairs = () if item.annotations is None else item.annotations.key_value_pair
    said = next((each.value or "" for each in pairs if each.key == LOAD_BALANCER_HOSTS), "")
    names = [each.strip() for each in said.split(",") if each.strip()]
    if names:
        unknown = [each for each in names if each not in found]
        if unknown:
            return [], f"annotation {LOAD_BALANCER_HOSTS}: no virtual-router is called {unknown[0]}"
        return [found[each] for each in dict.fromkeys(names)][: len(PREFERENCES)], ""

    def weight(name: str) -> bytes:
        return hashlib.blake2b(f"{item.uuid} {name}".encode(), digest_size=8).digest()

    ordered = sorted(found, key=weight)[: len(PREFERENCES)]
    return [found[each] for each in ordered], "there is no virtual-router"


def _copy(
    view: View,
    place_of: tuple[VirtualMachineInterface, VirtualNetwork, InstanceIp],
    name: str,
    place: int,
    balancer: served.LoadBalancer,
) -> Iterator[Derived]:
    port, network, vip = place_of
    text = msgspec.json.encode(balancer).decode()
    pairs = (KeyValuePair(key=LOAD_BALANCER, value=text),)
    yield Derived(
        DerivedKey(MACHINE, (name,)),
        properties={"annotations": KeyValuePairs(key_value_pair=pairs)},
    )
    groups = [view.get(SecurityGroup, each.uuid) for each in port.security_group_refs]
    own = (*port.fq_name[:-1], name)
    yield Derived(
        DerivedKey(PORT, own),
        properties={
            "virtual_machine_interface_properties": VirtualMachineInterfacePropertiesType(
                local_preference=PREFERENCES[place]
            ),
        },
        links={
            "virtual_network_refs": (Link(network.fq_name),),
            "virtual_machine_refs": (Link((name,)),),
            "security_group_refs": tuple(Link(g.fq_name) for g in groups if g is not None),
        },
        parent_type=port.parent_type,
    )
    version = ip_address(vip.instance_ip_address or "").version
    yield Derived(
        DerivedKey(ADDRESS, (name,)),
        properties={"instance_ip_family": f"v{version}"},
        links={
            "virtual_network_refs": (Link(network.fq_name),),
            "virtual_machine_interface_refs": (Link(own),),
        },
    )


def _listeners(
    view: View, item: Loadbalancer, violations: list[Violation]
) -> Iterator[served.Listener]:
    for listener in view.referrers(LoadbalancerListener, item.uuid):
        given = listener.loadbalancer_listener_properties
        if given is None or _is_off(given) or given.protocol_port is None:
            continue
        if given.protocol not in served.PROTOCOLS:
            detail = f"protocol {given.protocol} is not served"
            violations.append(
                Violation(listener.type_name, listener.fq_name, "protocol_not_served", detail)
            )
            continue
        pools = [
            pool
            for pool in view.referrers(LoadbalancerPool, listener.uuid)
            if not _is_off(pool.loadbalancer_pool_properties)
        ]
        limit = given.connection_limit or 0
        yield served.Listener(
            uuid=listener.uuid,
            protocol=given.protocol,
            port=given.protocol_port,
            connection_limit=max(limit, 0),
            certificates=_certificates(given),
            pool=_pool(view, pools[0]) if pools else None,
        )


def _certificates(given: LoadbalancerListenerType) -> tuple[str, ...]:
    if given.protocol != served.TERMINATED_HTTPS:
        return ()
    references = (given.default_tls_container, *given.sni_containers)
    return tuple(dict.fromkeys(served.certificate_name(each) for each in references if each))


def _pool(view: View, pool: LoadbalancerPool) -> served.Pool:
    given = pool.loadbalancer_pool_properties or LoadbalancerPoolType()
    monitors = [
        view.get(LoadbalancerHealthmonitor, each.uuid)
        for each in pool.loadbalancer_healthmonitor_refs
    ]
    monitor = next((each for each in monitors if each is not None), None)
    return served.Pool(
        uuid=pool.uuid,
        protocol=given.protocol or served.TCP,
        method=given.loadbalancer_method or "ROUND_ROBIN",
        persistence=given.session_persistence or "",
        cookie=given.persistence_cookie_name or "",
        monitor=None if monitor is None else _monitor(monitor),
        members=tuple(_members(view, pool)),
    )


def _members(view: View, pool: LoadbalancerPool) -> Iterator[served.Member]:
    for member in view.children(LoadbalancerMember, pool.uuid):
        given = member.loadbalancer_member_properties
        if given is None or _is_off(given) or not given.address or given.protocol_port is None:
            continue
        yield served.Member(
            uuid=member.uuid,
            address=given.address,
            port=given.protocol_port,
            weight=1 if given.weight is None else given.weight,
        )


def _monitor(monitor: LoadbalancerHealthmonitor) -> served.Monitor | None:
    given = monitor.loadbalancer_healthmonitor_properties
    if given is None or _is_off(given) or given.monitor_type is None:
        return None
    is_http = given.monitor_type in _HTTP_KINDS
    return served.Monitor(
        kind=given.monitor_type,
        delay_s=given.delay or 1,
        timeout_s=given.timeout or 1,
        retries_count=given.max_retries or 1,
        method=(given.http_method or "GET") if is_http else "GET",
        path=(given.url_path or "/") if is_http else "/",
        codes=(given.expected_codes or "200") if is_http else "200",
    )


PASSES: Final = (
    UnitPass(
        "load_balancer",
        BALANCER,
        frozenset(
            {
                BALANCER,
                LoadbalancerListener.type_name,
                LoadbalancerPool.type_name,
                LoadbalancerMember.type_name,
                LoadbalancerHealthmonitor.type_name,
                SecurityGroup.type_name,
                VirtualNetwork.type_name,
                PORT,
                ADDRESS,
                FLOATING,
                ROUTER,
            }
        ),
        load_balancer,
    ),
    TablePass("balancer_addresses", frozenset(), balancer_addresses, upstream=("load_balancer",)),
    UnitPass(
        "shared_address", ADDRESS, frozenset({ADDRESS}), shared_address, ("balancer_addresses",)
    ),
    TablePass("balancer_floating", frozenset(), balancer_floating, upstream=("load_balancer",)),
    UnitPass(
        "shared_floating", FLOATING, frozenset({FLOATING}), shared_floating, ("balancer_floating",)
    ),
)
