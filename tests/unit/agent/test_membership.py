"""The router's side of IGMPv3: what is wanted after which reports, and until when."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address

import pytest

from skytrail.agent.membership import (
    GROUPS_COUNT_MAX,
    LAST_MEMBER_TIME_S,
    LOSSES_BURST,
    LOSSES_PER_S,
    MEMBERSHIP_TIME_S,
    SOURCES_COUNT_MAX,
    Listening,
    PortMembership,
    Question,
    joined,
)
from skytrail.net import IpAddress
from skytrail.wire.igmp import Record, RecordKind

GROUP = ip_address("239.1.2.3")
A, B, C = (ip_address(f"10.1.1.{number}") for number in (1, 2, 3))


class Listener:
    def __init__(self) -> None:
        self.port = PortMembership()
        self.counts: Counter[str] = Counter()
        self.now = 1000.0

    def says(
        self, kind: str, *sources: IpAddress, group: IpAddress = GROUP, versions: int = 0
    ) -> list[Question]:
        record = Record(RecordKind[kind], group, sources, versions)
        return self.port.receive([record], self.now, self.counts)

    def after(self, seconds: float) -> Listening | None:
        self.now += seconds
        self.port.tick(self.now)
        return self.port.groups.get(GROUP)

    @property
    def listening(self) -> Listening | None:
        return self.port.groups.get(GROUP)


def test_a_join_of_a_group_takes_every_source_until_it_is_not_repeated() -> None:
    made = Listener()
    made.says("TO_EXCLUDE")

    assert made.listening == Listening(takes_all=True)
    assert made.after(MEMBERSHIP_TIME_S - 1) is not None
    made.says("IS_EXCLUDE")
    assert made.after(MEMBERSHIP_TIME_S - 1) is not None
    assert made.after(2) is None


def test_a_leave_ends_it_soon_unless_somebody_else_answers() -> None:
    made = Listener()
    made.says("TO_EXCLUDE")

    assert made.says("TO_INCLUDE") == [Question(GROUP)]
    assert made.listening == Listening(takes_all=True)
    made.says("IS_EXCLUDE")
    assert made.after(LAST_MEMBER_TIME_S) is not None

    made.says("TO_INCLUDE")
    assert made.after(LAST_MEMBER_TIME_S) is None


def test_sources_are_wanted_by_name_and_each_for_its_time() -> None:
    made = Listener()
    made.says("ALLOW", A)
    made.after(100)
    made.says("IS_INCLUDE", B)

    assert made.listening == Listening(wanted=frozenset({A, B}))
    assert made.after(MEMBERSHIP_TIME_S - 100) == Listening(wanted=frozenset({B}))
    assert made.says("BLOCK", B, C) == [Question(GROUP, (B,))]
    assert made.after(LAST_MEMBER_TIME_S) is None


def test_all_but_some_is_all_but_those() -> None:
    made = Listener()
    made.says("TO_EXCLUDE", A)

    assert made.listening == Listening(takes_all=True, unwanted=frozenset({A}))
    assert not made.listening.takes(A)
    assert made.listening.takes(B)
    assert made.listening.takes(None)
    made.says("ALLOW", A)
    assert made.listening.takes(A)


def test_who_blocks_a_source_of_a_group_is_asked_before_it_goes() -> None:
    made = Listener()
    made.says("TO_EXCLUDE")

    assert made.says("BLOCK", A) == [Question(GROUP, (A,))]
    assert made.listening.takes(A)
    assert made.after(LAST_MEMBER_TIME_S) == Listening(takes_all=True, unwanted=frozenset({A}))


def test_including_after_excluding_keeps_the_named_sources_alone() -> None:
    made = Listener()
    made.says("TO_EXCLUDE", A)

    assert made.says("TO_INCLUDE", B) == [Question(GROUP)]
    assert made.after(LAST_MEMBER_TIME_S) == Listening(wanted=frozenset({B}))


def test_excluding_after_including_keeps_what_was_wanted_until_others_had_their_say() -> None:
    made = Listener()
    made.says("ALLOW", A, B)

    assert made.says("TO_EXCLUDE", A, C) == [Question(GROUP, (A,))]
    expected = Listening(takes_all=True, wanted=frozenset({A}), unwanted=frozenset({C}))
    assert made.listening == expected
    unwanted = frozenset({A, C})
    assert made.after(LAST_MEMBER_TIME_S) == Listening(takes_all=True, unwanted=unwanted)


@pytest.mark.parametrize("group", ["224.0.0.251", "ff02::fb", "ff01::1"])
def test_groups_of_a_link_are_nobody_s_to_leave(group: str) -> None:
    made = Listener()
    made.says("TO_EXCLUDE", group=ip_address(group))

    assert made.port.groups == {}


def test_a_port_that_joins_everything_has_so_many_groups_and_no_more() -> None:
    made = Listener()
    for number in range(GROUPS_COUNT_MAX + 50):
        made.says("TO_EXCLUDE", group=ip_address("239.0.0.0") + number)

    assert len(made.port.groups) == GROUPS_COUNT_MAX
    assert made.counts["records of too many groups"] == 50
    made.says("TO_EXCLUDE", group=ip_address("239.0.0.0"))
    assert made.counts["records of too many groups"] == 50


def test_too_many_sources_in_one_record_are_not_taken() -> None:
    made = Listener()
    many = [ip_address("10.0.0.1") + number for number in range(SOURCES_COUNT_MAX + 1)]
    made.says("ALLOW", *many)

    assert made.port.groups == {}
    assert made.counts["records with too many sources"] == 1


def test_too_many_sources_one_by_one_become_all_sources() -> None:
    made = Listener()
    for number in range(SOURCES_COUNT_MAX + 1):
        made.says("ALLOW", ip_address("10.0.0.1") + number)

    assert made.listening == Listening(takes_all=True)
    assert made.after(MEMBERSHIP_TIME_S) is None


def test_what_was_so_before_a_restart_stays_until_it_is_not_repeated() -> None:
    first = Listener()
    first.says("TO_EXCLUDE", A)
    first.says("ALLOW", B, group=ip_address("239.1.1.1"))
    second = Listener()
    second.port.restore(first.port.groups, second.now)

    assert second.port.groups == first.port.groups
    assert second.after(MEMBERSHIP_TIME_S) is None
    assert second.port.groups == {}


def test_groups_are_the_same_object_while_nothing_changes() -> None:
    made = Listener()
    made.says("TO_EXCLUDE")
    before = made.port.groups
    made.says("IS_EXCLUDE")
    made.after(1)

    assert made.port.groups is before


def joins(count: int, first: int = 0) -> list[Record]:
    base = int(ip_address("239.9.0.0")) + first
    return [
        Record(RecordKind.TO_EXCLUDE, ip_address(base + number), (), 4) for number in range(count)
    ]


def test_a_port_that_joins_and_leaves_all_the_time_is_let_go_slowly() -> None:
    listener = Listener()
    wanted: list[int] = []
    for round_number in range(20):
        first = round_number * GROUPS_COUNT_MAX
        listener.port.receive(joins(GROUPS_COUNT_MAX, first), listener.now, listener.counts)
        leaves = [
            Record(RecordKind.TO_INCLUDE, each.group) for each in joins(GROUPS_COUNT_MAX, first)
        ]
        listener.port.receive(leaves, listener.now, listener.counts)
        listener.after(LAST_MEMBER_TIME_S)
        wanted.append(len(listener.port.groups))

    at_once = LOSSES_BURST // GROUPS_COUNT_MAX
    assert wanted[: at_once + 1] == [0] * at_once + [GROUPS_COUNT_MAX]
    assert listener.port.is_held
    assert max(wanted) <= 2 * GROUPS_COUNT_MAX
    assert listener.after(LOSSES_BURST / LOSSES_PER_S) is None
    assert listener.port.groups == {}
    assert not listener.port.is_held


def test_what_a_held_port_joins_it_gets_at_once() -> None:
    listener = Listener()
    for _ in range(LOSSES_BURST):
        listener.says("TO_EXCLUDE")
        listener.says("TO_INCLUDE")
        listener.port.tick(listener.now + LAST_MEMBER_TIME_S)
    other = ip_address("239.5.5.5")

    listener.says("TO_EXCLUDE", group=other)
    listener.says("TO_EXCLUDE", group=GROUP)
    listener.says("TO_INCLUDE", group=GROUP)
    listener.port.tick(listener.now + LAST_MEMBER_TIME_S)

    assert listener.port.is_held
    assert listener.port.groups.keys() == {GROUP, other}


def test_versions_that_listeners_speak_are_kept_while_the_group_is() -> None:
    listener = Listener()
    for versions in (2, 4):
        record = Record(RecordKind.IS_EXCLUDE, GROUP, (), versions)
        listener.port.receive([record], listener.now, listener.counts)
    leave = Record(RecordKind.TO_INCLUDE, GROUP, (), 1)
    listener.port.receive([leave], listener.now, listener.counts)

    assert listener.port.groups[GROUP].versions == 6


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([Listening(takes_all=True), Listening()], Listening(takes_all=True)),
        (
            [
                Listening(takes_all=True, unwanted=frozenset({A, B})),
                Listening(takes_all=True, unwanted=frozenset({B, C})),
            ],
            Listening(takes_all=True, unwanted=frozenset({B})),
        ),
        (
            [
                Listening(takes_all=True, unwanted=frozenset({A, B})),
                Listening(wanted=frozenset({A, C})),
            ],
            Listening(takes_all=True, wanted=frozenset({A, C}), unwanted=frozenset({B})),
        ),
        (
            [Listening(wanted=frozenset({A})), Listening(wanted=frozenset({B}))],
            Listening(wanted=frozenset({A, B})),
        ),
    ],
)
def test_listeners_together_take_what_any_of_them_takes(
    parts: list[Listening], whole: Listening
) -> None:
    assert joined(parts) == whole
    for source in (A, B, C, None):
        assert whole.takes(source) == any(each.takes(source) for each in parts)


V1, V2, V3 = 1, 2, 4


def test_a_leave_does_not_end_what_a_listener_of_igmpv1_takes() -> None:
    """RFC 3376 section 7.3.2: it does not answer who asks about one group."""
    made = Listener()
    made.says("IS_EXCLUDE", versions=V1)
    made.says("IS_EXCLUDE", versions=V2)

    assert made.says("TO_INCLUDE") == []
    assert made.says("TO_INCLUDE", versions=V3) == []
    assert made.after(LAST_MEMBER_TIME_S + 1) is not None
    assert made.after(MEMBERSHIP_TIME_S) is None


def test_after_a_listener_of_igmpv1_is_gone_leaves_count_again() -> None:
    made = Listener()
    made.says("IS_EXCLUDE", versions=V1)
    made.after(MEMBERSHIP_TIME_S - 1)
    made.says("IS_EXCLUDE", versions=V2)
    made.after(1)

    assert made.says("TO_INCLUDE") == [Question(GROUP)]
    assert made.after(LAST_MEMBER_TIME_S) is None


@pytest.mark.parametrize(
    ("group", "older", "newest"), [("239.1.2.3", V2, V3), ("ff05::1234", V1, V2)]
)
def test_sources_are_not_blocked_while_a_listener_knows_none(
    group: str, older: int, newest: int
) -> None:
    """RFC 3376 section 7.3.2, RFC 3810 section 8.3.2."""
    made, address = Listener(), ip_address(group)
    source = A if address.version == 4 else ip_address("fd00::1")
    made.says("IS_EXCLUDE", group=address, versions=older)

    assert made.says("BLOCK", source, group=address, versions=newest) == []
    assert made.says("TO_EXCLUDE", source, group=address, versions=newest) == []
    made.after(LAST_MEMBER_TIME_S + 1)
    assert made.port.groups[address].takes(source)
    # The older protocol has a way to leave.
    assert made.says("TO_INCLUDE", group=address) == [Question(address)]


def test_a_source_that_is_excluded_again_in_an_answer_has_a_whole_membership_time() -> None:
    """RFC 3376 section 6.4.1: IS_EX of what was wanted so far renews it, TO_EX does not."""
    made = Listener()
    made.says("TO_EXCLUDE")
    made.after(MEMBERSHIP_TIME_S - 10)
    made.says("IS_EXCLUDE", A)
    listening = made.after(11)

    assert listening is not None
    assert listening.takes(A)
