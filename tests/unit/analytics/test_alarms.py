"""Alarms: when a rule holds, how long it takes, who saw it, and what is told."""

from __future__ import annotations

import operator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics import uve_json
from skytrail.analytics.alarm_rule import (
    AlarmRule,
    Condition,
    RuleUnusable,
    alternatives_of,
    holds,
    matches,
    shown,
    values_at,
)
from skytrail.analytics.alarms import Acknowledged, AlarmBoard
from skytrail.analytics.collector import Collector
from skytrail.analytics.configured import alarm_rule_of, node_uve
from skytrail.analytics.system_alarms import SYSTEM_ALARMS
from skytrail.analytics.telemetry import change_of
from skytrail.analytics.tenant_uves import token_of
from skytrail.analytics.uve_filter import UveFilter
from skytrail.analytics.uve_types import TABLES
from skytrail.analytics.watchman import Watchman
from skytrail.model.alarm_timing import AlarmTiming
from skytrail.wire.telemetry import Uve

HOST = ("ObjectVRouter", "h1")
STATE = {
    "NodeStatus": {
        "process_status": [
            {"module_id": "agent", "state": "Functional"},
            {"module_id": "other", "state": "Non-Functional"},
        ],
        "disks": {"sda1": {"used": 95}, "sdb1": {"used": 10}},
    },
    "Counts": {"up": 1, "all": 2, "names": []},
}


SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, 2, -1, "", "a", "b"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=4,
)


def compares(operation, value, other):
    """One value and one other: what the operations mean."""

    def is_number(each):
        return isinstance(each, int | float)

    if operation in {"==", "!="}:
        return (value == other) is (operation == "==")
    if operation in {"<", "<=", ">", ">="}:
        order = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
        return is_number(value) and is_number(other) and order[operation](value, other)
    if operation in {"in", "not in"}:
        return isinstance(other, list) and (value in other) is (operation == "in")
    if operation == "range":
        is_range = isinstance(other, list) and len(other) == 2 and all(map(is_number, other))
        return is_range and is_number(value) and other[0] <= value <= other[1]
    return isinstance(value, list | dict) and (len(value) == other) is (operation == "size==")


@given(
    st.sampled_from(
        ["==", "!=", "<", "<=", ">", ">=", "in", "not in", "range", "size==", "size!="]
    ),
    st.lists(VALUES, min_size=1, max_size=5),
    st.lists(VALUES, min_size=1, max_size=5),
)
def test_condition_holds_if_it_does_for_one_pair(operation, values, others):
    condition = Condition("S.a.*", operation, None, "S.b.*")

    expected = any(compares(operation, value, other) for value in values for other in others)

    assert holds(condition, {"S": {"a": values, "b": others}}) == expected


def test_lists_beyond_the_depth_of_constants_equal_nothing():
    deep = []
    for _ in range(5_000):
        deep = [deep]

    assert not holds(Condition("S.a", "==", None, "S.a"), {"S": {"a": deep}})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Counts.up", [1]),
        ("NodeStatus.process_status.*.state", ["Functional", "Non-Functional"]),
        ("NodeStatus.process_status.state", ["Functional", "Non-Functional"]),
        ("NodeStatus.disks.*.used", [95, 10]),
        ("Nothing.at.all", [None]),
        ("Counts.up.more", [None]),
    ],
)
def test_paths_lead_through_structs_lists_and_maps(path, expected):
    assert values_at(STATE, path) == expected


@pytest.mark.parametrize(
    ("path", "operation", "constant", "expected"),
    [
        ("Counts.up", "==", 1, True),
        ("Counts.up", "!=", 1, False),
        ("Nothing", "==", None, True),
        ("NodeStatus.process_status.*.state", "!=", "Functional", True),
        ("NodeStatus.disks.*.used", ">", 90, True),
        ("NodeStatus.disks.*.used", ">=", 96, False),
        ("NodeStatus.disks.*.used", "range", [5, 15], True),
        ("Counts.up", "<", "x", False),
        ("Counts.up", "in", [1, 2], True),
        ("Counts.up", "not in", [1, 2], False),
        ("Counts.names", "size==", 0, True),
        ("Counts.names", "size!=", 0, False),
        ("Nothing", ">", 0, False),
    ],
)
def test_operations_compare_every_value(path, operation, constant, expected):
    assert holds(Condition(path, operation, constant), STATE) is expected


