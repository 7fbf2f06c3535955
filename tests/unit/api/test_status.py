"""Status conditions: told from reports that hold, unknown with the reason otherwise."""

from __future__ import annotations

from skytrail.api.status import LEASE_S_MAX

PROJECT = ["default-domain", "default-project"]


def report(api, reporter: str, **members: object):
    return api.call("POST", f"/api/v1/status/{reporter}", members)


def conditions(api, uuid: str, type_name: str = "virtual-network") -> dict[str, dict]:
    reply = api.call("GET", f"/api/v1/{type_name}/{uuid}/status")
    assert reply.status == 200, reply.text
    return {each["type"]: each for each in reply.json["conditions"]}


def hosted(api) -> str:
    red = api.network("red")
    machine = api.create("virtual-machine", fq_name=["vm"])
    api.create(
        "virtual-machine-interface",
        fq_name=[*PROJECT, "port"],
        parent_type="project",
        virtual_network_refs=[{"uuid": red}],
        virtual_machine_refs=[{"uuid": machine}],
    )
    api.create(
        "virtual-router",
        fq_name=["default-global-system-config", "one"],
        parent_type="global-system-config",
        virtual_machine_refs=[{"uuid": machine}],
    )
    return red


def test_without_reports_everything_but_acceptance_is_unknown(api) -> None:
    found = conditions(api, hosted(api))

    assert found["accepted"]["status"] == "true"
    assert (found["derived"]["status"], found["derived"]["reason"]) == ("unknown", "no_compiler")
    assert found["distributed"]["status"] == "unknown"
    assert found["programmed"]["hosts"] == [{"host": "one", "state": "not_connected"}]


def test_a_change_is_pending_until_the_reporter_has_seen_it(api) -> None:
    uuid = api.network("red")
    report(api, "c", kind="compiler", revision=api.service.revision - 1)
    report(api, "n1", kind="control", revision=api.service.revision)
    report(api, "n2", kind="control", revision=api.service.revision - 1)
    before = conditions(api, uuid)
    report(api, "c", kind="compiler", revision=api.service.revision)
    report(api, "n2", kind="control", revision=api.service.revision)
    after = conditions(api, uuid)

    assert before["derived"]["reason"] == "pending"
    assert before["distributed"]["detail"] == "1 of 2 control nodes have it; not n2"
    assert (after["derived"]["status"], after["distributed"]["status"]) == ("true", "true")


def test_what_the_compiler_could_not_do_is_told_at_the_object(api) -> None:
    uuid, other = api.network("red"), api.network("blue")
    trouble = {
        "type": "virtual-network",
        "fq_name": [*PROJECT, "red"],
        "reason": "too_many_rules",
        "detail": "2001 entries",
    }
    report(api, "c", kind="compiler", revision=api.service.revision, troubles=[trouble])

    found = conditions(api, uuid)["derived"]

    assert (found["status"], found["reason"]) == ("false", "too_many_rules")
    assert "2001" in found["detail"]
    assert conditions(api, other)["derived"]["status"] == "true"


def test_hosts_are_counted_by_what_their_agents_say(api) -> None:
    uuid = hosted(api)
    now = api.service.revision

    def programmed(agent: dict) -> dict:
        report(api, "n", kind="control", revision=now, agents=[agent])
        return conditions(api, uuid)["programmed"]

    assert programmed({"name": "one", "connected": True})["reason"] == "not_reported"
    assert programmed({"name": "one", "connected": True, "revision": now})["status"] == "true"
    assert programmed({"name": "one", "connected": True, "revision": 1})["reason"] == "pending"
    assert programmed({"name": "one", "connected": False})["reason"] == "not_connected"


def test_a_report_ends_with_its_lease(api) -> None:
    uuid = api.network("red")
    report(api, "c", kind="compiler", revision=api.service.revision, lease_s=1e-9)

    assert conditions(api, uuid)["derived"]["reason"] == "no_compiler"


def test_bad_reports_are_refused(api) -> None:
    good = {"kind": "compiler", "revision": 1}

    assert report(api, "c", **{**good, "lease_s": LEASE_S_MAX + 1}).status == 400
    assert report(api, "c", **{**good, "kind": "other"}).status == 400
    assert report(api, "c", revision=1).status == 400
    assert report(api, "x" * 200, **good).status == 400
    assert api.call("GET", "/api/v1/status").json["reports"] == []
