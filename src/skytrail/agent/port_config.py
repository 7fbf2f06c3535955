"""What the agent understands of ports (virtual-machine-interfaces). Pure.

A port without network or MAC is not there: what cannot be read is left out, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_network

from skytrail.agent.access_list import prefix_order
from skytrail.agent.balance_config import omitted_fields
from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import (
    annotation_of,
    bounded_of,
    flag_of,
    list_of,
    mapping_of,
    prefix_of,
    text_of,
    unscoped,
    usable_address_of,
)
from skytrail.agent.dhcp_config import NOTHING, DhcpConfig, read_dhcp
from skytrail.agent.floating_config import Binding, bindings
from skytrail.agent.flow_config import (
    FAT_FLOWS_OF_PORT,
    NO_FAT_FLOWS,
    FatFlows,
    read_fat_flows,
)
from skytrail.agent.group_config import SecurityGroup
from skytrail.agent.health.check import HealthCheck
from skytrail.agent.health.configured import check_addresses, checks_of_port
from skytrail.agent.mac_config import MacLearning
from skytrail.agent.mirror import PortMirror, read_port_mirror
from skytrail.agent.multicast_config import takes_reports
from skytrail.agent.network_config import VirtualNetwork
from skytrail.agent.qos import NO_RATES, Rates, qos_of, rates_of
from skytrail.agent.security_sets import NO_SECURITY, PortSecurity, SecurityReader
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
from skytrail.agent.source_nat import SourceNat, source_nat_of
from skytrail.agent.sub_interface_config import parent_of, vlan_of
from skytrail.agent.tables import IpNetwork, Tag
from skytrail.agent.workload_bgp import WorkloadBgp, workload_bgp
from skytrail.model.annotation_names import STICKY_MAC
from skytrail.net import IpAddress, Mac
from skytrail.wire.xmpp import ConfigKey, ConfigNode, ConfigValue

LOCAL_PREFERENCE_ACTIVE = 200
COMMUNITIES_COUNT_MAX = 32
"""A route carries no more of them to a control node."""
_COMMUNITY = re.compile(r"[a-z][a-z-]{1,31}|[0-9]{1,5}:[0-9]{1,5}")
"""A name, or ``<AS>:<number>``; control nodes know which names mean something."""
_U32_MAX = (1 << 32) - 1
_CHAIN_INSTANCE = re.compile(r"service-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-.*")


@dataclass(frozen=True, slots=True)
class InterfaceRoute:
    """A prefix behind a workload."""

    prefix: IpNetwork
    communities: tuple[str, ...]
    """What its route carries to control nodes and beyond."""


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
    routes: tuple[InterfaceRoute, ...] = ()
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
    vlan: int = 0
    """It is a VLAN of ``parent``'s link (``sub_interfaces``)."""
    parent: str = ""
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
    fat_flows: FatFlows = NO_FAT_FLOWS
    """Merged beside the network's."""
    takes_reports: bool = False
    """It says by IGMP or MLD which groups it listens to, and gets no others."""
    source_nat: SourceNat | None = None
    """Whose sources its address stands for, where no workload is behind it."""

    @property
    def outward_address(self) -> IPv4Address | None:
        """What sources become that leave by it."""
        if self.source_nat is None:
            return None
        return next((each for each in self.addresses if isinstance(each, IPv4Address)), None)

    @property
    def learning(self) -> MacLearning | None:
        """Within what limits MACs behind it are learnt; None: none are.

        With port security only its own MAC may send. Services pass on what is not theirs.
        """
        if self.port_security or self.chains or self.tag is not None:
            return None
        return self.network.learning if self.network.forwarding.bridges else None

    @property
    def address_learning(self) -> MacLearning | None:
        """Likewise addresses behind it, where packets are routed as well as bridged."""
        if self.port_security or self.chains or self.tag is not None:
            return None
        forwarding = self.network.forwarding
        return self.network.address_learning if forwarding.bridges and forwarding.routes else None


