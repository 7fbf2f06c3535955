"""The analytics node.

```
 Sandesh (8086) ---> sandesh_server ----.          API watch --> config_watch --> nodes, rules --> watchman (alarms)
 own processes ----> telemetry_server --+--> Collector --> http (8081), introspection
 devices ----------> device_ports ------|
                     tick, every second-'       `--> batches --> writer --> history (a process of its own)
             |                                  http queries ----------------^
             `--> kafka_feed --> kafka_stream --> brokers
```
All on one event loop; UVEs are in memory, and told again by the generators after a start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Final

import structlog

from skytrail.analytics.alarm_routes import Route
from skytrail.analytics.collector import Collector
from skytrail.analytics.devices import Devices
from skytrail.analytics.exporters import DeviceSettings, Exporters
from skytrail.analytics.io.alarm_delivery import AlarmDelivery
from skytrail.analytics.io.asking import Processes
from skytrail.analytics.io.collecting import Collecting
from skytrail.analytics.io.config_watch import ConfigWatch
from skytrail.analytics.io.device_ports import DevicePorts
from skytrail.analytics.io.dry_run_http import DryRuns
from skytrail.analytics.io.gate import ApiGate
from skytrail.analytics.io.history import NO_LOGIN, History, Login
from skytrail.analytics.io.http import AnalyticsApi
from skytrail.analytics.io.introspect_http import IntrospectEverywhere
from skytrail.analytics.io.judging import Judging
from skytrail.analytics.io.native_http import NativeQueries
from skytrail.analytics.io.other_nodes import OtherNodes
from skytrail.analytics.io.own_uves import OwnUves
from skytrail.analytics.io.parts_http import PartsApi
from skytrail.analytics.io.past import Past
from skytrail.analytics.io.queries import Queries
from skytrail.analytics.io.query_http import QueryApi
from skytrail.analytics.io.retold import Retold
from skytrail.analytics.io.sandesh_server import SandeshServer
from skytrail.analytics.io.spool import Spool
from skytrail.analytics.io.telemetry_server import TelemetryServer
from skytrail.analytics.io.tenants import NodeApp, Turns, admit_told
from skytrail.analytics.io.underlay_http import UnderlayApi
from skytrail.analytics.io.writer import HistoryWriter
from skytrail.analytics.kafka_feed import KafkaFeed
from skytrail.analytics.kafka_settings import KafkaSettings
from skytrail.analytics.told_rate import PER_SECOND_DEFAULT
from skytrail.analytics.trust import Trust
from skytrail.analytics.uve_recorder import UveRecorder
from skytrail.analytics.watchman import Watchman
from skytrail.client import AsyncApiClient
from skytrail.client.access import NO_ACCESS, Access
from skytrail.client.transport import DEFAULT_URL
from skytrail.runtime.asgi import Admit, CheckHost, Request, Router
from skytrail.runtime.browsers import refuse_other_sites
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.fair_share import FairShare
from skytrail.runtime.introspection import Introspection, TableSource
from skytrail.runtime.metrics import Sample
from skytrail.runtime.mutual_tls import MutualTls
from skytrail.runtime.server import listen_tcp, listen_unix, serve
from skytrail.runtime.stream_limits import PER_CLIENT_DEFAULT, StreamLimits
from skytrail.runtime.tasks import supervise
from skytrail.runtime.telemetry import hello_of_this_process
from skytrail.runtime.tls import TlsFiles

if TYPE_CHECKING:
    from skytrail.analytics.io.kafka_stream import KafkaStream

NODE_TYPE: Final = "Analytics"
MODULE: Final = "contrail-analytics-api"


@dataclass(frozen=True, slots=True)
class AnalyticsSettings:
    name: str
    listen: str
    """Where generators connect, and where the REST interface is."""
    rest_port: int
    sandesh_port: int = 0
    """0: generators of the original system are not listened to."""
    telemetry_port: int = 0
    """Of processes of other machines; 0: they are not listened to."""
    telemetry_listen: str = ""
    """Where that port is; empty: as ``listen``."""
    socket: Path | None = None
    """Also serves the REST interface and introspection here."""
    telemetry_socket: Path | None = None
    """Processes of this machine may tell here."""
    tls: MutualTls | None = None
    """Of the processes of other machines."""
    api_url: str = ""
    """Where configuration is followed; empty: nobody knows which nodes there should be."""
    api_socket: str | None = None
    api_access: Access = NO_ACCESS
    history: str = ""
    """Socket of the embedded store's process, or URL of a ClickHouse cluster; empty: no history."""
    history_login: Login = NO_LOGIN
    peers: Sequence[str] = ()
    """Other nodes with a store of their own, URLs or ``unix:PATH``: what they keep is in answers as well."""
    spool: Path | None = None
    """Where rows are kept until the store has them; None: in memory."""
    keep_hours: Mapping[str, int] = field(default_factory=dict[str, int])
    """By stored table, where it is not the default."""
    rest_tls: TlsFiles | None = None
    gate_url: str = ""
    """The API that says who sends a request; empty: everybody may ask everything."""
    gate_ca: Path | None = None
    alarm_routes: Sequence[Route] = ()
    kafka: KafkaSettings | None = None
    """Brokers that UVEs, alarms and sessions are streamed to."""
    devices: DeviceSettings = DeviceSettings()  # noqa: RUF009 # frozen
    streams_per_client: int = PER_CLIENT_DEFAULT
    told_bytes_per_second: int = PER_SECOND_DEFAULT
    """Of messages of each machine, over Sandesh and telemetry."""
    placed_only: bool = False
    """Machines with certificates tell only of what configuration places there; else also of what it places nowhere."""
    check_host: CheckHost | None = None
    """What looks at the names that clients use for this server; None: it answers to all."""


