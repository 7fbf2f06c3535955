"""What the agent understands of its configuration: networks, ports, groups, DNS, as plain values.

``build_view`` is a pure function of the graph. A value that cannot be read is left out, never
guessed: a port without network or MAC is not there, a rule that cannot be read never allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import list_of, mapping_of, object_uuid, text_of
from skytrail.agent.dns_config import read_virtual_dns
from skytrail.agent.fabric_config import NOTHING_SET, FabricConfig, fabric_config
from skytrail.agent.flow_config import ageing_rows
from skytrail.agent.group_config import SecurityGroup, read_group
from skytrail.agent.health.configured import BGP_SERVICE, CHECK, ports_of_check
from skytrail.agent.multicast_config import replicator_address
from skytrail.agent.network_config import NetworkReader, VirtualNetwork
from skytrail.agent.port_config import Port, PortReader
from skytrail.agent.qos import Marks, QosTable, fabric_qos, host_marks, qos_tables
from skytrail.agent.queues import Queue, queues_of
from skytrail.agent.security_sets import SECURITY_TYPES, SecurityReader
from skytrail.agent.tables import AgeingRow, Encapsulation
from skytrail.agent.tunnel_ends import ToldEnds, told_ends
from skytrail.net import IpAddress
from skytrail.wire.dns.zones import VirtualDns
from skytrail.wire.xmpp import TUNNEL_ENDS, ConfigKey, ConfigNode

T = TypeVar("T")
DEFAULT_ENCAPSULATIONS = (Encapsulation.MPLS_UDP, Encapsulation.MPLS_GRE, Encapsulation.VXLAN)
_ENCAPSULATION_NAMES = {
    "MPLSoUDP": Encapsulation.MPLS_UDP,
    "MPLSoGRE": Encapsulation.MPLS_GRE,
    "VXLAN": Encapsulation.VXLAN,
}


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
    replicator: IpAddress | None = None
    """By which the host copies for leaves of assisted replication; None: it does not."""
    qos: Mapping[str, QosTable] = field(default_factory=dict[str, QosTable])
    fabric_qos: str = ""
    """QoS configuration of the underlay interface."""
    host_marks: Marks = ()
    """Of the host's own packets, by DSCP."""
    fabric: FabricConfig = NOTHING_SET
    ageing: tuple[AgeingRow, ...] = ()
    queues: tuple[Queue, ...] = ()
    """Of the uplink."""
    tunnel_ends: ToldEnds = field(default_factory=ToldEnds)
    """Where other hosts and routers are in the underlay."""


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
        host_marks=host_marks(qos),
        fabric=_kept(
            old.fabric,
            fabric_config(graph, leaves=any(each.leaves_by_host for each in networks.values())),
        ),
        ageing=ageing_rows(graph),
        queues=_kept(old.queues, queues_of(graph)),
        tunnel_ends=_kept(old.tunnel_ends, told_ends(graph)),
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
        if TUNNEL_ENDS in types:
            types.discard(TUNNEL_ENDS)
            self.view = replace(self.view, tunnel_ends=told_ends(graph))
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
            # Ports that are a VLAN of another, and their parents.
            keys.update(graph.neighbours(key, "virtual-machine-interface"))
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
        self._networks = NetworkReader(graph)
        self._ports = PortReader(graph, self._security, self.group)
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
        port = self._ports.read(node, uuid, networks)
        if isinstance(port, Port):
            found[0][uuid] = _kept(self._old.ports.get(uuid), port)
        else:
            found[1][uuid] = port

    def all_virtual_dns(self) -> dict[str, VirtualDns]:
        return {
            n.key.name: read_virtual_dns(self._graph, n) for n in self._graph.nodes("virtual-DNS")
        }

    def all_groups(self) -> dict[str, SecurityGroup]:
        return {n.key.name: self.group(n.key) for n in self._graph.nodes("security-group")}

    def network(self, node: ConfigNode) -> VirtualNetwork:
        return self._networks.read(node)

    def group(self, key: ConfigKey) -> SecurityGroup:
        group = self._groups.get(key)
        if group is None:
            group = _kept(self._old.groups.get(key.name), read_group(self._graph, key))
            self._groups[key] = group
        return group
