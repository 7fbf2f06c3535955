"""IPFIX and NetFlow 9 as RFC 7011 and RFC 3954 lay them out: templates, options, lengths."""

from __future__ import annotations

import struct

import pytest

from skytrail.wire.errors import DecodeError
from skytrail.wire.ipfix import Templates, decode_message
from skytrail.wire.ipfix.templates import LIFE_S, TEMPLATES_COUNT_MAX

FLOW = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 4)]
VALUES = bytes([192, 0, 2, 1, 192, 0, 2, 2]) + struct.pack("!HHBI", 5000, 6635, 17, 700)


def a_set(number, body):
    return struct.pack("!HH", number, 4 + len(body)) + body


def template(number, fields):
    return struct.pack("!HH", number, len(fields)) + b"".join(
        struct.pack("!HH", *each[:2]) + b"".join(struct.pack("!I", extra) for extra in each[2:])
        for each in fields
    )


def ipfix(*sets, domain=1):
    body = b"".join(sets)
    return struct.pack("!HHIII", 10, 16 + len(body), 0, 1, domain) + body


def netflow(*sets, domain=1):
    return struct.pack("!HHIIII", 9, len(sets), 0, 0, 1, domain) + b"".join(sets)


@pytest.fixture
def templates():
    return Templates()


@pytest.mark.parametrize(("message", "number"), [(ipfix, 2), (netflow, 0)])
def test_record_is_read_by_the_template_before_it(templates, message, number):
    decode_message(message(a_set(number, template(256, FLOW))), templates, 0.0)

    told = decode_message(message(a_set(256, VALUES * 2 + b"\0\0")), templates, 1.0)

    flow = told.records[0].flow
    assert len(told.records) == 2
    assert (flow.source, flow.destination, flow.protocol) == ("192.0.2.1", "192.0.2.2", 17)
    assert (flow.source_port, flow.destination_port) == (5000, 6635)
    assert (told.records[0].octets_count, told.records[0].sampling_rate) == (700, 1)


def test_templates_count_for_their_domain_and_their_time_only(templates):
    decode_message(ipfix(a_set(2, template(256, FLOW))), templates, 0.0)

    def untold(now, domain=1):
        return decode_message(ipfix(a_set(256, VALUES), domain=domain), templates, now).untold_count

    assert (untold(0.0, domain=2), untold(LIFE_S), untold(LIFE_S + 1)) == (1, 0, 1)


def test_template_that_is_withdrawn_counts_no_more(templates):
    decode_message(ipfix(a_set(2, template(256, FLOW))), templates, 0.0)
    decode_message(ipfix(a_set(2, struct.pack("!HH", 256, 0))), templates, 0.0)

    assert decode_message(ipfix(a_set(256, VALUES)), templates, 0.0).untold_count == 1


def test_values_of_variable_length_and_of_enterprises_are_stepped_over(templates):
    fields = [(8, 4), (0x8001, 0xFFFF, 9), (82, 0xFFFF), (12, 4)]
    body = bytes([192, 0, 2, 1]) + b"\x03abc" + b"\xff\x01\x00" + bytes(256) + bytes([192, 0, 2, 2])
    message = ipfix(a_set(2, template(300, fields)), a_set(300, body))

    (record,) = decode_message(message, templates, 0.0).records

    assert (record.flow.source, record.flow.destination) == ("192.0.2.1", "192.0.2.2")


def test_sampling_rate_is_of_the_sampler_that_the_record_names(templates):
    options = struct.pack("!HHH", 400, 3, 1) + b"".join(
        struct.pack("!HH", *each) for each in [(302, 4), (305, 4), (306, 4)]
    )
    rates = struct.pack("!IIIIII", 0, 1, 99, 7, 2, 1998)
    flow = [*FLOW, (302, 1)]
    message = ipfix(
        a_set(3, options), a_set(400, rates), a_set(2, template(256, flow)),
        a_set(256, VALUES + b"\x07" + VALUES + b"\x05"),
    )  # fmt: skip

    told = decode_message(message, templates, 0.0)

    assert [each.sampling_rate for each in told.records] == [1000, 100]
    assert templates.rate(1, 7) == 1000


def test_options_of_netflow_9_tell_the_rate_of_the_domain(templates):
    options = struct.pack("!HHH", 400, 4, 4) + struct.pack("!HHHH", 1, 4, 34, 4)
    decode_message(
        netflow(a_set(1, options), a_set(400, struct.pack("!II", 5, 64))), templates, 0.0
    )

    told = decode_message(
        netflow(a_set(0, template(256, FLOW)), a_set(256, VALUES)), templates, 0.0
    )

    assert told.records[0].sampling_rate == 64


def test_templates_of_one_exporter_are_bounded(templates):
    for number in range(TEMPLATES_COUNT_MAX + 3):
        told = decode_message(ipfix(a_set(2, template(256 + number, FLOW))), templates, 0.0)

    assert told.refused_count == 1
    assert len(templates) == TEMPLATES_COUNT_MAX


def test_malformed_message_teaches_nothing(templates):
    with pytest.raises(DecodeError):
        decode_message(ipfix(a_set(2, template(256, FLOW)), b"\0\2\0\1"), templates, 0.0)

    assert len(templates) == 0


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0\5", ipfix()[:15], struct.pack("!HHIII", 10, 17, 0, 0, 0), ipfix(b"\0"),
        ipfix(a_set(2, template(255, FLOW))), ipfix(a_set(2, template(256, FLOW)[:-1])),
        ipfix(a_set(2, template(256, [(8, 0)]))), ipfix(a_set(3, struct.pack("!HHHHH", 300, 1, 0, 34, 4))),
        ipfix(a_set(3, struct.pack("!HHHHH", 300, 1, 2, 34, 4))), ipfix(a_set(3, b"\1\0\0\1")),
        ipfix(a_set(2, template(256, [(8, 0xFFFF)])), a_set(256, b"\xff\0")),
        ipfix(a_set(2, template(256, [(8, 0xFFFF)])), a_set(256, b"\x05abc")),
        ipfix(a_set(2, template(256, [(8, 1)])), a_set(256, bytes(5000))),
        netflow(a_set(0, template(256, [(8, 0xFFFF)]))), netflow(b"\1"),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(templates, data):
    with pytest.raises(DecodeError):
        decode_message(data, templates, 0.0)
