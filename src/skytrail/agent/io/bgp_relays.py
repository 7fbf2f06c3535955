"""The agent's side of the relay: starts it when a port needs it, tells it what to do, hears of it.

The relay is a process of its own in a session of its own: it goes on when the agent ends. What it was
told it keeps in memory; keys are on no disk because of it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from pathlib import Path

import msgspec
import structlog

from skytrail.agent.bgp_relay import PROTOCOL, RelaySpec, relay_specs
from skytrail.agent.interface import PluggedPort, PortState
from skytrail.agent.io.bgp_relay import RelayReport, RelayRequest, RelayState
from skytrail.agent.io.netlink import link_index

START_TIMEOUT_S = 10.0
START_POLL_S = 0.02
END_TIMEOUT_S = 10.0
REPORT_BYTES_MAX = 4 * 1024 * 1024


class BgpRelays:
    """What is to be relayed, and how that goes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wanted: dict[str, RelaySpec] | None = None
        """None: not known yet, and whatever a former agent said holds."""
        self._states: dict[str, RelayState] = {}
        self._wake = asyncio.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._log = structlog.get_logger("skytrail.agent.bgp_relay")

    def follow(
        self,
        ports: Iterable[PortState],
        controls: tuple[IPv4Address, ...],
        source: IPv4Address,
    ) -> None:
        """Take over what the ports need now."""
        wanted = relay_specs(ports, controls, source)
        if wanted != self._wanted:
            self._wanted = wanted
            self._wake.set()

    def ifindex_of(self, port: PluggedPort) -> int:
        """Return the index of what joins a port to the relay now, or 0."""
        spec = (self._wanted or {}).get(port.vmi_uuid)
        if spec is None:
            # Not known yet after a start: what was there goes on.
            return port.relay_ifindex if self._wanted is None else 0
        return link_index(spec.device)

    def rows(self) -> Iterable[Mapping[str, object]]:
        """Yield every port that is relayed, without keys."""
        for port, spec in sorted((self._wanted or {}).items()):
            state = self._states.get(port)
            yield {
                "vmi_uuid": port,
                "device": spec.device,
                "signed": spec.is_signed,
                "gates": {gate.address: gate.control for gate in spec.gates},
                "state": "starting" if state is None else "failed" if state.problem else "running",
                "problem": "" if state is None else state.problem,
                "sessions": 0 if state is None else state.sessions,
                "accepted": 0 if state is None else state.accepted,
            }

    async def run(self) -> None:
        """Keep the relay running as long as a port needs it, until cancelled."""
        while True:
            await self._wake.wait()
            if self._wanted or (self._wanted is not None and await self._is_running()):
                await self._converse()
            else:
                self._wake.clear()

    async def _is_running(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(self._path)
        except OSError:
            return False
        writer.close()
        return True

    async def _converse(self) -> None:
        """Talk to the relay until it ends; ``OSError`` when it cannot be started."""
        reader, writer = await self._connection()
        telling = asyncio.create_task(self._tell(writer))
        try:
            while line := await reader.readline():
                report = msgspec.json.decode(line, type=RelayReport)
                self._states = {state.port: state for state in report.relays}
        finally:
            telling.cancel()
            writer.close()
            self._states = {}
            self._wake.set()
            if self._child is not None:
                self._child.poll()
        if self._wanted:
            raise OSError("the relay of workloads' BGP ended; it is started again")
        self._wake.clear()

    async def _tell(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            wanted = tuple((self._wanted or {}).values())
            writer.write(msgspec.json.encode(RelayRequest(PROTOCOL, wanted)) + b"\n")
            await writer.drain()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_unix_connection(self._path, limit=REPORT_BYTES_MAX)
        except OSError:
            self._start()
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                await asyncio.sleep(START_POLL_S)
                try:
                    return await asyncio.open_unix_connection(self._path, limit=REPORT_BYTES_MAX)
                except OSError:
                    if self._child is not None and self._child.poll() is not None:
                        raise

    def _start(self) -> None:
        command = [sys.executable, "-m", "skytrail.daemons.bgp_relay", "--socket", str(self._path)]
        self._child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        self._log.info("relay_process_started", pid=self._child.pid)
