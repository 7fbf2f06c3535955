"""Flows of agents that do not tell sessions, as rows of the stored table."""

from __future__ import annotations

import pytest

from skytrail.analytics import sandesh_flows
from skytrail.analytics.collector import Collector
from skytrail.analytics.history_tables import SESSION
from skytrail.analytics.sandesh_flows import flows_of
from skytrail.testing.sandesh_flows import flow, flow_message
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import (
    ClientHello,
    Field,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    decode_message,
    encode_message,
)
from skytrail.wire.telemetry.sessions import unpack

NOW_US = 1_790_000_000_000_000
HEADER = SandeshHeader("h1", "agent", "Compute", "0", timestamp_us=NOW_US, type=SandeshType.FLOW)
# From 192.168.1.5 to 10.0.0.1, as agents write addresses and ports: with a sign.
TOLD = {
    "flowuuid": "555788e0-513c-4351-8711-3fc481cf2eb4",
    "direction_ing": 1,
    "sourcevn": "default-domain:red:front",
    "sourceip": -1_062_731_515,
    "destvn": "default-domain:red:back",
    "destip": 167_772_161,
    "protocol": -124,
    "sport": -25_536,
    "dport": 443,
    "reverse_uuid": "58745ee7-d616-4e59-b8f7-96f896487c9f",
    "vm": "04430130-664a-4b89-9287-39d71f351207",
    "vmi_uuid": "11430130-664a-4b89-9287-39d71f351207",
    "bytes": 10_000,
    "packets": 100,
    "diff_bytes": 900,
    "diff_packets": 9,
    "action": "pass",
    "sg_rule_uuid": "22430130-664a-4b89-9287-39d71f351207",
    "setup_time": NOW_US - 5_000_000,
}


def told(*flows):
    """Return a message that went over the wire."""
    flows = flows[0] if len(flows) == 1 else flows
    return decode_message(encode_message(flow_message(HEADER, flows)))


def rows(*flows):
    columns = unpack(flows_of(told(*flows)))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def row(**members):
    """Return what is told of a row."""
    (found,) = rows(flow(**{**TOLD, **members}))
    return {name: value for name, value in found.items() if value not in ("", 0)}


def test_flow_is_a_session_of_which_one_way_is_told():
    found = row()

    assert set(found) <= set(SESSION.columns)
    assert found == {
        "T": NOW_US,
        "session_type": "client",
        "vmi": "11430130-664a-4b89-9287-39d71f351207",
        "vn": "default-domain:red:front",
        "remote_vn": "default-domain:red:back",
        "local_ip": "192.168.1.5",
        "remote_ip": "10.0.0.1",
        "client_port": 40_000,
        "server_port": 443,
        "protocol": 132,
        "security_policy_rule": "22430130-664a-4b89-9287-39d71f351207",
        "forward_action": "pass",
        "forward_sampled_bytes": 900,
        "forward_sampled_pkts": 9,
        "sample_weight": 1.0,
        "setup_time": NOW_US - 5_000_000,
    }


ENDS = (
    *("session_type", "vn", "local_ip", "client_port", "server_port"),
    *("forward_sampled_bytes", "reverse_sampled_bytes"),
)


@pytest.mark.parametrize(
    ("said", "ends"),
    [
        ({}, ("client", "front", "192.168.1.5", 40_000, 443, 900, None)),
        ({"direction_ing": 0}, ("server", "back", "10.0.0.1", 40_000, 443, 900, None)),
        # The other flow of the session, as its server's host tells it.
        ({"sport": 443, "dport": -25_536}, ("server", "front", "192.168.1.5", 40_000, 443, None, 900)),
        ({"sport": 443, "dport": -25_536, "direction_ing": 0},
         ("client", "back", "10.0.0.1", 40_000, 443, None, 900)),
        # What agents say counts, whatever the ports are.
        ({"forward_flow": False}, ("server", "front", "192.168.1.5", 443, 40_000, None, 900)),
        ({"forward_flow": True, "sport": 443, "dport": 500},
         ("client", "front", "192.168.1.5", 443, 500, 900, None)),
        ({"sport": 7, "dport": 7}, ("client", "front", "192.168.1.5", 7, 7, 900, None)),
    ],
)  # fmt: skip
def test_both_flows_of_a_session_have_the_same_ends(said, ends):
    found = row(**said)

    assert found["vn"].startswith("default-domain:red:")
    found["vn"] = found["vn"].rpartition(":")[2]
    assert tuple(found.get(name) for name in ENDS) == ends


