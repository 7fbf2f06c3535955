"""Mutated frames, seeded: every run ends in a known verdict, every drop is counted, and nothing of
one tenant gets to another with the same addresses.

A failure names its seed and frame; ``SKYTRAIL_FUZZ_SEED=N`` repeats that seed alone.
"""

from __future__ import annotations

import os
import random
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import frames
import pytest
from conftest import (
    GATEWAY,
    LABEL,
    LAYER2_LABEL,
    LAYER2_NEXTHOP,
    LOCAL_TUNNEL,
    MAC,
    OWN,
    OWN_NEXTHOP,
    PEER,
    PEER_MAC,
    PEER_NEXTHOP,
    PEER_VIF,
    REMOTE,
    REMOTE_LABEL,
    REMOTE_MAC,
    REMOTE_TUNNEL,
    TC_PASS,
    TC_REDIRECT,
    TC_SHOT,
    TUNNEL_NEXTHOP,
    UNDERLAY_IFINDEX,
    UNDERLAY_VIF,
    VIF,
    VNI,
    VRF,
    Box,
    Outcome,
    as_frame,
    interface_row,
    route_row,
    tunnel_row,
)
from test_outer6 import LOCAL6, REMOTE6, tunnel6, underlay6
from test_outer6 import decode as decode6

from skytrail.agent.mirror import Copied, MirrorTo, mirror_row
from skytrail.agent.plugin import PuntReason
from skytrail.agent.tables import (
    PROTOCOL_ANY,
    Action,
    BridgeRow,
    Encapsulation,
    FloatingRow,
    FloodRow,
    IdentityId,
    InetRouteRow,
    LabelRow,
    MirrorId,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    PortMirrorRow,
    PortPoolRow,
    Row,
    RuleId,
    SeenMacRow,
    SourceRow,
    VerdictRow,
    VifId,
    VniRow,
    VrfId,
)
from skytrail.net import BROADCAST_MAC, GATEWAY_MAC, Mac

FRAMES_PER_SEED = 2000
NIGHTLY = "SKYTRAIL_NIGHTLY" in os.environ
SEEDS = (
    [int(os.environ["SKYTRAIL_FUZZ_SEED"])]
    if "SKYTRAIL_FUZZ_SEED" in os.environ
    else range(100 if NIGHTLY else 1)
)

OTHER_VRF, OTHER_VIF, OTHER_IFINDEX = VrfId(6), VifId(21), 7003
OTHER_NEXTHOP, OTHER_BRIDGE = NextHopId(41), NextHopId(42)
OTHER_LABEL, OTHER_VNI, OTHER_REMOTE_LABEL = 2011, 6006, 88
OWN_WAYS = {LABEL, LAYER2_LABEL, VNI, 8008}
OTHER_WAYS = {OTHER_LABEL, OTHER_VNI}
ONLY_THEIRS = "10.6.6.6"
PUBLIC, PUBLIC_BRIDGE, PUBLIC_VNI, CLIENT_LABEL = VrfId(8), NextHopId(43), 8008, 99
FLOATING, CLIENT = "198.18.0.5", "198.18.0.9"
FLOATING6, CLIENT6 = "2001:db8:5::5", "2001:db8:5::9"
"""Our workload's address in a third VRF, and who asks for it there."""
FABRIC, OUTSIDE = NextHopId(44), "203.0.113.7"
UNKNOWN_MAC = Mac(b"\x02\x99\0\0\0\1")
NESTED = Mac.parse("02:00:00:00:00:77")
"""A MAC that was learnt behind our workload's interface."""
ANALYZER = IPv4Address("10.9.9.9")
SENT_MIRROR, DELIVERED_MIRROR, RULES_MIRROR = MirrorId(9), MirrorId(10), MirrorId(11)
WATCHED_POLICY = PolicyId(3)
TUNNEL_MAC = bytes.fromhex("020000000102")
INTERESTING = (0, 1, 4, 5, 6, 0x11, 0x2F, 0x45, 0x60, 0x7F, 0x80, 0xFE, 0xFF)


