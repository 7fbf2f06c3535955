"""Crafted frames from a workload: each is one counted drop under a name, and nothing crashes."""

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest

from skytrail.lab import show
from skytrail.lab.io import netns
from skytrail.net import GATEWAY_MAC, Mac
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    EthernetFrame,
    IpPacket,
    UdpDatagram,
    decode_ip,
)

COUNT = 20
UDP = 17


@pytest.fixture
def frames(lab, members):
    """Frames as red-web1 would send them to red-web2, to be spoiled by the tests."""
    return Frames(
        mac=Mac.parse(lab.attached("red-web1").mac),
        source=members["red-web1"].address(version=4),
        destination=members["red-web2"].address(version=4),
        source6=members["red-web1"].address(version=6),
        destination6=members["red-web2"].address(version=6),
    )


class Frames:
    def __init__(self, mac, source, destination, source6, destination6):
        self.mac = mac
        self.source, self.destination = source, destination
        self.source6, self.destination6 = source6, destination6

    def ethernet(self, payload, *, ether_type=ETHERTYPE_IPV4, source=None, destination=None):
        return EthernetFrame(
            destination=destination or GATEWAY_MAC,
            source=source or self.mac,
            ether_type=ether_type,
            payload=payload,
        ).encode()

    def udp(self, **changes):
        fields = {
            "source": self.source,
            "destination": self.destination,
            "protocol": UDP,
            "payload": UdpDatagram(5000, 6000, b"x" * 30).encode(self.source, self.destination),
        }
        return IpPacket(**(fields | changes)).encode()

    def udp6(self, **changes):
        fields = {
            "source": self.source6,
            "destination": self.destination6,
            "protocol": UDP,
            "payload": UdpDatagram(5000, 6000, b"x" * 30).encode(self.source6, self.destination6),
        }
        return IpPacket(**(fields | changes)).encode()


def patched(packet, offset, value):
    return packet[:offset] + value + packet[offset + len(value) :]


