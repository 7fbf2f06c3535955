"""Who tells too much loses its least severe messages, counted; state and other machines go on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.collector import Collector
from skytrail.analytics.told_rate import BURST_S, PAUSE_S_MAX, ToldRate
from skytrail.wire.sandesh import (
    ClientHello,
    Field,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    Struct,
)

EVIL, HONEST = "evil:Compute:agent:0", "h1:Compute:agent:0"
RATE = 1000
BURST = int(RATE * BURST_S)


def test_least_severe_go_first_and_the_most_severe_are_taken_until_nothing_is_left():
    rate = ToldRate(RATE)
    taken = dict.fromkeys(range(8), 0)
    for _ in range(BURST // 10):
        for level in reversed(range(8)):
            taken[level] += rate.admits(EVIL, 10, level, 0.0)

    assert sum(taken.values()) * 10 == BURST
    assert taken[7] < taken[6] < taken[5] < taken[4] < taken[3] < taken[2]


def test_generators_of_a_machine_share_and_other_machines_do_not():
    rate = ToldRate(RATE)
    while rate.admits(EVIL, 100, 2, 0.0):
        pass

    assert not rate.admits("evil:Compute:other:7", 100, 2, 0.0)
    assert rate.admits(HONEST, 100, 7, 0.0)
    assert rate.admits(EVIL, 100, 2, 1.0)


def test_state_is_paid_for_and_who_owes_is_read_more_slowly():
    rate = ToldRate(RATE)
    assert rate.pause_s(EVIL, 0.0) == 0.0

    rate.pay(EVIL, BURST + 500, 0.0)

    assert rate.pause_s(EVIL, 0.0) == 0.5
    assert not rate.admits(EVIL, 1, 0, 0.0)
    rate.pay(EVIL, 100 * BURST, 0.0)
    assert rate.pause_s(EVIL, 0.0) == PAUSE_S_MAX
    assert rate.pause_s(HONEST, 0.0) == 0.0


def test_what_was_left_out_is_told_once_and_quiet_machines_are_forgotten():
    rate = ToldRate(RATE)
    rate.admits(EVIL, 10, 0, 0.0)
    rate.note_shed(EVIL, "log", 2, 5)
    rate.note_shed(EVIL, "log", 1, 9)

    [(generator, shed)] = rate.tick(0.0)
    assert (generator, shed.counts, shed.since_us) == (EVIL, {"log": 3}, 5)
    assert list(rate.tick(1.0)) == []
    assert len(rate) == 0


@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(-100, 100), st.floats(0, 1)), max_size=50)
)
def test_nobody_tells_more_than_the_burst_and_the_rate(told):
    rate, now, taken = ToldRate(RATE), 0.0, 0
    for size, level, wait_s in told:
        now += wait_s
        taken += size if rate.admits(EVIL, size, level, now) else 0
    assert taken <= BURST + RATE * now + 1


def test_logs_over_the_rate_are_counted_and_a_gap_says_so():
    collector = Collector(bytes_per_second=RATE)
    hello = ClientHello("evil", "agent", "Compute", "0", pid=1)
    collector.session_up(hello, 0.0, address="", protocol="sandesh")
    wall_us = 1_790_000_000_000_000

    def log(level):
        header = SandeshHeader(
            "evil", "agent", "Compute", "0", type=SandeshType.SYSTEM, level=level,
            timestamp_us=wall_us,
        )  # fmt: skip
        message = SandeshMessage(header, "Told", {"text": Field("string", "x")})
        collector.receive(EVIL, message, 500, 0.0, wall_us=wall_us)

    for _ in range(8):
        log(7)
    log(2)
    collector.tick(1.0, wall_us + 1_000_000)

    assert len(collector.messages) == 4 + 1
    assert collector.dropped["over_rate"] == 4
    assert collector.generators.get(EVIL).dropped == {"over_rate": 4}
    [gap] = collector.gaps.take()
    assert (gap["Source"], gap["ModuleId"], gap["Kind"]) == ("evil", "agent", "log")
    assert (gap["Reason"], gap["Count"], gap["Until"]) == ("over_rate", 4, wall_us + 1_000_000)


def test_numbers_of_another_day_are_left_out_and_state_is_taken():
    collector = Collector()
    hello = ClientHello("h1", "agent", "Compute", "0", pid=1)
    collector.session_up(hello, 0.0, address="", protocol="sandesh")
    wall_us = 1_790_000_000_000_000
    day_us = 86_400_000_000
    for sequence, days in enumerate((-400, 2, 0), 1):
        fields = {
            "name": Field("string", "d:red:net", "", {"key": "ObjectVNTable"}),
            "load": Field(
                "struct", Struct("Load", {"now": Field("u64", sequence)}), "", {"tags": ""}
            ),
        }
        header = SandeshHeader(
            "h1", "agent", "Compute", "0", type=SandeshType.UVE, sequence=sequence,
            timestamp_us=wall_us + days * day_us,
        )  # fmt: skip
        data = Field("struct", Struct("UveVirtualNetworkAgent", fields))
        collector.receive(
            HONEST, SandeshMessage(header, "Trace", {"data": data}), 9, 0.0, wall_us=wall_us
        )
        said = collector.uves.said("ObjectVNTable", "d:red:net", "UveVirtualNetworkAgent", HONEST)
        assert said["load"].value.fields["now"].value == sequence

    assert collector.dropped["statistics_untimely"] == 2
    assert [row["T"] for row in collector.statistics.take()] == [wall_us]
