"""RFC 7606: what a malformed UPDATE leads to, clause by clause."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from skytrail.net import RouteDistinguisher
from skytrail.testing.bgp import (
    AS_PATH,
    EXTERNAL,
    INTERNAL,
    LOCAL_PREF,
    MANDATORY,
    NEXT_HOP,
    ORIGIN,
    TEN_SLASH_8,
    attribute,
    mp_reach,
    mp_unreach,
    update_body,
)
from skytrail.wire.bgp import (
    AttributeCache,
    BgpError,
    BgpFamily,
    Reach,
    Unreach,
    VpnNlri,
    decode_update,
)

TEN = IPv4Network("10.0.0.0/8")
HOP = IPv4Address("192.0.2.1")
VPN_HOP = bytes(8) + HOP.packed
VPN_ROUTE = bytes.fromhex("58 000111 0000fc0000000001".replace(" ", ""))
DISTINGUISHER = RouteDistinguisher.parse("64512:1")
DEFAULT = IPv4Network("0.0.0.0/0")
VPN_REACH = mp_reach(BgpFamily.INET_VPN, VPN_HOP, VPN_ROUTE)


def decode(attributes, nlri=TEN_SLASH_8, withdrawn=b"", negotiated=INTERNAL):
    return decode_update(update_body(attributes, nlri, withdrawn), negotiated, AttributeCache())


def test_a_good_update_has_no_problems():
    update = decode(MANDATORY)

    assert update.problems == ()
    assert update.reach == (Reach(BgpFamily.INET, HOP, (TEN,)),)
    assert update.withdrawn == ()


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        (attribute(0x40, 1, b""), ORIGIN),
        (attribute(0x40, 1, b"\0\0"), ORIGIN),
        (attribute(0x40, 1, b"\3"), ORIGIN),
        (attribute(0x40, 2, b"\x05\x01\0\0\0\1"), AS_PATH),
        (attribute(0x40, 2, b"\x02\x02\0\0\0\1"), AS_PATH),
        (attribute(0x40, 2, b"\x02\x01\0\0\0\1\x02"), AS_PATH),
        (attribute(0x40, 2, b"\x02\x00"), AS_PATH),
        (attribute(0x40, 2, b"\x02\x01\0\0\0\0"), AS_PATH),
        (attribute(0x40, 3, b"\xc0\0\2"), NEXT_HOP),
        (attribute(0x40, 3, bytes(4)), NEXT_HOP),
        (attribute(0x40, 3, b"\xe0\0\0\1"), NEXT_HOP),
        (attribute(0x40, 5, b"\0\0\0"), LOCAL_PREF),
    ],
    ids=[
        "origin empty",
        "origin of two bytes",
        "origin undefined",
        "segment type",
        "segment overrun",
        "segment underrun",
        "segment empty",
        "as 0",
        "next hop of three bytes",
        "next hop zero",
        "next hop multicast",
        "local preference of three bytes",
    ],
)
def test_malformed_well_known_attributes_are_treated_as_withdraw(bad, good):
    """Sections 7.1 to 7.5, RFC 7607."""
    update = decode(MANDATORY.replace(good, bad, 1))

    assert update.reach == ()
    assert update.withdrawn == (Unreach(BgpFamily.INET, (TEN,)),)
    assert "treated as withdraw" in update.problems[0]


@pytest.mark.parametrize(
    "bad",
    [
        attribute(0x80, 4, b"\0"),
        attribute(0xC0, 8, b""),
        attribute(0xC0, 8, b"\0\0\0"),
        attribute(0x80, 9, b"\0" * 5),
        attribute(0x80, 10, b""),
        attribute(0x80, 10, b"\0" * 6),
        attribute(0xC0, 16, b""),
        attribute(0xC0, 16, b"\0" * 12),
        attribute(0xC0, 22, b"\0" * 4),
        attribute(0xC0, 22, b"\0\x06\0\0\x10\x0a"),
        attribute(0xC0, 32, b"\0" * 8),
    ],
    ids=[
        "med",
        "communities empty",
        "communities",
        "originator",
        "cluster list empty",
        "cluster list",
        "extended communities empty",
        "extended communities",
        "pmsi too short",
        "pmsi without address",
        "large communities",
    ],
)
def test_malformed_optional_attributes_are_treated_as_withdraw(bad):
    """Sections 7.4, 7.8 to 7.10, 7.14, RFC 6514 section 5, RFC 8092 section 5."""
    update = decode(MANDATORY + bad)

    assert update.withdrawn == (Unreach(BgpFamily.INET, (TEN,)),)


@pytest.mark.parametrize(
    "bad",
    [
        attribute(0x40, 6, b"\0"),
        attribute(0xC0, 7, b"\0" * 6),
        attribute(0xC0, 7, b"\0\0\0\0\xc0\0\2\1"),
        attribute(0xC0, 241, b"\4"),
        attribute(0x80, 242, b"\0"),
        attribute(0xC0, 243, b"\0" * 7),
    ],
    ids=["atomic", "aggregator", "aggregator as 0", "edges", "forwarding flags", "origin path"],
)
def test_what_no_decision_rests_on_is_discarded_alone(bad):
    """Sections 7.6, 7.7; private attributes may be somebody else's."""
    update = decode(MANDATORY + bad)

    assert update.reach == (Reach(BgpFamily.INET, HOP, (TEN,)),)
    assert "discarded" in update.problems[0]
    assert update.attributes == decode(MANDATORY).attributes


