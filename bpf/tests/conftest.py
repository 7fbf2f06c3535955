"""Fixtures: a freshly loaded datapath that frames are run through, without any device."""

from __future__ import annotations

import secrets
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import frames

from skytrail.agent.io import bpf_syscall
from skytrail.agent.io.ebpf import EbpfDatapath, remove_datapath
from skytrail.agent.plugin import Punt
from skytrail.agent.tables import (
    ROW_TYPES,
    BridgeRow,
    Encapsulation,
    IdentityId,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    LabelRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    QosId,
    Row,
    SourceRow,
    VifId,
    VniRow,
    VrfId,
)
from skytrail.net import Mac

BPF = Path(__file__).resolve().parents[1]

TC_PASS = -1
TC_SHOT = 2
TC_REDIRECT = 7

VRF = VrfId(5)
VIF, PEER_VIF, UNDERLAY_VIF = VifId(11), VifId(12), VifId(1)
LOOPBACK_IFINDEX = 1
PEER_IFINDEX = 7001
UNDERLAY_IFINDEX = 7002
OWN_NEXTHOP, PEER_NEXTHOP, RECEIVE_NEXTHOP = NextHopId(11), NextHopId(12), NextHopId(13)
DISCARD_NEXTHOP, TUNNEL_NEXTHOP, BRIDGE_NEXTHOP = NextHopId(14), NextHopId(15), NextHopId(16)
LAYER2_NEXTHOP, ECMP_NEXTHOP, UNRESOLVED_NEXTHOP = NextHopId(17), NextHopId(18), NextHopId(19)
MAC = Mac.parse("02:00:00:00:00:0a")
PEER_MAC = Mac.parse("02:00:00:00:00:0b")
REMOTE_MAC = Mac.parse("02:00:00:00:00:0c")
LOCAL_TUNNEL = IPv4Address("192.0.2.1")
REMOTE_TUNNEL = IPv4Address("192.0.2.2")
LABEL, LAYER2_LABEL, VNI, REMOTE_LABEL = 1011, 1012, 5005, 77
OWN = {4: "10.1.1.10", 6: "fd00:1::a"}
PEER = {4: "10.1.1.11", 6: "fd00:1::b"}
REMOTE = {4: "10.1.1.12", 6: "fd00:1::c"}
GATEWAY = {4: "10.1.1.1", 6: "fd00:1::1"}
UNDERLAY_MTU = 1550


def interface_row(
    vif: VifId = VIF,
    ifindex: int = LOOPBACK_IFINDEX,
    mac: Mac = MAC,
    *,
    ingress: int = 0,
    egress: int = 0,
    antispoof: bool = True,
    identity: int = 1,
    flow_count_max: int = 0,
    qos: int = 0,
) -> InterfaceRow:
    return InterfaceRow(
        ifindex=ifindex,
        vif_id=vif,
        kind=InterfaceKind.WORKLOAD_VETH,
        vrf_id=VRF,
        mac=mac,
        mtu_bytes=1500,
        policy_egress=PolicyId(egress),
        policy_ingress=PolicyId(ingress),
        identity=IdentityId(identity),
        antispoof=antispoof,
        flow_count_max=flow_count_max,
        qos_id=QosId(qos),
    )


def tunnel_row(
    encapsulation: Encapsulation, nexthop: NextHopId = TUNNEL_NEXTHOP, *, layer2: bool = False
) -> NextHopRow:
    return NextHopRow(
        nexthop_id=nexthop,
        kind=NextHopKind.TUNNEL,
        encapsulation=encapsulation,
        layer2=layer2,
        local=LOCAL_TUNNEL,
        remote=REMOTE_TUNNEL,
        out_ifindex=UNDERLAY_IFINDEX,
        out_source_mac=Mac.parse("02:00:00:00:01:01"),
        out_destination_mac=Mac.parse("02:00:00:00:01:02"),
    )


def route_row(
    prefix: str, nexthop: int, *, label: int = 0, identity: int = 0, mac: Mac | None = None
) -> InetRouteRow:
    return InetRouteRow(
        vrf_id=VRF,
        prefix=ip_network(prefix),
        nexthop_id=NextHopId(nexthop),
        label=label,
        identity=IdentityId(identity),
        mac=mac,
    )


