"""Which machines each agent asked for, beyond those its virtual-router refers to.

The API knows from the configuration which host an orchestrator gave a machine to. A workload that
was plugged without that is known to the agent, which subscribes to its machine, and so to us. What
a host had when its session ended is held, as its workloads go on without it, until the agent is
back and says what it has now, or its virtual-router is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias
from zlib import crc32

from skytrail.control.path import PeerName
from skytrail.control.peer import Peer
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import VirtualRouter
from skytrail.model.graph import ObjectGraph
from skytrail.wire.xmpp import ConfigKey

VIRTUAL_ROUTER = "virtual-router"
VIRTUAL_MACHINE = "virtual-machine"
_SYSTEM = "default-global-system-config"

Report: TypeAlias = list[dict[str, object]]


PARTS_COUNT = 8
"""Into how many reports hosts are divided, by their names: the API takes 16 MiB in one."""
MACHINES_LENGTH_MAX = 256 * 1024
"""Of the names reported of one host, together: who names more keeps no other host out."""


def part_of(name: PeerName) -> int:
    """Return in which report a host is."""
    return crc32(name.encode()) % PARTS_COUNT


class Placements:
    """Worked out again for the hosts that changed only; a part is the same object while none of it did."""

    def __init__(self) -> None:
        self._changed: dict[PeerName, None] = {}
        self._machines: dict[PeerName, tuple[str, ...]] = {}
        self._held: dict[PeerName, tuple[str, ...]] = {}
        self._reports: list[Report | None] = [None] * PARTS_COUNT

    def changed(self, name: PeerName) -> None:
        """The agent asks for other machines, or its session began or ended."""
        self._changed[name] = None

    def committed(self, versions: Iterable[ConfigObject]) -> None:
        """Take notice of virtual-routers: they may refer to other machines, or be gone."""
        for version in versions:
            if isinstance(version, VirtualRouter):
                self._changed[PeerName(version.fq_name[-1])] = None

    def hold(self, peer: Peer, graph: ObjectGraph) -> None:
        """The session ends: keep what the agent had, unless it never came to say."""
        if peer.config.reach.roots:
            self._held[peer.name] = _machines(peer, graph)
        self._changed[peer.name] = None

    def reports(
        self, peers: Mapping[PeerName, Peer], graph: ObjectGraph
    ) -> tuple[Report | None, ...]:
        """Return a row per host that asked for configuration, in parts that are not changed later.

        A host without machines has a row too: it overrules what another node holds of it. ``None``:
        no host of the part was ever here.
        """
        for name in self._changed:
            self._machines.pop(name, None)
            peer = peers.get(name)
            if peer is not None and peer.config.reach.roots:
                self._held.pop(name, None)
                self._machines[name] = _machines(peer, graph)
            elif name in self._held and not _routers(graph, name):
                del self._held[name]
        parts = {part_of(name) for name in self._changed}
        self._changed = {}
        for part in sorted(parts):
            rows = [
                *_rows(self._machines, part, held=False),
                *_rows(self._held, part, held=True),
            ]
            if rows or self._reports[part] is not None:
                self._reports[part] = rows
        return tuple(self._reports)


def _rows(
    found: Mapping[PeerName, tuple[str, ...]], part: int, *, held: bool
) -> Iterator[dict[str, object]]:
    for name, machines in found.items():
        if part_of(name) == part:
            yield {"host": name, "machines": machines, "held": held}


def _routers(graph: ObjectGraph, name: PeerName) -> list[ConfigObject]:
    router = graph.by_name(VIRTUAL_ROUTER, [_SYSTEM, name])
    return [] if router is None else [router]


def _machines(peer: Peer, graph: ObjectGraph) -> tuple[str, ...]:
    known = {
        ConfigKey(VIRTUAL_MACHINE, ":".join(machine.fq_name))
        for router in _routers(graph, peer.name)
        for machine in graph.refs(router.uuid, VIRTUAL_MACHINE)
    }
    names: list[str] = []
    room = MACHINES_LENGTH_MAX
    for key in peer.config.reach.roots:
        room -= len(key.name)
        if room < 0:
            break
        if key.type_name == VIRTUAL_MACHINE and key not in known:
            names.append(key.name)
    return tuple(names)
