"""To the host's own network by its address and ports, to link-local services, and back."""

from __future__ import annotations

import ctypes
import random
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import frames
import pytest
from conftest import (
    LOCAL_TUNNEL,
    LOOPBACK_IFINDEX,
    MAC,
    OWN,
    OWN_NEXTHOP,
    PEER_IFINDEX,
    PEER_VIF,
    TC_PASS,
    TC_REDIRECT,
    TC_SHOT,
    TUNNEL_NEXTHOP,
    UNDERLAY_VIF,
    VIF,
    Box,
    Outcome,
    base_rows,
    interface_row,
    route_row,
)
from test_floating import CLIENT, FLOATING
from test_outer6 import underlay6
from translated import Seen, floating_row, packet, public_route, seen, send, transport, tunnelled

from skytrail.agent.io import bpf_syscall
from skytrail.agent.tables import (
    IdentityId,
    InetRouteRow,
    InterfaceRow,
    LinkServiceRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    PortPoolRow,
    SourceRow,
    VifId,
    VrfId,
)
from skytrail.net import GATEWAY_MAC

pytestmark = pytest.mark.root
FABRIC = NextHopId(40)
HOST = str(LOCAL_TUNNEL)
SERVER, OTHER_SERVER, GATE = "203.0.113.7", "203.0.113.8", "192.0.2.254"
METADATA, SERVICE_PORT, TO_PORT = "169.254.169.254", 80, 8775
FIRST, LAST = 61000, 61999
DENY = PolicyId(60)
HOST_VIF, HOST_NEXTHOP, HOST_VRF, HOST_IFINDEX = VifId(13), NextHopId(41), VrfId(9), 7003
ECHO_REQUEST, ECHO_REPLY, UNREACHABLE = 8, 0, 3
GENERATIONS = 5
CLONE_NEWNET = 0x40000000
IFINDEX_IN_CONTEXT = 40
INSIDE = IPv4Network("10.1.1.0/24")


def pool(protocol: int, first: int = FIRST, last: int = LAST) -> PortPoolRow:
    return PortPoolRow(protocol, ((first, last),))


@pytest.fixture(scope="module")
def underlay_ifindex() -> Iterator[int]:
    """A network namespace of the test's own with an underlay whose router is known."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as before:
        assert libc.unshare(CLONE_NEWNET) == 0
        for command in (
            "ip link add under type veth peer name wire",
            "ip link set wire up",
            f"ip addr add {HOST}/24 dev under",
            "ip link set under up",
            "ip link set lo up",
            f"ip route add default via {GATE} dev under",
            f"ip neigh add {GATE} lladdr 02:00:00:00:09:09 dev under nud permanent",
            "sysctl -qw net.ipv4.ip_forward=1",
        ):
            subprocess.run(command.split(), check=True)
        yield socket.if_nametoindex("under")
        assert libc.setns(before.fileno(), CLONE_NEWNET) == 0


@pytest.fixture
def fabric(box: Box, underlay_ifindex: int) -> Box:
    """The workload's network reaches the underlay."""
    rows = {row.vif_id: row for row in base_rows() if isinstance(row, InterfaceRow)}
    box.apply(
        replace(rows[UNDERLAY_VIF], ifindex=underlay_ifindex, translates=True),
        NextHopRow(FABRIC, NextHopKind.FABRIC, vif_id=UNDERLAY_VIF, out_ifindex=underlay_ifindex),
        route_row("0.0.0.0/0", FABRIC, identity=9),
        *(pool(protocol) for protocol in (frames.TCP, frames.UDP, frames.ICMP)),
    )
    return box


def run(box: Box, program: str, frame: bytes, ifindex: int = LOOPBACK_IFINDEX) -> Outcome:
    """Run a frame that came in by an interface of the namespace."""
    before = box.datapath.drop_counts()
    context = bytearray(192)
    struct.pack_into("=I", context, IFINDEX_IN_CONTEXT, ifindex)
    fd = box.datapath._loaded.programs[program]
    verdict, after, _, _ = bpf_syscall.run_on_frame(fd, frame, context=bytes(context))
    counts = box.datapath.drop_counts()
    drops = {name: n - before.get(name, 0) for name, n in counts.items() if n != before.get(name)}
    box.datapath.poll_punts()
    return Outcome(verdict, after, {name: n for name, n in drops.items() if n})


