"""What the agent understands of its configuration: networks, ports, groups, DNS, as plain values.

``build_view`` is a pure function of the graph. A value that cannot be read is left out, never
guessed: a port without network or MAC is not there, a rule that cannot be read never allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TypeVar

from skytrail.agent.access_list import AccessList, joined, prefix_order, read_access_list
from skytrail.agent.balance_config import omitted_fields
from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import (
    annotation_of,
    bounded_of,
    flag_of,
    list_of,
    mapping_of,
    number_of,
    object_uuid,
    prefix_of,
    text_of,
    unscoped,
    usable_address_of,
)
from skytrail.agent.dhcp_config import NOTHING, DhcpConfig, HostRoute, read_dhcp, read_routes
from skytrail.agent.fabric_config import NOTHING_SET, FabricConfig, fabric_config, leaves_by_host
from skytrail.agent.floating_config import Binding, bindings
from skytrail.agent.flow_config import (
    FAT_FLOWS_OF_NETWORK,
    FAT_FLOWS_OF_PORT,
    FatFlow,
    ageing_rows,
    read_fat_flows,
)
from skytrail.agent.health.check import HealthCheck
from skytrail.agent.health.configured import (
    BGP_SERVICE,
    CHECK,
    check_addresses,
    checks_of_port,
    ports_of_check,
)
from skytrail.agent.mirror import PortMirror, read_port_mirror
from skytrail.agent.multicast_config import (
    is_assisted,
    replicator_address,
    takes_all_reports,
    takes_reports,
)
from skytrail.agent.qos import NO_RATES, QosTable, Rates, fabric_qos, qos_of, qos_tables, rates_of
from skytrail.agent.security_sets import (
    NO_SECURITY,
    SECURITY_TYPES,
    PortSecurity,
    SecurityReader,
)
from skytrail.agent.service_tags import (
    OtherSide,
    ServiceTag,
    is_analyzer,
    other_sides,
    service_tags,
    shared_addresses,
    side_of,
    translates,
)
from skytrail.agent.tables import AgeingRow, Encapsulation, IpNetwork, Tag
from skytrail.agent.workload_bgp import WorkloadBgp, workload_bgp
from skytrail.model.annotation_names import (
    BROADCAST_REPLICATION,
    BY_TREE,
    FLOODED,
    STICKY_MAC,
    UNHEARD_MULTICAST,
)
from skytrail.net import Mac
from skytrail.wire.dns.ordering import ORDER_DEFAULT
from skytrail.wire.dns.zones import DnsRecord, VirtualDns
from skytrail.wire.xmpp import ConfigKey, ConfigNode, ConfigValue

T = TypeVar("T")
IpAddress = IPv4Address | IPv6Address
LOCAL_PREFERENCE_ACTIVE = 200
UNDERLAY_NETWORK = "default-domain:default-project:ip-fabric"
_VNI_MAX = (1 << 24) - 1
_U16_MAX = (1 << 16) - 1
_U32_MAX = (1 << 32) - 1
DEFAULT_ENCAPSULATIONS = (Encapsulation.MPLS_UDP, Encapsulation.MPLS_GRE, Encapsulation.VXLAN)
_ENCAPSULATION_NAMES = {
    "MPLSoUDP": Encapsulation.MPLS_UDP,
    "MPLSoGRE": Encapsulation.MPLS_GRE,
    "VXLAN": Encapsulation.VXLAN,
}
_CHAIN_INSTANCE = re.compile(r"service-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-.*")


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """``ingress``/``egress`` None = the list has not arrived: allows nothing."""

    name: str
    group_id: int
    ingress: AccessList | None
    egress: AccessList | None


@dataclass(frozen=True, slots=True)
class Subnet:
    prefix: IpNetwork
    gateway: IpAddress | None
    service_address: IpAddress | None
    """Where DNS is answered."""
    dhcp_enabled: bool
    dns_servers: tuple[IpAddress, ...]
    """Named by the user; they replace the service address in DHCP replies."""
    ipam: Ipam
    dhcp: DhcpConfig = NOTHING
    network_routes: tuple[HostRoute, ...] = ()
    """Of the network, for workloads whose port and subnet have none."""


@dataclass(frozen=True, slots=True)
class Ipam:
    name: str
    dns_method: str = ""
    virtual_dns: str = ""
    """Fully qualified name; empty unless the method is virtual-dns-server."""
    tenant_dns_servers: tuple[IpAddress, ...] = ()
    dhcp: DhcpConfig = NOTHING


@dataclass(frozen=True, slots=True)
class VirtualNetwork:
    name: str
    network_id: int
    vni: int
    """0 = none known."""
    mtu_bytes: int
    """0 = not configured."""
    vrf: str
    """Name of the default routing instance; empty = not arrived."""
    subnets: tuple[Subnet, ...]
    access_list: AccessList | None
    """None = no network policy: everything is allowed by this stage."""
    is_underlay: bool = False
    """Its IPv4 packets go without tunnel: the underlay routes to its workloads."""
    floods_by_tree: bool = False
    """What members send to everybody travels along an overlay tree."""
    floods_assisted: bool = False
    """It goes to a replicator, if there is one."""
    floods_unknown: bool = False
    """What is for a MAC that nobody is known to have goes to everybody as well."""
    qos: str = ""
    """QoS configuration of what its ports send; comes before the ports' own."""
    flow_count_max: int = 0
    """Of each of its ports that names no limit."""
    fat_flows: tuple[FatFlow, ...] = ()

    is_mirror_destination: bool = False
    """Its ports take copies of others' packets: no policy applies to them."""
    leaves_by_host: bool = False
    """Workloads reach the underlay by their host's address (``fabric_snat``)."""
    takes_reports: bool = False
    """Members say by IGMP or MLD which groups they listen to."""
    drops_unheard: bool = True
    """What is sent to a group nobody listens to goes to nobody; else to everybody."""

    def subnet_of(self, address: IpAddress) -> Subnet | None:
        matches = [
            subnet
            for subnet in self.subnets
            if subnet.prefix.version == address.version and address in subnet.prefix
        ]
        return max(matches, key=lambda subnet: subnet.prefix.prefixlen, default=None)


