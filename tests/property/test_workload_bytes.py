"""What workloads send, to every parser of the agent that takes it: one typed error, in bounded time.

The responders as a whole are in ``test_agent_punts.py``, codecs with round trips in
``test_agent_codecs.py``, health checks' answers in ``test_health_answers.py``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.agent.interface import ActivePort
from skytrail.agent.metadata import (
    BODY_BYTES_MAX,
    Asker,
    RequestRefused,
    read_head,
    refusal,
    told_anew,
)
from skytrail.agent.querier import Querier
from skytrail.net import GATEWAY_MAC
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, subnet
from skytrail.wire.bfd import BfdError, BfdPacket, BfdState, decode_bfd, encode_bfd
from skytrail.wire.dhcp import decode_classless_routes, decode_dhcp, decode_dhcp6
from skytrail.wire.dns import decode_dns
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    EthernetFrame,
    IpPacket,
    decode_ethernet,
    decode_ip,
    decode_tcp,
    internet_checksum,
)
from skytrail.wire.icmp import IcmpMessage
from skytrail.wire.igmp import decode_reports

IGMP, ICMPV6 = 2, 58
LONGEST_BYTES = 65535
CPU_S_MAX = 0.5
"""For the largest message there is: the agent has one thread for all workloads."""
U16 = st.integers(0, 0xFFFF)
KINDS = st.sampled_from([0x11, 0x12, 0x16, 0x17, 0x22, 0, 255])
MLD_KINDS = st.sampled_from([130, 131, 132, 143, 0, 255])


@st.composite
def records(draw: st.DrawFn, size: int) -> bytes:
    """Group records whose counts mostly fit, and mostly of a group."""
    made = bytearray()
    for _ in range(draw(st.integers(0, 4))):
        sources = draw(st.integers(0, 3))
        claimed = draw(st.sampled_from([sources, sources, sources, 0xFFFF]))
        group = b"\xe0\0\1\1" if size == 4 else b"\xff\5" + bytes(13) + b"\1"
        group = draw(st.sampled_from([group, group, draw(st.binary(min_size=size, max_size=size))]))
        made += bytes((draw(st.integers(0, 7)), draw(st.sampled_from([0, 0, 1]))))
        made += claimed.to_bytes(2) + group + draw(st.binary(max_size=sources * size))
    return bytes(made)


@st.composite
def igmp_packets(draw: st.DrawFn) -> IpPacket:
    kind, body = draw(KINDS), draw(st.one_of(st.binary(max_size=60), records(4)))
    head = bytes((kind, 0, 0, 0, 0, 0)) + draw(st.integers(0, 5)).to_bytes(2)
    message = head + body if kind == 0x22 else bytes((kind, 0, 0, 0)) + body
    if draw(st.integers(0, 9)):
        message = message[:2] + internet_checksum(message).to_bytes(2) + message[4:]
    return IpPacket(ip_address("10.1.1.3"), ip_address("224.0.0.22"), IGMP, message, hop_limit=1)


@st.composite
def mld_packets(draw: st.DrawFn) -> IpPacket:
    source, group = ip_address("fe80::1"), ip_address("ff02::16")
    kind, body = draw(MLD_KINDS), draw(st.one_of(st.binary(max_size=80), records(16)))
    rest = draw(st.integers(0, 5)) if kind == 143 else 0
    message = IcmpMessage(kind, 0, rest, body).encode(source, group)
    return IpPacket(source, group, ICMPV6, message, hop_limit=1)


REPORTS = st.one_of(igmp_packets(), mld_packets())


@settings(max_examples=300, deadline=None)
@given(REPORTS)
def test_reports_of_listeners_are_read_or_refused_by_the_typed_error(packet: IpPacket) -> None:
    with contextlib.suppress(DecodeError):
        assert all(record.group.is_multicast for record in decode_reports(packet))


def listening_port() -> ActivePort:
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24"), subnet("fd00:1::/64")])
    config.port("a", red, ["10.1.1.3", "fd00:1::3"])
    host = AgentHost()
    host.plug("a", 10)
    host.connect()
    host.configure(config.update())
    host.reconcile()
    return host.active("a")


ACTIVE = listening_port()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(REPORTS, st.binary(max_size=200)), max_size=6))
def test_the_querier_counts_each_report_once_whatever_it_says(
    packets: list[IpPacket | bytes],
) -> None:
    querier = Querier()
    querier.tick({ACTIVE.port.uuid: ACTIVE}, 0.0)

    for number, packet in enumerate(packets, start=1):
        if isinstance(packet, IpPacket):
            kind = ETHERTYPE_IPV4 if packet.source.version == 4 else ETHERTYPE_IPV6
            frame = EthernetFrame(GATEWAY_MAC, ACTIVE.port.mac, kind, packet.encode()).encode()
        else:
            frame = packet
        for query in querier.receive(ACTIVE, frame, float(number)):
            decode_ethernet(query)
        counted = {name: count for name, count in querier.counts.items() if name.startswith(STATES)}
        assert sum(counted.values()) == number, querier.counts


STATES = ("malformed", "reports")


@given(st.binary(max_size=100))
def test_tcp_is_read_or_refused_by_the_typed_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode_tcp(data)


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda tail: b"\x20" + tail)))
def test_bfd_is_read_or_refused_by_the_typed_error(data: bytes) -> None:
    with contextlib.suppress(BfdError):
        decode_bfd(data)


U32 = st.integers(0, 0xFFFFFFFF)


@given(
    st.builds(
        BfdPacket,
        state=st.sampled_from(list(BfdState)),
        my_discriminator=st.integers(1, 0xFFFFFFFF),
        your_discriminator=st.integers(1, 0xFFFFFFFF),
        multiplier=st.integers(1, 255),
        desired_min_tx_us=U32,
        required_min_rx_us=U32,
        poll=st.booleans(),
        final=st.booleans(),
    ),
    st.data(),
)
def test_bfd_with_a_damaged_byte_is_read_or_refused(packet: BfdPacket, data: st.DataObject) -> None:
    whole = encode_bfd(packet)
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:place] + bytes((data.draw(st.integers(0, 255)),)) + whole[place + 1 :]

    assert decode_bfd(whole) == packet
    with contextlib.suppress(BfdError):
        decode_bfd(damaged[: data.draw(st.integers(0, len(damaged)))])


LINES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                b"Host: 169.254.169.254", b"Content-Length: 5", b"Content-Length: 99999999",
                b"X-Instance-ID: 1", b"x_instance_id: 1", b"X-Forwarded-For : 1", b"Transfer-Encoding: chunked",
                b"Connection: close", b" folded", b"A: b\rX-Instance-ID: 1", b"A: b\nX-Instance-ID: 1",
            ]
        ),
    ),
    max_size=6,
)  # fmt: skip
REQUEST_LINES = st.one_of(
    st.just(b"GET /latest/meta-data HTTP/1.1"),
    st.binary(max_size=40),
    st.binary(max_size=20).map(lambda path: b"GET /" + path + b" HTTP/1.0"),
)
ASKER = Asker("10.1.1.3", "machine", "pro-ject")


@given(REQUEST_LINES, LINES)
def test_a_request_for_metadata_is_refused_or_told_once_in_the_name_of_who_asks(
    line: bytes, lines: list[bytes]
) -> None:
    try:
        head = read_head(b"\r\n".join((line, *lines)))
    except RequestRefused as refused:
        head = refusal(refused.status, str(refused))
    if isinstance(head, bytes):
        assert head.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501"))
        return

    told = told_anew(head, ASKER, b"secret")

    names = [each.partition(b":")[0].lower() for each in told[:-4].split(b"\r\n")[1:]]
    assert told.count(b"\r\n\r\n") == 1
    assert told.count(b"\n") == told.count(b"\r") == len(names) + 2
    assert all(names.count(ours) == 1 for ours in (b"x-instance-id", b"content-length"))
    assert 0 <= head.body_bytes <= BODY_BYTES_MAX


def chain_of_pointers(records_count: int) -> bytes:
    """A record whose data are a chain of pointers, and others whose names begin at its end."""
    question = b"\0\0\1\0\1"
    place = 12 + len(question) + 11
    chain, last = bytearray(b"\0"), place
    while place + len(chain) + 2 < 0x3FFF:
        chain += (0xC000 | last).to_bytes(2)
        last = place + len(chain) - 2
    first = b"\0\3\xe7\0\1\0\0\0\0" + len(chain).to_bytes(2) + chain
    other = (0xC000 | last).to_bytes(2) + b"\0\1\0\1\0\0\0\0\0\4\1\1\1\1"
    counts = b"\0\1" + (records_count + 1).to_bytes(2) + bytes(4)
    return b"\0\1\1\0" + counts + question + first + other * records_count


def longest_names(records_count: int) -> bytes:
    """Records whose names are the longest there is, each by a pointer to the first."""
    question = b"\1a" * 126 + b"\0\0\1\0\1"
    other = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\1\1\1"
    counts = b"\0\1" + records_count.to_bytes(2) + bytes(4)
    return b"\0\1\1\0" + counts + question + other * records_count


def v6_extensions() -> bytes:
    chain = b"\x3c\0\0\0\0\0\0\0" * ((LONGEST_BYTES - 40) // 8)
    return b"\x60\0\0\0" + len(chain).to_bytes(2) + b"\x3c\x01" + bytes(32) + chain


DHCP_FRONT = bytes((1, 1, 6)) + bytes(233) + b"c\x82Sc"
WORST: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "chain of pointers": (decode_dns, chain_of_pointers(499)),
    "longest names": (decode_dns, longest_names(499)),
    "DNS records of nothing": (decode_dns, b"\0\1\1\0\0\0\xff\xff\0\0\0\0" + bytes(LONGEST_BYTES)),
    "DHCP of empty options": (decode_dhcp, DHCP_FRONT + b"\x0c\0" * 32000),
    "DHCP of padding": (decode_dhcp, DHCP_FRONT + bytes(LONGEST_BYTES)),
    "default routes": (decode_classless_routes, bytes(LONGEST_BYTES)),
    "DHCPv6 of empty options": (decode_dhcp6, b"\1\0\0\1" + b"\0\1\0\0" * 16000),
    "IPv6 of extension headers": (decode_ip, v6_extensions()),
    "header fields": (read_head, b"GET / HTTP/1.1" + b"\r\na: b" * 2700),
    "request line": (read_head, b"G" * 16000),
}


@pytest.mark.parametrize("case", WORST)
def test_the_worst_message_is_read_or_refused_in_bounded_time(case: str) -> None:
    decode, message = WORST[case]
    began = time.process_time()

    with contextlib.suppress(DecodeError, RequestRefused):
        decode(message)

    assert time.process_time() - began < CPU_S_MAX


def test_a_name_that_is_a_chain_of_pointers_is_refused() -> None:
    with pytest.raises(DecodeError, match="chain of pointers"):
        decode_dns(chain_of_pointers(1))


def test_names_of_the_most_labels_each_by_a_pointer_are_read() -> None:
    message = longest_names(3)

    assert {record.name for record in decode_dns(message).answers} == {".".join("a" * 126)}
