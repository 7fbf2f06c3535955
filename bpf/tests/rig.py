"""Hosts, a router and workloads as network namespaces, wired to real datapaths by static rows.

No control plane: the rig computes the rows an agent would. Everything it creates carries its
random prefix and is removed by ``close``.

```
 w1 -- [host 1] -- router -- [host 2] -- w2        10.200.1.0/24, 10.200.2.0/24 underneath
```

``routed=False`` leaves the router out: two hosts on one cable, for measuring hosts alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from skytrail.agent.io.bpf_links import Hook
from skytrail.agent.io.ebpf import EbpfDatapath, remove_datapath
from skytrail.agent.tables import (
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
    Row,
    SourceRow,
    VifId,
    VniRow,
    VrfId,
)
from skytrail.net import GATEWAY_MAC, IpAddress, Mac

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

UNDERLAY_VIF = VifId(1)
VNI = 7000
UNDERLAY_MTU = 1600
WORKLOAD_MTU = 1500
TUNNEL_NEXTHOP_BASE = 100
BRIDGE_NEXTHOP_BASE = 200
RECEIVE_NEXTHOP = NextHopId(300)
LABEL_BASE = 1000


def run(command: str, *, check: bool = True) -> str:
    """Output of a command; its error text is part of the failure."""
    done = subprocess.run(
        shlex.split(command), capture_output=True, text=True, check=False, timeout=20
    )
    if check and done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Run this thread in a network namespace; the mount namespace and its pins stay."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if _libc.setns(there, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
        yield
    finally:
        _libc.setns(here, _CLONE_NEWNET)
        os.close(there)
        os.close(here)


@dataclass
class Host:
    number: int
    namespace: str
    datapath: EbpfDatapath
    address: IpAddress
    """Where its tunnels end."""
    ifindex: int
    mac: Mac
    neighbour_mac: Mac
    workloads: list[Workload] = field(default_factory=list)


@dataclass
class Workload:
    number: int
    namespace: str
    host: Host
    address4: IPv4Address
    address6: IPv6Address
    mac: Mac
    vrf: VrfId
    ifindex: int
    ifname: str
    policy_egress: int = 0
    policy_ingress: int = 0
    identity: int = 0

    @property
    def vif(self) -> VifId:
        return VifId(10 + self.number)

    @property
    def nexthop(self) -> NextHopId:
        return NextHopId(10 + self.number)

    @property
    def label(self) -> int:
        return LABEL_BASE + self.number

    def run(self, command: str, *, check: bool = True) -> str:
        return run(f"nsenter --net=/run/netns/{self.namespace} {command}", check=check)


def underlay_address(version: int, host: int, number: int = 1) -> IpAddress:
    """An address in the underlay's subnet of a host: its own is the first."""
    text = f"10.200.{host}.{number}" if version == 4 else f"fd00:200:{host}::{number:x}"
    return ip_address(text)


