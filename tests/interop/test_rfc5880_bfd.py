"""BFD for peers (RFC 5880, 5881, 5883) with FRR's bfdd: it goes, and the BGP session with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import FAR, OURS, Bench, bench, eventually
from skytrail.testing.control_plane import bgp_router
from skytrail.testing.router_configs import frr_config

FRR_CONFIG = frr_config(address=FAR)
BFDD_CONFIG = f"""
bfd
 peer {OURS} KIND local-address {FAR}
  receive-interval 100
  transmit-interval 100
"""
KINDS = {"single-hop": "", "multihop": "multihop"}


@pytest.fixture
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("routers")) as made:
        yield made


@pytest.fixture
def far(near: Bench) -> Iterator[Bench]:
    """Where FRR is: its bfdd takes the ports for all addresses of its namespace."""
    made = near.create_far()
    try:
        made.start_frr(FRR_CONFIG)
        yield made
    finally:
        made.close()


@pytest.fixture
def node(near: Bench) -> Iterator[Node]:
    with Node(near) as made:
        yield made


def configure(node: Node, **notes: str) -> None:
    node.configure(
        bgp_router("control1", OURS, peers=[("frr", {})]),
        bgp_router(
            "frr", FAR, notes={key.replace("_", "-"): value for key, value in notes.items()}
        ),
    )


def bfd_state(node: Node) -> str:
    return str(node.table("bgp")[0]["bfd"])


@pytest.mark.parametrize("kind", KINDS)
def test_frr_and_we_see_each_other_and_its_end_ends_the_bgp_session(
    far: Bench, node: Node, kind: str
) -> None:
    far.start_bfdd(BFDD_CONFIG.replace("KIND", KINDS[kind]))
    configure(node, bfd=kind, bfd_interval_ms="100")
    eventually(lambda: node.state("frr") == "established", "a BGP session")
    eventually(lambda: bfd_state(node) == "up", "BFD is up")
    eventually(lambda: "Status: up" in far.bfdd("show bfd peers"), "BFD is up in FRR")
    sessions = node.peer("frr").counters.sessions

    far.kill("bfdd")

    # bgpd lives on, so nothing but BFD can have ended the session: its hold time is 90 s.
    eventually(lambda: "BFD" in node.peer("frr").last_down_reason, "the BGP session is down")
    assert node.peer("frr").counters.sessions >= sessions
    eventually(lambda: bfd_state(node) == "down", "BFD is down")


def test_a_path_that_is_cut_ends_the_session_long_before_the_hold_time(
    near: Bench, far: Bench, node: Node
) -> None:
    far.start_bfdd(BFDD_CONFIG.replace("KIND", ""))
    configure(node, bfd="single-hop", bfd_interval_ms="100")
    eventually(lambda: node.state("frr") == "established", "a BGP session")
    eventually(lambda: bfd_state(node) == "up", "BFD is up")

    near.output("ip", "link", "set", "far", "down")

    eventually(lambda: not node.peer("frr").is_up, "the BGP session is down")
    near.output("ip", "link", "set", "far", "up")
    eventually(lambda: node.state("frr") == "established", "a BGP session again")
    eventually(lambda: bfd_state(node) == "up", "BFD is up again")


def test_an_operator_who_takes_bfd_away_keeps_the_bgp_session(far: Bench, node: Node) -> None:
    far.start_bfdd(BFDD_CONFIG.replace("KIND", ""))
    configure(node, bfd="single-hop", bfd_interval_ms="100")
    eventually(lambda: node.state("frr") == "established", "a BGP session")
    eventually(lambda: bfd_state(node) == "up", "BFD is up")

    far.bfdd("configure terminal", "bfd", f"peer {OURS} local-address {FAR}", "shutdown")

    eventually(lambda: bfd_state(node) == "down", "BFD is down")
    assert node.state("frr") == "established"
    assert node.peer("frr").counters.sessions == 1


def test_a_peer_without_bfd_has_its_session_all_the_same(far: Bench, node: Node) -> None:
    configure(node, bfd="single-hop")

    eventually(lambda: node.state("frr") == "established", "a BGP session")
    assert bfd_state(node) == "down"


def test_a_setting_that_makes_no_sense_is_named(node: Node, near: Bench) -> None:
    configure(node, bfd="sometimes")

    (row,) = node.table("control")
    assert "annotation bfd is 'sometimes'" in str(row["bgp_problems"])
