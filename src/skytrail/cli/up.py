"""``skytrail up``: run the controller alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from skytrail.cli.help_text import examples


@click.command(
    epilog=examples(
        "skytrail up --data /var/lib/skytrail",
        "skytrail up --data build/controller --api-port 9082 --control-port 9269",
        "skytrail up --data /var/lib/skytrail --control-listen 192.0.2.10",
    )
)
@click.option(
    "--data",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the embedded store; made when it is not there.",
)
@click.option(
    "--api-port",
    default=8082,
    show_default=True,
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="TCP port of the API.",
)
@click.option(
    "--control-port",
    default=5269,
    show_default=True,
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="TCP port for agents.",
)
@click.option(
    "--control-listen",
    metavar="ADDRESS",
    help="Address for agents, as hosts reach it (default: loopback). Without --secure neither "
    "encrypted nor authenticated: the underlay must keep strangers away.",
)
@click.option(
    "--analytics-port",
    default=8081,
    show_default=True,
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="TCP port of analytics, on loopback; 0 does without.",
)
@click.option(
    "--sandesh-port",
    default=0,
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Also listen to generators that speak Sandesh, on loopback (usually 8086).",
)
@click.option(
    "--syslog-port",
    default=0,
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Also take syslog of devices over UDP and TCP (usually 514).",
)
@click.option(
    "--sflow-port",
    default=0,
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Also take sFlow of switches (usually 6343).",
)
@click.option(
    "--ipfix-port",
    default=0,
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Also take IPFIX and NetFlow 9 of switches over UDP (usually 4739).",
)
@click.option(
    "--device-listen",
    metavar="ADDRESS",
    help="Address that devices send to (default: loopback).",
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="ADDRESS",
    help="Device or network to listen to, beside this machine and configured physical routers.",
)
@click.option(
    "--telemetry-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="TCP port where hosts tell analytics what they do, at --control-listen (default: 8189; 0 and "
    "without --secure: none).",
)
@click.option(
    "--kafka",
    metavar="BROKERS",
    help="Stream UVEs, alarms and sessions to Kafka: HOST:PORT, several with commas, or a file "
    "NAME.toml that also says topics, TLS and SASL.",
)
@click.option(
    "--snmp",
    is_flag=True,
    help="Poll physical-routers whose physical_router_snmp is true, and show how they are cabled.",
)
@click.option("--no-history", is_flag=True, help="Keep no logs: analytics knows the present only.")
@click.option(
    "--store",
    metavar="PLACE",
    help="etcd://HOST:PORT[,HOST:PORT...] in place of the embedded store.",
)
@click.option(
    "--secure",
    is_flag=True,
    help="Serve TLS, have everybody log in and hosts show certificates.",
)
@click.option(
    "--placed-only",
    is_flag=True,
    help="Let hosts use only networks and machines that the configuration places there.",
)
@click.option("--listen", metavar="ADDRESS", help="Address of the API; needs --secure.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Name that clients may use for API and analytics, beside addresses and localhost.",
)
@click.option(
    "--streams-per-client",
    type=click.IntRange(1, 2048),
    metavar="COUNT",
    help="Watches that a user, or an unasked address, may have open.",
)
def up(
    data: Path,
    api_port: int,
    control_port: int,
    analytics_port: int,
    sandesh_port: int,
    syslog_port: int,
    sflow_port: int,
    ipfix_port: int,
    device_listen: str | None,
    devices: tuple[str, ...],
    telemetry_port: int | None,
    kafka: str | None,
    control_listen: str | None,
    store: str | None,
    listen: str | None,
    allowed_hosts: tuple[str, ...],
    streams_per_client: int | None,
    *,
    secure: bool,
    placed_only: bool,
    no_history: bool,
    snmp: bool,
) -> None:
    """Run the controller alone: API, compiler, control node, analytics, embedded store; no root.

    Prints one line when it serves; Ctrl-C or SIGTERM ends it.
    """
    arguments = ["--data", str(data), "--api-port", str(api_port)]
    arguments += ["--control-port", str(control_port)]
    arguments += ["--analytics-port", str(analytics_port), "--sandesh-port", str(sandesh_port)]
    arguments += ["--syslog-port", str(syslog_port), "--sflow-port", str(sflow_port)]
    arguments += ["--ipfix-port", str(ipfix_port)]
    arguments += ["--device-listen", device_listen] if device_listen else []
    arguments += [part for each in devices for part in ("--device", each)]
    arguments += [] if telemetry_port is None else ["--telemetry-port", str(telemetry_port)]
    arguments += ["--control-listen", control_listen] if control_listen else []
    arguments += ["--secure"] if secure else []
    arguments += ["--placed-only"] if placed_only else []
    arguments += ["--no-history"] if no_history else []
    arguments += ["--kafka", kafka] if kafka is not None else []
    arguments += ["--snmp"] if snmp else []
    arguments += ["--listen", listen] if listen else []
    arguments += ["--store", store] if store else []
    if streams_per_client is not None:
        arguments += ["--streams-per-client", str(streams_per_client)]
    for name in allowed_hosts:
        arguments += ["--allowed-host", name]
    # Replaced rather than started: signals and the exit status then need no forwarding.
    command = [sys.executable, "-P", "-m", "skytrail.daemons.up", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - a fixed program, not through a shell
