"""Requests of the native API that are about several objects, with what each answers; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

from skytrail.client.kinds import Operation
from skytrail.client.messages import Call
from skytrail.client.native_types import (
    ChangeSet,
    ChangeSetList,
    Commit,
    HistoryEntry,
    HistoryPage,
    Plan,
    Rehearsal,
    Verification,
)

ReplyT = TypeVar("ReplyT")
_SETS = "/api/v1/change-sets"
_HISTORY = "/api/v1/history"


@dataclass(frozen=True, slots=True)
class Asked(Generic[ReplyT]):
    """A request, and what its answer is decoded as."""

    call: Call
    reply: type[ReplyT]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """Which changes a reader of the history wants."""

    of: str | None = None
    """The uuid of an object."""
    type_name: str | None = None
    by: str | None = None
    derived: bool = False

    def page(self, cursor: str | None) -> Asked[HistoryPage]:
        given = {"object": self.of, "type": self.type_name, "by": self.by, "cursor": cursor}
        query = {name: value for name, value in given.items() if value is not None}
        if self.derived:
            query["derived"] = "true"
        return Asked(Call("GET", _HISTORY, query=query), HistoryPage)


def transaction(operations: Sequence[Operation]) -> Asked[Commit]:
    return Asked(Call("POST", "/api/v1/transaction", {"operations": list(operations)}), Commit)


def rehearsal(operations: Sequence[Operation]) -> Asked[Rehearsal]:
    body = {"operations": list(operations)}
    return Asked(Call("POST", "/api/v1/transaction", body, query={"dry_run": "true"}), Rehearsal)


def plan(operations: Sequence[Operation]) -> Asked[Plan]:
    return Asked(Call("POST", "/api/v1/plan", {"operations": list(operations)}), Plan)


def change(name: str) -> Asked[HistoryEntry]:
    return Asked(Call("GET", f"{_HISTORY}/{quote(name, safe='')}"), HistoryEntry)


def revert(name: str, *, force: bool) -> Asked[Commit]:
    return Asked(_revert_call(name, {"force": "true"} if force else {}), Commit)


def revert_rehearsal(name: str, *, force: bool) -> Asked[Rehearsal]:
    query = {"dry_run": "true"} | ({"force": "true"} if force else {})
    return Asked(_revert_call(name, query), Rehearsal)


def _revert_call(name: str, query: dict[str, str]) -> Call:
    return Call("POST", f"{_HISTORY}/{quote(name, safe='')}/revert", query=query)


def verification() -> Asked[Verification]:
    return Asked(Call("GET", f"{_HISTORY}/verify"), Verification)


def all_change_sets() -> Asked[ChangeSetList]:
    return Asked(Call("GET", _SETS), ChangeSetList)


def draft(title: str, operations: Sequence[Operation]) -> Asked[ChangeSet]:
    body = {"title": title, "operations": list(operations)}
    return Asked(Call("POST", _SETS, body), ChangeSet)


def change_set(identity: str) -> Asked[ChangeSet]:
    return Asked(Call("GET", _set_path(identity)), ChangeSet)


def extension(identity: str, operations: Sequence[Operation]) -> Asked[ChangeSet]:
    body = {"operations": list(operations)}
    return Asked(Call("POST", f"{_set_path(identity)}/operations", body), ChangeSet)


def review(identity: str) -> Asked[Plan]:
    return Asked(Call("GET", f"{_set_path(identity)}/plan"), Plan)


def set_commit(identity: str) -> Asked[Commit]:
    return Asked(Call("POST", f"{_set_path(identity)}/commit"), Commit)


def rebase(identity: str) -> Asked[ChangeSet]:
    return Asked(Call("POST", f"{_set_path(identity)}/rebase"), ChangeSet)


def discard_call(identity: str) -> Call:
    return Call("DELETE", _set_path(identity))


def _set_path(identity: str) -> str:
    return f"{_SETS}/{quote(identity, safe='')}"
