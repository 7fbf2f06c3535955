"""The analytics node as a process: generators over TCP, REST, faults, who may ask."""

from __future__ import annotations

import json
import socket
import ssl
from contextlib import contextmanager, suppress
from itertools import takewhile

import httpx
import pytest

from skytrail.analytics.io.sandesh_server import ADDRESS_CONNECTIONS_MAX
from skytrail.lab.io.machine import free_port
from skytrail.testing.controller import Daemons, wait_until
from skytrail.wire.sandesh import (
    ClientHello,
    Field,
    Hint,
    SandeshFramer,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    Struct,
    decode_message,
    encode_client_hello,
    encode_message,
    frame_of,
)
from skytrail.wire.sandesh.control import control_header, decode_server_hello
from skytrail.wire.telemetry import Hello, Uve, encode

MODULE = "contrail-vrouter-agent"
RED = "default-domain:red:front"
PATIENCE_S = 30.0


class Node(Daemons):
    """One analytics node; its ports stay over restarts."""

    def __init__(self, folder):
        super().__init__(folder)
        self.rest, self.sandesh, self.telemetry = (free_port() for _ in range(3))
        self.url = f"http://127.0.0.1:{self.rest}/analytics"

    def __enter__(self):
        self.start_node()
        return self

    def start_node(self):
        self.start(
            "analytics", "--name", "node1", "--port", self.rest, "--sandesh-port", self.sandesh,
            "--telemetry-port", self.telemetry, "--log-level", "error",
        )  # fmt: skip

    def get(self, path, **query):
        return httpx.get(f"{self.url}/{path}", params={"flat": "", **query}).json()

    def network(self, name=RED):
        return self.get(f"uves/virtual-network/{name}").get("UveVirtualNetworkAgent")

    def metrics(self):
        return httpx.get(f"http://127.0.0.1:{self.rest}/metrics").text


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("node")) as running:
        yield running


class Generator:
    """An agent of the original system, as it opens a connection and tells a UVE."""

    def __init__(self, node, source, pid=7):
        self.source = source
        self.stream = socket.create_connection(("127.0.0.1", node.sandesh), PATIENCE_S)
        hello = ClientHello(source, MODULE, "Compute", "0", ("UveVirtualNetworkAgent",), pid=pid)
        header = control_header(source, MODULE, "Compute", "0")
        self.stream.sendall(frame_of(encode_client_hello(hello, header)))
        framer = SandeshFramer()
        while (content := framer.next_frame()) is None:
            chunk = self.stream.recv(65536)
            assert chunk, "the collector ended the connection"
            framer.feed(chunk)
        self.known = decode_server_hello(decode_message(content))

    def tell(self, sequence, name=RED, source=None, hints=Hint.NONE, **numbers):
        fields = {"name": Field("string", name, "", {"key": "ObjectVNTable"})}
        for field, value in numbers.items():
            fields[field] = Field("u64", value, "", {"aggtype": "sum"})
        data = Field("struct", Struct("UveVirtualNetworkAgent", fields))
        header = SandeshHeader(
            *(source or self.source, MODULE, "Compute", "0"),
            type=SandeshType.UVE, sequence=sequence, hints=hints,
        )  # fmt: skip
        message = SandeshMessage(header, "UveVirtualNetworkAgentTrace", {"data": data})
        self.stream.sendall(frame_of(encode_message(message)))

    def close(self):
        self.stream.close()


@contextmanager
def generators(*made):
    try:
        yield made
    finally:
        for each in made:
            each.close()


def test_what_hosts_say_of_a_network_is_added_up(node):
    with generators(Generator(node, "h1"), Generator(node, "h2")) as (one, two):
        one.tell(1, in_bytes=5)
        two.tell(1, in_bytes=7)

        wait_until(lambda: node.network() == {"in_bytes": 12}, "both are added up")
        names = [each["name"] for each in node.get("uves/virtual-networks")]
        assert RED in names
        of_one = node.get(f"uves/virtual-network/{RED}", sfilt="h1")
        assert of_one == {"UveVirtualNetworkAgent": {"in_bytes": 5}}
        many = httpx.post(
            f"{node.url}/uves/virtual-network?flat",
            json={"kfilt": ["default-domain:red:*"], "cfilt": ["UveVirtualNetworkAgent:in_bytes"]},
        ).json()
        assert many == {
            "value": [{"name": RED, "value": {"UveVirtualNetworkAgent": {"in_bytes": 12}}}]
        }


def test_generator_that_comes_back_repeats_only_what_is_newer(node):
    with generators(Generator(node, "h3")) as (first,):
        first.tell(41, name="a:b:back", in_bytes=1)
        wait_until(lambda: node.network("a:b:back"), "it is told")

    with generators(Generator(node, "h3")) as (again,):
        assert again.known == {"UveVirtualNetworkAgent": 41}
        assert node.network("a:b:back") == {"in_bytes": 1}


