"""Broadcast and multicast between namespaces: everybody in the network, once, and nobody else."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_network
from typing import Self

import frames
import pytest
from rig import (
    BRIDGE_NEXTHOP_BASE,
    UNDERLAY_MTU,
    VNI,
    Host,
    Rig,
    Workload,
    inside,
)

from skytrail.agent.tables import (
    Action,
    Encapsulation,
    FloodRow,
    IdentityId,
    InetRouteRow,
    LabelRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    Row,
    RuleId,
    VerdictRow,
    VrfId,
)
from skytrail.net import BROADCAST_MAC

pytestmark = pytest.mark.root
TUNNELS = [each for each in Encapsulation if each is not Encapsulation.NATIVE]
every_tunnel = pytest.mark.parametrize("encapsulation", TUNNELS)
LAYER2_NEXTHOP_BASE, LAYER2_TUNNEL_BASE = 400, 500
FLOOD_LABEL = 3000
QUIET_S = 0.3
ANY_ETHERTYPE = 3
EXPERIMENT = 0x88B5
"""An EtherType for experiments (IEEE 802)."""


@pytest.fixture(scope="module", params=[4, 6])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Network 1: workloads 1, 2 on host 1, 3 on host 2, 4 on host 3; network 2: 5, 6."""
    made = Rig(3, version=request.param)
    try:
        for host in (0, 0, 1, 2):
            made.add_workload(made.hosts[host])
        for host in (0, 1):
            made.add_workload(made.hosts[host], vrf=2, subnet=1)
        yield made
    finally:
        made.close()


def program(rig: Rig, *encapsulations: Encapsulation, policy: int = 0) -> None:
    rig.encapsulation = dict(enumerate(encapsulations, start=1))
    for workload in rig.workloads:
        workload.policy_ingress = policy
        workload.identity = workload.vrf
    rig.program()
    for host in rig.hosts:
        host.datapath.apply(list(flood_rows(rig, host)), [])


def flood_rows(rig: Rig, host: Host) -> Iterator[Row]:
    for other in rig.hosts:
        if other is not host:
            yield NextHopRow(
                nexthop_id=NextHopId(LAYER2_TUNNEL_BASE + other.number),
                kind=NextHopKind.TUNNEL,
                layer2=True,
                encapsulation=rig.encapsulation[other.number],
                local=host.address,
                remote=other.address,
                out_ifindex=host.ifindex,
                out_source_mac=host.mac,
                out_destination_mac=host.neighbour_mac,
            )
    for workload in host.workloads:
        yield NextHopRow(
            nexthop_id=NextHopId(LAYER2_NEXTHOP_BASE + workload.number),
            kind=NextHopKind.INTERFACE,
            vif_id=workload.vif,
            layer2=True,
        )
    for vrf in sorted({workload.vrf for workload in rig.workloads}):
        bridge = NextHopId(BRIDGE_NEXTHOP_BASE + vrf)
        broadcast = ip_network("10.1.1.255/32")
        yield LabelRow(FLOOD_LABEL + vrf, bridge)
        yield InetRouteRow(vrf, broadcast, bridge, 0, IdentityId(0))
        members = [
            (NextHopId(LAYER2_NEXTHOP_BASE + workload.number), 0)
            for workload in host.workloads
            if workload.vrf == vrf
        ]
        sizes = {Encapsulation.MPLS_GRE: 42, Encapsulation.MPLS_UDP: 46, Encapsulation.VXLAN: 50}
        others = [
            other
            for other in rig.hosts
            if other is not host and any(w.vrf == vrf for w in other.workloads)
        ]
        for other in sorted(others, key=lambda each: sizes[rig.encapsulation[each.number]]):
            vxlan = rig.encapsulation[other.number] is Encapsulation.VXLAN
            label = (VNI if vxlan else FLOOD_LABEL) + vrf
            members.append((NextHopId(LAYER2_TUNNEL_BASE + other.number), label))
        yield FloodRow(vrf, tuple(members))


