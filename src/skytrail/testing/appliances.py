"""Traffic through a lab's network functions, and which of them it went through.

Both ends of a conversation are sockets of this process inside the workloads' namespaces, so each
step is seen from both sides without any thread.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from skytrail.lab.io import netns, plug
from skytrail.lab.io.endpoints import AttachedPort
from skytrail.lab.plan import INNER_IFNAME
from skytrail.lab.reachability import Member
from skytrail.lab.service import Lab

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_READ_BYTES = 2048
_TIMEOUT_S = 1.0
_ASKED = 4


@dataclass(frozen=True, slots=True)
class Passed:
    """Packets that crossed a network function from left to right, and back."""

    onward: int = 0
    back: int = 0

    def __sub__(self, other: Self) -> Passed:
        return Passed(self.onward - other.onward, self.back - other.back)


def passed(lab: Lab, names: Iterable[str] | None = None) -> dict[str, Passed]:
    """Count what crossed each network function of the lab since it was joined."""
    found: dict[str, Passed] = {}
    for each in lab.topology.appliances:
        if names is None or each.name in names:
            counts = [_received(lab.plan.namespace_of(side)) for side in (each.right, each.left)]
            found[each.name] = Passed(*counts)
    return found


def _received(namespace: str) -> int:
    shown = netns.run(["ip", "-n", namespace, "-s", "-j", "link", "show", "dev", INNER_IFNAME])
    return int(json.loads(shown)[0]["stats64"]["rx"]["packets"])


@contextlib.contextmanager
def counted(lab: Lab) -> Generator[Callable[[], Mapping[str, Passed]]]:
    """Yield what tells the packets that crossed each network function since here."""
    before = passed(lab)

    def grown() -> Mapping[str, Passed]:
        now = passed(lab)
        return {name: now[name] - before[name] for name in before}

    yield grown


def copy_of(lab: Lab, talk: UdpTalk, copies: Iterable[str]) -> str:
    """Return which copy a flow passes, both ways; empty unless it is one copy alone."""
    with counted(lab) as grown:
        answered = all(talk.ask().answered for _ in range(_ASKED))
    # Neighbour discovery on the cable may add a packet or two.
    ways = {name: each for name, each in grown().items() if max(each.onward, each.back) > 2}
    used = [name for name in copies if name in ways]
    if not answered or len(used) != 1:
        return ""
    return used[0] if min(ways[used[0]].onward, ways[used[0]].back) >= _ASKED else ""


@contextlib.contextmanager
def unplugged(lab: Lab, name: str, sides: Collection[str] = ("left", "right")) -> Generator[None]:
    """Take a network function's ports, or one, from their vRouter, as when its machine dies."""
    appliance = next(each for each in lab.topology.appliances if each.name == name)
    ports: list[tuple[Path, AttachedPort]] = []
    for side in [getattr(appliance, each) for each in sides]:
        socket_path = lab.paths.plug_socket(lab.topology.endpoint(side).host)
        ports.append((socket_path, lab.attached(side)))
        plug.unplug(socket_path, ports[-1][1].uuid)
    try:
        yield
    finally:
        for socket_path, attached in ports:
            port = plug.PluggedPort(
                vmi_uuid=attached.uuid,
                vm_uuid=attached.vm_uuid,
                ifname=attached.ifname,
                kind="veth",
            )
            plug.plug(socket_path, port)


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one question: who asked it as the other end saw it, and whether it answered."""

    arrived: bool
    source: str = ""
    answered: bool = False


class UdpTalk:
    """Datagrams from one workload to another and back, one flow as long as it is open."""

    def __init__(
        self,
        lab: Lab,
        ends: tuple[Member, Member],
        *,
        version: int = 4,
        ports: tuple[int, int] = (0, 0),
    ) -> None:
        family, port = _FAMILIES[version], ports[1]
        source, target = ends
        self._asking = netns.open_socket(lab.plan.namespace_of(source.name), family)
        self._answering = netns.open_socket(lab.plan.namespace_of(target.name), family)
        for each, number in ((self._asking, ports[0]), (self._answering, port)):
            each.settimeout(_TIMEOUT_S)
            each.bind(("", number))
        self._target = (str(target.address(version=version)), self._answering.getsockname()[1])
        self.source = str(source.address(version=version))
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._asking.close()
        self._answering.close()

    def ask(self) -> Seen:
        """Send one datagram; answer it to wherever it came from."""
        self._count += 1
        text = f"question {self._count}".encode()
        self._asking.sendto(text, self._target)
        while True:
            try:
                read, source = self._answering.recvfrom(_READ_BYTES)
            except TimeoutError:
                return Seen(arrived=False)
            if read == text:
                break
        self._answering.sendto(text[::-1], source)
        with contextlib.suppress(TimeoutError):
            while self._asking.recv(_READ_BYTES) != text[::-1]:
                pass
            return Seen(arrived=True, source=source[0], answered=True)
        return Seen(arrived=True, source=source[0])


def tcp_talk(
    lab: Lab, ends: tuple[Member, Member], port: int, *, version: int = 4, count_bytes: int = 10_000
) -> bool:
    """Tell whether a connection comes about and carries this many bytes each way."""
    family = _FAMILIES[version]
    source, target = (lab.plan.namespace_of(end.name) for end in ends)
    with (
        netns.open_socket(target, family, socket.SOCK_STREAM) as listener,
        netns.open_socket(source, family, socket.SOCK_STREAM) as client,
    ):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port))
        listener.listen()
        for each in (listener, client):
            each.settimeout(3 * _TIMEOUT_S)
        try:
            client.connect((str(ends[1].address(version=version)), port))
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(3 * _TIMEOUT_S)
                for sender, receiver in ((client, accepted), (accepted, client)):
                    sender.sendall(bytes(count_bytes))
                    left = count_bytes
                    while left:
                        left -= len(receiver.recv(left))
        except (TimeoutError, OSError):
            return False
    return True
