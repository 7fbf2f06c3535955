"""Families, next hops and routes on the wire: RFC 4760, 4364, 4659, 4684, 8277, 8950."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from skytrail.net import RouteDistinguisher, RouteTarget
from skytrail.testing.bgp import (
    AS_PATH,
    INTERNAL,
    LOCAL_PREF,
    MANDATORY,
    ORIGIN,
    messages_of,
    mp_reach,
    mp_unreach,
    update_body,
)
from skytrail.wire.bgp import (
    Attributes,
    AttributesTooLong,
    BgpError,
    BgpFamily,
    ErmvpnNlri,
    LabelledNlri,
    RouteTargetNlri,
    Unreach,
    VpnNlri,
    decode_update,
    encode_end_of_rib,
    encode_nlri,
    encode_update,
    encode_withdraw,
    route_key,
    vpn_from_key,
    vpn_key,
)

HOP = IPv4Address("192.0.2.1")
HOP6 = IPv6Address("2001:db8::1")
DISTINGUISHER = RouteDistinguisher.parse("192.0.2.1:5")
EXTENDED = replace(INTERNAL, extended_next_hop=frozenset(BgpFamily))


def body_of(message):
    ((_, body),) = messages_of(message)
    return body


def next_hop_bytes(family, next_hop, nlri, negotiated=INTERNAL):
    (message,) = encode_update(family, next_hop, Attributes(), [nlri], negotiated)
    attributes = body_of(message)[4:]
    assert attributes[:2] == b"\x80\x0e"
    return attributes[7 : 7 + attributes[6]]


@pytest.mark.parametrize(
    ("family", "nlri", "next_hop", "expected"),
    [
        (
            BgpFamily.INET_VPN,
            VpnNlri(DISTINGUISHER, IPv4Network("10.1.1.0/24"), (17,)),
            HOP,
            bytes(8) + HOP.packed,
        ),
        (
            BgpFamily.INET6_VPN,
            VpnNlri(DISTINGUISHER, IPv6Network("2001:db8:1::/48"), (17,)),
            HOP,
            bytes(18) + b"\xff\xff" + HOP.packed,
        ),
        (
            BgpFamily.INET6_VPN,
            VpnNlri(DISTINGUISHER, IPv6Network("2001:db8:1::/48"), (17,)),
            HOP6,
            bytes(8) + HOP6.packed,
        ),
        (BgpFamily.ROUTE_TARGET, RouteTargetNlri(), HOP, HOP.packed),
        (BgpFamily.ROUTE_TARGET, RouteTargetNlri(), HOP6, HOP6.packed),
        (
            BgpFamily.ERMVPN,
            ErmvpnNlri(1, DISTINGUISHER, HOP, IPv4Address(0), IPv4Address("255.255.255.255")),
            HOP,
            HOP.packed,
        ),
        (BgpFamily.INET6, IPv6Network("2001:db8::/32"), HOP6, HOP6.packed),
        (
            BgpFamily.INET6_LABELLED,
            LabelledNlri(IPv6Network("2001:db8::/32"), (2,)),
            HOP,
            bytes(10) + b"\xff\xff" + HOP.packed,
        ),
    ],
)
def test_next_hops_have_the_form_their_family_wants(family, nlri, next_hop, expected):
    assert next_hop_bytes(family, next_hop, nlri) == expected


def test_ipv4_unicast_travels_in_the_classic_fields():
    (message,) = encode_update(
        BgpFamily.INET, HOP, Attributes(origin=0), [IPv4Network("10.0.0.0/8")], INTERNAL
    )

    assert body_of(message) == update_body(MANDATORY, b"\x08\x0a")


def test_mp_reach_comes_first_so_that_no_error_hides_the_routes():
    """RFC 7606 section 5.1."""
    route = IPv6Network("2001:db8::/32")
    (message,) = encode_update(BgpFamily.INET6, HOP6, Attributes(origin=0), [route], INTERNAL)

    assert body_of(message)[5] == 14
    assert body_of(message).endswith(ORIGIN + AS_PATH + LOCAL_PREF)


def test_the_global_next_hop_is_kept_where_a_link_local_one_comes_with_it():
    """RFC 2545 section 3."""
    both = HOP6.packed + IPv6Address("fe80::1").packed
    reach = mp_reach(BgpFamily.INET6, both, b"\x20\x20\x01\x0d\xb8")

    update = decode_update(update_body(reach + MANDATORY), INTERNAL)

    assert update.reach[0].next_hop == HOP6


@pytest.mark.parametrize(
    ("family", "nlri"),
    [
        (BgpFamily.INET, IPv4Network("10.0.0.0/8")),
        (BgpFamily.INET_LABELLED, LabelledNlri(IPv4Network("10.0.0.0/8"), (30,))),
        (BgpFamily.INET_VPN, VpnNlri(DISTINGUISHER, IPv4Network("10.0.0.0/8"), (30,))),
    ],
)
def test_ipv4_routes_over_ipv6_need_extended_next_hop(family, nlri):
    """RFC 8950."""
    (message,) = encode_update(family, HOP6, Attributes(), [nlri], EXTENDED)

    update = decode_update(body_of(message), EXTENDED)

    assert (update.reach[0].next_hop, update.reach[0].nlri) == (HOP6, (nlri,))
    with pytest.raises(ValueError, match="extended next hop"):
        encode_update(family, HOP6, Attributes(), [nlri], INTERNAL)
    with pytest.raises(BgpError):
        decode_update(body_of(message), INTERNAL)


def test_an_ipv4_next_hop_stays_plain_with_extended_next_hop():
    nlri = VpnNlri(DISTINGUISHER, IPv4Network("10.0.0.0/8"), (30,))

    assert next_hop_bytes(BgpFamily.INET_VPN, HOP, nlri, EXTENDED) == bytes(8) + HOP.packed


@pytest.mark.parametrize("text", ["64512:1", "192.0.2.1:7", "4200000001:9"])
def test_all_three_types_of_distinguisher_are_carried(text):
    """RFC 4364 section 4.2."""
    nlri = VpnNlri(RouteDistinguisher.parse(text), IPv4Network("10.1.1.3/32"), (0xFFFFF,))
    (message,) = encode_update(BgpFamily.INET_VPN, HOP, Attributes(), [nlri], INTERNAL)

    assert decode_update(body_of(message), INTERNAL).reach[0].nlri == (nlri,)


def test_distinguishers_of_unknown_type_are_skipped():
    route = b"\x58\0\1\x11" + b"\0\x03" + bytes(6)
    reach = mp_reach(BgpFamily.INET_VPN, bytes(8) + HOP.packed, route)

    update = decode_update(update_body(reach + MANDATORY), INTERNAL)

    assert update.reach == ()
    assert "unknown type" in update.problems[0]


def test_host_bits_of_a_prefix_mean_nothing():
    route = b"\x6b\0\1\x11" + DISTINGUISHER.packed + b"\x0a\x01\xff"
    reach = mp_reach(BgpFamily.INET_VPN, bytes(8) + HOP.packed, route)

    (nlri,) = decode_update(update_body(reach + MANDATORY), INTERNAL).reach[0].nlri

    assert nlri == VpnNlri(DISTINGUISHER, IPv4Network("10.1.224.0/19"), (17,))
    assert nlri.prefix == IPv4Network("10.1.224.0/19")
    assert nlri.key == vpn_key(DISTINGUISHER, IPv4Network("10.1.224.0/19"))


def test_decoded_prefixes_equal_constructed_ones_in_every_respect():
    for text in ("0.0.0.0/0", "10.0.0.0/7", "10.1.2.3/32"):
        made = IPv4Network(text)
        route = encode_nlri(BgpFamily.INET, made)
        update = decode_update(update_body(MANDATORY, route), INTERNAL)
        (read,) = update.reach[0].nlri
        assert (read, hash(read), str(read)) == (made, hash(made), text)
        assert (read.netmask, read.broadcast_address) == (made.netmask, made.broadcast_address)
        assert read.subnet_of(made)
    for text in ("::/0", "2001:db8::/33", "2001:db8::1/128"):
        made = IPv6Network(text)
        reach = mp_reach(BgpFamily.INET6, HOP6.packed, encode_nlri(BgpFamily.INET6, made))
        (read,) = decode_update(update_body(reach + MANDATORY), INTERNAL).reach[0].nlri
        assert (read, hash(read), str(read)) == (made, hash(made), text)
        assert read.network_address == made.network_address
        assert read.subnet_of(made)


def test_a_route_is_known_by_its_key_whatever_its_label():
    routes = [VpnNlri(DISTINGUISHER, IPv4Network("10.0.0.0/8"), (n,)) for n in (17, 18)]

    assert routes[0] != routes[1]
    assert route_key(routes[0]) == route_key(routes[1])
    ipv6 = VpnNlri(DISTINGUISHER, IPv6Network("a00::/8"), (17,))
    assert route_key(ipv6) != route_key(routes[0])


def test_a_route_known_by_its_key_alone_is_whole_when_somebody_looks():
    made = VpnNlri(DISTINGUISHER, IPv6Network("2001:db8::/33"), (17,))

    read, other = (vpn_from_key(made.key, (17,)) for _ in range(2))

    assert (read.prefix, read.distinguisher) == (made.prefix, DISTINGUISHER)
    assert copy(read) == read == made
    assert read.distinguisher is other.distinguisher
    with pytest.raises(AttributeError):
        _ = read.colour


def test_several_labels_need_the_capability_on_both_sides():
    """RFC 8277 section 2.1."""
    stacks = replace(INTERNAL, label_stacks=frozenset((BgpFamily.INET_VPN,)))
    nlri = VpnNlri(DISTINGUISHER, IPv4Network("10.0.0.0/8"), (17, 18))

    (message,) = encode_update(BgpFamily.INET_VPN, HOP, Attributes(), [nlri], stacks)

    assert decode_update(body_of(message), stacks).reach[0].nlri == (nlri,)
    with pytest.raises(ValueError, match="several labels"):
        encode_update(BgpFamily.INET_VPN, HOP, Attributes(), [nlri], INTERNAL)


@pytest.mark.parametrize("labels", [(), (1 << 20,), (-1,)])
def test_routes_without_a_usable_label_are_refused(labels):
    nlri = VpnNlri(DISTINGUISHER, IPv4Network("10.0.0.0/8"), labels)

    with pytest.raises(ValueError, match="label"):
        encode_update(BgpFamily.INET_VPN, HOP, Attributes(), [nlri], INTERNAL)


@pytest.mark.parametrize("family", list(BgpFamily))
def test_every_family_has_an_end_of_rib(family):
    """RFC 4724 section 2."""
    update = decode_update(body_of(encode_end_of_rib(family)), INTERNAL)

    assert update.end_of_rib is family
    assert (update.reach, update.withdrawn, update.problems) == ((), (), ())


def test_an_empty_withdrawal_beside_attributes_is_no_end_of_rib():
    update = decode_update(
        update_body(mp_unreach(BgpFamily.EVPN, b"") + MANDATORY, b"\x08\x0a"), INTERNAL
    )

    assert update.end_of_rib is None


@pytest.mark.parametrize("family", list(BgpFamily))
def test_nothing_of_an_unnegotiated_family_is_ever_written(family):
    nothing = replace(INTERNAL, families=frozenset())

    with pytest.raises(ValueError, match="not negotiated"):
        encode_update(family, HOP, Attributes(), [], nothing)
    with pytest.raises(ValueError, match="not negotiated"):
        encode_withdraw(family, [], nothing)


def test_routes_of_another_family_are_refused():
    with pytest.raises(ValueError, match="no route of"):
        encode_nlri(BgpFamily.INET, IPv6Network("::/0"))
    with pytest.raises(ValueError, match="no route of"):
        encode_nlri(BgpFamily.INET_VPN, VpnNlri(DISTINGUISHER, IPv6Network("::/0"), (16,)))
    with pytest.raises(ValueError, match="no route of"):
        encode_nlri(BgpFamily.EVPN, IPv4Network("10.0.0.0/8"))


def test_attributes_that_leave_no_room_are_told_apart_from_mistakes():
    huge = Attributes(extended_communities=(bytes(8),) * 600)

    with pytest.raises(AttributesTooLong):
        encode_update(BgpFamily.INET, HOP, huge, [IPv4Network("10.0.0.0/8")], INTERNAL)


@pytest.mark.parametrize(
    ("bits", "wire"),
    [
        (0, b"\0"),
        (32, b"\x20\0\0\xfc\0"),
        (48, b"\x30\0\0\xfc\0\0\2"),
        (96, b"\x60\0\0\xfc\0\0\2\xfc\0\0\0\0\1"),
    ],
)
def test_memberships_of_all_lengths(bits, wire):
    """RFC 4684 section 4."""
    target = RouteTarget.parse("target:64512:1").packed
    reach = mp_reach(BgpFamily.ROUTE_TARGET, HOP.packed, wire)

    (nlri,) = decode_update(update_body(reach + MANDATORY), INTERNAL).reach[0].nlri

    assert nlri.bits == bits
    assert nlri.asn == (0 if bits == 0 else 64512)
    kept = (max(bits, 32) - 32) // 8
    assert nlri.target == target[:kept].ljust(8, b"\0")
    assert encode_nlri(BgpFamily.ROUTE_TARGET, nlri) == wire


@pytest.mark.parametrize("bits", [1, 31, 97, 255])
def test_memberships_of_other_lengths_reset_the_session(bits):
    reach = mp_reach(BgpFamily.ROUTE_TARGET, HOP.packed, bytes((bits,)) + bytes(32))

    with pytest.raises(BgpError):
        decode_update(update_body(reach + MANDATORY), INTERNAL)


def test_withdrawals_of_labelled_routes_name_no_label():
    nlri = VpnNlri(DISTINGUISHER, IPv4Network("10.0.0.0/8"), (17,))
    (message,) = encode_withdraw(BgpFamily.INET_VPN, [nlri], INTERNAL)

    assert b"\x60\x80\0\0" + DISTINGUISHER.packed in message
    assert decode_update(body_of(message), INTERNAL).withdrawn == (
        Unreach(BgpFamily.INET_VPN, (VpnNlri(DISTINGUISHER, nlri.prefix),)),
    )


def test_an_ermvpn_route_has_22_bytes_of_value():
    nlri = ErmvpnNlri(2, DISTINGUISHER, HOP, IPv4Address("10.0.0.1"), IPv4Address("239.1.1.1"))

    assert encode_nlri(BgpFamily.ERMVPN, nlri) == (
        b"\x02\x16" + DISTINGUISHER.packed + HOP.packed + b"\x20\x0a\0\0\1" + b"\x20\xef\1\1\1"
    )
