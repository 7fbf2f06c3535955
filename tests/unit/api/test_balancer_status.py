"""Status fields of load balancers: what hosts say, found where LBaaS clients look for it."""

from __future__ import annotations

import pytest

PROJECT = ["default-domain", "default-project"]
SUBNET = "8fc6c997-410f-51eb-87f9-14783f65f68d"


def report(api, *agents, kind="control", reporter="n", **members):
    given = {"kind": kind, "revision": api.service.revision, "agents": agents, **members}
    reply = api.call("POST", f"/api/v1/status/{reporter}", given)
    assert reply.status == 200, reply.text


def told(api, name, preference, parts, *, revision=None, connected=True):
    """A host whose copy of a balancer runs."""
    return {
        "name": name, "connected": connected,
        "revision": api.service.revision if revision is None else revision,
        "balancers": [{"uuid": next(iter(parts)), "preference": preference, "parts": parts}],
    }  # fmt: skip


@pytest.fixture
def objects(api):
    """uuid by name of a balancer with a listener, a pool and two members."""
    lb = api.create(
        "loadbalancer", fq_name=[*PROJECT, "lb"], parent_type="project",
        loadbalancer_properties={"vip_subnet_id": SUBNET, "vip_address": "10.1.1.100"},
    )  # fmt: skip
    listener = api.create(
        "loadbalancer-listener", fq_name=[*PROJECT, "http"], parent_type="project",
        loadbalancer_listener_properties={"protocol": "HTTP", "protocol_port": 80},
        loadbalancer_refs=[{"uuid": lb}],
    )  # fmt: skip
    pool = api.create(
        "loadbalancer-pool", fq_name=[*PROJECT, "servers"], parent_type="project",
        loadbalancer_pool_properties={"protocol": "HTTP", "subnet_id": SUBNET},
        loadbalancer_listener_refs=[{"uuid": listener}],
    )  # fmt: skip
    members = {
        name: api.create(
            "loadbalancer-member", fq_name=[*PROJECT, "servers", name],
            parent_type="loadbalancer-pool",
            loadbalancer_member_properties={"address": "10.1.1.5", "protocol_port": 80},
        )
        for name in ("one", "two")
    }  # fmt: skip
    return {
        "loadbalancer": lb,
        "loadbalancer-listener": listener,
        "loadbalancer-pool": pool,
    } | members


def properties(api, kind, uuid):
    reply = api.call("GET", f"/{kind}/{uuid}")
    assert reply.status == 200, reply.text
    return reply.json[kind][kind.replace("-", "_") + "_properties"]


def statuses(api, objects):
    found = properties(api, "loadbalancer", objects["loadbalancer"])
    return found["provisioning_status"], found["operating_status"]


def test_balancer_is_pending_until_a_copy_of_it_runs(api, objects):
    report(api, kind="compiler", reporter="c")
    before = statuses(api, objects)
    lb = objects["loadbalancer"]
    report(api, told(api, "one", 200, {lb: "ONLINE", objects["one"]: "NO_MONITOR"}))

    assert before == ("PENDING_CREATE", "OFFLINE")
    assert statuses(api, objects) == ("ACTIVE", "ONLINE")
    member = properties(api, "loadbalancer-member", objects["one"])
    assert member["status"] == "NO_MONITOR"
    assert member["status_description"]
    # Of this member nobody said anything.
    assert properties(api, "loadbalancer-member", objects["two"])["status"] == "OFFLINE"


def test_clients_read_how_the_copy_stands_that_they_meet(api, objects):
    lb, pool = objects["loadbalancer"], objects["loadbalancer-pool"]
    waits = told(api, "two", 100, {lb: "DEGRADED", pool: "DEGRADED"})
    report(api, waits, told(api, "one", 200, {lb: "ONLINE", pool: "ONLINE"}))
    both = statuses(api, objects), properties(api, "loadbalancer-pool", pool)["status"]
    report(api, waits, told(api, "one", 200, {lb: "ONLINE"}, connected=False))
    alone = statuses(api, objects), properties(api, "loadbalancer-pool", pool)["status"]

    assert both == (("ACTIVE", "ONLINE"), "ONLINE")
    assert alone == (("ACTIVE", "DEGRADED"), "DEGRADED")


def test_change_is_pending_until_hosts_with_a_copy_have_it(api, objects):
    lb = objects["loadbalancer"]
    behind = told(api, "one", 200, {lb: "ONLINE"}, revision=1)
    report(api, kind="compiler", reporter="c")
    report(api, behind)

    assert statuses(api, objects) == ("PENDING_UPDATE", "ONLINE")


def test_balancer_that_cannot_be_served_is_in_error_with_the_reason(api, objects):
    trouble = {"type": "loadbalancer", "fq_name": [*PROJECT, "lb"], "reason": "no_port"}
    report(api, kind="compiler", reporter="c", troubles=[trouble])

    assert statuses(api, objects) == ("ERROR", "OFFLINE")
    reply = api.call("GET", f"/api/v1/loadbalancer/{objects['loadbalancer']}/status")
    assert reply.json["operating"]["provisioning_status"] == "ERROR"


def test_what_is_switched_off_is_offline_whatever_hosts_say(api, objects):
    report(
        api, told(api, "one", 200, {objects["loadbalancer"]: "ONLINE", objects["one"]: "ONLINE"})
    )
    off = {"address": "10.1.1.5", "protocol_port": 80, "admin_state": False}
    body = {"loadbalancer-member": {"loadbalancer_member_properties": off}}
    assert api.call("PUT", f"/loadbalancer-member/{objects['one']}", body).status == 200

    assert properties(api, "loadbalancer-member", objects["one"])["status"] == "OFFLINE"


def test_client_that_writes_back_what_it_read_does_not_set_the_status(api, objects):
    lb = objects["loadbalancer"]
    report(api, told(api, "one", 200, {lb: "ONLINE"}))
    read = properties(api, "loadbalancer", lb)
    body = {"loadbalancer": {"loadbalancer_properties": read}}
    assert api.call("PUT", f"/loadbalancer/{lb}", body).status == 200
    report(api, told(api, "one", 200, {lb: "ERROR"}))

    assert statuses(api, objects)[1] == "ERROR"


def test_lists_with_details_say_it_too_and_unknown_words_say_nothing(api, objects):
    lb, pool = objects["loadbalancer"], objects["loadbalancer-pool"]
    report(api, told(api, "one", 200, {lb: "DEGRADED", pool: "ON FIRE"}))

    listed = api.call("GET", "/loadbalancers?detail=true").json["loadbalancers"]
    pools = api.call("GET", "/loadbalancer-pools?fields=loadbalancer_pool_properties").json

    given = listed[0]["loadbalancer"]["loadbalancer_properties"]
    assert given["operating_status"] == "DEGRADED"
    shown = pools["loadbalancer-pools"][0]["loadbalancer_pool_properties"]
    assert shown["status"] == "OFFLINE"


def test_cached_answer_is_not_confirmed_while_the_status_may_change(api, objects):
    lb = objects["loadbalancer"]
    tag = dict(api.call("GET", f"/loadbalancer/{lb}").headers)["etag"]

    assert api.call("GET", f"/loadbalancer/{lb}", if_none_match=tag).status == 200


def test_listener_s_status_is_told_by_the_native_api(api, objects):
    listener = objects["loadbalancer-listener"]
    report(api, told(api, "one", 200, {objects["loadbalancer"]: "ONLINE", listener: "ONLINE"}))

    reply = api.call("GET", f"/api/v1/loadbalancer-listener/{listener}/status")

    assert reply.json["operating"]["operating_status"] == "ONLINE"