@dataclass(frozen=True, slots=True)
class AddressPair:
    prefix: IpNetwork
    mac: Mac | None
    is_shared: bool = False
    """All ports with it carry it at once: routes lead to each of them. Else who announces it."""

    @property
    def is_host(self) -> bool:
        return self.prefix.prefixlen == self.prefix.max_prefixlen


@dataclass(frozen=True, slots=True)
class Port:
    """A virtual-machine-interface in running form."""

    uuid: str
    name: str
    network: VirtualNetwork
    mac: Mac
    addresses: tuple[IpAddress, ...]
    groups: tuple[SecurityGroup, ...]
    missing_groups: tuple[str, ...]
    """Referred to but not arrived; policy fails closed."""
    policy_disabled: bool
    port_security: bool
    address_pairs: tuple[AddressPair, ...]
    host_name: str
    flow_count_max: int = 0
    bgp: WorkloadBgp | None = None
    """Its BGP sessions with control nodes (BGP as a service)."""
    has_sticky_mac: bool = False
    """Nobody else may claim its MAC (RFC 7432 section 15.2)."""
    routes: tuple[IpNetwork, ...] = ()
    """Prefixes behind the workload, which it may send from and is sent packets for."""
    local_preference: int = LOCAL_PREFERENCE_ACTIVE
    """Of its routes: the highest of those who share an address is used."""
    chains: tuple[tuple[str, str], ...] = ()
    """Service chains that lead through the workload: (id, instance where they go on)."""
    copy: str = ""
    """The copy of a service (port-tuple) it is a side of; empty: of none."""
    side: str = ""
    """left, right, or another interface of the service."""
    translates: bool = False
    """The service sends on in its own name what comes to its left side."""
    other_sides: tuple[OtherSide, ...] = ()
    """Of its copy: without them it is of no use to chains."""
    shared_addresses: tuple[IpAddress, ...] = ()
    """Where chains lead to, shared by the copies."""
    service_tags: tuple[ServiceTag, ...] = ()
    """Chains through a transparent service, by VLAN."""
    tag: Tag | None = None
    """Of a port that a VLAN makes (``tagged``)."""
    health_checks: tuple[HealthCheck, ...] = ()
    """What is asked of the workload; while one fails, its routes are withdrawn."""
    check_addresses: tuple[IpAddress, ...] = ()
    """Where the vRouter asks from along the way through the workload."""
    security: PortSecurity = NO_SECURITY
    """Its tags, and the application policy sets it obeys."""
    floating: tuple[tuple[Binding, VirtualNetwork], ...] = ()
    """Floating and alias addresses, each with the network it is from."""
    mirror: PortMirror | None = None
    """Who gets copies of its frames."""
    mirror_problem: str = ""
    is_analyzer: bool = False
    """Of a service that analyzes copies of packets."""
    floating_problems: tuple[str, ...] = ()
    """Why others are not served."""
    dhcp: DhcpConfig = NOTHING
    qos: str = ""
    """QoS configuration of what it sends, where neither a rule nor its network names one."""
    rates: Rates = NO_RATES
    omitted: int = 0
    """Fields of a flow that do not count when it is one of several with an address (``share``)."""
    fat_flows: tuple[FatFlow, ...] = ()
    """Merged beside the network's."""
    takes_reports: bool = False
    """It says by IGMP or MLD which groups it listens to, and gets no others."""