def base_rows(encapsulation: Encapsulation = Encapsulation.MPLS_UDP) -> list[Row]:
    """One workload on this host, a local peer, a remote one, and the gateway."""
    rows: list[Row] = [
        InterfaceRow(
            ifindex=UNDERLAY_IFINDEX,
            vif_id=UNDERLAY_VIF,
            kind=InterfaceKind.UNDERLAY,
            vrf_id=VrfId(0),
            mac=Mac.parse("02:00:00:00:01:01"),
            mtu_bytes=UNDERLAY_MTU,
            policy_egress=PolicyId(0),
            policy_ingress=PolicyId(0),
            identity=IdentityId(0),
            antispoof=False,
            tunnel_address=LOCAL_TUNNEL,
        ),
        interface_row(),
        interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2),
        NextHopRow(nexthop_id=OWN_NEXTHOP, kind=NextHopKind.INTERFACE, vif_id=VIF),
        NextHopRow(nexthop_id=PEER_NEXTHOP, kind=NextHopKind.INTERFACE, vif_id=PEER_VIF),
        NextHopRow(nexthop_id=RECEIVE_NEXTHOP, kind=NextHopKind.RECEIVE),
        NextHopRow(nexthop_id=DISCARD_NEXTHOP, kind=NextHopKind.DISCARD),
        NextHopRow(nexthop_id=BRIDGE_NEXTHOP, kind=NextHopKind.BRIDGE, vrf_id=VRF),
        NextHopRow(nexthop_id=LAYER2_NEXTHOP, kind=NextHopKind.INTERFACE, vif_id=VIF, layer2=True),
        tunnel_row(encapsulation),
        LabelRow(LABEL, OWN_NEXTHOP),
        LabelRow(LAYER2_LABEL, LAYER2_NEXTHOP),
        VniRow(VNI, BRIDGE_NEXTHOP),
        BridgeRow(VRF, MAC, OWN_NEXTHOP, 0, IdentityId(1)),
        BridgeRow(VRF, PEER_MAC, PEER_NEXTHOP, 0, IdentityId(2)),
        BridgeRow(VRF, REMOTE_MAC, TUNNEL_NEXTHOP, REMOTE_LABEL, IdentityId(3)),
    ]
    for family, bits in ((4, 32), (6, 128)):
        rows += [
            SourceRow(VIF, ip_network(OWN[family]), MAC),
            SourceRow(PEER_VIF, ip_network(PEER[family]), PEER_MAC),
            route_row(f"{OWN[family]}/{bits}", OWN_NEXTHOP, identity=1, mac=MAC),
            route_row(f"{PEER[family]}/{bits}", PEER_NEXTHOP, identity=2, mac=PEER_MAC),
            route_row(
                f"{REMOTE[family]}/{bits}",
                TUNNEL_NEXTHOP,
                label=REMOTE_LABEL,
                identity=3,
                mac=REMOTE_MAC,
            ),
            route_row(f"{GATEWAY[family]}/{bits}", RECEIVE_NEXTHOP),
        ]
    return rows


@dataclass(frozen=True)
class Outcome:
    verdict: int
    frame: bytes
    drops: dict[str, int]
    """Drops this frame caused."""
    priority: int = 0
    """By which a queueing discipline would take it."""

    @property
    def forwarded(self) -> bool:
        return self.verdict == TC_REDIRECT and not self.drops


