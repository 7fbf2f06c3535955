"""Runs HAProxy for the copies of load balancers on this host, each in a namespace of its own.

```
 vRouter --lb-<port>==veth==eth0 [namespace: own address, the balancer's address]  haproxy (master)
                                                                                      +-- worker
```
The namespace, its link and HAProxy end with this process. HAProxy that ends is started again; a
changed configuration is checked first, and loaded without losing connections. HAProxy says when it is
ready (sd_notify): before, and while it still loads the last change, a signal would end it or be lost,
so the next change waits for that. The agent says over a Unix socket what there is to run; without an
agent all goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path

import msgspec
import structlog

from skytrail.agent.balancing.copies import PROTOCOL, CopySpec
from skytrail.agent.balancing.standing import PartCounters, Totals, parts_of
from skytrail.agent.io.beside_agent import BesideAgent
from skytrail.agent.io.haproxy_socket import HaproxySocket
from skytrail.agent.io.inner_namespace import InnerNamespace, run, run_batch
from skytrail.agent.io.ready_socket import ReadySocket
from skytrail.runtime.backoff import Backoff

INNER = "eth0"
STABLE_AFTER_S = 10.0
RETRY_S = 5.0
LOOK_S = 2.0
"""Between two looks at how members are."""
COUNT_S = 10.0
"""Between two reports that only counters have changed in."""
_Stamp = tuple[str, tuple[tuple[int, int], ...]]
_NOTHING: _Stamp = ("", ())
_SYSCTLS = {
    "ipv4/ip_unprivileged_port_start": 0,
    "ipv4/ip_nonlocal_bind": 1,
    "ipv6/ip_nonlocal_bind": 1,
    "ipv6/conf/default/accept_ra": 0,
    "ipv6/conf/default/dad_transmits": 0,
}


class KeeperRequest(msgspec.Struct, frozen=True):
    """What the agent says: every copy there is."""

    protocol: int
    copies: tuple[CopySpec, ...] = ()


class CopyState(msgspec.Struct, frozen=True):
    port: str
    is_running: bool
    problem: str = ""
    starts: int = 0
    parts: tuple[PartCounters, ...] = ()
    """What HAProxy counts; nothing from a keeper of a former release."""


class KeeperReport(msgspec.Struct, frozen=True):
    """The answer, also sent when it changes."""

    copies: tuple[CopyState, ...] = ()


class Copy:
    """One copy: its namespace and link, and HAProxy in it."""

    def __init__(
        self, spec: CopySpec, folder: Path, changed: asyncio.Event, *, count_s: float = COUNT_S
    ) -> None:
        self.spec = spec
        self.problem = ""
        self.starts_count = 0
        self._file = folder / f"{spec.port}.cfg"
        self._changed = changed
        self._namespace = InnerNamespace()
        self._process: asyncio.subprocess.Process | None = None
        self._log = structlog.get_logger("skytrail.balancer").bind(port=spec.port)
        self._task: asyncio.Task[None] | None = None
        self._stamp: _Stamp = _NOTHING
        self._is_up = False
        """It has been ready since it was started."""
        self._is_ready = False
        """It takes a signal now."""
        self._is_outdated = False
        """It may have read the configuration before the last change."""
        self._workers: frozenset[str] = frozenset()
        self._socket = HaproxySocket(folder, f"{spec.port}.cli")
        self._parts: tuple[PartCounters, ...] = ()
        self._totals = Totals()
        self._counted_at = float("-inf")
        self._count_s = count_s

    def open(self) -> None:
        """Make the link and start. ``OSError`` when the kernel refuses."""
        namespace, spec = self._namespace, self.spec
        namespace.set_sysctls(_SYSCTLS)
        run(["sh", "-c", 'ip link del "$0" 2>/dev/null; true', spec.device])
        mtu = f"mtu {spec.mtu_bytes}"
        inner = f"peer name {INNER} {mtu} address {spec.mac} netns {namespace.path}"
        run_batch(
            "ip",
            [
                f"link add {spec.device} {mtu} type veth {inner}",
                f"link set {spec.device} addrgenmode none",
                f"link set {spec.device} up",
            ],
        )
        namespace.configure(
            [
                "link set lo up",
                f"link set {INNER} addrgenmode none",
                f"link set {INNER} up",
                *(f"address add {each} dev {INNER}" for each in spec.addresses),
                *(f"route add default via {each} dev {INNER}" for each in spec.gateways),
            ]
        )
        self._task = asyncio.create_task(self._keep())

    def load(self, spec: CopySpec) -> None:
        """Take over a changed configuration of the same link."""
        self.spec = spec
        if self._stamp != self._stamp_now():
            self._load()

    def _load(self) -> None:
        if self._write():
            self._is_outdated = True
            self._reload()
        self._changed.set()

    def _reload(self) -> None:
        """Have HAProxy read what has changed, now or as soon as it can be told."""
        if self._process is None or not (self._is_ready and self._is_outdated):
            return
        self._is_ready = self._is_outdated = False
        with contextlib.suppress(ProcessLookupError):
            # The master starts a new worker; the old one ends with its last connection.
            self._process.send_signal(signal.SIGUSR2)

    def _said_ready(self) -> None:
        before, self._workers = self._workers, self._workers_now()
        if self._is_up and self._workers <= before:
            self.problem = "HAProxy goes on with the configuration before the last change"
            self._log.warning("reload_failed")
            # Tried again like a certificate that has changed.
            self._stamp = _NOTHING
        self._is_up = self._is_ready = True
        self._changed.set()
        self._reload()

    def _workers_now(self) -> frozenset[str]:
        """Ids of the master's children, so that a new one tells that it loaded what it was told."""
        if self._process is None:
            return frozenset()
        pid = self._process.pid
        try:
            return frozenset(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except OSError:
            # It ended meanwhile, which is seen elsewhere.
            return frozenset()

    def renew(self) -> None:
        """Load again if a certificate has changed."""
        if self._stamp != self._stamp_now():
            self._load()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        with contextlib.suppress(OSError):
            run(["ip", "link", "del", self.spec.device])
        self._namespace.close()
        self._socket.close()
        self._file.unlink(missing_ok=True)

    def inside(self) -> contextlib.AbstractContextManager[None]:
        """Be in its namespace for the block, which must not wait."""
        return self._namespace.entered()

    def state(self) -> CopyState:
        parts = self._parts if self._is_up else ()
        return CopyState(self.spec.port, self._is_up, self.problem, self.starts_count, parts)

    async def look(self) -> None:
        """Ask HAProxy how its parts are; what is new of them is told, counters less often."""
        if not self._is_up:
            return
        try:
            parts = self._totals.of(parts_of(await self._socket.ask("@1 show stat")))
        except (OSError, ValueError) as error:
            # Between two workers nobody answers; the next look is soon.
            self._log.debug("statistics_missed", error=str(error))
            return
        now = asyncio.get_running_loop().time()
        states = [(each.uuid, each.state) for each in parts]
        is_new = states != [(each.uuid, each.state) for each in self._parts]
        if is_new or (parts != self._parts and now >= self._counted_at + self._count_s):
            self._parts, self._counted_at = parts, now
            self._changed.set()

    def _stamp_now(self) -> _Stamp:
        """Return what a loaded configuration is known by: its text, and its certificates' files."""
        words = self.spec.configuration.split()
        files = [Path(word) for before, word in itertools.pairwise(words) if before == "crt"]
        found = [file.stat() for file in files if file.exists()]
        return self.spec.configuration, tuple((each.st_mtime_ns, each.st_size) for each in found)

    def _write(self) -> bool:
        """Put the configuration in place if HAProxy takes it; else the one before stays."""
        stamp = self._stamp_now()
        draft = self._file.with_suffix(".new")
        draft.unlink(missing_ok=True)
        draft.touch(0o600)
        draft.write_text(self.spec.configuration)
        try:
            run(["haproxy", "-c", "-q", "-f", str(draft)])
        except OSError as error:
            self.problem = f"HAProxy refuses the configuration: {error}"[:500]
            self._log.warning("configuration_refused", error=self.problem)
            self._stamp = stamp
            return False
        draft.replace(self._file)
        self._stamp, self.problem = stamp, ""
        return True

    async def _keep(self) -> None:
        """Run HAProxy; start it again when it ends."""
        delays = Backoff()
        while True:
            began = asyncio.get_running_loop().time()
            if self._write() or self._file.exists():
                try:
                    await self._run()
                except OSError as error:
                    self.problem = f"HAProxy does not start: {error}"
                    self._log.warning("start_failed", error=str(error))
            self._changed.set()
            if asyncio.get_running_loop().time() - began > STABLE_AFTER_S:
                delays.reset()
            await asyncio.sleep(min(delays.next_delay_s(), RETRY_S))

    async def _run(self) -> None:
        ready = ReadySocket(self._file.parent, f"{self._file.stem}.ready", self._said_ready)
        try:
            await self._run_until_it_ends({**os.environ, "NOTIFY_SOCKET": ready.path})
        finally:
            self._process = None
            self._is_up = self._is_ready = False
            ready.close()

    async def _run_until_it_ends(self, environment: Mapping[str, str]) -> None:
        # Nobody else could end it, should this process be killed.
        command = ["setpriv", "--pdeathsig", "KILL", "haproxy", "-Ws", "-db", "-f", str(self._file)]
        command += ["-S", f"{self._socket.path},mode,600,level,user"]
        inside = ["nsenter", f"--net={self._namespace.path}", "--", *command]
        # Whatever changes from here on it may have missed.
        self._is_outdated = False
        self._process = await asyncio.create_subprocess_exec(
            *inside,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            env=environment,
        )
        self.starts_count += 1
        self._log.info("haproxy_started", pid=self._process.pid)
        self._reload()
        status = await self._process.wait()
        self._log.warning("haproxy_ended", status=status)


class BalancerKeeper(BesideAgent[KeeperRequest]):
    """All copies on this host."""

    def __init__(self, folder: Path) -> None:
        super().__init__("balancer", KeeperRequest)
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._copies: dict[str, Copy] = {}

    def take(self, request: KeeperRequest) -> bool:
        if request.protocol != PROTOCOL or not request.copies:
            return False
        self.apply({spec.port: spec for spec in request.copies})
        return True

    def report(self) -> KeeperReport:
        return KeeperReport(tuple(copy.state() for copy in self._copies.values()))

    def chores(self) -> Sequence[Coroutine[None, None, None]]:
        return self._renew(), self._look()

    def close(self) -> None:
        for port in list(self._copies):
            self._copies.pop(port).close()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RETRY_S)
            for each in self._copies.values():
                each.renew()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for each in list(self._copies.values()):
                await each.look()

    def apply(self, wanted: Mapping[str, CopySpec]) -> None:
        """Have exactly these; what only has another configuration keeps its link."""
        for port in [each for each in self._copies if each not in wanted]:
            self._copies.pop(port).close()
        for port, spec in wanted.items():
            known = self._copies.get(port)
            if known is not None and _place(known.spec) == _place(spec):
                known.load(spec)
                continue
            if known is not None:
                self._copies.pop(port).close()
            copy = Copy(spec, self._folder, self._changed)
            try:
                copy.open()
            except OSError as error:
                self._log.warning("copy_failed", port=port, error=str(error))
                copy.close()
                continue
            self._copies[port] = copy
        self._changed.set()


def _place(spec: CopySpec) -> CopySpec:
    return msgspec.structs.replace(spec, configuration="")
