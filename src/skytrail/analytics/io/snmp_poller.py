"""Polls the devices of configuration by SNMP and tells what they say: UVEs of switches and the cables between them.

Interfaces and counters are read often (``every_s``), neighbours seldom (``scan_every_s``): cables move less.
A device that does not answer keeps what it said, and says so itself in ``PRouterEntry.snmp_state``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from skytrail.analytics import snmp_tables as tables
from skytrail.analytics.io.snmp import DeviceSilent, read
from skytrail.analytics.snmp_devices import PORT, CredentialsUnusable, SnmpDevice, device_of
from skytrail.client import (
    AsyncApiClient,
    ObjectDelete,
    ObjectPut,
    RevisionEnd,
    SnapshotBegin,
    SnapshotEnd,
)
from skytrail.client.snapshot_sweep import SnapshotSweep
from skytrail.runtime.clock import Clock
from skytrail.runtime.metrics import Sample
from skytrail.runtime.tasks import supervise
from skytrail.wire.telemetry import Statistic, Uve

ROUTER: Final = "physical-router"
HOST: Final = "virtual-router"
TABLE: Final = "ObjectPRouter"
ENTRY: Final = "PRouterEntry"
LINKS: Final = "PRouterLinkEntry"
AT_A_TIME: Final = 16
OFTEN: Final = (tables.SYSTEM, *tables.INTERFACE_COLUMNS)
SELDOM: Final = (
    *((*tables.LLDP_PORTS, n) for n in (2, 3, 4)),
    *((*tables.LLDP_NEIGHBOURS, n) for n in (4, 5, 6, 7, 8, 9)),
    tables.ARP,
    tables.NEIGHBOURS_OF_IP,
)


INTERFACES: Final = Statistic(
    name="ifStats", counters=["ifStats"], gauges=["ifStats.ifOperStatus", "ifStats.ifHighSpeed"]
)


@dataclass(slots=True)
class _Polled:
    device: SnmpDevice
    state: str = "waiting"
    """``up``, ``waiting``, or why not."""
    switch: tables.Switch = field(default_factory=tables.Switch)
    course: dict[str, dict[str, int | str]] = field(default_factory=dict[str, dict[str, int | str]])
    """How much counters grew since interfaces came up. A poll's own growth would be lost where polls are more often than words."""
    polls_count: int = 0
    failures_count: int = 0
    scanned_at: float | None = None


