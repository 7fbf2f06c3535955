"""DHCP, DNS, ARP, ND, ICMP and frame codecs: round trips, and only the typed error."""

import contextlib
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.net import Mac
from skytrail.wire.arp_nd import (
    ArpMessage,
    NeighbourAdvertisement,
    NeighbourSolicitation,
    PrefixOption,
    RouterAdvertisement,
    RouterSolicitation,
    decode_arp,
    decode_nd,
)
from skytrail.wire.dhcp import (
    Dhcp6Message,
    DhcpMessage,
    IdentityAssociation,
    configured_option,
    decode_classless_routes,
    decode_dhcp,
    decode_dhcp6,
    decode_ia_address,
    decode_identity_association,
    encode_classless_routes,
    encode_ia_address,
)
from skytrail.wire.dhcp.option_names import OPTION_NAMES
from skytrail.wire.dns import (
    DnsMessage,
    MailExchange,
    Question,
    RecordType,
    ResourceRecord,
    StartOfAuthority,
    decode_dns,
)
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import (
    EthernetFrame,
    IpPacket,
    UdpDatagram,
    decode_ethernet,
    decode_ip,
    decode_udp,
    internet_checksum,
)
from skytrail.wire.icmp import IcmpMessage, decode_icmp

U8 = st.integers(0, 0xFF)
U16 = st.integers(0, 0xFFFF)
U24 = st.integers(0, 0xFFFFFF)
U32 = st.integers(0, 0xFFFFFFFF)
MACS = st.binary(min_size=6, max_size=6).map(Mac)
IPV4 = st.integers(0, 2**32 - 1).map(IPv4Address)
IPV6 = st.integers(0, 2**128 - 1).map(IPv6Address)
LABELS = st.binary(min_size=1, max_size=20).map(
    lambda raw: "".join(
        chr(b) if 0x21 <= b <= 0x7E and b not in b".\\" else f"\\{b:03d}" for b in raw.lower()
    )
)
NAMES = st.lists(LABELS, max_size=6).map(".".join)

DECODERS = [
    decode_ethernet,
    decode_ip,
    decode_udp,
    decode_arp,
    decode_icmp,
    lambda data: decode_nd(decode_icmp(data)),
    decode_dhcp,
    lambda data: decode_dhcp(bytes((1, 1, 6)) + data[:233].ljust(233, b"\0") + b"c\x82Sc" + data),
    decode_classless_routes,
    decode_dhcp6,
    decode_identity_association,
    decode_ia_address,
    decode_dns,
    lambda data: decode_dns(b"\0\1\0\0\0\1\0\2\0\0\0\0" + data),
]


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=600))
def test_decoder_raises_only_decode_error(decode, data):
    with contextlib.suppress(DecodeError):
        decode(data)


@pytest.mark.parametrize("icmp_type", [133, 134, 135, 136])
@given(data=st.binary(max_size=200))
def test_nd_decoder_raises_only_decode_error(icmp_type, data):
    with contextlib.suppress(DecodeError):
        decode_nd(decode_icmp(bytes((icmp_type, 0, 0, 0, 0, 0, 0, 0)) + data))


@given(st.builds(EthernetFrame, MACS, MACS, U16, st.binary(max_size=100)))
def test_ethernet_round_trip(frame):
    assert decode_ethernet(frame.encode()) == frame


@given(
    st.builds(
        IpPacket,
        source=IPV4,
        destination=IPV4,
        protocol=U8,
        payload=st.binary(max_size=100),
        hop_limit=U8,
        traffic_class=U8,
        identification=U16,
        dont_fragment=st.booleans(),
        more_fragments=st.booleans(),
        fragment_offset_bytes=st.integers(0, 0x1FFF).map(lambda n: n * 8),
    )
)
def test_ipv4_round_trip(packet):
    assert decode_ip(packet.encode()) == packet


@given(
    st.builds(
        IpPacket,
        source=IPV6,
        destination=IPV6,
        protocol=st.sampled_from([6, 17, 58, 59, 99]),
        payload=st.binary(max_size=100),
        hop_limit=U8,
        traffic_class=U8,
    )
)
def test_ipv6_round_trip(packet):
    assert decode_ip(packet.encode()) == packet


@given(st.builds(UdpDatagram, U16, U16, st.binary(max_size=100)), IPV4, IPV4)
def test_udp_round_trip(datagram, source, destination):
    assert decode_udp(datagram.encode(source, destination)) == datagram


@given(st.binary(max_size=101))
def test_checksum_makes_the_whole_sum_to_zero(data):
    padded = data + b"\0" * (len(data) % 2)

    assert internet_checksum(padded, internet_checksum(padded).to_bytes(2)) in {0, 0xFFFF}


@given(st.builds(ArpMessage, U16, MACS, IPV4, MACS, IPV4))
def test_arp_round_trip(message):
    assert decode_arp(message.encode()) == message