def test_attributes_of_internal_peers_are_ignored_from_external_ones_whatever_they_hold():
    """Sections 7.5, 7.9, 7.10."""
    internal = attribute(0x40, 5, b"\0") + attribute(0x80, 9, b"") + attribute(0x80, 10, b"\1")

    update = decode(ORIGIN + AS_PATH + NEXT_HOP + internal, negotiated=EXTERNAL)

    assert update.problems == ()
    assert len(update.reach) == 1
    assert update.attributes.local_preference is None


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        (ORIGIN.replace(b"\x40", b"\xc0", 1), ORIGIN),
        (b"\xc0" + LOCAL_PREF[1:], LOCAL_PREF),
    ],
)
def test_wrong_flags_are_treated_as_withdraw(bad, good):
    """Section 3 (c)."""
    update = decode(MANDATORY.replace(good, bad, 1))

    assert update.withdrawn == (Unreach(BgpFamily.INET, (TEN,)),)


@pytest.mark.parametrize("missing", [ORIGIN, AS_PATH, NEXT_HOP])
def test_missing_mandatory_attributes_are_treated_as_withdraw(missing):
    """Section 3 (d)."""
    update = decode(MANDATORY.replace(missing, b"", 1))

    assert update.withdrawn == (Unreach(BgpFamily.INET, (TEN,)),)
    assert "missing" in update.problems[0]


def test_a_missing_local_preference_is_no_error():
    assert decode(ORIGIN + AS_PATH + NEXT_HOP).problems == ()


def test_mp_reach_needs_no_next_hop_attribute_and_survives_a_bad_one():
    """RFC 4760 section 3: NEXT_HOP is to be ignored then."""
    bad_hop = attribute(0x40, 3, bytes(4))

    for attributes in (ORIGIN + AS_PATH, ORIGIN + AS_PATH + bad_hop):
        update = decode(VPN_REACH + attributes, b"")

        assert update.problems == ()
        assert update.reach[0].nlri == (VpnNlri(DISTINGUISHER, DEFAULT, (17,)),)


def test_the_first_of_repeated_attributes_counts():
    """Section 3 (g)."""
    update = decode(MANDATORY + attribute(0x40, 5, b"\0\0\0\7"))

    assert update.attributes.local_preference == 100
    assert len(update.reach) == 1
    assert "twice" in update.problems[0]


