"""Real BGP daemons beside ours, in one network namespace with an address for each.

FRR, BIRD and GoBGP are Debian's. Each runs in the foreground as a child of the test, writes below
the test's folder, and ends with it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

OURS, FRR, BIRD, GOBGP, OURS2, GOBGP2, RAW, RAW2, EXABGP = (
    f"10.9.0.{number}" for number in range(1, 10)
)
OURS6, FRR6, BIRD6, GOBGP6 = (f"fd09::{number}" for number in range(1, 5))
FAR_SIDE, FAR = "10.9.1.1", "10.9.1.2"
FAR_SIDE6, FAR6 = "fd09:1::1", "fd09:1::2"
DEADLINE_S = 30.0
_GOBGP_GLOBAL = """
[global.config]
  as = {asn}
  router-id = "{address}"
  local-address-list = ["{address}"]
"""
_GOBGP_NEIGHBOUR = """
[[neighbors]]
  [neighbors.config]
    neighbor-address = "{neighbour}"
    peer-as = {asn}
{settings}
  [neighbors.transport.config]
    local-address = "{address}"
  [neighbors.timers.config]
    connect-retry = 1
"""
_GOBGP_FAMILY = """
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "{family}"
"""

T = TypeVar("T")


def eventually(probe: Callable[[], T | None], what: str) -> T:
    """Return the first result of ``probe`` that is true; fail with ``what`` after a while."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {DEADLINE_S} s: {what}")
        time.sleep(0.1)


