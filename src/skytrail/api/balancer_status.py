"""How load balancers stand: the status fields of LBaaS v2, filled when objects are read. Pure.

Nobody stores them. Hosts tell control nodes how the copies stand that run there, these report it, and
a reader of the compatible API finds it where clients look: ``operating_status``,
``provisioning_status`` and ``status`` of a load balancer, ``status`` of pools and members. What a
client writes there, since it wrote back what it read, is never shown.

| provisioning | when |
| --- | --- |
| ERROR | nothing is served of it: the compiler or the model says why |
| PENDING_CREATE | no copy runs yet |
| PENDING_UPDATE | the last change has not reached the compiler, or a host that has a copy |
| ACTIVE | else |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from skytrail.api import documents
from skytrail.api.documents import Document
from skytrail.api.graph import Record, View, make_record
from skytrail.api.hosts import need_of
from skytrail.api.programmed import Agent, BalancerStanding
from skytrail.api.status import StatusBoard
from skytrail.api.unserved import why_unserved
from skytrail.model.load_balancer import Operating

BALANCER: Final = "loadbalancer"
LISTENER: Final = "loadbalancer-listener"
POOL: Final = "loadbalancer-pool"
MEMBER: Final = "loadbalancer-member"
TYPES: Final = frozenset({BALANCER, LISTENER, POOL, MEMBER})
_PROPERTIES: Mapping[str, str] = {
    BALANCER: "loadbalancer_properties",
    LISTENER: "loadbalancer_listener_properties",
    POOL: "loadbalancer_pool_properties",
    MEMBER: "loadbalancer_member_properties",
}
_WORDS: Final = frozenset(Operating)
_SENTENCES: Mapping[Operating, str] = {
    Operating.ONLINE: "it answers",
    Operating.DEGRADED: "some of what it is made of fails",
    Operating.ERROR: "nobody gets an answer from it",
    Operating.OFFLINE: "it is switched off, or no running copy serves it",
    Operating.NO_MONITOR: "nobody asks it whether it is well",
    Operating.DRAINING: "its weight is 0: it gets no new clients",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one object."""

    operating: Operating
    provisioning: str
    detail: str

    def document(self) -> Document:
        return {
            "operating_status": self.operating.value,
            "provisioning_status": self.provisioning,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class _Told:
    """What hosts say, of the copies that clients meet."""

    parts: dict[str, Operating] = field(default_factory=dict[str, Operating])
    hosts: dict[str, list[Agent]] = field(default_factory=dict[str, list[Agent]])
    """Who has a running copy, by balancer."""


class Standings:
    """Reads the board for one request; what all objects need of it is worked out once."""

    def __init__(self, view: View, board: StatusBoard, now: float) -> None:
        self._view = view
        self._components = board.told(now)
        self._told = _told(self._components.agents)

    def of(self, record: Record) -> Standing:
        """Return how an object of ``TYPES`` stands."""
        operating = self._operating(record)
        balancers = [
            each for each in _balancers(self._view, record) if each.uuid in self._told.hosts
        ]
        hosts = [agent for each in balancers for agent in self._told.hosts[each.uuid]]
        derived = self._components.derived(record)
        if derived["reason"] == "pending":
            provisioning = "PENDING_UPDATE" if hosts else "PENDING_CREATE"
        elif derived["status"] == "false" or why_unserved(record):
            provisioning = "ERROR"
        elif not hosts:
            provisioning = "PENDING_CREATE"
        else:
            wanted = need_of(self._view, record, {}).revision
            is_behind = any(each.revision is None or each.revision < wanted for each in hosts)
            provisioning = "PENDING_UPDATE" if is_behind else "ACTIVE"
        return Standing(operating, provisioning, _SENTENCES[operating])

    def filled(self, record: Record) -> Record:
        """Return the record with its status fields; itself when its type has none."""
        name = _PROPERTIES.get(record.type_name)
        if name is None or record.type_name == LISTENER or name not in record.body:
            return record
        standing = self.of(record)
        given = dict(documents.section(record.body, name))
        if record.type_name == BALANCER:
            given["operating_status"] = standing.operating.value
            given["provisioning_status"] = given["status"] = standing.provisioning
        else:
            given["status"] = standing.operating.value
            given["status_description"] = standing.detail
        copy = make_record(record.type_name, {**record.body, name: given}, record.side)
        copy.mod_revision, copy.create_revision = record.mod_revision, record.create_revision
        return copy

    def _operating(self, record: Record) -> Operating:
        properties = documents.section(record.body, _PROPERTIES[record.type_name])
        if properties.get("admin_state") is False:
            return Operating.OFFLINE
        return self._told.parts.get(record.uuid, Operating.OFFLINE)


def _told(agents: Mapping[str, Agent]) -> _Told:
    told = _Told()
    best: dict[str, BalancerStanding] = {}
    for agent in agents.values():
        if not agent.connected:
            continue
        for each in agent.balancers:
            told.hosts.setdefault(each.uuid, []).append(agent)
            known = best.get(each.uuid)
            if known is None or each.preference > known.preference:
                best[each.uuid] = each
    for each in best.values():
        for uuid, word in each.parts.items():
            # A word of a later release says nothing to this one.
            if word in _WORDS:
                told.parts[uuid] = Operating(word)
    return told


def _balancers(view: View, record: Record) -> list[Record]:
    """Return the load balancers that an object is of: one, or none yet."""
    found = [record]
    while found and found[0].type_name != BALANCER:
        found = [above for each in found for above in _above(view, each)]
    return found


def _above(view: View, record: Record) -> list[Record]:
    if record.type_name == MEMBER:
        parent = view.get(record.parent_uuid) if record.parent_uuid else None
        return [] if parent is None else [parent]
    field_name = (
        "loadbalancer_refs" if record.type_name == LISTENER else "loadbalancer_listener_refs"
    )
    named = [view.get(uuid) for name, uuid in record.targets if name == field_name]
    return [each for each in named if each is not None]
