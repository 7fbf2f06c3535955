"""What a workload sends to everybody reaches its network, on all hosts, once, and nobody else."""

import os
import socket
import struct
import time
from contextlib import ExitStack

import pytest

from skytrail.lab.io import netns

ALL = ("red-web1", "red-web2", "red-app", "red-store", "blue-web1", "blue-web2")
PORT = 5007
QUIET_S = 0.5
"""How long copies that must not be are waited for."""


def listening(stack, lab, name, group, family):
    """A UDP socket in a workload that takes what is sent to the group."""
    with netns.entered(lab.plan.namespace_of(name)):
        ear = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        index = socket.if_nametoindex("eth0")
    ear.bind(("", PORT))
    ear.settimeout(30)
    if family == socket.AF_INET6:
        request = socket.inet_pton(family, group) + struct.pack("=i", index)
        ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    elif group.startswith("239"):
        request = struct.pack("=4s4si", socket.inet_aton(group), bytes(4), index)
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    return ear


def say(stack, lab, name, group, family, token):
    with netns.entered(lab.plan.namespace_of(name)):
        mouth = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        index = socket.if_nametoindex("eth0")
    mouth.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if family == socket.AF_INET6:
        mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    else:
        request = struct.pack("=4s4si", bytes(4), bytes(4), index)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    mouth.sendto(token, (group, PORT))


def heard(ear, token):
    """How many copies have come, those that are late not counted."""
    ear.setblocking(False)
    count = 0
    while True:
        try:
            count += ear.recv(100) == token
        except BlockingIOError:
            return count


@pytest.mark.parametrize("sender", ["red-web1", "red-web2", "blue-web2"])
@pytest.mark.parametrize("group", ["255.255.255.255", "subnet", "239.9.8.7", "ff05::987"])
def test_everybody_in_the_network_hears_it_once_and_nobody_else(
    lab, members, eventually, sender, group
):
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    if family == socket.AF_INET6 and sender.startswith("blue"):
        pytest.skip("this network has no IPv6")
    if group == "subnet":
        # All networks of the example are /24.
        address = members[sender].address(version=4)
        group = str(address).rpartition(".")[0] + ".255"
    token = os.urandom(12)
    with ExitStack() as stack:
        ears = {name: listening(stack, lab, name, group, family) for name in ALL}
        say(stack, lab, sender, group, family, token)
        mates = {"red-web1": "red-web2", "red-web2": "red-web1", "blue-web2": "blue-web1"}
        assert ears[mates[sender]].recv(100) == token
        time.sleep(QUIET_S)
        more = {name: heard(ear, token) for name, ear in ears.items()}
    # The sender's own kernel may give it its broadcast back; copies of the network it must not get.
    assert not {name: count for name, count in more.items() if count and name != sender}
    assert more[sender] <= 1
