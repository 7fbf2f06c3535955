"""``python -m skytrail.daemons.analytics``: one analytics node."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from skytrail.analytics.alarm_routes import Route, RoutesUnusable, routes_of
from skytrail.analytics.history_tables import KEPT, statements
from skytrail.analytics.io import sandesh_server, telemetry_server
from skytrail.analytics.service import AnalyticsService, AnalyticsSettings
from skytrail.analytics.told_rate import PER_SECOND_DEFAULT
from skytrail.client import AccessUnusable
from skytrail.daemons import (
    allowed_hosts,
    device_options,
    history_options,
    kafka_options,
    option_numbers,
    peer_options,
)
from skytrail.daemons.api_access import access_of_options, add_access_options
from skytrail.daemons.tls_folder import TLS_FOLDER_HELP, checked_folder
from skytrail.net.loopback import is_loopback
from skytrail.runtime import logs
from skytrail.runtime.processes import print_ready
from skytrail.runtime.tasks import run_until_signal
from skytrail.runtime.tls import TlsFiles, TlsUnusable

REST_PORT = 8081


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        tls = checked_folder(options.tls, is_server=True)
        access = access_of_options(options)
    except (AccessUnusable, TlsUnusable) as error:
        parser.error(str(error))
    if (options.tls_certificate is None) != (options.tls_key is None):
        parser.error("--tls-certificate and --tls-key are given together")
    rest_tls = options.tls_certificate and TlsFiles(options.tls_certificate, options.tls_key)
    heard_at = options.telemetry_listen or options.listen
    if options.telemetry_port and tls is None and not is_loopback(heard_at):
        parser.error("--telemetry-port needs --tls: processes of other machines say who they are")
    is_open = not options.authenticate_at or rest_tls is None
    if is_open and not is_loopback(options.listen):
        parser.error(
            "--listen needs --authenticate-at and --tls-certificate: without them whoever connects "
            "there sees what all tenants do"
        )
    if options.syslog_tls_port and tls is None:
        parser.error("--syslog-tls-port needs --tls: the node shows a certificate, as devices do")
    peer_options.check(options, parser)
    login = history_options.login_of(options, parser)
    if options.show_tables:
        print(";\n".join(statements(dict(options.keep))) + ";")
        return 0
    logs.configure(level=options.log_level, json=options.log_json)
    settings = AnalyticsSettings(
        name=options.name,
        listen=options.listen,
        rest_port=options.port,
        sandesh_port=options.sandesh_port,
        telemetry_listen=heard_at,
        telemetry_port=options.telemetry_port,
        socket=options.socket,
        telemetry_socket=options.telemetry_socket,
        tls=None if tls is None else tls.server(),
        api_url=options.api_url,
        api_socket=options.api_socket,
        api_access=access,
        history=options.history,
        history_login=login,
        peers=options.peer,
        spool=options.spool,
        keep_hours=dict(options.keep),
        alarm_routes=options.alarm_routes,
        kafka=options.kafka,
        devices=replace(
            device_options.settings_of(options), syslog_tls_port=options.syslog_tls_port
        ),
        rest_tls=rest_tls,
        gate_url=options.authenticate_at,
        gate_ca=access.ca_file,
        streams_per_client=options.streams_per_client,
        told_bytes_per_second=options.told_bytes_per_second,
        placed_only=options.placed_only,
        check_host=allowed_hosts.check_of(options.listen, options.allowed_host),
    )

    def ready(ports: Mapping[str, int]) -> None:
        print_ready("analytics", node=settings.name, listen=settings.listen, **ports)

    return run_until_signal(lambda: AnalyticsService(settings).run(ready))


def _routes(text: str) -> tuple[Route, ...]:
    """Read the file of alarm routes; its secrets must be readable."""
    try:
        routes = routes_of(Path(text).read_bytes())
        for route in routes:
            files = (route.secret_file, route.smtp_password_file, route.smtp_ca_file)
            for file in filter(None, files):
                Path(file).read_bytes()
    except (OSError, RoutesUnusable) as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error
    return routes


def _kept(text: str) -> tuple[str, int]:
    """Read TABLE=HOURS."""
    table, _, hours = text.partition("=")
    if table not in KEPT:
        raise argparse.ArgumentTypeError(f"{table[:32]!r} is none of {', '.join(KEPT)}")
    if not (hours.isascii() and hours.isdigit() and 0 < len(hours) <= 6 and int(hours) > 0):
        raise argparse.ArgumentTypeError(f"{hours[:32]!r} is no number of hours from 1 to 999999")
    return table, int(hours)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="skytrail-analytics", description=__doc__)
    parser.add_argument("--name", default=socket.gethostname(), help="name of this node")
    parser.add_argument("--listen", default="127.0.0.1", help="address of the ports")
    parser.add_argument(
        "--port", type=option_numbers.port_or_none, default=REST_PORT, help="of the REST interface"
    )
    parser.add_argument(
        "--sandesh-port",
        type=option_numbers.port_or_none,
        default=0,
        help=f"of generators of the original system, usually {sandesh_server.PORT}; they neither "
        "encrypt nor authenticate; 0: none",
    )
    parser.add_argument(
        "--telemetry-port",
        type=option_numbers.port_or_none,
        default=0,
        help=f"of processes of other machines, usually {telemetry_server.PORT}; 0: none",
    )
    device_options.add_options(parser)
    parser.add_argument(
        "--syslog-tls-port",
        type=option_numbers.port_or_none,
        default=0,
        metavar="PORT",
        help="of devices: syslog over TLS, usually 6514, from all that show a certificate; 0: none",
    )
    parser.add_argument(
        "--telemetry-listen",
        metavar="ADDR",
        help="address of the telemetry port, where it is not that of --listen",
    )
    parser.add_argument("--tls-certificate", type=Path, metavar="FILE", help="PEM chain of REST")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="PEM key of it")
    parser.add_argument(
        "--authenticate-at",
        default="",
        metavar="URL",
        help="API that says who sends a request; administrators and global readers are admitted, members of projects to their own part",
    )
    parser.add_argument(
        "--told-bytes-per-second",
        type=option_numbers.number(2 << 20, 1 << 40),
        default=PER_SECOND_DEFAULT,
        metavar="BYTES",
        help="how much each machine may tell, over Sandesh and telemetry; beyond it the least severe "
        f"messages are left out, counted ({PER_SECOND_DEFAULT} by default)",
    )
    parser.add_argument(
        "--placed-only",
        action="store_true",
        help="take from hosts with certificates only what is of workloads that configuration places there",
    )
    parser.add_argument("--tls", type=Path, metavar="FOLDER", help=TLS_FOLDER_HELP)
    parser.add_argument("--socket", type=Path, help="also serve REST and introspection here")
    parser.add_argument("--telemetry-socket", type=Path, help="for processes of this machine")
    parser.add_argument("--api-url", default="", help="API whose configuration is followed")
    parser.add_argument("--api-socket", help="its Unix socket; wins over --api-url")
    add_access_options(parser)
    allowed_hosts.add_option(parser)
    _add_store(parser)
    kafka_options.add_option(parser)
    parser.add_argument("--log-level", default="info", choices=logs.LEVELS)
    parser.add_argument("--log-json", action="store_true")
    return parser


def _add_store(parser: argparse.ArgumentParser) -> None:
    """Add what is kept, and who is told of alarms."""
    parser.add_argument(
        "--history",
        default="",
        metavar="PLACE",
        help="store of logs: the socket of skytrail.daemons.history, or http://HOST:8123 of a "
        "ClickHouse cluster; without, there are no queries",
    )
    history_options.add_options(parser)
    peer_options.add_option(parser)
    parser.add_argument(
        "--spool",
        type=Path,
        metavar="FOLDER",
        help="where rows are kept until the store has them: what is there survives kill -9 of this "
        "process; without, rows are acknowledged when the store has them",
    )
    parser.add_argument(
        "--keep",
        type=_kept,
        action="append",
        default=[],
        metavar="TABLE=HOURS",
        help="how long rows are kept; by default "
        + ", ".join(f"{name}={table.keep_hours}" for name, table in KEPT.items()),
    )
    parser.add_argument(
        "--alarm-routes",
        type=_routes,
        default=(),
        metavar="FILE",
        help="TOML: who is told of which alarms by webhook or e-mail",
    )


if __name__ == "__main__":
    sys.exit(main())
