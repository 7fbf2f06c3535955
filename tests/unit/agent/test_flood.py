"""Who gets copies of broadcasts: the flood lists an agent wants, and what it publishes."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from skytrail.agent.io.ebpf_rows import (
    flood_entry,
    flood_row,
    interface_entry,
    interface_row,
    nexthop_entry,
    nexthop_row,
)
from skytrail.agent.lookup import Tables
from skytrail.agent.tables import (
    FLOOD_MEMBERS_COUNT_MAX,
    FLOOD_RELAYED,
    FloodRow,
    InetRouteRow,
    InterfaceRow,
    LabelRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    VrfId,
)
from skytrail.agent.trace import COPIED, TracePacket, explain
from skytrail.net import BROADCAST_MAC, Label, Vni
from skytrail.testing.agent_world import PROJECT, SOURCE, AgentHost, ConfigBuilder, subnet
from skytrail.wire.xmpp import (
    BROADCAST_TREE,
    ConfigKey,
    ConfigNode,
    ConfigUpdate,
    EnetKey,
    Family,
    ItemsEvent,
    JoinTree,
    NextHop,
    Route,
    RouteAttributes,
    TreeBranch,
    TreeEdge,
    TreeItems,
)
from skytrail.wire.xmpp.values import Json

RED, BLUE = f"{PROJECT}:red", f"{PROJECT}:blue"
RED_VRF = f"{RED}:red"


BY_TREE = {"key_value_pair": [{"key": "broadcast-replication", "value": "tree"}]}


def host(
    *names: str, annotations: Json = None, unknown: Json = None, own: str = "192.0.2.1"
) -> AgentHost:
    config = ConfigBuilder()
    red = config.network(
        "red",
        5,
        [
            subnet("10.1.1.0/24"),
            subnet("10.1.2.0/31", default_gateway="10.1.2.0", dns_server_address="10.1.2.0"),
        ],
        annotations=annotations,
        flood_unknown_unicast=unknown,
    )
    blue = config.network("blue", 6, [subnet("10.1.1.0/24")])
    for name, network, address in (
        ("a", red, "10.1.1.3"), ("b", red, "10.1.1.4"), ("c", blue, "10.1.1.3"),
    ):  # fmt: skip
        config.port(name, network, [address])
    made = AgentHost(own)
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


def joined(made: AgentHost) -> JoinTree | None:
    found = made.desired.published.get((RED_VRF, BROADCAST_TREE))
    return found if isinstance(found, JoinTree) else None


def grow(made: AgentHost, *neighbours: str, label: int | None = None) -> None:
    """Let the control node tell the host its neighbours in red's tree."""
    join = joined(made)
    assert join is not None
    edges = tuple(TreeEdge(ip_address(each), Label(900), ("udp",)) for each in neighbours)
    own = join.first_label if label is None else Label(label)
    event = TreeItems(RED_VRF, (TreeBranch(BROADCAST_TREE, own, edges),))
    made.sessions.received(SOURCE, event, made.now)
    made.resolve(*neighbours)
    made.reconcile()


def on_tree(route: Route) -> Route:
    return Route(route.key, route.next_hops, RouteAttributes(communities=("overlay-tree",)))


def own_inclusive(made: AgentHost) -> Route:
    (route,) = [r for vrf, r in made.published() if getattr(r.key, "mac", None) == BROADCAST_MAC]
    return route


def test_a_network_that_does_not_ask_for_a_tree_has_none() -> None:
    assert joined(host("a")) is None


def test_a_network_that_asks_for_a_tree_is_joined_by_a_label_that_relays() -> None:
    made = host("a", "b", annotations=BY_TREE)

    join = joined(made)
    assert join is not None
    assert (str(join.address), join.encapsulations) == ("192.0.2.1", ("udp", "gre"))
    row = made.datapath.rows[LabelRow][join.first_label]
    assert isinstance(row, LabelRow)
    nexthop = made.datapath.rows[NextHopRow][row.nexthop_id]
    assert isinstance(nexthop, NextHopRow)
    assert (nexthop.kind, nexthop.relays) == (NextHopKind.BRIDGE, True)
    assert nexthop.vrf_id == made.desired.vrfs[RED_VRF]


