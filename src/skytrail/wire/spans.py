"""Spans of traces, and the names by which processes know them without telling each other. Pure.

```
 api.write (revision N) -+- compiler.derive
                         `- control.distribute (host) --- agent.program --- datapath.write
```
A trace is one revision of the configuration: its id is a hash of the number and of what led to it, both of which the API's
watch tells everybody. What the compiler writes is of the trace of what it was derived from. Agents follow no watch: the mark
of a revision carries the context, in the form of W3C Trace Context §3.2.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

API_WRITE: Final = "api.write"
COMPILER_DERIVE: Final = "compiler.derive"
CONTROL_DISTRIBUTE: Final = "control.distribute"
AGENT_PROGRAM: Final = "agent.program"
DATAPATH_WRITE: Final = "datapath.write"

_HEADER: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}\Z")
Attribute = str | int | float | bool


@dataclass(frozen=True, slots=True)
class SpanContext:
    """A span as others name it, in hexadecimal: 16 and 8 bytes."""

    trace_id: str
    span_id: str

    def header(self) -> str:
        """Return it as ``traceparent``, sampled."""
        return f"00-{self.trace_id}-{self.span_id}-01"


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened within a span."""

    name: str
    at: float
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time; times are seconds of the machine's monotonic clock."""

    name: str
    context: SpanContext
    parent_id: str
    """Empty: it is the trace's first."""
    start: float
    end: float
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    events: Sequence[SpanEvent] = ()


def trace_of(revision: int, history: str) -> str:
    """Return the trace of a revision; ``history`` stands for everything up to it."""
    return _hash(f"{revision}/{history}", 16)


def context_of(trace_id: str, name: str, which: str = "") -> SpanContext:
    """Return a span's context; ``which`` tells apart those of one name."""
    return SpanContext(trace_id, _hash(f"{trace_id}/{name}/{which}", 8))


def root_of(trace_id: str) -> str:
    """Return the id of a trace's first span."""
    return context_of(trace_id, API_WRITE).span_id


def read_header(text: str) -> SpanContext | None:
    """Return what a ``traceparent`` says; None for anything else, which is to be ignored."""
    found = _HEADER.match(text)
    if found is None or not (int(found[1], 16) and int(found[2], 16)):
        return None
    return SpanContext(found[1], found[2])


def _hash(text: str, count: int) -> str:
    return hashlib.sha256(text.encode()).digest()[:count].hex()