def test_attributes_are_compared_with_attributes():
    assert holds(Condition("Counts.up", "!=", None, "Counts.all"), STATE)


def test_rule_is_read_from_its_object_and_shows_why_it_holds():
    alternatives = alternatives_of(
        {
            "or_list": [
                {
                    "and_list": [
                        {
                            "operand1": "NodeStatus.process_status.*.state",
                            "operation": "!=",
                            "operand2": {"json_value": '"Functional"'},
                            "variables": ["Counts.up"],
                        }
                    ]
                }
            ]
        }
    )
    rule = AlarmRule("r", 1, ("vrouter",), alternatives)

    held = matches(rule, STATE)

    assert shown(held, STATE)["or_list"][0]["and_list"][0]["match"] == [
        {"json_operand1_value": '"Non-Functional"', "json_variables": ["Counts.up=1"]}
    ]


@pytest.mark.parametrize(
    "given_rules",
    [
        None,
        {"or_list": []},
        {"or_list": [{"and_list": []}]},
        {"or_list": [{"and_list": [{"operand1": "a", "operation": "~", "operand2": {}}]}]},
        {"or_list": [{"and_list": [{"operand1": "", "operation": "==", "operand2": {}}]}]},
        {
            "or_list": [
                {
                    "and_list": [
                        {"operand1": "a", "operation": "==", "operand2": {"json_value": "{"}}
                    ]
                }
            ]
        },
    ],
)
def test_rule_that_makes_no_sense_is_refused(given_rules):
    with pytest.raises(RuleUnusable):
        alternatives_of(given_rules)


def test_system_rules_hold_for_nothing_that_is_well():
    well = {
        "NodeStatus": {
            "process_status": [{"module_id": "m", "state": "Functional"}],
            "process_info": [{"process_name": "m", "process_state": "PROCESS_STATE_RUNNING"}],
            "disk_usage_info": {"sda1": {"percentage_partition_space_used": 50}},
            "all_core_file_list": [],
        },
        "BgpRouterState": {
            "num_bgp_peer": 2, "num_up_bgp_peer": 2, "num_xmpp_peer": 0, "num_up_xmpp_peer": 0,
        },
        "VrouterAgent": {"down_interface_count": 0, "res_limit": False},
        "XmppPeerInfoData": {"close_reason": "", "state_info": {"state": "Established"}},
    }  # fmt: skip

    assert [rule.name for rule in SYSTEM_ALARMS if matches(rule, well)] == []
    assert all(set(rule.types) <= TABLES.keys() for rule in SYSTEM_ALARMS)


def test_ports_that_cannot_be_translated_raise_an_alarm():
    ill = {"VrouterAgent": {"translation_limited_ports": ["default-domain:red:web"]}}

    raised = [rule.name for rule in SYSTEM_ALARMS if matches(rule, ill)]
    assert "default-global-system-config:system-defined-vrouter-port-translation" in raised


EVE = Acknowledged("eve", "d:red", 9)
RULE = AlarmRule(
    "r", 0, ("vrouter",), ((Condition("S.bad", "==", True),),), active_s=5.0, idle_s=10.0
)
BAD, GOOD = {"S": {"bad": True}}, {"S": {"bad": False}}


def board():
    return AlarmBoard("node1", [RULE])