def test_a_host_over_ipv6_is_joined_by_its_address_and_has_neighbours() -> None:
    made = host("a", annotations=BY_TREE, own="2001:db8::1")
    grow(made, "2001:db8::2")

    join = joined(made)
    assert join is not None
    assert str(join.address) == "2001:db8::1"
    assert members(made)[1:] == [("2001:db8::2", 900 | FLOOD_RELAYED)]


def test_neighbours_in_the_tree_stand_for_all_who_are_on_it() -> None:
    made = host("a", annotations=BY_TREE)
    grow(made, "192.0.2.2")
    # One on the tree beyond the neighbour, and a router that is not on it.
    made.learn(RED_VRF, [on_tree(inclusive("192.0.2.2")), on_tree(inclusive("192.0.2.3"))])
    made.learn(RED_VRF, [inclusive("192.0.2.9", 39)])
    made.resolve("192.0.2.9")
    made.reconcile()

    assert members(made)[1:] == [("192.0.2.2", 900 | FLOOD_RELAYED), ("192.0.2.9", 39)]


def test_who_has_no_neighbours_yet_copies_to_everybody_itself() -> None:
    made = host("a", annotations=BY_TREE)
    made.learn(RED_VRF, [on_tree(inclusive("192.0.2.2", 31))])
    made.reconcile()

    assert members(made)[1:] == [("192.0.2.2", 31)]
    assert own_inclusive(made).attributes.communities == ()


def test_who_is_on_the_tree_says_so_and_takes_it_back() -> None:
    made = host("a", annotations=BY_TREE)
    grow(made, "192.0.2.2")
    assert own_inclusive(made).attributes.communities == ("overlay-tree",)

    event = TreeItems(RED_VRF, (), (BROADCAST_TREE,))
    made.sessions.received(SOURCE, event, made.now)
    made.reconcile()

    assert own_inclusive(made).attributes.communities == ()


def test_a_branch_of_another_label_is_not_used() -> None:
    made = host("a", annotations=BY_TREE)

    grow(made, "192.0.2.2", label=4711)

    assert members(made)[1:] == []


def test_the_last_port_that_leaves_takes_the_membership_along() -> None:
    made = host("a", annotations=BY_TREE)
    label = joined(made)
    assert label is not None

    made.plugged.clear()
    made.reconcile()

    assert joined(made) is None
    assert label.first_label not in made.datapath.rows[LabelRow]


def test_relays_and_relayed_members_read_back_as_written() -> None:
    row = NextHopRow(NextHopId(7), NextHopKind.BRIDGE, vrf_id=VrfId(5), relays=True)
    key, raw = nexthop_entry(row, 1500)
    assert nexthop_row(int.from_bytes(key, "little"), raw) == row
    flood = FloodRow(VrfId(5), ((NextHopId(7), 900 | FLOOD_RELAYED),), floods_unknown=True)
    assert flood_row(*flood_entry(flood)) == flood


ASSISTED = {"key_value_pair": [{"key": "broadcast-replication", "value": "assisted"}]}


def replicator(address: str, label: int = 50) -> Route:
    route = inclusive(address, label)
    return Route(route.key, route.next_hops, RouteAttributes(replicates=True))


def test_a_leaf_sends_one_copy_to_a_replicator_and_says_that_it_is_a_leaf() -> None:
    made = host("a", annotations=ASSISTED)
    made.learn(RED_VRF, [inclusive("192.0.2.2", 31), inclusive("192.0.2.8", 38)])
    made.learn(RED_VRF, [replicator("192.0.2.9")])
    made.resolve("192.0.2.2", "192.0.2.8", "192.0.2.9")
    made.reconcile()

    assert members(made)[1:] == [("192.0.2.9", 50)]
    assert own_inclusive(made).attributes.replication_leaf


