"""How long from creating a port by REST to the first reply of a workload on another host.

Counted: POST of the virtual-machine-interface and of its instance-ip, reading the address back,
the plug request, and everything the system does until an echo request sent by the new port is
answered by an existing workload across the underlay. Not counted: the virtual machine object, the
veth pair (made before, as a hypervisor overlaps it with boot), and DHCP, whose pace is the
client's. The port sends an echo request every 2 ms from the moment it is plugged. The answering
workload repeats an unanswered ARP question every 10 ms instead of Linux's 1 s: the port speaks
within milliseconds of its creation, long before any real machine could, and the figure should show
the system's time, not that timer's.

Ports share one namespace that has no addresses: frames are made here, so that thousands fit.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
import uuid
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Self

from skytrail.client import ApiClient
from skytrail.lab.io import netns, plug
from skytrail.lab.io.plug import PluggedPort
from skytrail.lab.plan import WORKLOAD_IFNAME
from skytrail.lab.service import Lab
from skytrail.lab.state import LabError
from skytrail.net import Mac
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    PROTOCOL_ICMP,
    EthernetFrame,
    IpPacket,
    decode_ethernet,
    decode_ip,
)
from skytrail.wire.icmp import ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST, IcmpMessage, decode_icmp

_ETH_P_IP = 0x0800
_SEND_INTERVAL_S = 0.002
_REPLY_TIMEOUT_S = 30.0
_ARP_RETRY_MS = 10
_ARP_RETRY_DEFAULT_MS = 1000
_LINKS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds since the first request was sent."""

    created_s: float
    """The API has answered all requests."""
    plugged_s: float
    """The agent has accepted the interface."""
    replied_s: float
    """The first echo reply is here."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where new ports go, and whom they talk to."""

    host: str
    project: tuple[str, ...]
    network: tuple[str, ...]
    security_group: tuple[str, ...]
    target: str
    """Name of the workload that answers."""
    target_mac: Mac
    target_address: IPv4Address


