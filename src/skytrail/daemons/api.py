"""The configuration API server: store, service, HTTP on TCP and on a Unix socket."""

from __future__ import annotations

import argparse
import asyncio
import socket
import ssl
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from skytrail.api import config_log
from skytrail.api.audit import Entry
from skytrail.api.io import console
from skytrail.api.io.analytics_passage import AnalyticsPassage
from skytrail.api.io.auth_none import UnsafeSettings
from skytrail.api.io.gate import Gate
from skytrail.api.io.http import HttpApi, Routes, introspection, unmet
from skytrail.api.io.live import LiveApi
from skytrail.api.io.path_trace import PathTrace
from skytrail.api.io.shared import Fenced
from skytrail.api.io.write_traces import WriteTraces
from skytrail.api.schema import Schema
from skytrail.api.service import ConfigService
from skytrail.compiler.preview import Preview
from skytrail.daemons import allowed_hosts, api_security, collectors, option_numbers, tracing
from skytrail.daemons.api_security import ServerSecurity
from skytrail.daemons.api_trace import AgentsWalk, agent_place
from skytrail.daemons.traced_agents import AnalyticsNode
from skytrail.model.catalog import CATALOG
from skytrail.runtime import garbage, processes, server, tasks
from skytrail.runtime.asgi import CheckHost
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.fair_share import FairShare
from skytrail.runtime.log_tap import LogTap
from skytrail.runtime.otlp_settings import OtlpUnusable
from skytrail.runtime.settings import SettingsInvalid
from skytrail.runtime.stream_limits import StreamLimits
from skytrail.runtime.telemetry import hello_of_this_process, usage_of_this_process
from skytrail.runtime.traces import Traces
from skytrail.store.io.open import open_store
from skytrail.store.location import EtcdLocation, Location, LocationInvalid, parse_location
from skytrail.store.plugin import StoreClosed, StoreUnavailable
from skytrail.wire.telemetry import Uve, node_status