@dataclass(frozen=True, slots=True)
class View:
    """Everything typed; ports by uuid, the rest by name."""

    ports: Mapping[str, Port] = field(default_factory=dict[str, Port])
    problems: Mapping[str, str] = field(default_factory=dict[str, str])
    """Port uuid -> why it cannot be active."""
    networks: Mapping[str, VirtualNetwork] = field(default_factory=dict[str, VirtualNetwork])
    groups: Mapping[str, SecurityGroup] = field(default_factory=dict[str, SecurityGroup])
    virtual_dns: Mapping[str, VirtualDns] = field(default_factory=dict[str, VirtualDns])
    encapsulations: tuple[Encapsulation, ...] = DEFAULT_ENCAPSULATIONS
    replicator: IPv4Address | None = None
    """By which the host copies for leaves of assisted replication; None: it does not."""
    qos: Mapping[str, QosTable] = field(default_factory=dict[str, QosTable])
    fabric_qos: str = ""
    """QoS configuration of the underlay interface."""
    fabric: FabricConfig = NOTHING_SET
    ageing: tuple[AgeingRow, ...] = ()


_BESIDE_PORTS = frozenset(
    {
        "alias-ip",
        "floating-ip",
        "instance-ip",
        "virtual-machine",
        "interface-route-table",
        "bgp-router",
        BGP_SERVICE,
        CHECK,
        "port-tuple",
    }
)
_PORT_PARTS = _BESIDE_PORTS | {"virtual-machine-interface"}
"""Objects that only ports are read from."""
_DNS_PARTS = frozenset({"virtual-DNS", "virtual-DNS-record"})


def build_view(
    graph: ConfigGraph, old: View | None = None, security: SecurityReader | None = None
) -> View:
    """Read the whole graph. O(objects).

    Networks, groups and ports that equal those of ``old`` are the same objects, so that who
    depends on them sees that they did not change. ``security`` knows what it read before.
    """
    old = old or View()
    builder = _Builder(graph, old=old, security=security)
    networks = {
        node.key.name: _kept(old.networks.get(node.key.name), builder.network(node))
        for node in graph.nodes("virtual-network")
    }
    ports: dict[str, Port] = {}
    problems: dict[str, str] = {}
    for node in graph.nodes("virtual-machine-interface"):
        builder.put_port(node, networks, (ports, problems))
    qos = _kept(old.qos, qos_tables(graph))
    return View(
        ports=ports,
        problems=problems,
        networks=networks,
        groups=builder.all_groups(),
        virtual_dns=builder.all_virtual_dns(),
        encapsulations=_encapsulations(graph),
        replicator=replicator_address(graph),
        qos=qos,
        fabric_qos=fabric_qos(qos),
        fabric=_kept(
            old.fabric,
            fabric_config(graph, leaves=any(each.leaves_by_host for each in networks.values())),
        ),
        ageing=ageing_rows(graph),
    )


