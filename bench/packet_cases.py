"""Rows and frames of the packet cost bench: a workload, its policy, its translated addresses."""

from __future__ import annotations

import ctypes
import os
import secrets
import socket
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, ip_network
from typing import Self

import bench.datapath_paths  # noqa: F401 - makes the datapath's own test tools importable
import frames
from conftest import (
    LABEL,
    LOCAL_TUNNEL,
    OWN,
    OWN_NEXTHOP,
    REMOTE,
    REMOTE_LABEL,
    REMOTE_TUNNEL,
    TUNNEL_NEXTHOP,
    UNDERLAY_VIF,
    VIF,
    as_frame,
    base_rows,
    interface_row,
    route_row,
)

from skytrail.agent.plugin import FlowRecord
from skytrail.agent.tables import (
    Action,
    FloatingRow,
    IdentityId,
    InetRouteRow,
    InterfaceRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    PortPoolRow,
    Row,
    RuleId,
    TunnelEndRow,
    VerdictRow,
    VrfId,
)
from skytrail.net import GATEWAY_MAC

NEAR_PORT, FAR_PORT = 4000, 8000
PAYLOAD = bytes(18)
"""Makes a 64-byte Ethernet frame with its frame check sequence."""
POLICY = PolicyId(1)
CLASS_PORTS = 100
PUBLIC = VrfId(8)
FLOATING, CLIENT = "198.18.0.5", "198.18.0.9"
OUTSIDE_SERVER, ROUTER = "203.0.113.7", "192.0.2.254"
FABRIC = NextHopId(40)
_CLONE_NEWNET = 0x40000000


def _udp(source: str, destination: str, ports: tuple[int, int]) -> bytes:
    """A datagram with its sum, so that translation has one to keep right."""
    datagram = frames.udp(*ports, PAYLOAD)
    pseudo = IPv4Address(source).packed + IPv4Address(destination).packed
    total = frames.checksum(pseudo + struct.pack("!BBH", 0, frames.UDP, len(datagram)) + datagram)
    datagram = datagram[:6] + (total or 0xFFFF).to_bytes(2, "big") + datagram[8:]
    return frames.ipv4(source, destination, frames.UDP, datagram)


def sent(port: int, to_port: int) -> bytes:
    """The workload's, to another host's."""
    return as_frame(_udp(OWN[4], REMOTE[4], (port, to_port)))


def _tunnelled(packet: bytes) -> bytes:
    tunnel = frames.encode_tunnel("udp", str(REMOTE_TUNNEL), str(LOCAL_TUNNEL), LABEL, packet)
    return frames.ethernet(bytes(6), bytes(6), 0x0800, tunnel)


def received(port: int, to_port: int) -> bytes:
    return _tunnelled(_udp(REMOTE[4], OWN[4], (port, to_port)))


