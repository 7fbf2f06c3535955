"""Changes as the analytics node hears of them."""

from __future__ import annotations

from skytrail.api.config_log import CHANGES_CHARACTERS_MAX, logs_of

PROJECT = ["default-domain", "default-project"]


def told(api, change):
    """Return the messages about what a call changes."""
    heard = []
    api.service.on_committed = heard.extend
    change()
    return [log for entry in heard for log in logs_of(entry)]


def create(api, **members):
    reply = api.call(
        "POST", "/api/v1/virtual-network", {"fq_name": [*PROJECT, "red"], **members},
        x_request_id="ticket-7",
    )  # fmt: skip
    assert reply.status == 201, reply.text
    return reply.json["uuid"]


def test_a_change_is_told_with_who_made_it_and_what_it_was(api):
    uuid = create(api, mtu=9000)

    (log,) = told(api, lambda: api.call("PATCH", f"/api/v1/virtual-network/{uuid}", {"mtu": 1400}))

    assert log.event == "VncApiConfigLog"
    assert log.fields["operation"] == "update"
    assert log.fields["identifier_uuid"] == uuid
    assert log.fields["changes"] == '[{"path":"/mtu","from":9000,"to":1400}]'
    assert log.objects == {
        "ConfigObjectTable": "virtual-network:default-domain:default-project:red",
        "ConfigObjectTableByUser": "no-auth",
    }


def test_every_object_of_a_request_is_told(api):
    logs = told(api, lambda: create(api))

    assert {log.fields["request_id"] for log in logs} == {"ticket-7"}
    assert ("create", "virtual-network") in {
        (log.fields["operation"], log.fields["object_type"]) for log in logs
    }


def test_refused_request_is_not_told(api):
    create(api)

    assert not told(
        api,
        lambda: api.call("POST", "/api/v1/virtual-network", {"fq_name": [*PROJECT, "red"]}),
    )


def test_long_changes_are_left_to_the_audit_log(api):
    uuid = create(api)
    text = "x" * CHANGES_CHARACTERS_MAX

    (log,) = told(
        api,
        lambda: api.call("PATCH", f"/api/v1/virtual-network/{uuid}", {"display_name": text}),
    )

    assert log.fields["changes"] == "too long; see the audit log"