class PortReader:
    """Reads ports of a configuration graph, and what is linked to them."""

    def __init__(
        self,
        graph: ConfigGraph,
        security: SecurityReader,
        group: Callable[[ConfigKey], SecurityGroup],
    ) -> None:
        self._graph = graph
        self._security = security
        self._group = group

    def read(
        self, node: ConfigNode, uuid: str, networks: Mapping[str, VirtualNetwork]
    ) -> Port | str:
        """Return the port, or why it cannot be used."""
        found = self._read(node, uuid, networks)
        if isinstance(found, Port) and found.source_nat is not None:
            # Nobody is behind it who could be asked, and flows are their askers'.
            network = replace(found.network, fat_flows=NO_FAT_FLOWS)
            return replace(found, network=network, health_checks=(), takes_reports=False)
        return found

    def _read(
        self, node: ConfigNode, uuid: str, networks: Mapping[str, VirtualNetwork]
    ) -> Port | str:
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
            groups=tuple(self._group(key) for key in keys if self._graph.node(key)),
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
            vlan=vlan_of(node),
            parent=parent_of(self._graph, node.key) if vlan_of(node) else "",
            health_checks=checks_of_port(self._graph, node.key, found[0]),
            source_nat=source_nat_of(self._graph, node.key),
            security=self._security.port(node.key),
            rates=rates_of(properties),
            omitted=omitted_fields(node, self._graph.node(found[0]), self._graph),
            fat_flows=read_fat_flows(properties.get(FAT_FLOWS_OF_PORT)),
            dhcp=_dhcp(properties),
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

    def _routes(self, port: ConfigKey) -> tuple[InterfaceRoute, ...]:
        """Return the routes of the port's route tables, in order of their prefixes."""
        found: dict[IpNetwork, set[str]] = {}
        for node in self._graph.linked_nodes(port, "interface-route-table"):
            table = mapping_of(node.properties.get("interface_route_table_routes"))
            for entry in map(mapping_of, list_of(table.get("route"))):
                try:
                    prefix = ip_network(unscoped(text_of(entry.get("prefix"))), strict=False)
                except ValueError:
                    # The API takes any text; what is no prefix leads nowhere.
                    continue
                given = mapping_of(entry.get("community_attributes")).get("community_attribute")
                words = map(text_of, list_of(given))
                found.setdefault(prefix, set()).update(filter(_COMMUNITY.fullmatch, words))
        return tuple(
            InterfaceRoute(each, tuple(sorted(found[each])[:COMMUNITIES_COUNT_MAX]))
            for each in sorted(found, key=prefix_order)
        )

    def _addresses(self, port: ConfigKey) -> tuple[IpAddress, ...]:
        """Return the port's addresses, secondary ones last: DHCP offers the first that fits."""
        found: dict[IpAddress, bool] = {}
        for node in self._graph.linked_nodes(port, "instance-ip"):
            address = usable_address_of(node.properties.get("instance_ip_address"))
            if address is None or flag_of(node.properties.get("service_health_check_ip")):
                # Health checks probe from that address; nobody sends to it.
                continue
            if _is_standby(node):
                continue
            secondary = flag_of(node.properties.get("instance_ip_secondary"))
            found[address] = found.get(address, True) and secondary
        return tuple(sorted(found, key=lambda each: (found[each], each.version, int(each))))

    def _standby_pairs(self, port: ConfigKey) -> Iterator[AddressPair]:
        """Yield further addresses of which one of several ports has each at a time, as pairs."""
        for node in self._graph.linked_nodes(port, "instance-ip"):
            address = usable_address_of(node.properties.get("instance_ip_address"))
            if address is not None and _is_standby(node):
                yield AddressPair(ip_network(address), None)

    def _host_name(self, port: ConfigNode) -> str:
        for machine in self._graph.linked_nodes(port.key, "virtual-machine"):
            name = text_of(machine.properties.get("display_name")) or machine.key.name
            return name.rpartition(":")[2]
        return text_of(port.properties.get("display_name")) or port.key.name.rpartition(":")[2]


def _dhcp(properties: Mapping[str, ConfigValue]) -> DhcpConfig:
    return read_dhcp(
        properties.get("virtual_machine_interface_dhcp_option_list"),
        properties.get("virtual_machine_interface_host_routes"),
    )


def _is_standby(instance_ip: ConfigNode) -> bool:
    """Tell whether who announces an address has it."""
    properties = instance_ip.properties
    return text_of(properties.get("instance_ip_mode")) == "active-standby" and flag_of(
        properties.get("instance_ip_secondary")
    )


def _mac_of(value: ConfigValue | None) -> Mac | None:
    try:
        mac = Mac.parse(text_of(value).strip())
    except ValueError:
        return None
    return None if mac.is_group else mac


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
