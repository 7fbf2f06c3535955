"""How far a change has come: accepted, derived, distributed, programmed on hosts. Pure; time comes in.

Components report which revision they have processed and what they could not do. A report holds for
its lease; without one the answer is "unknown" with the reason, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from skytrail.api import programmed
from skytrail.api.documents import Document
from skytrail.api.graph import FqName, Record
from skytrail.api.hosts import Need
from skytrail.api.programmed import Agent, Placement
from skytrail.api.refusal import bad_request
from skytrail.api.unseen_names import Eyes
from skytrail.api.unserved import why_unserved

REPORTERS_COUNT_MAX = 1_024
LEASE_S_MAX = 300.0


class Trouble(msgspec.Struct, frozen=True):
    """What a reporter could not do with an object."""

    type: str
    fq_name: tuple[str, ...]
    reason: str
    detail: str = ""


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["compiler", "control", "placement"]
    """A control node also reports ``placements``, apart: they are long and change less often."""
    revision: int
    lease_s: float = 30.0
    troubles: tuple[Trouble, ...] = ()
    agents: tuple[Agent, ...] = ()
    placements: tuple[Placement, ...] = ()


@dataclass(frozen=True, slots=True)
class _Held:
    report: Report
    until: float


class StatusBoard:
    """The latest report of each component."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._placed: tuple[tuple[Report, ...], dict[str, set[str]]] = (), {}

    def put(self, reporter: str, report: Report, now: float) -> None:
        """Take a report; refuse more reporters or longer leases than there can be."""
        if not 0 < report.lease_s <= LEASE_S_MAX:
            raise bad_request(f"lease_s must be over 0 and at most {LEASE_S_MAX:g}")
        self._held = {name: held for name, held in self._held.items() if held.until > now}
        if reporter not in self._held and len(self._held) >= REPORTERS_COUNT_MAX:
            raise bad_request(f"There are {REPORTERS_COUNT_MAX} reporters already")
        self._held[reporter] = _Held(report, now + report.lease_s)

    def reports(self, kind: str, now: float) -> dict[str, Report]:
        """Return the reports of one kind that hold, by reporter."""
        return {
            name: held.report
            for name, held in sorted(self._held.items())
            if held.report.kind == kind and held.until > now
        }

    def agents(self, now: float) -> dict[str, Agent]:
        """Return what control nodes say of each host; who knows best of it."""
        controls = self.reports("control", now)
        return programmed.latest(agent for each in controls.values() for agent in each.agents)

    def hosts_by_machine(self, now: float) -> dict[str, set[str]]:
        """Return the hosts whose agents asked for a machine; worked out when reports change."""
        reports = tuple(self.reports("placement", now).values())
        if [*map(id, reports)] != [*map(id, self._placed[0])]:
            told = (each for report in reports for each in report.placements)
            self._placed = reports, programmed.hosts_by_machine(told)
        return self._placed[1]

    def told(self, now: float) -> Told:
        """Return what components say at this moment; for many objects, ask once."""
        compilers = self.reports("compiler", now)
        troubles: dict[FqName, list[tuple[int, Trouble]]] = {}
        for report in compilers.values():
            for trouble in report.troubles:
                told = (report.revision, trouble)
                troubles.setdefault(trouble.fq_name, []).append(told)
                troubles.setdefault(trouble.fq_name[:-1], []).append(told)
        return Told(compilers, self.reports("control", now), self.agents(now), troubles)


@dataclass(frozen=True, slots=True)
class Told:
    """What components say of all objects at one moment."""

    compilers: Mapping[str, Report]
    controls: Mapping[str, Report]
    agents: Mapping[str, Agent]
    troubles: Mapping[FqName, Sequence[tuple[int, Trouble]]]
    """With the revision of who speaks of them, by what they are about and by what that is below."""

    def conditions(self, record: Record, need: Need, eyes: Eyes | None = None) -> list[Document]:
        """Return the conditions of an object and of the hosts that need it, as ``eyes`` may see."""
        derived = self.derived(record, eyes)
        unserved = why_unserved(record)
        if unserved:
            on_hosts = _condition("programmed", "false", "not_applied", unserved)
        else:
            told = self.agents if self.controls else None
            is_derived = derived["reason"] != "pending"
            on_hosts = programmed.condition(record, need, told, is_derived=is_derived)
        return [
            _condition("accepted", "true", "committed", f"at revision {record.mod_revision}"),
            derived,
            _distributed(record, self.controls),
            on_hosts,
        ]

    def derived(self, record: Record, eyes: Eyes | None = None) -> Document:
        """Return the condition that tells whether the compiler could do its part."""
        if not self.compilers:
            detail = "no compiler reports to this server; is it running? `skytrail status` tells"
            return _condition("derived", "unknown", "no_compiler", detail)
        latest = max(report.revision for report in self.compilers.values())
        if latest < record.mod_revision:
            detail = f"the compiler is at revision {latest}"
            return _condition("derived", "false", "pending", detail)
        unseen = [] if eyes is None else eyes.unseen(record)
        if unseen:
            # Trouble or its absence would tell which of them exist.
            detail = f"it names {', '.join(unseen[:5])}: not there, or not for the caller to see"
            return _condition("derived", "unknown", "names_unseen_objects", detail)
        # One that is behind speaks of what the object was: a compiler that is no more, perhaps.
        troubles = [
            trouble
            for revision, trouble in self.troubles.get(record.fq_name, ())
            if revision >= record.mod_revision
            and _concerns(trouble, record)
            and (eyes is None or eyes.may_hear_of(trouble.type, trouble.fq_name))
        ]
        if troubles:
            detail = "; ".join(trouble.detail or trouble.reason for trouble in troubles[:5])
            return _condition("derived", "false", troubles[0].reason, detail)
        return _condition("derived", "true", "compiled", f"up to revision {latest}")


def _concerns(trouble: Trouble, record: Record) -> bool:
    """Whether trouble is with the object, or with something derived below it."""
    if trouble.fq_name == record.fq_name and trouble.type == record.type_name:
        return True
    below = trouble.fq_name[: len(record.fq_name)] == record.fq_name
    return below and len(trouble.fq_name) == len(record.fq_name) + 1


def _condition(kind: str, status: str, reason: str, detail: str) -> Document:
    return {"type": kind, "status": status, "reason": reason, "detail": detail}


def _distributed(record: Record, controls: Mapping[str, Report]) -> Document:
    if not controls:
        detail = programmed.NO_CONTROL_NODE
        return _condition("distributed", "unknown", "no_control_node", detail)
    behind = [name for name, each in controls.items() if each.revision < record.mod_revision]
    count = f"{len(controls) - len(behind)} of {len(controls)} control nodes"
    if behind:
        detail = f"{count} have it; not {', '.join(behind[:5])}"
        return _condition("distributed", "false", "pending", detail)
    return _condition("distributed", "true", "distributed", f"{count} have it")
