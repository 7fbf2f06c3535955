"""What is checked of security logging objects."""

from uuid import uuid4

import pytest

PROJECT = ["default-domain", "default-project"]


def create(api, name, **fields):
    body = {"fq_name": [*PROJECT, name], "parent_type": "project", **fields}
    return api.call("POST", "/security-logging-objects", {"security-logging-object": body})


def listed(**entry):
    return {"security_logging_object_rules": {"rule": [{"rule_uuid": str(uuid4()), **entry}]}}


@pytest.mark.parametrize("rate", [0, 1, 100])
def test_rates_and_rules_are_taken(api, rate):
    reply = create(api, "audit", security_logging_object_rate=rate, **listed(rate=rate))

    assert reply.status == 200, reply.text


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"security_logging_object_rate": -1}, "security_logging_object_rate -1"),
        (listed(rate=-5), "at rule 0, rate -5"),
        (listed(rule_uuid="web"), "at rule 0, rule_uuid web"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name_and_stores_nothing(api, fields, names):
    reply = create(api, "audit", **fields)

    assert reply.status == 400
    assert names in reply.text
    assert create(api, "audit").status == 200


def test_changed_object_is_checked_as_a_new_one(api):
    uuid = create(api, "audit").json["security-logging-object"]["uuid"]

    reply = api.call(
        "PUT",
        f"/security-logging-object/{uuid}",
        {"security-logging-object": {"security_logging_object_rate": -2}},
    )

    assert reply.status == 400
