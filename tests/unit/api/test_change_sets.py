"""Change sets: drafted, reviewed, committed together, refused when their objects moved on."""

from __future__ import annotations

PROJECT = ["default-domain", "default-project"]
SETS = "/api/v1/change-sets"


def create(name: str, **members: object) -> dict:
    body = {"fq_name": [*PROJECT, name], **members}
    return {"op": "create", "type": "virtual-network", "object": body}


def patch(name: str, **members: object) -> dict:
    return {"op": "patch", "type": "virtual-network", "name": [*PROJECT, name], "object": members}


def drafted(api, *operations: dict) -> str:
    reply = api.call("POST", SETS, {"title": "t", "operations": list(operations)})
    assert reply.status == 201, reply.text
    return reply.headers["location"]


def network(api, name: str) -> dict | None:
    reply = api.call("GET", f"/api/v1/virtual-network/by-name/{':'.join([*PROJECT, name])}")
    return reply.json if reply.status == 200 else None


def test_nothing_happens_before_the_commit_and_everything_with_it(api) -> None:
    place = drafted(api, create("red"))
    api.call(
        "POST", place + "/operations", {"operations": [create("blue"), patch("red", mtu=1400)]}
    )
    before = network(api, "red"), network(api, "blue")

    done = api.call("POST", place + "/commit")

    assert before == (None, None)
    assert [each["result"] for each in done.json["results"]] == ["created", "created", "changed"]
    assert network(api, "red")["mtu"] == 1400
    assert api.call("GET", place).status == 404


def test_a_review_shows_the_plan(api) -> None:
    place = drafted(api, create("red"))

    found = api.call("GET", place + "/plan").json

    assert found["changes"][0]["fq_name"] == [*PROJECT, "red"]
    assert found["conflicts"] == []


def test_a_set_is_not_committed_when_its_object_changed_meanwhile(api) -> None:
    api.call("POST", "/api/v1/transaction", {"operations": [create("red", mtu=9000)]})
    place = drafted(api, patch("red", is_shared=True))
    api.call("POST", "/api/v1/transaction", {"operations": [patch("red", mtu=1400)]})

    refused = api.call("POST", place + "/commit")
    review = api.call("GET", place + "/plan").json
    rebased = api.call("POST", place + "/rebase")
    done = api.call("POST", place + "/commit")

    assert refused.status == 409
    assert refused.json["errors"][0]["pointer"] == "/operations/0"
    assert "has been changed at" in refused.json["errors"][0]["detail"]
    assert len(review["conflicts"]) == 1
    assert (rebased.status, done.status) == (200, 200)


def test_what_cannot_be_done_is_refused_when_it_is_added(api) -> None:
    body = {"operations": [create("red", mtuu=1)]}

    reply = api.call("POST", SETS, body)

    assert (reply.status, reply.json["errors"][0]["pointer"]) == (400, "/operations/0/object/mtuu")
    assert api.call("GET", SETS).json["change_sets"] == []


def test_a_discarded_set_leaves_nothing(api) -> None:
    place = drafted(api, create("red"))

    assert api.call("DELETE", place).status == 200
    assert api.call("POST", place + "/commit").status == 404
    assert network(api, "red") is None


def test_sets_survive_a_restart(api) -> None:
    place = drafted(api, create("red"))

    later = api.restarted()
    listed = later.call("GET", SETS).json["change_sets"]
    done = later.call("POST", place + "/commit")
    later.close()

    assert [each["operations_count"] for each in listed] == [1]
    assert done.status == 200


def test_sets_are_not_among_the_notes_of_clients(api) -> None:
    drafted(api, create("red"))

    reply = api.call("POST", "/useragent-kv", {"operation": "RETRIEVE", "key": None})

    assert reply.json["value"] == []


def test_the_log_says_which_set_a_change_came_from_and_by_which_request(api) -> None:
    place = drafted(api, create("red"))
    change = api.call("POST", place + "/commit", x_request_id="ticket-8").json["change"]

    entry = api.call("GET", f"/api/v1/history/{change}").json

    assert entry["request_id"] == f"ticket-8 change-set {place.rsplit('/', 1)[-1]} t"
