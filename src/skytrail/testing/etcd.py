"""etcd members for tests and benches: real processes on free loopback ports, ended by their pid."""

from __future__ import annotations

import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self, TypeVar

import httpx

from skytrail.lab.io.machine import free_port
from skytrail.runtime.certificates import Authority
from skytrail.store.location import EtcdLocation, EtcdTls, EtcdUser

PROGRAM = shutil.which("etcd")
CONTROL = shutil.which("etcdctl")
ROOT = "root:of tests"
"""Name and password of the user who makes the others."""
START_TIMEOUT_S = 30.0
T = TypeVar("T")


class EtcdFiles:
    """An authority, a certificate of the members and one of a client, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = Authority(folder)
        self.ca = authority.certificate_file
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        authority.issue(self.certificate, self.key, "etcd", hosts=["127.0.0.1", "localhost"])
        self.client_certificate, self.client_key = folder / "client.pem", folder / "client.key"
        authority.issue(self.client_certificate, self.client_key, "skytrail")

    @property
    def tls(self) -> EtcdTls:
        """Return what a client uses that has a certificate."""
        return EtcdTls(self.ca, self.client_certificate, self.client_key)

    def flags(self, *, wants_certificate: bool) -> tuple[str, ...]:
        """Return the options that have a member serve TLS, and ask its clients for theirs."""
        own = ("--cert-file", str(self.certificate), "--key-file", str(self.key))
        if not wants_certificate:
            return own
        return (*own, "--client-cert-auth", "--trusted-ca-file", str(self.ca))

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.client_certificate, self.client_key)
        return context


class EtcdMember:
    """One member; may be killed and started again on the same data."""

    def __init__(
        self,
        name: str,
        folder: Path,
        ports: tuple[int, int],
        flags: Sequence[str],
        files: EtcdFiles | None = None,
    ) -> None:
        self.name = name
        self.url = f"{'https' if files else 'http'}://127.0.0.1:{ports[0]}"
        self._context = False if files is None else files.context()
        self.endpoint = f"127.0.0.1:{ports[0]}"
        self.peer_url = f"http://127.0.0.1:{ports[1]}"
        self._folder = folder
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, cluster: str) -> None:
        """Start it; the cluster is every member's ``name=peer url``."""
        with (self._folder.parent / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    PROGRAM or "etcd", "--name", self.name, "--data-dir", str(self._folder),
                    "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                    "--listen-peer-urls", self.peer_url,
                    "--initial-advertise-peer-urls", self.peer_url,
                    "--initial-cluster", cluster, "--max-txn-ops", "100000",
                    "--max-request-bytes", "33554432", "--logger", "zap", *self._flags,
                ],
                stdout=log, stderr=log,
            )  # fmt: skip

    def trust(self, files: EtcdFiles) -> None:
        """Use these files from now on to look at the member."""
        self._context = files.context()

    def is_healthy(self) -> bool:
        return '"true"' in self._page("health")

    def is_leader(self) -> bool:
        return "\netcd_server_is_leader 1\n" in self._page("metrics")

    def _page(self, name: str) -> str:
        try:
            url = f"{self.url}/{name}"
            return httpx.get(url, verify=self._context, timeout=1, trust_env=False).text
        except httpx.HTTPError:
            return ""

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

    def __init__(
        self,
        folder: Path,
        *,
        size: int = 1,
        fast: bool = False,
        files: EtcdFiles | None = None,
        wants_certificate: bool = True,
        flags: Sequence[str] = (),
    ) -> None:
        """Members with these files serve TLS, and unless told otherwise want certificates."""
        self._files = files
        flags = (*flags, *(("--heartbeat-interval", "20", "--election-timeout", "200") * fast))
        if files is not None:
            flags = (*flags, *files.flags(wants_certificate=wants_certificate))
        ports = _free_ports(2 * size)
        self.members = [
            EtcdMember(f"e{number}", folder / f"e{number}", ports[number], flags, files)
            for number in range(size)
        ]
        self._names = ",".join(f"{each.name}={each.peer_url}" for each in self.members)

    @property
    def location(self) -> EtcdLocation:
        endpoints = tuple(each.endpoint for each in self.members)
        return EtcdLocation(endpoints, None if self._files is None else self._files.tls)

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

    def control(self, *arguments: str, user: str = "", stdin: str = "") -> str:
        """Run etcdctl; return what it prints."""
        command = [CONTROL or "etcdctl", "--endpoints", self.members[0].url]
        if self._files is not None:
            tls = self._files.tls
            command += ["--cacert", str(tls.ca), "--cert", str(tls.cert), "--key", str(tls.key)]
        if user:
            command += ["--user", user]
        ran = subprocess.run(
            [*command, *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
            input=stdin,
        )
        return ran.stdout

    def enable_auth(self, user: str, password_file: Path) -> EtcdUser:
        """Turn authentication on, with one user that may do everything a store does."""
        password = password_file.read_text(encoding="utf-8").rstrip("\n")
        self.control("user", "add", ROOT)
        self.control("user", "add", f"{user}:{password}")
        self.control("role", "add", "store")
        self.control("role", "grant-permission", "store", "readwrite", "--prefix=true", "")
        self.control("user", "grant-role", user, "store")
        self.control("user", "grant-role", "root", "root")
        self.control("auth", "enable")
        return EtcdUser(user, password_file)

    def as_root(self, *arguments: str, stdin: str = "") -> str:
        """Run etcdctl as root, once authentication is on."""
        return self.control(*arguments, user=ROOT, stdin=stdin)

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
    ports: list[int] = []
    for _ in range(count):
        ports.append(free_port(taken=ports))
    return list(zip(ports[::2], ports[1::2], strict=True))
