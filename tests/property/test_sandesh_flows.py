"""Flows over Sandesh: whatever is told in them is rows, a counted drop, or no message at all."""

from __future__ import annotations

import contextlib

from hypothesis import event, given
from hypothesis import strategies as st

from skytrail.analytics.collector import Collector
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import (
    ClientHello,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    decode_message,
    encode_message,
)
from skytrail.wire.sandesh.message import INTEGER_TYPES

NOW_US = 1_790_000_000_000_000
HEADER = SandeshHeader("h1", "agent", "Compute", "0", timestamp_us=NOW_US, type=SandeshType.FLOW)
HEAD = encode_message(SandeshMessage(HEADER, "FlowLogDataObject", {})).partition(
    b"</SandeshHeader>"
)
NAMES = st.sampled_from(
    [
        *(
            "direction_ing",
            "sourcevn",
            "sourceip",
            "destvn",
            "destip",
            "protocol",
            "sport",
            "dport",
        ),
        *("diff_bytes", "diff_packets", "setup_time", "action", "drop_reason", "sg_rule_uuid"),
        *("vmi_uuid", "forward_flow", "vrouter_ip", "underlay_proto"),
    ]
)
TYPES = st.sampled_from([*INTEGER_TYPES, "string", "ipaddr", "bool", "double", "uuid_t"])
VALUES = st.one_of(
    st.integers(-(1 << 63), (1 << 64) - 1).map(str),
    st.integers(-300, 300).map(str),
    st.sampled_from(["", "true", "false", "1", "0", "-1", "nan", "::1", "10.0.0.1", "pass|log"]),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF, exclude_characters="<&")),
)
LIKELY = st.one_of(
    st.tuples(st.sampled_from([*INTEGER_TYPES]), st.integers(0, 127).map(str)),
    st.tuples(st.sampled_from(["i16", "i32", "i64"]), st.integers(-(1 << 15), 1 << 14).map(str)),
    st.tuples(st.just("string"), st.sampled_from(["", "::1", "10.0.0.1", "pass|log", "SG"])),
    st.tuples(st.just("bool"), st.sampled_from(["true", "false"])),
)
DIRECTION = st.tuples(st.just("byte"), st.sampled_from(["0", "1"]))
FIELDS = st.dictionaries(NAMES, st.tuples(TYPES, VALUES), max_size=8) | st.builds(
    lambda fields, direction: {**fields, "direction_ing": direction},
    st.dictionaries(NAMES, LIKELY, max_size=4),
    DIRECTION,
)


def element(fields):
    shown = "".join(
        f'<{name} type="{kind}" identifier="1">{value}</{name}>'
        for name, (kind, value) in fields.items()
    )
    return f"<FlowLogData>{shown}</FlowLogData>"


def frame(flows, *, is_list):
    """Return a message as it comes, of flows whose fields may be anything."""
    data = "".join(map(element, flows))
    if is_list:
        data = f'<list type="struct" size="{len(flows)}">{data}</list>'
    kind = "list" if is_list else "struct"
    body = f'<flowdata type="{kind}" identifier="1">{data}</flowdata>'
    name = "FlowLogDataObject"
    return HEAD[0] + HEAD[1] + f'<{name} type="sandesh">{body}</{name}>'.encode()


def outcome(content):
    """Return how many rows and drops a message became; None: it is none."""
    collector = Collector()
    hello = ClientHello("h1", "agent", "Compute", "0", pid=1)
    collector.session_up(hello, 0.0, address="192.0.2.1", protocol="sandesh")
    with contextlib.suppress(DecodeError):
        message = decode_message(content)
        collector.receive(message.header.generator, message, len(content), 0.0, wall_us=NOW_US)
        return len(collector.sessions), sum(collector.dropped.values())
    return None


@given(st.lists(FIELDS, max_size=3), st.booleans())
def test_whatever_flows_say_is_rows_or_a_counted_drop(flows, is_list):
    found = outcome(frame(flows, is_list=is_list))

    event(str(found))
    assert found in {None, (len(flows), 0), (0, 1)}


@given(st.binary(max_size=120))
def test_any_bytes_in_the_place_of_flows_are_none_or_a_counted_drop(noise):
    content = HEAD[0] + HEAD[1] + b'<FlowLogDataObject type="sandesh">' + noise
    assert outcome(content + b"</FlowLogDataObject>") in {None, (0, 1)}
