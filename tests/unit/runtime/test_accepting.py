"""Connections over TLS are served however busy the loop is, on the loops that daemons and tests use."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from contextlib import suppress

import pytest
import uvloop

from skytrail.runtime.accepting import Acceptor, address_of, streams_of
from skytrail.runtime.certificates import Authority
from skytrail.runtime.mutual_tls import TlsFolder
from skytrail.runtime.server import listen_tcp, listen_unix

BUSY_S = 0.02
COUNT = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("tls")
    authority = Authority(place / "authority")
    authority.issue_folder(place / "node", "node1", hosts=["127.0.0.1"])
    authority.issue_folder(place / "h1", "h1", hosts=["h1"], is_client=True)
    return place


async def echo(accepted, context):
    reader, writer = await streams_of(accepted, context, 1024)
    writer.write(await reader.read(64))
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def ask(port, folder, answers):
    for _ in range(COUNT):
        with socket.create_connection(("127.0.0.1", port), 10.0) as plain:
            context = ssl.create_default_context(cafile=folder / "h1" / "ca.pem")
            context.load_cert_chain(folder / "h1" / "certificate.pem", folder / "h1" / "key.pem")
            # The first bytes are there before a busy server has accepted the connection.
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as stream:
                stream.sendall(b"hello")
                answers.append(stream.recv(64))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_handshake_that_comes_before_it_is_accepted_is_heard(folder, run):
    answers = []

    async def scenario():
        tls = TlsFolder(folder / "node").server()
        listener = listen_tcp("127.0.0.1", 0)
        async with Acceptor(listener, lambda accepted: echo(accepted, tls.context())):
            arguments = (listener.getsockname()[1], folder, answers)
            asking = threading.Thread(target=ask, args=arguments)
            asking.start()
            while asking.is_alive():
                time.sleep(BUSY_S)  # noqa: ASYNC251 - a loop that is busy with something else
                await asyncio.sleep(0)

    run(scenario())

    assert answers == [b"hello"] * COUNT


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_connection_that_is_no_handshake_ends_and_others_are_served(folder, run):
    async def scenario():
        tls, failures = TlsFolder(folder / "node").server(), []

        async def connected(accepted):
            try:
                await echo(accepted, tls.context())
            except OSError as error:
                failures.append(error)

        listener = listen_tcp("127.0.0.1", 0)
        async with Acceptor(listener, connected):
            port = listener.getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            with suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 10.0)
            writer.close()
            answers = []
            await asyncio.to_thread(ask, port, folder, answers)
            assert answers == [b"hello"] * COUNT
        # Clients that close without a word of TLS may be resets.
        assert [each for each in failures if isinstance(each, ssl.SSLError)] == failures[:1]

    run(scenario())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_unix_connections_have_no_address_and_end_with_the_acceptor(tmp_path, run):
    async def scenario():
        addresses = []

        async def connected(accepted):
            _, writer = await streams_of(accepted, None, 1024)
            addresses.append(address_of(accepted))
            is_here.set()
            try:
                await asyncio.Event().wait()
            finally:
                writer.close()

        is_here = asyncio.Event()
        async with Acceptor(listen_unix(tmp_path / "s"), connected):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
            await is_here.wait()
        assert addresses == [""]
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(OSError, match=r"refused|No such"):
            await asyncio.open_unix_connection(tmp_path / "s")

    run(scenario())
