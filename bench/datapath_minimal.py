"""The least a vRouter can do, as a yardstick beside ours: tools/minimal.bpf.c between two hosts.

The same namespaces, cable and veth pairs as the other paths; no policy, no flows, no checks. A
datapath that does not lose to it pays nothing for being a real one.
"""

from __future__ import annotations

import os
import struct
from ipaddress import IPv4Address

from bench.bpf_tools import compile_bpf
from bench.datapath_paths import UNDERLAY_MTU, Namespaces, TrafficPath
from bench.figures import BUILD_FOLDER
from rig import inside, run

from skytrail.agent.io import bpf_syscall, libbpf

_HEADER = struct.Struct("!6s6sHBBHHHBBH4s4sHH2x")
_ROUTE = struct.Struct("=II6s2x40sI4x")
_LABEL_BASE = 1000


class Minimal:
    """Two hosts; a client and a neighbour on the first, a server on the second."""

    def __init__(self, space: Namespaces) -> None:
        self._links: list[int] = []
        self._objects: list[libbpf.LoadedObject] = []
        self._hosts = [space.add(f"mh{n}") for n in (1, 2)]
        space.link(*self._hosts, names=("under", "under"), mtu=UNDERLAY_MTU)
        places = (0, 0, 1)
        self.ends = [space.add(f"mw{n}") for n in range(3)]
        for n, (end, place) in enumerate(zip(self.ends, places, strict=True)):
            space.link(self._hosts[place], end, names=(f"tap{n}", "eth0"), mtu=1500)
            space.address(end, "eth0", f"10.9.4.{n + 1}/24")
        for n, end in enumerate(self.ends):
            for other, peer in enumerate(self.ends):
                if n != other:
                    mac = link_of(peer, "eth0")[1].hex(":")
                    run(f"ip -n {end} neigh add 10.9.4.{other + 1} lladdr {mac} dev eth0")
        for place in (0, 1):
            self._program(place, places)

    def _program(self, place: int, places: tuple[int, ...]) -> None:
        """Load, fill and attach on one host."""
        host = self._hosts[place]
        compiled = BUILD_FOLDER / "minimal.bpf.o"
        loaded = libbpf.load_object(compiled, pins=None, entries={}, constants=b"")
        self._objects.append(loaded)
        for n, at in enumerate(places):
            address = struct.pack("=I4s", 32, IPv4Address(f"10.9.4.{n + 1}").packed)
            if at == place:
                row = _ROUTE.pack(
                    link_of(host, f"tap{n}")[0], 0, link_of(self.ends[n], "eth0")[1], bytes(40), 0
                )
                loaded.maps["min_labels"].update(struct.pack("=I", _LABEL_BASE + n), row)
            else:
                row = self._tunnel(place, _LABEL_BASE + n)
            loaded.maps["min_routes"].update(address, row)
        programs = loaded.programs
        with inside(host):
            self._attach(programs["min_underlay"], link_of(host, "under")[0])
            for n, at in enumerate(places):
                if at == place:
                    self._attach(programs["min_workload"], link_of(host, f"tap{n}")[0])

    def _tunnel(self, place: int, label: int) -> bytes:
        ifindex, mac = link_of(self._hosts[place], "under")
        remote = link_of(self._hosts[1 - place], "under")[1]
        ends = [IPv4Address(f"10.9.30.{n}").packed for n in (place + 1, 2 - place)]
        header = _HEADER.pack(remote, mac, 0x0800, 0x45, 0, 0, 0, 0x4000, 64, 17, 0, *ends, 0, 6635)
        total = sum(struct.unpack("=10H", header[14:34]))
        return _ROUTE.pack(ifindex, label, bytes(6), header, total)

    def _attach(self, program: int, ifindex: int) -> None:
        self._links.append(bpf_syscall.tcx_link_create(program, ifindex))

    def path(self, name: str, server: int) -> TrafficPath:
        return TrafficPath(name, self.ends[0], self.ends[server], f"10.9.4.{server + 1}")

    def across(self) -> TrafficPath:
        return self.path("minimal", 2)

    def same_host(self) -> TrafficPath:
        return self.path("minimal_same_host", 1)

    def close(self) -> None:
        for link in self._links:
            os.close(link)
        for loaded in self._objects:
            loaded.close()


def fill_one_route(loaded: libbpf.LoadedObject, to: str) -> None:
    """Lead one address into a tunnel that ends nowhere: what is measured does not leave."""
    address = struct.pack("=I4s", 32, IPv4Address(to).packed)
    row = _ROUTE.pack(1, _LABEL_BASE, bytes(6), bytes(40), 0)
    loaded.maps["min_routes"].update(address, row)


def build() -> None:
    compile_bpf("minimal")


def link_of(namespace: str, ifname: str) -> tuple[int, bytes]:
    """Index and MAC address of a link."""
    text = run(f"ip -n {namespace} -o link show dev {ifname}")
    mac = text.split("link/ether ", 1)[1].split(" ", 1)[0]
    return int(text.split(":", 1)[0]), bytes.fromhex(mac.replace(":", ""))
