"""Sessions over IPv6 with FRR and BIRD: routes, MD5, TTL security and BFD as over IPv4."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skytrail.control.path import InstanceName
from skytrail.control.plane import ControlPlane
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import (
    BIRD,
    BIRD6,
    FAR,
    FAR6,
    FRR,
    FRR6,
    OURS,
    OURS6,
    Bench,
    eventually,
)
from skytrail.testing.control_plane import bgp_router, inet_route, instance_of, routing_instance
from skytrail.wire.xmpp import Family

RED = instance_of("red")
PEERS = {"frr": FRR6, "bird": BIRD6}
KEY, OTHER = "correct-horse", "battery-staple"
FRR_CONFIG = """
router bgp ASN
 bgp router-id ID
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 neighbor OURS remote-as 64512
 neighbor OURS update-source FRR
 neighbor OURS timers connect 1
 EXTRA
 address-family ipv4 vpn
  neighbor OURS activate
  neighbor OURS route-map targets out
  network 20.1.1.0/24 rd 64512:7 label 700
 exit-address-family
 address-family ipv6 vpn
  neighbor OURS activate
 exit-address-family
 address-family l2vpn evpn
  neighbor OURS activate
 exit-address-family
route-map targets permit 10
 set extcommunity rt 64512:101
"""
BIRD_CONFIG = """
router id ID;
vpn4 table v4;
vpn6 table v6;
protocol device {}
protocol bfd { multihop { interval 100 ms; multiplier 3; }; }
protocol bgp ours {
  local BIRD as 64512;
  neighbor OURS as 64512;
  multihop 2;
  strict bind yes;
  connect retry time 1;
  EXTRA
  vpn4 mpls { table v4; import all; export all; extended next hop; };
  vpn6 mpls { table v6; import all; export all; };
}
"""


def frr_config(extra: str = "", *, asn: int = 64512, at: str = FRR6, router_id: str = FRR) -> str:
    text = FRR_CONFIG.replace("OURS", OURS6).replace("ASN", str(asn)).replace("ID", router_id)
    return text.replace("FRR", at).replace("EXTRA", extra or "!")


def bird_config(extra: str = "", *, at: str = BIRD6) -> str:
    text = BIRD_CONFIG.replace("OURS", OURS6).replace("ID", BIRD)
    return text.replace("local BIRD", f"local {at}").replace("EXTRA", extra)


@pytest.fixture
def node(routers: Bench) -> Iterator[Node]:
    with Node(routers, f"{OURS} {OURS6}") as made:
        yield made


def configure(
    node: Node, *, asn: int = 64512, notes: dict[str, str] | None = None, **session: object
) -> None:
    node.configure(
        bgp_router("control1", OURS, peers=[(name, session) for name in PEERS]),
        bgp_router("frr", FRR6, asn=asn, notes=notes),
        bgp_router("bird", BIRD6, notes=notes),
        routing_instance("red", both=[101]),
    )


def is_up(node: Node, *names: str) -> None:
    for name in names:
        eventually(lambda name=name: node.state(name) == "established", f"a session with {name}")


def tunnel_ends(node: Node, prefix: str) -> list[str]:
    def look(plane: ControlPlane) -> list[str]:
        entries = plane.replicator.vrfs[InstanceName(RED)].ribs[Family.INET].entries
        found = [entry.best for key, entry in entries.items() if str(key) == prefix]
        return [str(hop.address) for best in found for path in best for hop in path.next_hops]

    return node.do(look)


@pytest.mark.parametrize("passive", [False, True], ids=["either dials", "they dial"])
def test_routes_of_hosts_with_ipv4_tunnels_pass_over_ipv6_sessions(
    routers: Bench, node: Node, passive: bool
) -> None:
    routers.start_frr(frr_config())
    routers.start_bird(bird_config())
    configure(node, passive=passive)
    node.publish(
        "compute1",
        RED,
        inet_route("10.1.1.3/32", "172.16.0.7", 34),
        inet_route("2001:db8:1::3/128", "172.16.0.7", 35),
    )
    is_up(node, *PEERS)

    found = eventually(lambda: routers.frr("show bgp ipv4 vpn 10.1.1.3/32 json"), "VPNv4 in FRR")
    assert "172.16.0.7" in str(found)
    eventually(lambda: routers.frr("show bgp ipv6 vpn 2001:db8:1::3/128 json"), "VPNv6 in FRR")
    eventually(lambda: "10.1.1.3/32" in routers.bird("show route table v4"), "VPNv4 in BIRD")


def test_a_key_protects_sessions_over_ipv6_and_another_one_keeps_them_down(
    routers: Bench, node: Node
) -> None:
    routers.start_frr(frr_config(f"neighbor {OURS6} password {KEY}"))
    routers.start_bird(bird_config(f'password "{KEY}";'))
    auth = {"key_type": "md5", "key_items": [{"key_id": 0, "key": OTHER}]}
    configure(node, auth_data=auth)
    eventually(
        lambda: (
            len(node.bgp.links) == 2 and all(link.last_attempt for link in node.bgp.links.values())
        ),
        "attempts that fail",
    )
    assert "established" not in {node.state(name) for name in PEERS}

    configure(node, auth_data={"key_type": "md5", "key_items": [{"key_id": 0, "key": KEY}]})

    is_up(node, *PEERS)


def test_near_neighbours_over_ipv6_have_sessions_and_those_that_may_be_far_have_none(
    routers: Bench, node: Node
) -> None:
    """BIRD's segments start with a hop limit of two: they prove nothing."""
    routers.start_frr(frr_config(f"neighbor {OURS6} ttl-security hops 1", asn=65001))
    routers.start_bird(bird_config("ttl security off;"))
    configure(node, asn=65001, notes={"bgp-ttl-security": "1"})

    is_up(node, "frr")
    assert node.peer("bird").counters.sessions == 0
    configure(node, asn=65001, notes={"bgp-ttl-security": "254"})
    is_up(node, "bird")


