"""One workload's flood of requests leaves the others of its host their leases and names."""

import subprocess
import sys

import pytest

from skytrail.lab.io import netns

FLOOD = """
import socket, struct, sys
own, server, gateway = sys.argv[1:]
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("eth0", 0))
mac = link.getsockname()[4]
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
def ip(source, to, protocol, payload):
    head = struct.pack("!BBHHHBBH4s4s", 69, 0, 20 + len(payload), 1, 0, 64, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(to))
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload
def udp(source, to, payload):
    return struct.pack("!HHHH", source, to, 8 + len(payload), 0) + payload
router, everybody = bytes.fromhex("00005e000100"), b"\\xff" * 6
asks = b"\\1\\1\\6\\0" + bytes(24) + mac + bytes(202) + b"c\\x82Sc\\x35\\1\\1\\xff"
name = b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\4none\\3red\\7example\\0\\0\\1\\0\\1"
echo = b"\\x08\\0\\0\\0\\0\\1\\0\\1"
echo = echo[:2] + checksum(echo).to_bytes(2, "big") + echo[4:]
frames = [
    everybody + mac + b"\\x08\\0" + ip("0.0.0.0", "255.255.255.255", 17, udp(68, 67, asks)),
    router + mac + b"\\x08\\0" + ip(own, server, 17, udp(4000, 53, name)),
    router + mac + b"\\x08\\0" + ip(own, gateway, 1, echo),
]
print("ready", flush=True)
while True:
    for frame in frames:
        try:
            link.send(frame)
        except OSError:
            pass
"""
CLASSES = {"PUNT_RATE", "PUNT_RATE_DHCP", "PUNT_RATE_DNS"}


@pytest.fixture
def flood(lab, members):
    """Let a workload send requests as fast as it can."""
    running = []

    def start(name):
        own = str(members[name].address(version=4))
        command = [sys.executable, "-c", FLOOD, own, "10.1.1.2", "10.1.1.1"]
        process = subprocess.Popen(
            netns.inside(lab.plan.namespace_of(name), command), stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout.readline() == "ready\n"

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_flood_of_one_workload_leaves_another_of_its_host_its_lease_and_names(
    lab, flood, drop_growth, eventually
):
    loud, quiet = "red-web2", "red-app"
    assert lab.topology.endpoint(loud).host == lab.topology.endpoint(quiet).host
    by_loud, by_quiet = drop_growth(loud), drop_growth(quiet)
    lease = ["udhcpc", "-f", "-n", "-q", "-i", "eth0", "-s", "/bin/true", "-t", "3", "-T", "1"]

    flood(loud)
    eventually(lambda: by_loud().keys() >= CLASSES, "the flood is limited by class")
    for _ in range(3):
        netns.run(lab.command_in(quiet, lease))
        netns.run(lab.command_in(quiet, ["getent", "ahostsv4", "web2.red.example"]))

    assert not [reason for reason in by_quiet() if reason.startswith("PUNT")]
