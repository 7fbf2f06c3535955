"""The BGP codec over all inputs: round trips of every type, arbitrary and mutated bytes."""

from __future__ import annotations

import contextlib
import dataclasses
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import example, given
from hypothesis import strategies as st

from skytrail.net import Mac, RouteDistinguisher
from skytrail.wire.bgp import (
    Aggregator,
    AsSegment,
    AsSegmentKind,
    AttributeCache,
    Attributes,
    BgpError,
    BgpFamily,
    Demarcation,
    DiscoveryEdge,
    ErmvpnNlri,
    EthernetAutoDiscovery,
    EthernetSegment,
    ForwardingEdge,
    GracefulRestart,
    InclusiveMulticast,
    IpPrefixRoute,
    LabelledNlri,
    LargeCommunity,
    LongLivedFamily,
    MacIp,
    MessageFramer,
    MvpnNlri,
    Negotiated,
    Notification,
    Open,
    PmsiTunnel,
    RawAttribute,
    RawCapability,
    RouteRefresh,
    RouteTargetNlri,
    SelectiveMulticast,
    VpnNlri,
    decode_notification,
    decode_open,
    decode_route_refresh,
    decode_update,
    encode_notification,
    encode_open,
    encode_route_refresh,
    encode_update,
    encode_withdraw,
    without_labels,
)
from skytrail.wire.bgp.attributes import TunnelType
from skytrail.wire.bgp.messages import MESSAGE_BYTES_MAX
from skytrail.wire.bgp.vpn_block import read_vpn_block

U8 = st.integers(0, 0xFF)
U16 = st.integers(0, 0xFFFF)
U24 = st.integers(0, 0xFF_FFFF)
U32 = st.integers(0, 0xFFFF_FFFF)
ASN = st.integers(1, 0xFFFF_FFFF)
LABELS = st.lists(st.integers(0, 0xF_FFFF), min_size=1, max_size=3).map(tuple)
ONE_LABEL = st.tuples(st.integers(0, 0xF_FFFF))
V4 = U32.map(IPv4Address)
V6 = st.integers(0, (1 << 128) - 1).map(IPv6Address)
ADDRESS = V4 | V6
PREFIX4 = st.builds(lambda a, n: IPv4Network((a, n), strict=False), V4, st.integers(0, 32))
PREFIX6 = st.builds(lambda a, n: IPv6Network((a, n), strict=False), V6, st.integers(0, 128))
SEGMENTS = st.binary(min_size=10, max_size=10)
EIGHT = st.binary(min_size=8, max_size=8)
DISTINGUISHER = st.builds(
    lambda kind, rest: RouteDistinguisher(bytes((0, kind)) + rest),
    st.integers(0, 2),
    st.binary(min_size=6, max_size=6),
)


def few(strategy, size=3):
    return st.lists(strategy, max_size=size).map(tuple)


def prefix_routes(prefix, address):
    return st.builds(IpPrefixRoute, DISTINGUISHER, SEGMENTS, U32, prefix, address, U24)


EVPN = st.one_of(
    st.builds(EthernetAutoDiscovery, DISTINGUISHER, SEGMENTS, U32, U24),
    st.builds(
        MacIp,
        DISTINGUISHER,
        SEGMENTS,
        U32,
        st.binary(min_size=6, max_size=6).map(Mac),
        st.none() | ADDRESS,
        U24,
        st.none() | U24,
    ),
    st.builds(InclusiveMulticast, DISTINGUISHER, U32, ADDRESS),
    st.builds(EthernetSegment, DISTINGUISHER, SEGMENTS, ADDRESS),
    prefix_routes(PREFIX4, V4),
    prefix_routes(PREFIX6, V6),
    st.builds(
        SelectiveMulticast,
        DISTINGUISHER,
        U32,
        st.none() | ADDRESS,
        st.none() | ADDRESS,
        ADDRESS,
        U8,
    ),
)