def test_uves_that_did_not_arrive_are_asked_for_again(node):
    def told(number, *, hints=Hint.NONE):
        again.tell(number, name=f"a:b:gap{number}", hints=hints, in_bytes=number)

    with generators(Generator(node, "h6")) as (again,):
        for number in (1, 2, 5):
            told(number)
        wait_until(lambda: node.network("a:b:gap5"), "the last one is told")

    # A repetition that is cut off is begun again.
    for repeated in ([5], [5, 3, 4]):
        with generators(Generator(node, "h6")) as (again,):
            assert again.known == {"UveVirtualNetworkAgent": 2}
            for number in repeated:
                told(number, hints=Hint.SYNC)
            wait_until(lambda last=repeated[-1]: node.network(f"a:b:gap{last}"), "it is repeated")
            if 3 in repeated:
                told(6)
                wait_until(lambda: node.network("a:b:gap6"), "what follows is told")

    with generators(Generator(node, "h6")) as (again,):
        assert again.known == {"UveVirtualNetworkAgent": 6}
        assert node.network("a:b:gap3") == {"in_bytes": 3}


def test_killed_node_is_told_everything_again(tmp_path):
    with Node(tmp_path) as node:
        with generators(Generator(node, "h1")) as (before,):
            before.tell(9, in_bytes=3)
            wait_until(node.network, "it is told")
            node.kill("analytics")

        node.start_node()
        with generators(Generator(node, "h1")) as (after,):
            assert after.known == {}
            after.tell(9, in_bytes=3)
            wait_until(lambda: node.network() == {"in_bytes": 3}, "told again")


def test_changes_are_streamed_as_they_come(node):
    with generators(Generator(node, "h4")) as (one,):
        one.tell(1, name="a:b:stream", in_bytes=1)
        wait_until(lambda: node.network("a:b:stream"), "it is told")
        seen = []
        query = {"tablefilt": "virtual-network", "kfilt": "a:b:stream"}
        with httpx.stream("GET", f"{node.url}/uve-stream", params=query, timeout=30) as reply:
            for line in reply.iter_lines():
                if line.startswith("data: {"):
                    seen.append(json.loads(line[6:])["value"]["in_bytes"])
                    if seen[-1] == 1:
                        one.tell(2, name="a:b:stream", in_bytes=2)
                    if seen[-1] == 2:
                        break

    assert seen == [1, 2]


