"""What devices export, taken over by the collector: one method for each protocol. Pure.

A message that cannot be read is counted for its device and changes nothing.
"""

from __future__ import annotations

from typing import Final

from skytrail.analytics.collector import Collector
from skytrail.analytics.exporters import Exporter, Exporters
from skytrail.analytics.syslog_rows import row_of, statistics_of
from skytrail.wire.errors import DecodeError
from skytrail.wire.syslog import decode_message

SYSLOG: Final = "syslog"
STATISTICS_LEVEL: Final = 6
"""Where room is short, statistics of devices go before those of our own processes."""


class Devices:
    """Turns what devices say into rows that wait for the store."""

    def __init__(self, collector: Collector, exporters: Exporters) -> None:
        self._collector = collector
        self.exporters = exporters

    def syslog(self, exporter: Exporter, data: bytes, now_us: int) -> None:
        """Take one message over; ``now_us`` is UTC since 1970."""
        self._collector.taken[SYSLOG] += 1
        try:
            message = decode_message(data)
        except DecodeError:
            self.exporters.drop(exporter, "syslog_malformed")
            return
        exporter.records_count += 1
        self._collector.messages.add(row_of(message, exporter, now_us), message.severity)
        for row in statistics_of(message, exporter, now_us):
            self._collector.statistics.add(row, STATISTICS_LEVEL)