@pytest.mark.parametrize("twice", [VPN_REACH, mp_unreach(BgpFamily.INET_VPN, b"")])
def test_repeated_multiprotocol_attributes_reset_the_session(twice):
    """Section 3 (g)."""
    with pytest.raises(BgpError) as raised:
        decode(twice + MANDATORY + twice, b"")

    assert (raised.value.code, raised.value.subcode) == (3, 1)


def test_the_strongest_of_several_errors_decides():
    """Section 3 (h)."""
    discard, withdraw = attribute(0xC0, 7, b"\0"), attribute(0xC0, 8, b"\0")

    update = decode(MANDATORY + discard + withdraw)

    assert update.reach == ()
    assert len(update.problems) == 2
    with pytest.raises(BgpError):
        decode(MANDATORY + discard + withdraw, b"\x21\x0a")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0",
        b"\0\5\0\0",
        b"\0\0\0\5\x40\1\1\0",
        b"\0\1\x08\0\0\0",
    ],
    ids=["nothing", "three bytes", "withdrawn", "attributes", "withdrawn prefix"],
)
def test_lengths_that_contradict_the_message_reset_the_session(body):
    """Section 3 (a), (b)."""
    with pytest.raises(BgpError) as raised:
        decode_update(body, INTERNAL)

    assert raised.value.code == 3


@pytest.mark.parametrize("tail", [b"\xc0", b"\xc0\x08", b"\xc0\x08\xff\0\0", b"\xd0\x08\x00"])
def test_an_attribute_running_over_the_end_is_treated_as_withdraw(tail):
    """Section 4: the total length is believed, the routes behind it are found."""
    update = decode(MANDATORY + tail)

    assert update.withdrawn == (Unreach(BgpFamily.INET, (TEN,)),)
    assert "cut off" in update.problems[0]


def test_multiprotocol_routes_cut_off_reset_the_session():
    """Section 3 (j)."""
    with pytest.raises(BgpError, match="cut off"):
        decode(MANDATORY + VPN_REACH[:-1])


def test_an_error_without_reachable_routes_resets_the_session():
    """Section 5.2: nothing says that the routes were found."""
    bad = attribute(0xC0, 8, b"\0")

    with pytest.raises(BgpError) as raised:
        decode(MANDATORY + bad, b"", TEN_SLASH_8)

    assert (raised.value.code, raised.value.subcode, raised.value.data) == (3, 5, bad)


def test_a_discarded_attribute_without_reachable_routes_resets_nothing():
    """Section 5.2."""
    update = decode(MANDATORY + attribute(0xC0, 7, b"\0"), b"", TEN_SLASH_8)

    assert update.withdrawn == (Unreach(BgpFamily.INET, (TEN,)),)


@pytest.mark.parametrize(
    ("attributes", "nlri", "withdrawn", "subcode"),
    [
        (MANDATORY, b"\x21\x0a\0\0\0\0", b"", 10),
        (MANDATORY, b"\x18\x0a", b"", 10),
        (b"", b"", b"\x21\x0a\0\0\0\0", 10),
        (mp_reach(BgpFamily.INET_VPN, VPN_HOP, b"\x79" + bytes(16)) + MANDATORY, b"", b"", 9),
        (mp_reach(BgpFamily.EVPN, HOP.packed, b"\x03\x20") + MANDATORY, b"", b"", 9),
        (mp_unreach(BgpFamily.INET6, b"\x81" + bytes(17)), b"", b"", 9),
        (attribute(0x80, 15, b"\0\1"), b"", b"", 9),
        (attribute(0x80, 14, b"\0\1\1\0") + MANDATORY, b"", b"", 9),
    ],
    ids=[
        "prefix of 33 bits",
        "prefix cut off",
        "withdrawn prefix",
        "vpn prefix",
        "evpn cut off",
        "ipv6 prefix",
        "unreach of two bytes",
        "reach of four bytes",
    ],
)
def test_routes_that_cannot_be_told_apart_reset_the_session(attributes, nlri, withdrawn, subcode):
    """Section 5.3."""
    with pytest.raises(BgpError) as raised:
        decode(attributes, nlri, withdrawn)

    assert (raised.value.code, raised.value.subcode) == (3, subcode)


