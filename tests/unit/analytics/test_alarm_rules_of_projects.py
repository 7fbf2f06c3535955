"""Rules that members of projects write: what is read of them, and whose entities they are looked at over."""

from __future__ import annotations

import pytest

from skytrail.analytics.alarm_rule import AlarmRule, Condition, RuleUnusable, alternatives_of
from skytrail.analytics.alarms import AlarmBoard

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
