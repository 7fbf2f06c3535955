"""What travels between hosts: encapsulations, sizes, and what a stranger on the underlay can do."""

import contextlib
import socket
import subprocess

import pytest

from skytrail.lab import vrouter
from skytrail.lab.io import netns
from skytrail.lab.io.capture import Capture
from skytrail.lab.plan import UNDERLAY_IFNAME
from skytrail.lab.underlay_packet import decode_tunnel
from skytrail.net import Mac
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import ETHERTYPE_IPV4, EthernetFrame, IpPacket, UdpDatagram

COUNT = 10
SENDER, RECEIVER = "red-web1", "red-web2"


def opened(frame):
    with contextlib.suppress(DecodeError):
        return decode_tunnel(frame)
    return None


@pytest.fixture
def one_tunnel_packet(lab, ping):
    """Capture one tunnel packet that reaches compute2 while red-web1 pings red-web2."""

    def get(timeout_s=5):
        node = lab.plan.node("compute2")
        with Capture(lab.plan.router_namespace, node.router_ifname) as capture:
            ping(SENDER, RECEIVER)
            found = capture.wait_for(
                lambda frame: (
                    (packet := opened(frame)) is not None
                    and packet.outer_destination == node.address
                ),
                timeout_s,
            )
        return opened(found.frame) if found else None

    return get


@pytest.fixture
def encapsulation(api, eventually):
    """Choose the encapsulation; the default order is restored afterwards."""
    name = ["default-global-system-config", "default-global-vrouter-config"]
    uuid = api.name_to_id("global-vrouter-config", name)
    before = api.read("global-vrouter-config", uuid).get("encapsulation_priorities")

    def choose(*order):
        priorities = {"encapsulation_priorities": {"encapsulation": list(order)}}
        api.update("global-vrouter-config", uuid, priorities)

    yield choose
    if before:
        api.update("global-vrouter-config", uuid, {"encapsulation_priorities": before})
    else:
        choose("MPLSoUDP", "MPLSoGRE", "VXLAN")


@pytest.mark.parametrize("kind", ["MPLSoGRE", "VXLAN", "MPLSoUDP"])
def test_encapsulation_follows_the_configured_priority(
    one_tunnel_packet, encapsulation, eventually, kind
):
    encapsulation(kind, *({"MPLSoUDP", "MPLSoGRE", "VXLAN"} - {kind}))

    def uses_it():
        packet = one_tunnel_packet()
        return packet if packet and packet.encapsulation == kind else None

    packet = eventually(uses_it, f"packets use {kind}")
    inner = packet.inner_ip
    assert inner is not None
    assert str(inner.destination).startswith("10.1.1.")


def test_label_is_the_receivers_for_that_port(lab, one_tunnel_packet):
    packet = one_tunnel_packet()

    assert packet.encapsulation == "MPLSoUDP"
    assert packet.bottom_of_stack
    meaning = vrouter.labels(lab, "compute2")[packet.label]
    assert lab.attached(RECEIVER).uuid in meaning


def test_inner_hop_limit_is_kept_inside_one_network(one_tunnel_packet):
    assert one_tunnel_packet().inner_ip.hop_limit == 64


@pytest.fixture
def ping_once(lab, members):
    """Run the real ping program in a workload; return (status, output)."""

    def run(*options, source=SENDER, destination=RECEIVER, version=4):
        address = str(members[destination].address(version=version))
        command = ["ping", f"-{version}", "-c", "2", "-i", "0.2", "-W", "5", *options, address]
        finished = subprocess.run(
            lab.command_in(source, command), capture_output=True, text=True, check=False
        )
        return finished.returncode, finished.stdout

    return run


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [0, 1, 1400, 1472, 8000, 20000])
def test_packets_of_every_size_arrive_also_in_fragments(ping_once, size, version):
    status, output = ping_once("-s", str(size), version=version)

    assert status == 0, output


