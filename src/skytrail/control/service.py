"""Joins the control node's core to sockets.

```
 run
  +-- watch        API watch --> ConfigWatch --> plane (supervised: restarts with backoff)
  +-- introspect   uvicorn on a Unix socket reads the plane's tables
  +-- report       how far it and each agent is --> API status
  +-- placement    which machines agents asked for --> API status
  +-- tick         four times a second: session timers, graceful restart, end of RIB
  +-- (asyncio server: one AgentConnection per agent, callbacks only, no task)
  +-- (another, with --dns-listen: the DNS channel, its core in dns.py)
```
Everything runs on one event loop and no callback waits, so the plane needs no locks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import shuffle

import structlog

from skytrail.client import AsyncApiClient
from skytrail.client.access import NO_ACCESS, Access
from skytrail.client.messages import JsonObject
from skytrail.client.reporting import report_to_all
from skytrail.client.traced_revisions import TracedRevisions
from skytrail.control.dns import DnsPlane
from skytrail.control.io.bgp import BgpServer
from skytrail.control.io.outside_names import OutsideServer
from skytrail.control.io.watch import ConfigWatch
from skytrail.control.io.xmpp import XmppServer
from skytrail.control.limits import Limits
from skytrail.control.outside_names import OutsideNames
from skytrail.control.peer import Peer
from skytrail.control.placement import PARTS_COUNT
from skytrail.control.plane import ControlPlane
from skytrail.control.show import SLICED, routes_of, tables
from skytrail.runtime.clock import Clock, SystemClock
from skytrail.runtime.garbage import ShortCollections
from skytrail.runtime.introspection import Introspection, Sliced, TableSource, serve_unix
from skytrail.runtime.metrics import Sample
from skytrail.runtime.mutual_tls import TlsFolder
from skytrail.runtime.recording import Recorder
from skytrail.runtime.tasks import supervise
from skytrail.runtime.traces import Traces
from skytrail.wire.xmpp import DnsVerb
from skytrail.wire.xmpp.dns_codec import DNS_JID
from skytrail.wire.xmpp.session import HOLD_TIME_S

TICK_S = 0.25


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """``api_socket`` wins over ``api_url``; an empty ``introspect_socket`` serves none."""

    name: str
    listen: str = "0.0.0.0"
    port: int = 5269
    bgp_listen: tuple[str, ...] = ()
    """Addresses of our end of BGP sessions, one of an IP version; none: no BGP."""
    bgp_port: int = 179
    dns_listen: str = ""
    """Address of the DNS channel; empty: there is none."""
    dns_port: int = 8093
    names_listen: str = ""
    """Where externally visible names are answered by plain DNS; empty: nowhere."""
    names_port: int = 53
    api_url: str = "http://127.0.0.1:8082"
    api_socket: str | None = None
    api_access: Access = NO_ACCESS
    report_to: tuple[str, ...] = ()
    """Further API servers to report to: one that is not told does not know."""
    introspect_socket: str = ""
    tls: TlsFolder | None = None
    """Agents must come with TLS and a certificate; None: everybody is who he says."""
    hold_time_s: float = HOLD_TIME_S
    record: Path | None = None
    """Folder that every session is recorded in; None: nothing is."""
    limits: Limits = field(default_factory=Limits)


class ControlService:
    """A running control node. ``TlsUnusable`` when its certificate cannot be used."""

    def __init__(
        self, settings: ControlSettings, clock: Clock | None = None, traces: Traces | None = None
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.plane = ControlPlane(settings.limits, settings.name)
        tls = None if settings.tls is None else settings.tls.server()
        self.server = XmppServer(self.plane, self.clock, settings.hold_time_s, tls)
        self.bgp = BgpServer(
            self.plane.bgp,
            self.clock,
            self.server.schedule_flush,
            restart_time_s=settings.limits.restart_time_s,
            workloads=self.plane.workloads,
        )
        self.server.on_flush = self.bgp.flush
        self.recorder = (
            None if settings.record is None else Recorder(settings.record, settings.name)
        )
        self.server.recorder = self.bgp.recorder = self.recorder
        self.dns: DnsPlane | None = None
        self.dns_server: XmppServer | None = None
        if settings.dns_listen:
            self.dns = DnsPlane(self.plane, shuffle)
            self.dns_server = XmppServer(
                self.dns, self.clock, settings.hold_time_s, tls, jid=DNS_JID
            )
            self.dns_server.log = self.dns_server.log.bind(channel="dns")
        self.names: OutsideServer | None = None
        if settings.names_listen:
            self.names = OutsideServer(OutsideNames(self.plane, shuffle))
        self.watch = ConfigWatch(self.plane, self.clock, self.server.schedule_flush)
        self._client: AsyncApiClient | None = None
        self.traces = traces
        if traces is not None:
            self.plane.trace = traces.add
            self.watch.traced = TracedRevisions(traces.wants)

    async def run(self, when_ready: Callable[[int], None]) -> None:
        """Serve until cancelled; ``when_ready`` gets the port. Raises ``OSError`` when taken."""
        settings = self.settings
        log = structlog.get_logger("skytrail.control").bind(node=settings.name)
        shares = 1 if self.dns_server is None else 2
        listeners = [await self.server.listen(settings.listen, settings.port, shares=shares)]
        port = int(listeners[0].sockets[0].getsockname()[1])
        if self.dns_server is not None:
            listeners.append(
                await self.dns_server.listen(settings.dns_listen, settings.dns_port, shares=shares)
            )
        if self.names is not None:
            await self.names.listen(settings.names_listen, settings.names_port)
        if settings.bgp_listen:
            await self.bgp.listen(settings.bgp_listen, settings.bgp_port)
        client = AsyncApiClient(settings.api_url, settings.api_socket, access=settings.api_access)
        self._client = client
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(supervise("watch", lambda: self.watch.run(client)))
                tasks.create_task(self._tick())
                tasks.create_task(self._report(client))
                if settings.introspect_socket:
                    tasks.create_task(
                        serve_unix(
                            settings.introspect_socket,
                            self.pages(),
                            when_ready=lambda: when_ready(port),
                        )
                    )
                else:
                    when_ready(port)
                log.info("control_started", listen=settings.listen, port=port)
        finally:
            for listener in listeners:
                listener.close()
            self.bgp.close()
            self.server.close()
            if self.dns_server is not None:
                self.dns_server.close()
            if self.names is not None:
                self.names.close()
            # One turn of the loop lets the goodbyes leave.
            await asyncio.sleep(0)
            await client.close()

    def pages(self) -> Introspection:
        """Return what the node shows of itself."""
        return Introspection(self._tables(), self.unmet, self.samples)

    def _tables(self) -> Mapping[str, TableSource]:
        shown: dict[str, TableSource] = {
            name: Sliced(source) if name in SLICED else source
            for name, source in tables(self.plane, self.clock.now).items()
        }
        shown["routes"] = Sliced(shown["routes"], {"instance": partial(routes_of, self.plane)})
        return shown if self.dns is None else {**shown, **self.dns.tables(self.clock.now)}

    def unmet(self) -> Sequence[str]:
        """Name what the node waits for; empty when it is healthy."""
        missing: list[str] = []
        if not self.plane.is_config_complete:
            missing.append("configuration snapshot")
        if self._client is None or not self._client.watching:
            missing.append("api watch")
        return missing

    def samples(self) -> Iterable[Sample]:
        """Yield the node's metrics."""
        plane = self.plane
        ribs = [rib for vrf in plane.replicator.vrfs.values() for rib in vrf.ribs.values()]
        yield Sample("control_sessions_established", len(self.server.by_name))
        yield Sample("control_connections_refused_total", self.server.refused_count)
        yield Sample("control_objects_refused_total", self.watch.refused_count)
        yield Sample("control_instances", len(plane.replicator.vrfs))
        yield Sample("control_destinations", sum(len(rib.entries) for rib in ribs))
        yield Sample("control_vpn_paths", sum(map(len, plane.replicator.vpn.values())))
        yield Sample("control_revision", plane.revision)
        yield from () if self.traces is None else self.traces.samples()
        yield Sample("control_duplicate_macs", len(plane.mac_moves.duplicates))
        yield Sample("control_duplicate_macs_found_total", plane.mac_moves.found_count)
        counters = [group.counters for group in plane.groups.values()]
        yield Sample("control_items_encoded", sum(count.items_encoded for count in counters))
        yield Sample("control_messages_sent", sum(count.messages_sent for count in counters))
        if self.names is not None:
            yield Sample("control_names_answered_total", sum(self.names.names.counts.values()))
            yield Sample("control_names_refused_total", self.names.names.counts["refused"])
            yield Sample("control_names_dropped_total", self.names.dropped_count)
        if self.dns is not None and self.dns_server is not None:
            yield Sample("control_dns_sessions_established", len(self.dns_server.by_name))
            yield Sample("control_dns_connections_refused_total", self.dns_server.refused_count)
            yield Sample("control_dns_queries_total", self.dns.counts[DnsVerb.QUERY])
            yield Sample("control_dns_updates_total", self.dns.counts[DnsVerb.UPDATE])
            yield Sample("control_dns_refused_total", self.dns.codes["refused"])
            yield Sample("control_dns_records", len(self.dns.records))

    async def _report(self, client: AsyncApiClient) -> None:
        settings, reporter = self.settings, f"control-{self.settings.name}"
        others = [AsyncApiClient(u, access=settings.api_access) for u in settings.report_to]
        try:
            async with asyncio.TaskGroup() as group:
                reports: list[tuple[str, Callable[[], JsonObject | None]]] = [
                    (reporter, lambda: report_of(self.plane))
                ]
                reports += [
                    (f"{reporter}-placement-{part}", partial(placements_of, self.plane, part))
                    for part in range(PARTS_COUNT)
                ]
                for name, report in reports:
                    group.create_task(report_to_all(client, others, name, report))
        finally:
            for other in others:
                await other.close()

    async def _tick(self) -> None:
        # Paths live long and are in no cycle: to look for one among millions would be in vain.
        collections = ShortCollections()
        while True:
            await asyncio.sleep(TICK_S)
            self.server.tick()
            if self.dns_server is not None:
                self.dns_server.tick()
            self.bgp.tick()
            collections.tidy()
            self._log_duplicates()
            if self.recorder is not None:
                self.recorder.flush()

    def _log_duplicates(self) -> None:
        for each in self.plane.mac_moves.take_news():
            structlog.get_logger("skytrail.control").warning(
                "duplicate_mac",
                instance=each.instance,
                mac=str(each.mac),
                moves=each.moves_count,
                held=each.is_held,
            )


