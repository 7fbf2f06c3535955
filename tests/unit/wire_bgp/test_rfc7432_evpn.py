"""EVPN routes byte by byte: RFC 7432 section 7, RFC 9136 section 3, RFC 9251 section 9.1."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from skytrail.net import Mac, RouteDistinguisher
from skytrail.testing.bgp import INTERNAL, MANDATORY, mp_reach, update_body
from skytrail.wire.bgp import (
    NO_SEGMENT,
    BgpError,
    BgpFamily,
    EthernetAutoDiscovery,
    EthernetSegment,
    InclusiveMulticast,
    IpPrefixRoute,
    MacIp,
    SelectiveMulticast,
    decode_update,
    encode_nlri,
    route_key,
)

RD = RouteDistinguisher.parse("192.0.2.1:5")
MAC = Mac.parse("02:00:00:00:00:01")
V4 = IPv4Address("10.0.0.1")
V6 = IPv6Address("2001:db8::1")
ZERO6 = IPv6Address(0)
SEGMENT = bytes(range(10))
TAG = b"\0\0\0\x05"
EXAMPLES = [
    (EthernetAutoDiscovery(RD, SEGMENT, 5, 0x110), b"\x01\x19", SEGMENT + TAG + b"\0\1\x10"),
    (
        MacIp(RD, NO_SEGMENT, 5, MAC, None, 0x211),
        b"\x02\x21",
        NO_SEGMENT + TAG + b"\x30" + MAC.packed + b"\0" + b"\0\2\x11",
    ),
    (
        MacIp(RD, NO_SEGMENT, 5, MAC, V4, 6000, 6001),
        b"\x02\x28",
        NO_SEGMENT + TAG + b"\x30" + MAC.packed + b"\x20" + V4.packed + b"\x00\x17\x70\x00\x17\x71",
    ),
    (
        MacIp(RD, NO_SEGMENT, 5, MAC, V6, 0),
        b"\x02\x31",
        NO_SEGMENT + TAG + b"\x30" + MAC.packed + b"\x80" + V6.packed + bytes(3),
    ),
    (InclusiveMulticast(RD, 5, V4), b"\x03\x11", TAG + b"\x20" + V4.packed),
    (InclusiveMulticast(RD, 5, V6), b"\x03\x1d", TAG + b"\x80" + V6.packed),
    (EthernetSegment(RD, SEGMENT, V4), b"\x04\x17", SEGMENT + b"\x20" + V4.packed),
    (
        IpPrefixRoute(RD, NO_SEGMENT, 0, IPv4Network("10.1.0.0/16"), IPv4Address(0), 6001),
        b"\x05\x22",
        NO_SEGMENT + bytes(4) + b"\x10\x0a\1\0\0" + bytes(4) + b"\0\x17\x71",
    ),
    (
        IpPrefixRoute(RD, NO_SEGMENT, 0, IPv6Network("2001:db8::/32"), ZERO6, 0),
        b"\x05\x3a",
        NO_SEGMENT + bytes(4) + b"\x20\x20\1\x0d\xb8" + bytes(12) + bytes(16) + bytes(3),
    ),
    (
        SelectiveMulticast(RD, 5, None, IPv4Address("239.0.0.1"), V4, 2),
        b"\x06\x18",
        TAG + b"\0" + b"\x20\xef\0\0\1" + b"\x20" + V4.packed + b"\2",
    ),
]


def decode(nlri):
    reach = mp_reach(BgpFamily.EVPN, V4.packed, nlri)
    return decode_update(update_body(reach + MANDATORY), INTERNAL)


@pytest.mark.parametrize(("route", "head", "rest"), EXAMPLES)
def test_routes_have_the_bytes_their_rfc_draws(route, head, rest):
    wire = head + RD.packed + rest

    assert encode_nlri(BgpFamily.EVPN, route) == wire
    assert decode(wire).reach[0].nlri == (route,)


@pytest.mark.parametrize(("route", "head", "rest"), EXAMPLES)
def test_a_known_type_of_wrong_length_resets_the_session(route, head, rest):
    value = RD.packed + rest + b"\0"

    with pytest.raises(BgpError) as raised:
        decode(head[:1] + bytes((len(value),)) + value)

    assert (raised.value.code, raised.value.subcode) == (3, 9)


def test_a_prefix_longer_than_its_addresses_resets_the_session():
    wire = encode_nlri(BgpFamily.EVPN, EXAMPLES[7][0])

    with pytest.raises(BgpError):
        decode(wire[:24] + b"\x21" + wire[25:])


def test_several_routes_of_different_types_share_an_update():
    wire = b"".join(head + RD.packed + rest for _, head, rest in EXAMPLES)

    assert decode(wire).reach[0].nlri == tuple(route for route, _, _ in EXAMPLES)


def test_segment_and_labels_are_no_part_of_the_identity_of_a_mac_route():
    """RFC 7432 section 7.2."""
    one = MacIp(RD, NO_SEGMENT, 5, MAC, V4, 1)
    other = MacIp(RD, SEGMENT, 5, MAC, V4, 2, 3)

    assert route_key(one) == route_key(other)
    assert route_key(one) != route_key(MacIp(RD, NO_SEGMENT, 5, MAC, None, 1))


def test_gateway_and_label_are_no_part_of_the_identity_of_a_prefix_route():
    """RFC 9136 section 3.1."""
    prefix = IPv4Network("10.0.0.0/8")

    assert route_key(IpPrefixRoute(RD, NO_SEGMENT, 0, prefix, V4, 1)) == route_key(
        IpPrefixRoute(RD, SEGMENT, 0, prefix, IPv4Address(0), 2)
    )


@pytest.mark.parametrize(
    "route",
    [
        MacIp(RD, b"short", 5, MAC),
        MacIp(RD, NO_SEGMENT, 5, MAC, None, 1 << 24),
        MacIp(RD, NO_SEGMENT, 1 << 32, MAC),
        IpPrefixRoute(RD, NO_SEGMENT, 0, IPv4Network("10.0.0.0/8"), V6),
    ],
)
def test_values_no_route_can_hold_are_refused(route):
    with pytest.raises(ValueError, match=r"."):
        encode_nlri(BgpFamily.EVPN, route)