class Ears:
    """Packet sockets in every workload; counts frames that hold a token."""

    def __init__(self, workloads: list[Workload]) -> None:
        self.workloads = workloads
        self.stack = ExitStack()
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        for workload in self.workloads:
            with inside(workload.namespace):
                ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ANY_ETHERTYPE))
                self.stack.enter_context(ear)
                ear.bind(("eth0", ANY_ETHERTYPE))
                ear.setblocking(False)
                self.sockets.append(ear)
        return self

    def __exit__(self, *details: object) -> None:
        self.stack.close()

    def heard(self, token: bytes) -> dict[int, list[bytes]]:
        """Frames with the token by workload number, of those that came in."""
        time.sleep(QUIET_S)
        found: dict[int, list[bytes]] = {}
        for workload, ear in zip(self.workloads, self.sockets, strict=True):
            while True:
                try:
                    frame, place = ear.recvfrom(4096)
                except BlockingIOError:
                    break
                if token in frame and place[2] != socket.PACKET_OUTGOING:
                    found.setdefault(workload.number, []).append(frame)
        return found


def say(workload: Workload, frame: bytes) -> None:
    shout(workload, frame, 1)


def shout(workload: Workload, frame: bytes, count: int) -> None:
    """Send the same frame so many times, as fast as can be."""
    with (
        inside(workload.namespace),
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ANY_ETHERTYPE)) as mouth,
    ):
        mouth.bind(("eth0", 0))
        for _ in range(count):
            mouth.send(frame)


def udp_to(workload: Workload, group: str, token: bytes, mac: bytes) -> bytes:
    source = workload.address6 if ":" in group else workload.address4
    packet = frames.ip(str(source), group, 17, frames.udp(4000, 4001, token))
    ethertype = 0x86DD if ":" in group else 0x0800
    return frames.ethernet(mac, workload.mac.packed, ethertype, packet)


GROUPS = {
    "255.255.255.255": BROADCAST_MAC.packed,
    "10.1.1.255": BROADCAST_MAC.packed,
    "239.1.2.3": bytes.fromhex("01005e010203"),
    "ff05::1234": bytes.fromhex("333300001234"),
}


@every_tunnel
@pytest.mark.parametrize("group", GROUPS)
def test_everybody_in_the_network_gets_one_copy(
    rig: Rig, encapsulation: Encapsulation, group: str
) -> None:
    program(rig, *(encapsulation,) * 3)
    token = os.urandom(12)
    with Ears(rig.workloads) as ears:
        frame = udp_to(rig.workloads[0], group, token, GROUPS[group])
        say(rig.workloads[0], frame)
        heard = ears.heard(token)

    assert {number: len(got) for number, got in heard.items()} == {2: 1, 3: 1, 4: 1}
    assert all(got == [frame] for got in heard.values())


@every_tunnel
def test_frames_that_are_no_ip_are_copied_too(rig: Rig, encapsulation: Encapsulation) -> None:
    program(rig, *(encapsulation,) * 3)
    token = os.urandom(50)
    sender = rig.workloads[3]
    frame = frames.ethernet(bytes.fromhex("01005e000001"), sender.mac.packed, EXPERIMENT, token)
    with Ears(rig.workloads) as ears:
        say(sender, frame)
        heard = ears.heard(token)

    assert heard == {1: [frame], 2: [frame], 3: [frame]}


def test_members_by_different_encapsulations_get_what_was_sent(rig: Rig) -> None:
    program(rig, Encapsulation.VXLAN, Encapsulation.MPLS_GRE, Encapsulation.MPLS_UDP)
    for sender in rig.workloads[:4]:
        token = os.urandom(12)
        with Ears(rig.workloads) as ears:
            frame = udp_to(sender, "255.255.255.255", token, BROADCAST_MAC.packed)
            say(sender, frame)
            heard = ears.heard(token)
        assert heard == {n: [frame] for n in range(1, 5) if n != sender.number}


@pytest.mark.parametrize("text", [b"", b"hello all", b"x" * 100])
def test_a_socket_s_broadcast_with_offloaded_checksum_arrives_whole(rig: Rig, text: bytes) -> None:
    """The kernel leaves the checksum to the device; receivers' stacks check it. Shorter ones than an
    IPv6 header took another way out of a tunnel over IPv6 before Linux 6.3."""
    program(rig, *(Encapsulation.MPLS_UDP,) * 3)
    with ExitStack() as stack:
        receivers = []
        for workload in rig.workloads[1:4]:
            with inside(workload.namespace):
                receiver = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                receiver.bind(("", 5353))
                receiver.settimeout(3)
                receivers.append(receiver)
        with inside(rig.workloads[0].namespace):
            sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.sendto(text, ("10.1.1.255", 5353))
        for receiver in receivers:
            assert receiver.recvfrom(1000)[0] == text


