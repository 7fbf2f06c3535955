"""A small world for agent tests: configuration as a control node would send it, and hosts.

``ConfigBuilder`` writes the nodes and links of networks, ports, groups and lists; ``AgentHost`` is
an agent's pure core around a fake datapath, driven step by step without any I/O.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from uuid import UUID

from skytrail.agent.control_sessions import ControlSessions
from skytrail.agent.desired import Planner
from skytrail.agent.inputs import Inputs
from skytrail.agent.interface import ActivePort, Failing, PluggedPort
from skytrail.agent.label import Numbers
from skytrail.agent.mac_learning import MacTable
from skytrail.agent.membership import Groups
from skytrail.agent.nexthop import Underlay, UnderlayPath
from skytrail.agent.outcome import Desired
from skytrail.agent.reconcile import Plan, Reconciler
from skytrail.agent.tables import InterfaceKind, VifId
from skytrail.agent.view import IncrementalView, View
from skytrail.model.derived_uuid import derived_uuid
from skytrail.net import IpAddress, Mac, number_of
from skytrail.testing.fake_datapath import FakeDatapath
from skytrail.wire.xmpp import (
    ConfigKey,
    ConfigLink,
    ConfigNode,
    ConfigUpdate,
    EndOfConfig,
    EndOfRib,
    Family,
    ItemsEvent,
    Route,
    family_of,
)
from skytrail.wire.xmpp.values import Json, normal_form

PROJECT = "default-domain:demo"
SOURCE = "control"


def uuid_of(name: str) -> str:
    """A stable uuid for a test's name."""
    return str(UUID(bytes=hashlib.md5(name.encode(), usedforsecurity=False).digest()))


