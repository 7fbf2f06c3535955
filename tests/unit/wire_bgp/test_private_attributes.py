"""Attributes 241 to 243 byte by byte, as control nodes of mixed clusters exchange them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from skytrail.testing.bgp import INTERNAL, MANDATORY, TEN_SLASH_8, attribute, update_body
from skytrail.wire.bgp import (
    Attributes,
    DiscoveryEdge,
    ForwardingEdge,
    decode_update,
    encode_attributes,
)
from skytrail.wire.bgp.communities import OriginVn

FIRST, SECOND = IPv4Address("172.16.0.7"), IPv4Address("172.16.0.8")
FIRST6, SECOND6 = IPv6Address("2001:db8::7"), IPv6Address("2001:db8::8")
EXAMPLES = [
    (
        # Length and address, length and label ranges of two times four bytes.
        Attributes(
            edge_discovery=(
                DiscoveryEdge(FIRST, ((1000, 1999),)),
                DiscoveryEdge(SECOND, ((7, 7), (9, 10))),
            )
        ),
        241,
        "04ac100007 08 000003e8000007cf 04ac100008 10 0000000700000007 000000090000000a",
    ),
    (
        # One length for both addresses.
        Attributes(edge_forwarding=(ForwardingEdge(FIRST, 1000, SECOND, 2000),)),
        242,
        "04 ac100007 000003e8 ac100008 000007d0",
    ),
    (
        Attributes(edge_discovery=(DiscoveryEdge(FIRST6, ((1000, 1999),)),)),
        241,
        "10 20010db8000000000000000000000007 08 000003e8000007cf",
    ),
    (
        Attributes(
            edge_forwarding=(
                ForwardingEdge(FIRST6, 1000, SECOND6, 2000),
                ForwardingEdge(FIRST, 1, SECOND, 2),
            )
        ),
        242,
        (
            "10 20010db8000000000000000000000007 000003e8 20010db8000000000000000000000008 000007d0"
            "04 ac100007 00000001 ac100008 00000002"
        ),
    ),
    (
        Attributes(origin_vn_path=tuple(OriginVn(64512, each).packed for each in (7, 8))),
        243,
        "8071fc0000000007 8071fc0000000008",
    ),
]


@pytest.mark.parametrize(("attributes", "code", "wire"), EXAMPLES)
def test_private_attributes_have_the_bytes_others_expect(attributes, code, wire):
    value = bytes.fromhex(wire)
    encoded = attribute(0xC0, code, value)

    assert encode_attributes(attributes, INTERNAL).endswith(encoded)
    read = decode_update(update_body(MANDATORY + encoded, TEN_SLASH_8), INTERNAL)
    assert read.problems == ()
    for name in ("edge_discovery", "edge_forwarding", "origin_vn_path"):
        assert getattr(read.attributes, name) == getattr(attributes, name)


@pytest.mark.parametrize(("code", "wire"), [(code, wire) for _, code, wire in EXAMPLES])
def test_private_attributes_that_are_cut_are_discarded_and_nothing_else_is(code, wire):
    cut = attribute(0xC0, code, bytes.fromhex(wire)[:-1])

    update = decode_update(update_body(MANDATORY + cut, TEN_SLASH_8), INTERNAL)

    assert len(update.reach) == 1
    assert "attribute discarded" in update.problems[0]
    assert (
        update.attributes == decode_update(update_body(MANDATORY, TEN_SLASH_8), INTERNAL).attributes
    )


@pytest.mark.parametrize(
    ("code", "wire"),
    [
        (241, "06 ac1000070000 08 000003e8000007cf"),
        (241, "00 08 000003e8000007cf"),
        (241, "10 20010db80000"),
        (242, "06 ac1000070000 000003e8 ac1000080000 000007d0"),
        (242, "10 ac100007 000003e8 ac100008 000007d0"),
    ],
)
def test_edges_to_what_is_no_address_are_discarded(code, wire):
    bad = attribute(0xC0, code, bytes.fromhex(wire))

    update = decode_update(update_body(MANDATORY + bad, TEN_SLASH_8), INTERNAL)

    assert len(update.reach) == 1
    assert "attribute discarded" in update.problems[0]


def test_an_edge_between_two_ip_versions_is_not_written():
    mixed = Attributes(edge_forwarding=(ForwardingEdge(FIRST, 1, SECOND6, 2),))

    with pytest.raises(ValueError, match="joins two IP versions"):
        encode_attributes(mixed, INTERNAL)
