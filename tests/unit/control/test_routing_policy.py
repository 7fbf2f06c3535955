"""Routing policies: which routes a term is about, what it does, and in which tables that shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.control.path import VPN_INSTANCE, Learned, Path, PathSlot, PeerName
from skytrail.control.routing_policy import (
    Changes,
    CommunityPattern,
    ExtendedPattern,
    Match,
    RoutePolicy,
    admit,
)
from skytrail.control.routing_policy import Term as RunningTerm
from skytrail.control.show import tables
from skytrail.model.config_object import ConfigObject
from skytrail.net import RouteDistinguisher
from skytrail.testing.control_plane import (
    BGP_PLACE,
    Bench,
    bgp_router,
    build,
    inet_route,
    instance_of,
    routing_instance,
)
from skytrail.wire.bgp import (
    AsSegment,
    AsSegmentKind,
    Attributes,
    BgpFamily,
    Negotiated,
    VpnNlri,
    decode_update,
)
from skytrail.wire.bgp.attributes import NO_EXPORT
from skytrail.wire.bgp.framing import HEADER_BYTES
from skytrail.wire.xmpp import ItemsEvent, PublishRoute, Route, RouteAttributes, Subscribe

RED, BLUE = instance_of("red"), instance_of("blue")
TABLE_UUID = "5f0c1d0e-0000-4000-8000-000000000001"
Term = Mapping[str, object]


def term(match: Mapping[str, object], **actions: object) -> Term:
    return {"term_match_condition": match, "term_action_list": actions}


def policy(
    *terms: Term, name: str = "policy", sequence: str = "1.0", instances: Sequence[str] = ("red",)
) -> ConfigObject:
    return build(
        "routing-policy",
        ["default-domain", "p", name],
        parent="project",
        refs=[
            ("routing-instance", instance_of(each).split(":"), {"sequence": sequence})
            for each in instances
        ],
        fields={"routing_policy_entries": {"term": list(terms)}},
    )


def started(*objects: ConfigObject) -> Bench:
    red = routing_instance("red", both=[1])
    blue = routing_instance("blue", both=[2], imports=[1])
    bench = Bench(red, blue, *objects, node="control1")
    bench.up("a", "b")
    for agent in ("a", "b"):
        bench.say(agent, Subscribe(RED, 1), Subscribe(BLUE, 2))
    return bench


def publish(bench: Bench, prefix: str, agent: str = "a", label: int = 16, **given: object) -> None:
    attributes = replace(RouteAttributes(local_preference=200, sub_protocol="interface"), **given)
    router = {"a": "172.16.0.1", "b": "172.16.0.2"}[agent]
    bench.say(agent, PublishRoute(RED, inet_route(prefix, router, label, attributes=attributes)))


def heard(bench: Bench, agent: str = "b") -> dict[tuple[str, str], Route]:
    found: dict[tuple[str, str], Route] = {}
    for message in bench.hear(agent):
        if isinstance(message, ItemsEvent):
            found.update({(message.instance, str(each.key)): each for each in message.routes})
            for key in message.retracts:
                found.pop((message.instance, str(key)), None)
    return found


def rows(bench: Bench, instance: str = RED) -> list[Mapping[str, object]]:
    return [
        row
        for row in tables(bench.plane, lambda: bench.now)["routes"]()
        if row["instance"] == instance
    ]


@pytest.mark.parametrize(
    ("kind", "rejected"),
    [
        ("exact", {"10.1.0.0/16"}),
        ("longer", {"10.1.1.0/24", "10.1.1.3/32"}),
        ("orlonger", {"10.1.0.0/16", "10.1.1.0/24", "10.1.1.3/32"}),
    ],
)
def test_prefix_is_compared_as_its_type_says(kind: str, rejected: set[str]) -> None:
    match = {"prefix": [{"prefix": "10.1.0.0/16", "prefix_type": kind}]}
    bench = started(policy(term(match, action="reject")))
    every = {"10.1.0.0/16", "10.1.1.0/24", "10.1.1.3/32", "10.2.0.0/16"}
    for prefix in sorted(every):
        publish(bench, prefix)

    told = {prefix for instance, prefix in heard(bench) if instance == RED}

    assert every - told == rejected


@pytest.mark.parametrize(
    ("match", "is_rejected"),
    [
        ({"protocol": ["xmpp"]}, True),
        ({"protocol": ["interface"]}, True),
        ({"protocol": ["bgp", "static"]}, False),
        ({"community": "64512:7"}, True),
        ({"community_list": ["64512:7", "64512:9"]}, True),
        ({"community_list": ["64512:7", "64512:9"], "community_match_all": True}, False),
        ({"community_list": ["64512:7", "no-export"], "community_match_all": True}, True),
        ({"community_list": ["6451[0-9]:.*"]}, True),
        ({"community_list": ["6451[0-9]"]}, False),
        ({"community_list": ["["]}, False),
        ({"extcommunity_list": ["target:64512:1"]}, True),
        ({"extcommunity_list": ["target:64512:2"]}, False),
        ({"extcommunity_list": ["rubbish"]}, False),
        ({"extcommunity_list": ["rt:64512:1"]}, True),
        ({"extcommunity_list": ["0x0002fc0000000001"]}, True),
        ({"extcommunity_list": ["target:6451[0-9]:.*"]}, True),
        ({"extcommunity_list": ["target:6451[0-9]"]}, False),
        ({"extcommunity_list": ["["]}, False),
        ({"extcommunity_list": ["soo:64512:1"]}, False),
        ({"extcommunity_list": ["soo:64512:1", "target:64512:1"]}, True),
        (
            {
                "extcommunity_list": ["target:64512:1", "rubbish"],
                "extcommunity_match_all": True,
            },
            False,
        ),
        ({"local_pref": 200}, True),
        ({"local_pref": 100}, False),
        ({"as_path": [64513]}, False),
        ({"nlri_route_type": [5]}, False),
        ({"family": "inet"}, True),
        ({"external": "ospf-type-1"}, False),
        ({"prefix": [{"prefix": "rubbish"}]}, False),
        ({"route_filter": {"route_filter_properties": [
            {"route": "10.0.0.0/8", "route_type": "upto", "route_type_value": "/32"}]}}, True),
        ({"route_filter": {"route_filter_properties": [
            {"route": "10.0.0.0/8", "route_type": "prefix-length-range",
             "route_type_value": "/16-/24"}]}}, False),
        ({"route_filter": {"route_filter_properties": [
            {"route": "10.0.0.0/8", "route_type": "through",
             "route_type_value": "10.1.1.3/32"}]}}, True),
        ({"route_filter": {"route_filter_properties": [
            {"route": "10.0.0.0/8", "route_type": "through",
             "route_type_value": "10.1.1.4/32"}]}}, False),
        ({"route_filter": {"route_filter_properties": [
            {"route": "10.0.0.0/8", "route_type": "through", "route_type_value": "rubbish"}]}}, False),
        ({"route_filter": {"route_filter_properties": [
            {"route": "10.1.1.0/24", "route_type": "exact"}]}}, False),
        ({"route_filter": {"route_filter_properties": [
            {"route": "10.1.1.0/24", "route_type": "longer"}]}}, True),
        ({"protocol": ["xmpp"], "local_pref": 100}, False),
        ({}, True),
    ],
)  # fmt: skip
def test_every_condition_of_a_term_must_hold(
    match: Mapping[str, object], is_rejected: bool
) -> None:
    bench = started(policy(term(match, action="reject")))
    publish(bench, "10.1.1.3/32", communities=("64512:7", "no-export"))

    assert ((RED, "10.1.1.3/32") not in heard(bench)) is is_rejected


def test_prefixes_of_a_route_table_match_and_follow_it() -> None:
    def table(prefix: str) -> ConfigObject:
        return build(
            "interface-route-table",
            ["default-domain", "p", "list"],
            fields={
                "uuid": TABLE_UUID,
                "interface_route_table_routes": {"route": [{"prefix": prefix}]},
            },
        )

    listed = [{"interface_route_table_uuid": [TABLE_UUID], "prefix_type": "orlonger"}]
    bench = started(policy(term({"prefix_list": listed}, action="reject")), table("10.1.0.0/16"))
    publish(bench, "10.1.1.3/32")
    assert (RED, "10.1.1.3/32") not in heard(bench)

    bench.put(table("10.2.0.0/16"))

    assert (RED, "10.1.1.3/32") in heard(bench)


def test_update_is_seen_by_the_network_and_by_whoever_imports_from_it() -> None:
    update = {
        "local_pref": 300,
        "med": 5,
        "community": {"add": {"community": ["64512:8"]}, "remove": {"community": ["64512:7"]}},
    }
    bench = started(policy(term({}, update=update)))
    publish(bench, "10.1.1.3/32", communities=("64512:7", "64512:6"))

    found = heard(bench)

    for instance in (RED, BLUE):
        attributes = found[instance, "10.1.1.3/32"].attributes
        assert (attributes.local_preference, attributes.med) == (300, 5)
        assert attributes.communities == ("64512:6", "64512:8")


def test_set_replaces_communities_and_unreadable_ones_are_left_out() -> None:
    update = {"community": {"set": {"community": ["64512:1", "rubbish"]}}}
    bench = started(policy(term({}, update=update)))
    publish(bench, "10.1.1.3/32", communities=("64512:7",))

    assert heard(bench)[RED, "10.1.1.3/32"].attributes.communities == ("64512:1",)


def test_policy_of_the_importer_changes_its_own_table_only() -> None:
    bench = started(policy(term({}, update={"local_pref": 50}), instances=["blue"]))
    publish(bench, "10.1.1.3/32")

    found = heard(bench)

    assert found[RED, "10.1.1.3/32"].attributes.local_preference == 200
    assert found[BLUE, "10.1.1.3/32"].attributes.local_preference == 50


def test_importer_judges_what_the_exporter_made_of_a_route_also_after_a_change() -> None:
    raised = policy(term({}, update={"local_pref": 300}), name="export")
    lowered = policy(term({"local_pref": 300}, update={"med": 9}), instances=["blue"])
    bench = started(raised, lowered)
    publish(bench, "10.1.1.3/32")
    attributes = heard(bench)[BLUE, "10.1.1.3/32"].attributes
    assert (attributes.local_preference, attributes.med) == (300, 9)

    bench.put(policy(term({"local_pref": 300}, update={"med": 8}), instances=["blue"]))

    attributes = heard(bench)[BLUE, "10.1.1.3/32"].attributes
    assert (attributes.local_preference, attributes.med) == (300, 8)


def test_extended_communities_of_an_own_route_are_its_targets() -> None:
    update = {"extcommunity": {"add": {"community": ["target:64512:7"]},
                               "remove": {"community": ["target:64512:1"]}}}  # fmt: skip
    bench = started(policy(term({}, update=update)))
    publish(bench, "10.1.1.3/32")

    assert (BLUE, "10.1.1.3/32") not in heard(bench), "blue imports target 1"
    assert [row["targets"] for row in rows(bench)] == [["target:64512:7"]]


def test_first_term_that_accepts_ends_it_and_next_policy_skips_the_rest() -> None:
    terms = [
        term({"prefix": [{"prefix": "10.1.1.3/32"}]}, action="accept", update={"med": 1}),
        term({"prefix": [{"prefix": "10.1.1.4/32"}]}, action="next", action_next_value="policy"),
        term({}, update={"med": 2}),
    ]
    last = policy(term({}, update={"local_pref": 77}), name="last", sequence="2.0")
    bench = started(last, policy(*terms))
    for prefix in ("10.1.1.3/32", "10.1.1.4/32", "10.1.1.5/32"):
        publish(bench, prefix)

    found = {prefix: route.attributes for (_, prefix), route in heard(bench).items()}

    assert {prefix: (each.med, each.local_preference) for prefix, each in found.items()} == {
        "10.1.1.3/32": (1, 200),
        "10.1.1.4/32": (0, 77),
        "10.1.1.5/32": (2, 77),
    }


def test_policies_apply_in_order_of_sequence_as_numbers() -> None:
    second = policy(term({}, update={"med": 10}), name="a-second", sequence="10.0")
    first = policy(term({}, update={"med": 2}), name="b-first", sequence="2.0")
    bench = started(second, first)
    publish(bench, "10.1.1.3/32")

    assert heard(bench)[RED, "10.1.1.3/32"].attributes.med == 10


def test_rejected_route_is_shown_with_the_policy_that_did_it() -> None:
    bench = started(policy(term({}, action="reject")))
    publish(bench, "10.1.1.3/32")
    heard(bench)

    (row,) = rows(bench)

    name = "default-domain:p:policy"
    assert (row["best"], row["why_not_best"]) == (False, f"rejected by routing policy {name}")


def test_removed_policy_gives_routes_back_as_they_were() -> None:
    picky = policy(term({"prefix": [{"prefix": "10.1.1.3/32"}]}, action="reject"),
                   term({}, update={"local_pref": 7}))  # fmt: skip
    bench = started(picky)
    publish(bench, "10.1.1.3/32")
    publish(bench, "10.1.1.4/32")
    heard(bench)

    bench.delete(picky)

    found = heard(bench)
    assert found[RED, "10.1.1.3/32"].attributes.local_preference == 200
    assert found[BLUE, "10.1.1.4/32"].attributes.local_preference == 200


def test_local_preference_of_a_policy_decides_between_hosts() -> None:
    match = {"community": "64512:1"}
    bench = started(policy(term(match, update={"local_pref": 300})))
    publish(bench, "10.1.1.3/32", "a", 20)
    publish(bench, "10.1.1.3/32", "b", 30, communities=("64512:1",))

    found = heard(bench, "a")

    assert [hop.label for hop in found[RED, "10.1.1.3/32"].next_hops] == [30]


def test_policy_for_devices_is_none_of_ours() -> None:
    device = build(
        "routing-policy",
        ["default-domain", "p", "policy"],
        refs=[("routing-instance", RED.split(":"), {"sequence": "1.0"})],
        fields={
            "term_type": "network-device",
            "routing_policy_entries": {"term": [term({}, action="reject")]},
        },
    )
    bench = started(device)
    publish(bench, "10.1.1.3/32")

    assert (RED, "10.1.1.3/32") in heard(bench)


def test_route_of_a_bgp_peer_is_changed_in_its_bgp_attributes_too() -> None:
    told = Attributes(
        as_path=(AsSegment(AsSegmentKind.SEQUENCE, (64600,)),),
        local_preference=100,
        communities=(NO_EXPORT,),
    )
    key = ip_network("10.1.0.0/16")
    path = Path(
        slot=PathSlot(PeerName("gateway"), VPN_INSTANCE, key),
        distinguisher=RouteDistinguisher.parse("1:1"),
        next_hops=inet_route("10.1.0.0/16").next_hops,
        attributes=RouteAttributes(local_preference=100, communities=("no-export",)),
        targets=frozenset(),
        learned=Learned(told, is_external=True, router_id=IPv4Address(1), as_path_length=1),
    )
    changes = Changes(
        local_preference=120, prepended=(64700, 64700), communities_added=("64512:3",)
    )
    changed = admit(
        (RoutePolicy("p", (RunningTerm(Match(frozenset({"bgp"})), changes, "accept"),)),), path
    )

    assert changed.learned is not None
    attributes = changed.learned.attributes
    assert [list(segment.numbers) for segment in attributes.as_path] == [[64700, 64700], [64600]]
    assert (changed.learned.as_path_length, attributes.local_preference) == (3, 120)
    assert attributes.communities == (64512 << 16 | 3, NO_EXPORT)
    assert changed.original is path


def test_site_of_origin_of_a_bgp_route_is_matched_set_and_removed() -> None:
    origin = bytes.fromhex("0003fc0000000009")
    path = replace(
        Path(
            slot=PathSlot(PeerName("gateway"), VPN_INSTANCE, ip_network("10.1.0.0/16")),
            distinguisher=RouteDistinguisher.parse("1:1"),
            next_hops=inet_route("10.1.0.0/16").next_hops,
            attributes=RouteAttributes(),
            targets=frozenset(),
        ),
        learned=Learned(
            Attributes(extended_communities=(origin,)), is_external=True, router_id=IPv4Address(1)
        ),
    )
    matching = Match(extended=(ExtendedPattern("origin:64512:9"),))
    by_text = Match(extended=(ExtendedPattern("origin:64512:[0-9]+"),))
    other = Match(extended=(ExtendedPattern("soo:64512:8"),))
    assert (matching.covers(path), by_text.covers(path), other.covers(path)) == (True, True, False)

    changes = Changes(
        extended_removed=(origin,), extended_added=(bytes.fromhex("0002fc0000000007"),)
    )
    changed = admit((RoutePolicy("p", (RunningTerm(matching, changes, "accept"),)),), path)

    assert changed.learned is not None
    assert changed.learned.attributes.extended_communities == changes.extended_added
    assert [str(target) for target in changed.targets] == ["target:64512:7"]


def test_rejection_and_its_end_reach_bgp_peers() -> None:
    """A path that is rejected later stays in its slot with the same next hop and attributes."""
    reject = policy(term({"protocol": ["xmpp"]}, action="reject"))
    bench = started(
        bgp_router("control1", "10.0.0.1", peers=[("mx", {})]), bgp_router("mx", "10.0.0.9")
    )
    publish(bench, "10.1.1.3/32")
    told = told_to_mx(bench)
    assert told == {"10.1.1.3/32": True}

    bench.put(reject)
    assert told_to_mx(bench, told) == {"10.1.1.3/32": False}
    bench.delete(reject)
    assert told_to_mx(bench, told) == {"10.1.1.3/32": True}


def told_to_mx(bench: Bench, known: dict[str, bool] | None = None) -> dict[str, bool]:
    """Return the prefixes a BGP peer has heard of, and whether each still is."""
    bgp = bench.plane.bgp
    families = frozenset((BgpFamily.INET_VPN,))
    negotiated = Negotiated(families, 64512, 64512, IPv4Address("10.0.0.9"))
    name = ":".join((*BGP_PLACE, "mx"))
    if not bgp.peers[PeerName(name)].is_up:
        bgp.session_up(name, negotiated, bench.now)
    found = {} if known is None else known
    bgp.take_ready()
    for message in bgp.collect(name, 1 << 20):
        update = decode_update(message[HEADER_BYTES:], negotiated)
        for reach in update.reach:
            found.update(
                (str(each.prefix), True) for each in reach.nlri if isinstance(each, VpnNlri)
            )
        for gone in update.withdrawn:
            found.update(
                (str(each.prefix), False) for each in gone.nlri if isinstance(each, VpnNlri)
            )
    return found


@pytest.mark.parametrize(
    "text", ["((.+)+)+x", "(((.*)*)*)*x", ".*.*.*.*.*.*.*.*.*.*.*.*x", "(.{1,9}){1,7}x"]
)
def test_an_expression_that_would_go_through_every_way_is_judged_at_once(text: str) -> None:
    """A matcher that tries one way after the other is at it for hours."""
    found = "target:4294967295:65535" * 2

    assert not CommunityPattern(text).matches([found])
    assert CommunityPattern(text).matches([found + "x"])


@pytest.mark.parametrize(
    "text", ["(a", "a)", "[", "*", "a**", r"(a)\1", "(?=a)", "a{9,1}", "(" * 200]
)
def test_what_is_no_expression_matches_nothing(text: str) -> None:
    assert not CommunityPattern(text).matches(["a", "aa", ""])


@pytest.mark.parametrize("text", ["(.{200}){200}", "a" * 300])
def test_an_expression_too_large_to_follow_matches_nothing(text: str) -> None:
    assert not CommunityPattern(text).matches(["a" * 300])
