"""Extended communities byte by byte, standard and private."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from skytrail.net import Mac, RouteTarget
from skytrail.wire.bgp.communities import (
    Encapsulation,
    Etree,
    HashField,
    LoadBalance,
    LocalSequenceNumber,
    MacMobility,
    MulticastFlags,
    OriginVn,
    RouteImport,
    RouterMac,
    SecurityGroup,
    SegmentImport,
    SegmentLabel,
    SiteOfOrigin,
    SourceAs,
    SubCluster,
    Tag,
    TunnelKind,
    find,
    first,
    is_transitive,
    route_targets,
    text_of,
    tunnel_kinds,
    without,
)

MAC = Mac.parse("02:00:00:00:00:01")
EXAMPLES = [
    (SecurityGroup(64512, 8_000_004), "8004fc00007a1204"),
    (SecurityGroup(4_200_000_001, 5), "8204fa56ea010005"),
    (Tag(64512, 131073), "8084fc0000020001"),
    (OriginVn(64512, 7), "8071fc0000000007"),
    (OriginVn(4_200_000_001, 7), "8271fa56ea010007"),
    (SubCluster(64512, 9), "8085fc0000000009"),
    (LoadBalance(), "03aaf80000000000"),
    (LoadBalance(HashField.L3_SOURCE | HashField.L4_DESTINATION_PORT, True), "03aa880080000000"),
    (LocalSequenceNumber(3), "c000000000030000"),
    (Encapsulation(TunnelKind.GRE), "030c000000000002"),
    (Encapsulation(TunnelKind.MPLS_OVER_UDP), "030c00000000000d"),
    (MacMobility(5), "0600000000000005"),
    (MacMobility(5, sticky=True), "0600010000000005"),
    (RouterMac(MAC), "0603020000000001"),
    (SegmentImport(MAC), "0602020000000001"),
    (SegmentLabel(0x110, single_active=True), "0601010000000110"),
    (Etree(leaf=True), "0605010000000000"),
    (MulticastFlags(3), "0609000300000000"),
    (RouteImport(IPv4Address("192.0.2.1"), 5), "010bc00002010005"),
    (SourceAs(64512), "0009fc0000000000"),
    (SourceAs(4_200_000_001), "0209fa56ea010000"),
    (SiteOfOrigin(bytes.fromhex("0003fc0000000001")), "0003fc0000000001"),
]


@pytest.mark.parametrize(("value", "wire"), EXAMPLES)
def test_communities_have_the_bytes_their_definition_draws(value, wire):
    assert value.packed.hex() == wire
    assert type(value).of(bytes.fromhex(wire)) == value


@pytest.mark.parametrize("kind", list(dict.fromkeys(type(value) for value, _ in EXAMPLES)))
def test_no_kind_claims_the_bytes_of_another(kind):
    others = [value.packed for value, _ in EXAMPLES if not isinstance(value, kind)]

    assert list(find(others, kind)) == []
    assert without(others, kind) == tuple(others)


def test_values_of_one_kind_are_found_in_order_and_taken_out():
    groups = [SecurityGroup(64512, number) for number in (8_000_001, 7)]
    communities = (groups[0].packed, Tag(64512, 1).packed, groups[1].packed)

    assert list(find(communities, SecurityGroup)) == groups
    assert first(communities, SecurityGroup) == groups[0]
    assert without(communities, SecurityGroup) == (Tag(64512, 1).packed,)
    assert [group.is_global for group in groups] == [False, True]


def test_route_targets_of_all_types_are_found():
    targets = tuple(
        RouteTarget.parse(f"target:{text}") for text in ("64512:1", "192.0.2.1:7", "4200000001:9")
    )
    communities = [target.packed for target in targets]

    assert route_targets([*communities, SiteOfOrigin(b"\0\3" + bytes(6)).packed]) == targets


def test_tunnel_kinds_keep_numbers_without_a_name():
    wire = [Encapsulation(kind).packed for kind in (2, 999, 2)]

    assert tunnel_kinds(wire) == (2, 999)


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="does not fit"):
        _ = SecurityGroup(4_200_000_001, 8_000_004).packed


def test_only_the_second_bit_keeps_a_community_inside():
    """RFC 4360 section 2."""
    assert is_transitive(SecurityGroup(1, 1).packed)
    assert not is_transitive(LocalSequenceNumber(1).packed)


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        ("0002fc0000000001", "target:64512:1"),
        ("0003fc0000000001", "origin:64512:1"),
        ("8004fc00007a1204", "security-group:64512:8000004"),
        ("030c00000000000d", "encapsulation:mpls-over-udp"),
        ("030c0000000003e7", "encapsulation:999"),
        ("0600010000000005", "mobility:sticky:5"),
        ("0603020000000001", "router-mac:02:00:00:00:00:01"),
        ("9999999999999999", "9999999999999999"),
    ],
)
def test_texts_name_what_is_known_and_show_the_bytes_of_the_rest(wire, text):
    assert text_of(bytes.fromhex(wire)) == text
