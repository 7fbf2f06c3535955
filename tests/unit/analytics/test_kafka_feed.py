"""What waits for Kafka is bounded, coalesced where it is state, and counted where it goes."""

from __future__ import annotations

import json
import time

import pytest

from skytrail.analytics import kafka_feed
from skytrail.analytics.alarm_rule import AlarmRule
from skytrail.analytics.alarms import Alarm, Transition
from skytrail.analytics.collector import Collector
from skytrail.analytics.kafka_feed import KafkaFeed
from skytrail.analytics.kafka_messages import spread
from skytrail.analytics.kafka_settings import (
    KafkaUnusable,
    settings_of_brokers,
    settings_of_file,
)
from skytrail.analytics.uve import UveChange
from skytrail.wire.sandesh import Field
from skytrail.wire.telemetry.sessions import pack, texts_of

NOW_US = 1_790_000_000_000_000


@pytest.fixture
def collector():
    return Collector()


@pytest.fixture
def feed(collector):
    made = KafkaFeed(settings_of_brokers("k:9092"), "node1", collector)
    collector.follower = made
    return made


def say(collector, key, number, generator="h1:Compute:agent:0"):
    fields = {"number": Field("u32", number)}
    collector.apply(UveChange("ObjectVRouter", key, "VrouterAgent", generator, fields), 1.0)


def take_back(collector, key, generator="h1:Compute:agent:0"):
    change = UveChange("ObjectVRouter", key, "VrouterAgent", generator, {}, is_deleted=True)
    collector.apply(change, 1.0)


def told(feed, stream="uves", count=1000):
    return [
        (each.key.decode(), None if each.value is None else json.loads(each.value))
        for each in feed.take(stream, count, NOW_US)
    ]


def test_changes_that_wait_are_told_once_as_they_are(collector, feed):
    for number in range(5):
        say(collector, "h1", number)
    say(collector, "h2", 7)

    assert told(feed) == [
        ("ObjectVRouter:h1|VrouterAgent|h1:Compute:agent:0|node1", {"__T": NOW_US, "number": 4}),
        ("ObjectVRouter:h2|VrouterAgent|h1:Compute:agent:0|node1", {"__T": NOW_US, "number": 7}),
    ]
    assert told(feed) == []


def test_generators_are_told_apart(collector, feed):
    say(collector, "net", 1)
    say(collector, "net", 2, "h2:Compute:agent:0")
    take_back(collector, "net")

    assert [value for _, value in told(feed)] == [None, {"__T": NOW_US, "number": 2}]


def test_what_a_gone_generator_said_is_taken_back(collector, feed, monkeypatch):
    say(collector, "h1", 1)
    told(feed)

    monkeypatch.setattr(collector.generators, "expired", lambda _: ["h1:Compute:agent:0"])
    collector.tick(100.0)

    assert [value for _, value in told(feed)] == [None]


def test_state_that_found_no_room_is_told_in_another_round(collector, feed, monkeypatch):
    monkeypatch.setattr(kafka_feed, "PLACES_COUNT_MAX", 3)
    for number in range(8):
        say(collector, f"h{number}", number)

    first = {key.partition("|")[0] for key, _ in told(feed, count=3)}
    rest = {key.partition("|")[0] for key, _ in told(feed)}

    assert first == {f"ObjectVRouter:h{number}" for number in (5, 6, 7)}
    assert rest == {f"ObjectVRouter:h{number}" for number in range(8)}
    assert (feed.rounds_count, dict(feed.lost)) == (1, {})


def test_end_of_a_state_that_found_no_room_is_counted(collector, feed, monkeypatch):
    monkeypatch.setattr(kafka_feed, "PLACES_COUNT_MAX", 1)
    say(collector, "h1", 1)
    take_back(collector, "h1")
    say(collector, "h2", 2)

    assert dict(feed.lost) == {("uves", "no_room"): 1}
    assert len(told(feed)) == 1


