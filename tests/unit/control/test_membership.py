"""Who wants routes with which targets, and who is told so (RFC 4684)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

import pytest

from skytrail.control.membership import (
    EVERYTHING,
    NOTHING,
    Asked,
    Interest,
    Listener,
    Memberships,
    membership_text,
)
from skytrail.control.path import InstanceName, PeerName
from skytrail.net import RouteTarget
from skytrail.wire.bgp import AsSegment, AsSegmentKind, Attributes, RouteTargetNlri

RED, BLUE = RouteTarget.parse("target:64512:1"), RouteTarget.parse("target:64512:2")
A, B = PeerName("a"), PeerName("b")
CLUSTER = IPv4Address("10.0.0.1")


def interest_of(memberships: Iterable[RouteTargetNlri]) -> Interest:
    """Return what memberships are together, whatever else was asked for meanwhile."""
    asked = Asked()
    for each in memberships:
        assert asked.add(each)
        assert not asked.add(each)
    interest = asked.interest
    others = [RouteTargetNlri(64999, target.packed) for target in (RED, BLUE)]
    others += [RouteTargetNlri(64999, b"\0\2", 48), EVERYTHING]
    added = [each for each in others if asked.add(each)]
    assert all(map(asked.discard, added))
    assert asked.interest == interest
    return interest


def membership(target: RouteTarget, asn: int = 64512) -> RouteTargetNlri:
    return RouteTargetNlri(asn, target.packed)


def table(*listeners: Listener) -> Memberships:
    made = Memberships(64512, CLUSTER)
    for each in listeners:
        made.join(each)
    return made


def listener(
    name: PeerName, asn: int = 64512, *, reflects: bool = False, takes_everything: bool = True
) -> Listener:
    return Listener(name, asn, 64512, CLUSTER if reflects else None, takes_everything)


def told(memberships: Memberships, name: PeerName) -> dict[RouteTargetNlri, Attributes]:
    reach, _ = memberships.take(name)
    return {nlri: attributes for attributes, routes in reach.items() for nlri in routes}


def test_no_membership_wants_nothing_and_the_default_wants_even_routes_without_targets() -> None:
    assert interest_of([]) == NOTHING
    assert not NOTHING.covers(frozenset((RED,)))
    assert interest_of([membership(RED), EVERYTHING]).covers(frozenset())


def test_the_origin_as_of_a_membership_does_not_narrow_it() -> None:
    assert interest_of([membership(RED, 65001)]) == Interest(targets=frozenset((RED,)))


@pytest.mark.parametrize("bits", [40, 48, 64, 80, 95])
def test_a_membership_of_part_of_a_target_wants_what_begins_so(bits: int) -> None:
    kept = bits - 32
    value = int.from_bytes(RED.packed) >> (64 - kept) << (64 - kept)
    interest = interest_of([RouteTargetNlri(64512, value.to_bytes(8), bits)])

    assert interest.covers(frozenset((RED,)))
    assert not interest.covers(frozenset((RouteTarget.parse("target:10.0.0.1:1"),)))


def test_many_ranges_are_everything_for_each_would_be_compared_with_each_route() -> None:
    ranges = [
        RouteTargetNlri(64512, RouteTarget.parse(f"target:64512:{2 * n}").packed, 95)
        for n in range(65)
    ]

    assert not interest_of(ranges[:64]).is_everything
    assert interest_of(ranges).is_everything


def test_what_is_no_route_target_wants_nothing() -> None:
    assert interest_of([RouteTargetNlri(64512, b"\x03\x0c" + bytes(6))]) == NOTHING


def test_instances_that_want_the_same_are_told_once_and_taken_back_last() -> None:
    memberships = table(listener(A))
    for instance in ("one", "two"):
        memberships.want(InstanceName(instance), frozenset((RED,)))
    assert list(told(memberships, A)) == [membership(RED)]

    memberships.want(InstanceName("one"), frozenset())
    assert memberships.take(A) == ({}, [])
    memberships.want(InstanceName("two"), frozenset((BLUE,)))
    reach, gone = memberships.take(A)

    assert gone == [membership(RED)]
    assert list(reach.values()) == [[membership(BLUE)]]


def test_internal_peers_wishes_go_to_external_ones_and_through_reflectors_only() -> None:
    outside = listener(PeerName("x"), 65001)
    memberships = table(listener(B), outside)
    memberships.put(A, membership(RED), Attributes(), is_external=False)

    assert told(memberships, B) == {}
    (attributes,) = told(memberships, outside.name).values()
    assert attributes.as_path == (AsSegment(AsSegmentKind.SEQUENCE, (64512,)),)
    assert attributes.local_preference is None


def test_nobody_is_told_its_own_wish_and_everybody_the_others_alike() -> None:
    memberships = table(listener(A, reflects=True), listener(B, reflects=True))
    memberships.put(A, membership(RED), Attributes(), is_external=False)
    assert told(memberships, A) == {}
    assert told(memberships, B)[membership(RED)].originator == CLUSTER

    memberships.put(B, membership(RED), Attributes(), is_external=False)

    assert list(told(memberships, A)) == [membership(RED)]


def test_the_default_is_kept_from_who_ends_on_it() -> None:
    memberships = table(listener(A, takes_everything=False), listener(B))
    memberships.put(PeerName("x"), EVERYTHING, Attributes(), is_external=True)

    assert told(memberships, A) == {}
    assert list(told(memberships, B)) == [EVERYTHING]


def test_memberships_are_shown_in_words() -> None:
    assert membership_text(EVERYTHING) == "everything"
    assert membership_text(membership(RED)) == "64512:target:64512:1"
    assert membership_text(RouteTargetNlri(64512, bits=32)).endswith("/32")


def test_what_is_not_asked_for_again_is_stale_and_keeps_counting_until_it_goes() -> None:
    asked = Asked()
    asked.add(membership(RED))
    asked.add(membership(BLUE))

    asked.doubt()
    asked.add(membership(RED))

    assert asked.stale_count == 1
    assert asked.interest.targets == {RED, BLUE}
    assert not asked.is_before(membership(RED), asked.generation)
    assert asked.is_before(membership(BLUE), asked.generation)
