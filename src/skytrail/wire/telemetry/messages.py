"""The messages of the stream."""

from __future__ import annotations

from typing import Any

import msgspec

from skytrail.wire.telemetry.sessions import Sessions


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """The first message of a process; ``started_us`` tells one run from the next."""

    source: str
    """Name of the machine."""
    node_type: str
    module: str
    instance_id: str
    pid: int
    started_us: int
    confirms: bool = False
    """It says which :class:`Kept` it has heard, where the collector wants to know."""
    retold: int = 0
    """Up to this number it may have told another collector, which did not say that it keeps them; 0: nothing."""

    @property
    def generator(self) -> str:
        return f"{self.source}:{self.node_type}:{self.module}:{self.instance_id}"


class Known(msgspec.Struct, frozen=True, kw_only=True, tag="known"):
    """The collector's answer: per struct the newest number it has of this process."""

    newest: dict[str, int]
    kept: int = 0
    """Logs, sessions and losses of this run up to this number are kept; the others are said again."""
    wants_confirmation: bool = False
    """The process is asked to say which :class:`Kept` it has heard."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, tag="kept"):
    """The collector has logs, sessions and losses up to ``number`` where its end does not lose them."""

    number: int


class Confirmed(msgspec.Struct, frozen=True, kw_only=True, tag="confirmed"):
    """The process has heard on this connection that everything up to ``number`` is kept: it tells it nobody again."""

    number: int


class Lost(msgspec.Struct, frozen=True, kw_only=True, tag="lost", omit_defaults=True):
    """What a process could not tell: a gap in what is known."""

    kind: str
    """``log`` or ``session``."""
    count: int
    reason: str
    since_us: int
    until_us: int
    number: int = 0


class Statistic(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields of a struct whose course is kept: numbers, or mappings of numbers.

    Of ``counters``, which only grow in a process's life, the growth is kept; of ``gauges`` the value. Counters may be a
    mapping of structs as well, a row each; numbers of these that are none are gauges by their paths (``ifStats.ifSpeed``).
    """

    name: str
    counters: list[str] = msgspec.field(default_factory=list)
    gauges: list[str] = msgspec.field(default_factory=list)


class Uve(msgspec.Struct, frozen=True, kw_only=True, tag="uve", omit_defaults=True):
    """All that a process says of an entity in one struct.

    ``fields`` are text, numbers, booleans, lists of those or of mappings, and mappings.
    """

    table: str
    key: str
    struct: str
    sequence: int = 0
    fields: dict[str, Any] = msgspec.field(default_factory=dict)
    rules: dict[str, str] = msgspec.field(default_factory=dict)
    """How fields of several processes become one: ``sum``, ``union``, ``append``."""
    is_deleted: bool = False
    statistics: list[Statistic] = msgspec.field(default_factory=list)


class Log(msgspec.Struct, frozen=True, kw_only=True, tag="log", omit_defaults=True):
    """An event of a process's log. ``level`` is as of syslog, 0 (emergency) to 7 (debug)."""

    timestamp_us: int
    level: int
    event: str
    category: str = ""
    fields: dict[str, Any] = msgspec.field(default_factory=dict)
    objects: dict[str, str] = msgspec.field(default_factory=dict)
    """Entities it is about: table to key."""
    number: int = 0
    """Of logs, sessions and losses of a run together; 0: nobody waits for its being kept."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask", omit_defaults=True):
    """The collector's question: one of the pages that the process shows of itself, as ``introspect/fib``."""

    id: int
    page: str
    query: dict[str, str] = msgspec.field(default_factory=dict)


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer", omit_defaults=True):
    """A part of the answer to an :class:`Ask`, in order."""

    id: int
    status: int
    """As of HTTP; the same in all parts."""
    part: bytes
    is_last: bool = True


Message = Hello | Known | Kept | Confirmed | Uve | Log | Sessions | Lost | Ask | Answer
