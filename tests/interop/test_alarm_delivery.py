"""Alarms told to a real web server and a real mail server, from a process's word to the addressee."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from aiosmtpd.controller import Controller

from skytrail.lab.io.machine import free_port
from skytrail.testing.controller import wait_until
from skytrail.wire.telemetry import Hello, TelemetryFramer, Uve, encode

SECRET = b"a secret of ours"
PATIENCE_S = 30.0


class Web:
    """A webhook's server; ``failures`` requests are answered 500 first."""

    def __init__(self, failures):
        self.bodies, self.signatures, self.left = [], [], failures
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if web.left:
                    web.left -= 1
                    self.send_response(500)
                else:
                    web.bodies.append(body)
                    web.signatures.append(self.headers["x-skytrail-signature"])
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def alarms(self):
        return [each for body in self.bodies for each in json.loads(body)["alarms"]]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Mails:
    def __init__(self):
        self.texts = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.texts.append(envelope.content.decode())
        return "250 taken"


@pytest.fixture
def web():
    made = Web(failures=1)
    yield made
    made.close()


@pytest.fixture
def mails():
    handler = Mails()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    handler.port = controller.port
    yield handler
    controller.stop()


@pytest.fixture
def node(tmp_path, web, mails):
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    (tmp_path / "routes.toml").write_text(f"""
[[route]]
name = "chat"
types = ["vrouter"]
webhook = "http://127.0.0.1:{web.server.server_address[1]}/hook"
secret_file = "{tmp_path / "secret"}"

[[route]]
name = "night"
email = ["noc@example.net"]
sender = "skytrail@example.net"
smtp = "127.0.0.1:{mails.port}"
smtp_tls = "none"
""")
    rest, telemetry = free_port(), free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "skytrail.daemons.analytics", "--name", "node1"),
            *("--port", str(rest), "--telemetry-port", str(telemetry)),
            *("--alarm-routes", str(tmp_path / "routes.toml"), "--log-level", "error"),
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert " ready " in process.stdout.readline()
    yield rest, telemetry
    process.kill()
    process.wait()
    process.stdout.close()


def test_alarm_is_told_to_a_webhook_that_failed_once_and_by_mail(node, web, mails):
    rest, telemetry = node
    with socket.create_connection(("127.0.0.1", telemetry), PATIENCE_S) as stream:
        hello = Hello(
            source="h1", node_type="Compute", module="agent", instance_id="0", pid=5, started_us=1
        )
        stream.sendall(encode(hello))
        framer = TelemetryFramer()
        while framer.next_frame() is None:
            framer.feed(stream.recv(65536))
        said = Uve(
            table="ObjectVRouter", key="h1", struct="VrouterAgent", sequence=1,
            fields={"res_limit": True, "tables_nearly_full": ["flows"]},
        )  # fmt: skip
        stream.sendall(encode(said))
        wait_until(lambda: web.alarms, "the webhook is told, at the second try")
        wait_until(lambda: mails.texts, "the mail is sent")

    assert web.left == 0
    (alarm,) = [each for each in web.alarms if each["rule"].endswith("vrouter-limit-exceeded")]
    assert (alarm["event"], alarm["type"], alarm["name"]) == ("raised", "vrouter", "h1")
    proof = hmac.new(SECRET, web.bodies[0], hashlib.sha256).hexdigest()
    assert web.signatures[0] == f"sha256={proof}"
    assert "To: noc@example.net" in mails.texts[0]
    assert "vrouter h1" in mails.texts[0]
    metrics = httpx.get(f"http://127.0.0.1:{rest}/metrics").text
    assert 'skytrail_analytics_alarm_failures_total{route="chat"} 1' in metrics


@pytest.mark.parametrize(
    ("text", "word"),
    [("[[route]]\nname = 'a'\n", "webhook or email"), ("route = 3", "route")],
)
def test_file_that_cannot_be_used_keeps_the_node_from_starting(tmp_path, text, word):
    (tmp_path / "routes.toml").write_text(text)
    command = [sys.executable, "-m", "skytrail.daemons.analytics"]
    done = subprocess.run(
        [*command, "--alarm-routes", str(tmp_path / "routes.toml")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert word in done.stderr
