"""sFlow and IPFIX over all inputs: records survive, arbitrary octets raise one error, state stays bounded."""

from __future__ import annotations

import contextlib
import struct

from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.collector import Collector
from skytrail.analytics.devices import Devices
from skytrail.analytics.exporters import Exporters
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame.beginning import flow_of_frame, flow_of_packet
from skytrail.wire.ipfix import Templates, decode_message
from skytrail.wire.ipfix.templates import TEMPLATES_COUNT_MAX
from skytrail.wire.sflow import decode_datagram

PIECE = st.one_of(
    st.binary(max_size=20),
    st.builds(
        lambda word: struct.pack("!I", word), st.integers(0, 16) | st.integers(0, 0xFFFFFFFF)
    ),
    st.builds(lambda *pair: struct.pack("!HH", *pair), st.integers(0, 300), st.integers(0, 40)),
)
BODY = st.lists(PIECE, max_size=12).map(b"".join)
SFLOW = st.builds(lambda body: struct.pack("!III", 5, 1, 0) + body, BODY)
IPFIX = st.builds(
    lambda body: struct.pack("!HHIII", 10, 16 + len(body), 0, 0, 1) + body, BODY
) | st.builds(lambda body: struct.pack("!HHIIII", 9, 1, 0, 0, 0, 1) + body, BODY)


@given(st.binary(max_size=120), st.sampled_from(["", "0800", "86dd", "8847", "8100000a0800"]))
def test_any_beginning_of_a_frame_tells_something(data, kind):
    flow_of_frame(bytes(12) + bytes.fromhex(kind) + data)
    flow_of_packet(data)


@given(SFLOW | st.binary(max_size=80))
def test_any_datagram_is_read_or_refused(data):
    with contextlib.suppress(DecodeError):
        decode_datagram(data)


@given(st.lists(IPFIX | st.binary(max_size=80), max_size=4))
def test_any_messages_are_read_or_refused_and_templates_stay_bounded(messages):
    templates = Templates()
    for data in messages:
        before = len(templates)
        try:
            decode_message(data, templates, 0.0)
        except DecodeError:
            assert len(templates) == before

    assert len(templates) <= TEMPLATES_COUNT_MAX


@given(st.lists(st.tuples(st.sampled_from(["sflow", "ipfix"]), SFLOW | IPFIX), max_size=4))
def test_whatever_devices_send_is_kept_or_counted(sent):
    collector = Collector()
    devices = Devices(collector, Exporters())
    for protocol, data in sent:
        exporter = devices.exporters.admit(protocol, "127.0.0.1", len(data), 0.0)
        getattr(devices, protocol)(exporter, 1, data, 0)
        assert exporter.records_count + sum(exporter.dropped.values()) >= 0

    kept = sum(each.records_count for each in devices.exporters)
    assert kept == len(collector.statistics.take())


@given(
    st.lists(
        st.tuples(
            st.binary(min_size=4, max_size=4), st.integers(0, 65535), st.integers(0, 2**40 - 1)
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(5, 8),
)
def test_records_survive_the_wire_with_counters_of_any_length(flows, size):
    fields = struct.pack("!HHHHHHHH", 256, 3, 8, 4, 7, 2, 1, size)
    body = b"".join(
        address + struct.pack("!H", port) + octets.to_bytes(size) for address, port, octets in flows
    )
    sets = struct.pack("!HH", 2, 20) + fields + struct.pack("!HH", 256, 4 + len(body)) + body
    message = struct.pack("!HHIII", 10, 16 + len(sets), 0, 0, 1) + sets

    told = decode_message(message, Templates(), 0.0)

    assert [(each.flow.source_port, each.octets_count) for each in told.records] == [
        (port, octets) for _, port, octets in flows
    ]