@pytest.mark.parametrize("kind", ["single-hop", "multihop"])
def test_bfd_with_frr_over_ipv6_ends_the_session_when_its_daemon_goes(
    routers: Bench, node: Node, kind: str
) -> None:
    far = routers.create_far()
    try:
        far.start_frr(frr_config(at=FAR6, router_id=FAR))
        word = "multihop" if kind == "multihop" else ""
        far.start_bfdd(
            f"bfd\n peer {OURS6} {word} local-address {FAR6}\n"
            "  receive-interval 100\n  transmit-interval 100\n"
        )
        node.configure(
            bgp_router("control1", OURS, peers=[("frr", {})]),
            bgp_router("frr", FAR6, notes={"bfd": kind, "bfd-interval-ms": "100"}),
        )
        is_up(node, "frr")
        eventually(lambda: node.table("bgp")[0]["bfd"] == "up", "BFD up on our side")

        far.kill("bfdd")

        eventually(lambda: "BFD is down" in node.peer("frr").last_down_reason, "the session ended")
    finally:
        far.close()


def test_bfd_with_bird_over_ipv6_ends_the_session_when_the_path_is_cut(
    routers: Bench, node: Node
) -> None:
    far = routers.create_far()
    try:
        far.start_bird(bird_config("bfd on;", at=FAR6))
        node.configure(
            bgp_router("control1", OURS, peers=[("bird", {})]),
            bgp_router("bird", FAR6, notes={"bfd": "multihop", "bfd-interval-ms": "100"}),
        )
        is_up(node, "bird")
        eventually(lambda: node.table("bgp")[0]["bfd"] == "up", "BFD up on our side")

        far.output("ip", "link", "set", "near", "down")

        eventually(lambda: "BFD is down" in node.peer("bird").last_down_reason, "the session ended")
    finally:
        far.close()


def test_a_router_whose_only_address_is_ipv6_needs_an_identifier(node: Node) -> None:
    node.configure(bgp_router("control1", OURS6))
    (row,) = node.table("control")
    assert "identifier must be an IPv4 address" in str(row["bgp_problems"])

    node.configure(
        bgp_router("control1", OURS6, identifier=OURS, peers=[("frr", {})]), bgp_router("frr", FRR6)
    )

    eventually(lambda: node.state("frr") != "absent", "FRR as a peer")
