"""Hosts whose underlay is IPv6 alone: networks of both IP versions, policy, and a crash of an agent."""

import asyncio
import contextlib
import os
import socket
import struct
from pathlib import Path

import pytest

from skytrail.lab import check, health, vrouter
from skytrail.lab.io import netns
from skytrail.lab.io.capture import Capture
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.underlay_packet import decode_tunnel
from skytrail.wire.errors import DecodeError

EXAMPLE = Path(__file__).parents[2] / "examples" / "ipv6-underlay"

PORT = 5007

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def lab(lab_of):
    with lab_of(EXAMPLE, "stu") as created:
        yield created


@pytest.fixture(scope="module")
def members(lab):
    return check.members(lab)


def opened(frame):
    try:
        return decode_tunnel(frame)
    except DecodeError:
        return None


def test_everything_stated_in_the_topology_is_seen(lab):
    cells = asyncio.run(check.check(lab))

    assert [(each.expectation, each.seen) for each in cells if not each.ok] == []


@pytest.mark.parametrize("version", [4, 6])
def test_packets_travel_between_the_ipv6_addresses_of_hosts(lab, members, version):
    sender, receiver = lab.plan.node("compute1"), lab.plan.node("compute2")
    far = members["db1"].address(version=version)

    def is_ours(frame):
        packet = opened(frame)
        inner = packet.inner_ip if packet else None
        return inner is not None and inner.destination == far

    with (
        Capture(receiver.namespace, "underlay0") as capture,
        PingTraffic(lab.plan.namespace_of("web1"), far),
    ):
        found = capture.wait_for(is_ours, 30)

    assert found is not None
    packet = opened(found.frame)
    assert (packet.outer_source, packet.outer_destination) == (sender.place, receiver.place)
    assert f"outer IPv6 {sender.place} > {receiver.place}" in packet.lines()[0]


def udp_socket(stack, lab, name, family):
    """A UDP socket in a workload, and the index of the link there."""
    with netns.entered(lab.plan.namespace_of(name)):
        made = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        return made, socket.if_nametoindex("eth0")


@pytest.mark.parametrize("group", ["255.255.255.255", "ff05::987"])
def test_what_is_for_everybody_reaches_the_network_on_the_other_host_once(lab, eventually, group):
    family = socket.AF_INET6 if ":" in group else socket.AF_INET
    with contextlib.ExitStack() as stack:
        mouth, index = udp_socket(stack, lab, "web1", family)
        mouth.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if family == socket.AF_INET6:
            mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        ears = {}
        for name in ("web2", "db1"):
            ears[name], index = udp_socket(stack, lab, name, family)
            ears[name].bind(("", PORT))
            ears[name].settimeout(0.5)
            if family == socket.AF_INET6:
                joined = socket.inet_pton(family, group) + struct.pack("=i", index)
                ears[name].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, joined)

        def said_and_heard():
            token = os.urandom(12)
            mouth.sendto(token, (group, PORT))
            with contextlib.suppress(TimeoutError):
                return ears["web2"].recv(100) == token
            return False

        eventually(said_and_heard, "a copy for the other host")
        for ear in ears.values():  # No second copy, and none for the other network.
            with pytest.raises(TimeoutError):
                ear.recv(100)


def test_trace_names_the_way_and_the_rule(lab, members):
    query = {"vmi": lab.attached("web1").uuid, "dst": str(members["db1"].address(version=4))}
    passed = vrouter.explain(lab, "compute1", query | {"proto": "tcp", "port": "80"})
    denied = vrouter.explain(lab, "compute1", query | {"proto": "tcp", "port": "23"})

    assert passed.remote == str(lab.plan.node("compute2").place)
    assert denied.drop_reason == "POLICY"


def test_traffic_goes_on_while_an_agent_is_dead_and_when_it_is_back(lab, members):
    with contextlib.ExitStack() as stack:
        namespace = lab.plan.namespace_of("web1")
        flows = [
            stack.enter_context(PingTraffic(namespace, members["web2"].address(version=version)))
            for version in (4, 6)
        ]
        assert all(flow.wait_replies(20, 30) for flow in flows)

        lab.kill("compute1")
        try:
            during = all(flow.wait_replies(20, 30) for flow in flows)
        finally:
            lab.restart("compute1")
        health.wait_healthy(lab, "compute1")

        assert during
        assert all(flow.wait_replies(20, 30) for flow in flows)
        assert [flow.stop().lost for flow in flows] == [0, 0]
