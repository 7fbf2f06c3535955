"""Frames for MACs that nobody is known to have: dropped, or for everybody where a network asks."""

import os
import socket
import struct
import time
from contextlib import ExitStack

import pytest

from skytrail.lab.io import netns
from skytrail.runtime.introspection import read_table

ETHERTYPE_IP, ETHERTYPE_TEST = 0x0800, 0x88B5
NOBODY = bytes.fromhex("02000000beef")
EVERYBODY_ELSE = ("red-web2", "red-app", "red-store", "blue-web1", "blue-web2")
FRONT = ["default-domain", "red", "front"]
QUIET_S = 0.5
PATIENCE_S = 20.0


def checksum(header):
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - ((total & 0xFFFF) + (total >> 16))


def ip_packet(source, payload):
    """A datagram to an address of the subnet that nobody has."""
    target = bytes((*source.packed[:3], 250))
    head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 7, 0, 64, 17, 0)
    addresses = source.packed + target
    head = head[:10] + struct.pack("!H", checksum(head + addresses)) + addresses
    return head + struct.pack("!HHHH", 5009, 5009, 8 + len(payload), 0) + payload


def raw_socket(stack, lab, name):
    with netns.entered(lab.plan.namespace_of(name)):
        made = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        made.bind(("eth0", socket.htons(0)))
    return made


def listening(stack, lab, name):
    with netns.entered(lab.plan.namespace_of(name)):
        every = socket.htons(0x0003)
        made = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, every))
        made.bind(("eth0", 0x0003))
    made.setblocking(False)
    return made


def copies(ears, token, expected):
    """How many frames with the token each has seen; outgoing ones not counted.

    Those expected are waited for, others for a while.
    """
    counts = dict.fromkeys(ears, 0)
    deadline, quiet_since = time.monotonic() + PATIENCE_S, None
    while quiet_since is None or time.monotonic() < quiet_since + QUIET_S:
        for name, ear in ears.items():
            try:
                while True:
                    frame, address = ear.recvfrom(65535)
                    counts[name] += token in frame and address[2] != socket.PACKET_OUTGOING
            except BlockingIOError:
                pass
        if quiet_since is None and (
            all(counts[name] for name in expected) or time.monotonic() > deadline
        ):
            quiet_since = time.monotonic()
        time.sleep(0.02)
    return counts


def send(lab, members, *, is_ip, expected=()):
    """Send one frame to a MAC nobody has; return how many copies each other workload saw."""
    token = os.urandom(16)
    with ExitStack() as stack:
        ears = {name: listening(stack, lab, name) for name in EVERYBODY_ELSE}
        mouth = raw_socket(stack, lab, "red-web1")
        own = mouth.getsockname()[4]
        payload = token.ljust(46, b".")
        ethertype = ETHERTYPE_IP if is_ip else ETHERTYPE_TEST
        if is_ip:
            payload = ip_packet(members["red-web1"].address(version=4), payload)
        mouth.send(NOBODY + own + struct.pack("!H", ethertype) + payload)
        return copies(ears, token, expected)


@pytest.fixture
def flooding(lab, api, eventually):
    uuid = api.name_to_id("virtual-network", FRONT)

    def is_known(wanted):
        return [wanted, wanted] == [
            row["floods_unknown"]
            for host in ("compute1", "compute2")
            for row in read_table(lab.paths.introspect_socket(host), "vrfs")
            if row["name"] == ":".join((*FRONT, "front"))
        ]

    def ask(*, wanted):
        api.update("virtual-network", uuid, {"flood_unknown_unicast": wanted})
        eventually(lambda: is_known(wanted), "the hosts know")

    yield ask
    ask(wanted=False)


@pytest.mark.parametrize("is_ip", [False, True], ids=["not-ip", "ipv4"])
def test_a_frame_for_nobody_is_dropped_and_counted(lab, members, drop_growth, is_ip):
    grown = drop_growth("red-web1")

    assert set(send(lab, members, is_ip=is_ip).values()) == {0}
    assert grown().get("NO_ROUTE" if is_ip else "UNKNOWN_MAC", 0) >= 1


@pytest.mark.parametrize("is_ip", [False, True], ids=["not-ip", "ipv4"])
def test_a_network_that_asks_has_it_flooded_to_its_own_members_once(lab, members, flooding, is_ip):
    flooding(wanted=True)

    assert send(lab, members, is_ip=is_ip, expected=("red-web2",)) == {
        name: int(name == "red-web2") for name in EVERYBODY_ELSE
    }

    flooding(wanted=False)
    assert set(send(lab, members, is_ip=is_ip).values()) == {0}


def test_host_whose_agent_just_restarted_follows_the_setting_at_once(lab, members, flooding):
    """What it cannot know yet is whom to take out of its tables, not what the network asks for."""
    lab.kill("compute2")
    lab.restart("compute2")

    flooding(wanted=True)

    assert send(lab, members, is_ip=False, expected=("red-web2",)) == {
        name: int(name == "red-web2") for name in EVERYBODY_ELSE
    }
