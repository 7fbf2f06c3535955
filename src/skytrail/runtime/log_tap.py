"""A tap on a process's log: events are kept, bounded, until they were told to an analytics node.

It is a structlog processor behind the one that masks secrets. While nobody is told, the oldest events go, and are counted.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import MutableMapping
from typing import Any, Final, cast

from skytrail.runtime.clock import Clock
from skytrail.wire.telemetry import Log

COUNT_MAX: Final = 2_000
TEXT_CHARACTERS_MAX: Final = 2_000
_LEVELS: Final = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_NOT_OF_NAMES: Final = re.compile(r"[^A-Za-z0-9_.-]")
_OWN: Final = frozenset({"event", "level", "timestamp", "logger", "exc_info", "stack_info"})


class LogTap:
    """Keeps the newest events. Called wherever something is logged."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: deque[Log] = deque(maxlen=COUNT_MAX)
        self.lost_count = 0

    def __call__(
        self, logger: object, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Keep an event and hand it on."""
        self.keep(
            Log(
                timestamp_us=round(self._clock.wall() * 1e6),
                level=_LEVELS.get(method, 6),
                event=_name(str(event.get("event", "event"))),
                category=str(event.get("logger", "")),
                fields={_name(k): _value(v) for k, v in event.items() if k not in _OWN},
            )
        )
        return event

    def keep(self, log: Log) -> None:
        """Keep an event that is told and not logged."""
        if len(self._events) == COUNT_MAX:
            self.lost_count += 1
        self._events.append(log)

    def take(self) -> list[Log]:
        """Remove and return what is kept, oldest first."""
        taken = list(self._events)
        self._events.clear()
        return taken


def _name(text: str) -> str:
    """Return a name that can be an element's."""
    name = _NOT_OF_NAMES.sub("_", text)[:100]
    return name if name[:1].isalpha() else f"_{name}"


def _value(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else str(value)
    if isinstance(value, list | tuple):
        return [str(each)[:TEXT_CHARACTERS_MAX] for each in cast("list[object]", value)]
    return str(value)[:TEXT_CHARACTERS_MAX]
