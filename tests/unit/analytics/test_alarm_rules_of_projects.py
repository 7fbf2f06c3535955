"""Rules that members of projects write: what is read of them, and whose entities they are looked at over."""

from __future__ import annotations

import msgspec
import pytest

from skytrail.analytics import uve_json
from skytrail.analytics.alarm_rule import AlarmRule, Condition, RuleUnusable, alternatives_of
from skytrail.analytics.alarms import AlarmBoard
from skytrail.analytics.collector import Collector
from skytrail.analytics.configured import alarm_rule_of
from skytrail.analytics.telemetry import change_of
from skytrail.analytics.uve_filter import UveFilter
from skytrail.analytics.watchman import Watchman
from skytrail.model.alarm_timing import AlarmTiming
from skytrail.wire.telemetry import Uve

DOWN = ((Condition("UveVMInterfaceAgent.active", "==", constant=False),),)
MANY = ((Condition("UveVirtualMachineAgent.interface_list", "size!=", 9),),)
PORTS, MACHINES = "ObjectVMITable", "ObjectVMTable"


def rules(*projects, conditions=DOWN):
    return [AlarmRule(f"{each}:r", 1, (), conditions, project=each) for each in projects]


def raised(board, table, key, **fields):
    struct = "UveVMInterfaceAgent" if table == PORTS else "UveVirtualMachineAgent"
    board.look((table, key), {struct: fields}, 1.0, 1)
    return [alarm.rule.name for alarm in board.raised((table, key))]


def test_a_rule_is_looked_at_over_what_is_its_projects():
    board = AlarmBoard("n", rules("d:red", "d:red:x", "d:re", "d:blue"))

    assert raised(board, PORTS, "d:red:port", active=False) == ["d:red:r"]
    assert raised(board, PORTS, "d:red", active=False) == []
    assert raised(board, "ObjectVRouter", "d:red:port", active=False) == []


def test_a_machine_is_of_every_project_whose_port_it_has():
    board = AlarmBoard("n", rules("d:red", "d:blue", "d:green", conditions=MANY))

    ports = ["d:red:p", "d:blue:p", None, 5]
    assert raised(board, MACHINES, "m", interface_list=ports) == ["d:blue:r", "d:red:r"]
    # Its last port of blue's is gone, and with it what blue sees.
    assert raised(board, MACHINES, "m", interface_list=ports[:1]) == ["d:red:r"]


def test_rules_of_others_cost_an_entity_nothing():
    others = rules(*(f"d:p{number}" for number in range(5_000)))
    board = AlarmBoard("n", [*rules("d:red"), *others])
    state = {"UveVMInterfaceAgent": {"active": False}}

    looked_at = list(board.rules_of((PORTS, "d:red:port"), state))

    assert [each.project for each in looked_at] == ["d:red"]


@pytest.mark.parametrize(
    "text", ["[" * 5_000, "[" * 500 + "]" * 500, '{"a":' * 20 + "1" + "}" * 20, "\ud800", "1e999"]
)
def test_a_value_that_cannot_be_handled_makes_the_rule_unusable(text):
    one = {"operation": "==", "operand1": "a", "operand2": {"json_value": text}}

    with pytest.raises(RuleUnusable, match="json_value"):
        alternatives_of({"or_list": [{"and_list": [one]}]})


def told_of_a_network(rules_count, ports_count):
    """Have a node look at a network with so many ports, by a member's dearest rules; return what it tells."""
    ports = "UveVirtualNetworkAgent.interface_list"
    condition = {
        "operation": "!=", "operand1": f"{ports}.*", "operand2": {"json_value": '"x"'}, "variables": [ports] * 32,
    }  # fmt: skip
    document = {
        "alarm_severity": 1, "uve_keys": {"uve_key": ["virtual-network"]},
        "alarm_rules": {"or_list": [{"and_list": [condition] * 64}]},
        "id_perms": {"description": "D" * 100_000},
    }  # fmt: skip
    names = [["d", "red", f"r{number}"] for number in range(rules_count)]
    collector = Collector()
    watchman = Watchman(collector, "node")
    watchman.set_rules(
        [alarm_rule_of({**document, "fq_name": name}, AlarmTiming()) for name in names],
        is_enabled=True,
    )
    network = Uve(
        table="ObjectVNTable", key="d:red:net", struct="UveVirtualNetworkAgent",
        fields={"interface_list": [f"d:red:port-{number:05}" for number in range(ports_count)]},
    )  # fmt: skip
    collector.apply(change_of("host:Compute:agent:0", network), 1.0)
    watchman.tick(2.0, 10**15)
    entity = UveFilter().part_of(collector.uves.get("ObjectVNTable", "d:red:net"))
    return uve_json.flat(entity)["UVEAlarms"]["alarms"]


def test_what_members_rules_match_always_fits_what_is_told():
    alarms = told_of_a_network(rules_count=100, ports_count=1_000)

    assert len(alarms) == 100
    assert len(msgspec.json.encode(alarms)) < 1_000_000
    shown = alarms[0]["alarm_rules"]["or_list"][0]["and_list"][0]
    assert shown["match"][0]["json_operand1_value"] == '"d:red:port-00000"'
    (variable, *_) = shown["match"][0]["json_variables"]
    assert msgspec.json.decode(variable.partition("=")[2]).endswith("…")


def test_more_alarms_of_an_entity_than_can_be_shown_leave_the_least_severe_out():
    board = AlarmBoard("n", [AlarmRule(f"r{n}", n % 3, (), MANY) for n in range(3_000)])

    board.look((MACHINES, "m"), {"UveVirtualMachineAgent": {"interface_list": []}}, 1.0, 1)

    alarms = board.fields_of((MACHINES, "m"))["alarms"]
    assert [each["severity"] for each in alarms] == [0] * 1_000


def test_a_rule_names_so_many_types_as_there_can_be():
    document = {"fq_name": ["d", "red", "r"], "alarm_severity": 1}

    with pytest.raises(RuleUnusable, match="uve_keys"):
        alarm_rule_of(
            {**document, "uve_keys": {"uve_key": [f"x{n}" for n in range(65)]}}, AlarmTiming()
        )