MODULE = "contrail-api"


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; return the exit status."""
    parser = argparse.ArgumentParser(prog="skytrail-api", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the embedded store")
    parser.add_argument(
        "--store", help="etcd://HOST:PORT,... in place of --data: shared by servers"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--port", default=8082, type=option_numbers.port_or_none, help="0 picks a free one"
    )
    parser.add_argument("--socket", type=Path, help="also listen on this Unix socket")
    parser.add_argument(
        "--console", type=Path, default=console.FOLDER, help="folder of the web console's files"
    )
    _add_analytics(parser)
    parser.add_argument(
        "--agent",
        action="append",
        default=[],
        type=agent_place,
        metavar="NAME=PATH",
        help="introspection socket of a virtual-router's agent, asked for the paths of packets",
    )
    allowed_hosts.add_option(parser)
    collectors.add_option(parser)
    parser.add_argument("--log-json", action="store_true")
    tracing.add_option(parser)
    api_security.add_options(parser)
    settings = parser.parse_args(arguments)
    told = collectors.configure_logs("info", settings.log_json, settings.collector)
    if (settings.store is None) == (settings.data is None):
        parser.error("either --data FOLDER or --store etcd://HOST:PORT[,HOST:PORT...] is needed")
    try:
        security = api_security.read(settings)
        location = parse_location(settings.store or str(settings.data))
        traces = tracing.traces_of(settings.otlp, "api")
    except (OtlpUnusable, SettingsInvalid, UnsafeSettings, LocationInvalid) as error:
        print(f"skytrail-api: {error}", file=sys.stderr)
        return 2
    return tasks.run_until_signal(
        lambda: _serve(
            location,
            settings.host,
            settings.port,
            settings.socket,
            security,
            _Beside(
                settings.console,
                [place for place in settings.analytics if place],
                settings.analytics_ca,
                dict(settings.agent),
            ),
            allowed_hosts.check_of(settings.host, settings.allowed_host),
            StreamLimits(settings.streams_per_client),
            told,
            traces,
        ),
        expected=(StoreUnavailable, Fenced),
        final=(StoreClosed,),
    )


def _add_analytics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--analytics",
        action="append",
        default=[],
        type=_analytics_place,
        metavar="PLACE",
        help="analytics node that the console asks through here: unix:PATH or a URL; given several times, the "
        "first that is reached",
    )
    parser.add_argument(
        "--analytics-ca", type=_authority, metavar="FILE", help="who signed its TLS"
    )


def _analytics_place(text: str) -> str:
    """Check where the analytics node is; empty: there is none."""
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    kind, _, path = text.partition(":")
    if text and not is_url and not (kind == "unix" and path):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither unix:PATH nor http://HOST:PORT nor https://HOST:PORT"
        )
    return text


def _authority(text: str) -> Path:
    try:
        ssl.create_default_context(cafile=text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise argparse.ArgumentTypeError(f"{text!r} holds no certificate: {reason}") from error
    return Path(text)


class _Beside(NamedTuple):
    """What is served beside the API."""

    console: Path
    analytics: Sequence[str]
    analytics_ca: Path | None
    agents: Mapping[str, Path]
    """Introspection sockets by the name of the virtual-router."""

    def routes(self, service: ConfigService, gate: Gate | None) -> list[Routes]:
        found: list[Routes] = [console.ConsoleFiles(self.console)]
        passage = None
        if self.analytics:
            passage = AnalyticsPassage(service, self.analytics, self.analytics_ca, gate)
            found.append(passage)
        found.append(LiveApi(service, gate, passage))
        if self.agents or self.analytics:
            node = AnalyticsNode(self.analytics, self.analytics_ca) if self.analytics else None
            found.append(PathTrace(service, AgentsWalk(self.agents, node)))
        return found


async def _serve(
    location: Location,
    host: str,
    port: int,
    socket_path: Path | None,
    security: ServerSecurity,
    beside: _Beside,
    check_host: CheckHost | None,
    streams: StreamLimits,
    told: collectors.Told,
    traces: Traces | None,
) -> None:
    listeners = [server.listen_tcp(host, port)]
    if socket_path is not None:
        listeners.append(server.listen_unix(socket_path))
    actual_port = listeners[0].getsockname()[1]
    store = await open_store(location, writes_apart=True)
    try:
        shared = isinstance(location, EtcdLocation)
        service = await ConfigService.start(Schema(CATALOG), store, shared=shared)
        if told.tap is not None:
            service.on_committed = partial(_tell_changes, told.tap)
        if traces is not None:
            service.traces = WriteTraces(traces, SystemClock())

        def announce() -> None:
            processes.print_ready(
                "api", host=host, port=actual_port, socket=socket_path or "-",
                revision=service.revision,
            )  # fmt: skip

        async with asyncio.TaskGroup() as group:
            group.create_task(service.run())
            group.create_task(service.keep_compact())
            group.create_task(garbage.keep_short())
            group.create_task(service.keep_fence())
            if traces is not None:
                group.create_task(traces.run())
            gate = api_security.build_gate(service, security, host)
            await api_security.prepare(service, security, gate)
            if gate is not None and gate.directory is not None:
                group.create_task(gate.directory.keep_in_step())
            shares = FairShare()
            hello = hello_of_this_process("", "Config", MODULE)
            group.create_task(
                told.tell(
                    None,
                    hello,
                    partial(_uves, service),
                    pages=introspection(service, shares).router(),
                )
            )
            app = HttpApi(
                service,
                Preview(),
                gate=gate,
                also=beside.routes(service, gate),
                check_host=check_host,
                streams=streams,
                shares=shares,
            )
            group.create_task(server.serve(app, listeners, when_ready=announce, tls=security.tls))
    finally:
        await store.close()


def _tell_changes(tap: LogTap, entries: Sequence[Entry]) -> None:
    for entry in entries:
        for log in config_log.logs_of(entry):
            tap.keep(log)


async def _uves(service: ConfigService) -> list[Uve]:
    node, lacks = socket.gethostname(), unmet(service)
    usage = usage_of_this_process()
    return [node_status("ObjectConfigNode", node, MODULE, unmet=lacks, usage=usage)]


if __name__ == "__main__":
    sys.exit(main())