def report_of(plane: ControlPlane) -> JsonObject | None:
    """Return what the API is told: the revision given to agents, who is connected, how far each is.

    An agent that does not say over XMPP what it has programmed is not claimed to have anything.
    """
    if not plane.is_config_complete:
        return None
    agents = [_agent(peer, plane.revision) for peer in plane.peers.values()]
    return {"kind": "control", "revision": plane.revision, "agents": agents}


def placements_of(plane: ControlPlane, part: int) -> JsonObject | None:
    """Return which machines run where, as far as configuration does not tell, of a part of the hosts."""
    if not plane.is_config_complete:
        return None
    rows = plane.placements.reports(plane.peers, plane.config.graph)[part]
    if rows is None:
        return None
    return {"kind": "placement", "revision": 0, "placements": rows}


def _agent(peer: Peer, current: int) -> JsonObject:
    agent: JsonObject = {"name": peer.name, "connected": peer.is_up}
    progress = peer.progress
    revision = progress.revision(current)
    if revision is not None:
        agent["revision"] = revision
    if progress.problem:
        agent["problem"] = progress.problem
    if progress.troubles:
        agent["ports"] = [{"uuid": each.uuid, "reason": each.reason} for each in progress.troubles]
    if progress.balancers:
        agent["balancers"] = [
            {"uuid": each.uuid, "preference": each.preference, "parts": dict(each.parts)}
            for each in progress.balancers
        ]
    return agent
