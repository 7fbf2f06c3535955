"""The TCP that answers questions: whole questions in, acknowledged answers out, bounded."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.agent.responders.dns_tcp import (
    CONNECTIONS_PER_PORT_COUNT_MAX,
    IDLE_S_MAX,
    QUESTION_BYTES_MAX,
    TcpService,
)
from skytrail.net import GATEWAY_MAC, Mac
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    PROTOCOL_TCP,
    EthernetFrame,
    IpPacket,
    TcpFlag,
    TcpSegment,
    decode_ethernet,
    decode_ip,
    decode_tcp,
)

CLIENT, SERVER = IPv4Address("10.1.1.3"), IPv4Address("10.1.1.2")
START = 0xFFFF_FFF0
"""Near the end, so that numbers wrap."""


class Client:
    """The other end, that keeps count of what it should."""

    def __init__(self, service=None, port=40000, vif=2):
        self.service = TcpService(lambda: START) if service is None else service
        self.port = port
        self.vif = vif
        self.sequence = START
        self.acknowledged = 0
        self.received = b""
        self.seen = []

    def send(self, flags, payload=b"", *, now=0.0, window=0xFFFF, sequence=None):
        number = self.sequence if sequence is None else sequence
        segment = TcpSegment(
            self.port, 53, number, self.acknowledged, flags, payload, window=window
        )
        packet = IpPacket(CLIENT, SERVER, PROTOCOL_TCP, segment.encode(CLIENT, SERVER))
        ethernet = EthernetFrame(GATEWAY_MAC, Mac.parse("02:00:00:00:00:01"), ETHERTYPE_IPV4, b"")
        frames, self.key, questions = self.service.receive(self.vif, ethernet, packet, now)
        if sequence is None:
            length = len(payload) + bool(flags & (TcpFlag.SYN | TcpFlag.FIN))
            self.sequence = (self.sequence + length) % (1 << 32)
        self.take(frames)
        return questions

    def take(self, frames):
        self.seen = [decode_tcp(decode_ip(decode_ethernet(f).payload).payload) for f in frames]
        for segment in self.seen:
            if segment.flags & TcpFlag.SYN:
                self.acknowledged = (segment.sequence + 1) % (1 << 32)
            elif segment.sequence == self.acknowledged:
                self.received += segment.payload
                length = len(segment.payload) + bool(segment.flags & TcpFlag.FIN)
                self.acknowledged = (self.acknowledged + length) % (1 << 32)

    def connect(self):
        self.send(TcpFlag.SYN)
        self.send(TcpFlag.ACK)
        return self

    def flags(self):
        return [segment.flags for segment in self.seen]


def framed(message):
    return len(message).to_bytes(2) + message


def test_question_in_pieces_is_handed_over_once_it_is_whole():
    client = Client().connect()

    parts = [client.send(TcpFlag.ACK, part) for part in (b"\0", b"\x04ab", b"cd" + framed(b"ef"))]

    assert parts == [[], [], [b"abcd", b"ef"]]


def test_answer_longer_than_a_segment_arrives_whole_and_is_forgotten_when_acknowledged():
    client = Client().connect()
    client.send(TcpFlag.ACK, framed(b"q"))
    answer = bytes(range(256)) * 8

    client.take(client.service.answer(client.key, answer, 0.0))
    client.send(TcpFlag.ACK)
    client.send(TcpFlag.FIN | TcpFlag.ACK)
    client.send(TcpFlag.ACK)

    assert client.received == framed(answer)
    assert len(client.service) == 0


def test_answer_waits_for_the_window_of_the_client():
    client = Client().connect()
    client.send(TcpFlag.ACK, framed(b"q"), window=100)

    client.take(client.service.answer(client.key, b"x" * 150, 0.0))
    first = len(client.received)
    client.send(TcpFlag.ACK, window=100)

    assert first == 100
    assert len(client.received) == 152


def test_lost_answer_is_sent_again():
    client = Client().connect()
    client.send(TcpFlag.ACK, framed(b"q"))
    client.service.answer(client.key, b"lost", 0.0)

    early = list(client.service.tick(0.5))
    late = list(client.service.tick(1.5))
    client.take([frame for _, frame in late])

    assert early == []
    assert client.received == framed(b"lost")


def test_repeated_question_is_acknowledged_and_not_asked_again():
    client = Client().connect()
    at = client.sequence
    client.send(TcpFlag.ACK, framed(b"q"))

    assert client.send(TcpFlag.ACK, framed(b"q"), sequence=at) == []
    assert client.flags() == [TcpFlag.ACK]


def test_client_that_ends_before_its_answer_still_gets_it_and_then_the_end():
    client = Client().connect()
    client.send(TcpFlag.ACK | TcpFlag.FIN, framed(b"q"))
    client.sequence += 1
    before = client.flags()

    client.take(client.service.answer(client.key, b"a", 0.0))

    assert before == [TcpFlag.ACK]
    assert client.received == framed(b"a")
    assert client.flags()[-1] & TcpFlag.FIN


def test_segment_of_no_connection_is_reset():
    client = Client()

    client.send(TcpFlag.ACK, b"hello")

    assert client.flags() == [TcpFlag.RST | TcpFlag.ACK]


def test_one_port_cannot_take_all_connections():
    service = TcpService(lambda: START)
    for number in range(CONNECTIONS_PER_PORT_COUNT_MAX):
        Client(service, port=40000 + number).connect()

    refused, other = Client(service, port=50000), Client(service, vif=3)
    refused.send(TcpFlag.SYN)
    other.send(TcpFlag.SYN)

    assert refused.flags() == [TcpFlag.RST | TcpFlag.ACK]
    assert other.flags() == [TcpFlag.SYN | TcpFlag.ACK]


def test_silent_connection_is_forgotten():
    client = Client().connect()

    list(client.service.tick(IDLE_S_MAX))

    assert len(client.service) == 0
    assert not client.service.answer(client.key, b"late", 20.0)


def test_question_that_claims_too_much_ends_the_connection():
    client = Client().connect()

    assert client.send(TcpFlag.ACK, (QUESTION_BYTES_MAX + 1).to_bytes(2) + b"x" * 500) == []
    assert client.flags()[-1] & TcpFlag.FIN


def test_reset_by_the_client_forgets_the_connection():
    client = Client().connect()

    client.send(TcpFlag.RST)

    assert len(client.service) == 0


@pytest.mark.parametrize("begin", [True, False])
@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 2, 4, 16, 17, 18, 24]),
            st.integers(-3, 3),
            st.integers(-3, 3),
            st.binary(max_size=40),
            st.integers(0, 70000),
        ),
        max_size=25,
    )
)
def test_any_segments_leave_it_bounded_and_whole(begin, segments):
    client = Client()
    if begin:
        client.connect()
    for flags, shift, ahead, payload, window in segments:
        client.acknowledged = (client.acknowledged + ahead) % (1 << 32)
        at = (client.sequence + shift) % (1 << 32)
        questions = client.send(TcpFlag(flags), payload, window=window & 0xFFFF, sequence=at)
        client.sequence = (at + len(payload)) % (1 << 32)
        for question in questions:
            client.take(client.service.answer(client.key, question, 0.0))
        list(client.service.tick(0.0))
    list(client.service.tick(IDLE_S_MAX * 2))

    assert len(client.service) == 0
    assert not client.service._per_port