def other_tenant() -> list[Row]:
    """One more workload here, of another VRF, with the addresses and the MAC of a peer of ours."""
    interface = replace(interface_row(OTHER_VIF, OTHER_IFINDEX, PEER_MAC), vrf_id=OTHER_VRF)
    rows: list[Row] = [
        interface,
        NextHopRow(nexthop_id=OTHER_NEXTHOP, kind=NextHopKind.INTERFACE, vif_id=OTHER_VIF),
        NextHopRow(nexthop_id=OTHER_BRIDGE, kind=NextHopKind.BRIDGE, vrf_id=OTHER_VRF),
        LabelRow(OTHER_LABEL, OTHER_NEXTHOP),
        VniRow(OTHER_VNI, OTHER_BRIDGE),
        BridgeRow(OTHER_VRF, PEER_MAC, OTHER_NEXTHOP, 0, IdentityId(5)),
        BridgeRow(OTHER_VRF, REMOTE_MAC, TUNNEL_NEXTHOP, OTHER_REMOTE_LABEL, IdentityId(6)),
        # An address that only the other tenant has, which ours must not reach at all.
        _route(ONLY_THEIRS, OTHER_NEXTHOP, 0, PEER_MAC),
    ]
    for family in (4, 6):
        rows += [
            SourceRow(OTHER_VIF, ip_network(PEER[family]), PEER_MAC),
            _route(PEER[family], OTHER_NEXTHOP, 0, PEER_MAC),
            _route(REMOTE[family], TUNNEL_NEXTHOP, OTHER_REMOTE_LABEL, REMOTE_MAC),
        ]
    return rows


def services() -> list[Row]:
    """What more code of the programs runs for: a floating address, floods, a watched port."""
    return [
        replace(interface_row(), has_floating=True, is_watched=True),
        FloatingRow(
            vif_id=VIF,
            place=0,
            outside=IPv4Address(FLOATING),
            inside=IPv4Address(OWN[4]),
            vrf_id=PUBLIC,
            identity=IdentityId(4),
            policy_egress=PolicyId(0),
            policy_ingress=PolicyId(0),
        ),
        FloatingRow(
            vif_id=VIF,
            place=1,
            outside=IPv6Address(FLOATING6),
            inside=IPv6Address(OWN[6]),
            vrf_id=PUBLIC,
            identity=IdentityId(4),
            policy_egress=PolicyId(0),
            policy_ingress=PolicyId(0),
        ),
        _route(FLOATING6, OWN_NEXTHOP, 0, None, PUBLIC),
        _route(CLIENT6, TUNNEL_NEXTHOP, CLIENT_LABEL, None, PUBLIC),
        _route(FLOATING, OWN_NEXTHOP, 0, None, PUBLIC),
        _route(CLIENT, TUNNEL_NEXTHOP, CLIENT_LABEL, None, PUBLIC),
        VniRow(PUBLIC_VNI, PUBLIC_BRIDGE),
        NextHopRow(nexthop_id=PUBLIC_BRIDGE, kind=NextHopKind.BRIDGE, vrf_id=PUBLIC),
        FloodRow(VRF, ((PEER_NEXTHOP, 0), (TUNNEL_NEXTHOP, REMOTE_LABEL)), floods_unknown=True),
        FloodRow(OTHER_VRF, ((OTHER_NEXTHOP, 0), (TUNNEL_NEXTHOP, OTHER_REMOTE_LABEL))),
        # To the underlay by the host's address: translated, and here without a neighbour there.
        NextHopRow(FABRIC, NextHopKind.FABRIC, vif_id=UNDERLAY_VIF, out_ifindex=UNDERLAY_IFINDEX),
        _route(OUTSIDE, FABRIC, 0, None, VRF),
        *(PortPoolRow(protocol, ((61000, 61999),)) for protocol in (1, 6, 17)),
    ]