def arrive(box: Box, raw: bytes) -> Outcome:
    """A packet from the wire."""
    frame = frames.ethernet(bytes(6), bytes(6), 0x0800, raw)
    return run(box, "underlay_ingress", frame, socket.if_nametoindex("under"))


def left(outcome: Outcome) -> Seen:
    """What went to the underlay."""
    assert (outcome.verdict, outcome.drops) == (TC_REDIRECT, {})
    return seen(outcome.frame[14:])


def opened(box: Box, protocol: int = frames.TCP, to: str = SERVER, port: int = 40000) -> Seen:
    return left(send(box, packet(protocol, OWN[4], to, segment(protocol, port, 443))))


def segment(protocol: int, source: int, destination: int) -> bytes:
    if protocol == frames.TCP:
        return frames.tcp(source, destination, flags=frames.SYN)
    return frames.udp(source, destination, b"hi")


@pytest.mark.parametrize("protocol", [frames.TCP, frames.UDP])
def test_a_connection_leaves_by_the_host_and_its_answers_come_back(
    fabric: Box, protocol: int
) -> None:
    out = opened(fabric, protocol)
    answer = packet(protocol, SERVER, HOST, segment(protocol, 443, out.ports[0]))
    back = arrive(fabric, answer)

    assert (out.source, out.destination, out.ports[1]) == (HOST, SERVER, 443)
    assert FIRST <= out.ports[0] <= LAST
    got = left(back)
    assert (got.source, got.destination, got.ports) == (SERVER, OWN[4], (443, 40000))
    assert (back.frame[:6], back.frame[6:12]) == (MAC.packed, GATEWAY_MAC.packed)
    assert left(arrive(fabric, answer)) == got


def test_pings_are_told_apart_by_their_identifier(fabric: Box) -> None:
    asked = packet(frames.ICMP, OWN[4], SERVER, frames.icmp(ECHO_REQUEST, identifier=7))
    out = left(send(fabric, asked))
    identifier = struct.unpack("!H", send(fabric, asked).frame[38:40])[0]
    reply = packet(frames.ICMP, SERVER, HOST, frames.icmp(ECHO_REPLY, identifier=identifier))
    back = arrive(fabric, reply)

    assert out.source == HOST
    assert FIRST <= identifier <= LAST
    assert left(back).destination == OWN[4]
    assert struct.unpack("!H", back.frame[38:40])[0] == 7


def test_two_workloads_with_one_port_have_two_of_the_host(fabric: Box) -> None:
    """Also when their addresses are the same: the networks are two tenants'."""
    mine = opened(fabric)
    fabric.apply(
        interface_row(PEER_VIF, LOOPBACK_IFINDEX, MAC),
        replace(interface_row(), ifindex=PEER_IFINDEX),
        SourceRow(PEER_VIF, IPv4Network(OWN[4]), MAC),
    )
    other = opened(fabric)

    assert mine.ports != other.ports
    for port, ifindex in ((mine.ports[0], VIF), (other.ports[0], PEER_VIF)):
        arrive(fabric, packet(frames.TCP, SERVER, HOST, frames.tcp(443, port)))
        assert flow_at(fabric, port) == ifindex


def flow_at(box: Box, port: int) -> int:
    """Who has a port of the host."""
    found = [f for f in box.datapath.flows() if f.leaves_as and f.leaves_as.source_port == port]
    return found[0].vif_id


def test_the_same_port_serves_towards_other_far_ends(fabric: Box) -> None:
    fabric.apply(pool(frames.UDP, FIRST, FIRST))

    ports = {opened(fabric, frames.UDP, to).ports[0] for to in (SERVER, OTHER_SERVER)}

    assert ports == {FIRST}


def test_exhaustion_is_counted_and_ageing_gives_ports_back(fabric: Box) -> None:
    fabric.apply(pool(frames.UDP, FIRST, FIRST + 1))
    taken = {opened(fabric, frames.UDP, port=port).ports[0] for port in (1, 2)}
    third = packet(frames.UDP, OWN[4], SERVER, frames.udp(3, 443))

    assert taken == {FIRST, FIRST + 1}
    assert send(fabric, third).drops == {"PORTS_EXHAUSTED": 1}
    fabric.datapath.age_flows(1_000_000.0)
    assert fabric.datapath.age_flows(2_000_000.0) == 2
    assert left(send(fabric, third)).ports[0] in taken