def test_flows_of_a_list_are_a_row_each():
    local = [flow(**TOLD), flow(**{**TOLD, "direction_ing": 0})]

    assert [each["session_type"] for each in rows(*local)] == ["client", "server"]


def test_flow_that_has_to_be_logged_is_counted_as_that_too():
    found = row(action="log|pass")

    assert (found["forward_logged_bytes"], found["forward_logged_pkts"]) == (900, 9)
    assert found["forward_action"] == "log|pass"


@pytest.mark.parametrize(
    ("source", "destination", "shown"),
    [
        ("2001:db8:0::5", "2001:db8::1", ("2001:db8::5", "2001:db8::1")),
        (0, 0, (None, None)),
        (0, -1, ("0.0.0.0", "255.255.255.255")),
    ],
)
def test_addresses_are_shown_as_everywhere(source, destination, shown):
    found = row(sourceip=source, destip=destination)

    assert (found.get("local_ip"), found.get("remote_ip")) == shown


def test_rule_of_a_network_policy_counts_where_no_security_group_decided():
    found = row(
        sg_rule_uuid="00000000-0000-0000-0000-000000000000", nw_ace_uuid="5b", drop_reason="SG"
    )

    assert (found["security_policy_rule"], found["drop_reason"]) == ("5b", "SG")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"direction_ing": 2}, "field direction_ing does not say yes or no"),
        ({"forward_flow": 3}, "field forward_flow does not say yes or no"),
        ({"sourceip": "nowhere"}, "field sourceip: 'nowhere' is no address"),
        ({"sourceip": True}, "field sourceip is no number"),
        ({"sourcevn": "x" * 1025}, "field sourcevn: a text of over 1024"),
        ({"diff_bytes": -1}, "field diff_bytes: -1 is not from 0"),
        ({"diff_packets": "5"}, "field diff_packets is no number"),
        ({"setup_time": 1 << 62}, "field setup_time"),
        ({"underlay_proto": 256}, "field underlay_proto: 256 is not from 0 to 255"),
        ({"other_vrouter_ip": "here"}, "field other_vrouter_ip: 'here' is no address"),
    ],
)
def test_what_no_flow_can_have_is_named(said, reason):
    with pytest.raises(DecodeError, match=reason):
        flows_of(told(flow(**{**TOLD, **said})))


def test_flow_without_its_direction_is_refused():
    with pytest.raises(DecodeError, match="field direction_ing"):
        flows_of(told(flow(flowuuid="5b")))


@pytest.mark.parametrize(
    "data",
    [Field("string", "what"), Field("list", ["what"], "string"), Field("list", [], "struct")],
)
def test_message_without_flows_is_refused(data):
    with pytest.raises(DecodeError):
        flows_of(SandeshMessage(HEADER, "FlowLogDataObject", {"flowdata": data}))
    with pytest.raises(DecodeError, match="field flowdata is no list"):
        flows_of(SandeshMessage(HEADER, "FlowLogDataObject", {}))


def test_message_has_only_so_many_flows(monkeypatch):
    monkeypatch.setattr(sandesh_flows, "ROWS_COUNT_MAX", 2)

    with pytest.raises(DecodeError, match="over 2 flows"):
        flows_of(told(*(flow(**TOLD) for _ in range(3))))


@pytest.mark.parametrize(
    ("name", "said", "dropped"),
    [
        ("FlowLogDataObject", {}, {}),
        ("FlowDataIpv4Object", {}, {}),
        ("FlowLogDataObject", {"direction_ing": 9}, {"unusable": 1}),
        ("Other", {}, {"not_kept": 1}),
    ],
)
def test_flows_wait_for_the_store_or_are_counted(name, said, dropped):
    collector = Collector()
    hello = ClientHello("h1", "agent", "Compute", "0", pid=1)
    collector.session_up(hello, 0.0, address="192.0.2.1", protocol="sandesh")
    message = SandeshMessage(HEADER, name, told(flow(**{**TOLD, **said})).fields)

    collector.receive("h1:Compute:agent:0", message, 1, 0.0, wall_us=NOW_US)

    assert len(collector.sessions) == (0 if dropped else 1)
    assert dict(collector.dropped) == dropped
