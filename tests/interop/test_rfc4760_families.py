"""Plain and labelled unicast (RFC 4760, RFC 8277) between routers, through our node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import BIRD, FRR, GOBGP, OURS, Bench, bench, eventually
from skytrail.testing.control_plane import bgp_router

FRR_CONFIG = f"""
router bgp 64512
 bgp router-id {FRR}
 no bgp default ipv4-unicast
 neighbor {OURS} remote-as 64512
 neighbor {OURS} update-source {FRR}
 neighbor {OURS} timers connect 1
 address-family ipv4 unicast
  network 20.1.0.0/16
  neighbor {OURS} activate
 exit-address-family
 address-family ipv6 unicast
  network fd20:1::/32
  neighbor {OURS} activate
 exit-address-family
"""
BIRD_CONFIG = f"""
router id {BIRD};
ipv4 table plain;
ipv4 table labelled;
ipv6 table plain6;
protocol device {{}}
protocol static given {{ ipv4 {{ table plain; }}; route 20.2.0.0/16 blackhole; }}
protocol bgp ours {{
  local {BIRD} as 64512;
  neighbor {OURS} as 64512;
  multihop;
  strict bind yes;
  connect retry time 1;
  ipv4 {{ table plain; import all; export all; next hop self; }};
  ipv6 {{ table plain6; import all; export all; }};
  ipv4 mpls {{ table labelled; import all; export all; }};
}}
"""


@dataclass(frozen=True)
class Case:
    """A route, who has it, and where it must come out."""

    family: str
    route: str
    receivers: tuple[tuple[str, Callable[[Bench], str]], ...]
    command: str = ""


def frr(family: str) -> tuple[str, Callable[[Bench], str]]:
    return "FRR", lambda routers: str(routers.frr(f"show bgp {family} unicast json"))


def bird(table: str) -> tuple[str, Callable[[Bench], str]]:
    return (
        "BIRD",
        lambda routers: (
            routers.bird(f"show route table {table} all filtered")
            + (routers.bird(f"show route table {table} all"))
        ),
    )


def gobgp(family: str) -> tuple[str, Callable[[Bench], str]]:
    return "GoBGP", lambda routers: routers.gobgp(f"global rib -a {family}")


CASES = {
    "IPv4 from FRR": Case("inet", "20.1.0.0/16", (bird("plain"), gobgp("ipv4"))),
    "IPv4 from BIRD": Case("inet", "20.2.0.0/16", (frr("ipv4"), gobgp("ipv4"))),
    "IPv4 from GoBGP": Case(
        "inet", "20.3.0.0/16", (frr("ipv4"), bird("plain")), "-a ipv4 20.3.0.0/16"
    ),
    "IPv6 from FRR": Case("inet6", "fd20:1::/32", (gobgp("ipv6"),)),
    "IPv6 from GoBGP": Case(
        "inet6",
        "fd20:3::/32",
        (frr("ipv6"), bird("plain6")),
        "-a ipv6 fd20:3::/32 nexthop fd00::4",
    ),
    "labelled from GoBGP": Case(
        "inet_labelled", "20.4.0.0/16", (bird("labelled"),), "-a ipv4-mpls 20.4.0.0/16 100"
    ),
}


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("routers")) as made:
        made.start_frr(FRR_CONFIG)
        made.start_bird(BIRD_CONFIG)
        made.start_gobgp("ipv4-unicast", "ipv6-unicast", "ipv4-labelled-unicast")
        yield made


@pytest.fixture(scope="module")
def node(routers: Bench) -> Iterator[Node]:
    peers = {"frr": FRR, "bird": BIRD, "gobgp": GOBGP}
    with Node(routers) as made:
        made.configure(
            bgp_router(
                "control1",
                OURS,
                cluster_id=0x0A090001,
                peers=[(name, {}) for name in peers],
                address_families={"family": ["inet", "inet6", "inet-labeled"]},
            ),
            *(bgp_router(name, address) for name, address in peers.items()),
        )
        for name in peers:
            eventually(lambda name=name: made.state(name) == "established", f"{name} is up")
        yield made


@pytest.mark.parametrize("name", CASES)
def test_routes_of_one_router_reach_the_others(routers: Bench, node: Node, name: str) -> None:
    case = CASES[name]
    if case.command:
        routers.gobgp(f"global rib add {case.command}")

    for router, look in case.receivers:
        eventually(lambda look=look: case.route in look(routers), f"{case.route} in {router}")
    rows = [row for row in node.table("relayed") if str(row["route"]).startswith(case.route)]
    assert [row["family"] for row in rows] == [case.family]


def test_the_label_passes_unchanged(routers: Bench, node: Node) -> None:
    routers.gobgp("global rib add -a ipv4-mpls 20.5.0.0/16 12345")

    text = eventually(
        lambda: next(
            (t for t in [routers.bird("show route table labelled all")] if "20.5.0.0" in t), ""
        ),
        "20.5.0.0/16 in BIRD",
    )
    assert "12345" in text


def test_families_that_are_not_listed_are_not_offered(routers: Bench, node: Node) -> None:
    (row,) = [row for row in node.table("bgp") if str(row["name"]).endswith(":frr")]

    assert row["families"] == ["inet", "inet6"]
