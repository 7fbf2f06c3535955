"""The process a punting datapath asks: ``punting_agent.py HOW FLOWS-FD RING-FD RING-BYTES IFINDEX IFNAME``.

HOW is ``nods``: policy is one look-up in a dictionary, which no vRouter's is, so that what is left is the
price of asking alone; or ``decides``: source, route, identity, both ends' policies and next hop are
looked up in the very tables that our kernel programs read, as dictionaries and tries. Entries are
written by batches, nothing is logged, counted or aged. It runs until its standard input closes, then
prints the processor time it took, in seconds.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from ipaddress import IPv4Address, ip_network

from skytrail.agent.io.bpf_syscall import BpfMap
from skytrail.agent.io.ring import RecordRing
from skytrail.agent.lookup import Tables
from skytrail.agent.tables import (
    Action,
    IdentityId,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    Row,
    RuleId,
    SourceRow,
    VerdictRow,
    VifId,
    VrfId,
)
from skytrail.net import Mac

Key = tuple[bytes, bytes, bytes, bytes, int]
POLICY, WHO, VRF = PolicyId(1), IdentityId(9), VrfId(1)

KEY = struct.Struct("=4s4s2s2sI")
FLOW = struct.Struct("=II")
FRAME_BYTES = 60
BATCH = 4096


def rows() -> list[Row]:
    """Two workloads of one network, under a policy of a hundred blocks of ports."""
    found: list[Row] = [
        PolicyIdentityRow(POLICY, WHO, 1),
        PolicyPrefixRow(POLICY, ip_network("10.9.5.0/24"), 1),
    ]
    for port, bits in [(0, 0), *((256 * n, 8) for n in range(100))]:
        found.append(VerdictRow(POLICY, 1, 1, 17, port, bits, Action.ALLOW, RuleId(1)))
    for number in (1, 2):
        vif, hop, address = VifId(number), NextHopId(number), ip_network(f"10.9.5.{number}")
        mac = Mac(bytes((2, 0, 0, 0, 0, number)))
        found += [
            InterfaceRow(
                ifindex=number, vif_id=vif, kind=InterfaceKind.WORKLOAD_VETH, vrf_id=VRF, mac=mac,
                mtu_bytes=1500, policy_egress=POLICY, policy_ingress=POLICY, identity=WHO,
                antispoof=True,
            ),
            SourceRow(vif, address, mac),
            NextHopRow(hop, NextHopKind.INTERFACE, vif_id=vif),
            InetRouteRow(VRF, address, hop, 0, WHO, mac),
        ]  # fmt: skip
    return found


def deciding() -> Callable[[Key], bool]:
    """As the kernel decides a first packet from workload 1."""
    tables = Tables(rows())
    sender = tables.vifs[VifId(1)]

    def decide(key: Key) -> bool:
        source, destination = IPv4Address(key[0]), IPv4Address(key[1])
        ports = (int.from_bytes(key[2], "big"), int.from_bytes(key[3], "big"))
        route = tables.route(sender.vrf_id, destination)
        if tables.source(sender.vif_id, source) is None or route is None:
            return False
        far = (route.identity, destination)
        hop = tables.nexthops[route.nexthop_id]
        receiver = tables.vifs[hop.vif_id]
        near = (sender.identity, source)
        return (
            tables.verdict(sender.policy_egress, far, key[4], ports).allow
            and tables.verdict(receiver.policy_ingress, near, key[4], ports).allow
        )

    return decide


def nodding() -> Callable[[Key], bool]:
    policy = {(17, port.to_bytes(2, "big")): True for port in range(65_536)}
    return lambda key: policy.get((key[4], key[3]), False)


def main() -> None:
    decides = deciding() if sys.argv[1] == "decides" else nodding()
    flows_fd, ring_fd, ring_bytes, ifindex = (int(each) for each in sys.argv[2:6])
    flows = BpfMap("flows", flows_fd, key_bytes=KEY.size, value_bytes=FLOW.size, entries=0)
    ring = RecordRing(ring_fd, ring_bytes)
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((sys.argv[6], 0))
    entries: list[tuple[bytes, bytes]] = []
    frames: list[bytes] = []

    def decide(record: bytes) -> None:
        key: Key = KEY.unpack_from(record)
        source, destination, source_port, port, protocol = key
        allowed = decides(key)
        value = FLOW.pack(ifindex, allowed)
        entries.append((record[: KEY.size], value))
        entries.append((KEY.pack(destination, source, port, source_port, protocol), value))
        if allowed:
            frames.append(record[KEY.size : KEY.size + FRAME_BYTES])

    poll = select.poll()
    poll.register(ring_fd, select.POLLIN)
    poll.register(0, select.POLLIN)
    print("ready", flush=True)
    while True:
        events = dict(poll.poll())
        while ring.drain(decide, BATCH):
            flows.update_many(entries)
            for frame in frames:
                out.send(frame)
            entries.clear()
            frames.clear()
        if 0 in events:
            print(time.process_time(), flush=True)
            return


if __name__ == "__main__":
    main()
