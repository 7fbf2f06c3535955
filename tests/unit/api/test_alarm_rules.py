"""What is checked of alarm rules when they are written."""

from __future__ import annotations

import pytest

NAME = ["default-global-system-config", "mine"]


def annotated(*pairs):
    return {"annotations": {"key_value_pair": [{"key": key, "value": each} for key, each in pairs]}}


def create(api, **fields):
    body = {
        "fq_name": NAME, "parent_type": "global-system-config", "alarm_severity": 1,
        "uve_keys": {"uve_key": ["vrouter"]}, **fields,
    }  # fmt: skip
    return api.call("POST", "/alarms", {"alarm": body})


TIMES = annotated(
    ("active-timer-seconds", "30"), ("idle-timer-seconds", "60"),
    ("frequency-check-times", "3"), ("frequency-check-seconds", "600"), ("anything", "else"),
    ("collect", "agent/drops control/peers"),
)  # fmt: skip
WRONG = annotated(("active-timer-seconds", "half a minute"))


def test_times_of_a_rule_are_taken(api):
    answer = create(api, **TIMES)

    assert answer.status == 200, answer.text


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (WRONG, "active-timer-seconds"),
        (annotated(("active-timer-second", "60")), "active-timer-seconds"),
        (annotated(("idle-timer-seconds", "-5")), "idle-timer-seconds"),
        (annotated(("frequency-check-times", "5")), "frequency-check-seconds"),
        (annotated(("collect", "agent/../x")), "collect"),
        (annotated(("collect", " ".join(f"a/{n}" for n in range(9)))), "collect"),
    ],
)
def test_times_that_cannot_be_kept_are_refused_by_name(api, fields, name):
    answer = create(api, **fields)

    assert (answer.status, name in answer.text) == (400, True), answer.text


def test_wrong_time_changes_nothing_of_a_rule(api):
    uuid = create(api, **TIMES).json["alarm"]["uuid"]

    answer = api.call("PUT", f"/alarm/{uuid}", {"alarm": {**WRONG, "alarm_severity": 2}})

    assert answer.status == 400, answer.text
    held = api.call("GET", f"/alarm/{uuid}").json["alarm"]
    assert (held["annotations"], held["alarm_severity"]) == (TIMES["annotations"], 1)


def test_a_project_has_so_many_rules(api):
    api.create("project", fq_name=["default-domain", "red"])

    def of_red(number):
        name = ["default-domain", "red", f"rule{number}"]
        return create(api, fq_name=name, parent_type="project").status

    assert {of_red(number) for number in range(100)} == {200}
    assert of_red(100) == 412
    assert create(api).status == 200
