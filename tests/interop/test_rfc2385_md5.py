"""TCP MD5 signatures (RFC 2385): with FRR, BIRD and GoBGP, with the right key only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath

import pytest

from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import (
    BIRD,
    FRR,
    GOBGP,
    OURS,
    Bench,
    Neighbour,
    bench,
    eventually,
)
from skytrail.testing.control_plane import bgp_router
from skytrail.testing.router_configs import bird_config, frr_config

KEY, OTHER = "correct-horse", "battery-staple"
PEERS = {"frr": FRR, "bird": BIRD, "gobgp": GOBGP}
FRR_CONFIG = frr_config(neighbour=[f"password {KEY}"])
BIRD_CONFIG = bird_config(f'password "{KEY}"')


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder: FilePath = tmp_path_factory.mktemp("routers")
    with bench(folder) as made:
        made.start_frr(FRR_CONFIG)
        made.start_bird(BIRD_CONFIG)
        made.start_gobgp_with(
            Neighbour(OURS, ("l3vpn-ipv4-unicast",), settings=f'    auth-password = "{KEY}"')
        )
        yield made


def configure(node: Node, key: str, *, passive: bool) -> None:
    keyed = {"auth_data": {"key_type": "md5", "key_items": [{"key_id": 0, "key": key}]}}
    peers = [(name, {**keyed, "passive": passive}) for name in PEERS]
    node.configure(
        bgp_router("control1", OURS, peers=peers),
        *(bgp_router(name, address) for name, address in PEERS.items()),
    )


@pytest.mark.parametrize("passive", [False, True], ids=["either dials", "they dial"])
def test_peers_with_the_same_key_establish_sessions(node: Node, passive: bool) -> None:
    configure(node, KEY, passive=passive)

    for name in PEERS:
        eventually(lambda name=name: node.state(name) == "established", f"a session with {name}")


def test_a_key_changed_on_one_side_keeps_sessions_down_until_it_is_right(node: Node) -> None:
    configure(node, KEY, passive=True)
    for name in PEERS:
        eventually(lambda name=name: node.state(name) == "established", f"a session with {name}")

    configure(node, OTHER, passive=False)
    for name in PEERS:
        eventually(lambda name=name: node.state(name) != "established", f"{name} is gone")
    # Whoever dials is not even answered, so both sides keep trying.
    eventually(
        lambda: all(node.bgp.links[node.peer(name).name].last_attempt for name in PEERS),
        "attempts that fail",
    )
    assert "established" not in {node.state(name) for name in PEERS}

    configure(node, KEY, passive=False)
    for name in PEERS:
        eventually(lambda name=name: node.state(name) == "established", f"{name} is back")
