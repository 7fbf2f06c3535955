"""Sessions of agents under TLS, by the real agent, real control nodes and raw sockets."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import uvloop
from structlog.testing import capture_logs

from skytrail.agent.io.xmpp import ControlConnection
from skytrail.control.io.xmpp import XmppServer
from skytrail.control.plane import ControlPlane
from skytrail.lab.io.machine import free_port
from skytrail.net import Label
from skytrail.runtime.certificates import Authority
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.introspection import read_table
from skytrail.runtime.mutual_tls import MutualTls, TlsFolder
from skytrail.testing.control_plane import inet_route, instance_of, routing_instance
from skytrail.testing.controller import Daemons, wait_until
from skytrail.wire.xmpp import ItemsEvent, Message, PublishRoute, Subscribe

RED = instance_of("red")
PATIENCE_S = 30.0
OPENING = (
    b"<stream:stream from='%b' to='network-control@contrailsystems.com' version='1.0'"
    b" xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
)
REQUEST = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
SUBSCRIBE = b'<iq type="set"><pubsub><subscribe node="a:b:c:c"/></pubsub></iq>'


class Listener:
    """What the agent behind a connection sees."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.reasons: list[str] = []

    def session_established(self, source: str) -> None: ...

    def message_received(self, source: str, message: Message) -> None:
        self.messages.append(message)

    def session_lost(self, source: str, reason: str) -> None:
        self.reasons.append(reason)

    def labels(self) -> list[Label]:
        events = [each for each in self.messages if isinstance(each, ItemsEvent)]
        return [route.next_hops[0].label for event in events for route in event.routes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: a control node's, those of two hosts, and a host's of another authority."""
    place = tmp_path_factory.mktemp("tls")
    authority = Authority(place / "authority")
    authority.issue_folder(place / "control", "control-1", hosts=["127.0.0.1"])
    for name in ("compute-1", "compute-2"):
        authority.issue_folder(place / name, name, hosts=[name], is_client=True)
    authority.issue_folder(place / "elsewhere", "control-2", hosts=["198.51.100.1"])
    Authority(place / "other").issue_folder(place / "foreign", "compute-1", is_client=True)
    return place


@asynccontextmanager
async def control_node(tls: MutualTls | None) -> AsyncIterator[tuple[XmppServer, int]]:
    plane = ControlPlane()
    plane.config_replace([routing_instance("red", both=[1])])
    plane.commit(1, 0.0)
    server = XmppServer(plane, SystemClock(), 90.0, tls)
    listener = await server.listen("127.0.0.1", 0)
    try:
        yield server, int(listener.sockets[0].getsockname()[1])
    finally:
        server.close()
        listener.close()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def agent(
    name: str, port: int, tls: MutualTls | None
) -> AsyncIterator[tuple[ControlConnection, Listener]]:
    listener = Listener()
    connection = ControlConnection(name, ("127.0.0.1", port), listener, tls)
    task = asyncio.ensure_future(connection.run())
    try:
        yield connection, listener
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nothing tells of a change
            await asyncio.sleep(0.01)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run on the loop the daemons use."""

    async def main() -> None:
        await scenario()

    uvloop.run(main())


def client(folder: Path, name: str) -> MutualTls:
    return TlsFolder(folder / name).client()


def test_agents_with_certificates_exchange_routes(folder: Path) -> None:
    async def scenario() -> None:
        async with (
            control_node(TlsFolder(folder / "control").server()) as (_, port),
            agent("compute-1", port, client(folder, "compute-1")) as (first, _),
            agent("compute-2", port, client(folder, "compute-2")) as (second, heard),
        ):
            await until(lambda: first.is_established and second.is_established)
            for each in (first, second):
                each.send(Subscribe(RED, 1))
            for number in range(500):
                first.send(PublishRoute(RED, inet_route(f"10.1.{number // 250}.{number % 250}/32")))
            await until(lambda: len(heard.labels()) == 500)
            assert first.row()["encrypted"] is True

    run(scenario)


@pytest.mark.parametrize(
    ("name", "certificate", "said"),
    [
        ("compute-1", "foreign", "certificate verify failed|unknown ca|unable to get"),
        ("compute-2", "compute-1", "'compute-2' came with the certificate of compute-1"),
        ("compute-1", "control", "unsuitable certificate purpose|unsupported certificate"),
    ],
)
def test_an_agent_that_is_not_who_it_says_is_refused_and_the_log_says_why(
    folder: Path, name: str, certificate: str, said: str
) -> None:
    tls = client(folder, certificate)
    if certificate == "foreign":
        # It trusts our control node, so that it is the control node that refuses.
        tls = _trusting(folder, folder / "foreign")

    async def scenario() -> None:
        with capture_logs() as logs:
            async with (
                control_node(TlsFolder(folder / "control").server()) as (server, port),
                agent(name, port, tls) as (connection, heard),
            ):
                await until(lambda: len(heard.reasons) > 1)
                assert not connection.is_established
                assert not server.by_name
                assert not server.plane.peers
                assert server.refused_count
                await until(lambda: not server.connections or connection.row()["state"] != "down")
        refusals = [
            each for each in logs if each["event"] == "session_refused" and "address" in each
        ]
        assert any(part in str(each["reason"]) for each in refusals for part in said.split("|")), (
            logs
        )
        secret = (folder / certificate / "key.pem").read_text().splitlines()[1]
        assert secret not in repr(logs)

    run(scenario)


def _trusting(folder: Path, certificate: Path) -> MutualTls:
    place = certificate.with_name("foreign-trusting")
    place.mkdir(exist_ok=True)
    for each in ("certificate.pem", "key.pem"):
        (place / each).write_bytes((certificate / each).read_bytes())
    (place / "ca.pem").write_bytes((folder / "control" / "ca.pem").read_bytes())
    return TlsFolder(place).client()


@pytest.mark.parametrize("certificate", ["elsewhere", "compute-2", "foreign"])
def test_an_agent_says_nothing_to_a_server_that_is_not_the_one_it_called(
    folder: Path, certificate: str
) -> None:
    """One for another address, a host that plays control node, one of another authority."""

    async def scenario() -> None:
        with capture_logs() as logs:
            async with (
                control_node(TlsFolder(folder / certificate).server()) as (server, port),
                agent("compute-1", port, client(folder, "compute-1")) as (_, heard),
            ):
                await until(lambda: heard.reasons)
                assert not server.plane.peers
        warned = [each for each in logs if "control" in each and each["log_level"] == "warning"]
        assert len(warned) == 1, logs
        assert "certificate is refused" in str(warned[0]["reason"])

    run(scenario)


async def _answer(port: int, *said: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for chunk in said:
            writer.write(chunk)
            await asyncio.sleep(0.02)
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read(-1)
    finally:
        writer.close()


def test_plain_text_gets_nothing_from_a_port_with_tls(folder: Path) -> None:
    async def scenario() -> None:
        with capture_logs() as logs:
            async with control_node(TlsFolder(folder / "control").server()) as (server, port):
                answer = await _answer(port, OPENING % b"compute-1", SUBSCRIBE)
                assert b"<required/>" in answer
                assert answer.endswith(b"</stream:stream>")
                injected = await _answer(port, OPENING % b"compute-1", REQUEST + SUBSCRIBE)
                assert b"proceed" not in injected
                garbage = await _answer(
                    port, OPENING % b"compute-1", REQUEST, b"GET / HTTP/1.1\r\n\r\n"
                )
                assert b"proceed" in garbage
                await until(lambda: not server.connections)
                assert not server.plane.peers
        assert "TLS is required" in repr(logs)

    run(scenario)


def test_no_certificate_is_refused_by_the_control_node(folder: Path) -> None:
    async def scenario() -> None:
        context = ssl.create_default_context(cafile=folder / "control" / "ca.pem")
        with capture_logs() as logs:
            async with control_node(TlsFolder(folder / "control").server()) as (server, port):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(OPENING % b"compute-1" + REQUEST)
                await reader.readuntil(b"proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
                with suppress(OSError):
                    await writer.start_tls(context, server_hostname="127.0.0.1")
                    writer.write(OPENING % b"compute-1")
                    assert not await reader.read(100)
                writer.close()
                await until(lambda: not server.connections)
                assert not server.plane.peers
        assert "peer did not return a certificate" in repr(logs)

    run(scenario)


def test_agents_of_the_two_kinds_do_not_mix(folder: Path) -> None:
    async def scenario() -> None:
        async with (
            control_node(TlsFolder(folder / "control").server()) as (server, port),
            agent("compute-1", port, None) as (_, heard),
        ):
            await until(lambda: any("requires TLS" in each for each in heard.reasons))
            assert not server.plane.peers
        async with (
            control_node(None) as (server, port),
            agent("compute-1", port, client(folder, "compute-1")) as (connection, _),
        ):
            await until(lambda: connection.row()["state"] == "negotiating")
            connection.send(Subscribe(RED, 1))
            assert not connection.is_established

    run(scenario)


def test_renewed_certificates_serve_the_next_sessions_and_leave_those_that_stand(
    folder: Path, tmp_path: Path
) -> None:
    authority, place = Authority(tmp_path / "authority"), tmp_path / "control"
    authority.issue_folder(place, "control-1", hosts=["127.0.0.1"])
    authority.issue_folder(tmp_path / "compute-1", "compute-1", is_client=True)
    former = (place / "certificate.pem").read_bytes()

    async def scenario() -> None:
        async with (
            control_node(TlsFolder(place).server()) as (server, port),
            agent("compute-1", port, client(tmp_path, "compute-1")) as (first, heard),
        ):
            await until(lambda: first.is_established)
            authority.issue_folder(place, "control-1", hosts=["127.0.0.1"])
            assert (place / "certificate.pem").read_bytes() != former
            # Now the hosts' authority is another one: who comes with the former is refused.
            replaced = Authority(tmp_path / "second")
            (place / "ca.pem").write_bytes(replaced.certificate_file.read_bytes())
            authority.issue_folder(tmp_path / "compute-2", "compute-2", is_client=True)
            async with agent("compute-2", port, client(tmp_path, "compute-2")) as (_, later):
                await until(lambda: later.reasons)
            assert first.is_established
            assert not heard.reasons
            # A file that does not fit leaves things as they are.
            (place / "ca.pem").write_text("no certificate")
            assert server.tls is not None
            server.tls.context()
            (place / "ca.pem").write_bytes(authority.certificate_file.read_bytes())
            async with agent("compute-2", port, client(tmp_path, "compute-2")) as (second, _):
                await until(lambda: second.is_established)

    run(scenario)


def test_a_thousand_half_open_handshakes_leave_a_session_alone(folder: Path) -> None:
    async def scenario() -> None:
        async with control_node(TlsFolder(folder / "control").server()) as (server, port):
            writers = []
            for _ in range(200):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(OPENING % b"compute-9" + REQUEST + b"")
                writers.append(writer)
            async with agent("compute-1", port, client(folder, "compute-1")) as (connection, _):
                await until(lambda: connection.is_established)
            for writer in writers:
                writer.close()
            await until(lambda: not server.connections)

    run(scenario)


def _cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "skytrail.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_secure_controller_takes_a_host_with_the_certificate_it_issued(tmp_path: Path) -> None:
    api, control, data = free_port(), free_port(), tmp_path / "data"
    refused = _cli("host-certificate", "compute-7", "--data", str(data), "--out", str(tmp_path))
    assert (refused.returncode, "--secure" in refused.stderr) == (2, True)
    up = ("--data", data, "--secure", "--control-listen", "0.0.0.0", "--analytics-port", "0")
    with Daemons(tmp_path) as daemons:
        daemons.start("up", *up, "--api-port", api, "--control-port", control)
        issued = _cli(
            "host-certificate", "compute-7", "--data", str(data), "--out", str(tmp_path / "tls")
        )
        assert issued.returncode == 0, issued.stderr
        assert (tmp_path / "tls" / "key.pem").stat().st_mode & 0o777 == 0o600
        table = tmp_path / "agent.sock"
        agent_of = (
            *("--control", f"127.0.0.1:{control}", "--underlay", "lo", "--address", "127.0.0.1"),
            *("--state", str(tmp_path / "state"), "--socket", str(table), "--datapath", "fake"),
            *("--plug-socket", str(tmp_path / "plug.sock"), "--xmpp-tls", str(tmp_path / "tls")),
        )
        daemons.start("agent", "--name", "compute-7", *agent_of)
        wait_until(lambda: read_table(table, "sessions")[0]["state"] == "established", "session")
        assert read_table(table, "sessions")[0]["encrypted"] is True
        daemons.kill("agent")
        daemons.start("agent", "--name", "compute-8", *agent_of)
        wait_until(lambda: "session_refused" in daemons.log("up"), "refusal")
        assert read_table(table, "sessions")[0]["state"] != "established"
    logs = daemons.log("up") + daemons.log("agent")
    assert "'compute-8' came with the certificate of compute-7" in logs
    for key in ("data/security/hosts/ca.key", "data/security/hosts/control/key.pem", "tls/key.pem"):
        assert (tmp_path / key).read_text().splitlines()[1] not in logs


def test_a_wildcard_for_agents_needs_a_secure_controller(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "skytrail.daemons.up", "--data", str(tmp_path)]
    told = subprocess.run(
        [*command, "--control-listen", "0.0.0.0"], capture_output=True, text=True, check=False
    )
    assert (told.returncode, "--control-listen needs --secure" in told.stderr) == (2, True)


@pytest.mark.parametrize("module", ["control", "agent"])
def test_daemons_do_not_start_with_files_they_cannot_use(tmp_path: Path, module: str) -> None:
    arguments = {
        "control": ["--name", "c", "--port", "0"],
        "agent": [
            *("--name", "h", "--control", "127.0.0.1", "--underlay", "lo"),
            *("--address", "127.0.0.1", "--state", str(tmp_path), "--datapath", "fake"),
            *("--socket", str(tmp_path / "a"), "--plug-socket", str(tmp_path / "p")),
        ],
    }[module]
    told = subprocess.run(
        [
            *(sys.executable, "-m", f"skytrail.daemons.{module}"),
            *arguments,
            *("--xmpp-tls", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 2
    assert str(tmp_path / "certificate.pem") in told.stderr
