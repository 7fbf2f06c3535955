"""``python -m skytrail.daemons.snmp``: polls switches by SNMP, and tells analytics what they are and how they are cabled.

Polled are ``physical-router`` objects with ``physical_router_snmp``. Needs the API; it may start before it.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from skytrail.analytics.io.snmp_poller import SnmpPoller
from skytrail.analytics.snmp_devices import PORT
from skytrail.client import Access, AccessUnusable, AsyncApiClient
from skytrail.daemons import collectors, option_numbers
from skytrail.daemons.api_access import access_of_options, add_access_options
from skytrail.daemons.tls_folder import TLS_FOLDER_HELP, checked_folder
from skytrail.runtime import logs
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.introspection import Introspection, serve_unix
from skytrail.runtime.mutual_tls import TlsFolder
from skytrail.runtime.processes import print_ready
from skytrail.runtime.tasks import run_until_signal, supervise
from skytrail.runtime.telemetry import hello_of_this_process, usage_of_this_process
from skytrail.runtime.tls import TlsUnusable
from skytrail.wire.telemetry import Uve, node_status

MODULE = "contrail-snmp-collector"
"""As which the analytics node and its users know this process."""
NODE_TABLE = "ObjectAnalyticsSnmpInfo"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        tls = checked_folder(options.tls, is_server=False)
        access = access_of_options(options)
    except (AccessUnusable, TlsUnusable) as error:
        parser.error(str(error))
    told = collectors.configure_logs(options.log_level, options.log_json, options.collector)
    return run_until_signal(lambda: _serve(options, access, told, tls))


async def _serve(
    options: argparse.Namespace, access: Access, told: collectors.Told, tls: TlsFolder | None
) -> None:
    clock = SystemClock()
    poller = SnmpPoller(clock, options.every, options.scan_every, options.port)
    introspection = Introspection({"devices": poller.rows}, list, poller.samples)

    async def uves() -> list[Uve]:
        own = node_status(NODE_TABLE, options.name, MODULE, unmet=[], usage=usage_of_this_process())
        return [own, *await poller.uves()]

    async with AsyncExitStack() as stack:
        client = AsyncApiClient(options.api_url, options.api_socket, access=access)
        stack.push_async_callback(client.close)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        group.create_task(
            serve_unix(
                str(options.socket), introspection,
                when_ready=lambda: print_ready("snmp", socket=options.socket),
            ),
            name="snmp-introspection",
        )  # fmt: skip
        group.create_task(
            supervise("snmp_poller", lambda: poller.run(client), clock=clock), name="snmp-poller"
        )
        hello = hello_of_this_process(options.name, "AnalyticsSNMP", MODULE)
        group.create_task(
            told.tell(tls, hello, uves, pages=introspection.router()), name="snmp-telemetry"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="skytrail-snmp", description=__doc__)
    parser.add_argument("--name", default=socket.gethostname(), help="name of this node")
    parser.add_argument(
        "--api", dest="api_url", default="http://127.0.0.1:8082", help="API address"
    )
    parser.add_argument("--api-socket", help="the API's Unix socket; wins over --api")
    parser.add_argument("--socket", type=Path, required=True, help="where introspection is served")
    parser.add_argument(
        "--every", type=option_numbers.number(1, 86_400), default=60, metavar="SECONDS",
        help="between two looks at interfaces and counters of a device",
    )  # fmt: skip
    parser.add_argument(
        "--scan-every", type=option_numbers.number(1, 86_400), default=600, metavar="SECONDS",
        help="between two looks at its neighbours",
    )  # fmt: skip
    parser.add_argument("--port", type=option_numbers.port, default=PORT, help="of devices")
    collectors.add_option(parser)
    parser.add_argument("--tls", type=Path, metavar="FOLDER", help=TLS_FOLDER_HELP)
    parser.add_argument("--log-level", default="info", choices=logs.LEVELS)
    parser.add_argument("--log-json", action="store_true")
    add_access_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
