"""Whatever a workload answers to its health checks, nothing breaks, and only true answers count."""

from __future__ import annotations

import contextlib
import random
from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.agent.health.attempts import Way
from skytrail.agent.health.board import HealthBoard
from skytrail.agent.health.check import HealthCheck, HttpRequest, Monitor
from skytrail.agent.health.run import Run, Subject
from skytrail.agent.health.standing import Standing
from skytrail.net import IpAddress, Mac
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.wire.bfd import BfdPacket, BfdState, encode_bfd
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import (
    PROTOCOL_ICMP,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    IpPacket,
    TcpFlag,
    TcpSegment,
    UdpDatagram,
    decode_ethernet,
    decode_ip,
    decode_tcp,
)
from skytrail.wire.icmp import IcmpMessage

OURS, THEIRS = IPv4Address("10.1.1.2"), IPv4Address("10.1.1.3")
MAC = Mac(b"\2\0\0\0\0\1")
MONITORS = st.sampled_from(list(Monitor))
NUMBERS = st.one_of(st.integers(0, 3), st.integers(0, (1 << 32) - 1))
TEXTS = st.one_of(st.binary(max_size=40), st.just(b"HTTP/1.1 200 OK\r\n"))
FLAGS = st.integers(0, 31).map(TcpFlag)
PACKETS = st.one_of(
    st.tuples(st.just(PROTOCOL_TCP), FLAGS, NUMBERS, NUMBERS, TEXTS),
    st.tuples(st.just(PROTOCOL_ICMP), st.integers(0, 16), NUMBERS, NUMBERS, TEXTS),
    st.tuples(
        st.just(PROTOCOL_UDP), st.sampled_from(list(BfdState)), NUMBERS, NUMBERS, st.binary()
    ),
)


def made(monitor: Monitor, *, is_up: bool) -> Run:
    check = HealthCheck("check", monitor=monitor, http=HttpRequest(port=80), retries_count=1)
    subject = Subject("port", "tap0", Way(OURS, THEIRS, MAC))
    return Run(check, subject, Standing(is_up=is_up, since=0.0), random.Random(1).random, 0.0)


def payload(protocol: int, kind: int, one: int, two: int, text: bytes, port: int) -> bytes:
    """A packet's payload, as near to right as chance has it."""
    if protocol == PROTOCOL_TCP:
        flags = TcpFlag(kind)
        return TcpSegment(80, port, one, two, flags, text).encode(THEIRS, OURS)
    if protocol == PROTOCOL_ICMP:
        return IcmpMessage(kind, 0, one, text).encode(THEIRS, OURS)
    control = encode_bfd(BfdPacket(BfdState(kind), one or 1, two, 3, 100_000, 100_000))
    return UdpDatagram(49152, 3784, control + text).encode(THEIRS, OURS)


def asked_port(frames: object) -> int:
    """The port a question came from, if it has one."""
    for frame in frames if isinstance(frames, (list, tuple)) else ():
        packet = decode_ip(decode_ethernet(frame).payload)
        if packet.protocol == PROTOCOL_TCP:
            return decode_tcp(packet.payload).source_port
    return 0


@settings(max_examples=200, deadline=None)
@given(
    monitor=MONITORS,
    is_up=st.booleans(),
    heard=st.lists(st.tuples(PACKETS, st.sampled_from([0.0, 0.1, 5.0])), max_size=12),
    sender=st.sampled_from([THEIRS, IPv4Address("10.1.1.9")]),
)
def test_no_answer_breaks_a_check_and_strangers_answers_never_count(
    monitor: Monitor, is_up: bool, heard: list, sender: IpAddress
) -> None:
    run = made(monitor, is_up=is_up)
    now, port = run.due, 0
    for (protocol, kind, one, two, text), later in heard:
        if now >= run.due:
            frames, _ = run.advance(now)
            port = asked_port(frames) or port
        content = payload(protocol, kind, one, two, text, port)
        packet = IpPacket(sender, OURS, protocol, content, hop_limit=255)
        with contextlib.suppress(DecodeError):
            run.receive(packet, now)
        now += later
    assert run.due >= 0
    if sender != THEIRS:
        assert run.passed_count == 0


@settings(max_examples=200, deadline=None)
@given(frames=st.lists(st.binary(max_size=120), max_size=5), tail=st.binary(max_size=60))
def test_no_frame_breaks_the_board(frames: list[bytes], tail: bytes) -> None:
    config = ConfigBuilder()
    port = config.port("a", config.network("red", 5, [subnet("10.1.1.0/24")]), ["10.1.1.3"])
    properties = {
        "enabled": True,
        "health_check_type": "link-local",
        "monitor_type": "PING",
        "delay": 1,
        "timeout": 1,
        "max_retries": 1,
    }
    check = config.node("service-health-check", "d:p:c", service_health_check_properties=properties)
    config.link(port, check)
    host = AgentHost()
    host.plug("a", 10)
    host.connect()
    host.configure(config.update())
    host.compute()
    board = HealthBoard(random.Random(1).random)
    board.follow(host.plugged, host.view.ports, 0.0)
    asked = board.tick(board.next_deadline)

    for frame in (*frames, *(cut + tail for _, whole in asked for cut in (whole[:20], whole))):
        board.receive(uuid_of("a"), frame, 0.1)

    assert board.failing, "a question sent back is no answer"


@given(
    answer=st.binary(max_size=30),
    cut=st.integers(0, 30),
    code=st.integers(0, 999),
    fin=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_only_a_whole_status_line_with_an_expected_code_is_well(
    answer: bytes, cut: int, code: int, fin: bool
) -> None:
    run = made(Monitor.HTTP, is_up=False)
    frames, _ = run.advance(run.due)
    syn = decode_tcp(decode_ip(decode_ethernet(frames[0]).payload).payload)
    line = b"HTTP/1.1 %03d\r\n" % code + answer

    def say(sequence: int, flags: TcpFlag, text: bytes = b"") -> None:
        segment = TcpSegment(
            80, syn.source_port, sequence, (syn.sequence + 1) & 0xFFFFFFFF, flags, text
        )
        packet = IpPacket(THEIRS, OURS, PROTOCOL_TCP, segment.encode(THEIRS, OURS))
        run.receive(packet, 0.5)

    say(7, TcpFlag.SYN | TcpFlag.ACK)
    say(8, TcpFlag.ACK, line[:cut])
    say(8 + min(cut, len(line)), TcpFlag.ACK | (TcpFlag.FIN if fin else TcpFlag.ACK), line[cut:])

    assert run.standing.is_up == (200 <= code <= 299)
    assert run.failed_count == (not 200 <= code <= 299)
