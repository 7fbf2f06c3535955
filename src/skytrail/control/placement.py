"""Which machines each agent asked for, beyond those its virtual-router refers to.

The API knows from the configuration which host an orchestrator gave a machine to. A workload that
was plugged without that is known to the agent, which subscribes to its machine, and so to us. What
a host had when its session ended is held, as its workloads go on without it, until the agent is
back and says what it has now, or its virtual-router is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skytrail.control.path import PeerName
from skytrail.control.peer import Peer
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import VirtualRouter
from skytrail.model.graph import ObjectGraph
from skytrail.wire.xmpp import ConfigKey

VIRTUAL_ROUTER = "virtual-router"
VIRTUAL_MACHINE = "virtual-machine"
_SYSTEM = "default-global-system-config"


class Placements:
    """Worked out again for the hosts that changed only; the same object while nothing did."""

    def __init__(self) -> None:
        self._changed: dict[PeerName, None] = {}
        self._machines: dict[PeerName, tuple[str, ...]] = {}
        self._held: dict[PeerName, tuple[str, ...]] = {}
        self._report: list[dict[str, object]] = []

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

    def report(self, peers: Mapping[PeerName, Peer], graph: ObjectGraph) -> list[dict[str, object]]:
        """Return a row per host that asked for configuration; the list is not changed later.

        A host without machines has a row too: it overrules what another node holds of it.
        """
        if not self._changed:
            return self._report
        for name in self._changed:
            self._machines.pop(name, None)
            peer = peers.get(name)
            if peer is not None and peer.config.reach.roots:
                self._held.pop(name, None)
                self._machines[name] = _machines(peer, graph)
            elif name in self._held and not _routers(graph, name):
                del self._held[name]
        self._changed = {}
        self._report = [
            *_rows(self._machines, held=False),
            *_rows(self._held, held=True),
        ]
        return self._report


def _rows(found: Mapping[PeerName, tuple[str, ...]], *, held: bool) -> list[dict[str, object]]:
    return [{"host": name, "machines": machines, "held": held} for name, machines in found.items()]


def _routers(graph: ObjectGraph, name: PeerName) -> list[ConfigObject]:
    router = graph.by_name(VIRTUAL_ROUTER, [_SYSTEM, name])
    return [] if router is None else [router]


def _machines(peer: Peer, graph: ObjectGraph) -> tuple[str, ...]:
    known = {
        ConfigKey(VIRTUAL_MACHINE, ":".join(machine.fq_name))
        for router in _routers(graph, peer.name)
        for machine in graph.refs(router.uuid, VIRTUAL_MACHINE)
    }
    return tuple(
        key.name
        for key in peer.config.reach.roots
        if key.type_name == VIRTUAL_MACHINE and key not in known
    )
