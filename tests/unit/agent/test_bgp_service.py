"""BGP as a service on a host: where a port may speak it, and what it may then send from."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.agent.io.ebpf_rows import bgp_service_entry, bgp_service_row
from skytrail.agent.nexthop import Underlay
from skytrail.agent.tables import BgpServiceRow, InetRouteRow, SourceRow, VifId
from skytrail.model.annotation_names import BGPAAS_CONTROL_NODES
from skytrail.net import Label
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet
from skytrail.wire.xmpp import NextHop, Route

RED, BLUE = f"{PROJECT}:red", f"{PROJECT}:blue"
RED_VRF, BLUE_VRF = f"{RED}:red", f"{BLUE}:blue"
CONTROLS = (IPv4Address("198.51.100.1"), IPv4Address("198.51.100.2"))
PREFIX = ip_network("172.30.0.0/16")


class Host(AgentHost):
    def underlay(self) -> Underlay:
        made = super().underlay()
        return Underlay(
            made.ifname, made.ifindex, made.address, made.mac, made.mtu_bytes, CONTROLS, made.paths
        )


def host(kind: str = "bgpaas-client", notes: dict[str, str] | None = None) -> Host:
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    blue = config.network("blue", 6, [subnet("10.1.2.0/24")])
    port = config.port("a", red, ["10.1.1.3"])
    config.port("b", red, ["10.1.1.4"])
    config.port("c", blue, ["10.1.2.3"])
    client = config.node(
        "bgp-router",
        f"{RED_VRF}:web",
        bgp_router_parameters={"router_type": kind, "source_port": "50010"},
        annotations={
            "key_value_pair": [{"key": key, "value": value} for key, value in (notes or {}).items()]
        },
    )
    config.link(port, client)
    made = Host("192.0.2.1")
    for index, name in enumerate("abc"):
        made.plug(name, 10 + index)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def test_a_port_speaks_bgp_to_each_control_node_at_an_address_of_its_own() -> None:
    made = host()

    rows = [
        row for row in made.datapath.rows[BgpServiceRow].values() if isinstance(row, BgpServiceRow)
    ]
    found = {(row.vif_id, str(row.address), row.control, row.source_port) for row in rows}
    assert found == {
        (made.vif("a"), "10.1.1.1", CONTROLS[0], 50010),
        (made.vif("a"), "10.1.1.2", CONTROLS[1], 50010),
    }


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("203.0.113.7,203.0.113.8", "203.0.113.9", ("203.0.113.7", "203.0.113.9")),
        (None, "203.0.113.9", ("198.51.100.1", "203.0.113.9")),
        ("203.0.113.7", None, ("203.0.113.7", "198.51.100.2")),
        ("", "", ("198.51.100.1", "198.51.100.2")),
    ],
    ids=["both zones", "second only", "first only", "empty zones"],
)
def test_sessions_lead_to_control_nodes_of_their_zones(
    first: str | None, second: str | None, expected: tuple[str, str]
) -> None:
    notes = dict(zip(BGPAAS_CONTROL_NODES, (first, second), strict=True))
    made = host(notes={key: value for key, value in notes.items() if value is not None})

    rows = [
        row for row in made.datapath.rows[BgpServiceRow].values() if isinstance(row, BgpServiceRow)
    ]
    assert {str(row.address): str(row.control) for row in rows} == {
        "10.1.1.1": expected[0],
        "10.1.1.2": expected[1],
    }


def test_a_reference_to_another_router_is_no_service() -> None:
    assert host("router").datapath.rows[BgpServiceRow] == {}


def sources(made: Host) -> set[tuple[int, str]]:
    rows = [row for row in made.datapath.rows[SourceRow].values() if isinstance(row, SourceRow)]
    return {(row.vif_id, str(row.prefix)) for row in rows}


def led_back(made: Host, vrf: str) -> None:
    """A control node leads the prefix to the port a, as this host knows it itself."""
    published = dict(made.desired.published)
    label = published[RED_VRF, ip_network("10.1.1.3")].next_hops[0].label
    hop = NextHop(
        IPv4Address("192.0.2.1"), Label(label), encapsulations=("udp",), virtual_network=RED
    )
    made.learn(vrf, [Route(PREFIX, (hop,))])
    made.reconcile()


def test_a_port_may_send_from_what_a_route_leads_to_it_for() -> None:
    made = host()
    before = sources(made)
    led_back(made, RED_VRF)

    assert sources(made) - before == {(made.vif("a"), str(PREFIX))}
    key = (made.desired.vrfs[RED_VRF], PREFIX)
    row = made.datapath.rows[InetRouteRow][key]
    assert isinstance(row, InetRouteRow)
    assert row.label == 0


def test_a_route_of_another_network_lets_nobody_send_from_it() -> None:
    made = host()
    before = sources(made)
    led_back(made, BLUE_VRF)

    assert sources(made) == before


def test_rows_survive_the_kernel() -> None:
    row = BgpServiceRow(VifId(7), IPv4Address("10.1.1.1"), CONTROLS[1], 50010, 3)

    assert bgp_service_row(*bgp_service_entry(row)) == row
