"""The DNS channel over real sockets, with TLS and without: two agents, and the daemon's options."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
import uvloop

from skytrail.agent.io.xmpp import ControlConnection
from skytrail.control.dns import DnsPlane
from skytrail.control.io.xmpp import XmppServer
from skytrail.control.plane import ControlPlane
from skytrail.lab.io.machine import free_port
from skytrail.runtime.certificates import Authority
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.introspection import read_table
from skytrail.runtime.mutual_tls import MutualTls, TlsFolder
from skytrail.testing.dns_world import TENANT, dns_server, hosts_with_ports
from skytrail.wire.dns import RecordType, ResponseCode
from skytrail.wire.xmpp import DnsEntry, DnsReply, DnsRequest, DnsVerb, Message, Subscribe
from skytrail.wire.xmpp.dns_codec import DNS_JID

PATIENCE_S = 30.0
HOSTS = ("compute-1", "compute-2")


class Agent:
    """One that asks and tells as compatible agents do: its name with ``/dns`` behind."""

    def __init__(self, name: str, port: int, tls: MutualTls | None) -> None:
        self.replies: dict[int, DnsReply] = {}
        self.reasons: list[str] = []
        self.connection = ControlConnection(f"{name}/dns", ("127.0.0.1", port), self, tls)
        self._transaction = 0

    def session_established(self, source: str) -> None: ...

    def message_received(self, source: str, message: Message) -> None:
        assert isinstance(message, DnsReply)
        self.replies[message.transaction] = message

    def session_lost(self, source: str, reason: str) -> None:
        self.reasons.append(reason)

    async def send(self, verb: DnsVerb, entry: DnsEntry) -> DnsReply:
        self._transaction += 1
        number = self._transaction
        self.connection.send(DnsRequest(number, verb, TENANT, "demo.test", (entry,)))
        await until(lambda: number in self.replies)
        return self.replies[number]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nothing tells of a change
            await asyncio.sleep(0.01)


@asynccontextmanager
async def control_node(tls: MutualTls | None) -> AsyncIterator[tuple[XmppServer, int]]:
    plane = ControlPlane()
    dns = DnsPlane(plane, list.reverse)
    server = dns_server(TENANT, "demo.test", dynamic_records_from_client=True)
    plane.config_replace([server, *hosts_with_ports(*HOSTS)])
    plane.commit(1, 0.0)
    xmpp = XmppServer(dns, SystemClock(), 90.0, tls, jid=DNS_JID)
    listener = await xmpp.listen("127.0.0.1", 0, shares=2)
    try:
        yield xmpp, int(listener.sockets[0].getsockname()[1])
    finally:
        xmpp.close()
        listener.close()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def agent(name: str, port: int, tls: MutualTls | None = None) -> AsyncIterator[Agent]:
    made = Agent(name, port, tls)
    task = asyncio.ensure_future(made.connection.run())
    try:
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tls")
    authority = Authority(place / "authority")
    authority.issue_folder(place / "control", "control-1", hosts=["127.0.0.1"])
    for name in HOSTS:
        authority.issue_folder(place / name, name, hosts=[name], is_client=True)
    return place


RECORD = DnsEntry(1, RecordType.A, "vm.demo.test", "10.1.1.7", 60)
QUESTION = DnsEntry(1, RecordType.A, "vm.demo.test")


@pytest.mark.parametrize("secure", [False, True])
def test_what_one_agent_says_the_other_is_answered_until_the_session_ends(
    folder: Path, secure: bool
) -> None:
    def tls(name: str) -> MutualTls | None:
        return TlsFolder(folder / name).client() if secure else None

    async def scenario() -> None:
        node_tls = TlsFolder(folder / "control").server() if secure else None
        async with (
            control_node(node_tls) as (server, port),
            agent("compute-2", port, tls("compute-2")) as asker,
        ):
            async with agent("compute-1", port, tls("compute-1")) as teller:
                await until(lambda: len(server.by_name) == 2)
                assert sorted(server.by_name) == ["compute-1", "compute-2"]
                await until(lambda: teller.connection.is_established)
                await until(lambda: asker.connection.is_established)
                assert asker.connection.row()["peer"] == DNS_JID
                assert (await teller.send(DnsVerb.UPDATE, RECORD)).code == ResponseCode.NO_ERROR
                reply = await asker.send(DnsVerb.QUERY, QUESTION)
                assert (reply.code, reply.entries) == (ResponseCode.NO_ERROR, (RECORD,))
            await until(lambda: len(server.by_name) == 1)
            assert (await asker.send(DnsVerb.QUERY, QUESTION)).code == ResponseCode.NAME_ERROR

    uvloop.run(scenario())


def test_an_agent_with_the_certificate_of_another_says_nothing(folder: Path) -> None:
    async def scenario() -> None:
        tls = TlsFolder(folder / "compute-1").client()
        async with (
            control_node(TlsFolder(folder / "control").server()) as (server, port),
            agent("compute-2", port, tls) as pretender,
        ):
            await until(lambda: server.refused_count)
            assert not server.by_name
            assert not pretender.connection.is_established

    uvloop.run(scenario())


def test_routes_on_this_connection_end_it_and_no_other() -> None:
    async def scenario() -> None:
        async with (
            control_node(None) as (server, port),
            agent("compute-1", port) as wrong,
            agent("compute-2", port) as right,
        ):
            await until(lambda: wrong.connection.is_established)
            await until(lambda: right.connection.is_established)
            wrong.connection.send(Subscribe("a:b:c:c", 1))
            await until(lambda: wrong.reasons)
            assert (await right.send(DnsVerb.QUERY, QUESTION)).code == ResponseCode.NAME_ERROR
            assert not right.reasons
            assert server.by_name

    uvloop.run(scenario())


def test_the_daemon_answers_where_it_is_told_to_and_shows_who_asked(tmp_path: Path) -> None:
    port, control_socket = free_port(), tmp_path / "control.sock"
    command = [sys.executable, "-m", "skytrail.daemons.control", "--name", "n1"]
    # Nobody answers there: the configuration is not known, and the node says so to who asks.
    options = ["--api-url", "http://127.0.0.1:9", "--listen", "127.0.0.1", "--port", "0"]
    dns = ["--dns-listen", "127.0.0.1", "--dns-port", str(port), "--socket", str(control_socket)]

    async def scenario() -> None:
        async with agent("compute-1", port) as asker:
            await until(lambda: asker.connection.is_established)
            reply = await asker.send(DnsVerb.QUERY, QUESTION)
            assert reply.code == ResponseCode.SERVER_FAILURE
            (row,) = await asyncio.to_thread(read_table, str(control_socket), "dns_peers")
            assert (row["name"], row["queries"]) == ("compute-1", 1)

    with ExitStack() as stack:
        command += ["--log-json"]
        log = stack.enter_context((tmp_path / "log").open("w"))
        running = subprocess.Popen(
            [*command, *options, *dns], stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert running.stdout is not None
        stack.callback(running.stdout.close)
        stack.callback(running.wait)
        stack.callback(running.terminate)
        assert " ready" in running.stdout.readline(), (tmp_path / "log").read_text()
        uvloop.run(scenario())
        said = [line for line in (tmp_path / "log").read_text().splitlines() if "compute-1" in line]
        assert said
        assert all('"channel":"dns"' in line.replace(" ", "") for line in said)
        transport = httpx.HTTPTransport(uds=str(control_socket))
        with httpx.Client(transport=transport) as client:
            assert "control_dns_queries_total 1" in client.get("http://control/metrics").text
