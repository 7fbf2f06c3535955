"""Alarms told to a real web server and a real mail server, from a process's word to the addressee."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from skytrail.analytics.alarm_routes import Notice, routes_of
from skytrail.analytics.io import alarm_delivery
from skytrail.lab.io.machine import free_port
from skytrail.runtime.certificates import Authority
from skytrail.testing.controller import Daemons, wait_until
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
        self.texts, self.users, self.ciphers = [], [], []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.users.append(session.auth_data and session.auth_data.login.decode())
        self.ciphers.append(session.ssl and session.ssl["cipher"][0])
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
    with Daemons(tmp_path) as daemons:
        daemons.start(
            "analytics", "--name", "node1", "--port", rest, "--telemetry-port", telemetry,
            "--alarm-routes", tmp_path / "routes.toml", "--log-level", "error",
        )  # fmt: skip
        yield rest, telemetry


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


PASSWORD = "of the mail server"
NOTICE = Notice(
    is_raised=True, type="vrouter", name="h1", rule="default-global-system-config:r", severity=0,
    description="A node is silent", at_us=0,
)  # fmt: skip


@pytest.fixture
def closed_mails(tmp_path):
    """A mail server that wants STARTTLS and a login, with a certificate of our own authority."""
    authority = Authority(tmp_path / "authority")
    certificate, key = tmp_path / "mail.pem", tmp_path / "mail.key"
    authority.issue(certificate, key, "mail", hosts=["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    handler = Mails()
    handler.ca = authority.certificate_file

    def check(_server, _session, _envelope, _mechanism, data):
        is_known = isinstance(data, LoginPassword) and data.password.decode() == PASSWORD
        return AuthResult(success=is_known, handled=False, auth_data=data)

    controller = Controller(
        handler, hostname="127.0.0.1", port=free_port(), tls_context=context,
        require_starttls=True, authenticator=check, auth_required=True,
    )  # fmt: skip
    controller.start()
    handler.port = controller.port
    yield handler
    controller.stop()


def deliver(tmp_path, server, password, ca, is_over):
    """Tell of one alarm until ``is_over`` of (told, failures); returns these."""
    (tmp_path / "password").write_text(f"{password}\n")
    (route,) = routes_of(
        f"""
[[route]]
name = "night"
email = ["noc@example.net"]
sender = "skytrail@example.net"
smtp = "127.0.0.1:{server.port}"
smtp_user = "skytrail"
smtp_password_file = "{tmp_path / "password"}"
smtp_ca_file = "{ca}"
""".encode()
    )

    async def run():
        delivery = alarm_delivery.AlarmDelivery([route], "node1")
        delivery.tell(NOTICE)
        task = asyncio.create_task(delivery.run())
        async with asyncio.timeout(PATIENCE_S):
            while not is_over(*delivery.counts()[0][1:3]):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return delivery.counts()[0][1:3]

    return asyncio.run(run())


def told(told_count, _failures):
    return told_count > 0


def failed(_told, failures_count):
    return failures_count > 0


def test_answer_without_an_end_is_not_read(monkeypatch):
    """A webhook's server that answers without end takes neither memory nor time."""
    monkeypatch.setattr(alarm_delivery, "SEND_S", 2.0)
    sent = []

    class Endless(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(bytes(65536))
                    sent.append(65536)

        def log_message(self, *_):
            pass

    class Slow(Endless):
        def do_POST(self):
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while True:
                    self.wfile.write(b"x-a: b\r\n")
                    time.sleep(0.5)

    for handler, is_told in ((Endless, True), (Slow, False)):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}/"
            (route,) = routes_of(f'[[route]]\nname = "r"\nwebhook = "{url}"\n')
            started = time.monotonic()
            if is_told:
                asyncio.run(alarm_delivery._send(route, [], "a1"))
            else:
                with pytest.raises(TimeoutError):
                    asyncio.run(alarm_delivery._send(route, [], "a1"))
            assert time.monotonic() - started < 20
        finally:
            server.shutdown()
            server.server_close()
    assert sum(sent) < 64 << 20


def test_mail_goes_encrypted_and_with_a_login(tmp_path, closed_mails):
    assert deliver(tmp_path, closed_mails, PASSWORD, closed_mails.ca, told) == (1, 0)

    assert closed_mails.users == ["skytrail"]
    assert closed_mails.ciphers[0]
    assert "vrouter h1" in closed_mails.texts[0]


def test_no_mail_and_no_password_goes_to_a_server_of_another_authority(tmp_path, closed_mails):
    stranger = Authority(tmp_path / "stranger").certificate_file

    assert deliver(tmp_path, closed_mails, PASSWORD, stranger, failed) == (0, 1)
    assert closed_mails.texts == []


def test_wrong_password_is_a_failure_that_is_counted(tmp_path, closed_mails):
    assert deliver(tmp_path, closed_mails, "wrong", closed_mails.ca, failed) == (0, 1)
    assert closed_mails.texts == []
