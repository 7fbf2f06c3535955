"""Merged flows and ageing: what the agent makes of their configuration."""

from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from skytrail.agent.flow_config import FatFlows, Fold, fat_rows, read_fat_flows
from skytrail.agent.tables import AgeingRow, FatFlowRow, FoldRow, InterfaceRow, VifId
from skytrail.agent.trace import TracePacket, explain
from skytrail.net import Label
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet
from skytrail.wire.xmpp import NextHop, Route, RouteAttributes


def fat(*entries):
    return {"fat_flow_protocol": [{"protocol": p, "port": n} for p, n in entries]}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"protocol": "udp", "port": "53"}, ((17, 53),)),
        ({"protocol": "TCP"}, ((6, 0),)),
        ({"protocol": "132", "port": "7"}, ((132, 7),)),
        ({"protocol": "any", "port": "7"}, ()),
        ({"protocol": "nonsense", "port": "7"}, ()),
        ({"protocol": "udp", "port": "70000"}, ()),
        ({"protocol": "udp", "port": "x"}, ()),
    ],
)
def test_a_protocol_and_port_are_read_or_left_out(given, read):
    assert read_fat_flows({"fat_flow_protocol": given}) == FatFlows(read)


SUBSCRIBERS = {"ip_prefix": "10.0.0.0", "ip_prefix_len": "8"}
SERVERS = {"ip_prefix": "2001:db8::", "ip_prefix_len": "32"}


@pytest.mark.parametrize(
    ("given", "fold", "is_merged"),
    [
        ({"ignore_address": "destination"}, Fold((17, 53), far_bits=0), True),
        ({"ignore_address": "source"}, Fold((17, 53), own_bits=0), True),
        ({"ignore_address": "none"}, None, True),
        (
            {"source_prefix": SUBSCRIBERS, "source_aggregate_prefix_length": "28"},
            Fold((17, 53), own=ip_network("10.0.0.0/8"), own_bits=28),
            False,
        ),
        (
            {
                "ignore_address": "destination",
                "source_prefix": SUBSCRIBERS,
                "source_aggregate_prefix_length": "4",
                "destination_prefix": SERVERS,
            },
            Fold((17, 53), own=ip_network("10.0.0.0/8"), own_bits=8, far_bits=0),
            False,
        ),
        (
            {"destination_prefix": SERVERS, "destination_aggregate_prefix_length": "48"},
            Fold((17, 53), far=ip_network("2001:db8::/32"), far_bits=48),
            False,
        ),
        ({"destination_prefix": SERVERS, "destination_aggregate_prefix_length": "x"}, None, True),
        ({"destination_aggregate_prefix_length": "24"}, None, True),
    ],
)
def test_addresses_are_folded_as_a_rule_says(given, fold, is_merged):
    read = read_fat_flows({"fat_flow_protocol": {"protocol": "udp", "port": "53", **given}})

    assert read == FatFlows(((17, 53),) if is_merged else (), (fold,) if fold else ())


def test_of_too_many_folds_the_most_exact_ones_count():
    given = tuple(
        Fold((17, 53), far=ip_network(f"10.0.0.0/{bits}"), far_bits=32) for bits in range(8, 20)
    )

    listed = list(fat_rows(VifId(3), FatFlows((), given)))

    assert [row.number for row in listed] == list(range(8))
    assert [row.far.prefixlen for row in listed] == list(range(19, 11, -1))


def host_of(config):
    made = AgentHost("192.0.2.1")
    made.plug("web", 10)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def rows(host, kind):
    return list(host.datapath.rows[kind].values())


def test_a_port_merges_what_it_and_its_network_name():
    config = ConfigBuilder()
    network = config.network(
        "front",
        5,
        [subnet("10.1.1.0/24")],
        virtual_network_fat_flow_protocols=fat(("udp", 53), ("tcp", 0)),
    )
    port = config.port("web", network, ["10.1.1.3"])
    own = {**config.nodes[port].properties}
    own["virtual_machine_interface_fat_flow_protocols"] = fat(("udp", 5060), ("udp", 53))
    config.node("virtual-machine-interface", port.name, **own)

    host = host_of(config)

    vif = host.vif("web")
    assert rows(host, FatFlowRow) == [
        FatFlowRow(vif, 6, 0),
        FatFlowRow(vif, 17, 53),
        FatFlowRow(vif, 17, 5060),
    ]
    assert [row.merges_flows for row in rows(host, InterfaceRow) if row.vif_id == vif] == [True]


def test_a_trace_tells_which_connections_share_the_flow():
    config = ConfigBuilder()
    asked = {"protocol": "udp", "port": 53, "ignore_address": "destination"}
    network = config.network(
        "front",
        5,
        [subnet("10.1.1.0/24")],
        virtual_network_fat_flow_protocols={"fat_flow_protocol": [asked]},
    )
    config.port("web", network, ["10.1.1.3"])
    host = host_of(config)
    hop = NextHop(
        address=IPv4Address("192.0.2.9"),
        label=Label(55),
        encapsulations=("udp",),
        virtual_network="",
    )
    host.learn(
        f"{PROJECT}:front:front", [Route(ip_network("10.1.1.9/32"), (hop,), RouteAttributes())]
    )
    host.reconcile()

    def told(port):
        packet = TracePacket(ip_address("10.1.1.3"), ip_address("10.1.1.9"), 17, 2000, port)
        steps = explain(host.datapath.tables(), host.vif("web"), packet).steps
        return [step.answer for step in steps if step.stage == "merged flow"]

    assert told(53) == [
        "counted in one flow of 10.1.1.3/32 (this side) and 0.0.0.0/0; each packet is decided by itself"
    ]
    assert told(54) == []
    assert rows(host, FoldRow) == [FoldRow(host.vif("web"), 17, 53, 0, far_bits=0)]
    assert [
        row.folds_flows for row in rows(host, InterfaceRow) if row.vif_id == host.vif("web")
    ] == [True]


@pytest.mark.parametrize(("own", "expected"), [(None, 700), (0, 700), (50, 50)])
def test_a_ports_limit_comes_before_its_networks(own, expected):
    config = ConfigBuilder()
    network = config.network(
        "front",
        5,
        [subnet("10.1.1.0/24")],
        virtual_network_properties={"max_flows": 700},
    )
    port = config.port("web", network, ["10.1.1.3"])
    properties = {**config.nodes[port].properties}
    properties["virtual_machine_interface_properties"] = {"max_flows": own}
    config.node("virtual-machine-interface", port.name, **properties)

    host = host_of(config)

    vif = host.vif("web")
    found = [row.flow_count_max for row in rows(host, InterfaceRow) if row.vif_id == vif]
    assert found == [expected]


def test_times_of_silence_come_and_go_with_the_global_settings():
    config = ConfigBuilder()
    config.port("web", config.network("front", 5, [subnet("10.1.1.0/24")]), ["10.1.1.3"])
    entries = [
        {"protocol": "udp", "port": 53, "timeout_in_seconds": 9},
        {"protocol": "tcp", "port": 0, "timeout_in_seconds": 0},
        {"protocol": "6", "port": 22, "timeout_in_seconds": 7200},
    ]
    name = "default-global-system-config:default-global-vrouter-config"
    config.node(
        "global-vrouter-config", name, flow_aging_timeout_list={"flow_aging_timeout": entries}
    )
    host = host_of(config)
    before = rows(host, AgeingRow)
    config.node("global-vrouter-config", name)

    host.configure(config.update())
    host.reconcile()

    assert before == [AgeingRow(6, 22, 7200), AgeingRow(17, 53, 9)]
    assert rows(host, AgeingRow) == []