def test_alarm_is_raised_when_its_rule_held_long_enough():
    alarms = board()

    assert alarms.look(HOST, BAD, 0.0, 1) == []
    assert alarms.waiting() == [HOST]
    assert alarms.look(HOST, BAD, 4.9, 2) == []
    (raised,) = alarms.look(HOST, BAD, 5.0, 3)

    assert raised.is_raised
    assert alarms.fields_of(HOST)["alarms"][0]["timestamp"] == 3
    assert alarms.waiting() == []


def test_rule_that_stops_to_hold_while_it_soaks_raises_nothing():
    alarms = board()
    alarms.look(HOST, BAD, 0.0, 1)
    alarms.look(HOST, GOOD, 4.0, 2)

    assert alarms.look(HOST, BAD, 6.0, 3) == []
    assert alarms.fields_of(HOST) == {}


def test_alarm_goes_when_its_rule_did_not_hold_long_enough():
    alarms = board()
    alarms.look(HOST, BAD, 0.0, 1)
    alarms.look(HOST, BAD, 5.0, 2)

    assert alarms.look(HOST, GOOD, 6.0, 3) == []
    assert alarms.look(HOST, BAD, 7.0, 4) == []
    alarms.look(HOST, GOOD, 8.0, 5)
    assert alarms.raised(HOST)
    (gone,) = alarms.look(HOST, GOOD, 18.0, 6)

    assert not gone.is_raised
    assert alarms.fields_of(HOST) == {}


def test_alarm_of_an_entity_that_is_gone_goes_at_once():
    alarms = board()
    alarms.look(HOST, BAD, 0.0, 1)
    alarms.look(HOST, BAD, 5.0, 2)

    assert [each.is_raised for each in alarms.look(HOST, {}, 6.0, 3)] == [False]


def test_acknowledgement_is_for_one_raising():
    alarms = board()
    alarms.look(HOST, BAD, 0.0, 1)
    alarms.look(HOST, BAD, 5.0, 2)
    token = alarms.fields_of(HOST)["alarms"][0]["token"]

    assert not alarms.acknowledge(HOST, "r", "wrong", EVE)
    assert alarms.acknowledge(HOST, "r", token, EVE)
    shown = alarms.fields_of(HOST)["alarms"][0]
    assert (shown["ack"], shown["ack_user"], shown["ack_project"]) == (True, "eve", "d:red")
    alarms.look(HOST, GOOD, 6.0, 3)
    alarms.look(HOST, GOOD, 16.0, 4)
    alarms.look(HOST, BAD, 17.0, 5)
    alarms.look(HOST, BAD, 22.0, 6)

    assert alarms.fields_of(HOST)["alarms"][0]["ack"] is False
    assert not alarms.acknowledge(HOST, "r", token, EVE)
    assert "ack_user" not in alarms.fields_of(HOST)["alarms"][0]


def test_acknowledgement_is_logged_with_who_it_was():
    collector = Collector()
    watchman = Watchman(collector, "node1")
    collector.apply(change_of("h1:Compute:agent:0", vrouter(res_limit=True)), 0.0)
    watchman.tick(0.0, 5)
    collector.messages.take()
    rule = watchman.board.raised(HOST)[0].rule.name

    assert not watchman.acknowledge(HOST, rule, token_of(4), EVE, 1.0)
    assert watchman.acknowledge(HOST, rule, token_of(5), EVE, 1.0)

    (row,) = collector.messages.take()
    assert (row["Messagetype"], row["ObjectIds"]) == ("AlarmAcknowledged", ["h1"])
    assert all(word in str(row) for word in ("eve", "d:red", rule))


def vrouter(**fields):
    return Uve(table="ObjectVRouter", key="h1", struct="VrouterAgent", fields=fields)


def alarms_of(collector):
    entity = collector.uves.get(*HOST) or {}
    said = uve_json.flat(UveFilter().part_of(entity)).get("UVEAlarms", {})
    return [each["type"].rpartition("-defined-")[2] for each in said.get("alarms", [])]