@pytest.mark.parametrize("flags", [0x40, 0xC0, 0x00])
def test_wrong_flags_of_multiprotocol_attributes_reset_the_session(flags):
    """Section 5.3."""
    with pytest.raises(BgpError):
        decode(attribute(flags, 15, BgpFamily.EVPN.packed), b"")


@pytest.mark.parametrize("size", [0, 4, 11, 13, 16, 24])
def test_a_next_hop_of_unexpected_length_resets_the_session(size):
    """Section 7.11: where the routes begin is unknown then."""
    with pytest.raises(BgpError, match="next hop"):
        decode(mp_reach(BgpFamily.INET_VPN, bytes(size), VPN_ROUTE) + MANDATORY, b"")


def test_unknown_types_of_typed_routes_are_skipped():
    """Section 5.4."""
    known = b"\x03\x11" + DISTINGUISHER.packed + bytes(4) + b"\x20" + HOP.packed
    reach = mp_reach(BgpFamily.EVPN, HOP.packed, b"\x63\x02\0\0" + known)

    update = decode(reach + MANDATORY, b"")

    assert [type(route).__name__ for route in update.reach[0].nlri] == ["InclusiveMulticast"]
    assert "skipped" in update.problems[0]


def test_treat_as_withdraw_names_routes_without_their_labels():
    update = decode(VPN_REACH + ORIGIN, b"")

    assert update.withdrawn == (
        Unreach(BgpFamily.INET_VPN, (VpnNlri(DISTINGUISHER, DEFAULT, ()),)),
    )


def test_an_unknown_well_known_attribute_resets_the_session():
    """RFC 4271 section 6.3, which RFC 7606 leaves as it is."""
    with pytest.raises(BgpError) as raised:
        decode(MANDATORY + attribute(0x40, 99, b"\1"))

    assert (raised.value.code, raised.value.subcode) == (3, 2)
    assert raised.value.data == attribute(0x40, 99, b"\1")


def test_unknown_optional_attributes_pass_when_transitive_and_vanish_otherwise():
    """RFC 4271 section 5: the partial bit tells that somebody did not understand."""
    update = decode(MANDATORY + attribute(0xC0, 99, b"\1") + attribute(0x80, 98, b"\2"))

    (kept,) = update.attributes.unknown
    assert (kept.flags, kept.code, kept.value) == (0xE0, 99, b"\1")
    assert update.problems == ()


def test_errors_are_found_again_when_the_attributes_come_from_the_cache():
    cache = AttributeCache()
    body = update_body(MANDATORY + attribute(0xC0, 8, b"\0"), TEN_SLASH_8)

    first, second = (decode_update(body, INTERNAL, cache) for _ in range(2))

    assert first == second
    assert first.withdrawn
    assert cache.hits == 1


def test_one_cache_keeps_readings_of_different_kinds_of_peer_apart():
    cache = AttributeCache()
    body = update_body(MANDATORY, TEN_SLASH_8)

    internal = decode_update(body, INTERNAL, cache)
    external = decode_update(body, EXTERNAL, cache)

    assert internal.attributes.local_preference == 100
    assert external.attributes.local_preference is None


def test_a_flood_of_unique_attributes_stays_within_the_bound_of_the_cache():
    cache = AttributeCache(bytes_max=100_000)
    for number in range(2000):
        attributes = MANDATORY + attribute(0xC0, 8, number.to_bytes(4))
        decode_update(update_body(attributes, TEN_SLASH_8), INTERNAL, cache)

    assert len(cache) < 200


def test_families_that_were_not_negotiated_are_ignored():
    only_evpn = replace(INTERNAL, families=frozenset((BgpFamily.EVPN,)))

    update = decode(VPN_REACH + MANDATORY, TEN_SLASH_8, TEN_SLASH_8, only_evpn)

    assert (update.reach, update.withdrawn) == ((), ())
    assert len(update.problems) == 3