class AnalyticsService:
    """One analytics node."""

    def __init__(self, settings: AnalyticsSettings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._log = structlog.get_logger("skytrail.analytics")
        self.collector = Collector(bytes_per_second=settings.told_bytes_per_second)
        is_configured = bool(settings.api_url or settings.api_socket)
        if settings.tls is not None and settings.telemetry_port and is_configured:
            self.collector.trust = Trust(self.collector.uves, placed_only=settings.placed_only)
        self.exporters = Exporters(settings.devices.admitted, self.collector.dropped)
        self.devices = DevicePorts(
            Devices(self.collector, self.exporters), self._clock, settings.tls
        )
        self.watchman = Watchman(self.collector, settings.name)
        self.processes = Processes()
        self.collecting: Collecting | None = None
        self.telemetry = TelemetryServer(self.collector, self._clock, settings.tls, self.processes)
        self.writer: HistoryWriter | None = None
        self.others: OtherNodes | None = None
        self.shares = FairShare()
        self.judging: Judging | None = None
        self.recorder: UveRecorder | None = None
        self.delivery = AlarmDelivery(settings.alarm_routes, settings.name)
        self.watchman.tell_people = self.delivery.tell
        self.kafka = None if settings.kafka is None else self._stream_to(settings.kafka)

    def _stream_to(self, settings: KafkaSettings) -> KafkaStream:
        # Nodes without it do without the 13 MiB of its library.
        from skytrail.analytics.io.kafka_stream import KafkaStream

        feed = KafkaFeed(settings, self._settings.name, self.collector)
        self.collector.follower = feed
        self.watchman.pass_on = feed.alarm
        return KafkaStream(feed, self._settings.name, self._clock)

    async def run(self, when_ready: Callable[[Mapping[str, int]], None]) -> None:
        """Serve until cancelled; ``when_ready`` is given the ports. Raises ``OSError``."""
        settings = self._settings
        rest = [listen_tcp(settings.listen, settings.rest_port)]
        if settings.socket is not None:
            rest.append(listen_unix(settings.socket))
        router = Router()
        introspection, own_pages = Introspection(self.tables(), self.unmet, self.samples), Router()
        introspection.add_routes(router)
        introspection.add_routes(own_pages)
        own_name = hello_of_this_process(settings.name, NODE_TYPE, MODULE)
        everywhere = IntrospectEverywhere(self.processes, own_pages, own_name)
        everywhere.add_routes(router)
        self.collecting = Collecting(everywhere, self._clock)
        self.collecting.add_routes(router)
        self.watchman.collect = self.collecting.want
        gate = None
        async with AsyncExitStack() as stack:
            if settings.gate_url:
                gate = ApiGate(settings.gate_url, settings.gate_ca, self._clock)
                stack.push_async_callback(gate.close)
            past, writing = None, None
            if settings.history:
                past, writing = await self._keep_history(stack, router)
            own = OwnUves(
                self.collector,
                past,
                self._clock,
                Turns(),
                _always if gate is None else gate.stands,
            )
            AnalyticsApi(self.collector, self.watchman, self._clock, own, past).add_routes(router)
            ports = {"rest": rest[0].getsockname()[1], **await self._listen(stack)}
            following = self._follow(stack)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            if following is not None:
                group.create_task(following, name="analytics-config")
            if writing is not None:
                group.create_task(writing, name="analytics-history")
            if self.others is not None:
                group.create_task(self.others.run(), name="analytics-nodes")
            if self.judging is not None and self.writer is not None:
                group.create_task(self.judging.run(self.writer), name="analytics-copies")
            if self.kafka is not None:
                group.create_task(self.kafka.run(), name="analytics-kafka")
            group.create_task(
                serve(
                    NodeApp(
                        router,
                        admit=_admission(gate),
                        check_host=settings.check_host,
                        streams=StreamLimits(settings.streams_per_client),
                        shares=self.shares,
                    ),
                    rest,
                    when_ready=lambda: when_ready(ports),
                    tls=settings.rest_tls,
                ),
                name="analytics-rest",
            )
            group.create_task(self._tick(), name="analytics-tick")
            group.create_task(self.delivery.run(), name="analytics-alarms")
            group.create_task(self.collecting.run(), name="analytics-collecting")

    async def _keep_history(
        self, stack: AsyncExitStack, router: Router
    ) -> tuple[Past, Coroutine[object, object, None]]:
        """Add what history answers; return what is read of its entities, and what writes it."""
        settings, clock = self._settings, self._clock
        spool = await asyncio.to_thread(Spool, settings.spool)
        history = History(settings.history, settings.history_login)
        stack.push_async_callback(history.close)
        if settings.peers:
            self.others = OtherNodes(settings.peers, settings.api_access, settings.name, clock)
            stack.push_async_callback(self.others.close)
        past, turns = Past(history, settings.name, clock, self.others), Turns()
        DryRuns(past, self.watchman, clock, Turns(1)).add_routes(router)
        queries = Queries(history, clock, settings.keep_hours, settings.name, self.others)
        copies = self.collector.copies
        retold = Retold(
            self.collector.heard, copies, spool, self.others, self.telemetry.is_connected
        )
        self.telemetry.kept_elsewhere = retold.elsewhere
        instance = token_hex(8) if self.others is None else self.others.instance
        PartsApi(settings.name, instance, queries, past, retold).add_routes(router)
        questions = QueryApi(queries, clock, turns)
        stack.push_async_callback(questions.close)
        questions.add_routes(router)
        NativeQueries(queries, history, turns).add_routes(router)
        UnderlayApi(queries, self.collector).add_routes(router)
        if self.others is not None or spool.aside:
            self.judging = Judging(copies, spool, self.others, clock, settings.name)
        self.writer = HistoryWriter(
            history, self.collector, spool, clock, name=settings.name,
            acknowledge=self.telemetry.acknowledge,
            judge=None if self.judging is None else self.judging.judge,
        )  # fmt: skip
        self.writer.resume()
        self.recorder = UveRecorder(self.collector, settings.name, round(clock.wall() * 1e6))
        return past, self.writer.run(settings.keep_hours)

    async def _listen(self, stack: AsyncExitStack) -> dict[str, int]:
        """Open every port but that of REST; returns them by name. Raises ``OSError``."""
        settings, collector = self._settings, self.collector
        ports: dict[str, int] = {}
        if settings.sandesh_port:
            generators = SandeshServer(collector, self._clock, settings.name)
            server = await generators.serve(settings.listen, settings.sandesh_port)
            await stack.enter_async_context(server)
            ports["sandesh"] = settings.sandesh_port
        telemetry = self.telemetry
        if settings.telemetry_port:
            heard_at = settings.telemetry_listen or settings.listen
            server = telemetry.serve(heard_at, settings.telemetry_port)
            await stack.enter_async_context(server)
            ports["telemetry"] = settings.telemetry_port
        if settings.telemetry_socket is not None:
            await stack.enter_async_context(telemetry.serve_unix(settings.telemetry_socket))
        return ports | await self.devices.open(settings.devices, stack)

    def _follow(self, stack: AsyncExitStack) -> Coroutine[object, object, None] | None:
        """Return what follows configuration, None where no API is named."""
        settings = self._settings
        if not (settings.api_url or settings.api_socket):
            return None
        client = AsyncApiClient(
            settings.api_url or DEFAULT_URL, settings.api_socket, access=settings.api_access
        )
        stack.push_async_callback(client.close)
        if self.collector.trust is not None:
            self.collector.trust.is_current = lambda: client.watching
        watch = ConfigWatch(
            self.collector, self.watchman, self._clock, settings.name, self.exporters
        )
        return supervise("config_watch", lambda: watch.run(client))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            now = self._clock.now()
            now_us = round(self._clock.wall() * 1e6)
            self.collector.tick(now, now_us)
            self._log_refusals(now)
            self.watchman.tick(now, now_us)
            if self.recorder is not None and self.writer is not None:
                unkept = self.recorder.tick(now, now_us)
                if unkept is not None:
                    self.writer.keep_gap("uve", 0, "no_room", unkept[0])

    def _log_refusals(self, now: float) -> None:
        trust = self.collector.trust
        for machine, refused, count in trust.refusals.lines(now) if trust is not None else ():
            self._log.warning(
                "machine_refused",
                machine=machine,
                count=count,
                reason=refused.latest_reason,
                latest=refused.latest,
            )

    def unmet(self) -> list[str]:
        """Name what is missing for full operation."""
        places = {"history": self.writer, "kafka": self.kafka}
        away = [name for name, each in places.items() if each is not None and each.is_away]
        has_namesakes = self.others is not None and self.others.namesakes
        return [*away, "node-name"] if has_namesakes else away

    def tables(self) -> Mapping[str, TableSource]:
        """Return the tables of introspection."""
        return {
            "generators": lambda: self.collector.generators.rows(
                self._clock.now(), self._clock.wall()
            ),
            "exporters": self.exporters.rows,
            "refusals": self._refusal_rows,
            "uves": self._uve_rows,
            "alarms": self._alarm_rows,
        }

    def _refusal_rows(self) -> Iterable[object]:
        trust = self.collector.trust
        return () if trust is None else trust.refusals.rows()

    def _alarm_rows(self) -> Iterable[object]:
        for (table, key), alarm in self.watchman.board.all_raised():
            yield {
                "table": table,
                "key": key,
                "rule": alarm.rule.name,
                "severity": alarm.rule.severity,
                "acknowledged": alarm.acknowledged is not None,
            }

    def _uve_rows(self) -> Iterable[object]:
        for table in self.collector.uves.tables():
            yield {"table": table, "entities": len(self.collector.uves.keys(table))}

    def samples(self) -> Iterable[Sample]:
        """Yield the metrics."""
        collector = self.collector
        connected = sum(each.is_connected for each in collector.generators)
        yield Sample("skytrail_analytics_generators", connected)
        yield from self.shares.samples("skytrail_analytics")
        yield Sample("skytrail_analytics_pages_asked_total", self.processes.asked_count)
        yield Sample("skytrail_analytics_pages_unanswered_total", self.processes.unanswered_count)
        if self.others is not None:
            yield Sample("skytrail_analytics_parts_asked_total", self.others.asked_count)
            yield Sample("skytrail_analytics_parts_missing_total", self.others.missing_count)
        if self.judging is not None:
            judging = self.judging
            yield Sample("skytrail_analytics_rows_withdrawn_total", judging.withdrawn_count)
            yield Sample("skytrail_analytics_rows_unjudged_total", judging.unjudged_count)
        yield Sample("skytrail_analytics_uves", collector.uves.keys_count)
        yield Sample("skytrail_analytics_uve_changes_total", collector.uves.changes_count)
        raised = sum(1 for _ in self.watchman.board.all_raised())
        yield Sample("skytrail_analytics_alarms", raised)
        if self.collecting is not None:
            done, refused = self.collecting.collected_count, self.collecting.refused_count
            yield Sample("skytrail_analytics_alarms_collected_total", done)
            yield Sample("skytrail_analytics_alarms_not_collected_total", refused)
        for route, told, failures, dropped in self.delivery.counts():
            labels = {"route": route}
            yield Sample("skytrail_analytics_alarms_told_total", told, labels)
            yield Sample("skytrail_analytics_alarm_failures_total", failures, labels)
            yield Sample("skytrail_analytics_alarms_untold_total", dropped, labels)
        for table, batch in collector.waiting().items():
            yield Sample("skytrail_analytics_rows_waiting", len(batch), {"table": table})
            for level, count in batch.shed.items():
                labels = {"table": table, "level": str(level)}
                yield Sample("skytrail_analytics_rows_shed_total", count, labels)
        if self.recorder is not None:
            yield Sample("skytrail_analytics_snapshots_total", self.recorder.rows_count)
        if self.writer is not None:
            yield Sample("skytrail_analytics_rows_written_total", self.writer.written_count)
            yield Sample("skytrail_analytics_rows_refused_total", self.writer.refused_count)
            failures = self.writer.spool_failures_count
            yield Sample("skytrail_analytics_spool_failures_total", failures)
        if collector.trust is not None:
            yield from _of_trust(collector.trust)
        for kind, count in collector.taken.items():
            yield Sample("skytrail_analytics_messages_total", count, {"type": kind})
        for kind, count in collector.sequences.missing.items():
            yield Sample("skytrail_analytics_messages_missing_total", count, {"kind": kind})
        for reason, count in collector.dropped.items():
            yield Sample("skytrail_analytics_dropped_total", count, {"reason": reason})
        yield from self.devices.samples()
        if self.kafka is not None:
            yield from self.kafka.samples()


def _of_trust(trust: Trust) -> Iterable[Sample]:
    for reason, count in trust.refusals.total.items():
        yield Sample("skytrail_analytics_refused_total", count, {"reason": reason})
    yield Sample("skytrail_analytics_unjudged_total", trust.unjudged_count)
    yield Sample("skytrail_analytics_uves_held", trust.held_count)
    yield Sample("skytrail_analytics_uves_unheld_total", trust.refusals.unheld_count)
    yield Sample("skytrail_analytics_placed_forgotten_total", trust.placement.forgotten_count)


async def _always(request: Request) -> bool:
    """Let a stream go on: who asks over this server's socket is asked for by the API, which narrows it."""
    return True


def _admission(gate: ApiGate | None) -> Admit:
    """Return what is asked of every request before its body is read."""

    async def admit(request: Request) -> None:
        refuse_other_sites(request)
        if gate is not None:
            await gate(request)
        else:
            admit_told(request)

    return admit
