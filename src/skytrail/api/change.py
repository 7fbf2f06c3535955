"""One planned change: the view it sees, the time it happens at, where fresh uuids come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from skytrail.api.caller import NOBODY_ASKED, Caller
from skytrail.api.documents import Document
from skytrail.api.graph import Overlay, Record
from skytrail.api.schema import Schema


class Companion(NamedTuple):
    """An object that has to exist together with the one being created."""

    type_name: str
    body: Document


@dataclass(slots=True)
class Change:
    """What rules get: everything they may read, and the plan they may add to."""

    schema: Schema
    view: Overlay
    now: str
    """UTC, ISO without zone, always with microseconds."""
    new_uuid: Callable[[], str]
    caller: Caller = NOBODY_ASKED
    by_system: bool = False
    """Set for the server's own objects and the compiler: system-only values may be given."""
    enforcing: bool = False
    """Set while security policy itself is written: a draft being made, committed or dropped."""
    ignored: list[str] = field(default_factory=list[str])
    """Unknown fields of the request, for the warning header."""


def _nothing(change: Change, body: Document) -> None:
    """Accept."""


def _no_companions(change: Change, record: Record) -> list[Companion]:
    return []


def _no_update(change: Change, old: Record, body: Document) -> None:
    """Accept."""


def _no_delete(change: Change, record: Record) -> None:
    """Accept."""


def _no_follow_up(change: Change, old: Record, new: Record) -> None:
    """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The semantic checks of one type. Each may refuse; ``create`` and ``update`` fill the body."""

    prepare: Callable[[Change, Document], None] = _nothing
    """Rewrites the request before its name is looked at."""
    create: Callable[[Change, Document], None] = _nothing
    companions: Callable[[Change, Record], list[Companion]] = _no_companions
    update: Callable[[Change, Record, Document], None] = _no_update
    """Gets the old record and the complete new body."""
    after_update: Callable[[Change, Record, Record], None] = _no_follow_up
    delete: Callable[[Change, Record], None] = _no_delete
    after_delete: Callable[[Change, Record], None] = _no_delete


NO_RULE = Rule()
