"""Routing policies between our networks and FRR: what a term does is what FRR sees, and the reverse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from skytrail.control.path import InstanceName
from skytrail.control.plane import ControlPlane
from skytrail.model.config_object import ConfigObject
from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import FRR, OURS, Bench, bench, eventually
from skytrail.testing.control_plane import (
    bgp_router,
    build,
    inet_route,
    instance_of,
    routing_instance,
)
from skytrail.wire.xmpp import Family, RouteAttributes

RED = instance_of("red")
PREFIX = "10.1.1.3/32"
FRR_CONFIG = f"""
router bgp 64512
 bgp router-id {FRR}
 no bgp default ipv4-unicast
 neighbor {OURS} remote-as 64512
 neighbor {OURS} update-source {FRR}
 neighbor {OURS} timers connect 1
 address-family ipv4 vpn
  neighbor {OURS} activate
  neighbor {OURS} route-map marked out
  network 20.1.1.0/24 rd 64512:7 label 700
 exit-address-family
route-map marked permit 10
 set extcommunity rt 64512:101
 set extcommunity soo 64512:9
 set community 64512:300 64512:301
 set metric 40
"""


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("routers")) as made:
        made.start_frr(FRR_CONFIG)
        yield made


@pytest.fixture(scope="module")
def node(routers: Bench) -> Iterator[Node]:
    with Node(routers) as made:
        configure(made, [])
        attributes = RouteAttributes(local_preference=200, communities=("64512:1", "64512:2"))
        made.publish("compute1", RED, inet_route(PREFIX, "172.16.0.7", 34, attributes=attributes))
        eventually(lambda: made.state("frr") == "established", "FRR is up")
        yield made


def configure(node: Node, terms: Sequence[Mapping[str, object]]) -> None:
    policy: list[ConfigObject] = [
        build(
            "routing-policy",
            ["default-domain", "p", "policy"],
            parent="project",
            refs=[("routing-instance", RED.split(":"), {"sequence": "1.0"})],
            fields={"routing_policy_entries": {"term": list(terms)}},
        )
    ]
    node.configure(
        bgp_router("control1", OURS, peers=[("frr", {})]),
        bgp_router("frr", FRR),
        routing_instance("red", both=[101]),
        *(policy if terms else ()),
    )


def in_frr(routers: Bench) -> str:
    return str(routers.frr(f"show bgp ipv4 vpn {PREFIX} json") or "")


ACTIONS: dict[str, tuple[Mapping[str, object], list[str]]] = {
    "local preference": ({"local_pref": 333}, ["'locPrf': 333"]),
    "MED": ({"med": 55}, ["'metric': 55"]),
    "AS path": ({"as_path": {"expand": {"asn_list": [65010, 65011]}}}, ["65010 65011"]),
    "communities added": (
        {"community": {"add": {"community": ["64512:77", "no-export"]}}},
        ["64512:77", "64512:1 ", "no-export"],
    ),
    "communities set": ({"community": {"set": {"community": ["64512:88"]}}}, ["'64512:88'"]),
    "communities removed": (
        {"community": {"remove": {"community": ["64512:1"]}}},
        ["'string': '64512:2'"],
    ),
    "targets added": (
        {"extcommunity": {"add": {"community": ["target:64512:900"]}}},
        ["RT:64512:900", "RT:64512:101"],
    ),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_frr_sees_what_a_term_makes_of_a_workloads_route(
    routers: Bench, node: Node, name: str
) -> None:
    update, expected = ACTIONS[name]

    configure(node, [term({"prefix": [{"prefix": PREFIX}]}, update=update, action="accept")])

    eventually(lambda: all(text in in_frr(routers) for text in expected), f"{expected} in FRR")


def test_frr_loses_a_route_that_a_term_rejects_and_gets_it_back(routers: Bench, node: Node) -> None:
    configure(node, [])
    eventually(lambda: in_frr(routers), "the route in FRR")

    configure(node, [term({"community_list": ["64512:[12]"]}, action="reject")])
    eventually(lambda: not in_frr(routers), "the route gone")

    configure(node, [])
    eventually(lambda: in_frr(routers), "the route back")


MATCHES: list[Mapping[str, object]] = [
    {"protocol": ["bgp"]},
    {"prefix": [{"prefix": "20.1.0.0/16", "prefix_type": "longer"}]},
    {"community_list": ["64512:300", "64512:301"], "community_match_all": True},
    {"extcommunity_list": ["soo:64512:9"]},
    {"extcommunity_list": ["target:64512:1.*", "origin:.*"], "extcommunity_match_all": True},
    {"local_pref": 100},
]


@pytest.mark.parametrize("match", MATCHES, ids=lambda match: next(iter(match)))
def test_what_frr_announces_is_matched_as_a_term_says(
    routers: Bench, node: Node, match: Mapping[str, object]
) -> None:
    configure(node, [])
    eventually(lambda: is_used(node), "FRR's route in the instance")

    configure(node, [term(match, action="reject")])

    eventually(lambda: not is_used(node), "FRR's route rejected")


def is_used(node: Node) -> bool:
    def look(plane: ControlPlane) -> bool:
        entries = plane.replicator.vrfs[InstanceName(RED)].ribs[Family.INET].entries
        return any(str(key) == "20.1.1.0/24" and entry.best for key, entry in entries.items())

    return node.do(look)


def term(match: Mapping[str, object], **actions: object) -> Mapping[str, object]:
    return {"term_match_condition": match, "term_action_list": actions}
