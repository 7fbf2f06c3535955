"""Sessions as the analytics node is told: which, and what is said of them."""

import dataclasses
import math
from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.agent.config import ConfigGraph
from skytrail.agent.session_batch import SessionBatch, SessionKind
from skytrail.agent.session_follow import Followed
from skytrail.agent.session_rows import (
    ROWS_PER_S_DEFAULT,
    ROWS_PER_S_MAX,
    SIZE_BYTES_MAX,
    SIZE_BYTES_MIN,
    WAITING_COUNT_MAX,
    SessionRows,
    rate_of,
)
from skytrail.agent.session_sample import FORCED_COUNT_MAX, Sample
from skytrail.agent.tables import IdentityId, NextHopId, RuleId, VifId
from skytrail.testing.agent_world import PROJECT, ConfigBuilder
from skytrail.testing.session_records import batch_of
from skytrail.testing.session_world import SessionWorld
from skytrail.wire.telemetry.sessions import unpack

ADDRESS = "192.0.2.1"
TIME_NS = 1_790_000_000_123_456_789
REASONS = ("", "POLICY", "FLOW_LIMIT")


@pytest.fixture(scope="module")
def world():
    return SessionWorld()


class Told:
    """What a host of ``per_second`` sessions a second tells."""

    def __init__(self, world, *, per_second=ROWS_PER_S_DEFAULT, seed=1):
        self.world = world
        self.sample = Sample(np.random.default_rng(seed), per_second)
        self.rows = SessionRows(world.book, world.host.numbers, ADDRESS, self.sample)
        self.follower = world.follower()

    def note(self, events, now=0.0, **clocks):
        batch = dataclasses.replace(batch_of(events), **clocks)
        followed = self.follower.follow(batch, self.world.host.desired)
        self.rows.note(batch, followed, self.world.host.desired, now)

    def take(self, now=math.inf):
        """Rows, as mappings without what is empty or zero."""
        found = []
        for message in self.rows.take(now):
            columns = unpack(message)
            rows = zip(*columns.values(), strict=True)
            found += [{n: v for n, v in zip(columns, row, strict=True) if v} for row in rows]
        return found


def ended(world, port=81, count=1, **changed):
    return [world.event(port, kind=SessionKind.END, **changed)] * count


def many(world, sizes, **changed):
    """A batch of ends without logging, by their bytes."""
    one = {"packets": (1, 1), "drop_reason": ""} | changed
    records = np.repeat(batch_of(ended(world, **one)).records, len(sizes))
    records["bytes"][:, 0] = sizes
    records["bytes"][:, 1] = 0
    return SessionBatch(records)


def note(told, batch, now):
    nothing = Followed(np.zeros(len(batch), np.uint32), {})
    told.rows.note(batch, nothing, told.world.host.desired, now)


def plain_row(event, record, monotonic_ns):
    """A row made of one event and its record, field by field: what the columns have to say."""
    ends = event.source, event.destination
    near, far = ends if event.is_opened_here else ends[::-1]
    counted = {
        "forward_{}_bytes": event.bytes[0],
        "forward_{}_pkts": event.packets[0],
        "reverse_{}_bytes": event.bytes[1],
        "reverse_{}_pkts": event.packets[1],
    }
    nexthop = record["peer_nexthop"]
    action = "deny" if event.drop_reason else "pass"
    row = {
        "T": event.time_ns // 1000,
        "teardown_time": event.time_ns // 1000,
        "setup_time": (event.created_ns + monotonic_ns) // 1000,
        "session_type": "client" if event.is_opened_here else "server",
        "vrouter_ip": ADDRESS,
        "vmi": record["port"],
        "vn": record["virtual_network"],
        "remote_vn": (record["peer_networks"] or [""])[0],
        "tags": " ".join(f"0x{tag:08x}" for tag in record["tags"]),
        "remote_tags": " ".join(f"0x{tag:08x}" for tag in record["peer_tags"]),
        "security_policy_rule": (record["rule_uuids"] or [""])[-1],
        "local_ip": str(near),
        "remote_ip": str(far),
        "server_port": event.destination_port,
        "client_port": event.source_port,
        "protocol": event.protocol,
        "other_vrouter_ip": nexthop.split(":", 3)[3] if nexthop.startswith("tunnel:") else "",
        "forward_action": action,
        "reverse_action": action,
        "drop_reason": event.drop_reason,
        "sample_weight": 1.0,
    }
    for name, number in counted.items():
        row[name.format("sampled")] = number
        row[name.format("logged")] = number if record["logged"] else 0
    return {name: value for name, value in row.items() if value}