def membership(asn, target, bits):
    if bits == 0:
        return RouteTargetNlri(0, bytes(8), 0)
    kept = int.from_bytes(target) >> (96 - bits) << (96 - bits)
    return RouteTargetNlri(asn, kept.to_bytes(8), bits)


MVPN = st.one_of(
    st.builds(lambda d, o: MvpnNlri(1, d, originator=o), DISTINGUISHER, ADDRESS),
    st.builds(lambda d, a: MvpnNlri(2, d, a), DISTINGUISHER, U32),
    st.builds(
        lambda d, s, g, o: MvpnNlri(3, d, None, s, g, o), DISTINGUISHER, ADDRESS, ADDRESS, ADDRESS
    ),
    st.builds(
        lambda kind, key, o: MvpnNlri(4, route_key=bytes((kind, len(key))) + key, originator=o),
        U8,
        st.binary(max_size=30),
        ADDRESS,
    ),
    st.builds(lambda d, s, g: MvpnNlri(5, d, None, s, g), DISTINGUISHER, ADDRESS, ADDRESS),
    st.builds(MvpnNlri, st.sampled_from((6, 7)), DISTINGUISHER, U32, ADDRESS, ADDRESS),
)
NLRI = {
    BgpFamily.INET: PREFIX4,
    BgpFamily.INET6: PREFIX6,
    BgpFamily.INET_LABELLED: st.builds(LabelledNlri, PREFIX4, LABELS),
    BgpFamily.INET6_LABELLED: st.builds(LabelledNlri, PREFIX6, LABELS),
    BgpFamily.INET_VPN: st.builds(VpnNlri, DISTINGUISHER, PREFIX4, LABELS),
    # A length of one byte leaves a /128 behind a distinguisher no room for a third label.
    BgpFamily.INET6_VPN: st.builds(VpnNlri, DISTINGUISHER, PREFIX6, ONE_LABEL),
    BgpFamily.EVPN: EVPN,
    BgpFamily.ROUTE_TARGET: st.builds(membership, U32, EIGHT, st.just(0) | st.integers(32, 96)),
    BgpFamily.ERMVPN: st.builds(ErmvpnNlri, st.integers(0, 2), DISTINGUISHER, V4, V4, V4),
    BgpFamily.MVPN: MVPN,
}
AS_SEGMENT = st.builds(
    AsSegment,
    st.sampled_from(AsSegmentKind),
    st.lists(ASN, min_size=1, max_size=4).map(tuple),
)
PMSI = st.builds(PmsiTunnel, U8, U8, U24, st.binary(max_size=20)).filter(
    lambda each: (
        each.tunnel_type != TunnelType.INGRESS_REPLICATION or len(each.identifier) in {4, 16}
    )
)
KNOWN_CODES = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 22, 32, 241, 242, 243}
UNKNOWN = st.lists(
    st.builds(
        RawAttribute,
        st.just(0xE0),
        U8.filter(lambda code: code not in KNOWN_CODES),
        st.binary(max_size=300),
    ),
    max_size=2,
    unique_by=lambda raw: raw.code,
).map(lambda raws: tuple(sorted(raws, key=lambda raw: raw.code)))
ATTRIBUTES = st.builds(
    Attributes,
    origin=st.integers(0, 2),
    as_path=few(AS_SEGMENT),
    med=st.none() | U32,
    local_preference=U32,
    atomic_aggregate=st.booleans(),
    aggregator=st.none() | st.builds(Aggregator, ASN, V4),
    communities=few(U32),
    large_communities=few(st.builds(LargeCommunity, U32, U32, U32)),
    extended_communities=few(EIGHT),
    originator=st.none() | V4,
    cluster_list=few(V4),
    pmsi=st.none() | PMSI,
    edge_discovery=few(
        st.builds(
            DiscoveryEdge,
            V4 | V6,
            st.lists(st.tuples(U32, U32), min_size=1, max_size=2).map(tuple),
        )
    ),
    edge_forwarding=few(
        st.builds(ForwardingEdge, V4, U32, V4, U32) | st.builds(ForwardingEdge, V6, U32, V6, U32)
    ),
    origin_vn_path=few(EIGHT),
    unknown=UNKNOWN,
)
MAPPED = 0xFFFF << 32
HOP4 = st.integers(0x0100_0000, 0x7EFF_FFFF).map(IPv4Address)
HOP6 = V6.filter(lambda address: int(address) >> 32 != MAPPED >> 32)
EVERYTHING = Negotiated(
    families=frozenset(BgpFamily),
    local_as=64512,
    peer_as=64512,
    extended_next_hop=frozenset((BgpFamily.INET, BgpFamily.INET_LABELLED, BgpFamily.INET_VPN)),
    label_stacks=frozenset((BgpFamily.INET_LABELLED, BgpFamily.INET6_LABELLED, BgpFamily.INET_VPN)),
)
OLD_SPEAKER = dataclasses.replace(EVERYTHING, four_byte_as=False)
FAMILY_AND_ROUTES = st.sampled_from(BgpFamily).flatmap(
    lambda family: st.tuples(st.just(family), st.lists(NLRI[family], min_size=1, max_size=4))
)


