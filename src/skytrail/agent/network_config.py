"""What the agent understands of networks: their subnets, address management and properties. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from skytrail.agent.access_list import AccessList, joined, read_access_list
from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import (
    annotation_of,
    bounded_of,
    flag_of,
    list_of,
    mapping_of,
    prefix_of,
    text_of,
    usable_address_of,
)
from skytrail.agent.dhcp_config import NOTHING, DhcpConfig, HostRoute, read_dhcp, read_routes
from skytrail.agent.fabric_config import leaves_by_host
from skytrail.agent.flow_config import (
    FAT_FLOWS_OF_NETWORK,
    NO_FAT_FLOWS,
    FatFlows,
    read_fat_flows,
)
from skytrail.agent.forwarding import Forwarding, checks_sources, default_forwarding, forwarding_of
from skytrail.agent.mac_config import (
    MacLearning,
    address_learning_of,
    default_learning,
    learning_of,
)
from skytrail.agent.multicast_config import is_assisted, takes_all_reports, takes_reports
from skytrail.agent.qos import qos_of
from skytrail.agent.tables import IpNetwork
from skytrail.model.annotation_names import (
    BROADCAST_REPLICATION,
    BY_TREE,
    FLOODED,
    UNHEARD_MULTICAST,
)
from skytrail.net import IpAddress
from skytrail.wire.xmpp import ConfigKey, ConfigNode, ConfigValue

UNDERLAY_NETWORK = "default-domain:default-project:ip-fabric"
_VNI_MAX = (1 << 24) - 1
_U32_MAX = (1 << 32) - 1


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
    fat_flows: FatFlows = NO_FAT_FLOWS

    forwarding: Forwarding = Forwarding.BOTH
    checks_sources: bool = True
    """Ports may only send from addresses that are theirs; else any that their MAC stands in front of."""
    is_mirror_destination: bool = False
    """Its ports take copies of others' packets: no policy applies to them."""
    leaves_by_host: bool = False
    """Workloads reach the underlay by their host's address (``fabric_snat``)."""
    takes_reports: bool = False
    """Members say by IGMP or MLD which groups they listen to."""
    drops_unheard: bool = True
    """What is sent to a group nobody listens to goes to nobody; else to everybody."""
    learning: MacLearning | None = None
    """Which MACs are behind its ports is learnt from what they send; None: it is not."""
    address_learning: MacLearning | None = None
    """Likewise which addresses are, with which MAC."""

    @property
    def lets_dhcp_by(self) -> bool:
        """Requests for addresses go to members like any broadcast: nobody here answers them."""
        return self.forwarding.bridges and not any(each.dhcp_enabled for each in self.subnets)

    def subnet_of(self, address: IpAddress) -> Subnet | None:
        matches = [
            subnet
            for subnet in self.subnets
            if subnet.prefix.version == address.version and address in subnet.prefix
        ]
        return max(matches, key=lambda subnet: subnet.prefix.prefixlen, default=None)


class NetworkReader:
    """Reads networks of a configuration graph."""

    def __init__(self, graph: ConfigGraph) -> None:
        self._graph = graph
        self._reports_everywhere = takes_all_reports(graph)
        self._forwarding = default_forwarding(graph)
        self._learning = default_learning(graph)

    def read(self, node: ConfigNode) -> VirtualNetwork:
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
            forwarding=forwarding_of(node, self._forwarding),
            checks_sources=checks_sources(node),
            is_mirror_destination=flag_of(properties.get("mirror_destination")),
            leaves_by_host=leaves_by_host(self._graph, node, vrf) and not is_underlay,
            takes_reports=self._reports_everywhere or takes_reports(node),
            drops_unheard=annotation_of(node.properties, UNHEARD_MULTICAST) != FLOODED,
            learning=learning_of(node, self._learning),
            address_learning=address_learning_of(node, self._learning),
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
