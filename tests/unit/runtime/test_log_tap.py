"""The tap on a process's log."""

from __future__ import annotations

import io

import structlog

from skytrail.runtime import logs
from skytrail.runtime.log_tap import COUNT_MAX, LogTap


class Clock:
    def now(self):
        return 1.0

    def wall(self):
        return 2.0


def tapped():
    tap, shown = LogTap(Clock()), io.StringIO()
    logs.configure("info", stream=shown, tap=tap)
    return tap, structlog.get_logger(), shown


def test_events_are_shown_and_kept_with_their_fields():
    tap, log, shown = tapped()

    log.warning("session lost!", peer="h1", count=3, up=False, hops=["a", 1])
    log.debug("not shown")

    (event,) = tap.take()
    assert "session lost!" in shown.getvalue()
    assert (event.event, event.level, event.timestamp_us) == ("session_lost_", 4, 2_000_000)
    assert event.fields == {"peer": "h1", "count": 3, "up": False, "hops": ["a", "1"]}
    assert tap.take() == []


def test_secrets_are_masked_before_they_are_kept():
    tap, log, _ = tapped()

    log.info("login", password="hunter2")

    assert tap.take()[0].fields == {"password": "***"}


def test_oldest_go_when_nobody_takes_them():
    tap, log, _ = tapped()
    for number in range(COUNT_MAX + 2):
        log.info("event", number=number)

    assert tap.lost_count == 2
    assert tap.take()[0].fields == {"number": 2}
