"""etcd members for tests and benches: real processes on free loopback ports, ended by their pid."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self, TypeVar
from urllib.request import urlopen

from skytrail.store.location import EtcdLocation

PROGRAM = shutil.which("etcd")
START_TIMEOUT_S = 30.0
T = TypeVar("T")


class EtcdMember:
    """One member; may be killed and started again on the same data."""

    def __init__(
        self, name: str, folder: Path, ports: tuple[int, int], flags: Sequence[str]
    ) -> None:
        self.name = name
        self.endpoint = f"127.0.0.1:{ports[0]}"
        self.peer_url = f"http://127.0.0.1:{ports[1]}"
        self._folder = folder
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, cluster: str) -> None:
        """Start it; the cluster is every member's ``name=peer url``."""
        url = f"http://{self.endpoint}"
        with (self._folder.parent / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    PROGRAM or "etcd", "--name", self.name, "--data-dir", str(self._folder),
                    "--listen-client-urls", url, "--advertise-client-urls", url,
                    "--listen-peer-urls", self.peer_url,
                    "--initial-advertise-peer-urls", self.peer_url,
                    "--initial-cluster", cluster, "--max-txn-ops", "100000",
                    "--max-request-bytes", "33554432", "--logger", "zap", *self._flags,
                ],
                stdout=log, stderr=log,
            )  # fmt: skip

    def is_healthy(self) -> bool:
        try:
            with urlopen(f"http://{self.endpoint}/health", timeout=1) as reply:
                return b'"true"' in reply.read()
        except OSError:
            return False

    def is_leader(self) -> bool:
        try:
            with urlopen(f"http://{self.endpoint}/metrics", timeout=1) as reply:
                return b"\netcd_server_is_leader 1\n" in reply.read()
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL; nothing is tidied up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop it without ending it: for the others that is a member cut off."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)


class EtcdCluster:
    """Members that know each other; a context manager that ends all of them."""

    def __init__(self, folder: Path, *, size: int = 1, fast: bool = False) -> None:
        flags = ("--heartbeat-interval", "20", "--election-timeout", "200") if fast else ()
        ports = _free_ports(2 * size)
        self.members = [
            EtcdMember(f"e{number}", folder / f"e{number}", ports[number], flags)
            for number in range(size)
        ]
        self._names = ",".join(f"{each.name}={each.peer_url}" for each in self.members)

    @property
    def location(self) -> EtcdLocation:
        return EtcdLocation(tuple(each.endpoint for each in self.members))

    def __enter__(self) -> Self:
        for member in self.members:
            member.start(self._names)
        self.wait_healthy()
        return self

    def __exit__(self, *_reason: object) -> None:
        for member in self.members:
            member.resume()
            member.kill()

    def start(self, member: EtcdMember) -> None:
        """Start a killed member again."""
        member.start(self._names)

    def leader(self) -> EtcdMember:
        """Return the present leader, waiting for one."""
        return _until(lambda: next((each for each in self.members if each.is_leader()), None))

    def wait_healthy(self) -> None:
        """Return once every member is up and follows a leader."""
        _until(lambda: all(each.is_healthy() for each in self.members) or None)


def _until(look: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.02)
    raise TimeoutError("etcd did not get there in time; see the .log files beside its data")


def _free_ports(count: int) -> list[tuple[int, int]]:
    with ExitStack() as held:
        ports: list[int] = []
        for _ in range(count):
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    return list(zip(ports[::2], ports[1::2], strict=True))
