"""Which ports, networks and machines configuration places on which host. Pure.

```
 port: host_id of its bindings --------------------------.
 port --> its machine <-- virtual-router refers to it ----+--> host: port, (port, network), network, machine, balancer
 port below a virtual-router ----------------------------'
```
What leaves a host, or configuration, counts as there for ``GRACE_S`` more: sessions are told when they end, and those of
a port that moves or goes end with it.
"""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from skytrail.model.derived_uuid import derived_uuid

PORTS: Final = "ObjectVMITable"
NETWORKS: Final = "ObjectVNTable"
MACHINES: Final = "ObjectVMTable"
BALANCERS: Final = "ObjectLBTable"
SESSIONS: Final = "session"
"""Of a port in a network: ``(SESSIONS, port, network)``; other subjects are a table and a key."""
GRACE_S: Final = 3600.0
LEFT_COUNT_MAX: Final = 100_000
PORT: Final = "virtual-machine-interface"
ROUTER: Final = "virtual-router"
WATCHED: Final = (PORT,)
"""Beside nodes."""
_MACHINE: Final = "virtual-machine"
BALANCER_NAME: Final = "load-balancer-"
"""How machines begin that the compiler made for a balancer's copies; then its uuid, and a number."""
_NOWHERE: Final = ""

Document: TypeAlias = Mapping[str, object]
Subject: TypeAlias = tuple[str, ...]


class Standing(enum.Enum):
    """How a subject and a host belong together."""

    HERE = enum.auto()
    """It is there, or was until lately."""
    UNPLACED = enum.auto()
    """It is in configuration, which places it nowhere."""
    ELSEWHERE = enum.auto()
    UNKNOWN = enum.auto()
    """It is not in configuration."""


@dataclass(frozen=True, slots=True)
class _Port:
    hosts: frozenset[str]
    machines: frozenset[str]
    subjects: tuple[Subject, ...]


class Placement:
    """Follows ports and virtual routers. Times are seconds of one monotonic clock."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._ports: dict[str, _Port] = {}
        self._routers: dict[str, tuple[str, frozenset[str]]] = {}
        """By uuid: the host, and its machines."""
        self._counted: dict[str, tuple[frozenset[str], tuple[Subject, ...]]] = {}
        """By the object's uuid: what it has placed where."""
        self._hosts_of: dict[str, Counter[str]] = {}
        """By machine: hosts that refer to it."""
        self._ports_of: dict[str, set[str]] = {}
        """By machine: ports that belong to it."""
        self._here: dict[str, Counter[Subject]] = {}
        self._anywhere: Counter[Subject] = Counter()
        self._left: OrderedDict[tuple[str, Subject], float] = OrderedDict()
        """Until when what is there no more counts as there."""
        self._came: set[Subject] = set()
        self.forgotten_count = 0
        """What left so long after so much else that there was no room to remember it."""

    def put(self, kind: str, uuid: str, document: Document, now: float) -> None:
        """Take over an object; of kinds that place nothing, nothing."""
        if kind == PORT:
            self._unlink(uuid)
            port = self._ports[uuid] = _port(document)
            for machine in port.machines:
                self._ports_of.setdefault(machine, set()).add(uuid)
            self._settle(uuid, now)
        elif kind == ROUTER:
            host, machines = _name(document), _references(document, "virtual_machine_refs")
            self._set_router(uuid, host, frozenset(name for name, _ in machines), now)
            # Machines are told by uuid, or by name where that is one.
            words = [word for name, given in machines for word in (_last(name), given) if word]
            subjects = tuple(dict.fromkeys((MACHINES, word) for word in words))
            self._count(uuid, frozenset((host,)), subjects, now)

    def delete(self, uuid: str, now: float) -> None:
        """Forget an object; what it had placed counts for a while."""
        if uuid in self._ports:
            self._unlink(uuid)
            del self._ports[uuid]
            self._count(uuid, frozenset(), (), now)
        elif uuid in self._routers:
            self._set_router(uuid, "", frozenset(), now)
            del self._routers[uuid]
            self._count(uuid, frozenset(), (), now)

    def standing(self, host: str, subject: Subject) -> Standing:
        """Tell how a subject and a host belong together."""
        if subject in self._here.get(host, ()) or (host, subject) in self._left:
            return Standing.HERE
        if subject in self._here.get(_NOWHERE, ()) or (_NOWHERE, subject) in self._left:
            return Standing.UNPLACED
        return Standing.ELSEWHERE if subject in self._anywhere else Standing.UNKNOWN

    def take_came(self) -> set[Subject]:
        """Remove and return what came to a host, or into configuration, since it was last asked."""
        came, self._came = self._came, set()
        return came

    def take_expired(self, now: float) -> list[tuple[str, Subject]]:
        """Remove and return what hosts have not had for the time of grace; host "": what had none."""
        gone: list[tuple[str, Subject]] = []
        while self._left and next(iter(self._left.values())) <= now:
            gone.append(self._left.popitem(last=False)[0])
        return gone

    def _unlink(self, uuid: str) -> None:
        former = self._ports.get(uuid)
        for machine in former.machines if former is not None else ():
            holders = self._ports_of[machine]
            holders.discard(uuid)
            if not holders:
                del self._ports_of[machine]

    def _set_router(self, uuid: str, host: str, machines: frozenset[str], now: float) -> None:
        former_host, former = self._routers.get(uuid, ("", frozenset[str]()))
        self._routers[uuid] = host, machines
        for name, given, amount in ((former_host, former, -1), (host, machines, 1)):
            for machine in given:
                hosts = self._hosts_of.setdefault(machine, Counter())
                hosts[name] += amount
                if not hosts[name]:
                    del hosts[name]
                if not hosts:
                    del self._hosts_of[machine]
        changed = former | machines if host != former_host else former ^ machines
        for machine in changed:
            for port in self._ports_of.get(machine, ()):
                self._settle(port, now)

    def _settle(self, uuid: str, now: float) -> None:
        """Count a port where it is now."""
        port = self._ports[uuid]
        hosts = set(port.hosts)
        for machine in port.machines:
            hosts.update(self._hosts_of.get(machine, ()))
        self._count(uuid, frozenset(hosts or (_NOWHERE,)), port.subjects, now)

    def _count(
        self, uuid: str, hosts: frozenset[str], subjects: tuple[Subject, ...], now: float
    ) -> None:
        former = self._counted.pop(uuid, (frozenset[str](), ()))
        if former == (hosts, subjects):
            self._counted[uuid] = former
            return
        if subjects:
            self._counted[uuid] = hosts, subjects
        before, after = set(_pairs(*former)), set(_pairs(hosts, subjects))
        for host, subject in after - before:
            self._here.setdefault(host, Counter())[subject] += 1
            self._anywhere[subject] += 1
            self._left.pop((host, subject), None)
            self._came.add(subject)
        for host, subject in before - after:
            self._remove(host, subject, now)

    def _remove(self, host: str, subject: Subject, now: float) -> None:
        here = self._here[host]
        here[subject] -= 1
        self._anywhere[subject] -= 1
        if not self._anywhere[subject]:
            del self._anywhere[subject]
        if here[subject]:
            return
        del here[subject]
        if not here:
            del self._here[host]
        self._left[host, subject] = now + self._grace_s
        if len(self._left) > LEFT_COUNT_MAX:
            self._left.popitem(last=False)
            self.forgotten_count += 1