def bodies(messages):
    framer = MessageFramer()
    framer.feed(b"".join(messages))
    found = []
    while (message := framer.next_message()) is not None:
        found.append(message[1])
    return found


@given(FAMILY_AND_ROUTES, ATTRIBUTES, HOP4 | HOP6)
def test_every_update_decodes_to_what_was_encoded(family_and_routes, attributes, next_hop):
    family, routes = family_and_routes

    (body,) = bodies(encode_update(family, next_hop, attributes, routes, EVERYTHING))
    update = decode_update(body, EVERYTHING, AttributeCache())

    assert update.problems == ()
    assert update.attributes == attributes
    assert hash(update.attributes) == hash(attributes)
    assert len(update.reach) == 1
    assert (update.reach[0].family, update.reach[0].next_hop) == (family, next_hop)
    assert update.reach[0].nlri == tuple(routes)
    assert list(map(hash, update.reach[0].nlri)) == list(map(hash, routes))


@given(FAMILY_AND_ROUTES)
def test_every_withdrawal_decodes_to_the_routes_without_labels(family_and_routes):
    family, routes = family_and_routes

    (body,) = bodies(encode_withdraw(family, routes, EVERYTHING))
    update = decode_update(body, EVERYTHING)

    assert update.problems == ()
    assert [(each.family, each.nlri) for each in update.withdrawn] == [
        (family, tuple(map(without_labels, routes)))
    ]


