"""UVE streams: rendered once for all who ask for the same, and true for each of them."""

from __future__ import annotations

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics import uve_json
from skytrail.analytics.io.fan_out import Asked, FanOut
from skytrail.analytics.io.rounds import ROUND_S, Rounds
from skytrail.analytics.telemetry import change_of
from skytrail.analytics.uve import UveTables
from skytrail.analytics.uve_filter import UveFilter
from skytrail.analytics.uve_stream import UveChanges
from skytrail.wire.telemetry import Uve

GENERATORS = ("h1:Compute:agent:0", "h2:Compute:agent:0")
FILTERS = (
    Asked(UveFilter()),
    Asked(UveFilter(keys=("a*",))),
    Asked(UveFilter(parts=(("S", "n"),))),
    Asked(UveFilter(), frozenset({"T2"})),
    Asked(UveFilter(), frozenset({"T2"}), with_alarms=True),
)
TOLD = st.builds(
    lambda table, key, struct, n, gone: Uve(
        table=table, key=key, struct=struct, sequence=1, is_deleted=gone,
        fields={} if gone else {"n": n, "m": -n},
    ),
    st.sampled_from(["T1", "T2"]), st.sampled_from(["a", "ab", "b", "c"]),
    st.sampled_from(["S", "R", "UVEAlarms"]), st.integers(0, 9), st.booleans(),
)  # fmt: skip


class Node:
    """What a collector holds, as far as streams see it."""

    def __init__(self, log_max: int = 1000) -> None:
        self.uves, self.changes = UveTables(), UveChanges(log_max)
        self.fan_out = FanOut(self.uves, self.changes)

    def tell(self, uve: Uve, generator: str = GENERATORS[0]) -> None:
        change = change_of(generator, uve)
        self.uves.apply(change, 0.0)
        self.changes.note((change.table, change.key, change.struct))

    def state(self, asked: Asked) -> dict[tuple[str, str], object]:
        return {
            (f"{table}:{key}", struct): shown
            for table in self.uves.tables()
            for key, entity in self.uves.entities(table)
            for struct in entity
            if asked.has((table, key, struct))
            for shown in [uve_json.flat(asked.chosen.part_of({struct: entity[struct]})).get(struct)]
        }


class Follower:
    def __init__(self, node: Node, asked: Asked) -> None:
        self._node, self._asked = node, asked
        self._start_over()

    def _start_over(self) -> None:
        self.known = dict[tuple[str, str], object]()
        self._position = self._node.fan_out.position
        self._take(b"".join(self._node.fan_out.everything(self._asked)))

    def _take(self, events: bytes) -> None:
        for each in events.split(b"\n\n")[:-1]:
            said = json.loads(each.partition(b"data: ")[2])
            if said["type"] is None:
                for place in [place for place in self.known if place[0] == said["key"]]:
                    del self.known[place]
            elif said["value"] is None:
                self.known.pop((said["key"], said["type"]), None)
            else:
                self.known[said["key"], said["type"]] = said["value"]

    def catch_up(self) -> None:
        while (news := self._node.fan_out.news(self._asked, self._position)) is not None:
            self._take(news.events)
            if news.position == self._position:
                return
            self._position = news.position
        self._start_over()


@given(
    st.lists(st.tuples(TOLD, st.sampled_from(GENERATORS), st.sets(st.integers(0, 7))), max_size=40),
    st.sampled_from([2, 5, 1000]),
)
def test_followers_know_what_the_node_knows_however_seldom_they_look(told, log_max):
    node = Node(log_max)
    followers = [Follower(node, asked) for asked in FILTERS * 2]
    for uve, generator, looking in told:
        node.tell(uve, generator)
        for number in looking:
            followers[number].catch_up()

    for follower, asked in zip(followers, FILTERS * 2, strict=True):
        follower.catch_up()
        assert follower.known == {
            place: shown for place, shown in node.state(asked).items() if shown is not None
        }


def test_two_hundred_followers_cost_one_rendering():
    node = Node()
    for number in range(100):
        node.tell(uve(number))

    followers = [Follower(node, Asked(UveFilter())) for _ in range(200)]
    opened = node.fan_out.rendered_count
    for number in range(100):
        node.tell(uve(number))
    for follower in followers:
        follower.catch_up()

    assert (opened, node.fan_out.rendered_count) == (100, 200)


def test_filters_that_differ_by_keys_alone_share_renderings():
    node = Node()
    followers = [Follower(node, Asked(UveFilter(keys=(f"k{n}", "k*")))) for n in range(10)]

    for number in range(5):
        node.tell(uve(number))
    for follower in followers:
        follower.catch_up()

    assert node.fan_out.rendered_count == 5


def test_long_log_of_few_places_stays_short():
    changes = UveChanges()
    for number in range(100_000):
        changes.note(("T", str(number % 3), "S"))

    places, position = changes.after(0) or ([], 0)

    assert [key for _, key, _ in places] == ["1", "2", "0"]
    assert position == 100_000
    assert len(changes._places) < 20_000


def uve(number: int) -> Uve:
    return Uve(table="T", key=f"k{number}", struct="S", sequence=1, fields={"n": number})


def test_waiting_followers_are_woken_together_and_by_their_heartbeat():
    async def story() -> tuple[list[bool], bool]:
        position = 0
        rounds = Rounds(lambda: position)
        waiting = [asyncio.create_task(rounds.changed(0, 60.0)) for _ in range(3)]
        silent = await rounds.changed(0, ROUND_S / 2)
        position = 1
        return list(await asyncio.gather(*waiting)), silent

    assert asyncio.run(story()) == ([True, True, True], False)