def test_a_leaf_copies_itself_once_the_last_replicator_is_gone_or_out_of_reach() -> None:
    made = host("a", annotations=ASSISTED)
    made.learn(RED_VRF, [inclusive("192.0.2.2", 31), replicator("192.0.2.9")])
    made.resolve("192.0.2.2")
    made.reconcile()
    assert members(made)[1:] == [("192.0.2.2", 31)]

    made.resolve("192.0.2.9")
    made.reconcile()
    assert members(made)[1:] == [("192.0.2.9", 50)]

    gone = (EnetKey(BROADCAST_MAC, ip_network("192.0.2.9/32")),)
    made.sessions.received(SOURCE, ItemsEvent(Family.ENET, RED_VRF, (), gone), made.now)
    made.reconcile()
    assert members(made)[1:] == [("192.0.2.2", 31)]


def test_another_replicator_takes_over_from_the_one_that_goes() -> None:
    made = host("a", annotations=ASSISTED)
    made.learn(RED_VRF, [replicator("192.0.2.8", 48), replicator("192.0.2.9", 49)])
    made.resolve("192.0.2.8", "192.0.2.9")
    made.reconcile()
    (first,) = members(made)[1:]

    gone = (EnetKey(BROADCAST_MAC, ip_network(first[0])),)
    made.sessions.received(SOURCE, ItemsEvent(Family.ENET, RED_VRF, (), gone), made.now)
    made.reconcile()

    (second,) = members(made)[1:]
    assert {first, second} == {("192.0.2.8", 48), ("192.0.2.9", 49)}


def test_a_network_that_does_not_ask_sends_nothing_to_replicators() -> None:
    made = host("a")
    made.learn(RED_VRF, [inclusive("192.0.2.2", 31), replicator("192.0.2.9")])
    made.resolve("192.0.2.2", "192.0.2.9")
    made.reconcile()

    assert members(made)[1:] == [("192.0.2.2", 31)]
    assert not own_inclusive(made).attributes.replication_leaf


@pytest.mark.parametrize(("asked", "expected"), [(None, False), (False, False), (True, True)])
def test_unknown_unicast_is_flooded_only_where_the_network_asks(
    asked: Json, expected: bool
) -> None:
    made = host("a", unknown=asked)

    (row,) = made.datapath.rows[FloodRow].values()
    assert isinstance(row, FloodRow)
    assert row.floods_unknown == expected


def test_no_replicator_is_asked_to_copy_what_is_for_unknown_macs() -> None:
    made = host("a", annotations=ASSISTED, unknown=True)
    made.learn(RED_VRF, [inclusive("192.0.2.2", 31), replicator("192.0.2.9")])
    made.resolve("192.0.2.2", "192.0.2.9")
    made.reconcile()

    assert members(made)[1:] == [("192.0.2.2", 31)]


def replicating(
    network: Json = ASSISTED, *, address: str = "192.0.2.101", own: str = "192.0.2.1"
) -> AgentHost:
    """A host that copies for others by an address of its own."""
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")], annotations=network)
    config.port("a", red, ["10.1.1.3"])
    note = {"key_value_pair": [{"key": "replicator-address", "value": address}]}
    config.node("virtual-router", "default-global-system-config:host", annotations=note)
    made = AgentHost(own)
    made.plug("a", 10)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def inclusives(made: AgentHost) -> dict[str, Route]:
    return {
        str(route.key.address): route
        for _, route in made.published()
        if isinstance(route.key, EnetKey) and route.key.mac == BROADCAST_MAC
    }


