"""Reports and queries of IGMP and MLD on the wire, right and wrong ones."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import IpPacket, decode_ip, internet_checksum, pseudo_header
from skytrail.wire.igmp import Record, RecordKind, decode_reports, encode_query

HERE, GROUP, SENDER = IPv4Address("10.1.1.3"), IPv4Address("239.1.2.3"), IPv4Address("10.1.1.9")
HERE6, GROUP6 = IPv6Address("fe80::3"), IPv6Address("ff05::7")
SENDER6 = IPv6Address("fd00::9")


def igmp(kind: int, tail: bytes, *, hop_limit: int = 1, checksum: int | None = None) -> IpPacket:
    right = internet_checksum(bytes((kind, 0)), tail)
    found = right if checksum is None else checksum
    payload = bytes((kind, 0)) + found.to_bytes(2) + tail
    return IpPacket(HERE, IPv4Address("224.0.0.22"), 2, payload, hop_limit=hop_limit)


def mld(kind: int, tail: bytes, source: IPv6Address = HERE6) -> IpPacket:
    to = IPv6Address("ff02::16")
    pseudo = pseudo_header(source, to, 58, 4 + len(tail))
    checksum = internet_checksum(pseudo, bytes((kind, 0)), tail)
    return IpPacket(source, to, 58, bytes((kind, 0)) + checksum.to_bytes(2) + tail, hop_limit=1)


def record(kind: int, group: bytes, *sources: bytes, extra: int = 0) -> bytes:
    head = bytes((kind, extra)) + len(sources).to_bytes(2) + group
    return head + b"".join(sources) + bytes(4 * extra)


@pytest.mark.parametrize(("kind", "version"), [(0x12, 1), (0x16, 2)])
def test_reports_of_early_versions_take_every_source(kind: int, version: int) -> None:
    found = decode_reports(igmp(kind, GROUP.packed))

    assert found == (Record(RecordKind.IS_EXCLUDE, GROUP, (), version),)


def test_a_leave_takes_no_source_any_more() -> None:
    assert decode_reports(igmp(0x17, GROUP.packed)) == (Record(RecordKind.TO_INCLUDE, GROUP),)


def test_a_report_of_version_3_says_what_of_which_sources() -> None:
    other = IPv4Address("239.9.9.9").packed
    tail = bytes((0, 0, 0, 2)) + record(6, other) + record(1, GROUP.packed, SENDER.packed, extra=2)

    assert decode_reports(igmp(0x22, tail)) == (
        Record(RecordKind.BLOCK, ip_address(other), (), 4),
        Record(RecordKind.IS_INCLUDE, GROUP, (SENDER,), 4),
    )


def test_unknown_kinds_of_records_are_passed_over() -> None:
    """Whatever they hold: what is in the fields of a kind to come is not known."""
    tail = bytes((0, 0, 0, 2)) + record(9, HERE.packed, bytes(4)) + record(4, GROUP.packed)

    assert decode_reports(igmp(0x22, tail)) == (Record(RecordKind.TO_EXCLUDE, GROUP, (), 4),)


def test_mld_says_the_same_of_ipv6() -> None:
    tail = bytes((0, 0, 0, 1)) + record(5, GROUP6.packed, SENDER6.packed)

    assert decode_reports(mld(143, tail)) == (Record(RecordKind.ALLOW, GROUP6, (SENDER6,), 2),)
    done = decode_reports(mld(132, bytes(4) + GROUP6.packed))
    assert done == (Record(RecordKind.TO_INCLUDE, GROUP6),)
    report = decode_reports(mld(131, bytes(4) + GROUP6.packed))
    assert report == (Record(RecordKind.IS_EXCLUDE, GROUP6, (), 1),)


@pytest.mark.parametrize(
    "packet",
    [
        igmp(0x16, GROUP.packed, hop_limit=2),
        igmp(0x16, GROUP.packed, checksum=1),
        igmp(0x11, bytes(4)),
        igmp(0x55, GROUP.packed),
        igmp(0x16, SENDER.packed),
        igmp(0x16, b""),
        igmp(0x22, bytes((0, 0, 0, 9))),
        igmp(0x22, bytes((0, 0, 0xFF, 0xFF))),
        igmp(0x22, bytes((0, 0, 0, 1)) + record(1, GROUP.packed, GROUP.packed)),
        igmp(0x22, bytes((0, 0, 0, 1)) + record(1, GROUP.packed, SENDER.packed)[:-1]),
        igmp(0x22, bytes((0, 0, 0, 1, 1, 200, 0, 0)) + GROUP.packed),
        mld(130, bytes(24)),
        mld(131, GROUP6.packed),
        mld(131, bytes(4) + GROUP6.packed, source=SENDER6),
        mld(131, bytes(4) + GROUP6.packed, source=IPv6Address(0)),
        mld(143, bytes((0, 0, 1, 0))),
    ],
)
def test_what_no_listener_says_is_refused(packet: IpPacket) -> None:
    with pytest.raises(DecodeError):
        decode_reports(packet)


@pytest.mark.parametrize(
    ("source", "group", "sources"),
    [
        (HERE, None, ()),
        (HERE, GROUP, ()),
        (HERE, GROUP, (SENDER,)),
        (HERE6, None, ()),
        (HERE6, GROUP6, (SENDER6,)),
    ],
)
def test_queries_are_whole_packets_of_one_hop(source, group, sources) -> None:
    raw = encode_query(source, group, sources, response_time_s=10, interval_s=125)

    packet = decode_ip(raw)
    size = len(source.packed)
    body = packet.payload[4 if size == 4 else 8 :]
    assert packet.hop_limit == 1
    assert packet.destination == (group or ip_address("224.0.0.1" if size == 4 else "ff02::1"))
    assert body[:size] == (group.packed if group else bytes(size))
    assert body[size + 1 : size + 4] == bytes((125,)) + len(sources).to_bytes(2)
    pseudo = (
        b"" if size == 4 else pseudo_header(source, packet.destination, 58, len(packet.payload))
    )
    assert internet_checksum(pseudo, packet.payload) == 0
    assert packet.protocol == (2 if size == 4 else 58)
    with pytest.raises(DecodeError, match="queries"):
        decode_reports(packet)


def test_an_igmp_query_s_times_beyond_a_byte_are_a_mantissa_and_an_exponent() -> None:
    raw = encode_query(HERE, response_time_s=25.6, interval_s=250)

    message = decode_ip(raw).payload
    assert message[1] == 0x80 | 1 << 4 | 0  # 256 tenths.
    assert message[9] == 0x8F  # 248 seconds.