def test_a_floating_address_wins_over_the_host_s(fabric: Box) -> None:
    """Where its network knows as much; taken away, new flows leave by the host, and back again."""
    by_host = opened(fabric, to=CLIENT, port=1)
    floating = floating_row(FLOATING)
    fabric.apply(
        floating,
        replace(interface_row(), has_floating=True),
        public_route(f"{FLOATING}/32", OWN_NEXTHOP),
        public_route("0.0.0.0/0", TUNNEL_NEXTHOP, 88),
    )
    fabric.datapath.invalidate_flows()
    asked = [packet(frames.TCP, OWN[4], CLIENT, segment(frames.TCP, n, 443)) for n in (1, 2)]
    moved, new = (tunnelled(send(fabric, each)) for each in asked)

    assert by_host.source == HOST
    assert {(label, out.source) for label, out in (moved, new)} == {(88, FLOATING)}
    forged = packet(frames.TCP, CLIENT, HOST, frames.tcp(443, by_host.ports[0]))
    assert arrive(fabric, forged).verdict == TC_PASS
    fabric.apply(interface_row(), deletes=(floating,))
    fabric.datapath.invalidate_flows()
    assert left(send(fabric, asked[1])).source == HOST


def test_where_the_floating_address_s_network_knows_no_way_the_host_s_is_used(fabric: Box) -> None:
    fabric.apply(
        floating_row(FLOATING),
        replace(interface_row(), has_floating=True),
        public_route(f"{CLIENT}/32", TUNNEL_NEXTHOP, 88),
    )

    assert opened(fabric).source == HOST


def test_a_flow_keeps_its_port_when_it_is_decided_again(fabric: Box) -> None:
    before = opened(fabric)
    for _ in range(GENERATIONS):
        fabric.datapath.invalidate_flows()
        assert opened(fabric) == before
        back = arrive(fabric, packet(frames.TCP, SERVER, HOST, frames.tcp(443, before.ports[0])))
        assert left(back).ports == (443, 40000)
    assert len(list(fabric.datapath.flows())) == 2


@pytest.mark.parametrize(
    ("source", "ports"), [(OTHER_SERVER, (443, None)), (SERVER, (444, None)), (SERVER, (443, 5))]
)
def test_what_is_no_answer_is_the_host_s(
    fabric: Box, source: str, ports: tuple[int, int | None]
) -> None:
    out = opened(fabric)
    forged = frames.tcp(ports[0], ports[1] or out.ports[0], flags=frames.SYN)

    assert arrive(fabric, packet(frames.TCP, source, HOST, forged)).verdict == TC_PASS


def test_an_answer_in_a_tunnel_is_none(fabric: Box) -> None:
    """Another tenant's host cannot send by a label what only the underlay may bring."""
    out = opened(fabric)
    forged = packet(frames.TCP, SERVER, HOST, frames.tcp(443, out.ports[0]))

    got = fabric.receive(forged)

    assert not got.forwarded or seen(got.frame[14:]).destination == HOST


def test_an_error_on_the_way_reaches_the_workload_as_about_its_own_packet(fabric: Box) -> None:
    out = opened(fabric, frames.UDP)
    sent = packet(frames.UDP, HOST, SERVER, frames.udp(out.ports[0], 443, b"hi"))
    error = frames.icmp(UNREACHABLE, 1)[:8] + sent
    got = arrive(fabric, packet(frames.ICMP, GATE, HOST, error))

    assert left(got).destination == OWN[4]
    inner = got.frame[14 + 28 :]
    assert (IPv4Address(inner[12:16]), IPv4Address(inner[16:20])) == (
        IPv4Address(OWN[4]),
        IPv4Address(SERVER),
    )
    assert struct.unpack("!HH", inner[20:24]) == (40000, 443)
    assert frames.checksum(inner[:20]) == 0


def test_an_error_about_nothing_of_a_workload_is_the_host_s(fabric: Box) -> None:
    opened(fabric, frames.UDP)
    sent = packet(frames.UDP, HOST, SERVER, frames.udp(5, 443, b"hi"))
    error = frames.icmp(UNREACHABLE, 1)[:8] + sent

    assert arrive(fabric, packet(frames.ICMP, GATE, HOST, error)).verdict == TC_PASS