def test_a_replicator_asks_for_copies_and_offers_to_make_them_by_another_address() -> None:
    made = replicating()

    own, other = inclusives(made)["192.0.2.1/32"], inclusives(made)["192.0.2.101/32"]
    assert (own.attributes.replicates, own.attributes.replication_leaf) == (False, False)
    assert (other.attributes.replicates, other.attributes.replication_leaf) == (True, False)
    assert other.next_hops[0].address == IPv4Address("192.0.2.101")
    assert other.next_hops[0].label == own.next_hops[0].label
    (row,) = [r for r in made.datapath.rows[InterfaceRow].values() if r.tunnel_address]
    assert row.replicator_address == IPv4Address("192.0.2.101")
    assert interface_row(row.vif_id, interface_entry(row)[1]) == row


def test_a_replicator_over_ipv6_offers_copies_by_another_ipv6_address() -> None:
    made = replicating(own="2001:db8::1", address="2001:db8::101")

    own, other = inclusives(made)["2001:db8::1/128"], inclusives(made)["2001:db8::101/128"]
    assert (own.attributes.replicates, other.attributes.replicates) == (False, True)
    assert other.next_hops[0].address == ip_address("2001:db8::101")
    (row,) = [r for r in made.datapath.rows[InterfaceRow].values() if r.tunnel_address6]
    assert row.replicator_address == ip_address("2001:db8::101")


@pytest.mark.parametrize("address", ["192.0.2.101", "2001:db8::1", "ff05::1", "::1"])
def test_what_no_tunnel_over_ipv6_ends_at_makes_no_replicator(address: str) -> None:
    made = replicating(own="2001:db8::1", address=address)

    assert set(inclusives(made)) == {"2001:db8::1/128"}


def test_a_replicator_copies_to_everybody_itself_and_between_them() -> None:
    made = replicating()
    made.learn(RED_VRF, [inclusive("192.0.2.2", 31), inclusive("192.0.2.3", 32)])
    made.learn(RED_VRF, [replicator("192.0.2.9"), inclusives(made)["192.0.2.101/32"]])
    made.resolve("192.0.2.2", "192.0.2.3", "192.0.2.9", "192.0.2.101")
    made.reconcile()

    assert members(made)[1:] == [
        ("192.0.2.2", 31 | FLOOD_RELAYED),
        ("192.0.2.3", 32 | FLOOD_RELAYED),
    ]


@pytest.mark.parametrize("network", [None, BY_TREE])
def test_a_replicator_offers_nothing_in_networks_that_do_not_ask(network: Json) -> None:
    made = replicating(network)

    assert set(inclusives(made)) == {"192.0.2.1/32"}


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "224.0.0.5", "127.0.0.9", "0.0.0.0", "fd00::1", "x"]
)
def test_what_cannot_be_another_tunnel_address_makes_no_replicator(address: str) -> None:
    made = replicating(address=address)

    assert set(inclusives(made)) == {"192.0.2.1/32"}
    assert inclusives(made)["192.0.2.1/32"].attributes.replication_leaf
    assert all(r.replicator_address is None for r in made.datapath.rows[InterfaceRow].values())


def test_a_replicator_that_is_none_any_more_takes_its_offer_back() -> None:
    made = replicating()
    key = ConfigKey("virtual-router", "default-global-system-config:host")
    made.configure(ConfigUpdate((ConfigNode(key, {}),), ()))
    made.learn(RED_VRF, [inclusive("192.0.2.2", 31)])
    made.resolve("192.0.2.2")
    made.reconcile()

    assert set(inclusives(made)) == {"192.0.2.1/32"}
    assert members(made)[1:] == [("192.0.2.2", 31)]


def test_an_intent_of_the_network_asks_for_replicators_as_its_annotation_does() -> None:
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    config.port("a", red, ["10.1.1.3"])
    name = "default-global-system-config:assisted-replicator"
    intent = config.node("intent-map", name, intent_map_intent_type="assisted-replicator")
    config.link(red, intent)
    made = AgentHost("192.0.2.1")
    made.plug("a", 10)
    made.connect()
    made.configure(config.update())
    made.reconcile()

    assert own_inclusive(made).attributes.replication_leaf
