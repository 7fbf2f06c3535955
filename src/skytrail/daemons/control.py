"""``python -m skytrail.daemons.control``: one control node."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path

from skytrail.client import AccessUnusable
from skytrail.control.io import uves
from skytrail.control.limits import Limits
from skytrail.control.service import ControlService, ControlSettings
from skytrail.daemons import collectors, option_numbers, tracing
from skytrail.daemons.api_access import (
    REPORT_TO,
    REPORT_TO_HELP,
    access_of_options,
    add_access_options,
    checked,
)
from skytrail.daemons.tls_folder import TLS_FOLDER_HELP, checked_folder
from skytrail.runtime.processes import print_ready
from skytrail.runtime.tasks import run_until_signal
from skytrail.runtime.telemetry import hello_of_this_process
from skytrail.runtime.tls import TlsUnusable
from skytrail.runtime.traces import Traces
from skytrail.wire.xmpp.session import HOLD_TIME_S


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        tls = checked_folder(options.xmpp_tls, is_server=True)
        access = access_of_options(options)
        for url in options.report_to:
            checked(access, url)
    except (AccessUnusable, TlsUnusable) as error:
        parser.error(str(error))
    _check_bgp_listen(parser, options.bgp_listen)
    told = collectors.configure_logs(options.log_level, options.log_json, options.collector)
    settings = ControlSettings(
        name=options.name,
        listen=options.listen,
        port=options.port,
        bgp_listen=tuple(options.bgp_listen),
        bgp_port=options.bgp_port,
        dns_listen=options.dns_listen,
        dns_port=options.dns_port,
        names_listen=options.names_listen,
        names_port=options.names_port,
        api_url=options.api_url,
        api_socket=options.api_socket,
        api_access=access,
        report_to=tuple(options.report_to),
        introspect_socket=options.socket,
        tls=tls,
        hold_time_s=options.hold_time,
        record=options.record,
        limits=Limits(
            restart_time_s=options.restart_time,
            deferral_time_s=options.deferral_time,
            placed_only=options.placed_only,
        ),
    )

    def ready(port: int) -> None:
        print_ready("control", node=settings.name, listen=settings.listen, port=port)

    traces = tracing.checked(parser, options.otlp, "control", settings.name)
    return run_until_signal(lambda: _serve(settings, told, ready, traces))


async def _serve(
    settings: ControlSettings,
    told: collectors.Told,
    ready: Callable[[int], None],
    traces: Traces | None,
) -> None:
    service = ControlService(settings, traces=traces)
    hello = hello_of_this_process(settings.name, uves.NODE_TYPE, uves.MODULE)
    async with asyncio.TaskGroup() as group:
        group.create_task(service.run(ready))
        if traces is not None:
            group.create_task(traces.run(), name="control-traces")
        group.create_task(
            told.tell(
                settings.tls,
                hello,
                lambda: uves.uves_of(service),
                pages=service.pages().router(),
            )
        )


def _check_bgp_listen(parser: argparse.ArgumentParser, texts: Sequence[str]) -> None:
    versions: set[int] = set()
    for text in texts:
        try:
            version = ip_address(text).version
        except ValueError as error:
            parser.error(f"argument --bgp-listen: {error}")
        if version in versions:
            parser.error(
                f"argument --bgp-listen: {text} is another IPv{version} address, one is possible"
            )
        versions.add(version)


def _parser() -> argparse.ArgumentParser:
    limits = Limits()
    parser = argparse.ArgumentParser(prog="skytrail-control", description=__doc__)
    parser.add_argument("--name", required=True, help="name of this node")
    parser.add_argument("--api-socket", help="Unix socket of the API; wins over --api-url")
    parser.add_argument("--api-url", default="http://127.0.0.1:8082")
    add_access_options(parser)
    parser.add_argument(REPORT_TO, action="append", default=[], metavar="URL", help=REPORT_TO_HELP)
    collectors.add_option(parser)
    tracing.add_option(parser)
    parser.add_argument("--listen", default="0.0.0.0", help="address agents connect to")
    parser.add_argument("--port", type=option_numbers.port_or_none, default=5269)
    parser.add_argument("--xmpp-tls", type=Path, metavar="FOLDER", help=TLS_FOLDER_HELP)
    parser.add_argument(
        "--bgp-listen",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="our address of BGP sessions; again for the other IP version; without, no BGP is spoken",
    )
    parser.add_argument("--bgp-port", type=option_numbers.port_or_none, default=179)
    parser.add_argument(
        "--dns-listen",
        default="",
        metavar="ADDRESS",
        help="address that compatible agents ask for names at; without, nobody may",
    )
    parser.add_argument("--dns-port", type=option_numbers.port_or_none, default=8093)
    parser.add_argument(
        "--names-listen",
        default="",
        help="address to answer externally visible names at by DNS; not given: nowhere",
    )
    parser.add_argument("--names-port", type=option_numbers.port_or_none, default=53)
    parser.add_argument("--socket", default="", help="Unix socket for introspection")
    parser.add_argument(
        "--hold-time", type=float, default=HOLD_TIME_S, help="seconds of silence that end a session"
    )
    parser.add_argument(
        "--restart-time",
        type=float,
        default=limits.restart_time_s,
        help="seconds a lost agent's routes are kept",
    )
    parser.add_argument(
        "--deferral-time",
        type=float,
        default=limits.deferral_time_s,
        help="seconds to wait for known agents before the first end of RIB",
    )
    parser.add_argument(
        "--placed-only",
        action="store_true",
        help="let hosts use only networks and machines that the configuration places there",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FOLDER",
        help="record every session there, for `skytrail replay`; holds what the sessions hold",
    )
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--log-json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
