"""Which instances and machines each host may use: those that the configuration places there. Pure.

A host in strange hands has a certificate and speaks for itself; without this, it may publish routes
into any instance and ask for the configuration of any machine whose uuid it knows. What a host may use
is what a walk over the configuration (``config_filter.WALK``) reaches from its virtual-router, which
refers to its machines, and from the machines of ports that are bound to it (``host_id``). Of what
agents say nothing counts here.

What comes before its placement is held by the caller and used once that comes: :meth:`Grants.follow`
tells. What a placement that goes had granted stays granted for ``grace_s``: a workload that moves may
be told to its new host's object before it has left the old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from skytrail.control.config_graph import Change, config_key
from skytrail.control.config_reach import Delta, Reach, Steps
from skytrail.control.path import FABRIC_INSTANCE, InstanceName, PeerName
from skytrail.model.generated.objects import (
    RoutingInstance,
    VirtualMachine,
    VirtualMachineInterface,
)
from skytrail.model.graph import ObjectGraph
from skytrail.wire.xmpp import ConfigKey

VIRTUAL_ROUTER = "virtual-router"
VIRTUAL_MACHINE = "virtual-machine"
_SYSTEM = "default-global-system-config"
GRACE_S = 60.0

Subject: TypeAlias = InstanceName | ConfigKey
"""What is granted: an instance, or a machine's configuration."""
Grant: TypeAlias = tuple[PeerName, Subject]


class _Host:
    __slots__ = ("granted", "leaving", "reach", "subjects")

    def __init__(self) -> None:
        self.reach = Reach()
        self.subjects: dict[str, Subject] = {}
        """By the uuid of the object."""
        self.granted: dict[Subject, int] = {}
        """How many objects are this subject: while one of a name replaces another, two."""
        self.leaving: dict[Subject, float] = {}
        """Until when what is no longer reached stays granted."""


class Grants:
    """Of the hosts that have, or lately had, a session."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.grace_s = grace_s
        self._hosts: dict[PeerName, _Host] = {}
        self._bound: dict[PeerName, dict[ConfigKey, int]] = {}
        """Machines of ports that are bound to a host, and of how many such ports."""

    def may_use(self, name: PeerName, subject: Subject) -> bool:
        """Tell whether a host may use an instance or ask for a machine."""
        if subject == FABRIC_INSTANCE:
            return True
        host = self._hosts.get(name)
        return host is not None and (subject in host.granted or subject in host.leaving)

    def open(self, name: PeerName, graph: ObjectGraph, steps: Steps) -> None:
        """A host's session begins."""
        if name in self._hosts:
            return
        host = self._hosts[name] = _Host()
        roots = [ConfigKey(VIRTUAL_ROUTER, f"{_SYSTEM}:{name}"), *self._bound.get(name, ())]
        for root in roots:
            _note(host, host.reach.add_root(root, graph, steps), graph)

    def close(self, name: PeerName) -> None:
        """Nothing is remembered of the host any more."""
        self._hosts.pop(name, None)

    def follow(
        self,
        changes: Iterable[Change],
        delta: Delta,
        graph: ObjectGraph,
        steps: Steps,
        now: float,
    ) -> list[Grant]:
        """Take over a commit; return what hosts may use since. ``delta`` is what it changed for walks."""
        news: list[Grant] = []
        touched = delta.touched
        rebound = self._rebind(changes)
        for name, host in self._hosts.items():
            is_touched = host.reach.is_touched(touched, delta.names)
            if not is_touched and name not in rebound:
                continue
            known = dict.fromkeys([*host.granted, *host.leaving])
            if is_touched:
                _note(host, host.reach.follow(delta, graph, steps), graph)
            bound = self._bound.get(name, {})
            for root in rebound.get(name, ()):
                if root in bound:
                    _note(host, host.reach.add_root(root, graph, steps), graph)
                else:
                    _note(host, host.reach.remove_root(root, steps), graph)
            for subject in known:
                if subject in host.granted:
                    host.leaving.pop(subject, None)
                else:
                    host.leaving.setdefault(subject, now + self.grace_s)
            news += [(name, subject) for subject in host.granted if subject not in known]
        return news

    def take_expired(self, now: float) -> list[Grant]:
        """Return what hosts may use no longer."""
        gone = [
            (name, subject)
            for name, host in self._hosts.items()
            for subject, until in host.leaving.items()
            if now >= until
        ]
        for name, subject in gone:
            del self._hosts[name].leaving[subject]
        return gone

    def _rebind(self, changes: Iterable[Change]) -> dict[PeerName, dict[ConfigKey, None]]:
        """Take over which machines have ports bound to hosts; return those that came or went."""
        rebound: dict[PeerName, dict[ConfigKey, None]] = {}
        for change in changes:
            for version, amount in ((change.before, -1), (change.after, 1)):
                for name, machine in _bindings(version):
                    bound = self._bound.setdefault(name, {})
                    bound[machine] = bound.get(machine, 0) + amount
                    rebound.setdefault(name, {})[machine] = None
        for name, machines in rebound.items():
            bound = self._bound[name]
            for machine in machines:
                if not bound[machine]:
                    del bound[machine]
            if not bound:
                del self._bound[name]
        return rebound


def _note(host: _Host, flipped: Iterable[str], graph: ObjectGraph) -> None:
    for uuid in flipped:
        subject = host.subjects.pop(uuid, None)
        if subject is not None:
            host.granted[subject] -= 1
            if not host.granted[subject]:
                del host.granted[subject]
        found = graph.get(uuid) if uuid in host.reach.seen else None
        match found:
            case RoutingInstance():
                subject = InstanceName(":".join(found.fq_name))
            case VirtualMachine():
                subject = config_key(found)
            case _:
                continue
        host.subjects[uuid] = subject
        host.granted[subject] = host.granted.get(subject, 0) + 1


def _bindings(version: object) -> Iterator[tuple[PeerName, ConfigKey]]:
    """Yield which machine a port's host has for it; a port without a machine is nobody's."""
    if not isinstance(version, VirtualMachineInterface):
        return
    bindings = version.virtual_machine_interface_bindings
    pairs = () if bindings is None else bindings.key_value_pair
    host = next((each.value for each in pairs if each.key == "host_id"), None)
    if not host or host == "null":
        return
    for reference in version.virtual_machine_refs:
        yield PeerName(host), ConfigKey(VIRTUAL_MACHINE, ":".join(reference.to))
    if version.parent_type == VIRTUAL_MACHINE:
        yield PeerName(host), ConfigKey(VIRTUAL_MACHINE, ":".join(version.fq_name[:-1]))
