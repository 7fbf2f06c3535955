"""AS numbers of four bytes between old and new speakers (RFC 6793), and extended messages."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from skytrail.testing.bgp import (
    AS_PATH,
    EXTERNAL,
    LOCAL_PREF,
    NEXT_HOP,
    ORIGIN,
    TEN_SLASH_8,
    attribute,
    messages_of,
    update_body,
)
from skytrail.wire.bgp import (
    Aggregator,
    AsSegment,
    AsSegmentKind,
    Attributes,
    BgpFamily,
    Open,
    decode_open,
    decode_update,
    encode_attributes,
    encode_open,
    encode_update,
)

OLD = replace(EXTERNAL, four_byte_as=False)
BIG = 4_200_000_001
HOP = IPv4Address("192.0.2.1")


def sequence(*numbers):
    return AsSegment(AsSegmentKind.SEQUENCE, numbers)


def two_byte_path(*numbers):
    chunk = b"".join(number.to_bytes(2) for number in numbers)
    return attribute(0x40, 2, bytes((2, len(numbers))) + chunk)


def as4_path(*numbers, kind=2):
    chunk = b"".join(number.to_bytes(4) for number in numbers)
    return attribute(0xC0, 17, bytes((kind, len(numbers))) + chunk)


def read_path(*attributes):
    body = update_body(ORIGIN + b"".join(attributes) + NEXT_HOP, TEN_SLASH_8)
    return decode_update(body, OLD)


def test_an_open_shows_as_trans_where_two_bytes_do_not_do():
    message = Open(BIG, 90, HOP)

    ((_, body),) = messages_of(encode_open(message))

    assert body[1:3] == (23456).to_bytes(2)
    assert decode_open(body).asn == BIG


def test_towards_an_old_speaker_big_numbers_become_as_trans_beside_as4_path():
    attributes = Attributes(as_path=(sequence(64512, BIG),))

    encoded = encode_attributes(attributes, OLD)

    assert two_byte_path(64512, 23456) in encoded
    assert as4_path(64512, BIG) in encoded


def test_without_big_numbers_there_is_no_as4_path():
    encoded = encode_attributes(Attributes(as_path=(sequence(1, 2),)), OLD)

    assert encoded == attribute(0x40, 1, b"\2") + two_byte_path(1, 2)


def test_towards_a_new_speaker_there_never_is_an_as4_path():
    encoded = encode_attributes(Attributes(as_path=(sequence(BIG),)), EXTERNAL)

    assert encoded.endswith(b"\x40\x02\x06\x02\x01" + BIG.to_bytes(4))


def test_confederation_segments_stay_out_of_as4_path():
    """Section 4.2.2."""
    confederation = AsSegment(AsSegmentKind.CONFED_SEQUENCE, (BIG,))
    attributes = Attributes(as_path=(confederation, sequence(BIG)))

    assert as4_path(BIG) in encode_attributes(attributes, OLD)


def test_the_part_that_as4_path_does_not_cover_comes_from_as_path():
    """Section 4.2.3: old speakers on the way put their numbers in front of AS_PATH only."""
    update = read_path(two_byte_path(7, 64512, 23456), as4_path(64512, BIG))

    assert update.attributes.as_path == (sequence(7, 64512, BIG),)


def test_an_as4_path_longer_than_the_path_is_ignored():
    """Section 4.2.3: somebody aggregated without knowing it."""
    update = read_path(two_byte_path(7), as4_path(64512, BIG))

    assert update.attributes.as_path == (sequence(7),)


def test_as4_attributes_are_ignored_when_an_old_speaker_made_the_aggregator_anew():
    """Section 4.2.3."""
    old_aggregator = attribute(0xC0, 7, b"\0\7" + HOP.packed)
    as4_aggregator = attribute(0xC0, 18, BIG.to_bytes(4) + HOP.packed)

    update = read_path(two_byte_path(7, 23456), old_aggregator, as4_path(7, BIG), as4_aggregator)

    assert update.attributes.aggregator == Aggregator(7, HOP)
    assert update.attributes.as_path == (sequence(7, 23456),)


def test_an_aggregator_of_four_bytes_survives_an_old_speaker():
    attributes = Attributes(aggregator=Aggregator(BIG, HOP))
    (message,) = encode_update(BgpFamily.INET, HOP, attributes, [IPv4Network("10.0.0.0/8")], OLD)
    ((_, body),) = messages_of(message)

    assert decode_update(body, OLD).attributes.aggregator == Aggregator(BIG, HOP)


def test_as4_attributes_from_a_new_speaker_are_ignored():
    """Section 4.1."""
    body = update_body(ORIGIN + AS_PATH + NEXT_HOP + as4_path(BIG), TEN_SLASH_8)

    update = decode_update(body, EXTERNAL)

    assert (update.attributes.as_path, update.problems) == ((), ())


@pytest.mark.parametrize(
    "bad", [attribute(0xC0, 17, b"\x02\x02\0\0\0\1"), attribute(0xC0, 18, b"\0" * 6)]
)
def test_malformed_as4_attributes_are_discarded(bad):
    """Section 6."""
    update = read_path(two_byte_path(7), bad)

    assert update.attributes.as_path == (sequence(7),)
    assert len(update.reach) == 1
    assert "discarded" in update.problems[0]


def test_more_than_255_numbers_are_divided_into_segments():
    numbers = tuple(range(1, 301))
    (message,) = encode_update(
        BgpFamily.INET,
        HOP,
        Attributes(as_path=(sequence(*numbers),)),
        [IPv4Network("10.0.0.0/8")],
        EXTERNAL,
    )
    ((_, body),) = messages_of(message)

    path = decode_update(body, EXTERNAL).attributes.as_path

    assert [len(segment.numbers) for segment in path] == [255, 45]
    assert sum((segment.numbers for segment in path), ()) == numbers


def test_external_peers_are_told_nothing_that_is_internal():
    """RFC 4271 section 5.1.5, RFC 4456 section 8."""
    attributes = Attributes(local_preference=200, originator=HOP, cluster_list=(HOP,), origin=0)

    assert encode_attributes(attributes, EXTERNAL) == ORIGIN + AS_PATH


def test_internal_peers_are_always_told_a_local_preference():
    """RFC 4271 section 5.1.5."""
    internal = replace(EXTERNAL, peer_as=EXTERNAL.local_as)

    assert encode_attributes(Attributes(origin=0), internal) == ORIGIN + AS_PATH + LOCAL_PREF


def test_extended_messages_hold_what_4096_bytes_do_not():
    """RFC 8654 section 4."""
    routes = [IPv4Network((number << 8, 24)) for number in range(5000)]
    extended = replace(EXTERNAL, message_bytes_max=65535)

    short = encode_update(BgpFamily.INET, HOP, Attributes(), routes, EXTERNAL)
    long = encode_update(BgpFamily.INET, HOP, Attributes(), routes, extended)

    assert (len(short), len(long)) == (5, 1)
    assert max(map(len, short)) <= 4096


@pytest.mark.parametrize("asn", [0, 1 << 32])
def test_what_is_no_as_number_is_refused(asn):
    with pytest.raises(ValueError, match="AS number"):
        encode_attributes(Attributes(as_path=(sequence(asn),)), EXTERNAL)