def test_a_workload_s_own_error_goes_out_as_the_host_s(fabric: Box) -> None:
    out = opened(fabric, frames.UDP)
    reply = packet(frames.UDP, SERVER, HOST, frames.udp(443, out.ports[0], b"hi"))
    got = left(arrive(fabric, reply))
    quoted = packet(frames.UDP, SERVER, OWN[4], frames.udp(*got.ports, b"hi"))
    error = packet(frames.ICMP, OWN[4], SERVER, frames.icmp(UNREACHABLE, 3)[:8] + quoted)

    sent = send(fabric, error)

    assert left(sent).source == HOST
    inner = sent.frame[14 + 28 :]
    assert IPv4Address(inner[16:20]) == LOCAL_TUNNEL
    assert struct.unpack("!HH", inner[20:24]) == (443, out.ports[0])


def test_fragments_follow_their_first_one(fabric: Box) -> None:
    whole = transport(frames.UDP, OWN[4], SERVER, frames.udp(40000, 443, bytes(64)))
    first = frames.ipv4(OWN[4], SERVER, frames.UDP, whole[:32], identification=9, fragment=0x2000)
    later = frames.ipv4(OWN[4], SERVER, frames.UDP, whole[32:], identification=9, fragment=4)

    outcome = send(fabric, first)
    rest = send(fabric, later)

    assert (outcome.verdict, rest.verdict) == (TC_REDIRECT, TC_REDIRECT)
    port = struct.unpack("!H", outcome.frame[34:36])[0]
    assert IPv4Address(rest.frame[26:30]) == LOCAL_TUNNEL
    back = transport(frames.UDP, SERVER, HOST, frames.udp(443, port, bytes(64)))
    one = frames.ipv4(SERVER, HOST, frames.UDP, back[:32], identification=8, fragment=0x2000)
    two = frames.ipv4(SERVER, HOST, frames.UDP, back[32:], identification=8, fragment=4)
    assert arrive(fabric, two).verdict == TC_PASS
    assert arrive(fabric, one).verdict == TC_REDIRECT
    assert IPv4Address(arrive(fabric, two).frame[30:34]) == IPv4Address(OWN[4])


@pytest.mark.parametrize(
    ("protocol", "body", "reason"),
    [
        (frames.ICMP, frames.icmp(13), "FABRIC_PROTOCOL"),
        (132, frames.udp(1, 2, bytes(8)), "FABRIC_PROTOCOL"),
        (47, bytes(8), "FABRIC_PROTOCOL"),
    ],
)
def test_what_has_no_ports_is_not_translated(
    fabric: Box, protocol: int, body: bytes, reason: str
) -> None:
    raw = frames.ipv4(OWN[4], SERVER, protocol, body)

    assert send(fabric, raw).drops == {reason: 1}


@pytest.mark.parametrize("address", [HOST, "127.0.0.1", "0.1.2.3"])
def test_the_host_itself_and_nobody_are_not_reached(fabric: Box, address: str) -> None:
    raw = packet(frames.TCP, OWN[4], address, frames.tcp(1, 22, flags=frames.SYN))

    assert send(fabric, raw).drops == {"FABRIC_ADDRESS": 1}


@pytest.mark.parametrize("protocol", [frames.TCP, frames.UDP])
def test_a_host_whose_address_is_ipv6_says_so(fabric: Box, protocol: int) -> None:
    fabric.apply(underlay6())
    payload = {frames.TCP: frames.tcp(1, 22, flags=frames.SYN), frames.UDP: frames.udp(1, 22)}
    raw = packet(protocol, OWN[4], OTHER_SERVER, payload[protocol])

    assert send(fabric, raw).drops == {"FABRIC_FAMILY": 1}


def test_without_a_route_of_the_host_it_is_counted(fabric: Box) -> None:
    subprocess.run(["ip", "route", "add", "unreachable", f"{OTHER_SERVER}/32"], check=True)
    raw = packet(frames.TCP, OWN[4], OTHER_SERVER, frames.tcp(1, 22, flags=frames.SYN))

    assert send(fabric, raw).drops == {"FABRIC_ROUTE": 1}
    subprocess.run(["ip", "route", "del", "unreachable", f"{OTHER_SERVER}/32"], check=True)