def test_a_forged_source_is_told_to_nobody(rig: Rig) -> None:
    program(rig, *(Encapsulation.MPLS_UDP,) * 3)
    token, sender = os.urandom(12), rig.workloads[0]
    other = rig.workloads[2]
    by_address = frames.ip(str(other.address4), "239.1.1.1", 17, frames.udp(1, 2, token))
    with Ears(rig.workloads) as ears:
        group = bytes.fromhex("01005e010101")
        say(sender, frames.ethernet(group, sender.mac.packed, 0x0800, by_address))
        say(sender, frames.ethernet(group, other.mac.packed, EXPERIMENT, token + bytes(40)))
        assert ears.heard(token) == {}


def test_a_receiver_s_policy_holds_for_what_was_sent_to_all(rig: Rig) -> None:
    """Policy 7 admits UDP 4001 from identity 1 only."""
    program(rig, *(Encapsulation.MPLS_UDP,) * 3, policy=7)
    policy = PolicyId(7)
    rules: list[Row] = [
        PolicyIdentityRow(policy, IdentityId(1), 1),
        PolicyPrefixRow(policy, ip_network("0.0.0.0/0"), 1),
        VerdictRow(policy, 1, 1, 17, 4001, 16, Action.ALLOW, RuleId(9)),
    ]
    for host in rig.hosts:
        host.datapath.apply(rules, [])
    token, sender = os.urandom(12), rig.workloads[0]
    denied = frames.ip(str(sender.address4), "239.1.1.1", 17, frames.udp(4000, 4002, token))
    with Ears(rig.workloads) as ears:
        say(sender, udp_to(sender, "239.1.1.1", token, bytes.fromhex("01005e010101")))
        assert {n: len(got) for n, got in ears.heard(token).items()} == {2: 1, 3: 1, 4: 1}
        say(
            sender,
            frames.ethernet(bytes.fromhex("01005e010101"), sender.mac.packed, 0x0800, denied),
        )
        assert ears.heard(token) == {}
    for host in rig.hosts:
        host.datapath.apply([], rules)


def test_a_rule_that_leads_through_a_service_admits_no_copies(rig: Rig) -> None:
    program(rig, *(Encapsulation.MPLS_UDP,) * 3, policy=7)
    policy = PolicyId(7)
    rules: list[Row] = [
        PolicyIdentityRow(policy, IdentityId(1), 1),
        PolicyPrefixRow(policy, ip_network("0.0.0.0/0"), 1),
        VerdictRow(policy, 1, 1, 17, 4001, 16, Action.ALLOW, RuleId(9), vrf_id=VrfId(2)),
    ]
    for host in rig.hosts:
        host.datapath.apply(rules, [])
    token, sender = os.urandom(12), rig.workloads[0]
    with Ears(rig.workloads) as ears:
        say(sender, udp_to(sender, "239.1.1.1", token, bytes.fromhex("01005e010101")))
        assert ears.heard(token) == {}
    for host in rig.hosts:
        host.datapath.apply([], rules)


def test_copies_for_whom_there_is_no_place_are_counted(rig: Rig) -> None:
    program(rig, *(Encapsulation.MPLS_UDP,) * 3)
    host, sender = rig.hosts[0], rig.workloads[0]
    row = next(r for r in flood_rows(rig, host) if isinstance(r, FloodRow) and r.vrf_id == 1)
    cut = FloodRow(row.vrf_id, row.members[:2], beyond_count=2)
    host.datapath.apply([cut], [])
    before = host.datapath.drop_counts().get("FLOOD_LIMIT", 0)
    token = os.urandom(12)
    with Ears(rig.workloads) as ears:
        say(sender, udp_to(sender, "239.1.1.1", token, bytes.fromhex("01005e010101")))
        assert set(ears.heard(token)) == {2}
    assert host.datapath.drop_counts()["FLOOD_LIMIT"] == before + 1
    assert list(host.datapath.dump(FloodRow)) != []


def test_frames_beyond_the_tunnel_s_size_reach_local_members_alone(rig: Rig) -> None:
    rig.underlay_mtu = 1500
    program(rig, *(Encapsulation.MPLS_UDP,) * 3)
    token, sender = os.urandom(12), rig.workloads[0]
    before = rig.hosts[0].datapath.drop_counts().get("TOO_BIG", 0)
    with Ears(rig.workloads) as ears:
        payload = token + bytes(1440)
        say(sender, udp_to(sender, "239.1.1.1", payload, bytes.fromhex("01005e010101")))
        assert set(ears.heard(token)) == {2}
    assert rig.hosts[0].datapath.drop_counts()["TOO_BIG"] == before + 2
    rig.underlay_mtu = UNDERLAY_MTU