def _pairs(hosts: Iterable[str], subjects: Iterable[Subject]) -> Iterator[tuple[str, Subject]]:
    return ((host, subject) for host in hosts for subject in subjects)


def _port(document: Document) -> _Port:
    name = ":".join(_words(document.get("fq_name")))
    networks = [full for full, _ in _references(document, "virtual_network_refs")]
    machines = _references(document, "virtual_machine_refs")
    hosts = {host for host in (_bound_host(document),) if host}
    parent = _words(document.get("fq_name"))[:-1]
    if document.get("parent_type") == _MACHINE:
        machines.append((":".join(parent), str(document.get("parent_uuid") or "")))
    elif document.get("parent_type") == ROUTER and parent:
        hosts.add(parent[-1])
    subjects: dict[Subject, None] = {(PORTS, name): None}
    for network in networks:
        subjects[SESSIONS, name, network] = subjects[NETWORKS, network] = None
    for full, uuid in machines:
        subjects[MACHINES, _last(full)] = None
        if uuid:
            subjects[MACHINES, uuid] = None
        balancer = _balancer(full, uuid)
        if balancer:
            subjects[BALANCERS, balancer] = None
    return _Port(frozenset(hosts), frozenset(full for full, _ in machines), tuple(subjects))


def _balancer(machine: str, uuid: str) -> str:
    """Return whose copy a machine is. Tenants name theirs as they like, but have no uuid of the compiler's."""
    is_made = machine.startswith(BALANCER_NAME) and uuid == derived_uuid(_MACHINE, (machine,))
    return machine.removeprefix(BALANCER_NAME).rpartition("-")[0] if is_made else ""


def _bound_host(document: Document) -> str:
    bindings = document.get("virtual_machine_interface_bindings")
    pairs = cast("Document", bindings).get("key_value_pair") if isinstance(bindings, dict) else None
    for pair in cast("list[object]", pairs) if isinstance(pairs, list) else []:
        if isinstance(pair, dict) and cast("Document", pair).get("key") == "host_id":
            host = str(cast("Document", pair).get("value") or "")
            return "" if host == "null" else host
    return ""


def _references(document: Document, field: str) -> list[tuple[str, str]]:
    """Return full names and uuids of what an object refers to."""
    found = document.get(field)
    references = cast("list[object]", found) if isinstance(found, list) else []
    return [
        (":".join(_words(each.get("to"))), str(each.get("uuid") or ""))
        for each in (cast("Document", one) for one in references if isinstance(one, dict))
    ]


def _name(document: Document) -> str:
    words = _words(document.get("fq_name"))
    return words[-1] if words else ""


def _last(name: str) -> str:
    return name.rpartition(":")[2]


def _words(value: object) -> list[str]:
    return [str(each) for each in cast("list[object]", value)] if isinstance(value, list) else []
