"""Why sessions are ceased (RFC 4486, RFC 9003), as BIRD and FRR are told."""

from __future__ import annotations

import pytest

from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import BIRD, FRR, OURS, RAW, Bench, eventually
from skytrail.testing.control_plane import bgp_router, routing_instance
from skytrail.testing.raw_peer import RawPeer, vpn_route, with_target
from skytrail.testing.router_configs import bird_config, frr_config
from skytrail.wire.bgp import BgpFamily, Cease, MessageType

VPN = BgpFamily.INET_VPN
BIRD_CONFIG = bird_config(
    "error wait time 1, 2",
    channel="next hop self; ",
    routes=[f'64512:8 20.2.{each}.0/24 via "lo" mpls {800 + each}' for each in (1, 2, 3)],
)
FRR_CONFIG = frr_config()


def configure(node: Node, name: str, address: str, session: dict[str, object]) -> None:
    node.configure(
        bgp_router("control1", OURS, peers=[(name, session)]),
        bgp_router(name, address),
        routing_instance("red", both=[101]),
    )


def limited(maximum: int, idle_timeout: int = 0) -> dict[str, object]:
    limit = {"maximum": maximum, "idle_timeout": idle_timeout}
    return {"family_attributes": [{"address_family": "inet-vpn", "prefix_limit": limit}]}


def test_bird_over_its_limit_is_told_so_and_its_routes_go(routers: Bench, node: Node) -> None:
    routers.start_bird(BIRD_CONFIG)
    configure(node, "bird", BIRD, limited(2))

    text = eventually(
        lambda: next(
            (t for t in [routers.bird("show protocols all ours")] if "Last error" in t), ""
        ),
        "BIRD's last error",
    )
    assert "Maximum number of prefixes reached" in text or "Hard reset" in text
    eventually(lambda: node.table("vpn") == [], "its routes are gone")
    assert node.state("bird") == "idle"


def test_as_many_routes_as_the_limit_are_no_offence(routers: Bench, node: Node) -> None:
    routers.start_bird(BIRD_CONFIG)
    configure(node, "bird", BIRD, limited(3))

    eventually(lambda: len(node.table("vpn")) == 3, "BIRD's three routes")
    assert node.state("bird") == "established"


def test_the_pause_after_a_limit_is_that_of_the_configuration(routers: Bench, node: Node) -> None:
    configure(node, "raw", RAW, {"passive": True, **limited(1, idle_timeout=1)})
    for _ in range(2):
        with RawPeer(routers, RAW, VPN) as peer:
            peer.connect()
            peer.announce(VPN, with_target(), vpn_route(1), vpn_route(2))
            eventually(lambda: peer.heard(MessageType.NOTIFICATION), "the end")
            said = peer.notification()
            assert said is not None
            assert (said.code, said.subcode) == (6, Cease.MAX_PREFIXES)


@pytest.mark.parametrize("how", ["down", "gone"])
def test_frr_is_told_of_an_administrators_shutdown_and_of_its_removal(
    routers: Bench, node: Node, how: str
) -> None:
    routers.start_frr(FRR_CONFIG)
    configure(node, "frr", FRR, {})
    eventually(lambda: node.state("frr") == "established", "a session")

    if how == "down":
        configure(node, "frr", FRR, {"admin_down": True})
        expected = "Administrative Shutdown"
    else:
        node.configure(bgp_router("control1", OURS), bgp_router("frr", FRR))
        expected = "Peer De-configured"

    text = eventually(
        lambda: next(
            (t for t in [str(routers.frr("show bgp neighbors json"))] if "Cease" in t), ""
        ),
        "FRR's reason",
    )
    assert f"Cease/{expected}" in text
    assert node.state("frr") == "absent"


def test_a_changed_session_is_reset_and_comes_back(routers: Bench, node: Node) -> None:
    routers.start_frr(FRR_CONFIG)
    configure(node, "frr", FRR, {})
    eventually(lambda: node.state("frr") == "established", "a session")

    configure(node, "frr", FRR, {"hold_time": 30})

    eventually(
        lambda: node.state("frr") == "established" and node.table("bgp")[0]["hold_time_s"] == 30,
        "the new hold time",
    )
