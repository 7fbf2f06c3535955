"""Whatever a workload sends, the responders answer or count; they never fail."""

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.agent.plugin import Punt, PuntReason
from skytrail.agent.responders.dispatch import Dispatcher
from skytrail.net import GATEWAY_MAC
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, subnet
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTOCOL_UDP,
    EthernetFrame,
    IpPacket,
    UdpDatagram,
    decode_ethernet,
)


def make_active():
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24"), subnet("fd00:1::/64")])
    config.port("a", red, ["10.1.1.3", "fd00:1::3"])
    host = AgentHost()
    host.plug("a", 10)
    host.connect()
    host.configure(config.update())
    host.reconcile()
    return host.active("a")


ACTIVE = make_active()
PORTS = st.sampled_from([53, 67, 68, 546, 547, 5353, 40000])
DHCP_HEAD = bytes((1, 1, 6, 0)) + bytes(24) + ACTIVE.port.mac.packed + bytes(202) + b"c\x82Sc"
PAYLOADS = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=100).map(lambda tail: DHCP_HEAD + tail),
    st.binary(max_size=100).map(lambda tail: b"\1\0\0\1\0\1\0\x0e" + tail),
    st.binary(max_size=100).map(lambda tail: b"\0\1\1\0\0\1\0\0\0\0\0\0" + tail),
)
PAIRS = st.sampled_from(
    [
        ("10.1.1.3", "10.1.1.2"),
        ("0.0.0.0", "255.255.255.255"),
        ("fd00:1::3", "fd00:1::2"),
        ("fe80::1", "ff02::1:2"),
    ]
)


@st.composite
def udp_frames(draw):
    source, destination = (ip_address(text) for text in draw(PAIRS))
    datagram = UdpDatagram(draw(PORTS), draw(PORTS), draw(PAYLOADS)).encode(source, destination)
    packet = IpPacket(source, destination, PROTOCOL_UDP, datagram)
    ether_type = ETHERTYPE_IPV4 if source.version == 4 else ETHERTYPE_IPV6
    return EthernetFrame(GATEWAY_MAC, ACTIVE.port.mac, ether_type, packet.encode()).encode()


@st.composite
def damaged_frames(draw):
    frame = bytearray(draw(udp_frames()))
    for _ in range(draw(st.integers(0, 4))):
        frame[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
    return bytes(frame[: draw(st.integers(0, len(frame)))])


FRAMES = st.one_of(st.binary(max_size=400), udp_frames(), damaged_frames())


@pytest.mark.parametrize("reason", list(PuntReason))
@settings(max_examples=150, deadline=None)
@given(frame=FRAMES, argument=st.integers(0, 0xFFFFFFFF))
def test_any_frame_is_answered_or_counted(reason, frame, argument):
    dispatcher = Dispatcher()

    answers = dispatcher.receive(Punt(reason, 2, 10, argument, frame), ACTIVE, {}, now=0.0)

    assert dispatcher.counts[f"received {reason.name}"] == 1
    for answer in answers.frames:
        decode_ethernet(answer)
