"""BGP as a service: a session between the control nodes and each workload that asks for one.

```
 bgp-as-a-service --refs--> virtual-machine-interface --> network, addresses
       | bgpaas_clients     one client per port, or per network when it is shared
       +--> bgpaas_ports    source port of each client: kept, else found from a hash
 control-node-zone --> control_node_zones   addresses of the control nodes in each
               +--> bgpaas             client and server routers below the network's instance
               +--> port_bgp_routers   references of the ports to their clients
```
The server router stands for the control nodes; all clients of one instance share it. Whatever is
no longer asked for is removed, the references first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

from skytrail.compiler.derived import (
    Derived,
    DerivedKey,
    FqName,
    Link,
    Outcome,
    Violation,
)
from skytrail.compiler.engine import TablePass, UnitPass, View
from skytrail.compiler.passes.bgp_mesh import BGP_ROUTER, CLIENT, SERVER, global_asn
from skytrail.compiler.passes.route_targets import SYSTEM_CONFIG_NAME
from skytrail.compiler.passes.virtual_network import INSTANCE, default_instance_name
from skytrail.model.annotation_names import BGPAAS_CONTROL_NODES
from skytrail.model.derived_uuid import derived_uuid
from skytrail.model.generated.objects import (
    BgpAsAService,
    BgpRouter,
    ControlNodeZone,
    GlobalSystemConfig,
    InstanceIp,
    RoutingInstance,
    VirtualMachineInterface,
    VirtualNetwork,
)
from skytrail.model.generated.types import (
    BgpPeeringAttributes,
    BgpRouterParams,
    BgpSession,
    BgpSessionAttributes,
    KeyValuePair,
    KeyValuePairs,
)

SERVICE: Final = BgpAsAService.type_name
PORT: Final = VirtualMachineInterface.type_name
PORTS_DEFAULT: Final = range(50_000, 50_513)
SERVER_NAME: Final = "bgpaas-server"
ROUTERS_FIELD: Final = "bgp_router_refs"
CONTROL_NODE: Final = "control-node"
_ZONE_KINDS: Final = ("primary", "secondary")


@dataclass(frozen=True, slots=True)
class Client:
    """One session end in one instance, and the ports it serves."""

    name: FqName
    address: str
    identifier: str | None
    gateway: str | None
    ipv6_gateway: str | None
    ports: tuple[str, ...]
    """uuids of interfaces"""

    @property
    def instance(self) -> FqName:
        return self.name[:-1]


def bgpaas_clients(view: View, uuid: str) -> Outcome:
    """Work out which clients a service needs; a port without address gets none yet."""
    service = view.get(BgpAsAService, uuid)
    if service is None:
        return Outcome()
    if not service.autonomous_system:
        detail = "the service has no AS number and opens no sessions; set autonomous_system"
        return Outcome(
            violations=(Violation(SERVICE, service.fq_name, "no_autonomous_system", detail),)
        )
    clients: dict[FqName, Client] = {}
    violations: list[Violation] = []
    for reference in sorted(service.virtual_machine_interface_refs, key=lambda each: each.uuid):
        port = view.get(VirtualMachineInterface, reference.uuid)
        network = None if port is None else _network(view, port)
        if port is None or network is None:
            continue
        shared = service.bgpaas_shared is True
        label = f"bgpaas-{uuid}" if shared else f"bgpaas-{uuid}-{port.uuid}"
        client = _client(view, service, port, network, label)
        if client is None:
            detail = f"port {':'.join(port.fq_name)} has no address yet: no session with it"
            violations.append(Violation(SERVICE, service.fq_name, "no_address", detail))
            continue
        known = clients.get(client.name)
        if known is None:
            clients[client.name] = client
        else:
            clients[client.name] = _joined(known, client)
    ordered = tuple(clients[name] for name in sorted(clients))
    return Outcome(ordered or None, violations=tuple(violations))


def bgpaas_ports(view: View) -> dict[str, Outcome]:
    """Give every client a source port: the one it has, else a free one from a hash of its name."""
    pool = _pool(view)
    names = sorted({client.name for client in _clients(view)})
    claimed: dict[int, FqName] = {}
    for name in names:
        stored = view.by_name(BgpRouter, name)
        parameters = None if stored is None else stored.bgp_router_parameters
        number = None if parameters is None else parameters.source_port
        if number is not None and number in pool:
            claimed.setdefault(number, name)
    outcomes = {":".join(name): Outcome(number) for number, name in claimed.items()}
    for name in names:
        text = ":".join(name)
        if text in outcomes:
            continue
        number = _free_port(pool, text, claimed)
        if number is None:
            detail = f"all {len(pool)} source ports are in use: no session; widen bgpaas_parameters"
            outcomes[text] = Outcome(
                violations=(Violation(BGP_ROUTER, name, "bgpaas_ports_exhausted", detail),)
            )
        else:
            claimed[number] = name
            outcomes[text] = Outcome(number)
    return outcomes


def bgpaas(view: View, uuid: str) -> Outcome:
    """Derive the client and server routers of one service, and its references to the clients."""
    service = view.get(BgpAsAService, uuid)
    if service is None:
        return Outcome()
    clients = _ready_clients(view, uuid)
    derived: dict[DerivedKey, Derived] = {}
    for client, source_port in clients:
        notes = _zone_notes(view, service, client)
        for each in (_server(view, client), _router(service, client, source_port, notes)):
            derived[each.key] = each
    links = tuple(Link(client.name) for client, _ in clients)
    filled = Derived(
        DerivedKey(SERVICE, service.fq_name), links={ROUTERS_FIELD: links}, update_only=True
    )
    return Outcome(derived=(*derived.values(), filled))


def control_node_zones(view: View) -> dict[str, Outcome]:
    """Return the addresses of the control nodes in each zone, in order, IPv4 before IPv6."""
    outcomes: dict[str, Outcome] = {}
    for zone in view.every(ControlNodeZone):
        found = [
            router.bgp_router_parameters
            for router in view.referrers(BgpRouter, zone.uuid)
            if router.bgp_router_parameters is not None
        ]
        addresses = [
            ip_address(each.address)
            for each in found
            if each.router_type == CONTROL_NODE and each.address and _is_address(each.address)
        ]
        # A vRouter takes the first of its own IP version.
        addresses.sort(key=lambda address: (address.version, address.packed))
        outcomes[":".join(zone.fq_name)] = Outcome(tuple(map(str, addresses)))
    return outcomes


def port_bgp_routers(view: View) -> dict[str, Outcome]:
    """Give ports the references to their clients; take away those to clients that are leaving."""
    wanted: dict[str, set[FqName]] = {}
    for service, _ in view.rows("bgpaas_clients", tuple):
        for client, _ in _ready_clients(view, service):
            for uuid in client.ports:
                wanted.setdefault(uuid, set()).add(client.name)
    for router in view.every(BgpRouter):
        if _is_made_here(router.uuid, router.fq_name):
            for port in view.referrers(VirtualMachineInterface, router.uuid):
                wanted.setdefault(port.uuid, set())
    outcomes: dict[str, Outcome] = {}
    for uuid, names in wanted.items():
        port = view.get(VirtualMachineInterface, uuid)
        if port is not None:
            foreign = {
                each.to for each in port.bgp_router_refs if not _is_made_here(each.uuid, each.to)
            }
            links = {ROUTERS_FIELD: tuple(Link(name) for name in sorted(names | foreign))}
            filled = Derived(DerivedKey(PORT, port.fq_name), links=links, update_only=True)
            outcomes[uuid] = Outcome(derived=(filled,))
    return outcomes


def _client(
    view: View,
    service: BgpAsAService,
    port: VirtualMachineInterface,
    network: VirtualNetwork,
    label: str,
) -> Client | None:
    instance = default_instance_name(network.fq_name)
    if view.by_name(RoutingInstance, instance) is None:
        return None
    addresses = _addresses(view, port)
    given = service.bgpaas_ip_address
    address = given if given and _is_address(given) else next(iter(addresses), None)
    if address is None:
        return None
    fourth = [each for each in (address, *addresses) if ip_address(each).version == 4]
    return Client(
        name=(*instance, label),
        address=address,
        identifier=fourth[0] if fourth else None,
        gateway=_gateway(network, addresses, 4),
        ipv6_gateway=_gateway(network, addresses, 6),
        ports=(port.uuid,),
    )


def _joined(first: Client, other: Client) -> Client:
    return Client(
        first.name,
        first.address,
        first.identifier,
        first.gateway or other.gateway,
        first.ipv6_gateway or other.ipv6_gateway,
        (*first.ports, *other.ports),
    )


def _network(view: View, port: VirtualMachineInterface) -> VirtualNetwork | None:
    for reference in port.virtual_network_refs:
        return view.get(VirtualNetwork, reference.uuid)
    return None


def _addresses(view: View, port: VirtualMachineInterface) -> list[str]:
    """Return the port's own addresses, IPv4 before IPv6, in address order."""
    found = [
        ip_address(item.instance_ip_address)
        for item in view.referrers(InstanceIp, port.uuid)
        if item.instance_ip_address
        and _is_address(item.instance_ip_address)
        and not (
            item.instance_ip_secondary or item.service_health_check_ip or item.service_instance_ip
        )
    ]
    return [str(each) for each in sorted(found, key=lambda each: (each.version, int(each)))]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _gateway(network: VirtualNetwork, addresses: list[str], version: int) -> str | None:
    """Return the gateway of the subnet that holds an address of this version."""
    own = [ip_address(each) for each in addresses if ip_address(each).version == version]
    for reference in network.network_ipam_refs:
        for subnet in () if reference.attr is None else reference.attr.ipam_subnets:
            prefix = subnet.subnet
            if prefix is None or not prefix.ip_prefix or prefix.ip_prefix_len is None:
                continue
            try:
                whole = ip_network(f"{prefix.ip_prefix}/{prefix.ip_prefix_len}", strict=False)
            except ValueError:
                # The API server checks subnets; an older one that is bad has no gateway.
                continue
            if any(each in whole for each in own):
                return subnet.default_gateway
    return None