class SnmpPoller:
    """Keeps what all devices say."""

    def __init__(self, clock: Clock, every_s: float, scan_every_s: float, port: int = PORT) -> None:
        self._clock = clock
        self._every_s = every_s
        self._scan_every_s = scan_every_s
        self._port = port
        self._polled: dict[str, _Polled] = {}
        """By the object's uuid."""
        self._refused: dict[str, str] = {}
        """Objects whose words are of no use, and why."""
        self._hosts: dict[str, tuple[str, str]] = {}
        """By uuid: address and name."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._sweep = SnapshotSweep()
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self._log = structlog.get_logger("skytrail.snmp")

    async def run(self, client: AsyncApiClient) -> None:
        """Follow configuration and poll until cancelled."""
        try:
            async for event in client.watch((ROUTER, HOST)):
                for uuid in self._sweep.note(event):
                    self._delete(uuid)
                match event:
                    case ObjectPut():
                        self._put(event.type, event.uuid, event.object)
                    case ObjectDelete():
                        self._delete(event.uuid)
                    case SnapshotBegin() | SnapshotEnd() | RevisionEnd():
                        pass
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._tasks.clear()

    def _put(self, kind: str, uuid: str, document: Mapping[str, object]) -> None:
        if kind == HOST:
            name, address = document.get("fq_name"), document.get("virtual_router_ip_address")
            if isinstance(name, list) and name and isinstance(address, str):
                self._hosts[uuid] = address, str(name[-1])
            return
        try:
            device = device_of(document)
        except CredentialsUnusable as error:
            self._delete(uuid)
            self._refused[uuid] = str(error)
            self._log.warning("snmp_device_unusable", uuid=uuid, reason=str(error))
            return
        former = self._polled.get(uuid)
        if former is None or former.device != device:
            self._delete(uuid)
            former = None
        if device is not None and uuid not in self._tasks:
            polled = self._polled[uuid] = former or _Polled(device)
            polling = supervise(
                "snmp_device", lambda: self._poll_for_ever(polled), clock=self._clock
            )
            self._tasks[uuid] = asyncio.create_task(polling, name="snmp-device")

    def _delete(self, uuid: str) -> None:
        self._refused.pop(uuid, None)
        self._hosts.pop(uuid, None)
        self._polled.pop(uuid, None)
        task = self._tasks.pop(uuid, None)
        if task is not None:
            task.cancel()

    async def _poll_for_ever(self, polled: _Polled) -> None:
        while True:
            started = self._clock.now()
            async with self._turns:
                await self._poll(polled)
            await asyncio.sleep(max(1.0, self._every_s - (self._clock.now() - started)))

    async def _poll(self, polled: _Polled) -> None:
        now, device = self._clock.now(), polled.device
        is_due = polled.scanned_at is None or now - polled.scanned_at >= self._scan_every_s
        scans = device.reads_neighbours and is_due
        polled.polls_count += 1
        try:
            said = await read(device, (*OFTEN, *(SELDOM if scans else ())), self._port)
        except DeviceSilent as error:
            polled.failures_count += 1
            if polled.state != str(error):
                self._log.warning("snmp_device_silent", device=device.name, reason=str(error))
            polled.state = str(error)
            return
        former, switch = polled.switch, tables.switch_of(said)
        if scans:
            polled.scanned_at = now
        elif device.reads_neighbours:
            switch.ports, switch.neighbours, switch.hosts = (
                former.ports, former.neighbours, former.hosts,
            )  # fmt: skip
        grown = tables.growth(former.interfaces, switch.interfaces)
        polled.course = tables.grown_on(polled.course, grown)
        polled.switch, polled.state = switch, "up"

    async def uves(self) -> list[Uve]:
        """Return what is told of all devices."""
        return list(self._uves())

    def _uves(self) -> Iterator[Uve]:
        polled = list(self._polled.values())
        names = {each.switch.system: each.device.name for each in polled if each.switch.system}
        vrouters = dict(self._hosts.values())
        routers = [each.device.name for each in polled]
        for each in polled:
            switch = each.switch
            yield Uve(
                table=TABLE,
                key=each.device.name,
                struct=ENTRY,
                fields={
                    "snmp_state": each.state,
                    "sysName": switch.system,
                    "sysDescr": switch.description,
                    "ifTable": [_interface(switch, index) for index in sorted(switch.interfaces)],
                    "lldpTable": [
                        {
                            "lldpLocPort": switch.ports.get(one.port, ""),
                            "lldpRemChassisId": one.chassis,
                            "lldpRemSysName": one.system,
                            "lldpRemPort": one.interface,
                        }
                        for one in switch.neighbours
                    ],
                    "ifStats": each.course,
                },
                statistics=[INTERFACES],
            )
            if each.scanned_at is not None:
                rows = tables.links_of(switch, names, vrouters, routers)
                yield Uve(
                    table=TABLE, key=each.device.name, struct=LINKS, fields={"link_table": rows}
                )

    def rows(self) -> Iterable[object]:
        """Return the table of introspection."""
        for each in self._polled.values():
            yield {
                "device": each.device.name,
                "address": each.device.address,
                "state": each.state,
                "interfaces": len(each.switch.interfaces),
                "neighbours": len(each.switch.neighbours),
                "polls": each.polls_count,
                "failures": each.failures_count,
            }
        for uuid, reason in self._refused.items():
            yield {"device": uuid, "address": "", "state": reason}

    def samples(self) -> Iterator[Sample]:
        """Return the process's own metrics."""
        polled = self._polled.values()
        yield Sample("skytrail_snmp_devices", len(polled))
        yield Sample("skytrail_snmp_devices_up", sum(each.state == "up" for each in polled))
        yield Sample("skytrail_snmp_polls_total", sum(each.polls_count for each in polled))
        yield Sample("skytrail_snmp_failures_total", sum(each.failures_count for each in polled))


def _interface(switch: tables.Switch, index: int) -> dict[str, object]:
    said = switch.interfaces[index]
    shown = {name: value for name, value in said.items() if name not in tables.COUNTER_WIDTHS}
    return {"ifIndex": index, **shown}
