"""BGP as a service on a host: where a port may speak it, and what it may then send from."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from skytrail.agent.bgp_relay import relay_specs
from skytrail.agent.interface import troubles
from skytrail.agent.io.ebpf_rows import bgp_service_entry, bgp_service_row
from skytrail.agent.nexthop import Underlay
from skytrail.agent.tables import BgpServiceRow, InetRouteRow, SourceRow, VifId
from skytrail.agent.workload_bgp import without_keys
from skytrail.model.annotation_names import BGPAAS_CONTROL_NODES
from skytrail.net import Label
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.wire.xmpp import NextHop, Route
from skytrail.wire.xmpp.values import Json

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


def host(
    kind: str = "bgpaas-client",
    notes: dict[str, str] | None = None,
    *,
    address: str = "10.1.1.3",
    auth: dict[str, Json] | None = None,
    has_service: bool = True,
    own: str = "192.0.2.1",
) -> Host:
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24"), subnet("fd00:1::/64")])
    blue = config.network("blue", 6, [subnet("10.1.2.0/24")])
    port = config.port("a", red, ["10.1.1.3", "fd00:1::3"])
    config.port("b", red, ["10.1.1.4"])
    config.port("c", blue, ["10.1.2.3"])
    client = config.node(
        "bgp-router",
        f"{RED_VRF}:web",
        bgp_router_parameters={"router_type": kind, "source_port": "50010", "address": address},
        annotations={
            "key_value_pair": [{"key": key, "value": value} for key, value in (notes or {}).items()]
        },
    )
    config.link(port, client)
    session = {} if auth is None else {"auth_data": auth}
    if has_service:
        service = config.node(
            "bgp-as-a-service", f"{PROJECT}:bgp", bgpaas_session_attributes=session
        )
        config.link(service, client)
    made = Host(own)
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


CONTROLS6 = (ip_address("198.51.100.1"), ip_address("2001:db8::c1"), ip_address("2001:db8::c2"))


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ({}, ["2001:db8::c1", "2001:db8::c2"]),
        (
            {BGPAAS_CONTROL_NODES[1]: "203.0.113.9,2001:db8::d2,2001:db8::d3"},
            ["2001:db8::c1", "2001:db8::d2"],
        ),
        ({BGPAAS_CONTROL_NODES[0]: "203.0.113.9"}, ["2001:db8::c1", "2001:db8::c2"]),
    ],
    ids=["own", "of a zone", "of a zone without IPv6"],
)
def test_a_host_with_an_ipv6_address_relays_to_control_nodes_of_that_version(
    notes: dict[str, str], expected: list[str]
) -> None:
    made = host(notes=notes, own="2001:db8::1")
    own = ip_address("2001:db8::1")
    (spec,) = relay_specs(made.desired.ports.values(), CONTROLS6, own).values()

    assert [gate.control for gate in spec.gates if "." in gate.address] == expected
    assert (spec.source, spec.source_port, spec.is_signed) == ("2001:db8::1", 50010, False)


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


KEYS = [{"key_type": "md5", "key_items": [{"key_id": 0, "key": "s3cret"}]}]
RELAY = 77


def relayed(made: Host) -> Host:
    """As the agent does when the relay's link is there."""
    port = made.plugged[uuid_of("a")]
    made.plugged[uuid_of("a")] = replace(port, relay_ifindex=RELAY)
    made.reconcile()
    return made


def rows_of(made: Host) -> list[BgpServiceRow]:
    found = made.datapath.rows[BgpServiceRow].values()
    return [row for row in found if isinstance(row, BgpServiceRow)]


@pytest.mark.parametrize("auth", KEYS)
def test_a_signed_session_goes_to_the_relay_and_nowhere_before_it_is_there(
    auth: dict[str, Json],
) -> None:
    made = host(auth=auth)

    assert rows_of(made) == []
    nowhere = IPv4Address(0)
    row = BgpServiceRow(VifId(made.vif("a")), nowhere, nowhere, 0, RELAY)
    assert rows_of(relayed(made)) == [row]


def test_the_relay_is_told_each_address_of_the_vrouter_and_who_answers_there() -> None:
    made = host(auth=KEYS[0])

    (spec,) = relay_specs(made.desired.ports.values(), CONTROLS, IPv4Address("192.0.2.1")).values()

    assert {(gate.address, gate.control) for gate in spec.gates} == {
        ("10.1.1.1", str(CONTROLS[0])),
        ("10.1.1.2", str(CONTROLS[1])),
        ("fd00:1::1", str(CONTROLS[0])),
        ("fd00:1::2", str(CONTROLS[1])),
    }
    assert (spec.source, spec.source_port) == ("192.0.2.1", 50010)
    assert (spec.is_signed, spec.key) == (True, "s3cret")
    assert len(spec.device) <= 15


def test_a_session_over_ipv6_is_relayed_unsigned() -> None:
    made = host(address="fd00:1::3")

    (spec,) = relay_specs(made.desired.ports.values(), CONTROLS, IPv4Address("192.0.2.1")).values()

    assert (spec.is_signed, spec.key) == (False, "")
    assert len(rows_of(relayed(made))) == 1


@pytest.mark.parametrize(
    "auth",
    [
        {"key_type": "md5", "key_items": [{"key_id": 0}]},
        {"key_type": "other", "key_items": [{"key": "x"}]},
    ],
)
def test_without_a_usable_key_a_signed_session_runs_nowhere(auth: dict[str, Json]) -> None:
    made = host(auth=auth)

    assert relay_specs(made.desired.ports.values(), CONTROLS, IPv4Address("192.0.2.1")) == {}
    assert rows_of(made) == []


def test_before_the_service_has_arrived_no_session_can_begin_unsigned() -> None:
    assert rows_of(host(has_service=False)) == []


def test_a_port_whose_relay_does_not_run_says_so() -> None:
    made = host(auth=KEYS[0])

    def reasons() -> list[str]:
        return [each.reason for each in troubles(made.desired.ports, made.view)]

    assert any("relay" in reason for reason in reasons())
    relayed(made)
    assert not any("relay" in reason for reason in reasons())


def test_no_key_is_shown() -> None:
    made = host(auth=KEYS[0])

    shown = list(without_keys(made.sessions.graph.nodes()))

    assert "s3cret" in repr(list(made.sessions.graph.nodes()))
    assert "s3cret" not in repr(shown)
    assert "s3cret" not in repr(made.desired.ports)