def _clients(view: View) -> Iterator[Client]:
    for _, clients in view.rows("bgpaas_clients", tuple):
        yield from clients


def _ready_clients(view: View, uuid: str) -> list[tuple[Client, int]]:
    clients: tuple[Client, ...] = view.row("bgpaas_clients", uuid, tuple) or ()
    found: list[tuple[Client, int]] = []
    for client in clients:
        number = view.row("bgpaas_ports", ":".join(client.name), int)
        if number is not None:
            found.append((client, number))
    return found


def _pool(view: View) -> range:
    system = view.by_name(GlobalSystemConfig, SYSTEM_CONFIG_NAME)
    given = None if system is None else system.bgpaas_parameters
    if given is None or given.port_start is None or given.port_end is None:
        return PORTS_DEFAULT
    return range(given.port_start, given.port_end + 1)


def _free_port(pool: range, text: str, claimed: dict[int, FqName]) -> int | None:
    if not pool:
        return None
    start = _hash(text) % len(pool)
    for step in range(len(pool)):
        number = pool[(start + step) % len(pool)]
        if number not in claimed:
            return number
    return None


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def _server(view: View, client: Client) -> Derived:
    return Derived(
        DerivedKey(BGP_ROUTER, (*client.instance, SERVER_NAME)),
        properties={
            "bgp_router_parameters": BgpRouterParams(
                router_type=SERVER, autonomous_system=global_asn(view)
            )
        },
        parent_type=INSTANCE,
    )


