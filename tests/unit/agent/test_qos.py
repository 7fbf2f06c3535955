"""Quality of service: what the agent makes of its configuration."""

from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from skytrail.agent.io.ebpf_qos_rows import qos_map_entry, qos_map_row
from skytrail.agent.tables import InterfaceRow, QosId, QosMapRow, QosMark, RateRow, VerdictRow
from skytrail.agent.trace import TracePacket, explain
from skytrail.net import Label
from skytrail.testing.agent_world import PROJECT, SOURCE, AgentHost, ConfigBuilder, rule, subnet
from skytrail.wire.xmpp import ConfigDelete, NextHop, Route, RouteAttributes

GLOBAL = "default-global-system-config:default-global-qos-config"
VOICE, BULK = QosMark(7, 46, 5, 6), QosMark(0, 10, 1, 0)


def pairs(entries):
    return {
        "qos_id_forwarding_class_pair": [
            {"key": key, "forwarding_class_id": number} for key, number in entries.items()
        ]
    }


class World:
    """One port on a host; classes voice (7) and bulk (0)."""

    def __init__(self):
        self.config = config = ConfigBuilder()
        self.root = config.node("global-qos-config", GLOBAL)
        for name, mark in (("voice", VOICE), ("bulk", BULK)):
            key = config.node(
                "forwarding-class",
                f"{GLOBAL}:{name}",
                forwarding_class_id=mark.class_id,
                forwarding_class_dscp=mark.dscp,
                forwarding_class_mpls_exp=mark.exp,
                forwarding_class_vlan_priority=mark.vlan_priority,
            )
            config.link(self.root, key)
        self.network = config.network("front", 5, [subnet("10.1.1.0/24")])
        self.port = config.port("web", self.network, ["10.1.1.3"])

    def qos(self, name, kind="project", parent=None, **entries):
        key = self.config.node(
            "qos-config",
            f"{GLOBAL}:{name}" if parent else f"{PROJECT}:{name}",
            qos_config_type=kind,
            default_forwarding_class_id=entries.pop("default", 0),
            **{field: pairs(values) for field, values in entries.items()},
        )
        if parent:
            self.config.link(parent, key)
        return key

    def host(self):
        made = AgentHost("192.0.2.1")
        made.plug("web", 10)
        made.connect()
        made.configure(self.config.update())
        made.reconcile()
        return made


@pytest.fixture
def world():
    return World()


def interface(host):
    return next(
        row for row in host.datapath.rows[InterfaceRow].values() if row.vif_id == host.vif("web")
    )


def maps(host):
    return host.datapath.rows[QosMapRow]


def map_of(host):
    """The map that marks what the port sends."""
    return maps(host)[interface(host).qos_id]


def test_entries_and_the_default_become_one_table_of_marks(world):
    world.config.link(world.port, world.qos("gold", dscp_entries={46: 7, 34: 200}))

    row = map_of(world.host())

    assert row.dscp[46] == VOICE
    assert row.dscp[34] is None  # Nobody defined class 200.
    assert {row.dscp[each] for each in range(64) if each not in {34, 46}} == {BULK}
    assert set(row.vlan) == set(row.exp) == {BULK}
    assert not row.has_exp


def test_a_port_without_a_configuration_is_not_marked(world):
    world.qos("gold", default=7)

    host = world.host()

    assert interface(host).qos_id == 0
    assert not maps(host)


def test_the_networks_configuration_comes_before_the_ports(world):
    world.config.link(world.port, world.qos("own", default=0))
    world.config.link(world.network, world.qos("networks", default=7))

    assert map_of(world.host()).dscp[0] == VOICE


def test_a_rules_configuration_is_in_its_verdict(world):
    world.qos("gold", default=7)
    marked = rule({"virtual_network": "any"}, {"virtual_network": "any"}, protocol="6")
    marked["action_list"] = {"simple_action": "pass", "qos_action": f"{PROJECT}:gold"}
    world.config.access_list(world.network, "list", [marked])

    host = world.host()

    found = {row.qos_id for row in host.datapath.rows[VerdictRow].values()} - {0}
    assert [maps(host)[each].dscp[0] for each in found] == [VOICE]


