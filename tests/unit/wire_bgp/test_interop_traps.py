"""Traps met with real peers (FRR 8.4, BIRD 2.0, GoBGP 3.10), each held by a test."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from skytrail.net import Mac, RouteDistinguisher
from skytrail.testing.bgp import (
    INTERNAL,
    MANDATORY,
    attribute,
    messages_of,
    mp_reach,
    mp_unreach,
    update_body,
)
from skytrail.wire.bgp import (
    NO_SEGMENT,
    AttributeCache,
    Attributes,
    BgpError,
    BgpFamily,
    MacIp,
    Open,
    PmsiTunnel,
    RouteTargetNlri,
    TunnelType,
    VpnNlri,
    decode_open,
    decode_update,
    encode_attributes,
    encode_nlri,
    encode_open,
    encode_update,
)

HOP = IPv4Address("192.0.2.1")
VPN_HOP = bytes(8) + HOP.packed
RD = RouteDistinguisher.parse("64512:1")
HOST = IPv4Network("10.1.1.3/32")


def decode(attributes, negotiated=INTERNAL, cache=None):
    return decode_update(update_body(attributes), negotiated, cache)


def vpn_route(label):
    return b"\x78" + label + RD.packed + HOST.network_address.packed


def test_a_vpnv4_host_route_counts_120_bits():
    nlri = VpnNlri(RD, HOST, (17,))

    assert encode_nlri(BgpFamily.INET_VPN, nlri)[0] == 120


def test_a_vpnv4_route_of_wrong_length_resets_the_session_instead_of_losing_the_family():
    route = b"\x70" + vpn_route(b"\0\1\x11")[1:]

    with pytest.raises(BgpError) as raised:
        decode(mp_reach(BgpFamily.INET_VPN, VPN_HOP, route) + MANDATORY)

    assert (raised.value.code, raised.value.subcode) == (3, 9)


def test_no_attribute_of_length_zero_is_ever_written():
    encoded = encode_attributes(Attributes(atomic_aggregate=True), INTERNAL)

    position, empty = 0, []
    while position < len(encoded):
        if encoded[position + 2] == 0:
            empty.append(encoded[position + 1])
        position += 3 + encoded[position + 2]
    # An empty AS_PATH and ATOMIC_AGGREGATE are the two that have nothing to say by definition.
    assert empty == [2, 6]


def test_empty_extended_communities_from_a_peer_withdraw_and_do_not_reset():
    route = vpn_route(b"\0\1\x11")
    bad = attribute(0xC0, 16, b"")

    update = decode(mp_reach(BgpFamily.INET_VPN, VPN_HOP, route) + MANDATORY + bad)

    assert update.withdrawn[0].nlri == (VpnNlri(RD, HOST),)


def test_route_target_memberships_need_no_extended_communities():
    (message,) = encode_update(
        BgpFamily.ROUTE_TARGET, HOP, Attributes(), [RouteTargetNlri()], INTERNAL
    )
    ((_, body),) = messages_of(message)

    assert decode_update(body, INTERNAL).attributes.extended_communities == ()


def test_every_send_is_gated_on_the_negotiated_families():
    frr = replace(INTERNAL, families=frozenset((BgpFamily.INET_VPN, BgpFamily.EVPN)))

    with pytest.raises(ValueError, match="not negotiated"):
        encode_update(BgpFamily.ROUTE_TARGET, HOP, Attributes(), [RouteTargetNlri()], frr)


@pytest.mark.parametrize("safi", [0, 66, 133, 255])
def test_an_unknown_safi_is_ignored_and_the_session_goes_on(safi):
    value = b"\0\1" + bytes((safi,)) + b"\x04" + HOP.packed + b"\0" + b"\xff\xff\xff"

    update = decode(attribute(0x80, 14, value) + MANDATORY)

    assert (update.reach, update.withdrawn) == ((), ())
    assert f"SAFI {safi}" in update.problems[0]


def test_an_unknown_safi_beside_a_bad_attribute_still_resets_nothing():
    value = b"\0\1\x85\0\0\x05\1\x18\x0a\1\1"

    update = decode(attribute(0x80, 14, value) + MANDATORY + attribute(0xC0, 8, b"\0"))

    assert (update.reach, update.withdrawn) == ((), ())


def test_the_default_membership_is_read_and_written():
    reach = mp_reach(BgpFamily.ROUTE_TARGET, HOP.packed, b"\0")

    (nlri,) = decode(reach + MANDATORY).reach[0].nlri

    assert nlri == RouteTargetNlri(0, bytes(8), 0)
    assert encode_nlri(BgpFamily.ROUTE_TARGET, nlri) == b"\0"


def test_the_bottom_of_the_stack_is_marked_when_we_write():
    assert encode_nlri(BgpFamily.INET_VPN, VpnNlri(RD, HOST, (17,)))[1:4] == b"\0\1\x11"


@pytest.mark.parametrize("label", ["000001", "000031", "000000", "800000", "000110", "fffff1"])
def test_labels_are_accepted_whatever_their_last_bit_and_value(label):
    wire = bytes.fromhex(label)

    (nlri,) = (
        decode(mp_reach(BgpFamily.INET_VPN, VPN_HOP, vpn_route(wire)) + MANDATORY).reach[0].nlri
    )

    assert nlri == VpnNlri(RD, HOST, (int.from_bytes(wire) >> 4,))


@pytest.mark.parametrize("label", ["800000", "000000", "000111", "000110"])
def test_the_label_of_a_withdrawal_is_ignored(label):
    update = decode(mp_unreach(BgpFamily.INET_VPN, vpn_route(bytes.fromhex(label))))

    assert update.withdrawn[0].nlri == (VpnNlri(RD, HOST),)


def test_an_evpn_label_is_the_raw_field_so_that_a_vni_and_an_mpls_label_both_fit():
    vni = MacIp(RD, NO_SEGMENT, 0, Mac(bytes(6)), None, 6001)
    mpls = MacIp(RD, NO_SEGMENT, 0, Mac(bytes(6)), None, 33 << 4 | 1)

    assert encode_nlri(BgpFamily.EVPN, vni)[-3:] == b"\0\x17\x71"
    assert encode_nlri(BgpFamily.EVPN, mpls)[-3:] == b"\0\2\x11"


def test_the_label_of_a_tunnel_is_the_raw_field_too():
    tunnel = PmsiTunnel(0, TunnelType.INGRESS_REPLICATION, 6001, HOP.packed)

    encoded = encode_attributes(Attributes(pmsi=tunnel), INTERNAL)

    assert attribute(0xC0, 22, b"\0\x06\0\x17\x71" + HOP.packed) in encoded
    assert tunnel.address == HOP


def test_unknown_extended_communities_pass_in_order():
    values = tuple(bytes((kind,)) + bytes(7) for kind in (0x80, 0x03, 0xFE))
    encoded = encode_attributes(Attributes(extended_communities=values), INTERNAL)

    assert attribute(0xC0, 16, b"".join(values)) in encoded


def test_a_vpnv6_next_hop_may_be_mapped_or_real():
    route = b"\x88\0\1\x11" + RD.packed + b"\x20\1\x0d\xb8\0\1"
    mapped, real = IPv6Address("::ffff:192.0.2.1"), IPv6Address("2001:db8::9")

    hops = [
        decode(mp_reach(BgpFamily.INET6_VPN, bytes(8) + hop.packed, route) + MANDATORY)
        .reach[0]
        .next_hop
        for hop in (mapped, real)
    ]

    assert hops == [HOP, real]
    assert VpnNlri(RD, IPv6Network("2001:db8:1::/48")).prefix.version == 6


def test_one_hundred_labels_share_one_update():
    routes = [VpnNlri(RD, IPv4Network((number, 32)), (16 + number,)) for number in range(100)]

    messages = encode_update(BgpFamily.INET_VPN, HOP, Attributes(), routes, INTERNAL)

    assert len(messages) == 1


def test_one_route_per_update_reads_its_attributes_once():
    cache = AttributeCache()
    for number in range(50):
        route = vpn_route((number << 4 | 1).to_bytes(3))
        decode(mp_reach(BgpFamily.INET_VPN, VPN_HOP, route) + MANDATORY, cache=cache)

    assert (cache.misses, cache.hits) == (1, 49)


def test_routes_behind_the_attributes_are_read_as_well_as_those_in_front():
    reach = mp_reach(BgpFamily.INET_VPN, VPN_HOP, vpn_route(b"\0\1\x11"))
    cache = AttributeCache()

    for attributes in (reach + MANDATORY, MANDATORY + reach, MANDATORY[:4] + reach + MANDATORY[4:]):
        assert decode(attributes, cache=cache).reach[0].nlri == (VpnNlri(RD, HOST, (17,)),)
    assert (cache.misses, cache.hits) == (1, 2)


def test_capabilities_of_the_peers_met_are_read_or_kept():
    """Add-path 69, enhanced refresh 70, names 73, extended message 6, refresh of old 128."""
    capabilities = bytes.fromhex(
        "010400010001"  # multiprotocol: IPv4 unicast
        "0200"  # route refresh
        "8000"  # route refresh as it was before its RFC
        "450400010103"  # add-path
        "4600"  # enhanced refresh
        "490402616200"  # names
        "0600"  # extended message
        "0506000100010002"  # extended next hop: IPv4 unicast over IPv6
    )
    size = len(capabilities)
    body = b"\x04\xfc\x00\x00\x5a\xc0\0\2\2" + bytes((size + 2, 2, size)) + capabilities

    read = decode_open(body)

    assert (read.enhanced_refresh, read.extended_message, read.host_name) == (True, True, "ab")
    assert read.extended_next_hop == (BgpFamily.INET,)
    assert {raw.code for raw in read.unknown} == {69, 128}


def test_we_offer_ipv4_unicast_only_where_it_is_configured():
    ((_, body),) = messages_of(encode_open(Open(64512, 90, HOP, families=(BgpFamily.INET_VPN,))))

    assert decode_open(body).families == (BgpFamily.INET_VPN,)