V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6) | st.sampled_from(["::", "::ffff:1.2.3.4", "::1"]).map(ip_address)
COUNTER = st.integers(0, 2**62)


@st.composite
def sessions(draw):
    address = draw(st.sampled_from([V4, V6]))
    return {
        "kind": draw(st.sampled_from(SessionKind)),
        "time_ns": TIME_NS + draw(st.integers(0, 10**9)),
        "created_ns": draw(st.integers(1, 3)),
        "pair": draw(st.integers(0, 5) | st.integers(0, 200_000)),
        "vif": draw(st.sampled_from(["web", "db", ""])),
        "is_opened_here": draw(st.booleans()),
        "source": draw(address),
        "destination": draw(address),
        "source_port": draw(st.integers(0, 65535)),
        "destination_port": draw(st.integers(0, 65535)),
        "protocol": draw(st.integers(0, 255)),
        "rule": draw(st.sampled_from([80, 81, 0, 1 << 20])),
        "has_far_end": draw(st.booleans()),
        "nexthop_id": NextHopId(draw(st.integers(0, 40))),
        "drop_reason": draw(st.sampled_from(REASONS)),
        "packets": (draw(COUNTER), draw(COUNTER)),
        "bytes": (draw(COUNTER), draw(COUNTER)),
    }


def event_of(world, made):
    """An event of drawn members: ports and rules by name."""
    made = dict(made)
    vif, rule, has_far_end = (made.pop(name) for name in ("vif", "rule", "has_far_end"))
    like = world.event(80)
    rules = {80: like.rule_id, 81: world.event(81).rule_id}
    return dataclasses.replace(
        like,
        vif_id=world.host.vif(vif) if vif else VifId(900),
        rule_id=rules.get(rule, RuleId(rule)),
        identity=like.identity if has_far_end else IdentityId(0),
        **made,
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(sessions(), max_size=12), max_size=4), st.integers(0, 10**18))
def test_batches_give_the_rows_of_events_one_by_one(world, batches, monotonic_ns):
    world.host.numbers.nexthop.number("tunnel:MPLS_UDP:l3:192.0.2.77")
    told = Told(world)
    far_ends, expected = {}, []
    for made in batches:
        events = [event_of(world, each) for each in made]
        for event in events:
            place = event.pair, event.created_ns
            if event.kind is SessionKind.BEGIN:
                # A place has one flow at a time.
                far_ends = {k: v for k, v in far_ends.items() if k[0] != event.pair}
                far_ends[place] = event.identity
                continue
            far_end = far_ends.get(place, IdentityId(0))
            record = world.book.record(event, far_end, world.host.desired)
            expected.append(plain_row(event, record, monotonic_ns))
        told.note(events, monotonic_ns=monotonic_ns)

    assert told.take() == expected


def test_what_is_known_of_a_session_ends_with_the_next_one_of_its_place(world):
    """Whether that began in the same batch, or in one before."""
    begins, ends = (
        [world.event(80, kind=kind, pair=3, created_ns=each) for each in (1, 2)]
        for kind in (SessionKind.BEGIN, SessionKind.END)
    )
    ends = [dataclasses.replace(each, identity=IdentityId(0)) for each in ends]
    at_once, one_by_one = Told(world), Told(world)

    for batch in ([begins[0]], [begins[1], ends[0], ends[1]]):
        at_once.note(batch)
    for event in (*begins, *ends):
        one_by_one.note([event])

    rows = at_once.take()
    assert ["remote_vn" in each for each in rows] == [False, True]
    assert rows == one_by_one.take()


def test_session_that_came_in_has_its_ends_the_other_way_round(world):
    told = Told(world)
    told.note(ended(world, is_opened_here=False, drop_reason="POLICY"))

    (row,) = told.take()

    assert (row["session_type"], row["local_ip"], row["remote_ip"]) == (
        "server",
        "10.1.1.4",
        "10.1.1.3",
    )
    assert (row["forward_action"], row["drop_reason"]) == ("deny", "POLICY")