def resummed(packet):
    """Put the right IPv4 header checksum back after a change of the header."""
    length = (packet[0] & 15) * 4
    header = patched(packet[:length], 10, b"\0\0")
    total = sum(int.from_bytes(header[i : i + 2]) for i in range(0, length, 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return patched(packet, 10, (0xFFFF - total).to_bytes(2))


OTHER_MAC = Mac.parse("02:de:ad:be:ef:01")
CASES = {
    "IPv4 header cut short": (lambda f: f.ethernet(f.udp()[:12]), {"TRUNCATED"}),
    "IPv4 length beyond the frame": (
        lambda f: f.ethernet(resummed(patched(f.udp(), 2, b"\x05\x00"))),
        {"TRUNCATED", "MALFORMED"},
    ),
    "IPv4 length below its header": (
        lambda f: f.ethernet(resummed(patched(f.udp(), 2, b"\x00\x10"))),
        {"MALFORMED", "TRUNCATED"},
    ),
    "IPv4 header length of 16 bytes": (
        lambda f: f.ethernet(resummed(patched(f.udp(), 0, b"\x44"))),
        {"MALFORMED"},
    ),
    "version 7 in an IPv4 frame": (
        lambda f: f.ethernet(resummed(patched(f.udp(), 0, b"\x75"))),
        {"MALFORMED"},
    ),
    "wrong IPv4 header checksum": (
        lambda f: f.ethernet(patched(f.udp(), 10, b"\xde\xad")),
        {"CHECKSUM"},
    ),
    "tiny first fragment": (
        lambda f: f.ethernet(f.udp(payload=b"\x13\x88", more_fragments=True)),
        {"FRAGMENT_TINY", "TRUNCATED"},
    ),
    "later fragment of nothing": (
        lambda f: f.ethernet(f.udp(fragment_offset_bytes=1480, identification=4711)),
        {"FRAGMENT_UNKNOWN"},
    ),
    "UDP header cut short": (lambda f: f.ethernet(f.udp(payload=b"\0\0\0")), {"TRUNCATED"}),
    "IPv6 header cut short": (
        lambda f: f.ethernet(f.udp6()[:30], ether_type=ETHERTYPE_IPV6),
        {"TRUNCATED"},
    ),
    "IPv6 payload length beyond the frame": (
        lambda f: f.ethernet(patched(f.udp6(), 4, b"\x0f\xff"), ether_type=ETHERTYPE_IPV6),
        {"TRUNCATED", "MALFORMED"},
    ),
    "version 4 in an IPv6 frame": (
        lambda f: f.ethernet(patched(f.udp6(), 0, b"\x45"), ether_type=ETHERTYPE_IPV6),
        {"MALFORMED"},
    ),
    "endless IPv6 extension headers": (
        lambda f: f.ethernet(
            f.udp6(protocol=60, payload=(b"\x3c\0" + bytes(6)) * 40), ether_type=ETHERTYPE_IPV6
        ),
        {"EXTENSION_HEADERS", "TRUNCATED"},
    ),
    "802.1Q tag": (
        lambda f: f.ethernet(b"\x00\x05\x08\x00" + f.udp(), ether_type=0x8100),
        {"VLAN"},
    ),
    "nested tags": (
        lambda f: f.ethernet(b"\x00\x05\x81\x00\x00\x06\x08\x00" + f.udp(), ether_type=0x88A8),
        {"VLAN"},
    ),
    "somebody else's MAC": (
        lambda f: f.ethernet(f.udp(), source=OTHER_MAC),
        {"SPOOFED_MAC"},
    ),
    "somebody else's IPv4 address": (
        lambda f: f.ethernet(f.udp(source=IPv4Address("10.1.1.77"))),
        {"SPOOFED_ADDRESS"},
    ),
    "somebody else's IPv6 address": (
        lambda f: f.ethernet(f.udp6(source=IPv6Address("fd10:1:1::77")), ether_type=ETHERTYPE_IPV6),
        {"SPOOFED_ADDRESS"},
    ),
    "ARP cut short": (
        lambda f: f.ethernet(bytes.fromhex("0001080006040001"), ether_type=0x0806),
        {"ARP_MALFORMED", "TRUNCATED"},
    ),
    "ARP for another hardware": (
        lambda f: f.ethernet(bytes.fromhex("0099080006040001") + bytes(20), ether_type=0x0806),
        {"ARP_MALFORMED"},
    ),
    "unknown ether type to an unknown MAC": (
        lambda f: f.ethernet(bytes(50), ether_type=0x9999, destination=OTHER_MAC),
        {"UNKNOWN_MAC"},
    ),
    "hop limit used up": (
        lambda f: f.ethernet(f.udp(hop_limit=0)),
        {"TTL", "MALFORMED"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_crafted_frame_is_a_counted_drop(lab, frames, drop_growth, eventually, case):
    make, reasons = CASES[case]
    grown = drop_growth("red-web1")

    send(lab, make(frames))

    def counted():
        return sum(grown().get(reason, 0) for reason in reasons) >= COUNT

    eventually(counted, f"{COUNT} drops of one of {sorted(reasons)}")


PUNTED = {
    "DHCP without the magic cookie": (67, bytes(300)),
    "DHCP cut short": (67, b"\x01\x01\x06"),
    "DHCP with options beyond its end": (67, bytes(236) + b"\x63\x82\x53\x63\x35\xff"),
    "DNS cut short": (53, b"\0\1"),
    "DNS with a compression loop": (53, bytes.fromhex("000101000001000000000000c00c00010001")),
    "DNS with counts beyond its end": (53, bytes.fromhex("0001010099990000000000000161")),
    "DNS answer instead of a question": (
        53,
        bytes.fromhex("00018180000100000000000001610000010001"),
    ),
}


@pytest.mark.parametrize("case", PUNTED)
def test_malformed_request_is_left_alone_and_the_agent_lives(lab, frames, ping, case):
    port, payload = PUNTED[case]
    target = IPv4Address("10.1.1.2" if port == 53 else "255.255.255.255")
    source = frames.source if port == 53 else IPv4Address(0)
    datagram = UdpDatagram(68 if port == 67 else 5353, port, payload).encode(source, target)
    packet = IpPacket(source=source, destination=target, protocol=UDP, payload=datagram).encode()
    destination = GATEWAY_MAC if port == 53 else Mac(b"\xff" * 6)
    before = lab.processes.identity("compute1")

    send(lab, frames.ethernet(packet, destination=destination))

    assert ping("red-web1", "red-web2").wait_replies(5, timeout_s=30)
    assert lab.processes.identity("compute1") == before
    assert show.process_health(lab, "compute1")[0] == "healthy"
    assert decode_ip(packet).protocol == UDP


def test_random_frames_crash_nothing(lab, frames, ping):
    import random

    chance = random.Random(2026)
    good = [frames.ethernet(frames.udp()), frames.ethernet(frames.udp6(), ether_type=0x86DD)]
    spoiled = []
    for _ in range(2000):
        frame = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 8)):
            frame[chance.randrange(12, len(frame))] = chance.randrange(256)
        spoiled.append(bytes(frame[: chance.randint(14, len(frame))]))
    processes = {name: lab.processes.identity(name) for name in ("compute1", "compute2")}

    send(lab, *spoiled, count=1)

    assert ping("red-web1", "red-web2").wait_replies(20, timeout_s=30)
    assert {name: lab.processes.identity(name) for name in processes} == processes


def send(lab, *frames, count=COUNT):
    namespace = lab.plan.namespace_of("red-web1")
    with netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("eth0", 0))
        for frame in frames:
            for _ in range(count):
                sender.send(frame)
