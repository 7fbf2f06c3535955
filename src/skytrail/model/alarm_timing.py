"""How long an alarm rule has to hold, or not, before its alarm is raised, or goes: annotations of the object. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from skytrail.model.annotation_names import (
    ALARM_ACTIVE_TIMER,
    ALARM_FREQUENCY,
    ALARM_IDLE_TIMER,
    annotations_of,
)

IDLE_DEFAULT_S: Final = 15
TIMER_S_MAX: Final = 86_400
TIMES_COUNT_MAX: Final = 100
"""So many moments are kept for each alarm."""
_TIMES, _SECONDS = ALARM_FREQUENCY
_BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    ALARM_ACTIVE_TIMER: (0, TIMER_S_MAX),
    ALARM_IDLE_TIMER: (0, TIMER_S_MAX),
    _TIMES: (1, TIMES_COUNT_MAX),
    _SECONDS: (1, TIMER_S_MAX),
}
_BEGINNINGS: Final = ("active-timer", "idle-timer", "frequency-check")
_LIKENESS_MIN: Final = 0.85
_KEY_LENGTH_MAX: Final = 60


class TimingUnusable(ValueError):
    """An annotation is no time or count; the text names it, and says what it may be."""


@dataclass(frozen=True, slots=True)
class AlarmTiming:
    """Times in whole seconds."""

    active_s: int = 0
    idle_s: int = IDLE_DEFAULT_S
    frequency_times: int = 0
    """An alarm that went up more often than this in ``frequency_s`` stays; 0: how often is no matter."""
    frequency_s: int = 0


def timing_of(document: Mapping[str, object]) -> AlarmTiming:
    """Return what the annotations of an ``alarm`` object say; :class:`TimingUnusable`."""
    found: dict[str, int] = {}
    for name, value in annotations_of(document):
        if not isinstance(name, str) or name not in _BOUNDS:
            continue
        if name in found:
            raise TimingUnusable(f"annotation {name} is given twice; give it once")
        found[name] = _number(name, value)
    if (_TIMES in found) != (_SECONDS in found):
        given, missing = (_TIMES, _SECONDS) if _TIMES in found else (_SECONDS, _TIMES)
        raise TimingUnusable(
            f"annotation {given} is given without {missing}: give both, or neither"
        )
    return AlarmTiming(
        active_s=found.get(ALARM_ACTIVE_TIMER, 0),
        idle_s=found.get(ALARM_IDLE_TIMER, IDLE_DEFAULT_S),
        frequency_times=found.get(_TIMES, 0),
        frequency_s=found.get(_SECONDS, 0),
    )


def check_names(document: Mapping[str, object]) -> None:
    """Refuse keys that nearly are those of times and counts; :class:`TimingUnusable`. What else users note is theirs."""
    for name, _ in annotations_of(document):
        if not isinstance(name, str) or name in _BOUNDS:
            continue
        written = name[:_KEY_LENGTH_MAX].strip().lower().replace("_", "-")
        near = get_close_matches(written, _BOUNDS, 1, _LIKENESS_MIN)
        if near or written.startswith(_BEGINNINGS):
            meant = near[0] if near else ", ".join(_BOUNDS)
            raise TimingUnusable(
                f"annotation {name[:_KEY_LENGTH_MAX]!r} is not read by alarms; write {meant}"
            )


def _number(name: str, value: object) -> int:
    text = value if isinstance(value, str) else ""
    least, most = _BOUNDS[name]
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not is_number or not least <= int(text) <= most:
        what = "times" if name == _TIMES else "seconds"
        raise TimingUnusable(
            f"annotation {name} is {str(value)[:60]!r}: it must be {least} to {most}, whole {what};"
            " take it away for the usual"
        )
    return int(text)