class Box:
    """A datapath and the means to run frames through it."""

    def __init__(self, name: str, flow_pairs_max: int) -> None:
        self.name = name
        self.datapath = EbpfDatapath.open(name, flow_pairs_max=flow_pairs_max)
        self.punts: list[Punt] = []
        self.reads_punts = True
        """Else they stay where the kernel put them."""
        self.datapath.open_punts(self.punts.append)

    def apply(self, *rows: Row, deletes: tuple[Row, ...] = ()) -> None:
        self.datapath.apply(rows, deletes)

    def workload(
        self, frame: bytes, *, vlan: bool = False, gso_size: int = 0, repeat: int = 1
    ) -> Outcome:
        """A frame the workload sends, so many times in a row."""
        return self.run("workload_ingress", frame, vlan=vlan, gso_size=gso_size, repeat=repeat)

    def underlay(self, frame: bytes) -> Outcome:
        """A frame from the wire."""
        return self.run("underlay_ingress", frame)

    def run(
        self,
        program: str,
        frame: bytes,
        *,
        vlan: bool = False,
        gso_size: int = 0,
        repeat: int = 1,
    ) -> Outcome:
        before = self.datapath.drop_counts()
        verdict, after_frame, after_context = self._run_once(program, frame, gso_size, repeat)
        (priority,) = struct.unpack_from("=I", after_context, 32)
        after = self.datapath.drop_counts()
        drops = {
            name: count - before.get(name, 0)
            for name, count in after.items()
            if count != before.get(name, 0)
        }
        if self.reads_punts:
            self.datapath.poll_punts()
        return Outcome(verdict, after_frame, drops, priority)

    def run_only(self, program: str, given: Iterable[bytes], *, gso_size: int = 0) -> None:
        """Frames as fast as it goes: what becomes of each is not looked at."""
        for frame in given:
            self._run_once(program, frame, gso_size)

    def _run_once(
        self, program: str, frame: bytes, gso_size: int, repeat: int = 1
    ) -> tuple[int, bytes, bytes]:
        context = bytearray(192)
        if gso_size:
            struct.pack_into("=I", context, 176, gso_size)
            struct.pack_into("=I", context, 164, -(-len(frame) // gso_size))
        fd = self.datapath._loaded.programs[program]
        verdict, after_frame, _, after_context = bpf_syscall.run_on_frame(
            fd, frame, repeat=repeat, context=bytes(context)
        )
        return verdict, after_frame, after_context

    def send(
        self,
        payload: bytes,
        protocol: int,
        *,
        family: int = 4,
        to: str | None = None,
        source: str | None = None,
        destination_mac: Mac = REMOTE_MAC,
        source_mac: Mac = MAC,
        **fields: int,
    ) -> Outcome:
        """An IP packet of the workload, by default to the remote one."""
        packet = frames.ip(source or OWN[family], to or REMOTE[family], protocol, payload, **fields)
        return self.workload(as_frame(packet, destination_mac, source_mac))

    def receive(
        self,
        packet: bytes,
        *,
        kind: str = "udp",
        label: int = LABEL,
        tos: int = 0,
        **outer: int,
    ) -> Outcome:
        """A tunnelled packet for the workload."""
        tunnel = frames.encode_tunnel(
            kind, str(REMOTE_TUNNEL), str(LOCAL_TUNNEL), label, packet, tos=tos, **outer
        )
        return self.underlay(frames.ethernet(bytes(6), bytes(6), 0x0800, tunnel))

    def close(self) -> None:
        self.datapath.close()
        remove_datapath(self.name)


def as_frame(packet: bytes, destination: Mac = REMOTE_MAC, source: Mac = MAC) -> bytes:
    ethertype = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    return frames.ethernet(destination.packed, source.packed, ethertype, packet)


@pytest.fixture(scope="session")
def session_box() -> Iterator[Box]:
    subprocess.run(["make", "-s", "-C", str(BPF)], check=True)
    box = Box(f"std{secrets.token_hex(3)}", 4096)
    yield box
    box.close()


@pytest.fixture
def box(session_box: Box) -> Iterator[Box]:
    """The loaded datapath, with exactly the base rows and no flows."""
    clear(session_box)
    session_box.apply(*base_rows())
    yield session_box
    clear(session_box)


def clear(box: Box) -> None:
    """Remove every row and flow."""
    for row_type in reversed(ROW_TYPES):
        box.datapath.apply([], box.datapath.dump(row_type))
    for vif in (VIF, PEER_VIF):
        box.datapath._scan(purge_vif=vif)
    box.reads_punts = True
    box.datapath.poll_punts()
    box.punts.clear()
    for bucket in range(VIF * 8, VIF * 8 + 8):
        box.datapath._maps["punt_buckets"].update(struct.pack("=I", bucket), bytes(16))
