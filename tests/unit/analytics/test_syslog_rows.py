"""Syslog messages as rows: what of a message is in which column."""

from __future__ import annotations

import pytest

from skytrail.analytics.collector import Collector
from skytrail.analytics.devices import Devices
from skytrail.analytics.exporters import Exporters

NOW_US = 1_790_000_000_000_000
HOUR_US = 3600 * 1_000_000


@pytest.fixture
def devices():
    exporters = Exporters()
    exporters.configure({"127.0.0.1": "leaf1"})
    return Devices(Collector(), exporters)


def take(devices, *messages):
    """Return the rows of messages and of statistics."""
    collector = devices._collector
    exporter = devices.exporters.known("syslog", "127.0.0.1", 0.0)
    for message in messages:
        devices.syslog(exporter, 514, message, NOW_US)
    return collector.messages.take(), collector.statistics.take()


def test_message_is_a_row_about_its_router(devices):
    ((row,), statistics) = take(devices, b"<189>Nov 28 02:40:00 relay1 rpd[711]: peer\x1b down")

    assert (row["Source"], row["ModuleId"], row["InstanceId"]) == ("relay1", "rpd", "711")
    assert (row["Type"], row["Level"], row["Category"]) == (10, 5, "local7")
    assert (row["Messagetype"], row["IPAddress"]) == ("Syslog", "127.0.0.1")
    assert (row["MessageTS"], row["ObjectIds"]) == (NOW_US, ["leaf1"])
    assert "peer\\x1b down" in row["Xmlmessage"]
    assert statistics == []


def test_structured_data_become_statistics(devices):
    data = b'<14>1 - h1 ifmgr - LINK [port@32473 name="et-0/0/1" speed="100" 1="-2.5"] text'

    ((row,), (statistic,)) = take(devices, data)

    assert row["Messagetype"] == "LINK"
    assert statistic == {
        "T": NOW_US,
        "Table": "StatTable.StructuredSyslog.data",
        "name": "h1",
        "Source": "leaf1",
        "texts": {
            "data.element": "port@32473", "data.tag": "LINK", "data.application": "ifmgr",
            "data.name": "et-0/0/1",
        },
        "numbers": {"data.speed": 100.0, "data._1": -2.5},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("time", "at_us"),
    [
        (b"2026-09-21T14:13:00Z", NOW_US - 20 * 1_000_000),
        (b"2026-09-19T00:00:00Z", NOW_US),
        (b"2026-09-22T00:00:00Z", NOW_US),
        (b"0001-01-01T00:00:00+14:00", NOW_US),
        (b"-", NOW_US),
    ],
)
def test_time_of_a_clock_that_is_far_off_is_not_taken(devices, time, at_us):
    ((row,), _) = take(devices, b"<14>1 " + time + b" h a - - - text")

    assert row["MessageTS"] == at_us


def test_message_that_is_none_is_counted_for_its_device(devices):
    assert take(devices, b"hello") == ([], [])
    (exporter,) = devices.exporters
    assert exporter.dropped == {"syslog_malformed": 1}
    assert devices.exporters.dropped == {"syslog_malformed": 1}


def session_close(**changed):
    """Return what a security device logs of a session's end."""
    fields = {
        "reason": "TCP RST", "source-address": "10.110.110.10", "source-port": "13175",
        "destination-address": "2001:db8:0::1", "nat-source-address": "N/A", "application": "HTTP",
        "policy-name": "7", "protocol-id": "6", "session-id-32": "44292", "bytes-from-client": "1421",
        "elapsed-time": "4", "username": "None", **changed,
    }  # fmt: skip
    shown = "".join(f' {name}="{value}"' for name, value in fields.items())
    head = "<14>1 2026-09-21T14:13:00.274+00:00 srx1 RT_FLOW - APPTRACK_SESSION_CLOSE"
    return f"{head} [junos@2636.1.1.1.2.26{shown}]".encode()


def test_fields_of_a_security_device_have_types(devices):
    ((row,), (statistic,)) = take(devices, session_close())

    assert (row["Messagetype"], row["ModuleId"]) == ("APPTRACK_SESSION_CLOSE", "RT_FLOW")
    assert statistic["numbers"] == {
        "data.source-port": 13175.0, "data.protocol-id": 6.0, "data.session-id-32": 44292.0,
        "data.bytes-from-client": 1421.0, "data.elapsed-time": 4.0,
    }  # fmt: skip
    assert statistic["texts"] == {
        "data.element": "junos@2636.1.1.1.2.26", "data.tag": "APPTRACK_SESSION_CLOSE",
        "data.application": "HTTP", "data.reason": "TCP RST", "data.username": "None",
        "data.source-address": "10.110.110.10", "data.destination-address": "2001:db8::1",
        "data.policy-name": "7",
    }  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {"source-port": "65536"},
        {"source-port": "-1"},
        {"protocol-id": "tcp"},
        {"bytes-from-client": str(1 << 63)},
        {"ip-dscp": "64"},
        {"source-address": "10.0.0"},
    ],
)
def test_element_with_a_field_that_is_not_of_its_type_is_counted(devices, changed):
    (rows, statistics) = take(devices, session_close(**changed))

    assert (len(rows), statistics) == (1, [])
    (exporter,) = devices.exporters
    assert exporter.dropped == {"syslog_field_malformed": 1}
