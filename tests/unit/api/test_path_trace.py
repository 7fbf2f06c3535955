"""The way of a packet by the API: who may ask about what, and what tenants are told of it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from skytrail.api.caller import Caller
from skytrail.api.io.http import HttpApi
from skytrail.api.io.path_trace import PathTrace, Unreachable, Untraceable

PROJECT = ["default-domain", "default-project"]
READER = Caller(user="eve", is_reader=True)
MEMBERS = {
    "rule_object": "*",
    "rule_field": "",
    "rule_perms": [{"role_name": "member", "role_crud": "CRUD"}],
}
STEPS = [
    {"stage": "route", "question": "10.1.1.4", "answer": "tunnel to 192.0.2.2", "rule": ""},
    {"stage": "egress policy", "question": "tcp port 80", "answer": "pass", "rule": "front-back"},
]
FOUND = {
    "source": {"name": "a", "uuid": "", "host": "rack7", "network": "n", "addresses": []},
    "destination": {"name": "b", "uuid": "", "host": "rack9", "network": "n", "addresses": []},
    "protocol": "tcp",
    "port": 80,
    "source_port": 0,
    "verdict": "dropped",
    "summary": "dropped on rack7: POLICY",
    "services": [],
    "legs": [
        {
            "host": "rack7",
            "outcome": "dropped",
            "drop_reason": "POLICY",
            "remote": "192.0.2.2",
            "deciding_rule": {"name": "front-back"},
            "steps": STEPS,
        }
    ],
}


HOPS = [
    {"host": "rack7", "point": "sent", "drop_reason": "", "port": "a", "link": "tap1", "vrf": "v", "time_ns": 1},
    {"host": "rack8", "point": "delivered", "drop_reason": "", "port": "x", "link": "tap2", "vrf": "v", "time_ns": 2},
]  # fmt: skip
PROBE = {"agrees": True, "seen": "delivered", "summary": "last seen at x of rack8", "hops": HOPS}


@pytest.fixture
def asked(api):
    """What the agents were asked; they answer ``FOUND``, or raise what is put here."""
    questions = []

    class Walk:
        def __call__(self, question, hosts, _credentials):
            questions.append((question, dict(hosts)))
            if isinstance(questions[0], Exception):
                raise questions[0]
            return FOUND

        def probe(self, question, hosts, credentials):
            return {**self(question, hosts, credentials), "probe": PROBE}

    api.app = HttpApi(api.service, admit=api._admit, also=[PathTrace(api.service, Walk())])
    return questions


@pytest.fixture
def ports(api):
    """A project and two ports of it; members may do everything to their own."""
    api.create(
        "api-access-list",
        fq_name=["default-global-system-config", "default-api-access-list"],
        parent_type="global-system-config",
        api_access_list_entries={"rbac_rule": [MEMBERS]},
    )
    project = api.call("GET", "/api/v1/project/by-name/default-domain:default-project").json["uuid"]
    network = {"fq_name": [*PROJECT, "net"]}
    assert api.call("POST", "/api/v1/virtual-network", network).status == 201
    made = []
    for name in ("a", "b"):
        reply = api.call(
            "POST",
            "/api/v1/virtual-machine-interface",
            {
                "fq_name": [*PROJECT, name],
                "parent_type": "project",
                "virtual_network_refs": [{"to": [*PROJECT, "net"]}],
            },
        )
        assert reply.status == 201, reply.text
        made.append(reply.json["uuid"])
    return project, *made


def trace(api, source: str, destination: str, more: str = "protocol=tcp&port=80"):
    return api.call("GET", f"/api/v1/trace?source={source}&destination={destination}&{more}")


def test_administrators_see_hosts_and_tables(api, asked, ports) -> None:
    router = {"fq_name": ["default-global-system-config", "rack7"]}
    router["virtual_router_ip_address"] = "192.0.2.1"
    assert api.call("POST", "/api/v1/virtual-router", router).status == 201

    reply = trace(api, ports[1], ":".join([*PROJECT, "b"]))

    question, hosts = asked[0]
    assert reply.json == FOUND
    assert (question.source, question.destination) == ports[1:]
    assert (question.protocol, question.port) == ("tcp", 80)
    assert hosts == {"192.0.2.1": "rack7"}


def test_tenants_see_verdict_and_rules_of_ways_between_their_own_ports(api, asked, ports) -> None:
    owner = Caller(user="ann", project=ports[0], roles=frozenset({"member"}))

    with api.as_caller(owner):
        reply = trace(api, ports[1], ports[2])

    assert reply.status == 200, reply.text
    assert reply.json["verdict"] == "dropped"
    assert reply.json["legs"][0]["deciding_rule"] == {"name": "front-back"}
    assert reply.json["legs"][0]["steps"] == STEPS[1:]
    assert "192.0.2" not in reply.text
    assert "rack" not in reply.text


@pytest.mark.parametrize(
    ("caller", "destination", "status"),
    [
        (READER, "10.1.1.4", 200),
        ("owner", "10.1.1.4", 403),
        ("owner", "0b7c3d1e-1111-4222-8333-444455556666", 403),
        ("other", None, 403),
    ],
)
def test_others_may_not_ask(api, asked, ports, caller, destination, status) -> None:
    own = {"owner": ports[0], "other": "2b7c3d1e-1111-4222-8333-444455556666"}
    if isinstance(caller, str):
        caller = Caller(user="ann", project=own[caller], roles=frozenset({"member"}))

    with api.as_caller(caller):
        reply = trace(api, ports[1], destination or ports[2])

    assert reply.status == status, reply.text
    assert bool(asked) is (status == 200)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("protocol=gre", "protocol"),
        ("protocol=tcp", "port"),
        ("protocol=icmp&port=7", "port"),
        ("protocol=tcp&port=70000", "port"),
        ("protocol=tcp&port=000000080999", "port"),
        ("protocol=tcp&port=00000000" + "1" * 5000, "port"),
        ("protocol=tcp&port=80&source_port=-1", "source_port"),
        ("protocol=tcp&port=80&by=me", "by"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_name(api, asked, more, told) -> None:
    reply = trace(api, "10.1.1.3", "10.1.1.4", more)

    assert reply.status == 400
    assert told in reply.json["detail"]
    assert asked == []


@pytest.mark.parametrize(
    ("error", "status"), [(Untraceable("on no host"), 409), (Unreachable("no answer"), 503)]
)
def test_why_there_is_no_answer_is_told(api, asked, error, status) -> None:
    asked.append(error)

    reply = trace(api, "10.1.1.3", "10.1.1.4")

    assert (reply.status, reply.json["detail"]) == (status, str(error))


def test_a_project_waits_for_its_own_traces_before_it_asks_more(api, ports) -> None:
    may_answer = threading.Event()

    def walk(question, hosts, _credentials):
        assert may_answer.wait(10)
        return FOUND

    api.app = HttpApi(api.service, admit=api._admit, also=[PathTrace(api.service, walk)])
    target = f"/api/v1/trace?source={ports[1]}&destination={ports[2]}"

    async def ask():
        several = [asyncio.ensure_future(api.acall("GET", target)) for _ in range(3)]
        (refused,), _ = await asyncio.wait(several, return_when=asyncio.FIRST_COMPLETED)
        may_answer.set()
        return refused.result().status, sorted(
            each.status for each in await asyncio.gather(*several)
        )

    with api.as_caller(Caller(user="ann", project=ports[0], roles=frozenset({"member"}))):
        assert api.loop.run_until_complete(ask()) == (429, [200, 200, 429])
        assert api.call("GET", target).status == 200


def probe(api, source: str, destination: str, **more: object):
    body = {"source": source, "destination": destination, "protocol": "tcp", "port": 80, **more}
    return api.call("POST", "/api/v1/trace", body)


def test_a_probe_tells_administrators_where_it_was_seen(api, asked, ports) -> None:
    reply = probe(api, ports[1], ports[2], source_port=4711)

    assert reply.json == {**FOUND, "probe": PROBE}
    assert (asked[0][0].port, asked[0][0].source_port) == (80, 4711)


def test_a_probe_tells_tenants_nothing_of_hosts_and_of_others_ports(api, asked, ports) -> None:
    owner = Caller(user="ann", project=ports[0], roles=frozenset({"member"}))

    with api.as_caller(owner):
        reply = probe(api, ports[1], ports[2])

    assert reply.status == 200, reply.text
    hops = reply.json["probe"]["hops"]
    assert [(hop["host"], hop["port"]) for hop in hops] == [("host 1", "a"), ("another host", "")]
    assert not any(word in reply.text for word in ("rack", "tap", "192.0.2"))


def test_members_of_a_project_probe_between_their_own_ports_and_not_all_the_time(
    api, asked, ports
) -> None:
    owner = Caller(user="ann", project=ports[0], roles=frozenset({"member"}))

    with api.as_caller(owner):
        assert probe(api, ports[1], "10.1.1.4").status == 403
        assert probe(api, ports[1], ports[2]).status == 200
        assert probe(api, ports[1], ports[2]).status == 429
    assert probe(api, ports[1], ports[2]).status == 200
    assert len(asked) == 2


@pytest.mark.parametrize(
    "more",
    [
        {"port": 0}, {"port": 65_536}, {"port": "x"}, {"port": True}, {"protocol": "gre"},
        {"frame": "00"}, {"network": ["a"]}, {"source_port": -1}, {"port": None},
    ],
)  # fmt: skip
def test_a_probe_that_makes_no_sense_is_refused(api, asked, ports, more) -> None:
    reply = probe(api, ports[1], ports[2], **more)

    assert reply.status == 400, reply.text
    assert not asked