def test_packet_too_big_for_the_tunnel_is_told_to_the_sender(lab, ping_once):
    """Only when the workload's own MTU is too large: a machine that ignored the DHCP option."""
    netns.configure(lab.plan.namespace_of(SENDER), ["link set dev eth0 mtu 9000"])
    host = lab.plan.node("compute1").namespace
    netns.configure(host, [f"link set dev {lab.attached(SENDER).ifname} mtu 9000"])
    try:
        status, output = ping_once("-M", "do", "-s", "3000")
    finally:
        netns.configure(host, [f"link set dev {lab.attached(SENDER).ifname} mtu 1600"])
        netns.configure(lab.plan.namespace_of(SENDER), ["link set dev eth0 mtu 1550"])

    assert status != 0
    assert "mtu" in output.lower(), output


@pytest.mark.parametrize("streams", ["1", "4"])
def test_tcp_bulk_flows_across_hosts_with_segmentation_offload(lab, members, eventually, streams):
    address = str(members[RECEIVER].address(version=4))
    server = subprocess.Popen(
        lab.command_in(RECEIVER, ["iperf3", "-s", "-1", "-p", "5301"]), stdout=subprocess.DEVNULL
    )
    listeners = lab.command_in(RECEIVER, ["ss", "-Hltn", "sport = :5301"])
    with server:
        eventually(lambda: netns.run(listeners), "iperf3 listens")
        command = ["iperf3", "-c", address, "-p", "5301", "-n", "50M", "-P", streams]
        finished = subprocess.run(
            lab.command_in(SENDER, command), capture_output=True, text=True, check=False, timeout=60
        )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_hop_limit_exceeded_is_told_by_the_gateway_between_networks(lab, ping_once):
    status, output = ping_once("-t", "1", destination="red-app")

    assert status != 0
    assert "Time to live exceeded" in output, output


def label(number, *, bottom=True, ttl=64):
    return (number << 12 | (0x100 if bottom else 0) | ttl).to_bytes(4)


INNER = bytes.fromhex("4500001c00010000400166dd0a0101030a0101040800f7ff00000000")
STRANGE = {
    "unknown label": (6635, label(900_000) + INNER, {"LABEL_UNKNOWN"}),
    "reserved label": (6635, label(3) + INNER, {"LABEL_UNKNOWN", "TUNNEL_HEADER"}),
    "label stack of two": (6635, label(16, bottom=False) + label(17) + INNER, {"TUNNEL_HEADER"}),
    "label cut short": (6635, b"\0\0", {"TRUNCATED", "TUNNEL_HEADER", "OUTER_HEADER"}),
    "label without packet": (6635, label(16), {"TRUNCATED", "NOT_IP", "MALFORMED"}),
    "unknown VNI": (4789, b"\x08\0\0\0\xff\xff\xff\0" + bytes(64), {"VNI_UNKNOWN"}),
    "VXLAN without the I flag": (4789, bytes(8) + bytes(64), {"TUNNEL_HEADER"}),
    "VXLAN cut short": (4789, b"\x08\0", {"TRUNCATED", "TUNNEL_HEADER", "OUTER_HEADER"}),
}


@pytest.mark.parametrize("case", STRANGE)
def test_stranger_on_the_underlay_is_a_counted_drop(lab, eventually, case):
    port, payload, reasons = STRANGE[case]
    receiver = lab.plan.node("compute2")
    source = lab.plan.node("compute1").address
    datagram = UdpDatagram(50000, port, payload).encode(source, receiver.address)
    outer = IpPacket(
        source=source, destination=receiver.address, protocol=17, payload=datagram
    ).encode()
    before = vrouter.drops(lab, "compute2")

    send(lab, receiver, outer)

    def counted():
        grown = vrouter.growth(before, vrouter.drops(lab, "compute2"))
        return sum(grown.get(reason, 0) for reason in reasons) >= COUNT

    eventually(counted, f"{COUNT} drops of one of {sorted(reasons)}")


def send(lab, receiver, packet):
    """Put a packet on the link to a host, as the underlay router would."""
    router = lab.plan.router_namespace
    with netns.open_socket(router, socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((receiver.router_ifname, 0))
        frame = EthernetFrame(
            destination=netns.mac_of(receiver.namespace, UNDERLAY_IFNAME),
            source=Mac.parse("02:00:00:00:00:01"),
            ether_type=ETHERTYPE_IPV4,
            payload=packet,
        ).encode()
        for _ in range(COUNT):
            sender.send(frame)