def _kept(old: T | None, new: T) -> T:
    return old if old is not None and old == new else new


class IncrementalView:
    """Keeps a view up to date; always equal to :func:`build_view` of the same graph.

    Changes that only touch ports or DNS records reread just those, and changes of tags and policy
    sets just what they say of ports; any other rereads all.
    """

    def __init__(self) -> None:
        self.view = View()
        self._uuids: dict[ConfigKey, str] = {}
        self._security = SecurityReader(ConfigGraph())

    def update(self, graph: ConfigGraph) -> View:
        """Take over what changed in ``graph`` since the last call."""
        if self._security.graph is not graph:
            self._security = SecurityReader(graph)
        changes = graph.take_changes()
        self._security.forget(changes)
        changes = {
            (key, other)
            for key, other in changes
            # What else is linked to a port is not read differently for that, but for a network
            # that has its addresses checked.
            if (key.type_name, other) == ("virtual-network", CHECK)
            or other not in _PORT_PARTS
            or key.type_name in _PORT_PARTS
        }
        secured = {
            (key, other)
            for key, other in changes
            if key.type_name not in _PORT_PARTS and {key.type_name, other} & SECURITY_TYPES
        }
        changed = {key for key, _ in changes - secured}
        types = {key.type_name for key in changed}
        if not types <= _PORT_PARTS | _DNS_PARTS:
            self.view = build_view(graph, self.view, self._security)
            self._uuids = {
                node.key: object_uuid(node) for node in graph.nodes("virtual-machine-interface")
            }
            return self.view
        if types:
            self.view = self._reread(graph, changed, types)
        if secured:
            self.view = self._secure()
        return self.view

    def _secure(self) -> View:
        """Read again what tags and policy sets say of the ports."""
        ports: dict[str, Port] = {}
        for uuid, port in self.view.ports.items():
            security = self._security.port(ConfigKey("virtual-machine-interface", port.name))
            ports[uuid] = port if port.security == security else replace(port, security=security)
        return replace(self.view, ports=ports)

    def _reread(self, graph: ConfigGraph, changed: set[ConfigKey], types: set[str]) -> View:
        builder = _Builder(graph, self.view, security=self._security)
        keys = {key for key in changed if key.type_name == "virtual-machine-interface"}
        for key in changed:
            if key.type_name in _BESIDE_PORTS:
                keys.update(graph.neighbours(key, "virtual-machine-interface"))
                for bound in graph.neighbours(key, "floating-ip"):
                    keys.update(graph.neighbours(bound, "virtual-machine-interface"))
                if key.type_name == CHECK:
                    keys |= ports_of_check(graph, key)
        for key in list(keys):
            for copy in graph.neighbours(key, "port-tuple"):
                keys.update(graph.neighbours(copy, "virtual-machine-interface"))
        ports, problems = dict(self.view.ports), dict(self.view.problems)
        for key in sorted(keys):
            old = self._uuids.pop(key, "")
            ports.pop(old, None)
            problems.pop(old, None)
        for key in sorted(keys):
            node = graph.node(key)
            if node is not None:
                self._uuids[key] = object_uuid(node)
                builder.put_port(node, self.view.networks, (ports, problems))
        virtual_dns = builder.all_virtual_dns() if types & _DNS_PARTS else self.view.virtual_dns
        return replace(self.view, ports=ports, problems=problems, virtual_dns=virtual_dns)


def _encapsulations(graph: ConfigGraph) -> tuple[Encapsulation, ...]:
    for node in graph.nodes("global-vrouter-config"):
        names = list_of(
            mapping_of(node.properties.get("encapsulation_priorities")).get("encapsulation")
        )
        found = [_ENCAPSULATION_NAMES.get(text_of(name)) for name in names]
        known = tuple(dict.fromkeys(kind for kind in found if kind is not None))
        if known:
            return known
    return DEFAULT_ENCAPSULATIONS