def test_watchman_tells_alarms_as_uves_and_writes_them_to_the_log():
    collector = Collector()
    watchman = Watchman(collector, "node1")
    collector.apply(change_of("h1:Compute:agent:0", vrouter(res_limit=True)), 0.0)

    watchman.tick(0.0, 5)

    assert alarms_of(collector) == ["vrouter-limit-exceeded"]
    (row,) = collector.messages.take()
    assert (row["Messagetype"], row["ObjectIds"], row["Level"]) == ("AlarmRaised", ["h1"], 4)


def test_watchman_takes_alarms_back():
    collector = Collector()
    watchman = Watchman(collector, "node1")
    collector.apply(change_of("h1:Compute:agent:0", vrouter(res_limit=True)), 0.0)
    watchman.tick(0.0, 5)
    collector.apply(change_of("h1:Compute:agent:0", vrouter(res_limit=False)), 1.0)

    watchman.tick(1.0, 6)
    watchman.tick(17.0, 7)

    assert alarms_of(collector) == []


def test_configured_host_that_says_nothing_is_an_alarm():
    collector = Collector()
    watchman = Watchman(collector, "node1")
    document = {"fq_name": ["default-global-system-config", "h1"], "uuid": "u"}
    collector.apply(change_of("node1:Analytics:c:0", node_uve("virtual-router", document)), 0.0)

    watchman.tick(0.0, 5)
    assert alarms_of(collector) == []
    watchman.tick(31.0, 6)

    assert alarms_of(collector) == ["node-status"]


def test_alarms_can_be_turned_off():
    collector = Collector()
    watchman = Watchman(collector, "node1")
    collector.apply(change_of("h1:Compute:agent:0", vrouter(res_limit=True)), 0.0)
    watchman.tick(0.0, 5)

    watchman.set_rules([], is_enabled=False)
    watchman.tick(1.0, 6)

    assert alarms_of(collector) == []


def test_users_rule_is_read_from_configuration():
    rule = alarm_rule_of(
        {
            "fq_name": ["default-global-system-config", "mine"],
            "uve_keys": {"uve_key": ["virtual-network"]},
            "alarm_severity": 2,
            "alarm_rules": {
                "or_list": [
                    {
                        "and_list": [
                            {
                                "operand1": "UveVirtualNetworkAgent.in_bytes",
                                "operation": ">",
                                "operand2": {"json_value": "5"},
                            }
                        ]
                    }
                ]
            },
        },
        AlarmTiming(30, 5, 3, 600),
    )

    assert (rule.active_s, rule.idle_s, rule.frequency_times, rule.frequency_s) == (30, 5, 3, 600)
    assert (rule.name, rule.types) == ("default-global-system-config:mine", ("virtual-network",))
    assert matches(rule, {"UveVirtualNetworkAgent": {"in_bytes": 6}})


@pytest.mark.parametrize(
    ("kind", "document", "expected"),
    [
        ("virtual-router", {"fq_name": ["g", "h1"]}, "h1"),
        (
            "bgp-router",
            {"fq_name": ["a", "c1"], "bgp_router_parameters": {"router_type": "control-node"}},
            "c1",
        ),
        (
            "bgp-router",
            {"fq_name": ["a", "mx"], "bgp_router_parameters": {"router_type": "router"}},
            None,
        ),
        ("virtual-router", {}, None),
    ],
)
def test_nodes_of_ours_are_entities(kind, document, expected):
    made = node_uve(kind, document)

    assert (made.key if made else None) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    ),
    max_leaves=6,
)
OPERATIONS = ["==", "!=", "<", "<=", ">", ">=", "in", "not in", "range", "size==", "size!="]


@given(JSON, JSON, st.sampled_from(OPERATIONS), st.sampled_from(["a", "a.b", "a.*.b", "*", ""]))
def test_conditions_never_fail_whatever_they_meet(state, constant, operation, path):
    condition = Condition(path, operation, constant)

    held = holds(condition, state)

    assert isinstance(held, bool)
    msgspec.json.encode(shown([(condition,)], state))
