"""What devices export, taken over by the collector: one method for each protocol. Pure.

A message that cannot be read is counted for its device and changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final
from weakref import WeakKeyDictionary

from skytrail.analytics.collector import Collector
from skytrail.analytics.exporters import Exporter, Exporters
from skytrail.analytics.flow_rows import InterfaceCounters, row_of_record, row_of_sample
from skytrail.analytics.statistics import Row
from skytrail.analytics.syslog_rows import row_of, statistics_of
from skytrail.wire.errors import DecodeError
from skytrail.wire.ipfix import Templates
from skytrail.wire.ipfix import decode_message as decode_ipfix
from skytrail.wire.sflow import decode_datagram
from skytrail.wire.syslog import decode_message

SYSLOG: Final = "syslog"
SFLOW: Final = "sflow"
IPFIX: Final = "ipfix"
STATISTICS_LEVEL: Final = 6
"""Where room is short, statistics of devices go before those of our own processes."""
IPFIX_PORTS_COUNT_MAX: Final = 16
"""From which one device may send: each has templates of its own (RFC 7011 section 8.4)."""


class Devices:
    """Turns what devices say into rows that wait for the store."""

    def __init__(self, collector: Collector, exporters: Exporters) -> None:
        self._collector = collector
        self.exporters = exporters
        self._templates: WeakKeyDictionary[Exporter, OrderedDict[int, Templates]]
        self._templates = WeakKeyDictionary()
        self._interfaces: WeakKeyDictionary[Exporter, InterfaceCounters] = WeakKeyDictionary()

    def syslog(self, exporter: Exporter, port: int, data: bytes, now_us: int) -> None:
        """Take one message over, from a ``port`` of the device; ``now_us`` is UTC since 1970."""
        self._collector.taken[SYSLOG] += 1
        try:
            message = decode_message(data)
        except DecodeError:
            self.exporters.drop(exporter, "syslog_malformed")
            return
        exporter.records_count += 1
        row = row_of(message, exporter, now_us)
        self._collector.messages.add(row, message.severity, exporter.address)
        for statistic in statistics_of(message, exporter, now_us):
            if statistic is None:
                self.exporters.drop(exporter, "syslog_field_malformed")
            else:
                self._collector.statistics.add(statistic, STATISTICS_LEVEL, exporter.address)

    def sflow(self, exporter: Exporter, port: int, data: bytes, now_us: int) -> None:
        """Take one datagram of sFlow over."""
        self._collector.taken[SFLOW] += 1
        try:
            datagram = decode_datagram(data)
        except DecodeError:
            self.exporters.drop(exporter, "sflow_malformed")
            return
        if datagram.unknown_count:
            self.exporters.drop(exporter, "sflow_unknown_format", datagram.unknown_count)
        interfaces = self._interfaces.setdefault(exporter, InterfaceCounters())
        for sample in datagram.flows:
            self._keep(row_of_sample(sample, exporter, now_us), exporter)
        for each in datagram.counters:
            row = interfaces.row(each.counters, datagram.uptime_ms, exporter, now_us)
            if row is not None:
                self._keep(row, exporter)

    def ipfix(self, exporter: Exporter, port: int, data: bytes, now_us: int) -> None:
        """Take one message of IPFIX or NetFlow 9 over."""
        self._collector.taken[IPFIX] += 1
        templates = self._templates_of(exporter, port)
        try:
            told = decode_ipfix(data, templates, exporter.seen)
        except DecodeError:
            self.exporters.drop(exporter, "ipfix_malformed")
            return
        for reason, count in (
            ("ipfix_template_unknown", told.untold_count),
            ("ipfix_too_many_templates", told.refused_count),
        ):
            if count:
                self.exporters.drop(exporter, reason, count)
        # A template is a few bytes and as much work as a record.
        exporter.bucket.charge(told.refused_count)
        for record in told.records:
            self._keep(row_of_record(record, exporter, now_us), exporter)

    def _templates_of(self, exporter: Exporter, port: int) -> Templates:
        by_port = self._templates.setdefault(exporter, OrderedDict())
        templates = by_port.pop(port, None) or Templates()
        by_port[port] = templates
        if len(by_port) > IPFIX_PORTS_COUNT_MAX:
            by_port.popitem(last=False)
        return templates

    def _keep(self, row: Row | None, exporter: Exporter) -> None:
        if row is None:
            self.exporters.drop(exporter, "no_ip_flow")
            return
        exporter.records_count += 1
        self._collector.statistics.add(row, STATISTICS_LEVEL, exporter.address)
