"""Logs from generators through the collector into the real engine, and queries over them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import httpx
import pytest

from skytrail.lab.io.machine import free_port
from skytrail.testing.controller import wait_until
from skytrail.wire.sandesh import (
    ClientHello,
    Field,
    SandeshFramer,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    encode_client_hello,
    encode_message,
    frame_of,
)
from skytrail.wire.sandesh.control import control_header

PATIENCE_S = 30.0
MODULE = "contrail-control"


def run(module, *arguments):
    command = [sys.executable, "-m", f"skytrail.daemons.{module}", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert " ready " in process.stdout.readline()
    return process


def kill(process):
    process.kill()
    process.wait()
    process.stdout.close()


class Node:
    def __init__(self, folder):
        self.folder, self.socket = folder / "data", folder / "history.sock"
        self.rest, self.sandesh = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.rest}/analytics"
        self.history = None
        self.start_history()
        self.node = run(
            "analytics",
            *("--port", str(self.rest), "--sandesh-port", str(self.sandesh)),
            *("--history", str(self.socket), "--log-level", "error"),
        )

    def start_history(self):
        self.history = run("history", "--data", str(self.folder), "--socket", str(self.socket))

    def query(self, fields, table="MessageTable", **members):
        body = {"table": table, "start_time": "now-10m", "end_time": "now", "select_fields": fields}
        reply = httpx.post(f"{self.url}/query", json={**body, **members}, timeout=PATIENCE_S)
        assert reply.status_code == 200, reply.text
        return reply.json()["value"]

    def count(self, module):
        where = [[{"name": "ModuleId", "value": module, "op": 1}]]
        rows = self.query(["ModuleId", "COUNT(Source)"], where=where)
        return rows[0]["COUNT(Source)"] if rows else 0


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    running = Node(tmp_path_factory.mktemp("history"))
    yield running
    kill(running.node)
    kill(running.history)


class Generator:
    def __init__(self, node, module=MODULE):
        self.module, self.sequence = module, 0
        self.stream = socket.create_connection(("127.0.0.1", node.sandesh), PATIENCE_S)
        header = control_header("h1", module, "Control", "0")
        hello = ClientHello("h1", module, "Control", "0", pid=5)
        self.stream.sendall(frame_of(encode_client_hello(hello, header)))
        framer = SandeshFramer()
        while framer.next_frame() is None:
            framer.feed(self.stream.recv(65536))

    def log(self, name="PeerEvent", level=4, **fields):
        self.sequence += 1
        header = SandeshHeader(
            "h1", self.module, "Control", "0", round(time.time() * 1e6), self.sequence,
            SandeshType.OBJECT, level=level, category="BGP",
        )  # fmt: skip
        typed = {key: Field("string", text) for key, text in fields.items()}
        if "peer" in typed:
            typed["peer"] = Field("string", fields["peer"], "", {"key": "ObjectBgpPeer"})
        self.stream.sendall(frame_of(encode_message(SandeshMessage(header, name, typed))))


@pytest.fixture
def generator(node):
    made = Generator(node)
    yield made
    made.stream.close()


def test_log_of_a_generator_is_found_by_what_it_says(node, generator):
    generator.log(peer="a:b:it's `quoted` \\ and <tagged>", text="up")

    def found():
        where = [[{"name": "Messagetype", "value": "Peer", "op": 7}]]
        return node.query(["Source", "Level", "Xmlmessage"], where=where)

    wait_until(found, "the message is stored")
    (row,) = found()
    assert (row["Source"], row["Level"]) == ("h1", 4)
    assert "it&apos;s `quoted` \\ and &lt;tagged&gt;" in row["Xmlmessage"]
    objects = node.query(["ObjectId", "ObjectLog"], table="ObjectBgpPeer")
    assert objects == [
        {"ObjectId": "a:b:it's `quoted` \\ and <tagged>", "ObjectLog": row["Xmlmessage"]}
    ]


def test_answer_can_be_fetched_later(node):
    body = {
        "table": "MessageTable", "start_time": "now-1h", "end_time": "now",
        "select_fields": ["T=60", "COUNT(Source)"],
    }  # fmt: skip
    accepted = httpx.post(f"{node.url}/query", json=body, headers={"expect": "202-accepted"})
    assert accepted.status_code == 202
    place = f"http://127.0.0.1:{node.rest}{accepted.json()['href']}"

    wait_until(lambda: httpx.get(place).json()["progress"] == 100, "the query is done")
    chunk = httpx.get(place).json()["chunks"][0]["href"]

    assert "value" in httpx.get(f"http://127.0.0.1:{node.rest}{chunk}").json()


def test_killed_store_loses_no_row_and_doubles_none(node):
    generator = Generator(node, "load")
    for number in range(2_000):
        generator.log("Load", number=str(number))
        if number == 700:
            kill(node.history)
        if number == 1_400:
            node.start_history()
    generator.stream.close()

    wait_until(lambda: node.count("load") == 2_000, "everything is stored once")
    wait_until(lambda: _health(node) == 200, "the node is healthy again")


def _health(node):
    return httpx.get(f"http://127.0.0.1:{node.rest}/healthz").status_code


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"table": "Nope"}, 410),
        ({"select_fields": ["Nope"]}, 404),
        ({"start_time": "yesterday"}, 400),
        ({"where": [[{"name": "Xmlmessage", "value": "(", "op": 8}]]}, 400),
        ({"select_fields": 7}, 400),
    ],
)
def test_query_that_makes_no_sense_is_refused(node, members, status):
    body = {"table": "MessageTable", "start_time": "now-10m", "end_time": "now"}
    reply = httpx.post(f"{node.url}/query", json={**body, "select_fields": ["Source"], **members})

    assert reply.status_code == status, reply.text


def test_second_process_on_the_same_folder_does_not_start(node, tmp_path):
    command = [
        *(sys.executable, "-m", "skytrail.daemons.history", "--data", str(node.folder)),
        *("--socket", str(tmp_path / "other.sock")),
    ]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert second.returncode == 1, second.stderr
    assert "Traceback" not in second.stderr
