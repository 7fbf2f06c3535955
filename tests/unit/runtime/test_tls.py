"""A live TLS server on loopback: certificates are taken over without a restart."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from skytrail.runtime import server as server_module
from skytrail.runtime.asgi import AsgiApp, Request, json_reply
from skytrail.runtime.certificates import Authority
from skytrail.runtime.server import listen_tcp, listen_unix, serve
from skytrail.runtime.tls import TlsFiles, TlsUnusable, server_context


async def about_the_connection(request: Request):
    certificate = request.peer.certificate
    return json_reply(
        {
            "scheme": request.scheme,
            "uid": request.peer.uid,
            "subject": None if certificate is None else certificate["subject"],
        }
    )


@asynccontextmanager
async def served(files: TlsFiles, place: Path | None = None) -> AsyncIterator[int]:
    listeners = [listen_tcp("127.0.0.1", 0)]
    if place is not None:
        listeners.append(listen_unix(place))
    port, ready = listeners[0].getsockname()[1], asyncio.Event()
    task = asyncio.ensure_future(
        serve(AsgiApp(about_the_connection), listeners, when_ready=ready.set, tls=files)
    )
    async with asyncio.timeout(10):
        await ready.wait()
    try:
        yield port
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"content-length" in line
    )
    return (await reader.readexactly(length)).decode()


async def connect(port: int, context: ssl.SSLContext):
    async with asyncio.timeout(10):
        return await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )


def serial_of(writer: asyncio.StreamWriter) -> str:
    return writer.get_extra_info("peercert")["serialNumber"]


@pytest.fixture
def made(tmp_path: Path):
    authority = Authority(tmp_path)
    files = TlsFiles(tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "ca.pem")
    authority.issue(files.certificate, files.key, "server", hosts=["localhost", "127.0.0.1"])
    return authority, files, ssl.create_default_context(cafile=tmp_path / "ca.pem")


def test_a_changed_certificate_serves_new_connections_and_keeps_the_open_ones(
    made, monkeypatch
) -> None:
    authority, files, context = made
    monkeypatch.setattr(server_module, "CERTIFICATES_EVERY_S", 0.01)

    async def scenario() -> None:
        async with served(files) as port:
            reader, writer = await connect(port, context)
            before = serial_of(writer)
            authority.issue(files.certificate, files.key, "server", hosts=["localhost"])
            async with asyncio.timeout(10):
                while True:
                    _, other = await connect(port, context)
                    after = serial_of(other)
                    other.close()
                    if after != before:
                        break
            assert '"scheme":"https"' in await ask(reader, writer)
            writer.close()

    asyncio.run(scenario())


def test_what_an_acceptor_has_just_accepted_outlives_it() -> None:
    async def scenario() -> bytes:
        async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            await writer.drain()
            writer.close()

        acceptor = await asyncio.start_server(greet, "127.0.0.1", 0)
        with socket.create_connection(acceptor.sockets[0].getsockname()) as client:
            client.setblocking(False)
            await asyncio.sleep(0)  # The loop sees the client ...
            await asyncio.sleep(0)  # ... and has accepted, but not attached it.
            await server_module._retire(acceptor)
            async with asyncio.timeout(10):
                return await asyncio.get_running_loop().sock_recv(client, 5)

    assert asyncio.run(scenario()) == b"hello"


def test_unusable_files_leave_the_old_certificate_in_place(made, monkeypatch) -> None:
    _, files, context = made
    monkeypatch.setattr(server_module, "CERTIFICATES_EVERY_S", 0.01)

    async def scenario() -> None:
        async with served(files) as port:
            files.key.write_text("nonsense")
            for _ in range(5):
                await asyncio.sleep(0.01)
                _, writer = await connect(port, context)
                writer.close()

    asyncio.run(scenario())


def test_plain_requests_to_the_tls_port_get_nothing_and_the_unix_socket_stays_plain(
    made, tmp_path
) -> None:
    _, files, _ = made

    async def scenario() -> None:
        async with served(files, tmp_path / "s") as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            async with asyncio.timeout(10):
                assert b"HTTP/1.1 200" not in await reader.read()
            plain = await asyncio.open_unix_connection(tmp_path / "s")
            assert '"scheme":"http"' in await ask(*plain)
            assert f'"uid":{os.geteuid()}' in await ask(*plain)
            plain[1].close()

    asyncio.run(scenario())


def test_client_certificates_are_asked_for_verified_and_handed_over(made, tmp_path) -> None:
    authority, files, context = made
    authority.issue(tmp_path / "c.pem", tmp_path / "c.key", "compiler")
    stranger = Authority(tmp_path / "other")
    stranger.issue(tmp_path / "x.pem", tmp_path / "x.key", "compiler")

    async def scenario() -> None:
        async with served(files) as port:
            reader, writer = await connect(port, context)
            assert '"subject":null' in await ask(reader, writer)
            writer.close()

            with_one = ssl.create_default_context(cafile=files.client_ca)
            with_one.load_cert_chain(tmp_path / "c.pem", tmp_path / "c.key")
            reader, writer = await connect(port, with_one)
            assert '"subject":[[["commonName","compiler"]]]' in await ask(reader, writer)
            writer.close()

            foreign = ssl.create_default_context(cafile=files.client_ca)
            foreign.load_cert_chain(tmp_path / "x.pem", tmp_path / "x.key")
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await ask(*await connect(port, foreign))

    asyncio.run(scenario())


def test_old_protocol_versions_are_not_spoken(made) -> None:
    _, files, _ = made

    assert server_context(files).minimum_version == ssl.TLSVersion.TLSv1_2


def test_missing_foreign_or_encrypted_files_are_named(made, tmp_path) -> None:
    authority, files, _ = made
    authority.issue(tmp_path / "b.pem", tmp_path / "b.key", "b", hosts=["b"])
    for wrong in (
        TlsFiles(tmp_path / "none.pem", files.key),
        TlsFiles(files.certificate, tmp_path / "b.key"),
        TlsFiles(files.certificate, files.key, tmp_path / "none.pem"),
    ):
        with pytest.raises(TlsUnusable, match="cannot serve TLS with"):
            server_context(wrong)


def test_keys_are_for_their_owner_only(made) -> None:
    _, files, _ = made
    folder = files.key.parent

    for name in ("ca.key", "server.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_an_authority_is_kept_when_it_is_there(made) -> None:
    authority, files, _ = made
    before = authority.certificate_file.read_bytes()

    Authority(files.key.parent)

    assert authority.certificate_file.read_bytes() == before