HOSTILE = {
    "no frame": b"GET / HTTP/1.1\r\n\r\n",
    "a length that lies": b'<sandesh length="9999999999">',
    "no hello": frame_of(b"<a/><b/>"),
    "entities": frame_of(b'<!DOCTYPE x [<!ENTITY a "b">]><SandeshHeader/><x type="sandesh"/>'),
    "nested for ever": frame_of(b"<SandeshHeader/>" + b"<a>" * 20_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_end_their_connection_and_disturb_nobody(node, name):
    with generators(Generator(node, "h5")) as (good,):
        with socket.create_connection(("127.0.0.1", node.sandesh), PATIENCE_S) as stream:
            stream.sendall(HOSTILE[name])
            with suppress(ConnectionResetError):
                assert stream.recv(100) == b""
        good.tell(1, name="a:b:hostile", in_bytes=1)

        wait_until(lambda: node.network("a:b:hostile"), "the other goes on")
    assert 'skytrail_analytics_dropped_total{reason="malformed"}' in node.metrics()


def test_generators_of_one_address_have_so_many_connections(node):
    more = 5
    streams = [
        socket.create_connection(("127.0.0.1", node.sandesh), PATIENCE_S)
        for _ in range(ADDRESS_CONNECTIONS_MAX + more)
    ]
    try:
        counted = f'skytrail_analytics_dropped_total{{reason="too_many_connections"}} {more}'
        wait_until(lambda: counted in node.metrics(), "those beyond are turned away")
    finally:
        for stream in streams:
            stream.close()
    with generators(Generator(node, "after")) as (after,):
        assert after.known == {}


def test_generator_does_not_speak_for_another(node):
    with generators(Generator(node, "h6")) as (one,):
        one.tell(1, name="a:b:forged", source="h1", in_bytes=1)
        one.tell(2, name="a:b:own", in_bytes=1)

        wait_until(lambda: node.network("a:b:own"), "its own word counts")
        assert node.network("a:b:forged") is None
        assert 'dropped_total{reason="speaks_for_another"} 1' in node.metrics()


def test_own_stream_that_breaks_its_form_ends_and_what_it_said_before_counts(node):
    hello = Hello(
        source="h7", node_type="Compute", module="m", instance_id="0", pid=1, started_us=1
    )
    uve = Uve(table="ObjectVNTable", key="a:b:tele", struct="S", sequence=1, fields={"x": 1})
    with socket.create_connection(("127.0.0.1", node.telemetry), PATIENCE_S) as stream:
        stream.sendall(encode(hello) + encode(uve) + b"\xff\xff\xff\xff")
        while stream.recv(4096):
            pass

    assert node.get("uves/virtual-network/a:b:tele") == {"S": {"x": 1}}


def test_alarm_is_raised_streamed_and_acknowledged(node):
    hello = Hello(
        source="h8", node_type="Compute", module="m", instance_id="0", pid=1, started_us=1
    )
    full = Uve(
        table="ObjectVRouter",
        key="h8",
        struct="VrouterAgent",
        sequence=1,
        fields={"res_limit": True},
    )
    with socket.create_connection(("127.0.0.1", node.telemetry), PATIENCE_S) as stream:
        stream.sendall(encode(hello) + encode(full))
        wait_until(lambda: node.get("alarms").get("vrouter"), "the alarm is raised")
        (told,) = [each for each in node.get("alarms")["vrouter"] if each["name"] == "h8"]
        (alarm,) = told["value"]["UVEAlarms"]["alarms"]
        seen = {"table": "vrouter", "name": "h8", "type": alarm["type"], "token": alarm["token"]}
        # The stream of another type has alarms of all types, when that is asked for, and says when it is told all.
        query = {"tablefilt": "bgp-peer", "alarms": "all"}
        with httpx.stream(
            "GET", f"{node.url}/uve-stream", params=query, timeout=PATIENCE_S
        ) as reply:
            texts = reply.iter_lines()
            told = list(takewhile("event: synced".__ne__, texts))
        assert told[0] == "event: init"
        assert {json.loads(line[6:])["type"] for line in told if line.startswith("data: {")} == {
            "UVEAlarms"
        }
        with httpx.stream("GET", f"{node.url}/alarm-stream", timeout=PATIENCE_S) as reply:
            lines = (line for line in reply.iter_lines() if line.startswith("data: {"))
            assert json.loads(next(lines)[6:])["type"] == "UVEAlarms"

        wrong = httpx.post(f"{node.url}/alarms/acknowledge", json={**seen, "token": "x"})
        right = httpx.post(f"{node.url}/alarms/acknowledge", json=seen)

        assert (wrong.status_code, right.status_code) == (404, 200)
        unseen = node.get("uves/vrouter/h8", ackfilt="false", cfilt="UVEAlarms")
        assert unseen == {}


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("uves/gadgets", 404, "gadgets"),
        ("uves/virtual-network/*?mfilt=x", 400, "mfilt"),
        ("uves/virtual-network/*?ackfilt=maybe", 400, "ackfilt"),
        ("uve-stream?tablefilt=gadgets", 400, "tablefilt"),
        ("uve-stream?alarms=some", 400, "alarms"),
        ("uves/virtual-network/no:such", 200, "{}"),
    ],
)
def test_questions_that_make_no_sense_are_told_why(node, path, status, word):
    reply = httpx.get(f"{node.url}/{path}")

    assert (reply.status_code, word in reply.text) == (status, True)


@pytest.mark.parametrize("body", [b"[1]", b'{"kfilt": 3}', b'{"nofilt": []}', b"\xff", b"{"])
def test_filters_of_a_body_that_make_no_sense_are_refused(node, body):
    reply = httpx.post(f"{node.url}/uves/virtual-network", content=body)

    assert reply.status_code == 400, reply.text


def test_secure_controller_shows_analytics_to_administrators_only(tmp_path):
    ports = [free_port() for _ in range(3)]
    data = tmp_path / "data"
    with Daemons(tmp_path) as daemons:
        told = daemons.start(
            "up", "--data", data, "--secure", "--api-port", ports[0],
            "--control-port", ports[1], "--analytics-port", ports[2],
        )  # fmt: skip
        assert told["analytics"] == f"https://127.0.0.1:{ports[2]}"
        trust = ssl.create_default_context(cafile=data / "security" / "ca.pem")
        api, url = f"https://127.0.0.1:{ports[0]}", f"https://127.0.0.1:{ports[2]}/analytics/uves"
        with httpx.Client(verify=trust, timeout=PATIENCE_S) as client:
            password = (data / "security" / "admin-password").read_text().strip()
            admin = _token(client, api, "admin", password)
            user = {"name": "ann", "password": "s3cret-word-9", "roles": ["member"]}
            added = client.post(f"{api}/api/v1/users", json=user, headers=admin)
            assert added.status_code == 200, added.text
            ann = _token(client, api, "ann", "s3cret-word-9")

            assert client.get(url).status_code == 401
            assert client.get(url, headers={"x-auth-token": "wrong"}).status_code == 401
            assert client.get(url, headers=ann).status_code == 403
            found = f"{url}/config-node/*?flat"
            wait_until(
                lambda: "NodeStatus" in client.get(found, headers=admin).text,
                "the administrator sees the compiler's state",
            )


def _token(client, api, user, password):
    reply = client.post(f"{api}/api/v1/login", json={"user": user, "password": password})
    assert reply.status_code == 200, reply.text
    return {"x-auth-token": reply.json()["token"]}