@dataclass
class ConfigBuilder:
    """Collects nodes and links; ``update`` is what a control node would send."""

    nodes: dict[ConfigKey, ConfigNode] = field(default_factory=dict[ConfigKey, ConfigNode])
    links: dict[tuple[ConfigKey, ConfigKey], ConfigLink] = field(
        default_factory=dict[tuple[ConfigKey, ConfigKey], ConfigLink]
    )

    def node(self, type_name: str, name: str, **properties: Json) -> ConfigKey:
        key = ConfigKey(type_name, name)
        normal = {n: v for n, p in properties.items() if (v := normal_form(p)) is not None}
        self.nodes[key] = ConfigNode(key, normal)
        return key

    def made_machine(self, name: str, annotation: str, text: str, *, uuid: str = "") -> ConfigKey:
        """A machine with an annotation as the compiler makes them, unless another uuid is given."""
        number = UUID(uuid or derived_uuid("virtual-machine", (name,))).int
        halves = {"uuid_mslong": number >> 64, "uuid_lslong": number & (1 << 64) - 1}
        pairs = {"key_value_pair": [{"key": annotation, "value": text}]}
        return self.node(
            "virtual-machine", name, id_perms={"enable": True, "uuid": halves}, annotations=pairs
        )

    def link(self, left: ConfigKey, right: ConfigKey, value: Json = None) -> None:
        kind = f"{left.type_name}-{right.type_name}"
        self.links[(left, right)] = ConfigLink(left, right, kind, normal_form(value))

    def update(self) -> ConfigUpdate:
        return ConfigUpdate(tuple(self.nodes.values()), tuple(self.links.values()))

    def network(
        self,
        name: str,
        network_id: int,
        subnets: Sequence[Mapping[str, Json]],
        mtu: int = 0,
        **properties: Json,
    ) -> ConfigKey:
        """A network with its default routing instance; subnets as ``subnet`` makes them."""
        full = f"{PROJECT}:{name}"
        key = self.node(
            "virtual-network",
            full,
            virtual_network_network_id=network_id,
            mtu=mtu or None,
            **properties,
        )
        instance = self.node("routing-instance", f"{full}:{name}", routing_instance_is_default=True)
        self.link(key, instance)
        ipam = ConfigKey("network-ipam", f"{PROJECT}:ipam")
        if ipam not in self.nodes:
            self.node("network-ipam", ipam.name)
        self.link(key, ipam, {"ipam_subnets": list(subnets)})
        return key

    def port(self, name: str, network: ConfigKey, addresses: Sequence[str]) -> ConfigKey:
        """A port of virtual machine ``vm-<name>``."""
        uuid = uuid_of(name)
        mac = "02:" + ":".join(uuid.replace("-", "")[i : i + 2] for i in range(0, 10, 2))
        number = UUID(uuid).int
        port = self.node(
            "virtual-machine-interface",
            f"{PROJECT}:{name}",
            virtual_machine_interface_mac_addresses={"mac_address": [mac]},
            id_perms={
                "enable": True,
                "uuid": {"uuid_mslong": number >> 64, "uuid_lslong": number & (1 << 64) - 1},
            },
        )
        self.link(port, network)
        machine = self.node("virtual-machine", uuid_of(f"vm-{name}"), display_name=name)
        self.link(port, machine)
        for address in addresses:
            entry = self.node(
                "instance-ip", uuid_of(f"{name} {address}"), instance_ip_address=address
            )
            self.link(entry, port)
        return port

    def floating(
        self, address: str, port: ConfigKey, network: ConfigKey, **properties: Json
    ) -> ConfigKey:
        """A floating address of a network's pool, bound to a port."""
        return self._bound("floating", address, port, network, properties)

    def alias(self, address: str, port: ConfigKey, network: ConfigKey) -> ConfigKey:
        """An alias address, likewise."""
        return self._bound("alias", address, port, network, {})

    def _bound(
        self,
        kind: str,
        address: str,
        port: ConfigKey,
        network: ConfigKey,
        properties: Mapping[str, Json],
    ) -> ConfigKey:
        pool = self.node(f"{kind}-ip-pool", f"{network.name}:pool")
        self.link(network, pool)
        name = f"{pool.name}:{address}-{port.name.rpartition(':')[2]}"
        own = {f"{kind}_ip_address": address, **properties}
        key = self.node(f"{kind}-ip", name, **own)
        self.link(pool, key)
        self.link(key, port)
        return key

    def access_list(self, owner: ConfigKey, name: str, rules: Sequence[Json]) -> ConfigKey:
        key = self.node(
            "access-control-list",
            f"{owner.name}:{name}",
            access_control_list_entries={"acl_rule": list(rules)},
        )
        self.link(owner, key)
        return key

    def security_group(
        self, name: str, group_id: int, ingress: Sequence[Json], egress: Sequence[Json]
    ) -> ConfigKey:
        key = self.node("security-group", f"{PROJECT}:{name}", security_group_id=group_id)
        self.access_list(key, "ingress-access-control-list", ingress)
        self.access_list(key, "egress-access-control-list", egress)
        return key


def subnet(prefix: str, **settings: Json) -> Mapping[str, Json]:
    """An ``IpamSubnetType`` with gateway first and service address second."""
    network = ip_network(prefix)
    return {
        "subnet": {
            "ip_prefix": str(network.network_address),
            "ip_prefix_len": network.prefixlen,
        },
        "default_gateway": str(network[1]),
        "dns_server_address": str(network[min(2, network.num_addresses - 1)]),
        "enable_dhcp": True,
        **settings,
    }


def rule(
    source: Mapping[str, Json],
    destination: Mapping[str, Json],
    *,
    protocol: str = "any",
    ports: tuple[int, int] = (0, 65535),
    action: str = "pass",
    ethertype: str | None = None,
) -> Json:
    """An access list entry; its uuid follows from its content."""
    text = repr((source, destination, protocol, ports, action, ethertype))
    return {
        "rule_uuid": uuid_of(text),
        "match_condition": {
            "protocol": protocol,
            "src_address": dict(source),
            "dst_address": dict(destination),
            "src_port": {"start_port": 0, "end_port": 65535},
            "dst_port": {"start_port": ports[0], "end_port": ports[1]},
            "ethertype": ethertype,
        },
        "action_list": {"simple_action": action},
    }


def _link_mac(address: IpAddress) -> Mac:
    return Mac(b"\x06\0" + number_of(address).packed)


