"""Merged flows and ageing: what the agent makes of their configuration."""

import pytest

from skytrail.agent.flow_config import read_fat_flows
from skytrail.agent.tables import AgeingRow, FatFlowRow, InterfaceRow
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, subnet


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
    assert read_fat_flows({"fat_flow_protocol": given}) == read


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