def test_sessions_are_told_one_by_one_and_the_oldest_go(feed, monkeypatch):
    monkeypatch.setattr(kafka_feed, "SESSIONS_COUNT_MAX", 5)
    for first in (0, 3, 6):
        rows = [{"T": first + each, "vmi": "port"} for each in range(3)]
        feed.sessions(pack(rows), "h1")

    assert feed.waiting()["sessions"] == 3
    assert dict(feed.lost) == {("sessions", "no_room"): 6}
    assert [value["T"] for _, value in told(feed, "sessions", 2)] == [6, 7]
    assert feed.waiting()["sessions"] == 1
    assert told(feed, "sessions") == [("port", {"T": 8, "vrouter": "h1", "vmi": "port"})]


def test_sessions_with_tags_by_name_are_told_so(feed):
    feed.sessions(pack([{"T": 1, "vmi": "port"}]), "h1", {"tier": texts_of(["tier=web"])})

    value = {"tier": "tier=web", "T": 1, "vrouter": "h1", "vmi": "port"}
    assert told(feed, "sessions") == [("port", value)]


def test_alarms_have_their_order_and_the_oldest_go(feed, monkeypatch):
    monkeypatch.setattr(kafka_feed, "ALARMS_COUNT_MAX", 2)
    rule = AlarmRule("default-global-system-config:full", 1, ("vrouter",), ())
    for number in range(3):
        alarm = Alarm(rule, 1.0, NOW_US)
        feed.alarm(Transition(("ObjectVRouter", f"h{number}"), alarm, is_raised=True), NOW_US)

    assert dict(feed.lost) == {("alarms", "no_room"): 1}
    ((key, first), (_, second)) = told(feed, "alarms")
    assert key == "ObjectVRouter:h1|default-global-system-config:full"
    assert (first["name"], second["name"]) == ("h1", "h2")
    assert (first["event"], first["severity"], first["__T"]) == ("raised", "major", NOW_US)


def test_streams_that_are_not_wanted_are_not_held(collector):
    settings = settings_of_file(b"brokers = ['k:1']\nstreams = ['alarms']")
    feed = KafkaFeed(settings, "node1", collector)
    collector.follower = feed
    say(collector, "h1", 1)
    feed.sessions(pack([{"T": 1}]), "h1")

    assert feed.waiting() == {"alarms": 0}
    assert settings.topics() == ["skytrail-alarms"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("", 5381), ("a", 177_670), ("ab", 5_863_208), ("\u00e9", (5381 * 33 - 61) * 33 - 87)],
)
def test_entities_are_spread_by_the_hash_of_the_original(key, value):
    assert spread(key, 1 << 32) == value


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "brokers"),
        ("brokers = []", "HOST:PORT"),
        ("brokers = ['k']", "HOST:PORT"),
        ("brokers = ['k:0']", "HOST:PORT"),
        ("brokers = ['user@k:9092']", "HOST:PORT"),
        ("brokers = ['k:1']\nprefix = 'a b'", "prefix"),
        ("brokers = ['k:1']\nprefix = ''", "prefix"),
        ("brokers = ['k:1']\nuve_topics = 0", "uve_topics"),
        ("brokers = ['k:1']\nstreams = []", "streams"),
        ("brokers = ['k:1']\nstreams = ['uves', 'uves']", "streams"),
        ("brokers = ['k:1']\nstreams = ['logs']", "streams"),
        ("brokers = ['k:1']\nca_file = '/a'", "tls"),
        ("brokers = ['k:1']\ntls = true\nkey_file = '/a'", "together"),
        ("brokers = ['k:1']\nsasl = 'SCRAM-SHA-512'", "together"),
        ("brokers = ['k:1']\nsasl = 'PLAIN'\nuser = 'u'\npassword_file = '/p'", "clear"),
        ("brokers = ['k:1']\nretries = 3", "retries"),
        ("brokers = 3", "brokers"),
        ("=", "line 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(text, word):
    with pytest.raises(KafkaUnusable, match=f"(?i){word}"):
        settings_of_file(text.encode())


def test_last_of_many_that_wait_cost_no_more_than_the_first(feed):
    for number in range(100_000):
        feed.uve(("ObjectVRouter", f"h{number}", "VrouterAgent", "g"))

    def cost():
        begin = time.process_time()
        assert len(feed.take("uves", 2_000, NOW_US)) == 2_000
        return time.process_time() - begin

    first = cost()
    feed.take("uves", 96_000, NOW_US)

    assert cost() < 10 * first + 0.05
