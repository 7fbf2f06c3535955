"""The relay of workloads' BGP: ends their connections on the host and takes the bytes further.

```
 workload --eBPF--> bgp-<port> ==veth==> listener at the vRouter's address, in a namespace of our own
                        |  tc: back to          | accepted: unsigned again, in our address and port
 workload <-------------+  the workload         v
                                      socket from (tunnel address, source port) --> control node:179
```
The sockets have the ends that the workload knows, so that the kernel checks and makes its signatures
(RFC 2385). All listeners share one namespace: each is bound to its port's own link, which tells
tenants with the same addresses apart. The namespace and the links end with the process.

The agent says over a Unix socket what there is to relay; without an agent all goes on as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

import msgspec

from skytrail.agent.bgp_relay import PROTOCOL, RelayGate, RelaySpec
from skytrail.agent.io.beside_agent import BesideAgent
from skytrail.agent.io.inner_namespace import InnerNamespace, run, run_batch
from skytrail.net import GATEWAY_MAC
from skytrail.runtime.tcp_protection import TTL_MAX, set_md5_key_of_all, set_ttl, socket_family

PORT_BGP = 179
CONNECT_TIMEOUT_S = 10.0
RETRY_S = 5.0
DRAIN_S = 1.0
DRAIN_POLL_S = 0.01
CHUNK_BYTES = 64 * 1024
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
_TCP_USER_TIMEOUT = 18
_USER_TIMEOUT_MS = 120_000
_SYSCTLS = {
    # What workloads send comes from addresses that count as our own here.
    "ipv4/conf/all/accept_local": 1,
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv4/ip_unprivileged_port_start": 0,
    "ipv6/conf/default/accept_ra": 0,
    "ipv6/conf/default/addr_gen_mode": 1,
    "ipv6/conf/default/dad_transmits": 0,
}


class RelayRequest(msgspec.Struct, frozen=True):
    """What the agent says: everything there is to relay."""

    protocol: int
    relays: tuple[RelaySpec, ...] = ()


class RelayState(msgspec.Struct, frozen=True):
    """How one port is served."""

    port: str
    problem: str = ""
    sessions: int = 0
    accepted: int = 0


class RelayReport(msgspec.Struct, frozen=True):
    """The answer, also sent when it changes."""

    relays: tuple[RelayState, ...] = ()


@dataclass(slots=True)
class _Gate:
    """One listening address of one port, and its one session: the latest wins."""

    listener: socket.socket
    spec: RelaySpec
    gate: RelayGate
    accepting: asyncio.Task[None] | None = None
    session: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Relay:
    spec: RelaySpec
    gates: list[_Gate] = field(default_factory=list[_Gate])
    problem: str = ""
    accepted: int = 0

    def state(self) -> RelayState:
        running = sum(gate.session is not None and not gate.session.done() for gate in self.gates)
        return RelayState(self.spec.port, self.problem, running, self.accepted)


class BgpRelay(BesideAgent[RelayRequest]):
    """Everything that is relayed on this host."""

    def __init__(self) -> None:
        super().__init__("bgp_relay", RelayRequest)
        self._namespace = InnerNamespace()
        self._namespace.set_sysctls(_SYSCTLS)
        self._namespace.configure(
            [
                "link set lo up",
                # Whatever comes in is for us; each socket is bound to the link that it came by.
                "route add local 0.0.0.0/0 dev lo",
                "route add local ::/0 dev lo",
            ]
        )
        self._relays: dict[str, _Relay] = {}

    def take(self, request: RelayRequest) -> bool:
        if request.protocol != PROTOCOL or not request.relays:
            return False
        self.apply({spec.port: spec for spec in request.relays})
        return True

    def report(self) -> RelayReport:
        return RelayReport(tuple(relay.state() for relay in self._relays.values()))

    def chores(self) -> Sequence[Coroutine[None, None, None]]:
        return (self._retry(),)

    def close(self) -> None:
        for port in list(self._relays):
            self._remove(port)

    async def _retry(self) -> None:
        """Try again what was refused: the workload's link may be there now."""
        while True:
            await asyncio.sleep(RETRY_S)
            if any(relay.problem for relay in self._relays.values()):
                self.apply({port: relay.spec for port, relay in self._relays.items()})

    def apply(self, wanted: Mapping[str, RelaySpec]) -> None:
        """Have exactly these; what stays the same is not touched."""
        for port in [each for each in self._relays if each not in wanted]:
            self._remove(port)
        for port, spec in wanted.items():
            known = self._relays.get(port)
            if known is not None and known.spec == spec and not known.problem:
                continue
            if known is not None:
                self._remove(port)
            relay = self._relays[port] = _Relay(spec)
            try:
                self._add(relay)
            except OSError as error:
                relay.problem = str(error)
                self._log.warning("relay_failed", port=port, error=relay.problem)
                self._close(relay)
        self._changed.set()

    def _add(self, relay: _Relay) -> None:
        spec = relay.spec
        run(["sh", "-c", 'ip link del "$0" 2>/dev/null; true', spec.device])
        run_batch("ip", _outer_lines(spec, self._namespace.path))
        self._namespace.configure(_inner_lines(spec))
        run_batch("tc", _back_lines(spec))
        for gate in spec.gates:
            listener = self._listener(spec, gate)
            made = _Gate(listener, spec, gate)
            made.accepting = asyncio.create_task(self._accept(relay, made))
            relay.gates.append(made)
        self._log.info("relay_started", port=spec.port, device=spec.device, signed=spec.is_signed)

    def _listener(self, spec: RelaySpec, gate: RelayGate) -> socket.socket:
        address = ip_address(gate.address)
        with self._namespace.entered():
            listener = socket.socket(socket_family(address), socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.setsockopt(
                socket.SOL_SOCKET, socket.SO_BINDTODEVICE, spec.device.encode() + b"\0"
            )
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if address.version == 4:
                listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            else:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            # Neighbours with TTL security expect it (RFC 5082).
            set_ttl(listener, TTL_MAX)
            if spec.is_signed:
                set_md5_key_of_all(listener, spec.key)
            listener.bind((gate.address, PORT_BGP))
            listener.listen(8)
        except OSError:
            listener.close()
            raise
        return listener

    def _remove(self, port: str) -> None:
        relay = self._relays.pop(port)
        self._close(relay)
        with contextlib.suppress(OSError):
            # It may be gone with the workload's host side already.
            run(["ip", "link", "del", relay.spec.device])
        self._log.info("relay_ended", port=port, device=relay.spec.device)

    @staticmethod
    def _close(relay: _Relay) -> None:
        for gate in relay.gates:
            for task in (gate.accepting, gate.session):
                if task is not None:
                    task.cancel()
            gate.listener.close()
        relay.gates = []

    # Sessions.

    async def _accept(self, relay: _Relay, gate: _Gate) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(gate.listener)
            client.setblocking(False)
            relay.accepted += 1
            if gate.session is not None and not gate.session.done():
                # A workload that starts anew does not wait for its former connection.
                gate.session.cancel()
                await asyncio.wait([gate.session])
            gate.session = asyncio.create_task(self._session(gate, client))
            gate.session.add_done_callback(lambda _: self._changed.set())
            self._changed.set()

    async def _session(self, gate: _Gate, client: socket.socket) -> None:
        spec, control = gate.spec, gate.gate.control
        upstream = socket.socket(socket_family(ip_address(spec.source)), socket.SOCK_STREAM)
        ended_by_control = False
        try:
            upstream.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
            for each in (client, upstream):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            upstream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            upstream.bind((spec.source, spec.source_port))
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().sock_connect(upstream, (control, PORT_BGP))
            self._log.info("relay_connected", port=spec.port, control=control)
            ended_by_control = await _pump_both(client, upstream)
        except (OSError, TimeoutError) as error:
            self._log.info("relay_disconnected", port=spec.port, control=control, error=str(error))
        finally:
            if not ended_by_control:
                # The port is needed at once by the next connection: nothing may wait on it.
                for each in (client, upstream):
                    _reset_on_close(each)
            client.close()
            upstream.close()


async def _pump_both(client: socket.socket, upstream: socket.socket) -> bool:
    """Carry bytes both ways until one side ends; return whether it was the control node."""
    tasks = [
        asyncio.create_task(_pump(client, upstream)),
        asyncio.create_task(_pump(upstream, client)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        await _drained(client if tasks[1] in done else upstream)
        return tasks[1] in done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(source: socket.socket, target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, CHUNK_BYTES):
        await loop.sock_sendall(target, data)


async def _drained(channel: socket.socket) -> None:
    """Wait a moment for the last words to arrive: a reset would overtake them."""
    for _ in range(int(DRAIN_S / DRAIN_POLL_S)):
        waiting = fcntl.ioctl(channel, termios.TIOCOUTQ, struct.pack("i", 0))
        if struct.unpack("i", waiting)[0] == 0:
            return
        await asyncio.sleep(DRAIN_POLL_S)


def _reset_on_close(channel: socket.socket) -> None:
    with contextlib.suppress(OSError):
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _outer_lines(spec: RelaySpec, namespace: str) -> list[str]:
    name, mtu = spec.device, f"mtu {spec.mtu_bytes}"
    inner = f"peer name {name} {mtu} address {GATEWAY_MAC} netns {namespace}"
    return [
        f"link add {name} {mtu} type veth {inner}",
        f"link set {name} addrgenmode none",
        f"link set {name} up",
    ]


def _inner_lines(spec: RelaySpec) -> list[str]:
    # Nobody answers our questions for MACs: the vRouter is the workload's neighbour.
    neighbours = [
        f"neigh replace {address} lladdr {spec.mac} dev {spec.device} nud permanent"
        for address in spec.addresses
    ]
    way = f"route append ::/0 dev {spec.device}"
    return [f"link set {spec.device} up", *neighbours, way]


def _back_lines(spec: RelaySpec) -> list[str]:
    """What BGP answers goes to the workload, and nothing else does."""
    filters = [
        f"filter add dev {spec.device} ingress protocol {protocol} prio {place} u32 "
        f"match {name} protocol 6 0xff match {name} sport {PORT_BGP} 0xffff "
        f"action mirred egress redirect dev {spec.ifname}"
        for place, (protocol, name) in enumerate((("ip", "ip"), ("ipv6", "ip6")), 1)
    ]
    return [f"qdisc add dev {spec.device} clsact", *filters]