PREFIXES = st.builds(
    lambda number, length: IPv6Network((number, length), strict=False),
    st.integers(0, 2**128 - 1),
    st.integers(0, 128),
)
ND = st.one_of(
    st.builds(RouterSolicitation, st.none() | MACS),
    st.builds(NeighbourSolicitation, IPV6, st.none() | MACS),
    st.builds(
        NeighbourAdvertisement, IPV6, st.booleans(), st.booleans(), st.booleans(), st.none() | MACS
    ),
    st.builds(
        RouterAdvertisement,
        hop_limit=U8,
        managed=st.booleans(),
        other=st.booleans(),
        router_lifetime_s=U16,
        source_mac=st.none() | MACS,
        mtu_bytes=st.none() | U32,
        prefixes=st.lists(
            st.builds(PrefixOption, PREFIXES, st.booleans(), st.booleans(), U32, U32), max_size=3
        ).map(tuple),
    ),
)


@given(ND, IPV6, IPV6)
def test_nd_round_trip(message, source, destination):
    assert decode_nd(decode_icmp(message.encode().encode(source, destination))) == message


@given(st.builds(IcmpMessage, U8, U8, U32, st.binary(max_size=100)), IPV4, IPV6)
def test_icmp_round_trip(message, ipv4, ipv6):
    assert decode_icmp(message.encode(ipv4, ipv4)) == message
    assert decode_icmp(message.encode(ipv6, ipv6)) == message


@given(
    st.builds(
        DhcpMessage,
        operation=U8,
        transaction_id=U32,
        client_mac=MACS,
        options=st.dictionaries(st.integers(1, 254), st.binary(max_size=600), max_size=6),
        flags=U16,
        seconds=U16,
        client_address=IPV4,
        your_address=IPV4,
        server_address=IPV4,
        relay_address=IPV4,
    )
)
def test_dhcp_round_trip(message):
    assert decode_dhcp(message.encode()) == message


@given(
    st.lists(
        st.tuples(
            st.builds(
                lambda number, length: IPv4Network((number, length), strict=False),
                U32,
                st.integers(0, 32),
            ),
            IPV4,
        ),
        max_size=6,
    )
)
def test_classless_routes_round_trip(routes):
    assert decode_classless_routes(encode_classless_routes(routes)) == tuple(routes)


OPTIONS6 = st.lists(st.tuples(U16, st.binary(max_size=60)), max_size=5).map(tuple)


@given(st.builds(Dhcp6Message, st.integers(1, 11), U24, OPTIONS6))
def test_dhcp6_round_trip(message):
    assert decode_dhcp6(message.encode()) == message


@given(st.builds(IdentityAssociation, U32, U32, U32, OPTIONS6), IPV6)
def test_identity_association_round_trip(association, address):
    assert decode_identity_association(association.encode()) == association
    assert decode_ia_address(encode_ia_address(address, preferred_s=1, valid_s=2)) == address


RECORDS = st.one_of(
    st.builds(ResourceRecord, NAMES, st.just(RecordType.A), U32, IPV4),
    st.builds(ResourceRecord, NAMES, st.just(RecordType.AAAA), U32, IPV6),
    st.builds(ResourceRecord, NAMES, st.sampled_from([RecordType.NS, RecordType.PTR]), U32, NAMES),
    st.builds(
        ResourceRecord, NAMES, st.just(RecordType.MX), U32, st.builds(MailExchange, U16, NAMES)
    ),
    st.builds(
        ResourceRecord,
        NAMES,
        st.just(RecordType.SOA),
        U32,
        st.builds(StartOfAuthority, NAMES, NAMES, U32, U32, U32, U32, U32),
    ),
    st.builds(ResourceRecord, NAMES, st.just(RecordType.TXT), U32, st.binary(max_size=50)),
)
SECTIONS = st.lists(RECORDS, max_size=4).map(tuple)


@given(
    st.builds(
        DnsMessage,
        message_id=U16,
        is_response=st.booleans(),
        opcode=st.integers(0, 15),
        authoritative=st.booleans(),
        truncated=st.just(value=False),
        recursion_desired=st.booleans(),
        recursion_available=st.booleans(),
        response_code=st.integers(0, 15),
        questions=st.lists(st.builds(Question, NAMES, U16, U16), max_size=2).map(tuple),
        answers=SECTIONS,
        authorities=SECTIONS,
        additionals=SECTIONS,
    )
)
def test_dns_round_trip(message):
    assert decode_dns(message.encode()) == message


@given(st.lists(RECORDS, min_size=1, max_size=30).map(tuple), st.integers(40, 512))
def test_dns_truncation_keeps_the_limit_and_says_so(answers, limit):
    message = DnsMessage(message_id=1, answers=answers)

    encoded = message.encode(limit)

    assert len(encoded) <= max(limit, 12)
    decoded = decode_dns(encoded)
    assert decoded.truncated == (len(decoded.answers) < len(answers))


@given(
    st.one_of(
        st.sampled_from(sorted(OPTION_NAMES)), st.integers(-5, 400).map(str), st.text(max_size=20)
    ),
    st.one_of(
        st.text(max_size=40),
        st.lists(st.one_of(IPV4, IPV6, U16, NAMES).map(str), max_size=4).map(" ".join),
    ),
    st.one_of(st.just(""), st.lists(st.integers(-2, 300), max_size=5).map(str), st.text()),
)
def test_configured_option_is_bytes_or_a_value_error(name, text, raw):
    with contextlib.suppress(ValueError):
        option = configured_option(name, text, raw)
        assert 0 < option.code < 256
        assert option.version in {4, 6}
