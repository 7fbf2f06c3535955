"""What replication of multicast costs: one sender, a group with up to 1,000 receivers.

Receivers on one host are veth interfaces whose other ends drop what they get, so what is measured is
looking up the group, asking each receiver's policy, cloning and sending; other hosts are tunnels into
such an interface. Beside it, in the same run: the kernel's bridge with multicast snooping and an entry
for each port, and its VXLAN device with an entry for each remote. Interleaved rounds, one CPU for
the sender and its copies. Frames that a receiver should not have got end the run.

``MULTICAST_ROUNDS`` sets the number of rounds.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.datapath_paths import POLICY, WORKLOAD_IDENTITY, Namespaces, frames, policy_rows
from bench.figures import Figures, interleaved
from rig import Rig, inside
from rig import run as command

from skytrail.agent.tables import (
    FLOOD_MEMBERS_COUNT_MAX,
    Encapsulation,
    FloodRow,
    GroupRow,
    IdentityId,
    InterfaceKind,
    InterfaceRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    PolicyPrefixRow,
    Row,
    VifId,
    VrfId,
)
from skytrail.net import Mac

ROUNDS = int(os.environ.get("MULTICAST_ROUNDS", "3"))
QUIET_S = 0.1
COPIES, FRAMES_MIN = 300_000, 300
"""Of one measurement, at least."""
QUERIES_MAX = 4
RECEIVERS = (1, 10, 100, 1000)
REMOTES = (10, 250)
BEYOND = 24
"""Receivers for whom a list has no place, in the last case."""
FIRST_RECEIVER, FIRST_REMOTE = 1000, 3000
PAYLOAD = bytes(18)
_NETWORK = VrfId(1)


@dataclass(frozen=True)
class Field:
    """A sender, and interfaces that take copies and drop them."""

    host: str
    sender: str
    sends_to: Callable[[str], str]
    """The frame to a group, in hexadecimal digits."""

    def copies(self, name: str, count: int = 0) -> int:
        """Return how many frames an interface was given; or the first ``count`` of a kind."""
        which = "type veth" if count else f"dev {name}"
        links = json.loads(command(f"ip -n {self.host} -j -s link show {which}"))
        names = {f"{name}{number}" for number in range(count)} or {name}
        return sum(each["stats64"]["tx"]["packets"] for each in links if each["ifname"] in names)


def remote_of(number: int) -> IPv4Address:
    return IPv4Address(f"10.201.{1 + (number >> 8)}.{number & 255}")


def group_of(count: int) -> str:
    return f"239.1.{count >> 8}.{count & 255}"


def add_sinks(host: str, sink: str, names: Sequence[str], *, more: str = "") -> None:
    """Make interfaces whose other ends, in a namespace of their own, take no frame."""
    command(f"nsenter --net=/run/netns/{sink} sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
    made = [f"link add {name} mtu 1600 type veth peer name {name} netns {sink}" for name in names]
    for namespace, lines in (
        (host, made),
        (sink, [f"link set {name} arp off up" for name in names]),
        (host, [f"link set {name} arp off {more} up" for name in names]),
    ):
        batch(f"ip -n {namespace}", lines)


def batch(tool: str, lines: Sequence[str]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "lines"
        path.write_text("\n".join(lines) + "\n")
        command(f"{tool} -batch {path}")


def frame_to(group: str, source_mac: bytes, source: IPv4Address) -> str:
    packed = ip_address(group).packed
    mac = b"\x01\x00\x5e" + bytes((packed[1] & 0x7F,)) + packed[2:]
    packet = frames.ip(str(source), group, 17, frames.udp(4000, 4001, PAYLOAD))
    return frames.ethernet(mac, source_mac, 0x0800, packet).hex()


class Bridge:
    """The kernel's own: a bridge that snoops, and a VXLAN device, both with static entries."""

    def __init__(self) -> None:
        self.space = Namespaces()
        host, end = self.space.add("mb"), self.space.add("mw")
        command(f"ip -n {host} link add br0 type bridge mcast_snooping 1")
        command(f"ip -n {host} link set br0 type bridge mcast_query_response_interval 10")
        command(f"ip -n {host} link set br0 type bridge mcast_querier 1")
        command(f"ip -n {host} link set br0 up")
        self.space.link(host, end, names=("tap", "eth0"), mtu=1500)
        command(f"ip -n {host} link set tap master br0")
        sink = self.space.add("ms")
        add_sinks(host, sink, [f"r{number}" for number in range(max(RECEIVERS))], more="master br0")
        add_sinks(host, sink, ["u0"])
        command(f"ip -n {host} addr add 10.201.255.1/16 dev u0")
        for count in REMOTES:
            # One network for each number of remotes, with a sender of its own.
            command(f"ip -n {host} link add br{count} type bridge mcast_snooping 0")
            command(f"ip -n {host} link set br{count} up")
            command(
                f"ip -n {host} link add vx{count} type vxlan id {count} dstport 4789 "
                f"local 10.201.255.1 nolearning"
            )
            command(f"ip -n {host} link set vx{count} mtu 1500 master br{count} up")
            self.space.link(host, end, names=(f"tap{count}", f"eth{count}"), mtu=1500)
            command(f"ip -n {host} link set tap{count} master br{count}")
        self._entries(host)
        mac = bytes.fromhex(
            command(f"ip -n {end} -o link show dev eth0").split("ether ")[1][:17].replace(":", "")
        )
        self.field = Field(host, end, lambda group: frame_to(group, mac, IPv4Address("10.1.1.1")))
        # The bridge copies by its entries only once it is the querier.
        time.sleep(1)

    def _entries(self, host: str) -> None:
        batch(
            f"bridge -n {host}",
            [
                f"mdb add dev br0 port r{number} grp {group_of(count)} permanent"
                for count in RECEIVERS
                for number in range(count)
            ],
        )
        batch(
            f"bridge -n {host}",
            [
                f"fdb append 00:00:00:00:00:00 dev vx{count} dst {remote_of(number)}"
                for count in REMOTES
                for number in range(count)
            ],
        )

    def sender(self, prefix: str, count: int) -> str:
        return "eth0" if prefix == "r" else f"eth{count}"

    def close(self) -> None:
        self.space.close()