def _zone_notes(view: View, service: BgpAsAService, client: Client) -> KeyValuePairs:
    """Say to which control nodes the sessions lead; without zones the agent's own serve."""
    pairs: list[KeyValuePair] = []
    for kind, key in zip(_ZONE_KINDS, BGPAAS_CONTROL_NODES, strict=True):
        for reference in service.control_node_zone_refs:
            given = None if reference.attr is None else reference.attr.bgpaas_control_node_zone_type
            if (given or _ZONE_KINDS[0]) != kind:
                continue
            addresses = view.row("control_node_zones", ":".join(reference.to), tuple) or ()
            # Clients begin with different ones, so that those of a zone share the load.
            start = _hash(":".join(client.name)) % max(len(addresses), 1)
            pairs.append(
                KeyValuePair(key=key, value=",".join((*addresses[start:], *addresses[:start])))
            )
    return KeyValuePairs(key_value_pair=tuple(pairs))


def _router(
    service: BgpAsAService, client: Client, source_port: int, notes: KeyValuePairs
) -> Derived:
    attributes = service.bgpaas_session_attributes or BgpSessionAttributes()
    session = BgpPeeringAttributes(session=(BgpSession(attributes=(attributes,)),))
    zones = sorted({each.to for each in service.control_node_zone_refs})
    return Derived(
        DerivedKey(BGP_ROUTER, client.name),
        properties={
            "bgp_router_parameters": BgpRouterParams(
                router_type=CLIENT,
                autonomous_system=service.autonomous_system,
                address=client.address,
                identifier=client.identifier,
                source_port=source_port,
                gateway_address=client.gateway,
                ipv6_gateway_address=client.ipv6_gateway,
            ),
            "annotations": notes,
        },
        links={
            ROUTERS_FIELD: (Link((*client.instance, SERVER_NAME), session),),
            "control_node_zone_refs": tuple(Link(name) for name in zones),
        },
        parent_type=INSTANCE,
    )


def _is_made_here(uuid: str, fq_name: FqName) -> bool:
    return uuid == derived_uuid(BGP_ROUTER, fq_name)


PASSES: Final = (
    UnitPass(
        "bgpaas_clients",
        SERVICE,
        frozenset({SERVICE, PORT, VirtualNetwork.type_name, INSTANCE, InstanceIp.type_name}),
        bgpaas_clients,
    ),
    TablePass(
        "bgpaas_ports",
        frozenset({BGP_ROUTER, GlobalSystemConfig.type_name}),
        bgpaas_ports,
        upstream=("bgpaas_clients",),
    ),
    TablePass(
        "control_node_zones",
        frozenset({ControlNodeZone.type_name, BGP_ROUTER}),
        control_node_zones,
    ),
    UnitPass(
        "bgpaas",
        SERVICE,
        frozenset({SERVICE, GlobalSystemConfig.type_name}),
        bgpaas,
        ("bgpaas_clients", "bgpaas_ports", "control_node_zones"),
    ),
    TablePass(
        "port_bgp_routers",
        frozenset({PORT, BGP_ROUTER}),
        port_bgp_routers,
        upstream=("bgpaas_clients", "bgpaas_ports"),
    ),
)
