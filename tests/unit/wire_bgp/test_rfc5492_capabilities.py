"""OPEN and its capabilities: RFC 5492, 9072, 4724, 8538, 9494, 8654, 8950, 7313."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from skytrail.testing.bgp import messages_of
from skytrail.wire.bgp import (
    BgpError,
    BgpFamily,
    GracefulRestart,
    LongLivedFamily,
    Open,
    RawCapability,
    decode_open,
    encode_open,
    negotiate,
)

LOCAL = Open(64512, 90, IPv4Address("192.0.2.1"), families=(BgpFamily.INET, BgpFamily.EVPN))
PEER = replace(LOCAL, router_id=IPv4Address("192.0.2.2"))
PLAIN = bytes.fromhex("04 fc00 005a c0000202".replace(" ", ""))


def body_of(message):
    ((_, body),) = messages_of(encode_open(message))
    return body


def with_capabilities(capabilities):
    size = len(capabilities)
    return PLAIN + bytes((size + 2, 2, size)) + capabilities


def test_an_open_without_parameters_speaks_ipv4_unicast_with_two_byte_numbers():
    read = decode_open(PLAIN + b"\0")

    assert (read.asn, read.hold_time_s, read.router_id) == (64512, 90, IPv4Address("192.0.2.2"))
    assert (read.families, read.four_byte_as, read.route_refresh) == ((), False, False)
    agreed = negotiate(LOCAL, read)
    assert agreed.families == {BgpFamily.INET}
    assert not agreed.four_byte_as


def test_capabilities_may_come_in_one_parameter_or_in_one_each():
    first, second = b"\x01\x04\0\1\0\1", b"\x02\x00"
    together = with_capabilities(first + second)
    apart = PLAIN + b"\x0c" + b"\x02\x06" + first + b"\x02\x02" + second

    assert decode_open(together) == decode_open(apart)
    assert decode_open(together).route_refresh


def test_unknown_and_unreadable_capabilities_are_kept_and_not_believed():
    odd = b"\x45\x04\0\1\1\3" + b"\x41\x02\0\1" + b"\x01\x03\0\1\0" + b"\x40\x01\0" + b"\x06\x01\0"

    read = decode_open(with_capabilities(odd))

    assert RawCapability(69, b"\0\1\1\3") in read.unknown
    assert len(read.unknown) == 5
    assert (read.four_byte_as, read.families, read.graceful_restart) == (False, (), None)
    assert not read.extended_message


@pytest.mark.parametrize(
    ("body", "subcode"),
    [
        (PLAIN, 0),
        (PLAIN + b"\x05", 0),
        (PLAIN + b"\x02\x02\x05", 0),
        (with_capabilities(b"\x01\x04\0"), 0),
        (with_capabilities(b"\x01"), 0),
        (PLAIN + b"\x02\x01\x00", 4),
        (PLAIN + b"\x00\x00", 0),
    ],
    ids=["no length", "length", "parameter", "capability", "half", "authentication", "surplus"],
)
def test_broken_parameters_are_open_errors(body, subcode):
    with pytest.raises(BgpError) as raised:
        decode_open(body)

    assert (raised.value.code, raised.value.subcode) == (2, subcode)


def test_many_capabilities_use_the_extended_form():
    """RFC 9072: lengths of two bytes behind 255, 255."""
    many = replace(LOCAL, unknown=tuple(RawCapability(200, bytes(100)) for _ in range(5)))

    body = body_of(many)

    assert body[9:11] == b"\xff\xff"
    assert int.from_bytes(body[11:13]) == len(body) - 13
    assert decode_open(body) == many


def test_the_extended_form_is_read_where_the_short_one_would_do():
    """RFC 9072 section 2."""
    capabilities = b"\x02\x00"
    parameter = b"\x02" + len(capabilities).to_bytes(2) + capabilities

    assert decode_open(PLAIN + b"\xff\xff" + len(parameter).to_bytes(2) + parameter).route_refresh


def test_exactly_255_bytes_of_short_parameters_are_no_extended_form():
    capabilities = b"\xc8\xf9" + bytes(249) + b"\x02\x00"
    body = PLAIN + b"\xff" + b"\x02\xfd" + capabilities

    assert decode_open(body).route_refresh


@pytest.mark.parametrize("asn", [0, 23456])
def test_as_0_is_refused_and_as_trans_stands_for_itself_alone(asn):
    """RFC 7607, RFC 6793 section 9."""
    body = body_of(replace(LOCAL, four_byte_as=False))
    body = body[:1] + asn.to_bytes(2) + body[3:]

    if asn == 0:
        with pytest.raises(BgpError) as raised:
            decode_open(body)
        assert raised.value.subcode == 2
    else:
        assert decode_open(body).asn == 23456


def test_families_are_those_of_both_sides():
    peer = replace(PEER, families=(BgpFamily.EVPN, BgpFamily.MVPN), unknown_families=((1, 133),))

    assert negotiate(LOCAL, peer).families == {BgpFamily.EVPN}


def test_unknown_families_alone_do_not_imply_ipv4_unicast():
    peer = replace(PEER, families=(), unknown_families=((16388, 71),))

    assert negotiate(LOCAL, peer).families == frozenset()


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"), [(90, 30, 30), (30, 90, 30), (90, 0, 0), (0, 90, 0)]
)
def test_the_lower_hold_time_holds(ours, theirs, agreed):
    """RFC 4271 section 4.2; 0 is the lowest."""
    local, peer = replace(LOCAL, hold_time_s=ours), replace(PEER, hold_time_s=theirs)

    assert negotiate(local, peer).hold_time_s == agreed


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [(True, True, 65535), (True, False, 4096), (False, True, 4096)],
)
def test_extended_messages_are_sent_to_those_who_offer_them(ours, theirs, agreed):
    """RFC 8654 section 3."""
    local = replace(LOCAL, extended_message=ours)

    assert negotiate(local, replace(PEER, extended_message=theirs)).message_bytes_max == agreed


def test_refresh_kinds_need_both_sides():
    """RFC 2918, RFC 7313."""
    plain = replace(PEER, enhanced_refresh=False)

    assert negotiate(LOCAL, plain).route_refresh
    assert not negotiate(LOCAL, plain).enhanced_refresh
    assert negotiate(LOCAL, PEER).enhanced_refresh


def test_extended_next_hop_needs_both_sides_and_the_family():
    """RFC 8950 section 4."""
    both = (BgpFamily.INET, BgpFamily.INET_VPN)
    local = replace(LOCAL, extended_next_hop=both)

    agreed = negotiate(local, replace(PEER, extended_next_hop=both))

    assert agreed.extended_next_hop == {BgpFamily.INET}
    assert negotiate(local, PEER).extended_next_hop == frozenset()


def test_graceful_restart_carries_flags_time_and_families():
    """RFC 4724 section 3, RFC 8538 section 2: R, N, 12 bits of time, F for each family."""
    restart = GracefulRestart(300, True, True, ((BgpFamily.INET, True), (BgpFamily.EVPN, False)))

    body = body_of(replace(LOCAL, graceful_restart=restart))

    assert b"\x40\x0a\xc1\x2c\0\1\1\x80\0\x19\x46\0" in body
    assert decode_open(body).graceful_restart == restart


def test_a_restart_time_beyond_12_bits_is_refused():
    with pytest.raises(ValueError, match="12 bits"):
        encode_open(replace(LOCAL, graceful_restart=GracefulRestart(4096)))


def test_the_peers_restart_counts_only_beside_our_own():
    restart = GracefulRestart(120, families=((BgpFamily.INET, True),))
    peer = replace(PEER, graceful_restart=restart)

    assert negotiate(LOCAL, peer).graceful_restart is None
    ours = replace(LOCAL, graceful_restart=GracefulRestart(300))
    assert negotiate(ours, peer).graceful_restart == restart


def test_long_lived_restart_carries_a_stale_time_of_24_bits_for_each_family():
    """RFC 9494 section 3.1."""
    entry = LongLivedFamily(BgpFamily.EVPN, True, 2_592_000)

    body = body_of(replace(LOCAL, long_lived=(entry,)))

    assert b"\x47\x07\0\x19\x46\x80\x27\x8d\0" in body
    assert decode_open(body).long_lived == (entry,)


def test_long_lived_restart_counts_only_beside_graceful_restart():
    """RFC 9494 section 3.1."""
    entry = LongLivedFamily(BgpFamily.EVPN, True, 100)
    other = LongLivedFamily(BgpFamily.MVPN, True, 100)
    peer = replace(PEER, long_lived=(entry, other))
    local = replace(LOCAL, long_lived=(entry,), graceful_restart=GracefulRestart())

    assert negotiate(local, peer).long_lived == ()
    restarting = replace(peer, graceful_restart=GracefulRestart())
    assert negotiate(local, restarting).long_lived == (entry,)
    unwilling = replace(local, long_lived=())
    assert negotiate(unwilling, restarting).long_lived == ()


def test_label_stacks_of_one_say_nothing():
    """RFC 8277 section 2.1."""
    body = with_capabilities(b"\x08\x08\0\1\4\1\0\2\4\3")

    assert decode_open(body).label_stacks == ((BgpFamily.INET6_LABELLED, 3),)


def test_names_of_the_peer_are_read_whatever_their_bytes():
    assert decode_open(with_capabilities(b"\x49\x05\x02\xff\x41\x01b")).domain_name == "b"
    assert decode_open(with_capabilities(b"\x49\x02\x05a")).unknown == (
        RawCapability(73, b"\x05a"),
    )