class Ours:
    """One host with the datapath, policy on, and lists of members as an agent writes them."""

    def __init__(self) -> None:
        self.rig = Rig(routed=False)
        host = self.rig.hosts[0]
        client = self.rig.add_workload(host)
        client.policy_egress, client.identity = POLICY, WORKLOAD_IDENTITY
        self.host = host
        names = [*[f"r{number}" for number in range(max(RECEIVERS))], "u0"]
        add_sinks(host.namespace, self.rig.namespace("ms"), names)
        groups = PolicyPrefixRow(PolicyId(POLICY), ip_network("239.0.0.0/8"), 1)
        host.datapath.apply([*policy_rows(), groups], [])
        self.rig.program()
        with inside(host.namespace):
            host.datapath.apply(list(self._rows()), [])
        self.field = Field(
            host.namespace,
            client.namespace,
            lambda group: frame_to(group, client.mac.packed, client.address4),
        )

    def _rows(self) -> Iterator[Row]:
        links = json.loads(command(f"ip -n {self.host.namespace} -j link show type veth"))
        ifindex = {each["ifname"]: each["ifindex"] for each in links}
        local = [(NextHopId(FIRST_RECEIVER + n), 0) for n in range(max(RECEIVERS))]
        remote = [(NextHopId(FIRST_REMOTE + n), 5000) for n in range(max(REMOTES))]
        for number, (nexthop, _) in enumerate(local):
            vif = VifId(FIRST_RECEIVER + number)
            yield InterfaceRow(
                ifindex=ifindex[f"r{number}"],
                vif_id=vif,
                kind=InterfaceKind.WORKLOAD_TAP,
                vrf_id=_NETWORK,
                mac=Mac(b"\x02\x01" + number.to_bytes(4)),
                mtu_bytes=1500,
                policy_egress=PolicyId(POLICY),
                policy_ingress=PolicyId(POLICY),
                identity=IdentityId(WORKLOAD_IDENTITY),
                antispoof=True,
            )
            yield NextHopRow(
                nexthop_id=nexthop, kind=NextHopKind.INTERFACE, vif_id=vif, layer2=True
            )
        for number, (nexthop, _) in enumerate(remote):
            yield NextHopRow(
                nexthop_id=nexthop,
                kind=NextHopKind.TUNNEL,
                layer2=True,
                encapsulation=Encapsulation.VXLAN,
                local=self.host.address,
                remote=remote_of(number),
                out_ifindex=ifindex["u0"],
                out_source_mac=self.host.mac,
                out_destination_mac=self.host.neighbour_mac,
            )
        yield FloodRow(_NETWORK, (), snoops=True)
        for count in RECEIVERS:
            yield GroupRow(_NETWORK, ip_address(group_of(count)), None, tuple(local[:count]))
        for count in REMOTES:
            group = ip_address(group_of(FIRST_REMOTE + count))
            yield GroupRow(_NETWORK, group, None, tuple(remote[:count]))
        full = tuple(local[:FLOOD_MEMBERS_COUNT_MAX])
        yield GroupRow(_NETWORK, ip_address(group_of(FIRST_REMOTE)), None, full, BEYOND)

    def sender(self, prefix: str, count: int) -> str:
        return "eth0"

    def close(self) -> None:
        self.rig.close()


