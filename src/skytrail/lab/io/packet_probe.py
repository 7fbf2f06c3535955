"""Sends a probe out of a workload's own interface while every host of the lab captures."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from skytrail.lab.io import netns
from skytrail.wire.errors import DecodeError
from skytrail.wire.pcapng import Reader, ReadPacket
from skytrail.wire.probe import TOKEN_BYTES

WAIT_S = 3.0
"""Nothing is expected after this time."""
QUIET_S = 0.5
"""Nor after so much silence, once the probe was seen."""
_SOURCE_PORTS = (40_000, 60_000)


class ProbeFailed(Exception):
    """A host cannot capture, or the probe cannot be sent; the text says which."""


def make_token() -> bytes:
    return os.urandom(TOKEN_BYTES)


def source_port() -> int:
    """Return a port that hardly belongs to a connection the workload has."""
    return random.randrange(*_SOURCE_PORTS)


class _Watch(threading.Thread):
    """One host's capture; ``ready`` when it is on."""

    def __init__(self, path: Path, query: Mapping[str, str]) -> None:
        super().__init__(daemon=True)
        self.ready = threading.Event()
        self.seen: list[ReadPacket] = []
        self.problem = ""
        self._path, self._query = path, {**query, "seconds": str(int(WAIT_S) + 2)}

    def run(self) -> None:
        transport = httpx.HTTPTransport(uds=str(self._path), verify=False)
        reader = Reader()
        try:
            with (
                httpx.Client(transport=transport, timeout=WAIT_S * 3, trust_env=False) as client,
                client.stream("GET", "http://agent/capture", params=self._query) as reply,
            ):
                if reply.status_code != 200:
                    reply.read()
                    self.problem = reply.text
                    return
                for part in reply.iter_raw():
                    self.seen += reader.feed(part)
                    self.ready.set()
        except (httpx.HTTPError, DecodeError) as error:
            self.problem = str(error)
        finally:
            self.ready.set()


def observe(
    hosts: Mapping[str, Path],
    query: Mapping[str, str],
    send: Callable[[], None],
    is_probe: Callable[[ReadPacket], bool],
) -> dict[str, list[ReadPacket]]:
    """Return what each host saw of the probe that ``send`` sends. ``ProbeFailed``."""
    watches = {name: _Watch(path, query) for name, path in hosts.items()}
    for watch in watches.values():
        watch.start()
    for name, watch in watches.items():
        if not watch.ready.wait(WAIT_S * 3) or watch.problem:
            raise ProbeFailed(f"{name} does not capture: {watch.problem or 'no answer'}")
    send()
    end, last, count = time.monotonic() + WAIT_S, time.monotonic(), 0
    while time.monotonic() < end:
        time.sleep(0.02)
        found = sum(is_probe(packet) for watch in watches.values() for packet in list(watch.seen))
        if found != count:
            count, last = found, time.monotonic()
        if count and time.monotonic() - last > QUIET_S:
            break
    return {name: list(watch.seen) for name, watch in watches.items()}


def send_from(namespace: str, ifname: str, frame: bytes) -> None:
    """Send one frame as the workload would."""
    try:
        with (
            netns.entered(namespace),
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as mouth,
        ):
            mouth.bind((ifname, 0))
            mouth.send(frame)
    except OSError as error:
        raise ProbeFailed(f"cannot send from {ifname} in {namespace}: {error}") from error