def test_a_configuration_that_comes_later_marks_from_then_on(world):
    host = world.host()
    world.config.link(world.port, world.qos("gold", default=7))

    host.configure(world.config.update())
    host.reconcile()

    assert map_of(host).dscp[0] == VOICE


def test_a_changed_class_changes_every_map(world):
    world.config.link(world.port, world.qos("gold", default=7))
    host = world.host()
    world.config.node(
        "forwarding-class", f"{GLOBAL}:voice", forwarding_class_id=7, forwarding_class_dscp=40
    )

    host.configure(world.config.update())
    host.reconcile()

    assert map_of(host).dscp[0] == QosMark(7, 40, 0, 0)


def test_a_configuration_that_goes_takes_its_map_along(world):
    key = world.qos("gold", default=7)
    world.config.link(world.port, key)
    host = world.host()

    gone = ConfigDelete(nodes=(key,), links=(world.config.links[world.port, key],))
    host.sessions.received(SOURCE, gone, host.now)
    host.reconcile()

    assert interface(host).qos_id == 0
    assert not maps(host)


@pytest.mark.parametrize(("is_global", "expected"), [(True, VOICE), (False, None)])
def test_only_the_operators_configuration_holds_for_the_fabric(world, is_global, expected):
    world.qos("fabric", "fabric", world.root if is_global else None, default=7)

    host = world.host()

    underlay = next(row for row in host.datapath.rows[InterfaceRow].values() if row.tunnel_address)
    row = maps(host).get(underlay.qos_id)
    assert (row.dscp[0] if row else None) == expected


def test_the_hosts_own_packets_are_marked_by_the_operators_first_configuration_alone(world):
    world.qos("a-tenants", "vhost", None, default=7)
    assert world.host().view.host_marks == ()

    world.qos("second", "vhost", world.root, default=7)
    world.qos("first", "vhost", world.root, default=0, dscp_entries={8: 7, 9: 99})

    marks = world.host().view.host_marks
    assert (marks[0], marks[8], marks[9]) == (BULK, VOICE, None)


def test_annotations_of_a_port_limit_its_rates(world):
    notes = [
        {"key": "rate-limit-sent-kbps", "value": "20000"},
        {"key": "rate-limit-received-kbps", "value": "rubbish"},
    ]
    node = world.config.nodes[world.port]
    world.config.node(
        "virtual-machine-interface",
        world.port.name,
        **{**node.properties, "annotations": {"key_value_pair": notes}},
    )

    host = world.host()

    row = interface(host)
    assert (row.rated_sent, row.rated_received) == (True, False)
    assert list(host.datapath.rows[RateRow].values()) == [
        RateRow(host.vif("web"), False, 2_500_000, 2_000_000)
    ]


def test_rows_survive_the_way_into_the_kernel_and_back():
    row = QosMapRow(QosId(9), (VOICE, None) * 32, (BULK,) * 8, (None,) * 8, has_exp=True)

    assert qos_map_row(*qos_map_entry(row)) == row


def test_a_trace_shows_marks_and_limits(world):
    world.config.link(world.port, world.qos("gold", default=7, dscp_entries={46: 0}))
    properties = dict(world.config.nodes[world.port].properties)
    notes = [{"key": f"rate-limit-{way}-kbps", "value": "1000"} for way in ("sent", "received")]
    properties["annotations"] = {"key_value_pair": notes}
    world.config.node(world.port.type_name, world.port.name, **properties)
    host = world.host()
    host.resolve("192.0.2.9")
    hop = NextHop(
        address=IPv4Address("192.0.2.9"),
        label=Label(55),
        encapsulations=("udp",),
        virtual_network="",
    )
    remote = Route(ip_network("10.1.1.9/32"), (hop,), RouteAttributes())
    host.learn(f"{PROJECT}:front:front", [remote])
    host.reconcile()
    packet = TracePacket(ip_address("10.1.1.3"), ip_address("10.1.1.9"), 17)

    steps = {
        s.stage: s.answer for s in explain(host.datapath.tables(), host.vif("web"), packet).steps
    }

    assert steps["rate"].startswith("up to 1000 kbit/s")
    assert steps["marking"] == (
        "without DSCP: class 7: DSCP 46 EXP 5 VLAN priority 6; another class for 1 values of DSCP"
    )