class PortTimer:
    """Creates ports at one site; everything it made is removed when the context ends.

    ``leave`` keeps the objects and plugged ports, for a lab that is taken down right after.
    """

    def __init__(self, lab: Lab, site: Site, *, leave: bool = False) -> None:
        self._lab = lab
        self._leave = leave
        self._site = site
        self._api: ApiClient = lab.api()
        self._namespace = lab.scratch_namespace(f"timing-{site.host}")
        self._host_namespace = lab.plan.node(site.host).namespace
        self._run = os.urandom(3).hex()
        self._links = 0
        self._used = 0
        self._made: list[tuple[str, str]] = []
        """(type, uuid) in order of creation."""
        self._plugged: list[str] = []

    def __enter__(self) -> Self:
        netns.delete(self._namespace)
        netns.create(self._namespace)
        self._set_arp_retry_ms(_ARP_RETRY_MS)
        return self

    def __exit__(self, *_: object) -> None:
        self._set_arp_retry_ms(_ARP_RETRY_DEFAULT_MS)
        if not self._leave:
            self._remove()
        netns.delete(self._namespace)
        self._api.close()

    def _remove(self) -> None:
        socket_path = self._lab.paths.plug_socket(self._site.host)
        for port in self._plugged:
            with contextlib.suppress(plug.PlugError):
                plug.unplug(socket_path, port)
        for type_name, made in reversed(self._made):
            self._api.delete(type_name, made)

    def prepare(self, count: int) -> None:
        """Make links for ``count`` more ports."""
        numbers = range(self._links, self._links + count)
        for start in range(0, count, _LINKS_AT_ONCE):
            chunk = numbers[start : start + _LINKS_AT_ONCE]
            netns.configure(None, [self._link_line(number) for number in chunk])
            for namespace, end in ((self._host_namespace, _host_end), (self._namespace, _far_end)):
                netns.configure(namespace, [f"link set dev {end(n)} up" for n in chunk])
        self._links += count

    def fill(self, count: int) -> None:
        """Bring the host to ``count`` more plugged ports, untimed but each proven to work."""
        for _ in range(count):
            self.measure()

    def measure(self) -> Timing:
        """Create one port and wait for its first reply; :class:`LabError` when none comes."""
        number, self._used = self._used, self._used + 1
        name = f"timing-{self._run}-{number}"
        machine = str(uuid.uuid4())
        self._create("virtual-machine", {"fq_name": [machine], "uuid": machine})
        with self._sniffer(number) as sniffer:
            started = time.monotonic()
            interface, mac, address = self._create_port(name, machine)
            created_s = time.monotonic() - started
            plug.plug(
                self._lab.paths.plug_socket(self._site.host),
                PluggedPort(
                    vmi_uuid=interface, vm_uuid=machine, ifname=_host_end(number), kind="veth"
                ),
            )
            self._plugged.append(interface)
            plugged_s = time.monotonic() - started
            self._wait_reply(sniffer, mac, address)
            return Timing(created_s, plugged_s, time.monotonic() - started)

    def _set_arp_retry_ms(self, value: int) -> None:
        namespace = self._lab.plan.namespace_of(self._site.target)
        netns.set_sysctls(namespace, {f"net/ipv4/neigh/{WORKLOAD_IFNAME}/retrans_time_ms": value})

    def _create_port(self, name: str, machine: str) -> tuple[str, Mac, IPv4Address]:
        site = self._site
        interface = self._create(
            "virtual-machine-interface",
            {
                "fq_name": [*site.project, name],
                "parent_type": "project",
                "virtual_machine_refs": [{"to": [machine]}],
                "virtual_network_refs": [{"to": list(site.network)}],
                "security_group_refs": [{"to": list(site.security_group)}],
            },
        )
        instance_ip = self._create(
            "instance-ip",
            {
                "fq_name": [name],
                "instance_ip_family": "v4",
                "virtual_network_refs": [{"to": list(site.network)}],
                "virtual_machine_interface_refs": [{"to": [*site.project, name]}],
            },
        )
        address = self._api.read("instance-ip", instance_ip)["instance_ip_address"]
        # The API derives the MAC of a port that names none from its uuid.
        mac = Mac(b"\x02" + bytes.fromhex(interface.replace("-", "")[:10]))
        return interface, mac, IPv4Address(str(address))

    def _create(self, type_name: str, content: dict[str, object]) -> str:
        created = self._api.create(type_name, content)
        self._made.append((type_name, created))
        return created

    @contextlib.contextmanager
    def _sniffer(self, number: int) -> Generator[socket.socket]:
        opened = netns.open_socket(self._namespace, socket.AF_PACKET, socket.SOCK_RAW)
        with opened:
            opened.bind((_far_end(number), _ETH_P_IP))
            yield opened

    def _wait_reply(self, sniffer: socket.socket, mac: Mac, address: IPv4Address) -> None:
        token = os.urandom(16)
        frame = self._echo_request(mac, address, token)
        deadline = time.monotonic() + _REPLY_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError, OSError):
                sniffer.send(frame)
            until = time.monotonic() + _SEND_INTERVAL_S
            while (left_s := until - time.monotonic()) > 0:
                if select.select([sniffer], [], [], left_s)[0] and _is_reply(
                    sniffer.recv(2048), token
                ):
                    return
        raise LabError(f"port {address} on {self._site.host}: no reply in {_REPLY_TIMEOUT_S:g} s")

    def _echo_request(self, mac: Mac, address: IPv4Address, token: bytes) -> bytes:
        target = self._site.target_address
        echo = IcmpMessage(icmp_type=ICMP_ECHO_REQUEST, code=0, rest=1, payload=token)
        packet = IpPacket(
            source=address,
            destination=target,
            protocol=PROTOCOL_ICMP,
            payload=echo.encode(address, target),
        )
        return EthernetFrame(
            destination=self._site.target_mac,
            source=mac,
            ether_type=ETHERTYPE_IPV4,
            payload=packet.encode(),
        ).encode()

    def _link_line(self, number: int) -> str:
        return (
            f"link add name {_host_end(number)} netns {self._host_namespace} type veth "
            f"peer name {_far_end(number)} netns {self._namespace}"
        )


def percentiles(values: Iterable[float], wanted: Sequence[float]) -> list[float]:
    """Nearest-rank percentiles of a non-empty list."""
    ordered = sorted(values)
    return [ordered[max(0, -int(-len(ordered) * percent // 100) - 1)] for percent in wanted]


def _host_end(number: int) -> str:
    return f"tm{number}"


def _far_end(number: int) -> str:
    return f"p{number}"


def _is_reply(frame: bytes, token: bytes) -> bool:
    try:
        packet = decode_ip(decode_ethernet(frame).payload)
        if packet.protocol != PROTOCOL_ICMP:
            return False
        message = decode_icmp(packet.payload)
    except DecodeError:
        return False
    return message.icmp_type == ICMP_ECHO_REPLY and message.payload[: len(token)] == token