def sent_and_copied(
    field: Field, interface: str, last: str, count: int, group: str
) -> tuple[int, int, float]:
    """Return frames sent, copies made, and seconds until the last one was.

    ``last``: who gets a copy at the end, or of every frame all of them.
    """
    frames_count = max(FRAMES_MIN, COPIES // count)
    whole = ("u0", 0) if last == "u0" else ("r", count)
    frame = bytes.fromhex(field.sends_to(group))
    with inside(field.sender), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as mouth:
        mouth.bind((interface, 0))
        before, of_last = field.copies(*whole), field.copies(last)
        start = time.monotonic()
        # One at a time: what is copied at once must fit into the queue of a CPU.
        for _ in range(frames_count):
            mouth.send(frame)
        changed = time.monotonic()
    seen = of_last
    # What waits in queues is copied after the sender has ended.
    while time.monotonic() < changed + QUIET_S:
        now = field.copies(last)
        if now != seen:
            seen, changed = now, time.monotonic()
    return frames_count, field.copies(*whole) - before, changed - start


def copies_per_s(
    side: Bridge | Ours, prefix: str, count: int, group: str, made: list[float]
) -> float:
    last = f"r{count - 1}" if prefix == "r" else "u0"
    interface = side.sender(prefix, count)
    sent, copied, took = sent_and_copied(side.field, interface, last, count, group)
    # The bridge asks its ports for listeners, too.
    if copied > (sent + QUERIES_MAX) * count:
        message = f"{copied} copies of {sent} frames to {count} receivers"
        raise RuntimeError(message)
    made.append(copied / (sent * count))
    return copied / took


def compare(figures: Figures, kind: str, sides: Sequence[Bridge | Ours], count: int) -> None:
    bridge, ours = sides
    prefix = "r" if kind == "receivers" else "u"
    group = group_of(count if prefix == "r" else FIRST_REMOTE + count)
    theirs: list[float] = []
    own: list[float] = []
    rates = interleaved(
        ROUNDS,
        {
            "kernel": partial(copies_per_s, bridge, prefix, count, group, theirs),
            "ours": partial(copies_per_s, ours, prefix, count, group, own),
        },
        warm_up=1,
    )
    name, yardstick = f"{kind}_{count}", "bridge" if prefix == "r" else "bridge_vxlan"
    figures.add(
        f"{name}_copies", rates["ours"], "copies/s",
        yardstick=rates["kernel"], yardstick_name=yardstick,
    )  # fmt: skip
    figures.add(f"{name}_packets", rates["ours"] / count, "packets/s")
    figures.add(
        f"{name}_cost", 1e9 / rates["ours"], "ns/copy",
        yardstick=1e9 / rates["kernel"], yardstick_name=yardstick,
    )  # fmt: skip
    figures.add(f"{name}_made", 100 * min(own), "% of copies", yardstick=100 * min(theirs))


def over_the_limit(figures: Figures, ours: Ours) -> None:
    """A list that is full: those in it get theirs, each packet is counted for the others."""
    before = ours.host.datapath.drop_counts().get("FLOOD_LIMIT", 0)
    count = FLOOD_MEMBERS_COUNT_MAX
    last, group = f"r{count - 1}", group_of(FIRST_REMOTE)
    sent, copied, _ = sent_and_copied(ours.field, "eth0", last, count, group)
    counted = ours.host.datapath.drop_counts().get("FLOOD_LIMIT", 0) - before
    figures.add("full_list_copies", copied / sent, "copies/packet")
    figures.add("full_list_counted", counted / sent, "drops/packet", wanted=1)


def run_sides(figures: Figures, sides: Sequence[Bridge | Ours]) -> None:
    for count in RECEIVERS:
        compare(figures, "receivers", sides, count)
    for count in REMOTES:
        compare(figures, "remotes", sides, count)


def run() -> None:
    """Print rates and costs of copies, and what a full list does."""
    figures = Figures("multicast")
    ours = Ours()
    try:
        bridge = Bridge()
        try:
            run_sides(figures, (bridge, ours))
        finally:
            bridge.close()
        over_the_limit(figures, ours)
    finally:
        ours.close()
    figures.write()