def watched() -> list[Row]:
    """All frames of our workload are copied, those of its flows by their rule as well; MACs behind
    it are learnt. The analyzer is behind the tunnel.
    """
    policy = replace(
        interface_row(ingress=WATCHED_POLICY, egress=WATCHED_POLICY, antispoof=False),
        learns=True,
        is_watched=True,
    )
    allow = VerdictRow(
        WATCHED_POLICY, 0, 0, PROTOCOL_ANY, 0, 0, Action.ALLOW, RuleId(5), mirror_id=RULES_MIRROR
    )
    mirrors = [
        mirror_row(
            Copied(MirrorTo(ANALYZER, "d:p:x:x"), is_ingress=each is SENT_MIRROR),
            each,
            LOCAL_TUNNEL,
            (VRF, NextHopId(0)),
        )
        for each in (SENT_MIRROR, DELIVERED_MIRROR, RULES_MIRROR)
    ]
    return [
        policy,
        allow,
        *mirrors,
        PortMirrorRow(VIF, SENT_MIRROR, DELIVERED_MIRROR),
        route_row(f"{ANALYZER}/32", TUNNEL_NEXTHOP, label=REMOTE_LABEL, mac=REMOTE_MAC),
        SeenMacRow(VIF, NESTED),
        BridgeRow(VRF, NESTED, LAYER2_NEXTHOP, 0, IdentityId(1)),
    ]


def nested_frames() -> list[bytes]:
    """What machines behind our workload's interface send: the one that is known, and another."""
    return [
        as_frame(frames.ip(OWN[family], to, frames.UDP, frames.udp(1, 2, b"x")), mac, source)
        for family in (4, 6)
        for to, mac in ((PEER[family], PEER_MAC), (REMOTE[family], REMOTE_MAC))
        for source in (NESTED, UNKNOWN_MAC)
    ]


def _route(
    address: str, nexthop: NextHopId, label: int, mac: Mac | None, vrf: VrfId = OTHER_VRF
) -> InetRouteRow:
    return InetRouteRow(
        vrf_id=vrf,
        prefix=ip_network(address),
        nexthop_id=nexthop,
        label=label,
        identity=IdentityId(5),
        mac=mac,
    )


def transports(family: int) -> list[tuple[int, bytes]]:
    """Protocol and payload of everything a parser looks into."""
    inner = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(2, 1, bytes(8)))
    ping, error = (8, 3) if family == 4 else (128, 1)
    icmp = frames.ICMP if family == 4 else 58
    return [
        (frames.UDP, frames.udp(1, 2, b"abc")),
        (
            frames.UDP,
            frames.udp(68 if family == 4 else 546, 67 if family == 4 else 547, bytes(250)),
        ),
        (frames.UDP, frames.udp(5353, 53, bytes(30))),
        (frames.TCP, frames.tcp(1, 80, flags=2, options=bytes((2, 4, 5, 0xB4)))),
        (frames.TCP, frames.tcp(1, 179)),
        (icmp, frames.icmp(ping, payload=b"x" * 20)),
        (icmp, frames.icmp(error, payload=inner)),
        (frames.GRE, b"\0\0\x88\x47" + bytes(40)),
        (2, bytes((0x16, 0, 0, 0, 239, 1, 1, 1))),
        (132, bytes(24)),
    ]


def own_frames() -> list[bytes]:
    """What our workload may send, well formed."""
    made = [
        frames.ethernet(b"\xff" * 6, MAC.packed, 0x0806, frames.arp(1, MAC.packed, OWN[4], to))
        for to in (PEER[4], REMOTE[4], GATEWAY[4])
    ]
    for family in (4, 6):
        for to, mac in (
            (PEER[family], PEER_MAC),
            (REMOTE[family], REMOTE_MAC),
            (PEER[family], GATEWAY_MAC),
            (GATEWAY[family], GATEWAY_MAC),
        ):
            for protocol, payload in transports(family):
                made.append(as_frame(frames.ip(OWN[family], to, protocol, payload), mac))
    solicit = bytes((135, 0, 0, 0, 0, 0, 0, 0)) + ip_address(PEER[6]).packed
    solicit += bytes((1, 1)) + MAC.packed
    solicit = frames.icmp6_checked(OWN[6], "ff02::1:ff00:b", solicit)
    packet = frames.ipv6(OWN[6], "ff02::1:ff00:b", 58, solicit, hop_limit=255)
    chain = bytes((60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 9))
    nested = frames.ipv6(OWN[6], REMOTE[6], 0, chain + frames.udp(1, 2, bytes(16)))
    parts = [
        frames.ipv4(OWN[4], REMOTE[4], frames.UDP, frames.udp(1, 2, bytes(16)), fragment=flags)
        for flags in (0x2000, 3)
    ]
    made += [as_frame(packet, Mac(b"\x33\x33\xff\0\0\x0b")), as_frame(nested)]
    made += [as_frame(part) for part in parts]
    for to in (ONLY_THEIRS, CLIENT, OUTSIDE):
        for protocol, payload in transports(4) if to == OUTSIDE else transports(4)[:1]:
            made.append(as_frame(frames.ip(OWN[4], to, protocol, payload), GATEWAY_MAC))
    inner = frames.ip(OWN[4], REMOTE[4], frames.UDP, frames.udp(1, 2))
    made += [
        frames.ethernet(REMOTE_MAC.packed, MAC.packed, kind, b"\0\7\x08\0" + inner)
        for kind in (0x8100, 0x88A8)
    ]
    group = frames.ip(OWN[4], "239.1.1.1", frames.UDP, frames.udp(1, 2))
    made += [as_frame(group, to) for to in (Mac(b"\x01\0\x5e\1\1\1"), BROADCAST_MAC, UNKNOWN_MAC)]
    return made


