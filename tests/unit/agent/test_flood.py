"""Who gets copies of broadcasts: the flood lists an agent wants, and what it publishes."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from skytrail.agent.io.ebpf_rows import flood_entry, flood_row
from skytrail.agent.lookup import Tables
from skytrail.agent.tables import (
    FLOOD_MEMBERS_COUNT_MAX,
    FloodRow,
    InetRouteRow,
    LabelRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    VrfId,
)
from skytrail.agent.trace import COPIED, TracePacket, explain
from skytrail.net import BROADCAST_MAC, Label, Vni
from skytrail.testing.agent_world import PROJECT, SOURCE, AgentHost, ConfigBuilder, subnet
from skytrail.wire.xmpp import EnetKey, Family, ItemsEvent, NextHop, Route, RouteAttributes

RED, BLUE = f"{PROJECT}:red", f"{PROJECT}:blue"
RED_VRF = f"{RED}:red"


def host(*names: str) -> AgentHost:
    config = ConfigBuilder()
    red = config.network(
        "red",
        5,
        [
            subnet("10.1.1.0/24"),
            subnet("10.1.2.0/31", default_gateway="10.1.2.0", dns_server_address="10.1.2.0"),
        ],
    )
    blue = config.network("blue", 6, [subnet("10.1.1.0/24")])
    for name, network, address in (
        ("a", red, "10.1.1.3"), ("b", red, "10.1.1.4"), ("c", blue, "10.1.1.3"),
    ):  # fmt: skip
        config.port(name, network, [address])
    made = AgentHost("192.0.2.1")
    for index, name in enumerate(names):
        made.plug(name, 10 + index)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def inclusive(
    router: str, label: int = 30, *, network: str = RED, kinds: tuple[str, ...] = ("udp",)
) -> Route:
    hop = NextHop(
        IPv4Address(router), Label(label), Vni(5), encapsulations=kinds, virtual_network=network
    )
    return Route(EnetKey(BROADCAST_MAC, ip_network(router)), (hop,), RouteAttributes())


def members(made: AgentHost, vrf: str = RED_VRF) -> list[tuple[str, int]]:
    """Where copies go: port or remote address, with the label."""
    row = made.datapath.rows[FloodRow][made.desired.vrfs[vrf]]
    assert isinstance(row, FloodRow)
    found = []
    for nexthop_id, label in row.members:
        nexthop = made.datapath.rows[NextHopRow][nexthop_id]
        assert isinstance(nexthop, NextHopRow)
        assert nexthop.layer2
        port = made.desired.vifs.get(nexthop.vif_id, "")
        found.append((str(nexthop.remote or port), label))
    return found


def test_members_are_the_local_ports_of_the_network_and_who_wants_copies_elsewhere() -> None:
    made = host("a", "b", "c")
    made.learn(RED_VRF, [inclusive("192.0.2.2", 31), inclusive("192.0.2.3", 32)])
    made.resolve("192.0.2.2", "192.0.2.3")
    made.reconcile()

    local, remote = members(made)[:2], members(made)[2:]
    assert {name for name, _ in local} == {made.active(name).port.uuid for name in "ab"}
    assert remote == [("192.0.2.2", 31), ("192.0.2.3", 32)]
    assert len(members(made, f"{BLUE}:blue")) == 1


def test_an_agent_asks_for_copies_with_a_label_that_leads_into_the_network() -> None:
    made = host("a")

    (route,) = [r for vrf, r in made.published() if getattr(r.key, "mac", None) == BROADCAST_MAC]
    (hop,) = route.next_hops
    assert route.key == EnetKey(BROADCAST_MAC, ip_network("192.0.2.1/32"))
    assert (str(hop.address), hop.virtual_network, hop.vni) == ("192.0.2.1", RED, 5)
    label = made.datapath.rows[LabelRow][hop.label]
    assert isinstance(label, LabelRow)
    nexthop = made.datapath.rows[NextHopRow][label.nexthop_id]
    assert isinstance(nexthop, NextHopRow)
    assert (nexthop.kind, nexthop.vrf_id) == (NextHopKind.BRIDGE, made.desired.vrfs[RED_VRF])


def test_no_copy_goes_to_another_network_whose_routes_are_imported_nor_to_ourselves() -> None:
    made = host("a")
    made.learn(RED_VRF, [inclusive("192.0.2.2", network=BLUE), inclusive("192.0.2.1")])
    made.reconcile()

    assert len(members(made)) == 1


def test_smaller_outer_headers_come_first() -> None:
    made = host("a")
    routes = [
        inclusive("192.0.2.2", kinds=("vxlan",)),
        inclusive("192.0.2.3", kinds=("udp",)),
        inclusive("192.0.2.4", kinds=("gre",)),
    ]
    made.learn(RED_VRF, routes)
    made.reconcile()

    remote = [name for name, _ in members(made)[1:]]
    assert remote == ["192.0.2.4", "192.0.2.3", "192.0.2.2"]


def test_the_list_is_bounded_and_says_what_is_missing() -> None:
    made = host("a")
    many = [inclusive(f"198.18.{n // 250}.{n % 250 + 1}") for n in range(FLOOD_MEMBERS_COUNT_MAX)]
    made.learn(RED_VRF, many)
    made.reconcile()

    (row,) = made.datapath.rows[FloodRow].values()
    assert isinstance(row, FloodRow)
    assert (len(row.members), row.beyond_count) == (FLOOD_MEMBERS_COUNT_MAX, 1)
    assert made.desired.vifs  # The local port is not the one left out.
    first = made.datapath.rows[NextHopRow][row.members[0][0]]
    assert isinstance(first, NextHopRow)
    assert first.kind is NextHopKind.INTERFACE


def test_a_member_that_leaves_gets_no_more_copies() -> None:
    made = host("a", "b")
    made.learn(RED_VRF, [inclusive("192.0.2.2")])
    made.reconcile()
    gone = (EnetKey(BROADCAST_MAC, ip_network("192.0.2.2")),)
    made.sessions.received(SOURCE, ItemsEvent(Family.ENET, RED_VRF, (), gone), made.now)
    made.plugged.pop(made.active("b").port.uuid)
    made.reconcile()

    assert [label for _, label in members(made)] == [0]
    made.plugged.clear()
    made.reconcile()
    assert made.datapath.rows[FloodRow] == {}
    assert not [r for _, r in made.published() if getattr(r.key, "mac", None) == BROADCAST_MAC]


def test_the_subnet_s_broadcast_address_is_everybody_but_not_on_point_to_point_links() -> None:
    made = host("a")
    rows = [r for r in made.datapath.rows[InetRouteRow].values() if isinstance(r, InetRouteRow)]
    targets = {str(r.prefix): made.datapath.rows[NextHopRow][r.nexthop_id] for r in rows}

    broadcast = targets["10.1.1.255/32"]
    assert isinstance(broadcast, NextHopRow)
    assert broadcast.kind is NextHopKind.BRIDGE
    assert "10.1.2.1/32" not in targets


@pytest.mark.parametrize("group", ["255.255.255.255", "239.1.2.3", "10.1.1.255"])
def test_a_trace_tells_who_gets_copies(group: str) -> None:
    made = host("a", "b")
    made.learn(RED_VRF, [inclusive("192.0.2.2")])
    made.reconcile()
    tables = Tables(row for rows in made.desired.rows.values() for row in rows.values())
    packet = TracePacket(ip_address("10.1.1.3"), ip_address(group), 17, 4000, 4001)

    trace = explain(tables, made.vif("a"), packet)

    assert trace.outcome == COPIED
    assert trace.steps[-1].answer == f"vif {made.vif('b')}, 192.0.2.2"


def test_a_trace_of_the_only_member_s_broadcast_ends_where_the_packet_does() -> None:
    made = host("c")
    tables = Tables(row for rows in made.desired.rows.values() for row in rows.values())
    packet = TracePacket(ip_address("10.1.1.3"), ip_address("255.255.255.255"), 17)

    assert explain(tables, made.vif("c"), packet).drop_reason == "MULTICAST"


@pytest.mark.parametrize("count", [0, 1, FLOOD_MEMBERS_COUNT_MAX])
def test_rows_survive_the_kernel(count: int) -> None:
    row = FloodRow(VrfId(7), tuple((NextHopId(n + 1), n) for n in range(count)), beyond_count=3)

    assert flood_row(*flood_entry(row)) == row


def test_members_elsewhere_keep_their_copies_while_an_agent_that_restarted_hears_of_them() -> None:
    made = host("a", "b")
    made.learn(RED_VRF, [inclusive("192.0.2.2")])
    made.reconcile()
    before = members(made)
    gone = (EnetKey(BROADCAST_MAC, ip_network("192.0.2.2")),)
    made.sessions.received(SOURCE, ItemsEvent(Family.ENET, RED_VRF, (), gone), made.now)

    made.reconcile(complete=False)
    assert members(made) == before
    made.reconcile(complete=True)
    assert members(made) == before[:2]