ALIKE = st.integers(0, 32).flatmap(
    lambda length: st.lists(
        st.builds(
            lambda label, kind, rest: bytes((88 + length,)) + label + kind + rest,
            st.binary(min_size=3, max_size=3) | st.integers(0, 99).map(lambda n: bytes((0, n, 1))),
            st.integers(0, 2).map(lambda kind: bytes((0, kind)))
            | st.binary(min_size=2, max_size=2),
            st.binary(min_size=6 + (length + 7) // 8, max_size=6 + (length + 7) // 8),
        ),
        min_size=1,
        max_size=6,
    )
)
ODD_ROUTE = bytes((88 + 17,)) + b"\1\1\1" + bytes(8) + b"\1\1\x80"


@given(ALIKE)
def test_vpn_routes_of_one_length_are_read_as_beside_one_of_another_length(routes):
    field, passed_over, passed_over_too = b"".join(routes), [], []

    alike = read_vpn_block(field, 32, passed_over)
    mixed = read_vpn_block(field + ODD_ROUTE, 32, passed_over_too)

    assert (alike.keys, alike.wires) == (mixed.keys[:-1], mixed.wires[:-1])
    assert alike.has_reserved_labels == mixed.has_reserved_labels
    assert passed_over == passed_over_too


@given(ATTRIBUTES)
def test_an_old_speaker_carries_whole_as_paths_when_they_have_no_confederations(attributes):
    plain = tuple(
        segment for segment in attributes.as_path if segment.kind == AsSegmentKind.SEQUENCE
    )
    sent = dataclasses.replace(attributes, as_path=plain)
    route = IPv4Network("10.0.0.0/8")

    (body,) = bodies(
        encode_update(BgpFamily.INET, IPv4Address(1 << 24), sent, [route], OLD_SPEAKER)
    )
    received = decode_update(body, OLD_SPEAKER).attributes

    numbers = [number for segment in received.as_path for number in segment.numbers]
    assert numbers == [number for segment in plain for number in segment.numbers]
    assert received.aggregator == sent.aggregator


@given(
    st.sampled_from((BgpFamily.INET, BgpFamily.INET_VPN)),
    st.lists(PREFIX4, min_size=300, max_size=900),
    st.integers(200, MESSAGE_BYTES_MAX),
)
def test_long_lists_are_split_into_messages_the_peer_takes(family, prefixes, bytes_max):
    negotiated = dataclasses.replace(EVERYTHING, message_bytes_max=bytes_max)
    distinguisher = RouteDistinguisher.parse("64512:1")
    routes = (
        prefixes
        if family is BgpFamily.INET
        else [VpnNlri(distinguisher, prefix, (17,)) for prefix in prefixes]
    )

    messages = encode_update(family, IPv4Address("10.0.0.1"), Attributes(), routes, negotiated)

    assert all(len(message) <= bytes_max for message in messages)
    assert [
        route
        for body in bodies(messages)
        for reach in decode_update(body, negotiated).reach
        for route in reach.nlri
    ] == routes


OPENS = st.builds(
    Open,
    ASN,
    st.just(0) | st.integers(3, 0xFFFF),
    st.integers(1, 0xFFFF_FFFF).map(IPv4Address),
    families=st.lists(st.sampled_from(BgpFamily), unique=True).map(tuple),
    unknown_families=st.sampled_from(((), ((16397, 71),), ((1, 133), (2, 133)))),
    route_refresh=st.booleans(),
    enhanced_refresh=st.booleans(),
    extended_message=st.booleans(),
    graceful_restart=st.none()
    | st.builds(
        GracefulRestart,
        st.integers(0, 4095),
        st.booleans(),
        st.booleans(),
        few(st.tuples(st.sampled_from(BgpFamily), st.booleans())),
    ),
    long_lived=few(st.builds(LongLivedFamily, st.sampled_from(BgpFamily), st.booleans(), U24)),
    extended_next_hop=st.sampled_from(((), (BgpFamily.INET,), (BgpFamily.INET_VPN,))),
    label_stacks=few(
        st.tuples(st.sampled_from((BgpFamily.INET_LABELLED,)), st.integers(2, 255)), 1
    ),
    host_name=st.text("abc-", min_size=1, max_size=20),
    domain_name=st.text("abc.", max_size=20),
    unknown=few(st.builds(RawCapability, st.sampled_from((9, 69, 128)), st.binary(max_size=255))),
)


@given(OPENS)
def test_every_open_decodes_to_what_was_encoded(message):
    (body,) = bodies([encode_open(message)])

    assert decode_open(body) == message


@given(st.builds(Notification, U8, U8, st.binary(max_size=100)))
def test_every_notification_decodes_to_what_was_encoded(message):
    (body,) = bodies([encode_notification(message)])

    assert decode_notification(body) == message


@given(st.builds(RouteRefresh, st.sampled_from(BgpFamily), st.sampled_from(Demarcation)))
def test_every_route_refresh_decodes_to_what_was_encoded(message):
    (body,) = bodies([encode_route_refresh(message)])

    assert decode_route_refresh(body, enhanced=True) == message


PEERS = st.sampled_from(
    (
        EVERYTHING,
        OLD_SPEAKER,
        dataclasses.replace(EVERYTHING, peer_as=65000),
        dataclasses.replace(EVERYTHING, families=frozenset((BgpFamily.EVPN,))),
        dataclasses.replace(EVERYTHING, label_stacks=frozenset(), extended_next_hop=frozenset()),
    )
)


def read_anything(body, negotiated):
    """Whatever is delivered must also be presentable: lazily read routes fail only here."""
    update = decode_update(body, negotiated)
    assert repr(update)
    hash(update.attributes)


@given(st.binary(max_size=300), PEERS)
def test_arbitrary_bytes_raise_nothing_but_bgp_errors(body, negotiated):
    with contextlib.suppress(BgpError):
        read_anything(body, negotiated)
    with contextlib.suppress(BgpError):
        decode_open(body)
    decode_notification(body)
    for enhanced in (True, False):
        with contextlib.suppress(BgpError):
            decode_route_refresh(body, enhanced=enhanced)


@given(st.binary(max_size=60), st.sampled_from(BgpFamily), st.sampled_from((14, 15)), PEERS)
@example(b"\x00" * 30, BgpFamily.EVPN, 14, EVERYTHING)
def test_arbitrary_routes_of_any_family_raise_nothing_but_bgp_errors(data, family, code, peer):
    head = family.packed if code == 15 else family.packed + b"\x04\x0a\x00\x00\x01\x00"
    value = head + data
    attributes = b"\x90" + bytes((code,)) + len(value).to_bytes(2) + value
    body = b"\0\0" + len(attributes).to_bytes(2) + attributes

    with contextlib.suppress(BgpError):
        read_anything(body, peer)


@given(
    FAMILY_AND_ROUTES,
    ATTRIBUTES,
    st.lists(st.tuples(st.integers(0, 400), U8), min_size=1, max_size=4),
    st.integers(-8, 8),
    PEERS,
)
def test_mutated_updates_raise_nothing_but_bgp_errors(
    family_and_routes, attributes, changes, length_change, negotiated
):
    family, routes = family_and_routes
    (body,) = bodies(encode_update(family, IPv4Address("10.0.0.1"), attributes, routes, EVERYTHING))
    mutated = bytearray(body)
    for position, value in changes:
        mutated[position % len(mutated)] = value
    if length_change < 0:
        del mutated[length_change:]
    else:
        mutated += bytes(length_change)

    with contextlib.suppress(BgpError):
        read_anything(bytes(mutated), negotiated)


def outcome(body, negotiated, cache):
    try:
        return decode_update(body, negotiated, cache)
    except BgpError as error:
        return error.args


@given(
    FAMILY_AND_ROUTES,
    ATTRIBUTES,
    HOP4 | HOP6,
    st.lists(st.tuples(st.integers(0, 400), U8), max_size=2),
    st.lists(PEERS, min_size=2, max_size=5),
)
def test_a_cache_shared_by_all_peers_changes_no_outcome(
    family_and_routes, attributes, next_hop, changes, peers
):
    family, routes = family_and_routes
    (body,) = bodies(encode_update(family, next_hop, attributes, routes, EVERYTHING))
    mutated = bytearray(body)
    for position, value in changes:
        mutated[position % len(mutated)] = value
    cache = AttributeCache(bytes_max=6000)

    for peer in peers:
        for each in (body, bytes(mutated), body):
            assert outcome(each, peer, cache) == outcome(each, peer, None)


@given(OPENS, st.lists(st.tuples(st.integers(0, 400), U8), min_size=1, max_size=4))
def test_mutated_opens_raise_nothing_but_bgp_errors(message, changes):
    (body,) = bodies([encode_open(message)])
    mutated = bytearray(body)
    for position, value in changes:
        mutated[position % len(mutated)] = value

    with contextlib.suppress(BgpError):
        decode_open(bytes(mutated))


@given(st.binary(max_size=200), st.lists(st.integers(1, 50), max_size=6))
def test_arbitrary_streams_raise_nothing_but_bgp_errors(stream, cuts):
    framer = MessageFramer()
    position = 0
    with contextlib.suppress(BgpError):
        for cut in [*cuts, len(stream)]:
            framer.feed(stream[position : position + cut])
            position += cut
            while framer.next_message() is not None:
                pass