class _Builder:
    """Readers that follow links."""

    def __init__(
        self,
        graph: ConfigGraph,
        known: View | None = None,
        *,
        old: View | None = None,
        security: SecurityReader | None = None,
    ) -> None:
        self._graph = graph
        self._security = security or SecurityReader(graph)
        self._old = old or known or View()
        self._reports_everywhere = takes_all_reports(graph)
        self._groups: dict[ConfigKey, SecurityGroup] = {}
        if known is not None:
            self._groups = {ConfigKey("security-group", n): g for n, g in known.groups.items()}

    def put_port(
        self,
        node: ConfigNode,
        networks: Mapping[str, VirtualNetwork],
        found: tuple[dict[str, Port], dict[str, str]],
    ) -> None:
        """Read one port into (ports, problems)."""
        uuid = object_uuid(node)
        port = self.port(node, uuid, networks)
        if isinstance(port, Port):
            found[0][uuid] = _kept(self._old.ports.get(uuid), port)
        else:
            found[1][uuid] = port

    def all_virtual_dns(self) -> dict[str, VirtualDns]:
        return {n.key.name: self.virtual_dns(n) for n in self._graph.nodes("virtual-DNS")}

    def all_groups(self) -> dict[str, SecurityGroup]:
        return {n.key.name: self.group(n.key) for n in self._graph.nodes("security-group")}

    def network(self, node: ConfigNode) -> VirtualNetwork:
        properties = mapping_of(node.properties.get("virtual_network_properties"))
        network_id = bounded_of(
            node.properties.get("virtual_network_network_id"), _VNI_MAX
        ) or bounded_of(properties.get("network_id"), _VNI_MAX)
        lists = self._graph.linked_nodes(node.key, "access-control-list")
        access_lists = [read_access_list(entry) for entry in lists]
        replication = annotation_of(node.properties, BROADCAST_REPLICATION)
        is_underlay, vrf = self._is_underlay(node), self._default_instance(node.key)
        return VirtualNetwork(
            name=node.key.name,
            network_id=network_id,
            vni=bounded_of(properties.get("vxlan_network_identifier"), _VNI_MAX) or network_id,
            mtu_bytes=bounded_of(node.properties.get("mtu"), 65535),
            vrf=vrf,
            subnets=tuple(self._subnets(node.key)),
            access_list=joined(node.key.name, access_lists),
            is_underlay=is_underlay,
            floods_by_tree=replication == BY_TREE,
            floods_assisted=is_assisted(self._graph, node),
            floods_unknown=flag_of(node.properties.get("flood_unknown_unicast")),
            qos=qos_of(self._graph, node.key),
            fat_flows=read_fat_flows(node.properties.get(FAT_FLOWS_OF_NETWORK)),
            flow_count_max=bounded_of(properties.get("max_flows"), _U32_MAX),
            is_mirror_destination=flag_of(properties.get("mirror_destination")),
            leaves_by_host=leaves_by_host(self._graph, node, vrf) and not is_underlay,
            takes_reports=self._reports_everywhere or takes_reports(node),
            drops_unheard=annotation_of(node.properties, UNHEARD_MULTICAST) != FLOODED,
        )

    def _is_underlay(self, network: ConfigNode) -> bool:
        """Tell whether a network refers to the one that stands for the underlay.

        Other provider networks are a provider's VLANs.
        """
        others = self._graph.linked_nodes(network.key, "virtual-network")
        return any(other.key.name == UNDERLAY_NETWORK for other in others)

    def _default_instance(self, network: ConfigKey) -> str:
        name = f"{network.name}:{network.name.rpartition(':')[2]}"
        keys = self._graph.neighbours(network, "routing-instance")
        for key in keys:
            node = self._graph.node(key)
            if node and flag_of(node.properties.get("routing_instance_is_default")):
                return key.name
        return name if any(key.name == name for key in keys) else ""

    def _subnets(self, network: ConfigKey) -> Iterator[Subnet]:
        for key in self._graph.neighbours(network, "network-ipam"):
            ipam = self._ipam(key)
            attribute = mapping_of(self._graph.link_value(network, key))
            shared = read_routes(attribute.get("host_routes"))
            for entry in list_of(attribute.get("ipam_subnets")):
                subnet = _subnet(mapping_of(entry), ipam, shared)
                if subnet is not None:
                    yield subnet
            node = self._graph.node(key)
            flat = mapping_of(node.properties.get("ipam_subnets")) if node else {}
            for entry in list_of(flat.get("subnets")):
                subnet = _subnet(mapping_of(entry), ipam, shared)
                if subnet is not None:
                    yield subnet

    def _ipam(self, key: ConfigKey) -> Ipam:
        node = self._graph.node(key)
        settings = mapping_of(node.properties.get("network_ipam_mgmt")) if node else {}
        method = text_of(settings.get("ipam_dns_method"))
        server = mapping_of(settings.get("ipam_dns_server"))
        virtual_dns = ""
        if method == "virtual-dns-server":
            linked = self._graph.neighbours(key, "virtual-DNS")
            virtual_dns = (
                linked[0].name if linked else text_of(server.get("virtual_dns_server_name"))
            )
        tenant = mapping_of(server.get("tenant_dns_server_address"))
        addresses = [usable_address_of(entry) for entry in list_of(tenant.get("ip_address"))]
        return Ipam(
            name=key.name,
            dns_method=method,
            virtual_dns=virtual_dns,
            tenant_dns_servers=tuple(address for address in addresses if address),
            dhcp=read_dhcp(settings.get("dhcp_option_list"), settings.get("host_routes")),
        )

    def port(
        self, node: ConfigNode, uuid: str, networks: Mapping[str, VirtualNetwork]
    ) -> Port | str:
        """Return the port, or why it cannot be used."""
        properties = node.properties
        id_perms = mapping_of(properties.get("id_perms"))
        if not flag_of(id_perms.get("enable"), default=True):
            return "disabled by id_perms.enable"
        found = self._graph.neighbours(node.key, "virtual-network")
        network = networks.get(found[0].name) if found else None
        if network is None:
            return "virtual network has not arrived"
        if not network.vrf:
            return "routing instance has not arrived"
        macs = mapping_of(properties.get("virtual_machine_interface_mac_addresses"))
        mac = _mac_of(next(iter(list_of(macs.get("mac_address"))), None))
        if mac is None:
            return "no usable MAC address"
        keys = self._graph.neighbours(node.key, "security-group")
        pairs = mapping_of(properties.get("virtual_machine_interface_allowed_address_pairs"))
        limits = mapping_of(properties.get("virtual_machine_interface_properties"))
        addresses = self._addresses(node.key)
        floating, problems = self._floating(node.key, addresses, networks)
        mirror, mirror_problem = read_port_mirror(limits.get("interface_mirror"))
        return Port(
            uuid=uuid,
            name=node.key.name,
            network=network,
            mac=mac,
            addresses=addresses,
            floating=floating,
            floating_problems=problems,
            mirror=mirror,
            mirror_problem=mirror_problem,
            is_analyzer=is_analyzer(self._graph, node.key),
            check_addresses=check_addresses(self._graph, node.key),
            groups=tuple(self.group(key) for key in keys if self._graph.node(key)),
            missing_groups=tuple(key.name for key in keys if not self._graph.node(key)),
            policy_disabled=flag_of(properties.get("virtual_machine_interface_disable_policy")),
            port_security=flag_of(properties.get("port_security_enabled"), default=True),
            address_pairs=(
                *_address_pairs(list_of(pairs.get("allowed_address_pair"))),
                *self._standby_pairs(node.key),
            ),
            host_name=self._host_name(node),
            flow_count_max=bounded_of(limits.get("max_flows"), _U32_MAX) or network.flow_count_max,
            bgp=workload_bgp(self._graph, node.key),
            has_sticky_mac=annotation_of(properties, STICKY_MAC) == "true",
            takes_reports=network.takes_reports or takes_reports(node),
            routes=self._routes(node.key),
            local_preference=bounded_of(limits.get("local_preference"), _U32_MAX)
            or LOCAL_PREFERENCE_ACTIVE,
            chains=_chains(mapping_of(properties.get("vrf_assign_table"))),
            copy=next((key.name for key in self._graph.neighbours(node.key, "port-tuple")), ""),
            side=side_of(node),
            translates=translates(self._graph, node.key),
            other_sides=other_sides(self._graph, node),
            shared_addresses=shared_addresses(self._graph, node.key),
            service_tags=service_tags(self._graph, node.key),
            health_checks=checks_of_port(self._graph, node.key, found[0]),
            security=self._security.port(node.key),
            rates=rates_of(properties),
            omitted=omitted_fields(node, self._graph.node(found[0]), self._graph),
            fat_flows=read_fat_flows(properties.get(FAT_FLOWS_OF_PORT)),
            dhcp=read_dhcp(
                properties.get("virtual_machine_interface_dhcp_option_list"),
                properties.get("virtual_machine_interface_host_routes"),
            ),
            qos=qos_of(self._graph, node.key),
        )

    def _floating(
        self,
        port: ConfigKey,
        own: tuple[IpAddress, ...],
        networks: Mapping[str, VirtualNetwork],
    ) -> tuple[tuple[tuple[Binding, VirtualNetwork], ...], tuple[str, ...]]:
        found, problems = bindings(self._graph, port, own)
        served: list[tuple[Binding, VirtualNetwork]] = []
        for binding in found:
            network = networks.get(binding.network)
            if network is None or not network.vrf:
                problems += (f"{binding.outside}: network {binding.network} has not arrived",)
            else:
                served.append((binding, network))
        return tuple(served), problems

    def _routes(self, port: ConfigKey) -> tuple[IpNetwork, ...]:
        found: set[IpNetwork] = set()
        for node in self._graph.linked_nodes(port, "interface-route-table"):
            table = mapping_of(node.properties.get("interface_route_table_routes"))
            for entry in list_of(table.get("route")):
                try:
                    prefix = text_of(mapping_of(entry).get("prefix"))
                    found.add(ip_network(unscoped(prefix), strict=False))
                except ValueError:
                    # The API takes any text; what is no prefix leads nowhere.
                    continue
        return tuple(sorted(found, key=prefix_order))

    def _addresses(self, port: ConfigKey) -> tuple[IpAddress, ...]:
        """Return the port's addresses, secondary ones last: DHCP offers the first that fits."""
        found: dict[IpAddress, bool] = {}
        for node in self._graph.linked_nodes(port, "instance-ip"):
            address = usable_address_of(node.properties.get("instance_ip_address"))
            if address is None or flag_of(node.properties.get("service_health_check_ip")):
                # Health checks probe from that address; nobody sends to it.
                continue
            if _is_standby(node, address):
                continue
            secondary = flag_of(node.properties.get("instance_ip_secondary"))
            found[address] = found.get(address, True) and secondary
        return tuple(sorted(found, key=lambda each: (found[each], each.version, int(each))))

    def _standby_pairs(self, port: ConfigKey) -> Iterator[AddressPair]:
        """Yield further addresses of which one of several ports has each at a time, as pairs."""
        for node in self._graph.linked_nodes(port, "instance-ip"):
            address = usable_address_of(node.properties.get("instance_ip_address"))
            if address is not None and _is_standby(node, address):
                yield AddressPair(ip_network(address), None)

    def _host_name(self, port: ConfigNode) -> str:
        for machine in self._graph.linked_nodes(port.key, "virtual-machine"):
            name = text_of(machine.properties.get("display_name")) or machine.key.name
            return name.rpartition(":")[2]
        return text_of(port.properties.get("display_name")) or port.key.name.rpartition(":")[2]

    def group(self, key: ConfigKey) -> SecurityGroup:
        group = self._groups.get(key)
        if group is None:
            node = self._graph.node(key)
            lists: dict[str, AccessList] = {}
            for entry in self._graph.linked_nodes(key, "access-control-list"):
                lists[entry.key.name.rpartition(":")[2]] = read_access_list(entry)
            group = SecurityGroup(
                name=key.name,
                group_id=bounded_of(node.properties.get("security_group_id"), _U32_MAX)
                if node
                else 0,
                ingress=lists.get("ingress-access-control-list"),
                egress=lists.get("egress-access-control-list"),
            )
            group = _kept(self._old.groups.get(key.name), group)
            self._groups[key] = group
        return group

    def virtual_dns(self, node: ConfigNode) -> VirtualDns:
        settings = mapping_of(node.properties.get("virtual_DNS_data"))
        ttl_s = number_of(settings.get("default_ttl_seconds")) or 86400
        records: list[DnsRecord] = []
        for entry in self._graph.linked_nodes(node.key, "virtual-DNS-record"):
            parts = mapping_of(entry.properties.get("virtual_DNS_record_data"))
            own_ttl = number_of(parts.get("record_ttl_seconds"))
            records.append(
                DnsRecord(
                    name=text_of(parts.get("record_name")),
                    record_type=text_of(parts.get("record_type")).upper(),
                    content=text_of(parts.get("record_data")),
                    ttl_s=ttl_s if own_ttl is None else max(0, own_ttl),
                    preference=number_of(parts.get("record_mx_preference")) or 0,
                )
            )
        return VirtualDns(
            name=node.key.name,
            domain=text_of(settings.get("domain_name")),
            ttl_s=ttl_s,
            next_server=text_of(settings.get("next_virtual_DNS")),
            records=tuple(records),
            order=text_of(settings.get("record_order")) or ORDER_DEFAULT,
            negative_ttl_s=number_of(
                mapping_of(settings.get("soa_record")).get("negative_cache_ttl_seconds")
            ),
        )


