"""The oracle of the chaos test: what it calls wrong, and what it lets pass."""

from collections.abc import Collection
from ipaddress import IPv4Address

import pytest

from skytrail.testing.reach_oracle import (
    Ending,
    Fate,
    Packet,
    State,
    Stream,
    Timeline,
    ending_fault,
    fate,
    fault,
    settled,
)

STREAM = Stream("red-web1", IPv4Address("10.1.1.4"), "icmp", "red-web2")
OPEN = State(permitted=frozenset({STREAM}), carried=frozenset({STREAM}))
CUT = State(permitted=frozenset({STREAM}), carried=frozenset())
DENIED = State(permitted=frozenset(), carried=frozenset({STREAM}))


def timeline(*changes: tuple[float, Collection[State]]) -> Timeline:
    made = Timeline(0, next(iter(changes[0][1])))
    for moment, states in changes:
        made.enter(moment, states)
    return made


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({OPEN}, Fate.MUST),
        ({DENIED}, Fate.MUST_NOT),
        ({CUT}, Fate.EITHER),
        ({OPEN, CUT}, Fate.EITHER),
        ({OPEN, DENIED}, Fate.EITHER),
        ({DENIED, CUT}, Fate.EITHER),
    ],
)
def test_fate_follows_from_every_state_in_force(states: set[State], expected: Fate) -> None:
    assert fate(states, STREAM) is expected


def test_lost_packet_is_wrong_only_while_it_had_to_arrive() -> None:
    quiet = timeline((0, [OPEN]))
    changing = timeline((0, [OPEN]), (4.5, [OPEN, DENIED]))

    assert "lost" in fault(STREAM, Packet(4), quiet)
    assert not fault(STREAM, Packet(4), changing)
    assert "lost" in fault(STREAM, Packet(3), changing)


def test_answer_that_never_came_is_told_apart_from_a_loss() -> None:
    packet = Packet(4, arrivals={"red-web2": 4.1})

    assert "no answer" in fault(STREAM, packet, timeline((0, [OPEN])))


def test_arrival_is_wrong_when_denied_from_sending_to_arrival() -> None:
    packet = Packet(4, arrivals={"red-web2": 4.1})

    assert "denied" in fault(STREAM, packet, timeline((0, [DENIED])))
    assert not fault(STREAM, packet, timeline((0, [DENIED]), (4.05, [DENIED, OPEN])))
    assert not fault(STREAM, packet, timeline((0, [DENIED, OPEN]), (4.05, [DENIED])))


def test_end_of_a_connection_is_wrong_only_while_nothing_concerned_it() -> None:
    changing = timeline((0, [OPEN]), (4.5, [OPEN, CUT]))

    assert "reset after 3.0 s" in ending_fault(Ending(STREAM, 1, 4, "reset"), changing)
    assert not ending_fault(Ending(STREAM, 1, 5, "timed out"), changing)
    assert not ending_fault(Ending(STREAM, 1, 5, "reset"), timeline((0, [DENIED])))


@pytest.mark.parametrize("state", [OPEN, CUT, DENIED])
def test_arrival_anywhere_else_is_wrong_whatever_is_in_force(state: State) -> None:
    arrived = Packet(4, arrivals={"red-web2": 4.1, "blue-web2": 4.1}, answered=4.2)
    answered = Packet(4, arrivals={"red-web2": 4.1}, answered=4.2, strays={"blue-web1"})

    assert "WRONG DELIVERY, seen by blue-web2" in fault(STREAM, arrived, timeline((0, [state])))
    assert "WRONG DELIVERY, seen by blue-web1" in fault(STREAM, answered, timeline((0, [state])))


def test_stream_is_settled_since_the_last_packet_that_went_otherwise() -> None:
    good = [Packet(at, {"red-web2": at}, at) for at in (1, 2, 3, 4, 5)]
    lost = Packet(2)

    assert settled(STREAM, good, OPEN, count_min=3) == 0
    assert settled(STREAM, [good[0], lost, *good[2:]], OPEN, count_min=3) == 2
    assert settled(STREAM, [*good[:3], lost], OPEN, count_min=3) is None
    assert settled(STREAM, good[:2], OPEN, count_min=3) is None
    assert settled(STREAM, good, DENIED, count_min=3) is None
    assert settled(STREAM, [Packet(1), Packet(2), Packet(3)], DENIED, count_min=3) == 0
