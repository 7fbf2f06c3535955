"""TTL security (RFC 5082) with FRR, BIRD and GoBGP: near neighbours only."""

from __future__ import annotations

import contextlib
import socket
import subprocess

import pytest

from skytrail.lab.io import netns
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import (
    BIRD,
    FRR,
    GOBGP,
    OURS,
    Bench,
    Neighbour,
    eventually,
)
from skytrail.testing.control_plane import bgp_router
from skytrail.testing.router_configs import bird_config, frr_config

FRR_CONFIG = frr_config(
    process=["no bgp ebgp-requires-policy"], neighbour=["ttl-security hops 1"], asn=65001
)
BIRD_CONFIG = bird_config(
    # By default it answers nobody for a minute after an attempt that failed.
    "error wait time 1, 2",
    "ttl security SECURITY",
    multihop="multihop 2",
)
GOBGP_SECURITY = """
  [neighbors.ttl-security.config]
    enabled = true
    ttl-min = 255
"""
PEERS = {"frr": (FRR, 65001), "bird": (BIRD, 64512), "gobgp": (GOBGP, 65002)}


def configure(node: Node, name: str, hops: int, *, passive: bool = False) -> None:
    address, asn = PEERS[name]
    node.configure(
        bgp_router("control1", OURS, peers=[(name, {"passive": passive})]),
        bgp_router(name, address, asn=asn, notes={"bgp-ttl-security": str(hops)}),
    )


def start(routers: Bench, name: str) -> None:
    match name:
        case "frr":
            routers.start_frr(FRR_CONFIG)
        case "bird":
            routers.start_bird(BIRD_CONFIG.replace("SECURITY", "on"))
        case _:
            neighbour = Neighbour(OURS, ("l3vpn-ipv4-unicast",), sections=GOBGP_SECURITY)
            routers.start_gobgp_with(neighbour, asn=65002)


@pytest.mark.parametrize("passive", [False, True], ids=["either dials", "it dials"])
@pytest.mark.parametrize("name", PEERS)
def test_peers_that_both_want_near_neighbours_establish_a_session(
    routers: Bench, node: Node, name: str, passive: bool
) -> None:
    start(routers, name)
    configure(node, name, 1, passive=passive)

    eventually(lambda: node.state(name) == "established", f"a session with {name}")


@pytest.mark.parametrize("passive", [False, True], ids=["either dials", "it dials"])
def test_a_peer_that_may_be_far_away_gets_no_session(
    routers: Bench, node: Node, passive: bool
) -> None:
    """BIRD's segments start with a TTL of two: they say that it is near, and cannot prove it."""
    routers.start_bird(BIRD_CONFIG.replace("SECURITY", "off"))
    configure(node, "bird", 1, passive=passive)
    eventually(
        lambda: (
            any(link.last_attempt for link in node.bgp.links.values())
            or "Connect" in routers.bird("show protocols all ours")
            or "OpenSent" in routers.bird("show protocols all ours")
        ),
        "attempts",
    )

    assert node.state("bird") != "established"
    assert node.peer("bird").counters.sessions == 0
    configure(node, "bird", 254, passive=passive)
    eventually(lambda: node.state("bird") == "established", "a session once it is allowed")


def sockets_at(address: str) -> str:
    command = ["ss", "-tnoi", "dst", address]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_far_connection_is_ended_though_it_can_acknowledge_nothing(
    routers: Bench, node: Node
) -> None:
    """Else the peer would hold it to be up for minutes, and refuse the next one."""
    configure(node, "bird", 1, passive=True)
    eventually(lambda: node.bgp.links, "a peer that may connect")
    with netns.entered(routers.namespace), socket.socket() as far:
        far.bind((BIRD, 0))
        far.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 2)
        far.settimeout(10)
        far.connect((OURS, 179))
        assert far.recv(4096)[18] == 1, "our OPEN"
        # After that the kernel sends one segment at a time, and what comes behind waits for ever.
        eventually(lambda: "backoff:" in sockets_at(BIRD), "the OPEN sent again")

        configure(node, "bird", 254, passive=True)

        with contextlib.suppress(ConnectionResetError):
            while far.recv(4096):
                pass


@pytest.mark.parametrize("text", ["0", "255", "near"])
def test_hops_that_make_no_sense_leave_the_peer_out_and_say_so(node: Node, text: str) -> None:
    node.configure(
        bgp_router("control1", OURS, peers=[("frr", {})]),
        bgp_router("frr", FRR, notes={"bgp-ttl-security": text}),
    )

    assert node.state("frr") == "absent"
    (row,) = node.table("control")
    assert "is not a number from 1 to 254" in str(row["bgp_problems"])