def test_row_names_the_rule_that_decided_or_what_had_none(world):
    ruled = world.record(80)["rule_uuids"][-1]
    none = RuleId(world.host.numbers.rule.number("security groups d:p:web#no rule allows"))
    told = Told(world)
    told.note(ended(world, 80) + ended(world, rule_id=none, drop_reason="POLICY"))

    rows = [row["security_policy_rule"] for row in told.take()]

    assert rows == [ruled, "security groups d:p:web"]


def test_clock_of_records_is_told_in_time_since_1970(world):
    told = Told(world)
    told.note(
        ended(world, time_ns=TIME_NS + 37_000_000_000, created_ns=5_000),
        ahead_ns=37_000_000_000,
        monotonic_ns=TIME_NS - 10_000_000,
    )

    (row,) = told.take()

    assert (row["T"], row["setup_time"]) == (TIME_NS // 1000, TIME_NS // 1000 - 9_995)


def test_port_has_the_name_it_had_when_its_session_ended(world):
    told = Told(world)
    told.note(ended(world))
    desired = world.host.desired
    told.rows.note(
        SessionBatch(batch_of([]).records),
        Followed(np.zeros(0, np.uint32), {}),
        dataclasses.replace(desired, ports={}),
        0.1,
    )

    assert told.take()[0]["vmi"] == f"{PROJECT}:web"


def test_few_sessions_are_told_at_once_and_whole(world):
    told = Told(world, per_second=10)
    told.note(ended(world, count=4), 0.0)

    assert [row["sample_weight"] for row in told.take(0.01)] == [1.0] * 4


def test_half_of_what_a_second_has_room_for_is_left_for_what_may_come(world):
    told = Told(world, per_second=10)
    told.note(ended(world, count=5), 0.0)
    first = told.take(0.1)
    told.note(ended(world, count=1000), 0.2)
    early = told.take(0.3)

    rest = told.take(1.0)

    assert (len(first), len(early), len(rest)) == (5, 0, 5)
    assert sum(row["sample_weight"] for row in rest) > 100


def test_a_flood_from_its_first_moment_on_is_a_sample_of_so_many(world):
    told = Told(world, per_second=100)
    for batch in range(40):
        note(told, many(world, [2000] * 5000), batch / 100)

    rows = told.take()

    assert (len(rows), told.rows.lost_count) == (100, 0)
    assert {row["sample_weight"] > 1000 for row in rows} == {True}


def test_rate_that_falls_is_kept_whole_again(world):
    told = Told(world, per_second=10)
    note(told, many(world, [100] * 1000), 0.0)
    note(told, many(world, [100] * 5), 1.0)
    told.take(1.5)
    note(told, many(world, [100] * 5), 2.0)

    assert [row["sample_weight"] for row in told.take(2.1)] == [1.0] * 5


def sums(rows, weight="sample_weight"):
    """(sessions, bytes, sessions denied, bytes denied) that the rows stand for."""
    denied = [row for row in rows if row["forward_action"] == "deny"]
    return [
        total
        for some in (rows, denied)
        for total in (
            sum(row[weight] for row in some),
            sum(row[weight] * row.get("forward_sampled_bytes", 0) for row in some),
        )
    ]


@pytest.mark.parametrize("batches", [1, 7])
def test_sums_of_a_flood_are_unbiased_whatever_is_summed(world, batches):
    """Sizes as of real traffic: few sessions have most of the bytes. The flood is in its first second."""
    sizes = np.random.default_rng(5).pareto(1.2, 4000) * 3000
    is_denied = np.arange(4000) % 5 == 0
    sizes = np.where(is_denied, 60, sizes).astype(np.uint64)
    records = many(world, sizes).records
    records["drop_reason"] = np.where(is_denied, batch_of(ended(world, drop_reason="POLICY")).records["drop_reason"], 0)  # fmt: skip
    truth = np.array([4000, sizes.sum(), is_denied.sum(), sizes[is_denied].sum()], float)

    found = []
    for seed in range(150):
        told = Told(world, per_second=200, seed=seed)
        for part in np.array_split(records, batches):
            note(told, SessionBatch(part), 0.5)
        rows = told.take()
        assert len(rows) == 200
        found.append(sums(rows))

    mean, error = np.mean(found, 0), np.std(found, 0) / math.sqrt(len(found))
    assert np.all(np.abs(mean - truth) < 4 * error)
    # So near that this is no empty word.
    assert np.all(error < truth / 30)


def test_bytes_of_a_sample_are_near_to_the_truth_where_few_sessions_have_most(world):
    """Keeping each session with the same probability would miss the large ones, or count them too often."""
    sizes = (np.random.default_rng(5).pareto(1.2, 4000) * 3000).astype(np.uint64)
    off = []
    for seed in range(30):
        told = Told(world, per_second=200, seed=seed)
        note(told, many(world, sizes), 0.0)
        off.append(sums(told.take())[1] / sizes.sum() - 1)

    same = [np.random.default_rng(seed).choice(sizes, 200).mean() * 4000 for seed in range(30)]
    assert np.std(off) < 0.06 < np.std(np.array(same) / sizes.sum())


def test_logged_session_is_told_and_counts_for_nothing_where_it_is_no_part_of_the_sample(world):
    told = Told(world, per_second=0)
    told.note(ended(world, port=80, packets=(3, 2), bytes=(300, 200)) + ended(world, port=81))

    (row,) = told.take()

    assert "sample_weight" not in row
    assert "forward_sampled_bytes" not in row
    assert (row["forward_logged_bytes"], row["reverse_logged_pkts"]) == (300, 2)


def test_all_logged_sessions_of_a_flood_are_told_and_the_sample_is_as_without_them(world):
    told = Told(world, per_second=50)
    for _ in range(3):
        note(told, many(world, [5000] * 1000), 0.0)
        told.note(ended(world, port=80, count=100, bytes=(300, 0)), 0.0)

    rows = told.take()

    assert sum(row.get("forward_logged_bytes", 0) for row in rows) == 300 * 300
    assert len([row for row in rows if row.get("sample_weight")]) == 50


def test_logged_sessions_beyond_their_bound_are_lost_and_counted(world):
    told = Told(world, per_second=0)
    told.note(ended(world, port=80, count=FORCED_COUNT_MAX), 0.0)
    told.note(ended(world, port=80, count=7), 0.1)

    assert (len(told.take()), told.rows.lost_count) == (FORCED_COUNT_MAX, 7)


def test_who_waits_too_long_to_be_told_is_counted_with_what_it_stands_for(world):
    told = Told(world, per_second=1000)
    seconds = WAITING_COUNT_MAX // 1000 + 3
    for second in range(seconds):
        note(told, many(world, [100] * 4000), float(second))

    rows = told.take()

    assert len(rows) == WAITING_COUNT_MAX
    assert sum(row["sample_weight"] for row in rows) + told.rows.lost_count == pytest.approx(
        seconds * 4000, rel=0.01
    )


def test_what_is_not_asked_for_stays_to_be_told(world):
    told = Told(world, per_second=100_000)
    note(told, many(world, [100] * 25_000), 0.0)

    first = next(told.rows.take(0.5))
    rest = [message.count for message in told.rows.take(0.6)]

    assert (first.count, rest) == (10_000, [10_000, 5_000])


def test_weights_are_bounded():
    """By the store as well: no sample of one of a million sessions counts for more."""
    assert SIZE_BYTES_MAX // SIZE_BYTES_MIN <= 1024


@pytest.mark.parametrize(
    ("given", "configured", "rate"),
    [
        (None, None, ROWS_PER_S_DEFAULT),
        (None, 70, 70),
        (None, 0, 0),
        (None, -1, ROWS_PER_S_DEFAULT),
        (None, 10**9, ROWS_PER_S_MAX),
        (5, 70, 5),
        (0, None, 0),
    ],
)
def test_rate_is_the_hosts_own_or_that_of_all(given, configured, rate):
    config = ConfigBuilder()
    members = {} if configured is None else {"flow_export_rate": configured}
    config.node("global-vrouter-config", "g:v", **members)
    graph = ConfigGraph()
    graph.update(config.update())

    assert rate_of(graph, given) == rate
