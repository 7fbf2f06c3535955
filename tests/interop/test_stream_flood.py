"""A client that opens streams without end is stopped at its own number; others are served."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from skytrail.testing.controller import Daemons

LIMIT = 20


@pytest.fixture(scope="module", params=["api", "analytics"])
def served(request, tmp_path_factory):
    """(port, path of a stream, path of a short request) of a daemon that is not told who asks."""
    stream, short = {
        "api": ("/api/v1/watch", "/virtual-networks"),
        "analytics": ("/analytics/uve-stream", "/analytics/uves"),
    }[request.param]
    folder = tmp_path_factory.mktemp("store")
    data = ["--data", folder / "data"] if request.param == "api" else []
    with Daemons(folder) as daemons:
        told = daemons.start(request.param, "--port", 0, *data, "--streams-per-client", LIMIT)
        yield int(told["port" if request.param == "api" else "rest"]), stream, short


def opened(port, path, source="127.0.0.1"):
    """A connection with a request on it, and the first of the answer."""
    connection = socket.create_connection(
        ("127.0.0.1", port), timeout=20, source_address=(source, 0)
    )
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer or (b" 429 " in answer and b"--streams" not in answer):
        answer += connection.recv(65536)
    return connection, answer.decode()


def status_of(answer):
    return int(answer.split()[1])


def test_flood_of_streams_ends_at_the_client_s_number(served):
    port, stream, short = served
    with contextlib.ExitStack() as held:
        statuses = []
        for _ in range(10 * LIMIT):
            connection, answer = opened(port, stream)
            held.callback(connection.close)
            statuses.append(status_of(answer))
            last = answer
        other, of_other = opened(port, stream, source="127.0.0.2")
        held.callback(other.close)
        plain, of_plain = opened(port, short)
        held.callback(plain.close)

        assert statuses == [200] * LIMIT + [429] * (9 * LIMIT)
        assert "retry-after: 5" in last
        assert "--streams-per-client" in last
        assert status_of(of_other) == 200
        assert status_of(of_plain) == 200

    # A stream that was closed leaves room, once the server has noticed.
    deadline = time.monotonic() + 20
    while True:
        connection, answer = opened(port, stream)
        connection.close()
        if status_of(answer) == 200:
            break
        assert time.monotonic() < deadline, answer