@dataclass
class Bench:
    """The namespace and the processes in it."""

    folder: Path
    address: str = FRR
    """FRR's."""
    ipv6_address: str = FRR6
    """FRR's as well."""
    namespace: str = field(default_factory=lambda: f"stb{secrets.token_hex(3)}")
    _open_folders: list[Path] = field(default_factory=list[Path])
    _running: dict[str, subprocess.Popen[bytes]] = field(
        default_factory=dict[str, subprocess.Popen[bytes]]
    )

    def create(self) -> None:
        _run("ip", "netns", "add", self.namespace)
        _run("ip", "-n", self.namespace, "link", "set", "lo", "up")
        for address in (OURS, FRR, BIRD, GOBGP, OURS2, GOBGP2, RAW, RAW2, EXABGP):
            _run("ip", "-n", self.namespace, "addr", "add", f"{address}/24", "dev", "lo")
        for address in (OURS6, FRR6, BIRD6, GOBGP6):
            _run("ip", "-n", self.namespace, "addr", "add", f"{address}/64", "dev", "lo")

    def create_far(self) -> Bench:
        """Return another namespace, one hop away, where a daemon may take any address's ports."""
        far = Bench(self.folder / "far", address=FAR, ipv6_address=FAR6)
        far.folder.mkdir()
        _run("ip", "netns", "add", far.namespace)
        _run(
            "ip", "-n", self.namespace, "link", "add", "far", "type", "veth",
            "peer", "name", "near", "netns", far.namespace,
        )  # fmt: skip
        for name, device, address in (
            (self.namespace, "far", FAR_SIDE),
            (far.namespace, "near", FAR),
        ):
            _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", device)
            _run("ip", "-n", name, "link", "set", device, "up")
        for name, device, address in (
            (self.namespace, "far", FAR_SIDE6),
            (far.namespace, "near", FAR6),
        ):
            _run("ip", "-n", name, "addr", "add", f"{address}/64", "dev", device, "nodad")
        _run("ip", "-n", far.namespace, "link", "set", "lo", "up")
        _run("ip", "-n", far.namespace, "route", "add", "10.9.0.0/24", "via", FAR_SIDE)
        _run("ip", "-n", far.namespace, "route", "add", "fd09::/64", "via", FAR_SIDE6)
        return far

    def close(self) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for place in self._open_folders:
            shutil.rmtree(place, ignore_errors=True)
        _run("ip", "netns", "del", self.namespace)

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(self._inside(*command), stdout=log, stderr=log)
        self._running[name] = process
        return process

    def kill(self, name: str) -> None:
        """End a daemon so suddenly that it can say nothing."""
        process = self._running.pop(name)
        process.kill()
        process.wait(5)
        for leftover in (*self.folder.glob("*.vty"), *self.folder.glob("bird.ctl")):
            leftover.unlink()

    def output(self, *command: str) -> str:
        done = subprocess.run(
            self._inside(*command),
            capture_output=True,
            # GoBGP prints attributes that it does not know as they came.
            encoding="utf-8",
            errors="backslashreplace",
            check=False,
            timeout=20,
        )
        return done.stdout

    def _inside(self, *command: str) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.namespace}", *command]

    # FRR

    def start_frr(self, config: str, *, with_zebra: bool = False) -> subprocess.Popen[bytes]:
        """Start bgpd; ``config`` is the body of frr.conf.

        With zebra it knows which routes the kernel has, and believes in no others.
        """
        place = self.folder / "frr.conf"
        place.write_text(config)
        kernel = ("--socket", str(self._start_zebra())) if with_zebra else ("--no_zebra",)
        process = self.start(
            "frr",
            "/usr/lib/frr/bgpd", *kernel, "--skip_runas", "--vty_port", "0",
            "--vty_socket", str(self.folder), "--pid_file", str(self.folder / "bgpd.pid"),
            "--config_file", str(place), "--listenon", self.address,
            "--listenon", self.ipv6_address, "--log", "stdout",
        )  # fmt: skip
        eventually((self.folder / "bgpd.vty").exists, "bgpd's vty")
        return process

    def _start_zebra(self) -> Path:
        """Start zebra, which sees this namespace only; returns where bgpd finds it."""
        place = self._open_folder("zebra")
        (place / "zebra.conf").write_text("")
        self.start(
            "zebra",
            "/usr/lib/frr/zebra", "--vty_port", "0", "--vty_socket", str(place),
            "--pid_file", str(place / "zebra.pid"), "--config_file", str(place / "zebra.conf"),
            "--socket", str(place / "zserv.api"), "--log", "stdout",
        )  # fmt: skip
        eventually((place / "zserv.api").exists, "zebra's socket")
        return place / "zserv.api"

    def _open_folder(self, daemon: str) -> Path:
        """Return a new folder for a daemon that gives up being root."""
        place = Path(tempfile.mkdtemp(prefix=f"{daemon}-"))
        self._open_folders.append(place)
        shutil.chown(place, "frr", "frr")
        return place

    def start_bfdd(self, config: str) -> None:
        """Start FRR's bfdd."""
        place = self._open_folder("bfdd")
        (place / "bfdd.conf").write_text(config)
        self.start(
            "bfdd",
            "/usr/lib/frr/bfdd", "--vty_port", "0", "--vty_socket", str(place),
            "--pid_file", str(place / "bfdd.pid"), "--config_file", str(place / "bfdd.conf"),
            "--bfdctl", str(place / "bfdd.sock"), "--log", "stdout",
        )  # fmt: skip
        eventually((place / "bfdd.vty").exists, "bfdd's vty")

    def bfdd(self, *commands: str) -> str:
        place = self._open_folders[-1]
        arguments = [word for command in commands for word in ("-c", command)]
        return self.output("vtysh", "--vty_socket", str(place), "-d", "bfdd", *arguments)

    def frr(self, command: str) -> dict[str, object]:
        """Return the JSON of a ``show`` command."""
        text = self.output("vtysh", "--vty_socket", str(self.folder), "-d", "bgpd", "-c", command)
        with contextlib.suppress(json.JSONDecodeError):
            found: dict[str, object] = json.loads(text)
            return found
        return {}

    def frr_configure(self, *lines: str) -> None:
        arguments = [word for line in ("configure terminal", *lines) for word in ("-c", line)]
        self.output("vtysh", "--vty_socket", str(self.folder), "-d", "bgpd", *arguments)

    # BIRD

    def start_bird(self, config: str, *options: str) -> subprocess.Popen[bytes]:
        place = self.folder / "bird.conf"
        place.write_text(config)
        socket = self.folder / "bird.ctl"
        process = self.start("bird", "bird", "-f", "-c", str(place), "-s", str(socket), *options)
        eventually(socket.exists, "BIRD's control socket")
        return process

    def bird(self, command: str) -> str:
        return self.output("birdc", "-s", str(self.folder / "bird.ctl"), *command.split())

    # GoBGP

    def start_gobgp(self, family: str, *more: str) -> None:
        """Start gobgpd as our internal peer for families, by GoBGP's names."""
        self.start_gobgp_with(Neighbour(OURS, (family, *more)))

    def start_gobgp_with(
        self, *neighbours: Neighbour, address: str = GOBGP, asn: int = 64512
    ) -> None:
        """Start gobgpd at an address."""
        place = self.folder / f"gobgp-{address}.toml"
        sections = "".join(each.text(address) for each in neighbours)
        place.write_text(_GOBGP_GLOBAL.format(address=address, asn=asn) + sections)
        self.start(
            f"gobgp-{address}",
            "gobgpd", "-t", "toml", "-f", str(place), "--api-hosts", f"{address}:50051",
        )  # fmt: skip
        eventually(lambda: self.gobgp("global", address=address), "GoBGP's API")

    def gobgp(self, command: str, *, address: str = GOBGP) -> str:
        return self.output("gobgp", "-u", address, *command.split())


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A neighbour in GoBGP's configuration. ``settings`` and ``sections`` are further TOML."""

    address: str
    families: tuple[str, ...]
    asn: int = 64512
    settings: str = ""
    sections: str = ""
    family_sections: str = ""

    def text(self, own_address: str) -> str:
        head = _GOBGP_NEIGHBOUR.format(
            address=own_address, neighbour=self.address, asn=self.asn, settings=self.settings
        )
        return (
            head
            + self.sections
            + "".join(
                _GOBGP_FAMILY.format(family=family) + self.family_sections
                for family in self.families
            )
        )


@contextlib.contextmanager
def bench(folder: Path) -> Generator[Bench]:
    made = Bench(folder)
    made.create()
    try:
        yield made
    finally:
        made.close()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=20)
