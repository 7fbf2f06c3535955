"""Sessions of agents that speak Sandesh, as rows of the stored table."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics import sandesh_sessions
from skytrail.analytics.collector import Collector
from skytrail.analytics.history_tables import SESSION
from skytrail.analytics.sandesh_sessions import sessions_of
from skytrail.analytics.sessions import block_of
from skytrail.analytics.tags import TagNames
from skytrail.testing.sandesh_sessions import (
    aggregate,
    endpoint,
    session,
    session_message,
    struct,
)
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import (
    ClientHello,
    Field,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    Struct,
    StructMap,
    decode_message,
    encode_message,
)
from skytrail.wire.telemetry.sessions import PLACE, array_of, unpack

DAY_US = 86_400_000_000
NOW_US = 1_790_000_000_000_000
HEADER = SandeshHeader("h1", "agent", "Compute", "0", timestamp_us=NOW_US, type=SandeshType.SESSION)
SERVICE = ("10.0.0.3", 443, 6)
FAR = ("10.0.1.9", 40_000)
FORWARD = {
    "sampled_bytes": 900,
    "sampled_pkts": 9,
    "logged_bytes": 90,
    "logged_pkts": 3,
    "flow_uuid": "7c1b4f0e-0000-4000-8000-000000000001",
    "tcp_flags": 17,
    "setup_time": NOW_US - 5_000_000,
    "teardown_time": NOW_US - 1_000_000,
    "action": "pass",
    "drop_reason": "UNKNOWN",
}
REVERSE = {"sampled_bytes": 70, "sampled_pkts": 7, "action": "drop", "drop_reason": "SG"}
ENDS = {
    "vmi": "default-domain:red:port1",
    "vn": "default-domain:red:front",
    "remote_vn": "default-domain:red:back",
    "tier": "tier=web",
    "labels": ["label=b", "label=a"],
    "remote_application": "0x00010005",
    "remote_prefix": "10.0.1.0/24",
    "security_policy_rule": "5b0b2b6e-0000-4000-8000-000000000002",
    "is_client_session": False,
    "is_si": False,
    "vrouter_ip": "192.0.2.1",
}
PLAIN = session(FORWARD, REVERSE, vm="vm1", other_vrouter_ip="192.0.2.2", underlay_proto=2)


def told(*endpoints):
    """Return a message that went over the wire."""
    return decode_message(encode_message(session_message(HEADER, endpoints)))


def rows(message, tags=None):
    found = sessions_of(message, tags or TagNames())
    columns = unpack(found.told)
    for name, texts in found.tags.items():
        columns[name] = [texts.words[place] for place in array_of(PLACE, texts.places)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_session_has_the_columns_that_our_own_have():
    tags = TagNames()
    tags.put("u", {"tag_id": "0x00010005", "fq_name": ["application=hr"]})

    (row,) = rows(told(endpoint({SERVICE: aggregate({FAR: PLAIN})}, **ENDS)), tags)

    assert {*row, "vrouter"} == set(SESSION.columns)
    assert {name: value for name, value in row.items() if value not in ("", 0)} == {
        "T": NOW_US,
        "session_type": "server",
        "vrouter_ip": "192.0.2.1",
        "vmi": "default-domain:red:port1",
        "vn": "default-domain:red:front",
        "remote_vn": "default-domain:red:back",
        "tier": "tier=web",
        "labels": "label=a;label=b",
        "remote_application": "application=hr",
        "remote_prefix": "10.0.1.0/24",
        "security_policy_rule": "5b0b2b6e-0000-4000-8000-000000000002",
        "local_ip": "10.0.0.3",
        "remote_ip": "10.0.1.9",
        "server_port": 443,
        "client_port": 40_000,
        "protocol": 6,
        "other_vrouter_ip": "192.0.2.2",
        "underlay_proto": 2,
        "forward_action": "pass",
        "reverse_action": "drop",
        "drop_reason": "SG",
        "sample_weight": 1.0,
        "forward_sampled_bytes": 900,
        "forward_sampled_pkts": 9,
        "forward_logged_bytes": 90,
        "forward_logged_pkts": 3,
        "reverse_sampled_bytes": 70,
        "reverse_sampled_pkts": 7,
        "setup_time": NOW_US - 5_000_000,
        "teardown_time": NOW_US - 1_000_000,
    }


def test_each_session_of_each_service_is_a_row():
    two = {FAR: PLAIN, (FAR[0], 40_001): PLAIN}
    services = {SERVICE: aggregate(two), ("10.0.0.3", 80, 6): aggregate({FAR: PLAIN})}

    found = rows(told(endpoint(services, **ENDS), endpoint({SERVICE: aggregate(two)}, **ENDS)))

    assert [(row["server_port"], row["client_port"]) for row in found] == [
        *((443, 40_000), (443, 40_001), (80, 40_000)),
        *((443, 40_000), (443, 40_001)),
    ]


def test_older_agents_key_by_ip_and_port():
    key = struct("SessionIpPortProtocol", ip="2001:db8:0::3", port=53, protocol=17)
    by_service = StructMap(((key, aggregate({FAR: PLAIN})),))

    (row,) = rows(told(struct("SessionEndpoint", **ENDS, sess_agg_info=by_service)))

    assert (row["local_ip"], row["server_port"], row["protocol"]) == ("2001:db8::3", 53, 17)


def test_session_that_is_only_logged_adds_nothing_to_samples():
    logged = session({"logged_bytes": 5, "logged_pkts": 1}, {})

    (row,) = rows(told(endpoint({SERVICE: aggregate({FAR: logged})}, **ENDS)))

    assert (row["sample_weight"], row["forward_logged_bytes"]) == (0.0, 5)


def test_sums_of_a_service_are_a_row_where_no_single_session_is_told():
    sums = aggregate({}, sampled_forward_bytes=50, logged_reverse_pkts=2)

    (row,) = rows(told(endpoint({SERVICE: sums}, **ENDS)))

    assert (row["forward_sampled_bytes"], row["reverse_logged_pkts"]) == (50, 2)
    assert (row["local_ip"], row["server_port"], row["sample_weight"]) == ("10.0.0.3", 443, 1.0)
    assert not {"remote_ip", "client_port"} & set(row)


def ends(**members):
    return endpoint({SERVICE: aggregate({FAR: PLAIN})}, **{**ENDS, **members})


def one(info, service=SERVICE, far=FAR):
    return endpoint({service: aggregate({far: info})}, **ENDS)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (ends(is_client_session="true"), "is_client_session"),
        (ends(vn="x" * 1025), "field vn: a text of over 1024"),
        (ends(vrouter_ip="nowhere"), "field vrouter_ip: 'nowhere' is no address"),
        (ends(tier=["t" * 1025]), "field tier: a text of over"),
        (ends(labels=[str(number) for number in range(65)]), "field labels: over 64 tags"),
        (one(PLAIN, ("10.0.0.3", 443, 256)), "field protocol: 256 is not from 0 to 255"),
        (one(PLAIN, ("10.0.0", 443, 6)), "field local_ip: '10.0.0' is no address"),
        (one(session({"sampled_bytes": -1}, {})), "field sampled_bytes: -1 is not from 0"),
        (one(session({"setup_time": 1 << 62}, {})), "field setup_time"),
        (one(session({"action": struct("A")}, {})), "field action is no text"),
        (one(session({"sampled_pkts": "5"}, {})), "field sampled_pkts is no number"),
        (one(struct("SessionInfo", forward_flow_info="what")), "forward_flow_info is no struct"),
        (struct("SessionEndpoint", **ENDS, sess_agg_info="what"), "no map keyed by structs"),
        (struct("SessionEndpoint", **ENDS), "a message of sessions without any"),
    ],
)  # fmt: skip
def test_what_no_session_can_have_is_named(said, reason):
    with pytest.raises(DecodeError, match=reason):
        sessions_of(told(said), TagNames())


@pytest.mark.parametrize(
    "field", [Field("string", "what"), Field("list", ["what"], "string"), Field("list", [], "i64")]
)
def test_message_without_structs_is_refused(field):
    message = SandeshMessage(HEADER, "SessionEndpointObject", {"session_data": field})

    with pytest.raises(DecodeError):
        sessions_of(message, TagNames())


def test_message_has_only_so_many_sessions(monkeypatch):
    monkeypatch.setattr(sandesh_sessions, "ROWS_COUNT_MAX", 2)
    three = {(FAR[0], port): PLAIN for port in range(3)}

    with pytest.raises(DecodeError, match="over 2 sessions"):
        sessions_of(told(endpoint({SERVICE: aggregate(three)}, **ENDS)), TagNames())


class Follower:
    def __init__(self):
        self.heard = []

    def uve(self, place):
        raise AssertionError(place)

    def sessions(self, message, source, named):
        self.heard.append((message.count, source, named["tier"].words))


@pytest.fixture
def collector():
    made = Collector()
    hello = ClientHello("h1", "agent", "Compute", "0", (), 0, 1, 0)
    made.session_up(hello, 0.0, address="192.0.2.1", protocol="sandesh")
    made.follower = Follower()
    return made


def receive(collector, message):
    collector.receive("h1:Compute:agent:0", message, 1, 0.0, wall_us=NOW_US)


def test_sessions_wait_for_the_store_and_followers_hear_of_them(collector):
    receive(collector, told(endpoint({SERVICE: aggregate({FAR: PLAIN})}, **ENDS)))

    assert len(collector.sessions) == 1
    assert collector.follower.heard == [(1, "h1", ["tier=web"])]
    assert dict(collector.dropped) == {}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (told(ends(vn="x" * 1025)), "unusable"),
        (replace(told(ends()), header=replace(HEADER, timestamp_us=NOW_US + 2 * DAY_US)),
         "unusable"),
        (replace(told(ends()), header=replace(HEADER, timestamp_us=NOW_US - 32 * DAY_US)),
         "unusable"),
        (replace(told(ends()), header=replace(HEADER, source="h2")), "speaks_for_another"),
        (replace(told(ends()), name="Other"), "not_kept"),
    ],
)  # fmt: skip
def test_sessions_that_are_not_taken_are_counted(collector, message, reason):
    receive(collector, message)

    assert len(collector.sessions) == 0
    assert dict(collector.dropped) == {reason: 1}
    assert collector.follower.heard == []


@pytest.mark.parametrize("days", [-32, 2, 30_000])
def test_log_of_a_time_for_which_nothing_is_kept_is_counted(collector, days):
    header = replace(HEADER, type=SandeshType.SYSTEM, timestamp_us=NOW_US + days * DAY_US)

    receive(collector, SandeshMessage(header, "Event", {}))

    assert len(collector.messages) == 0
    assert dict(collector.dropped) == {"unusable": 1}


NAMES = st.sampled_from(
    [
        *("session_data", "sess_agg_info", "sessionMap", "forward_flow_info", "is_client_session"),
        *("vn", "labels", "ip", "port", "local_ip", "protocol", "sampled_bytes", "drop_reason"),
    ]
)
SCALARS = st.one_of(
    st.text(max_size=3), st.integers(-(1 << 63), (1 << 64) - 1), st.booleans(), st.floats()
)


def _fields(inner):
    return st.dictionaries(NAMES, st.builds(Field, st.just("any"), inner), max_size=4)


def _structs(inner):
    return st.builds(Struct, st.just("S"), _fields(inner))


def _nested(inner):
    entries = st.lists(st.tuples(_structs(inner), inner), max_size=2).map(tuple)
    return st.one_of(
        _structs(inner),
        st.lists(inner, max_size=2),
        st.dictionaries(st.text(max_size=2), inner, max_size=2),
        st.builds(StructMap, entries),
    )


ENDPOINTS = st.lists(
    st.builds(
        Struct,
        st.just("E"),
        st.builds(
            lambda others, service: {
                **others,
                "is_client_session": Field("bool", value=True),
                "sess_agg_info": Field("map", service, "struct"),
            },
            _fields(st.recursive(SCALARS, _nested, max_leaves=6)),
            st.builds(
                StructMap,
                st.tuples(st.tuples(_structs(SCALARS), _structs(st.recursive(SCALARS, _nested)))),
            ),
        ),
    ),
    max_size=2,
)


@given(ENDPOINTS)
def test_whatever_is_told_is_rows_or_a_decode_error(endpoints):
    message = session_message(HEADER, endpoints)

    with contextlib.suppress(DecodeError):
        found = sessions_of(message, TagNames())
        assert block_of(found.told, "h1", TagNames(), named=found.tags).count == found.told.count
