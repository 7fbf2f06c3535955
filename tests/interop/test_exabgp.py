"""ExaBGP as a live peer: every family both sides have, in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from skytrail.net import Mac, RouteDistinguisher
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import EXABGP, OURS, RAW, Bench, bench, eventually
from skytrail.testing.control_plane import bgp_router, inet_route, instance_of, routing_instance
from skytrail.testing.exabgp import PROGRAM, ExaBgp
from skytrail.testing.raw_peer import RawPeer, with_target
from skytrail.wire.bgp import (
    NO_SEGMENT,
    BgpFamily,
    EthernetAutoDiscovery,
    EthernetSegment,
    InclusiveMulticast,
    IpPrefixRoute,
    LabelledNlri,
    MacIp,
    MvpnNlri,
    Nlri,
    VpnNlri,
    encode_nlri,
)

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="run packaging/setup.sh clients")
RED = instance_of("red")
RD = RouteDistinguisher.parse("64512:15")
SEGMENT = bytes.fromhex("00112233445566778899")
FAMILIES = {
    BgpFamily.INET: "ipv4 unicast",
    BgpFamily.INET6: "ipv6 unicast",
    BgpFamily.INET_LABELLED: "ipv4 nlri-mpls",
    BgpFamily.INET_VPN: "ipv4 mpls-vpn",
    BgpFamily.INET6_VPN: "ipv6 mpls-vpn",
    BgpFamily.EVPN: "l2vpn evpn",
    BgpFamily.MVPN: "ipv4 mcast-vpn",
}
LISTED = {
    "family": ["inet", "inet6", "inet-labeled", "inet-vpn", "inet6-vpn", "e-vpn", "inet-mvpn"]
}
HOST = IPv4Address("192.0.2.7")
ROUTES: list[tuple[BgpFamily, Nlri]] = [
    (BgpFamily.INET, ip_network("20.0.0.0/9")),
    (BgpFamily.INET6, ip_network("2001:db8:7::/48")),
    (BgpFamily.INET_LABELLED, LabelledNlri(ip_network("20.128.0.0/17"), (1048575,))),
    (BgpFamily.INET_VPN, VpnNlri(RD, ip_network("20.1.0.0/16"), (17,))),
    (BgpFamily.INET6_VPN, VpnNlri(RD, ip_network("2001:db8:8::/48"), (18,))),
    (BgpFamily.EVPN, EthernetAutoDiscovery(RD, SEGMENT, 20, 480)),
    (BgpFamily.EVPN, MacIp(RD, SEGMENT, 0, Mac(b"\2\0\0\0\0\1"), HOST, 480, 496)),
    (BgpFamily.EVPN, InclusiveMulticast(RD, 20, HOST)),
    (BgpFamily.EVPN, EthernetSegment(RD, SEGMENT, HOST)),
    (
        BgpFamily.EVPN,
        IpPrefixRoute(RD, NO_SEGMENT, 0, ip_network("20.2.0.0/16"), IPv4Address(0), 480),
    ),
    (BgpFamily.MVPN, MvpnNlri(5, RD, None, HOST, IPv4Address("239.1.1.1"))),
    (BgpFamily.MVPN, MvpnNlri(7, RD, 64512, HOST, IPv4Address("239.1.1.1"))),
]
COMMUNITY = "extended-community [ target:64512:101 ]"
THEIRS = {
    "unicast": (f"20.6.0.0/16 next-hop {EXABGP}", "relayed", "20.6.0.0/16"),
    "IPv6 unicast": ("2001:db8:6::/48 next-hop 2001:db8::9", "relayed", "2001:db8:6::/48"),
    "labelled": (f"20.7.0.0/16 next-hop {EXABGP} label 1700", "relayed", "20.7.0.0/16 label 1700"),
    "VPNv4": (
        f"20.5.5.0/24 next-hop {EXABGP} label 1500 rd 64512:15 {COMMUNITY}",
        "vpn",
        "20.5.5.0/24",
    ),
    "VPNv6": (
        f"2001:db8:5::/48 next-hop ::ffff:{EXABGP} label 1501 rd 64512:15 {COMMUNITY}",
        "vpn",
        "2001:db8:5::/48",
    ),
}
"""In the words of its command, and where and how we show it."""


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("routers")) as made:
        yield made


@pytest.fixture(scope="module")
def exabgp(routers: Bench) -> Iterator[ExaBgp]:
    # A family we do not have beside those we do: it must cost nothing.
    made = ExaBgp(routers, (*FAMILIES.values(), "ipv4 flow"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def node(routers: Bench, exabgp: ExaBgp) -> Iterator[Node]:
    with Node(routers) as made:
        made.configure(
            bgp_router(
                "control1",
                OURS,
                cluster_id=0x0A090001,
                peers=[("exabgp", {}), ("one", {"passive": True})],
                address_families=LISTED,
            ),
            bgp_router("exabgp", EXABGP, address_families=LISTED),
            bgp_router("one", RAW, address_families=LISTED),
            routing_instance("red", both=[101]),
        )
        eventually(lambda: made.state("exabgp") == "established", "a session with ExaBGP")
        yield made


def test_every_family_both_sides_have_is_negotiated(node: Node) -> None:
    negotiated = node.peer("exabgp").negotiated

    assert negotiated is not None
    assert negotiated.families == set(FAMILIES)


def test_an_agents_route_arrives_with_label_distinguisher_and_communities(
    node: Node, exabgp: ExaBgp
) -> None:
    node.publish("compute1", RED, inet_route("10.1.1.3/32", "172.16.0.7", 34))

    hop, route, attributes = eventually(
        lambda: next((r for r in exabgp.routes().values() if r[1]["nlri"] == "10.1.1.3/32"), None),
        "the agent's route",
    )

    assert (hop, route["label"], route["rd"]) == ("172.16.0.7", [[34]], "172.16.0.7:1")
    assert "target:64512:101" in str(attributes["extended-community"])
    node.withdraw("compute1", RED, ip_network("10.1.1.3/32"))
    eventually(
        lambda: not any("10.1.1.3" in str(key) for key in exabgp.routes()), "the route taken back"
    )


def test_routes_of_every_family_and_type_are_told_on_and_taken_back(
    routers: Bench, node: Node, exabgp: ExaBgp
) -> None:
    with RawPeer(routers, RAW, *FAMILIES) as peer:
        peer.connect()
        for family, nlri in ROUTES:
            hop = IPv6Address("2001:db8::7") if family is BgpFamily.INET6 else None
            peer.announce(family, with_target(), nlri, hop=hop)
        eventually(lambda: len(exabgp.routes()) >= len(ROUTES), "every route in ExaBGP")

        told = {(family, spelled(route)) for (family, _), (_, route, _) in exabgp.routes().items()}
        assert told == {(FAMILIES[family], wire(family, nlri)) for family, nlri in ROUTES}

        for family, nlri in ROUTES:
            peer.withdraw(family, nlri)
        eventually(lambda: not exabgp.routes(), "every route taken back")
    assert node.state("exabgp") == "established"


@pytest.mark.parametrize("name", THEIRS)
def test_its_routes_are_shown_and_go_when_it_takes_them_back(
    node: Node, exabgp: ExaBgp, name: str
) -> None:
    command, table, text = THEIRS[name]
    column = "route" if table == "relayed" else "prefix"

    exabgp.say(f"announce route {command}")
    eventually(lambda: text in {row[column] for row in node.table(table)}, "the route")
    if table == "vpn":
        (row,) = (row for row in node.table(table) if row[column] == text)
        assert (row["feasible"], row["next_hops"]) == (True, [EXABGP])

    exabgp.say(f"withdraw route {command}")
    eventually(lambda: text not in {row[column] for row in node.table(table)}, "the route gone")


def test_its_multicast_joins_are_shown(node: Node, exabgp: ExaBgp) -> None:
    join = f"shared-join rp {EXABGP} group 239.1.1.1 rd 64512:15 source-as 64512"

    exabgp.say(f"announce ipv4 mcast-vpn {join} next-hop {EXABGP} {COMMUNITY}")

    text = f"6:64512:15:64512:{EXABGP}:239.1.1.1"
    eventually(lambda: text in {row["route"] for row in node.table("relayed")}, "the join")


def test_a_command_that_puts_a_vpn_route_among_plain_ones_resets_its_session_only(
    routers: Bench, node: Node, exabgp: ExaBgp
) -> None:
    """ExaBGP 5.0.15 sends what ``announce ipv4 mpls-vpn`` says as plain unicast."""
    with RawPeer(routers, RAW, BgpFamily.INET_VPN) as peer:
        peer.connect()
        sessions = node.peer("exabgp").counters.sessions
        route = f"20.9.9.0/24 next-hop {EXABGP} label 1500 rd 64512:15 {COMMUNITY}"

        exabgp.say(f"announce ipv4 mpls-vpn {route}")

        eventually(
            lambda: "prefix length" in node.peer("exabgp").last_down_reason, "the session reset"
        )
        assert peer.notification() is None
        exabgp.say(f"withdraw ipv4 mpls-vpn {route}")
        eventually(lambda: node.peer("exabgp").counters.sessions > sessions, "it is back")


def spelled(route: dict[str, object]) -> str:
    """Return the bytes of a route with a type, the text of any other."""
    if "raw" in route:
        return str(route["raw"]).lower()
    return " ".join(str(route[each]) for each in ("rd", "nlri", "label") if each in route)


def wire(family: BgpFamily, nlri: Nlri) -> str:
    match nlri:
        case VpnNlri(distinguisher, prefix, labels):
            return f"{distinguisher} {prefix} {[[*labels]]}"
        case LabelledNlri(prefix, labels):
            return f"{prefix} {[[*labels]]}"
        case _ if family in {BgpFamily.EVPN, BgpFamily.MVPN}:
            return encode_nlri(family, nlri).hex()
        case _:
            return str(nlri)
