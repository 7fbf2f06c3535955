"""Load sharing: the member a flow takes, its answers' member, and what a change moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, ip_address

import frames
import pytest
from conftest import (
    ECMP_NEXTHOP,
    OWN,
    REMOTE,
    REMOTE_TUNNEL,
    Box,
    route_row,
    tunnel_row,
)

from skytrail.agent.share import HASH_FIELDS, choose, flow_hash, omitted_of, share_of
from skytrail.agent.tables import Encapsulation, NextHopId, NextHopKind, NextHopRow

every_family = pytest.mark.parametrize("family", [4, 6])
HOSTS = [IPv4Address(f"192.0.2.{n}") for n in (11, 12, 13)]
LABELS = [1000, 1002, 1004]
MEMBERS = [NextHopId(30 + n) for n in range(3)]
LENGTH = {4: 32, 6: 128}


def shared(chosen: Sequence[int]) -> NextHopRow:
    return NextHopRow(
        nexthop_id=ECMP_NEXTHOP,
        kind=NextHopKind.ECMP,
        members=tuple([(MEMBERS[n], LABELS[n]) for n in chosen]),
        shares=tuple([share_of(HOSTS[n], LABELS[n]) for n in chosen]),
    )


@pytest.fixture
def scaled(box: Box) -> Box:
    """The remote addresses are reached by three members, each on a host of its own."""
    for member, host in zip(MEMBERS, HOSTS, strict=True):
        box.apply(replace(tunnel_row(Encapsulation.MPLS_UDP, member), remote=host))
    box.apply(shared([0, 1, 2]))
    box.apply(*(route_row(f"{REMOTE[f]}/{LENGTH[f]}", ECMP_NEXTHOP, identity=3) for f in (4, 6)))
    return box


def label_of(box: Box, source_port: int, family: int, port: int = 2) -> int:
    sent = box.send(frames.udp(source_port, port), frames.UDP, family=family)
    return frames.decode_tunnel(sent.frame).label


@every_family
def test_kernel_and_agent_choose_the_same_member(scaled: Box, family: int) -> None:
    weights = shared([0, 1, 2]).shares
    own, far = ip_address(OWN[family]), ip_address(REMOTE[family])
    wanted = [
        LABELS[choose(weights, flow_hash(((own, port), (far, 2)), frames.UDP))]
        for port in range(1, 61)
    ]

    assert [label_of(scaled, port, family) for port in range(1, 61)] == wanted
    assert set(wanted) == set(LABELS)


@every_family
def test_flow_keeps_its_member_when_another_one_comes(scaled: Box, family: int) -> None:
    scaled.apply(shared([0, 1]))
    before = [label_of(scaled, port, family) for port in range(1, 41)]
    scaled.apply(shared([0, 1, 2]))

    assert [label_of(scaled, port, family) for port in range(1, 41)] == before
    fresh = {label_of(scaled, port, family) for port in range(41, 81)}
    assert LABELS[2] in fresh, "new flows use it"


@every_family
def test_answer_goes_back_to_the_host_its_question_came_through(scaled: Box, family: int) -> None:
    """Also where the hash says otherwise: the other side may not have known all members yet."""
    member = replace(tunnel_row(Encapsulation.MPLS_UDP, MEMBERS[2]), remote=REMOTE_TUNNEL)
    scaled.apply(member)

    for port in range(1, 21):
        ask = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(port, 7))
        assert scaled.receive(ask).forwarded
        assert label_of(scaled, 7, family, port) == LABELS[2]


@every_family
def test_answer_takes_the_hashs_member_when_the_question_came_from_none(
    scaled: Box, family: int
) -> None:
    """Both ends compute alike, so a flow whose copy went away meets itself again at the next."""
    weights = shared([0, 1, 2]).shares
    own, far = ip_address(OWN[family]), ip_address(REMOTE[family])
    for port in range(1, 21):
        ask = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(port, 7))
        assert scaled.receive(ask).forwarded
        wanted = choose(weights, flow_hash(((far, port), (own, 7)), frames.UDP))
        assert label_of(scaled, 7, family, port) == LABELS[wanted]


@every_family
def test_fields_that_are_left_out_do_not_move_a_flow(scaled: Box, family: int) -> None:
    """By the client's address alone: all its connections meet one member."""
    weights = shared([0, 1, 2]).shares
    only_source = omitted_of(["l3-source-address"])
    scaled.apply(replace(shared([0, 1, 2]), omitted=only_source))

    seen = {label_of(scaled, port, family, port + 7) for port in range(1, 41)}

    own, far = ip_address(OWN[family]), ip_address(REMOTE[family])
    wanted = choose(weights, flow_hash(((own, 1), (far, 2)), frames.UDP, only_source))
    assert seen == {LABELS[wanted]}


@every_family
@pytest.mark.parametrize("name", HASH_FIELDS)
def test_kernel_and_agent_agree_without_any_one_field(scaled: Box, family: int, name: str) -> None:
    weights = shared([0, 1, 2]).shares
    without = HASH_FIELDS[name]
    scaled.apply(replace(shared([0, 1, 2]), omitted=without))
    own, far = ip_address(OWN[family]), ip_address(REMOTE[family])

    wanted = [
        LABELS[choose(weights, flow_hash(((own, port), (far, 2 * port)), frames.UDP, without))]
        for port in range(1, 31)
    ]

    assert [label_of(scaled, port, family, 2 * port) for port in range(1, 31)] == wanted


@every_family
def test_load_is_spread_evenly_over_members(scaled: Box, family: int) -> None:
    count = 900
    seen = Counter(label_of(scaled, port, family) for port in range(1, count + 1))

    # Five standard deviations of a fair choice among three.
    assert seen.keys() == set(LABELS)
    assert all(abs(got - count / 3) < 5 * (count * 2 / 9) ** 0.5 for got in seen.values())


@every_family
def test_member_that_leaves_moves_its_own_flows_alone(scaled: Box, family: int) -> None:
    before = [label_of(scaled, port, family) for port in range(1, 61)]
    scaled.apply(shared([0, 2]))
    after = [label_of(scaled, port, family) for port in range(1, 61)]

    kept = [(old, new) for old, new in zip(before, after, strict=True) if old != LABELS[1]]
    assert all(old == new for old, new in kept)
    assert LABELS[1] not in after
    assert len(kept) < 60
