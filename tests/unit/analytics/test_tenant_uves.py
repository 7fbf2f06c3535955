"""What a project's member sees of UVEs: nothing of hosts, nothing of others, whatever is in them."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.alarm_rule import AlarmRule, Condition
from skytrail.analytics.alarms import AlarmBoard
from skytrail.analytics.configured import alarm_rule_of
from skytrail.analytics.tenant_uves import (
    BALANCERS,
    MACHINES,
    NETWORKS,
    PORTS,
    is_whole,
    own_part,
    seen,
    with_machine,
)
from skytrail.analytics.tenant_view import Tenant
from skytrail.analytics.uve_filter import UveFilter
from skytrail.model.alarm_timing import AlarmTiming

RED = Tenant("d:red")
PORT = (PORTS, "d:red:port")
STRUCTS = {
    NETWORKS: "UveVirtualNetworkAgent",
    PORTS: "UveVMInterfaceAgent",
    MACHINES: "UveVirtualMachineAgent",
}


def alarm(rule, **more):
    return {
        "type": rule, "severity": 1, "description": "text", "timestamp": 5, "ack": False,
        "token": "SECRET", "alarm_rules": {"or_list": ["SECRET"]}, "parent": {"name": "SECRET"},
        "children": ["SECRET"], **more,
    }  # fmt: skip


def test_port_is_shown_without_its_host_or_who_tells_of_it():
    said = {
        "ip_address": "10.0.0.3",
        "vrouter": "SECRET",
        "in_bytes": [[7, "SECRET:Compute:agent:0"], [9, "SECRET2:Compute:agent:0"]],
        "security_groups": [
            [["d:red:g"], "SECRET:Compute:agent:0"],
            [[], "SECRET2:Compute:agent:0"],
        ],
        "added_later": "SECRET",
    }
    state = {"UveVMInterfaceAgent": said, "Other": {"host": "SECRET"}}

    assert seen(RED, PORT, state) == {
        "UveVMInterfaceAgent": {
            "ip_address": "10.0.0.3", "in_bytes": 7, "security_groups": ["d:red:g"],
        }
    }  # fmt: skip


def test_shared_network_is_shown_with_own_ports_only():
    said = {
        "interface_list": ["d:red:a", "d:blue:SECRET", "d:reddish:SECRET", 7],
        "virtualmachine_list": ["SECRET"],
        "in_bytes": 5,
    }
    state = {"UveVirtualNetworkAgent": said}

    assert seen(RED, (NETWORKS, "d:red:net"), state) == {
        "UveVirtualNetworkAgent": {"interface_list": ["d:red:a"], "in_bytes": 5}
    }


def test_of_a_network_of_others_own_ports_in_it_are_shown_and_nothing_else():
    said = {
        "interface_list": ["d:red:a", "d:blue:SECRET"], "vrf_name": ["d:blue:net:net"],
        "in_bytes": 5, "virtualmachine_list": ["SECRET"],
    }  # fmt: skip
    state = {"UveVirtualNetworkAgent": said, "UVEAlarms": {"alarms": [alarm("d:red:mine")]}}
    used, unused = (NETWORKS, "d:blue:net"), {"interface_list": ["d:reddish:a", "d:blue:b", 7]}

    assert seen(RED, used, state) == {"UveVirtualNetworkAgent": {"interface_list": ["d:red:a"]}}
    assert seen(RED, used, {"UveVirtualNetworkAgent": unused}) == {}
    assert seen(RED, used, {"UveVirtualNetworkAgent": {"in_bytes": 5}}) == {}
    assert not is_whole(RED, used, state)


@pytest.mark.parametrize(
    ("ports", "shown", "is_all"),
    [
        (["d:red:a"], ["d:red:a"], True),
        (["d:red:a", "d:blue:b"], ["d:red:a"], False),
        (["d:blue:b"], None, False),
        (["d:reddish:b"], None, False),
        ([], None, False),
        ("d:red:a", None, False),
        ([["d:red:a"], "x"], None, False),
    ],
)
def test_machine_is_shown_with_own_ports_and_whole_where_all_are(ports, shown, is_all):
    state = {"UveVirtualMachineAgent": {"vm_name": "m", "vrouter": "h", "interface_list": ports}}
    entity = (MACHINES, "uuid")

    said = seen(RED, entity, state).get("UveVirtualMachineAgent", {})
    assert said.get("interface_list") == shown
    assert is_whole(RED, entity, state) is is_all


def test_of_a_shared_machine_own_rules_alone_tell_alarms():
    listed = [alarm("default-global-system-config:r"), alarm("d:red:mine", alarm_rules="own")]
    state = {
        "UveVirtualMachineAgent": {"interface_list": ["d:red:a", "d:blue:b"]},
        "UVEAlarms": {"alarms": listed},
    }

    shown = seen(RED, (MACHINES, "uuid"), state)["UVEAlarms"]["alarms"]

    assert [each["type"] for each in shown] == ["d:red:mine"]


def test_alarms_are_shown_without_parents_nodes_users_and_others_conditions():
    who = {"ack": True, "ack_user": "SECRET", "ack_project": "SECRET"}
    listed = [
        alarm("default-global-system-config:r", **who),
        alarm("d:red:mine", alarm_rules="own"),
    ]
    shown = seen(RED, PORT, {"UVEAlarms": {"alarms": listed}})["UVEAlarms"]["alarms"]

    assert "SECRET" not in msgspec.json.encode(shown).decode()
    assert [each.get("alarm_rules") for each in shown] == [None, "own"]
    assert (shown[0]["severity"], shown[0]["ack"]) == (1, True)
    # What acknowledges an alarm says when it was raised, and not by which node.
    assert base64.b64decode(shown[0]["token"]) == b'{"timestamp":5,"http_port":0,"host_ip":""}'


def test_balancer_is_shown_to_whose_ports_its_copies_have_and_not_where_they_run():
    part = {"uuid": "m1", "operating_status": "ONLINE", "vrouter": "SECRET", "added": "SECRET"}
    state = {
        "UveLoadbalancerStats": {
            "vip_address": "10.0.0.9", "vrouter_list": ["SECRET"], "bytes_in": 7,
            "member": [[{"m1": part}, "SECRET:a"], [{"m1": {**part, "uuid": "x"}}, "SECRET2:a"]],
        },
        "UVEAlarms": {"alarms": [alarm("default-global-system-config:r")]},
    }  # fmt: skip
    entity = (BALANCERS, "uuid")

    def of(*ports):
        machine = {"UveVirtualMachineAgent": {"interface_list": list(ports), "vrouter": "SECRET"}}
        return with_machine(state, machine)

    shown = seen(RED, entity, of("d:red:load-balancer-uuid-1"))
    assert shown["UveLoadbalancerStats"] == {
        "vip_address": "10.0.0.9", "bytes_in": 7,
        "member": {"m1": {"uuid": "m1", "operating_status": "ONLINE"}},
    }  # fmt: skip
    assert [each["type"] for each in shown["UVEAlarms"]["alarms"]] == [
        "default-global-system-config:r"
    ]
    for ports in ((), ("d:blue:p",), ("d:red:p", "d:blue:p"), ("d:reddish:p",)):
        assert seen(RED, entity, of(*ports)) == {}
    assert seen(RED, entity, with_machine(state, {})) == {}
    assert seen(RED, entity, state) == {}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ((), ("d:red:*",)),
        (("*",), ("d:red:*",)),
        (("d:*",), ("d:red:*",)),
        (("d:red:port",), ("d:red:port",)),
        (("d:red:p*",), ("d:red:p*",)),
        (("d:blue:*", "d:red:*"), ("d:red:*",)),
        (("d:blue:port",), None),
        (("d:red",), None),
        (("d:reddish:*",), None),
    ],
)
def test_names_are_narrowed_to_own_ones(keys, expected):
    part = own_part(RED, UveFilter(keys=keys), PORTS)

    assert (part.keys if part else None) == expected


SECRETS = st.sampled_from(
    ["SECRET", "d:blue:SECRET", "SECRET:Compute:a:0", "d:redSECRET:x", 7, None]
)
VALUES = st.recursive(
    SECRETS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["ip", "type"]), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(
    st.sampled_from(sorted(STRUCTS)), st.sampled_from(["d:red:x", "d:blue:x", "u"]), VALUES, VALUES
)
def test_what_tells_of_others_is_never_shown(table, key, value, alarms):
    """Names of others, and of who tells, are in every field that could hold them."""
    hidden = {
        "vrouter": value,
        "virtualmachine_list": value,
        "interface_list": value,
        "vrf_name": value,
        "new": value,
    }
    state = {
        STRUCTS[table]: hidden,
        "UVEAlarms": {"alarms": alarms, "x": value},
        "VrouterAgent": hidden,
    }

    shown = seen(RED, (table, key), state)

    of_struct = msgspec.json.encode(shown.get(STRUCTS[table], {})).decode()
    assert "SECRET" not in of_struct
    assert set(shown) <= {STRUCTS[table], "UVEAlarms"}
    for each in shown.get("UVEAlarms", {}).get("alarms", []):
        assert set(each) <= {"type", "severity", "description", "timestamp", "ack"}


def rule(name, path="UveVMInterfaceAgent.vrouter", constant="h1", project="d:red"):
    condition = Condition(path, "==", constant)
    return AlarmRule(name, 1, ("virtual-machine-interface",), ((condition,),), project=project)


def test_rule_of_a_project_finds_out_nothing_of_hosts_or_of_others():
    hosts = rule("d:red:where")
    missing = rule("d:red:missing", constant=None)
    fine = rule("d:red:fine", "UveVMInterfaceAgent.in_bytes", 7)
    board = AlarmBoard("n", [hosts, missing, fine, rule("g:everybody", project="")])
    state = {"UveVMInterfaceAgent": {"vrouter": "h1", "in_bytes": 7}}

    raised = board.look(PORT, state, 0.0, 5)
    of_others = board.look((PORTS, "d:blue:port"), state, 0.0, 5)

    assert {each.alarm.rule.name for each in raised} == {
        "d:red:missing",
        "d:red:fine",
        "g:everybody",
    }
    assert [each.alarm.rule.name for each in of_others] == ["g:everybody"]


def test_rule_below_a_project_is_that_projects():
    condition = {"operand1": "A", "operation": "==", "operand2": {"json_value": "1"}}
    document = {
        "uve_keys": {"uve_key": ["virtual-network"]}, "alarm_severity": 1,
        "alarm_rules": {"or_list": [{"and_list": [condition]}]},
    }  # fmt: skip

    assert (
        alarm_rule_of({**document, "fq_name": ["d", "red", "r"]}, AlarmTiming()).project == "d:red"
    )
    assert (
        alarm_rule_of(
            {**document, "fq_name": ["default-global-system-config", "r"]}, AlarmTiming()
        ).project
        == ""
    )