def test_policy_decides_about_the_underlay_but_not_about_services(fabric: Box) -> None:
    service = LinkServiceRow(IPv4Address(METADATA), 80, (IPv4Address(SERVER),), TO_PORT)
    fabric.apply(
        replace(interface_row(), policy_egress=DENY),
        service,
        route_row("169.254.169.254/32", FABRIC, mac=GATEWAY_MAC),
    )
    outside = packet(frames.TCP, OWN[4], SERVER, frames.tcp(1, 443, flags=frames.SYN))
    inside = packet(frames.TCP, OWN[4], METADATA, frames.tcp(1, 80, flags=frames.SYN))

    assert send(fabric, outside).drops == {"POLICY": 1}
    got = left(send(fabric, inside))
    assert (got.source, got.destination, got.ports[1]) == (HOST, SERVER, TO_PORT)
    answer = packet(frames.TCP, SERVER, HOST, frames.tcp(TO_PORT, got.ports[0]))
    assert left(arrive(fabric, answer)).source == METADATA
    other = packet(frames.TCP, OWN[4], METADATA, frames.tcp(1, 81, flags=frames.SYN))
    assert send(fabric, other).drops == {"LINK_SERVICE": 1}
    ping = packet(frames.ICMP, OWN[4], METADATA, frames.icmp(ECHO_REQUEST))
    assert send(fabric, ping).drops == {"LINK_SERVICE": 1}


def test_a_service_of_the_host_sees_the_interface_in_the_source(fabric: Box) -> None:
    """And answers by its own interface, which opens nothing."""
    side = IPv4Address(0xA9FE0000 | VIF)
    host = replace(
        interface_row(HOST_VIF, HOST_IFINDEX, GATEWAY_MAC, egress=DENY, antispoof=False),
        vrf_id=HOST_VRF,
    )
    fabric.apply(
        host,
        NextHopRow(HOST_NEXTHOP, NextHopKind.INTERFACE, vif_id=HOST_VIF),
        LinkServiceRow(IPv4Address(METADATA), 80, (LOCAL_TUNNEL,), TO_PORT, HOST_NEXTHOP),
        route_row("169.254.169.254/32", FABRIC, mac=GATEWAY_MAC),
        InetRouteRow(HOST_VRF, IPv4Network(side), OWN_NEXTHOP, 0, IdentityId(1)),
    )
    asked = packet(frames.TCP, OWN[4], METADATA, frames.tcp(1, 80, flags=frames.SYN))
    got = left(send(fabric, asked))
    fabric.apply(replace(host, ifindex=LOOPBACK_IFINDEX), interface_row(ifindex=HOST_IFINDEX))

    def say(segment: bytes) -> Outcome:
        raw = packet(frames.TCP, HOST, str(side), segment)
        frame = frames.ethernet(GATEWAY_MAC.packed, GATEWAY_MAC.packed, 0x0800, raw)
        return fabric.workload(frame)

    back = left(say(frames.tcp(TO_PORT, 1)))

    assert (got.source, got.destination, got.ports) == (str(side), HOST, (1, TO_PORT))
    assert (back.source, back.destination, back.ports) == (METADATA, OWN[4], (80, 1))
    assert say(frames.tcp(22, 23, flags=frames.SYN)).drops == {"POLICY": 1}


def test_rows_come_back_as_they_went(fabric: Box) -> None:
    targets = (IPv4Address(SERVER), IPv4Address(OTHER_SERVER))
    service = LinkServiceRow(IPv4Address(METADATA), 80, targets, TO_PORT)
    ranges = PortPoolRow(frames.UDP, ((1024, 1100), (2000, 2000)))
    fabric.apply(service, ranges)

    assert fabric.datapath.dump(LinkServiceRow) == [service]
    assert ranges in fabric.datapath.dump(PortPoolRow)
    rows = [row for row in fabric.datapath.dump(NextHopRow) if row.nexthop_id == FABRIC]
    assert [row.kind for row in rows] == [NextHopKind.FABRIC]


