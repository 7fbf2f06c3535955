"""The compiler process: ``python -m skytrail.daemons.compiler``.

Needs the API only; it may start before the API and outlive its restarts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket as socket_name
import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import click

from skytrail.client import Access, AccessUnusable, AsyncApiClient, Candidate
from skytrail.client.reporting import report_to_all
from skytrail.compiler.derive_traces import DeriveTraces
from skytrail.compiler.service import CompilerService, report_of, tables
from skytrail.daemons import collectors, tracing
from skytrail.daemons.api_access import REPORT_TO, REPORT_TO_HELP, checked
from skytrail.runtime import logs, tasks
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.introspection import Introspection, serve_unix
from skytrail.runtime.metrics import Sample
from skytrail.runtime.otlp_settings import OtlpUnusable
from skytrail.runtime.processes import print_ready
from skytrail.runtime.telemetry import hello_of_this_process, usage_of_this_process
from skytrail.runtime.traces import Traces
from skytrail.wire.telemetry import Uve, node_status

OFFICE = "compiler"
MODULE = "contrail-schema"
"""As which the analytics node and its users know the compiler."""
DEFAULT_URL = "http://127.0.0.1:8082"


@click.command()
@click.option("--api", "api_url", default=DEFAULT_URL, show_default=True, help="API address.")
@click.option("--api-socket", help="The API's Unix socket; wins over --api.")
@click.option("--socket", required=True, help="Where to serve introspection.")
@click.option("--elect", is_flag=True, help="Be one of several: write only while elected.")
@click.option("--log-level", default="info", type=click.Choice(logs.LEVELS), show_default=True)
@click.option("--log-json", is_flag=True, help="Log one JSON object per line.")
@click.option("--api-ca", "ca_file", help="Who signs the API's certificate (PEM).")
@click.option("--api-token-file", "token_file", help="File with a token for the API.")
@click.option("--api-user", "user", help="User at the API, with --api-password-file.")
@click.option("--api-password-file", "password_file", help="File with the user's password.")
@click.option("--api-certificate", "certificate", help="Client certificate for the API (PEM).")
@click.option(REPORT_TO, multiple=True, metavar="URL", help=REPORT_TO_HELP)
@click.option("--api-key", "key", help="Key of the client certificate (PEM).")
@click.option(
    collectors.OPTION,
    "told",
    multiple=True,
    metavar=collectors.METAVAR,
    help=collectors.OPTION_HELP,
)
@click.option(tracing.OPTION, "otlp", default="", metavar=tracing.METAVAR, help=tracing.HELP)
def main(
    api_url: str,
    api_socket: str | None,
    socket: str,
    log_level: str,
    *,
    elect: bool,
    log_json: bool,
    report_to: tuple[str, ...],
    told: tuple[str, ...],
    otlp: str,
    **access: str | None,
) -> None:
    """Derive routing instances, route targets, access lists and DNS records from the intent."""
    try:
        nodes = [collectors.address(each) for each in told]
    except argparse.ArgumentTypeError as error:
        raise click.UsageError(str(error)) from error
    informed = collectors.configure_logs(log_level, log_json, nodes)
    try:
        shown = checked(Access.of(access), api_url)
        for url in report_to:
            checked(shown, url)
        traces = tracing.traces_of(otlp, "compiler")
    except (AccessUnusable, OtlpUnusable) as error:
        raise click.UsageError(str(error)) from error
    api = Servers(api_url, api_socket, report_to, shown, informed, traces)
    sys.exit(tasks.run_until_signal(lambda: _serve(api, socket, elect=elect)))


@dataclass(frozen=True, slots=True)
class Servers:
    """The API the compiler works with, and those that it tells how far it is beside."""

    url: str
    socket: str | None
    report_to: tuple[str, ...]
    access: Access
    told: collectors.Told
    traces: Traces | None


async def _serve(servers: Servers, socket: str, *, elect: bool) -> None:
    async with AsyncExitStack() as stack:
        access = servers.access
        api = await stack.enter_async_context(
            AsyncApiClient(servers.url, unix_socket=servers.socket, access=access)
        )
        others = [
            await stack.enter_async_context(AsyncApiClient(url, access=access))
            for url in servers.report_to
        ]
        clock = SystemClock()
        service = CompilerService(api, clock)
        traces = servers.traces
        if traces is not None:
            service.tracing = DeriveTraces(traces.wants, traces.add)
        introspection = Introspection(
            tables(service), service.unmet, lambda: _samples(service, clock.now(), traces)
        )
        async with asyncio.TaskGroup() as group:
            if traces is not None:
                group.create_task(traces.run(), name="compiler-traces")
            group.create_task(
                serve_unix(
                    socket,
                    introspection,
                    when_ready=lambda: print_ready("compiler", socket=socket),
                ),
                name="compiler-introspection",
            )
            group.create_task(
                tasks.supervise("compiler", service.run, clock=clock), name="compiler-service"
            )
            name = f"compiler-{socket_name.gethostname()}-{os.getpid()}"
            group.create_task(
                report_to_all(api, others, name, lambda: report_of(service)),
                name="compiler-report",
            )
            hello = hello_of_this_process("", "Config", MODULE)
            group.create_task(
                servers.told.tell(
                    None, hello, lambda: _uves(service), pages=introspection.router()
                ),
                name="compiler-telemetry",
            )
            if elect:
                service.lead(False)
                candidate = Candidate(api, OFFICE, service.lead, clock=clock)
                group.create_task(
                    tasks.supervise("compiler-candidate", candidate.run, clock=clock),
                    name="compiler-candidate",
                )


async def _uves(service: CompilerService) -> list[Uve]:
    return [
        node_status(
            "ObjectConfigNode",
            socket_name.gethostname(),
            MODULE,
            unmet=service.unmet(),
            usage=usage_of_this_process(),
        )
    ]


def _samples(service: CompilerService, now: float, traces: Traces | None) -> Iterable[Sample]:
    yield from () if traces is None else traces.samples()
    lag_s = 0.0 if service.waiting_since is None else now - service.waiting_since
    yield Sample("skytrail_compiler_seen_revision", service.seen_revision or 0)
    yield Sample("skytrail_compiler_lag_seconds", lag_s, description="Oldest change not written.")
    yield Sample("skytrail_compiler_leading", int(service.leading))
    yield Sample("skytrail_compiler_pending_objects", len(service.pending))
    yield Sample("skytrail_compiler_refused_objects", len(service.refusals))
    yield Sample("skytrail_compiler_transactions_total", service.transactions_count)
    yield Sample("skytrail_compiler_writes_total", service.writes_count)
    yield Sample("skytrail_compiler_evaluations_total", service.engine.evaluations_count)
    yield Sample("skytrail_compiler_declines_total", service.engine.declines_count)


if __name__ == "__main__":
    main()
