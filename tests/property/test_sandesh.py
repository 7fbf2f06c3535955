"""Sandesh and the telemetry stream over all inputs: round trips, arbitrary bytes."""

from __future__ import annotations

import contextlib

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.telemetry import change_of
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import (
    Field,
    SandeshFramer,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    Struct,
    StructMap,
    decode_message,
    encode_message,
    frame_of,
    plain,
)
from skytrail.wire.sandesh.message import INTEGER_TYPES
from skytrail.wire.telemetry import TelemetryFramer, Uve, decode, encode

TEXT = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x2FFF, exclude_categories=["Cs"]), max_size=12
)
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


def _integers(kind):
    low, high = INTEGER_TYPES[kind]
    return st.builds(Field, st.just(kind), st.integers(low, high))


SCALAR = st.one_of(
    st.builds(Field, st.sampled_from(["string", "ipaddr", "uuid_t"]), TEXT),
    st.builds(Field, st.just("bool"), st.booleans()),
    st.builds(Field, st.just("double"), st.floats(allow_nan=False, allow_infinity=False)),
    *map(_integers, sorted(INTEGER_TYPES)),
)


def _structs(inner):
    return st.builds(Struct, NAME, st.dictionaries(NAME, inner, max_size=3))


def _struct_maps(kind, values):
    entries = st.lists(
        st.tuples(_structs(SCALAR), values),
        max_size=3,
        unique_by=lambda entry: repr(plain(entry[0])),
    )
    return st.builds(Field, st.just("map"), st.builds(StructMap, entries.map(tuple)), st.just(kind))


FIELD = st.recursive(
    SCALAR,
    lambda inner: st.one_of(
        st.builds(
            Field,
            st.just("struct"),
            _structs(inner),
        ),
        _struct_maps("string", TEXT),
        _struct_maps("struct", _structs(inner)),
        st.builds(Field, st.just("list"), st.lists(TEXT, max_size=3), st.just("string")),
        st.builds(
            Field,
            st.just("map"),
            st.dictionaries(TEXT, st.integers(0, 9), max_size=3),
            st.just("u64"),
            st.dictionaries(st.sampled_from(["aggtype", "tags"]), TEXT, max_size=2),
        ),
    ),
    max_leaves=8,
)


@given(NAME, st.dictionaries(NAME, FIELD, max_size=4), TEXT.filter(bool))
def test_message_survives_the_wire(name, fields, source):
    message = SandeshMessage(SandeshHeader(source, "m", type=SandeshType.UVE), name, fields)

    framer = SandeshFramer()
    framer.feed(frame_of(encode_message(message)))
    content = framer.next_frame()

    assert content is not None
    assert decode_message(content) == message


@given(st.binary(max_size=200), st.binary(max_size=80))
def test_any_bytes_are_a_message_or_a_decode_error(noise, tail):
    for content in (noise, b"<SandeshHeader>" + noise + b"</SandeshHeader>" + tail):
        with contextlib.suppress(DecodeError):
            decode_message(content)
    framer = SandeshFramer()
    framer.feed(noise)
    with contextlib.suppress(DecodeError):
        framer.next_frame()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, JSON, max_size=4), st.dictionaries(TEXT, TEXT, max_size=2))
def test_whatever_a_process_says_is_a_change_or_a_decode_error(fields, rules):
    uve = Uve(table="T", key="k", struct="S", fields=fields, rules=rules)

    with contextlib.suppress(DecodeError):
        change_of("a:b:c:d", uve)


@given(st.binary(max_size=120), JSON)
def test_any_frame_of_telemetry_is_a_message_or_a_decode_error(noise, value):
    for content in (noise, msgspec.msgpack.encode(value)):
        with contextlib.suppress(DecodeError):
            decode(content)
    framer = TelemetryFramer()
    framer.feed(noise)
    with contextlib.suppress(DecodeError):
        framer.next_frame()


@given(st.integers(1, 40))
def test_telemetry_is_found_however_it_is_split(step):
    sent = [Uve(table="T", key=str(each), struct="S", fields={"x": each}) for each in range(3)]
    stream = b"".join(map(encode, sent))
    framer, found = TelemetryFramer(), []

    for start in range(0, len(stream), step):
        framer.feed(stream[start : start + step])
        while (content := framer.next_frame()) is not None:
            found.append(decode(content))

    assert found == sent