def wire_frames() -> list[bytes]:
    """What the underlay may bring, well formed, for either tenant."""
    made: list[bytes] = []
    for family in (4, 6):
        for protocol, payload in transports(family):
            for to, mac, label, vni in (
                (OWN[family], MAC, LABEL, VNI),
                (PEER[family], PEER_MAC, OTHER_LABEL, OTHER_VNI),
            ):
                packet = frames.ip(REMOTE[family], to, protocol, payload)
                made += [_tunnelled(kind, label, packet) for kind in ("udp", "gre")]
                made.append(_tunnelled("vxlan", vni, as_frame(packet, mac, REMOTE_MAC)))
    question = frames.arp(1, REMOTE_MAC.packed, REMOTE[4], OWN[4])
    asked = frames.ethernet(b"\xff" * 6, REMOTE_MAC.packed, 0x0806, question)
    made += [_tunnelled("vxlan", vni, asked) for vni in (VNI, OTHER_VNI)]
    wanted = frames.ip(CLIENT, FLOATING, frames.TCP, frames.tcp(9, 80, flags=2))
    made.append(_tunnelled("vxlan", PUBLIC_VNI, as_frame(wanted, GATEWAY_MAC, REMOTE_MAC)))
    made += [_tunnelled(kind, LABEL, wanted) for kind in ("udp", "gre")]
    for protocol, payload in transports(6):
        six = frames.ip(CLIENT6, FLOATING6, protocol, payload)
        made += [_tunnelled(kind, LABEL, six) for kind in ("udp", "gre")]
    to_host = frames.ipv4(str(REMOTE_TUNNEL), str(LOCAL_TUNNEL), frames.TCP, frames.tcp(1, 179))
    made.append(frames.ethernet(bytes(6), bytes(6), 0x0800, to_host))
    return made


def over_ipv6(frame: bytes) -> bytes:
    """The same tunnel's frame by an IPv6 underlay."""
    outer = frame[14:]
    if frame[12:14] != b"\x08\0" or outer[9] not in {frames.UDP, frames.GRE}:
        return frame
    packet = frames.ipv6(str(REMOTE6), str(LOCAL6), outer[9], outer[20:], hop_limit=60)
    return frame[:12] + b"\x86\xdd" + packet


def _tunnelled(kind: str, label: int, inner: bytes) -> bytes:
    packet = frames.encode_tunnel(kind, str(REMOTE_TUNNEL), str(LOCAL_TUNNEL), label, inner)
    return frames.ethernet(bytes(6), bytes(6), 0x0800, packet)