class AgentHost:
    """The pure core of one agent; time is ``now``, advanced by the test."""

    def __init__(
        self,
        address: str = "192.0.2.1",
        *,
        datapath: FakeDatapath | None = None,
        numbers: Numbers | None = None,
    ) -> None:
        self.address = ip_address(address)
        self.numbers = numbers or Numbers()
        self.planner = Planner(self.numbers)
        self.incremental = IncrementalView()
        self.sessions = ControlSessions(f"host-{address}")
        self.datapath = datapath or FakeDatapath()
        self.reconciler = Reconciler(self.datapath)
        self.plugged: dict[str, PluggedPort] = {}
        self.paths: dict[IpAddress, UnderlayPath] = {}
        self.view = View()
        self.captured: frozenset[str] = frozenset()
        self.desired = Desired()
        self.now = 0.0
        self.sent: list[tuple[str, object]] = []
        self.failing: dict[str, Failing] = {}
        """Ports of which health checks fail."""
        self.groups: dict[str, Groups] = {}
        """What ports listen to."""
        self.macs = MacTable()

    def plug(self, name: str, ifindex: int) -> str:
        uuid = uuid_of(name)
        self.plugged[uuid] = PluggedPort(
            vmi_uuid=uuid,
            vm_uuid=uuid_of(f"vm-{name}"),
            ifname=f"tap-{name}"[:15],
            kind=InterfaceKind.WORKLOAD_VETH,
            ifindex=ifindex,
            link_mtu_bytes=1500,
        )
        self.sent += self.sessions.set_machines(p.vm_uuid for p in self.plugged.values())
        return uuid

    def connect(self, source: str = SOURCE) -> None:
        self.sent += self.sessions.established(source, self.now)

    def configure(self, update: ConfigUpdate, source: str = SOURCE, *, end: bool = True) -> None:
        self.sessions.received(source, update, self.now)
        if end:
            self.sessions.received(source, EndOfConfig(1), self.now)

    def learn(
        self, instance: str, routes: Iterable[Route], source: str = SOURCE, *, end: bool = True
    ) -> None:
        """Routes as a control node sends them, each family in its own message."""
        by_family: dict[Family, list[Route]] = {}
        for route in routes:
            by_family.setdefault(family_of(route.key), []).append(route)
        for family, members in by_family.items():
            event = ItemsEvent(family, instance, tuple(members))
            self.sessions.received(source, event, self.now)
        if end:
            self.sessions.received(source, EndOfRib(), self.now)

    def resolve(self, *remotes: str) -> None:
        """The underlay neighbour of these tunnel end points is known."""
        for remote in remotes:
            address = ip_address(remote)
            self.paths[address] = UnderlayPath(1, _link_mac(self.address), _link_mac(address))

    def underlay(self) -> Underlay:
        return Underlay(
            ifname="underlay",
            ifindex=1,
            address=self.address,
            mac=_link_mac(self.address),
            mtu_bytes=1500,
            paths=dict(self.paths),
        )

    def compute(self) -> Desired:
        self.view = self.incremental.update(self.sessions.graph)
        self.desired = self.planner.compute(self.inputs())
        return self.desired

    def inputs(self) -> Inputs:
        return Inputs(
            self.plugged,
            self.view,
            self.sessions.learnt,
            self.underlay(),
            dict(self.failing),
            self.captured,
            groups=dict(self.groups),
            macs=self.macs.learnt,
        )

    def reconcile(self, *, complete: bool = True) -> Plan:
        """Recompute, write to the datapath, and say what is to be said."""
        desired = self.compute()
        changes = desired.changes
        plan = self.reconciler.run(desired.rows, complete=complete, changes=changes)
        self.sent += self.sessions.synchronise(desired.vrfs, desired.published, changes)
        return plan

    def published(self) -> list[tuple[str, Route]]:
        return [
            (instance, item)
            for (instance, _), item in self.desired.published.items()
            if isinstance(item, Route)
        ]

    def vif(self, name: str) -> VifId:
        uuid = uuid_of(name)
        return next(vif_id for vif_id, owner in self.desired.vifs.items() if owner == uuid)

    def active(self, name: str) -> ActivePort:
        """The port's running form, which must be active."""
        state = self.desired.ports[uuid_of(name)]
        assert isinstance(state, ActivePort), state.reason
        return state