def _is_standby(instance_ip: ConfigNode, address: IpAddress) -> bool:
    """Tell whether who announces an address has it; IPv6 announcements are not heard."""
    properties = instance_ip.properties
    return (
        text_of(properties.get("instance_ip_mode")) == "active-standby"
        and flag_of(properties.get("instance_ip_secondary"))
        and address.version == 4
    )


def _mac_of(value: ConfigValue | None) -> Mac | None:
    try:
        mac = Mac.parse(text_of(value).strip())
    except ValueError:
        return None
    return None if mac.is_group else mac


def _subnet(
    entry: Mapping[str, ConfigValue], ipam: Ipam, shared_routes: tuple[HostRoute, ...]
) -> Subnet | None:
    prefix = prefix_of(entry.get("subnet"))
    if prefix is None:
        return None
    servers = [usable_address_of(server) for server in list_of(entry.get("dns_nameservers"))]
    return Subnet(
        prefix=prefix,
        gateway=_inside(prefix, usable_address_of(entry.get("default_gateway"))),
        service_address=_inside(prefix, usable_address_of(entry.get("dns_server_address"))),
        dhcp_enabled=flag_of(entry.get("enable_dhcp"), default=True),
        dns_servers=tuple(server for server in servers if server),
        ipam=ipam,
        dhcp=read_dhcp(entry.get("dhcp_option_list"), entry.get("host_routes")),
        network_routes=shared_routes,
    )


def _inside(prefix: IpNetwork, address: IpAddress | None) -> IpAddress | None:
    if address is None or address.version != prefix.version or address not in prefix:
        return None
    return address


def _address_pairs(entries: Sequence[ConfigValue]) -> Iterator[AddressPair]:
    for entry in entries:
        parts = mapping_of(entry)
        prefix = prefix_of(parts.get("ip"))
        if prefix is not None:
            is_shared = text_of(parts.get("address_mode")) == "active-active"
            yield AddressPair(prefix, _mac_of(parts.get("mac")), is_shared)


def chain_id_of(instance: str) -> str:
    """Return the service chain a routing instance belongs to, by its name; empty: none."""
    found = _CHAIN_INSTANCE.fullmatch(instance.rpartition(":")[2])
    return found[1] if found else ""


def _chains(table: Mapping[str, ConfigValue]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for entry in list_of(table.get("vrf_assign_rule")):
        instance = text_of(mapping_of(entry).get("routing_instance"))
        chain_id = chain_id_of(instance)
        if chain_id:
            found[chain_id] = instance
    return tuple(sorted(found.items()))
