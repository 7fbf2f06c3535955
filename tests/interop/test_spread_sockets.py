"""Sockets of one UDP port: who floods fills its own buffer, and a port that is taken is refused."""

from __future__ import annotations

import errno
import socket

import pytest

from skytrail.analytics.io.spread_sockets import SOCKETS_COUNT, bound_sockets
from skytrail.lab.io.machine import free_port

FLOOD_COUNT = 5_000


@pytest.mark.parametrize(("listen", "prefix"), [("127.0.0.1", ""), ("::", "::ffff:")])
def test_flood_of_one_sender_leaves_the_datagrams_of_others(listen: str, prefix: str) -> None:
    port = free_port()
    bound = bound_sockets(listen, port, 4096)
    try:
        _send("127.0.0.9", port, [bytes(1000)] * FLOOD_COUNT)
        for number in range(10, 110):
            _send(f"127.0.0.{number}", port, [b"honest"])

        heard = [sorted(_heard(each)) for each in bound]
        flooded = [each for each in heard if f"{prefix}127.0.0.9" in each]
        honest = {sender for each in heard for sender in each} - {f"{prefix}127.0.0.9"}
        assert len(flooded) == 1
        assert sum(map(len, heard)) < FLOOD_COUNT
        # Of a hundred addresses all sixteen sockets have some; those of one may be the flood's.
        assert sum(1 for each in heard if each) > SOCKETS_COUNT / 2
        assert len(honest) >= 75
    finally:
        for each in bound:
            each.close()


def test_senders_of_ipv6_are_heard() -> None:
    port = free_port()
    bound = bound_sockets("::1", port, 65536)
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"six", ("::1", port))
        assert [each for one in bound for each in _heard(one)] == ["::1"]
    finally:
        for each in bound:
            each.close()


def test_port_that_somebody_has_is_refused() -> None:
    port = free_port()
    bound = bound_sockets("127.0.0.1", port, 4096)
    try:
        with pytest.raises(OSError, match="in use") as refused:
            bound_sockets("127.0.0.1", port, 4096)
        assert refused.value.errno == errno.EADDRINUSE
    finally:
        for each in bound:
            each.close()


def _send(source: str, port: int, datagrams: list[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        for each in datagrams:
            sender.sendto(each, ("127.0.0.1", port))


def _heard(bound: socket.socket) -> list[str]:
    heard: list[str] = []
    while True:
        try:
            _, sender = bound.recvfrom(2048)
        except BlockingIOError:
            return heard
        heard.append(str(sender[0]))
