"""What is missing in an answer of the analytics node, said beside it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from skytrail.cli import output
from skytrail.cli.values import Json, text
from skytrail.runtime.terminal import printable

if TYPE_CHECKING:
    from skytrail.cli.analytics_node import Analytics

SHOWN_COUNT: Final = 5
_COLUMNS: Final = ("T", "Until", "Source", "Kind", "Reason", "Count")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_EQUAL, _AT_LEAST = 1, 6


def none_found(what: str, last: str, *, narrowed: bool) -> str:
    """Return what is said of no rows: of which time, and how some may be found."""
    such, fewer = ("such ", " or fewer conditions") if narrowed else ("", "")
    return f"no {such}{what} came in the last {last}; a longer --last{fewer} may find some"


def note_gaps(node: Analytics, last: str, kind: str) -> None:
    """Say which gaps of a kind (``log``, ``session``, ``uve``) reach into the time since ``last`` (``10m``) ago.

    They are of all projects: members of one are told none.
    """
    since_us = round((time.time() - int(last[:-1]) * _UNITS_S[last[-1]]) * 1e6)
    reaches = {"name": "Until", "value": since_us, "op": _AT_LEAST}
    kinds = [[{"name": "Kind", "value": each, "op": _EQUAL}, reaches] for each in (kind, "all")]
    gaps = node.rows_for_all(
        {
            "table": "GapTable", "start_time": 0, "end_time": "now", "select_fields": list(_COLUMNS),
            "where": kinds, "sort_fields": ["T"], "sort": 2, "limit": 1000,
        }
    )  # fmt: skip
    for line in lines(gaps):
        output.note(line)


def lines(gaps: Sequence[Json]) -> list[str]:
    """Return what is said of gaps, newest first."""
    said = [f"Something is missing here: {_said(gap)}" for gap in gaps[:SHOWN_COUNT]]
    if len(gaps) > SHOWN_COUNT:
        said.append(f"... and {len(gaps) - SHOWN_COUNT} gaps before; GapTable has them all")
    return said


def _said(gap: Json) -> str:
    count = gap.get("Count")
    how_many = f", {count} lost" if isinstance(count, int) and count else ""
    reason = text(gap.get("Reason")).replace("_", " ")
    where = printable(f"{text(gap.get('Source'))}: {reason}")
    return f"{_moment(gap.get('T'))} to {_moment(gap.get('Until'))}, {where}{how_many}"


def _moment(told: object) -> str:
    at_us = told if isinstance(told, int) else 0
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S}"
