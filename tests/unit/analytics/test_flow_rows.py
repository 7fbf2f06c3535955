"""What switches sample and count, as rows of statistics."""

from __future__ import annotations

import pytest

from skytrail.analytics.exporters import Exporters
from skytrail.analytics.flow_rows import InterfaceCounters, row_of_record, row_of_sample
from skytrail.wire.frame.beginning import FrameFlow
from skytrail.wire.ipfix import FlowRecord
from skytrail.wire.sflow import COUNTER_WIDTHS, FlowSample

INNER = FrameFlow("10.1.0.3", "10.1.0.4", 17, 4000, 53, network_id=42)
FLOW = FrameFlow("192.0.2.1", "192.0.2.2", 17, 50000, 6635, 7, inner=INNER)


@pytest.fixture
def exporter():
    exporters = Exporters()
    exporters.configure({"127.0.0.1": "leaf1"})
    return exporters.known("sflow", "127.0.0.1", 0.0)


def test_sample_stands_for_as_many_packets_as_the_switch_looked_past(exporter):
    row = row_of_sample(FlowSample(1000, 3, 4, 150, FLOW, "192.0.2.9"), exporter, 5)

    numbers, texts = row["numbers"], row["texts"]
    assert (row["name"], row["Source"], row["T"]) == ("127.0.0.1", "leaf1", 5)
    assert (numbers["flow.packets"], numbers["flow.bytes"]) == (1000, 150_000)
    assert (numbers["flow.pifindex"], numbers["flow.sport"], numbers["flow.vlan"]) == (3, 50000, 7)
    assert (texts["flow.sip"], texts["flow.flowtype"]) == ("192.0.2.1", "SFLOW")
    assert (texts["flow.inner_dip"], numbers["flow.network_id"]) == ("10.1.0.4", 42)
    assert texts["flow.otherinfo"] == "nexthop=192.0.2.9"


def test_counts_of_a_record_are_multiplied_by_its_rate(exporter):
    row = row_of_record(FlowRecord(FLOW, 700, 3, 1, 2, "", 64), exporter, 5)

    assert (row["numbers"]["flow.bytes"], row["numbers"]["flow.packets"]) == (44_800, 192)
    assert row["texts"]["flow.flowtype"] == "IPFIX"


def test_sample_of_no_ip_packet_is_no_row(exporter):
    assert row_of_sample(FlowSample(1, 1, 1, 60, FrameFlow()), exporter, 0) is None


def counters(**values):
    return {
        **dict.fromkeys(COUNTER_WIDTHS, 0),
        "ifIndex": 5,
        "ifSpeed": 10**9,
        "ifStatus": 3,
        **values,
    }


def test_growth_of_counters_goes_on_behind_their_width(exporter):
    interfaces = InterfaceCounters()
    first = counters(ifInUcastPkts=2**32 - 10, ifInOctets=2**32 - 10)

    assert interfaces.row(first, 1000, exporter, 0) is None
    row = interfaces.row(counters(ifInUcastPkts=20, ifInOctets=2**32 + 20), 2000, exporter, 0)

    numbers = row["numbers"]
    assert (numbers["ifStats.ifInUcastPkts"], numbers["ifStats.ifInOctets"]) == (30, 30)
    assert (row["name"], row["texts"]["ifStats.ifIndex"]) == ("leaf1", "5")


def test_switch_that_began_anew_grew_by_nothing(exporter):
    interfaces = InterfaceCounters()
    interfaces.row(counters(ifInOctets=900), 5000, exporter, 0)

    assert interfaces.row(counters(ifInOctets=100), 10, exporter, 0) is None
    assert interfaces.row(counters(ifInOctets=130), 20, exporter, 0) is not None
