"""The log of changed destinations: every receiver ends with each in its latest form, once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.control import change_log
from skytrail.control.change_log import ChangeLog

MEMBERS = ("m1", "m2", "m3")
NAMES = tuple(range(12))

members, names = st.sampled_from(MEMBERS), st.sampled_from(NAMES)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.lists(names, min_size=1, max_size=6)),
        st.tuples(st.just("record"), st.lists(names, min_size=1, max_size=6)),
        st.tuples(st.just("read"), members, st.integers(1, 7)),
        st.tuples(st.just("join"), members),
        st.tuples(st.just("leave"), members),
    ),
    max_size=80,
)


@dataclass(eq=False)
class Place:
    name: int
    version: int = 0
    place: int = -1


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_log, "SEGMENT_BITS", 2)
    monkeypatch.setattr(change_log, "SEGMENT_COUNT", 4)
    monkeypatch.setattr(change_log, "_INDEX_MASK", 3)


class World:
    def __init__(self) -> None:
        self.places = [Place(name) for name in NAMES]
        self.told: list[Place] = []
        self.log = ChangeLog[Place](self.told.extend)
        self.seen: dict[str, dict[int, int]] = {}

    def act(self, step: tuple[object, ...]) -> None:
        match step:
            case ("record", list(numbers)):
                changed = [self.places[int(str(number))] for number in numbers]
                for place in changed:
                    place.version += 1
                self.log.record(changed)
            case ("read", str(name), int(count)) if name in self.seen:
                self.read(name, count)
            case ("join", str(name)):
                self.log.join(name, list(self.places))
                self.seen[name] = {}
            case ("leave", str(name)) if name in self.seen:
                self.log.leave(name)
                del self.seen[name]
            case _:
                pass

    def read(self, name: str, count: int) -> None:
        log = self.log
        changed = log.take_bulk(name, count)
        if not changed:
            changed, end = log.window(log.position(name), count)
            assert len(set(changed)) == len(changed) <= count
            log.advance(name, end)
        self.seen[name].update((place.name, place.version) for place in changed)
        log.settle(name)


@settings(deadline=None)
@given(STEPS)
def test_every_receiver_ends_with_the_latest_form_of_everything(
    steps: list[tuple[object, ...]],
) -> None:
    world = World()

    for step in steps:
        world.act(step)
        live = sum(1 for place in world.places if place.place >= world.log._begin)
        assert len(world.log) <= 2 * live + 2 * change_log.SEGMENT_COUNT
        for name, seen in world.seen.items():
            unread = {place.name for place in world.log.unread(name)}
            outdated = {p.name for p in world.places if seen.get(p.name) != p.version}
            assert outdated <= unread
    for name in world.seen:
        while world.log.has_work(name):
            world.read(name, 3)

    latest = {place.name: place.version for place in world.places}
    assert all(seen == latest for seen in world.seen.values())


@settings(deadline=None)
@given(STEPS)
def test_what_is_told_as_read_was_read_by_everybody_and_did_not_change_since(
    steps: list[tuple[object, ...]],
) -> None:
    world = World()

    for step in steps:
        world.act(step)
        for place in world.told:
            for name, seen in world.seen.items():
                has_read = seen.get(place.name) == place.version
                # Who has joined since walks over everything anyway.
                assert has_read or place in world.log.unread(name)
        world.told.clear()


def test_a_destination_that_keeps_changing_does_not_make_the_log_long() -> None:
    world = World()
    world.act(("join", "m1"))

    for _ in range(1000):
        world.act(("record", [1, 2]))

    assert len(world.log) <= 12
    assert world.log.compactions
