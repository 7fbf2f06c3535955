"""Lists by how far changes have come: selected and sorted over all objects, told of now only."""

from __future__ import annotations

import pytest

from skytrail.api import realised
from skytrail.api.io import lists

from .two_tenants import Tenants

PROJECT = ["default-domain", "default-project"]
NETWORKS = "/api/v1/virtual-network?parent=default-domain:default-project"


def report(api, reporter: str, **members: object) -> None:
    assert api.call("POST", f"/api/v1/status/{reporter}", members).status == 200


def names(api, query: str) -> list[str]:
    reply = api.call("GET", f"{NETWORKS}&{query}")
    assert reply.status == 200, reply.text
    return [each["fq_name"][-1] for each in reply.json["items"]]


@pytest.fixture
def four(api):
    """Networks of which one is done, one failed, one is not derived yet, one is new to a control node."""
    for name in ("done", "failed", "afar"):
        api.network(name)
    seen = api.service.revision
    api.network("underway")
    trouble = {"type": "virtual-network", "fq_name": [*PROJECT, "failed"], "reason": "bad"}
    report(api, "c", kind="compiler", revision=seen, troubles=[trouble])
    report(api, "n", kind="control", revision=seen)
    return api


def test_objects_are_selected_by_how_far_they_have_come(four) -> None:
    assert names(four, "realised=failed") == ["failed"]
    assert names(four, "realised=pending") == ["underway"]
    assert names(four, "realised=failed,pending&sort=-fq_name") == ["underway", "failed"]
    assert names(four, "realised=unknown") == []
    assert names(four, "realised=done&filter=name:contains:on") == ["done"]
    counted = four.call("GET", f"{NETWORKS}&realised=done&count=true").json
    assert counted["count"] == len(names(four, "realised=done"))


def test_those_who_need_looking_after_come_first_in_all_of_the_list(four) -> None:
    found = names(four, "sort=realised")

    assert found[:2] == ["failed", "underway"]
    assert found[2:] == sorted(found[2:])
    assert set(found) == set(names(four, "sort=fq_name"))
    assert names(four, "sort=-realised") == found[::-1]


def test_pages_are_of_one_judgement_however_things_go_on(four) -> None:
    first = four.call("GET", f"{NETWORKS}&sort=realised&limit=1").json
    report(four, "c", kind="compiler", revision=four.service.revision)
    four.network("later")
    rest = four.call("GET", f"{NETWORKS}&sort=realised&limit=99&cursor={first['next']}").json

    assert first["items"][0]["fq_name"][-1] == "failed"
    assert rest["items"][0]["fq_name"][-1] == "underway"
    assert first["count"] == rest["count"] == 1 + len(rest["items"])


def test_list_that_is_not_kept_any_more_is_begun_anew(four, monkeypatch) -> None:
    monkeypatch.setattr(lists, "KEPT_S", -1.0)
    cursor = four.call("GET", f"{NETWORKS}&sort=realised&limit=1").json["next"]

    reply = four.call("GET", f"{NETWORKS}&sort=realised&limit=1&cursor={cursor}")

    assert (reply.status, "begin it anew" in reply.json["detail"]) == (410, True)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("realised=finished", "failed, pending, unknown, done"),
        ("realised=", "failed, pending, unknown, done"),
        ("sort=realised&revision=1", "not of the past"),
        ("realised=done&revision=1", "not of the past"),
    ],
)
def test_what_cannot_be_told_is_refused(api, query, told) -> None:
    reply = api.call("GET", f"{NETWORKS}&{query}")

    assert (reply.status, told in reply.json["detail"]) == (400, True), reply.text


def test_list_that_leads_to_too_many_objects_is_refused(four, monkeypatch) -> None:
    monkeypatch.setattr(realised, "LOOKED_AT_COUNT_MAX", 2)

    reply = four.call("GET", f"{NETWORKS}&sort=realised")

    assert (reply.status, "narrow the list" in reply.json["detail"]) == (400, True)


def test_without_reports_nothing_is_known_of_any(api) -> None:
    api.network("red")

    assert "red" in names(api, "realised=unknown")
    assert names(api, "realised=done") == []


def test_members_of_a_project_are_told_of_theirs(api) -> None:
    tenants = Tenants(api)
    report(api, "c", kind="compiler", revision=api.service.revision)
    asked = f"/api/v1/conditions?type=virtual-network&uuids={tenants.network}"

    with api.as_caller(tenants.red):
        own, listed = (
            api.call("GET", asked),
            api.call("GET", "/api/v1/virtual-network?realised=unknown"),
        )
    with api.as_caller(tenants.blue):
        others = api.call("GET", asked)
        unlisted = api.call("GET", "/api/v1/virtual-network?sort=realised")

    assert [each["uuid"] for each in own.json["items"]] == [tenants.network]
    assert tenants.network in {each["uuid"] for each in listed.json["items"]}
    assert others.json["items"] == []
    assert tenants.network not in {each["uuid"] for each in unlisted.json["items"]}
