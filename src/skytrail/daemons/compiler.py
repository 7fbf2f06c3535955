"""The compiler process: ``python -m skytrail.daemons.compiler``.

Needs the API only; it may start before the API and outlive its restarts.
"""

from __future__ import annotations

import asyncio
import os
import socket as socket_name
import sys
from collections.abc import Iterable

import click

from skytrail.client import Access, AccessUnusable, AsyncApiClient, Candidate
from skytrail.client.reporting import keep_reporting
from skytrail.compiler.service import CompilerService, report_of, tables
from skytrail.daemons.api_access import checked
from skytrail.runtime import logs, tasks
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.introspection import Introspection, serve_unix
from skytrail.runtime.metrics import Sample
from skytrail.runtime.processes import print_ready

OFFICE = "compiler"
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
@click.option("--api-key", "key", help="Key of the client certificate (PEM).")
def main(
    api_url: str,
    api_socket: str | None,
    socket: str,
    log_level: str,
    *,
    elect: bool,
    log_json: bool,
    **access: str | None,
) -> None:
    """Derive routing instances, route targets, access lists and DNS records from the intent."""
    logs.configure(log_level, log_json)
    try:
        shown = checked(Access.of(access), api_url)
    except AccessUnusable as error:
        raise click.UsageError(str(error)) from error
    sys.exit(
        tasks.run_until_signal(lambda: _serve(api_url, api_socket, socket, shown, elect=elect))
    )


async def _serve(
    api_url: str, api_socket: str | None, socket: str, access: Access, *, elect: bool
) -> None:
    async with AsyncApiClient(api_url, unix_socket=api_socket, access=access) as api:
        clock = SystemClock()
        service = CompilerService(api, clock)
        introspection = Introspection(
            tables(service), service.unmet, lambda: _samples(service, clock.now())
        )
        async with asyncio.TaskGroup() as group:
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
                keep_reporting(api, name, lambda: report_of(service)), name="compiler-report"
            )
            if elect:
                service.lead(False)
                candidate = Candidate(api, OFFICE, service.lead, clock=clock)
                group.create_task(
                    tasks.supervise("compiler-candidate", candidate.run, clock=clock),
                    name="compiler-candidate",
                )


def _samples(service: CompilerService, now: float) -> Iterable[Sample]:
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