def mutated(rng: random.Random, start: bytes, others: list[bytes]) -> bytes:
    """Damage a frame in one to four ways; most keep a valid IPv4 checksum, to get further in."""
    frame = bytearray(start)
    for _ in range(rng.randrange(1, 5)):
        # Headers are in front, and so are most mistakes.
        place = min(int(rng.expovariate(1 / 40)), len(frame) - 2)
        match rng.randrange(8):
            case 0 | 1:
                frame[place] ^= 1 << rng.randrange(8)
            case 2:
                frame[place] = rng.choice(INTERESTING)
            case 3:
                struct.pack_into("!H", frame, place, rng.choice((0, 1, 7, 0x2000, 0x7FFF, 0xFFFF)))
            case 4:
                del frame[max(place, 14) :]
            case 5:
                frame[place:place] = rng.randbytes(rng.randrange(1, 40))
            case 6:
                frame[place:] = rng.choice(others)[place:]
            case _:
                del frame[place : place + rng.randrange(1, 9)]
        # BPF_PROG_RUN itself refuses frames too short for the IP header their type announces.
        frame = frame.ljust(54, b"\0")
    if rng.random() < 0.8:
        _mend_checksum(frame)
    return bytes(frame[:3000])


def _mend_checksum(frame: bytearray) -> None:
    end = 14 + (frame[14] & 0x0F) * 4
    if frame[12:14] == b"\x08\0" and 34 <= end <= len(frame):
        frame[24:26] = b"\0\0"
        struct.pack_into("!H", frame, 24, frames.checksum(bytes(frame[14:end])))


def way_of(frame: bytes) -> int:
    """Label or VNI of a frame from the underlay, by its outer header alone; 0: no tunnel of ours."""
    if frame[12:14] == b"\x08\0" and frame[30:34] == LOCAL_TUNNEL.packed:
        protocol, upper = frame[23], frame[34:]
    elif frame[12:14] == b"\x86\xdd" and frame[38:54] == LOCAL6.packed:
        protocol, upper = frame[20], frame[54:]
    else:
        return 0
    if protocol == frames.GRE:
        return int.from_bytes(upper[4:8], "big") >> 12
    if upper[2:4] == (6635).to_bytes(2, "big"):
        return int.from_bytes(upper[8:12], "big") >> 12
    return int.from_bytes(upper[12:15], "big")


class Judge:
    """Runs frames, and says of each what must hold; remembers what was seen at all."""

    def __init__(self, box: Box, label_of: Callable[[bytes], int], *, floods: bool) -> None:
        self.box = box
        self.label_of = label_of
        self.floods = floods
        self.reasons: Counter[str] = Counter()
        self.events: Counter[str] = Counter()

    def from_workload(self, frame: bytes, gso_size: int = 0) -> None:
        outcome, given = self._run("workload_ingress", frame, gso_size)
        assert OTHER_VIF not in given, "delivered to the other tenant"
        if outcome.verdict == TC_REDIRECT and outcome.frame[:6] == TUNNEL_MAC:
            self.events["tunnelled"] += 1
            label = self.label_of(outcome.frame)
            assert label in {REMOTE_LABEL, CLIENT_LABEL}
            self.events[f"label {label}"] += 1

    def from_underlay(self, frame: bytes, gso_size: int = 0) -> None:
        _, given = self._run("underlay_ingress", frame, gso_size)
        way = way_of(frame)
        for vif, ways in ((VIF, OWN_WAYS), (PEER_VIF, OWN_WAYS), (OTHER_VIF, OTHER_WAYS)):
            assert vif not in given or way in ways, f"label {way} led to interface {vif}"

    def _run(self, program: str, frame: bytes, gso_size: int) -> tuple[Outcome, set[VifId]]:
        before, punted = self._delivered(), len(self.box.punts)
        outcome = self.box.run(program, frame, gso_size=gso_size)
        given = {vif for vif, count in self._delivered().items() if count > before[vif]}
        # A MAC that is shown to the agent says nothing of what becomes of the frame.
        shown = [punt for punt in self.box.punts[punted:] if punt.reason is not PuntReason.MAC]
        drops, punts = sum(outcome.drops.values()), len(shown)
        assert outcome.verdict in {TC_PASS, TC_SHOT, TC_REDIRECT}
        if outcome.verdict == TC_SHOT:
            # A drop of which the sender is told has both: the agent writes the ICMP error. A flood
            # counts each copy that could not be sent, and here, without devices, no copy can.
            assert (drops, punts) in {(1, 0), (0, 1), (1, 1)} or self.floods, (outcome.drops, punts)
            assert drops or punts
            assert self.floods or not given
        else:
            assert drops == 0, outcome.drops
        self.reasons.update(outcome.drops)
        self.events[str(outcome.verdict)] += 1
        self.events["punted"] += punts
        self.events.update(f"to {vif}" for vif in given)
        return outcome, given

    def _delivered(self) -> dict[VifId, int]:
        counted = self.box.datapath.delivered((VIF, PEER_VIF, OTHER_VIF))
        return {vif: each.packets for vif, each in counted.items()}