def policy_rows(rules: int) -> list[Row]:
    """So many rules, most of them for others than who talks here; one of the last decides."""
    rows: list[Row] = [
        PolicyIdentityRow(POLICY, IdentityId(3), 1 + (rules - 1) // CLASS_PORTS),
        PolicyPrefixRow(POLICY, ip_network("10.1.1.0/24"), 1),
    ]
    rows += [
        _allow(number // CLASS_PORTS, 9000 + number % CLASS_PORTS, 16) for number in range(rules)
    ]
    # The sender's own end knows no class; both directions are allowed by a block of ports.
    last = (rules - 1) // CLASS_PORTS
    rows[-1] = _allow(last, 0, 0)
    return rows


def _allow(number: int, port: int, bits: int) -> VerdictRow:
    rule = RuleId(number * CLASS_PORTS + 1)
    return VerdictRow(POLICY, number + 1, 1, frames.UDP, port, bits, Action.ALLOW, rule)


def end_rows(count: int) -> list[Row]:
    """So many hosts from which alone tunnels are taken."""
    (underlay,) = [
        row for row in base_rows() if isinstance(row, InterfaceRow) and row.vif_id == UNDERLAY_VIF
    ]
    ends = [TunnelEndRow(REMOTE_TUNNEL + number) for number in range(count)]
    return [*ends, replace(underlay, checks_ends=True)]


def route_rows(count: int) -> list[Row]:
    """More routes of the workload's network, none of them on the way."""
    return [
        replace(
            route_row("11.0.0.0/24", TUNNEL_NEXTHOP, label=REMOTE_LABEL, identity=3),
            prefix=ip_network((0x0B000000 + (number << 8), 24)),
        )
        for number in range(count)
    ]


def floating_rows() -> list[Row]:
    """The workload has an address in another network, where a client asks for it."""
    return [
        interface_with_floating(),
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
        _public(FLOATING, OWN_NEXTHOP, 0),
        _public(CLIENT, TUNNEL_NEXTHOP, 99),
    ]


def interface_with_floating() -> InterfaceRow:
    return replace(interface_row(), has_floating=True)


def _public(address: str, nexthop: NextHopId, label: int) -> InetRouteRow:
    return InetRouteRow(PUBLIC, ip_network(address), nexthop, label, IdentityId(5))


def from_floating_client() -> bytes:
    return _tunnelled(_udp(CLIENT, FLOATING, (FAR_PORT, NEAR_PORT)))


def to_floating_client() -> bytes:
    return as_frame(_udp(OWN[4], CLIENT, (NEAR_PORT, FAR_PORT)), GATEWAY_MAC)


class Fabric:
    """A network namespace with an underlay whose router is known; this thread is in it."""

    def __enter__(self) -> Self:
        self._before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._name = f"std{secrets.token_hex(3)}"
        subprocess.run(["ip", "netns", "add", self._name], check=True)
        inside = os.open(f"/run/netns/{self._name}", os.O_RDONLY)
        self._enter(inside)
        os.close(inside)
        for command in (
            "ip link add under type veth peer name wire",
            "ip link set wire up",
            f"ip addr add {LOCAL_TUNNEL}/24 dev under",
            "ip link set under up",
            "ip link set lo up",
            f"ip route add default via {ROUTER} dev under",
            f"ip neigh add {ROUTER} lladdr 02:00:00:00:09:09 dev under nud permanent",
            "sysctl -qw net.ipv4.ip_forward=1",
        ):
            subprocess.run(command.split(), check=True)
        self.ifindex = socket.if_nametoindex("under")
        return self

    def __exit__(self, *_: object) -> None:
        self._enter(self._before)
        os.close(self._before)
        subprocess.run(["ip", "netns", "del", self._name], check=True)

    def _enter(self, namespace: int) -> None:
        if self._libc.setns(namespace, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "cannot enter a network namespace")

    def rows(self) -> list[Row]:
        """The workload's network reaches the underlay by the host's address."""
        rows = {row.vif_id: row for row in base_rows() if isinstance(row, InterfaceRow)}
        return [
            replace(rows[UNDERLAY_VIF], ifindex=self.ifindex, translates=True),
            NextHopRow(FABRIC, NextHopKind.FABRIC, vif_id=UNDERLAY_VIF, out_ifindex=self.ifindex),
            route_row("0.0.0.0/0", FABRIC, identity=9),
            *(PortPoolRow(protocol, ((61000, 65535),)) for protocol in (1, 6, 17)),
        ]

    def sent(self, port: int = NEAR_PORT) -> bytes:
        return as_frame(_udp(OWN[4], OUTSIDE_SERVER, (port, FAR_PORT)), GATEWAY_MAC)

    def answered(self, flows: Iterable[FlowRecord]) -> bytes:
        """The answer to the port that stands for the workload's."""
        seen = (flow.leaves_as for flow in flows if flow.leaves_as is not None)
        port = next(ends.source_port for ends in seen if ends.source == LOCAL_TUNNEL)
        packet = _udp(OUTSIDE_SERVER, str(LOCAL_TUNNEL), (FAR_PORT, port))
        return frames.ethernet(bytes(6), bytes(6), 0x0800, packet)