def mutated(rng: random.Random, raw: bytes) -> bytes:
    """The packet cut off, changed or made a fragment; its header's sum is right again or not."""
    data = bytearray(raw)
    for _ in range(rng.randrange(4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.3:
        data = data[: rng.randrange(20, len(data) + 1)]
        data[2:4] = len(data).to_bytes(2, "big")
    if rng.random() < 0.3:
        data[6:8] = rng.choice((0x2000, 0x2001, 0x0001, 0x0002, 0x4000)).to_bytes(2, "big")
    if rng.random() < 0.9:
        size = min((data[0] & 0xF) * 4, len(data))
        data[10:12] = bytes(2)
        data[10:12] = frames.checksum(bytes(data[:size])).to_bytes(2, "big")
    return bytes(data)


def test_whatever_comes_to_the_host_only_answers_reach_who_asked(fabric: Box) -> None:
    """Cut off, forged and fragmented answers and errors: the host's, a counted drop, or right."""
    rng = random.Random(20261127)
    udp, tcp = opened(fabric, frames.UDP), opened(fabric, frames.TCP)
    sent = packet(frames.UDP, HOST, SERVER, frames.udp(udp.ports[0], 443, bytes(32)))
    seeds = [
        packet(frames.UDP, SERVER, HOST, frames.udp(443, udp.ports[0], bytes(32))),
        packet(frames.TCP, SERVER, HOST, frames.tcp(443, tcp.ports[0])),
        packet(frames.ICMP, GATE, HOST, frames.icmp(UNREACHABLE, 1)[:8] + sent),
        packet(frames.ICMP, GATE, HOST, frames.icmp(11, 0)[:8] + sent[:28]),
        packet(frames.ICMP, SERVER, HOST, frames.icmp(ECHO_REPLY, identifier=udp.ports[0])),
    ]
    asked = {(frames.UDP, 443, udp.ports[0]), (frames.TCP, 443, tcp.ports[0])}
    seen_verdicts = set()
    for _ in range(1500):
        raw = mutated(rng, rng.choice(seeds))
        outcome = arrive(fabric, raw)
        seen_verdicts.add(outcome.verdict)
        if outcome.verdict == TC_PASS:
            assert outcome.frame[14:] == raw
        elif outcome.verdict == TC_REDIRECT:
            got = outcome.frame[14:]
            assert IPv4Address(got[16:20]) == IPv4Address(OWN[4])
            assert outcome.frame[:6] == MAC.packed
            later = int.from_bytes(raw[6:8], "big") & 0x1FFF
            at = (raw[0] & 0xF) * 4
            ports = struct.unpack("!HH", raw[at : at + 4])
            is_answer = raw[12:16] == IPv4Address(SERVER).packed and (raw[9], *ports) in asked
            about = raw[at + 8 :]
            is_error = raw[9] == frames.ICMP and about[12:20] == sent[12:20]
            assert later or is_answer or is_error
        else:
            assert sum(outcome.drops.values()) == 1
    assert {TC_PASS, TC_REDIRECT} <= seen_verdicts


def test_whatever_a_workload_sends_leaves_as_the_host_s_or_not_at_all(fabric: Box) -> None:
    rng = random.Random(1127)
    quoted = packet(frames.UDP, SERVER, OWN[4], frames.udp(443, 40000, bytes(8)))
    seeds = [
        packet(frames.UDP, OWN[4], SERVER, frames.udp(40000, 443, bytes(32))),
        packet(frames.TCP, OWN[4], SERVER, frames.tcp(40000, 443, flags=frames.SYN)),
        packet(frames.ICMP, OWN[4], SERVER, frames.icmp(ECHO_REQUEST)),
        packet(frames.ICMP, OWN[4], SERVER, frames.icmp(UNREACHABLE, 3)[:8] + quoted),
    ]
    left_count = 0
    for _ in range(1500):
        outcome = send(fabric, mutated(rng, rng.choice(seeds)), frames.ETHERTYPE_IPV4)
        if outcome.verdict == TC_REDIRECT and IPv4Address(outcome.frame[30:34]) not in INSIDE:
            left_count += 1
            assert outcome.frame[26:30] == LOCAL_TUNNEL.packed
        elif outcome.verdict != TC_REDIRECT:
            assert outcome.verdict == TC_SHOT
            assert sum(outcome.drops.values()) == 1 or fabric.punts
        fabric.punts.clear()
    assert left_count