def drops_of_interfaces(box: Box) -> int:
    return sum(sum(each.values()) for each in box.datapath.interface_drop_counts().values())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("encapsulation", "serves"),
    [
        (Encapsulation.MPLS_UDP, False),
        (Encapsulation.MPLS_GRE, True),
        (Encapsulation.VXLAN, True),
    ],
)
def test_no_damaged_frame_is_unaccounted_or_crosses_tenants(
    box: Box, encapsulation: Encapsulation, seed: int, *, serves: bool
) -> None:
    box.apply(*other_tenant(), tunnel_row(encapsulation), *(services() if serves else ()))
    judge = Judge(box, label_over_ipv4, floods=serves)

    fuzz(judge, own_frames(), wire_frames(), seed)

    assert bool(judge.events[f"label {CLIENT_LABEL}"]) == serves


@pytest.mark.parametrize("seed", SEEDS)
def test_copies_and_learning_change_nothing_of_that(box: Box, seed: int) -> None:
    box.apply(*other_tenant(), tunnel_row(Encapsulation.MPLS_UDP), *watched())
    before = box.datapath.mirror_counts()
    judge = Judge(box, label_over_ipv4, floods=False)

    fuzz(judge, [*own_frames(), *nested_frames()], wire_frames(), seed)

    grown = {
        mirror: sum(counts) - sum(before.get(mirror, (0, 0, 0)))
        for mirror, counts in box.datapath.mirror_counts().items()
    }
    assert all(grown[each] >= 100 for each in (SENT_MIRROR, DELIVERED_MIRROR, RULES_MIRROR)), grown


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("encapsulation", [Encapsulation.MPLS_UDP, Encapsulation.VXLAN])
def test_tunnels_over_ipv6_change_nothing_of_that(
    box: Box, encapsulation: Encapsulation, seed: int
) -> None:
    box.apply(*other_tenant(), *services(), underlay6(), tunnel6(encapsulation))
    judge = Judge(box, lambda frame: decode6(frame, encapsulation).label, floods=True)

    fuzz(judge, own_frames(), [over_ipv6(frame) for frame in wire_frames()], seed)


def label_over_ipv4(frame: bytes) -> int:
    return frames.decode_tunnel(frame, marked=True).label


def fuzz(judge: Judge, workload: list[bytes], wire: list[bytes], seed: int) -> None:
    """Run the frames, then ``FRAMES_PER_SEED`` damaged ones; every one is judged."""
    box, rng = judge.box, random.Random(seed)
    for good in workload:
        judge.from_workload(good)
    for good in wire:
        judge.from_underlay(good)
    before = drops_of_interfaces(box)
    judge.reasons.clear()

    for number in range(FRAMES_PER_SEED):
        is_own = rng.random() < 0.5
        chosen = workload if is_own else wire
        frame = mutated(rng, rng.choice(chosen), chosen)
        # One in eight stands for several segments, of any size.
        gso_size = rng.randrange(1, 1500) if rng.randrange(8) == 0 else 0
        try:
            (judge.from_workload if is_own else judge.from_underlay)(frame, gso_size)
        except AssertionError as error:
            side = "workload" if is_own else "underlay"
            error.add_note(
                f"seed {seed}, frame {number} from the {side}, segments of {gso_size}: {frame.hex()}"
            )
            raise
        if number % 500 == 0:
            for vif in (VIF, PEER_VIF, OTHER_VIF):
                box.datapath._scan(purge_vif=vif)

    # A run that gets nowhere would prove nothing.
    assert drops_of_interfaces(box) - before == sum(judge.reasons.values())
    assert len(judge.reasons) >= 15, judge.reasons
    assert all(
        judge.events[each] >= 20
        for each in ("tunnelled", "punted", "to 11", "to 12", "to 21", "-1", "2", "7")
    ), judge.events