class Rig:
    """Owns namespaces, datapaths and rows. ``encapsulations[n]`` is what host n sends with."""

    def __init__(
        self,
        hosts: int = 2,
        *,
        routed: bool = True,
        underlay_mtu: int = UNDERLAY_MTU,
        flow_pairs_max: int = 8192,
        hook: Hook = Hook.AUTO,
        version: int = 4,
    ) -> None:
        self.hook = hook
        self.version = version
        """Of the underlay."""
        self.prefix = f"std{secrets.token_hex(3)}"
        self.namespaces: list[str] = []
        self.hosts: list[Host] = []
        self.workloads: list[Workload] = []
        self.encapsulation: dict[int, Encapsulation] = {}
        self.underlay_mtu = underlay_mtu
        self.workload_mtu = WORKLOAD_MTU
        self.router = ""
        """Its namespace; empty on a cable."""
        try:
            names = {number: self.namespace(f"h{number}") for number in range(1, hosts + 1)}
            neighbours = self._route(names) if routed else self._cable(names)
            for number, namespace in names.items():
                self._add_host(number, namespace, neighbours[number], flow_pairs_max)
        except BaseException:
            self.close()
            raise

    def namespace(self, name: str) -> str:
        full = f"{self.prefix}{name}"
        run(f"ip netns add {full}")
        self.namespaces.append(full)
        run(f"ip -n {full} link set lo up")
        return full

    def _route(self, names: dict[int, str]) -> dict[int, Mac]:
        """A router between all hosts; returns its MAC on each host's link."""
        router, mtu = self.namespace("r"), self.underlay_mtu
        self.router = router
        run(f"nsenter --net=/run/netns/{router} sysctl -qw net.ipv4.ip_forward=1")
        run(f"nsenter --net=/run/netns/{router} sysctl -qw net.ipv6.conf.all.forwarding=1")
        for number, namespace in names.items():
            run(
                f"ip -n {namespace} link add under mtu {mtu} type veth "
                f"peer name h{number} netns {router} mtu {mtu}"
            )
            run(f"ip -n {router} addr add 10.200.{number}.254/24 dev h{number}")
            run(
                f"ip -n {router} addr add {underlay_address(6, number, 0xFE)}/64 dev h{number} nodad"
            )
            run(f"ip -n {router} link set h{number} up")
            # The router's stack knows the hosts; the datapath uses its own rows.
            for version in (4, 6):
                run(
                    f"ip -n {router} neigh replace {underlay_address(version, number)} "
                    f"lladdr {self.mac(namespace, 'under')} dev h{number} nud permanent"
                )
        return {number: self.mac(router, f"h{number}") for number in names}

    def _cable(self, names: dict[int, str]) -> dict[int, Mac]:
        """One link between two hosts; returns the other end's MAC for each."""
        first, second = names.values()
        mtu = self.underlay_mtu
        run(
            f"ip -n {first} link add under mtu {mtu} type veth "
            f"peer name under netns {second} mtu {mtu}"
        )
        return {1: self.mac(second, "under"), 2: self.mac(first, "under")}

    def _add_host(self, number: int, namespace: str, neighbour: Mac, flow_pairs_max: int) -> None:
        run(f"ip -n {namespace} addr add {underlay_address(4, number)}/24 dev under")
        run(f"ip -n {namespace} addr add {underlay_address(6, number)}/64 dev under nodad")
        run(f"ip -n {namespace} link set under up")
        for version, last in ((4, 254), (6, 0xFE)):
            gateway = underlay_address(version, number, last)
            run(f"ip -n {namespace} -{version} route add default via {gateway}")
        self.hosts.append(
            Host(
                number=number,
                namespace=namespace,
                datapath=EbpfDatapath.open(
                    f"{self.prefix}h{number}", flow_pairs_max=flow_pairs_max, hook=self.hook
                ),
                address=underlay_address(self.version, number),
                ifindex=self.ifindex(namespace, "under"),
                mac=self.mac(namespace, "under"),
                neighbour_mac=neighbour,
            )
        )

    def ifindex(self, namespace: str, ifname: str) -> int:
        text = run(f"ip -n {namespace} -o link show dev {ifname}")
        return int(text.split(":", 1)[0])

    def mac(self, namespace: str, ifname: str) -> Mac:
        text = run(f"ip -n {namespace} -o link show dev {ifname}")
        return Mac.parse(text.split("link/ether ", 1)[1].split(" ", 1)[0])

    def add_workload(self, host: Host, *, vrf: int = 1, subnet: int = 1) -> Workload:
        number = sum("w" in name for name in self.namespaces) + 1
        namespace = self.namespace(f"w{number}")
        ifname = f"tap{number}"
        mac = Mac(bytes((2, 0, 0, 0, vrf, number)))
        address4 = IPv4Address(f"10.1.{subnet}.{number}")
        address6 = IPv6Address(f"fd00:{subnet}::{number:x}")
        mtu = self.workload_mtu
        run(
            f"ip -n {host.namespace} link add {ifname} mtu {mtu} type veth "
            f"peer name eth0 netns {namespace} mtu {mtu} address {mac}"
        )
        run(f"ip -n {host.namespace} link set {ifname} up")
        run(f"ip -n {namespace} addr add {address4}/24 dev eth0")
        run(f"nsenter --net=/run/netns/{namespace} sysctl -qw net.ipv6.conf.eth0.accept_dad=0")
        run(f"ip -n {namespace} link set eth0 up")
        run(f"ip -n {namespace} addr add {address6}/64 dev eth0 nodad")
        run(f"ip -n {namespace} route add default via 10.1.{subnet}.254")
        run(f"ip -n {namespace} -6 route add default via fd00:{subnet}::fffe")
        workload = Workload(
            number=number,
            namespace=namespace,
            host=host,
            address4=address4,
            address6=address6,
            mac=mac,
            vrf=VrfId(vrf),
            ifindex=self.ifindex(host.namespace, ifname),
            ifname=ifname,
        )
        host.workloads.append(workload)
        self.workloads.append(workload)
        return workload

    def program(self) -> None:
        """Install the rows of every host and attach the programs."""
        for host in self.hosts:
            host.datapath.apply(self.rows(host), [])
            with inside(host.namespace):
                host.datapath.attach(host.ifindex)
                for workload in host.workloads:
                    host.datapath.attach(workload.ifindex)

    def rows(self, host: Host) -> list[Row]:
        rows: list[Row] = [
            InterfaceRow(
                ifindex=host.ifindex,
                vif_id=UNDERLAY_VIF,
                kind=InterfaceKind.UNDERLAY,
                vrf_id=VrfId(0),
                mac=host.mac,
                mtu_bytes=self.underlay_mtu,
                policy_egress=PolicyId(0),
                policy_ingress=PolicyId(0),
                identity=IdentityId(0),
                antispoof=False,
                tunnel_address=host.address if isinstance(host.address, IPv4Address) else None,
                tunnel_address6=host.address if isinstance(host.address, IPv6Address) else None,
            ),
            NextHopRow(nexthop_id=RECEIVE_NEXTHOP, kind=NextHopKind.RECEIVE),
        ]
        rows += [self.tunnel(host, other) for other in self.hosts if other is not host]
        for vrf in sorted({workload.vrf for workload in self.workloads}):
            rows += self._vrf_rows(vrf)
        for workload in self.workloads:
            if workload.host is host:
                rows += self._local_rows(workload)
            rows += self._route_rows(host, workload)
        return rows

    def tunnel(self, host: Host, other: Host) -> NextHopRow:
        return NextHopRow(
            nexthop_id=NextHopId(TUNNEL_NEXTHOP_BASE + other.number),
            kind=NextHopKind.TUNNEL,
            encapsulation=self.encapsulation.get(host.number, Encapsulation.MPLS_UDP),
            local=host.address,
            remote=other.address,
            out_ifindex=host.ifindex,
            out_source_mac=host.mac,
            out_destination_mac=host.neighbour_mac,
        )

    def _vrf_rows(self, vrf: VrfId) -> list[Row]:
        bridge = NextHopId(BRIDGE_NEXTHOP_BASE + vrf)
        rows: list[Row] = [
            NextHopRow(nexthop_id=bridge, kind=NextHopKind.BRIDGE, vrf_id=vrf),
            VniRow(vni=VNI + vrf, nexthop_id=bridge),
        ]
        for subnet in sorted({w.address4.packed[2] for w in self.workloads}):
            rows += [
                InetRouteRow(
                    vrf_id=vrf,
                    prefix=ip_network(text),
                    nexthop_id=RECEIVE_NEXTHOP,
                    label=0,
                    identity=IdentityId(0),
                    mac=GATEWAY_MAC,
                )
                for text in (f"10.1.{subnet}.254/32", f"fd00:{subnet}::fffe/128")
            ]
        return rows

    def _local_rows(self, workload: Workload) -> list[Row]:
        return [
            NextHopRow(
                nexthop_id=workload.nexthop, kind=NextHopKind.INTERFACE, vif_id=workload.vif
            ),
            InterfaceRow(
                ifindex=workload.ifindex,
                vif_id=workload.vif,
                kind=InterfaceKind.WORKLOAD_VETH,
                vrf_id=workload.vrf,
                mac=workload.mac,
                mtu_bytes=self.workload_mtu,
                policy_egress=PolicyId(workload.policy_egress),
                policy_ingress=PolicyId(workload.policy_ingress),
                identity=IdentityId(workload.identity),
                antispoof=True,
            ),
            SourceRow(workload.vif, ip_network(workload.address4), workload.mac),
            SourceRow(workload.vif, ip_network(workload.address6), workload.mac),
            LabelRow(workload.label, workload.nexthop),
        ]

    def _route_rows(self, host: Host, workload: Workload) -> list[Row]:
        local = workload.host is host
        nexthop = (
            workload.nexthop if local else NextHopId(TUNNEL_NEXTHOP_BASE + workload.host.number)
        )
        vxlan = self.encapsulation.get(host.number) is Encapsulation.VXLAN
        label = VNI + workload.vrf if vxlan else workload.label
        label = 0 if local else label
        rows: list[Row] = [
            InetRouteRow(
                vrf_id=workload.vrf,
                prefix=ip_network(address),
                nexthop_id=nexthop,
                label=label,
                identity=IdentityId(workload.identity),
                mac=workload.mac,
            )
            for address in (workload.address4, workload.address6)
        ]
        rows.append(
            BridgeRow(
                vrf_id=workload.vrf,
                mac=workload.mac,
                nexthop_id=nexthop,
                label=label,
                identity=IdentityId(workload.identity),
            )
        )
        return rows

    def drops(self) -> dict[str, dict[str, int]]:
        return {host.namespace: dict(host.datapath.drop_counts()) for host in self.hosts}

    def close(self) -> None:
        for host in self.hosts:
            host.datapath.close()
            with inside(host.namespace):
                remove_datapath(f"{self.prefix}h{host.number}")
        for namespace in reversed(self.namespaces):
            run(f"ip netns del {namespace}", check=False)
