"""``skytrail up``: run the controller alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from skytrail.cli.help_text import examples

PORT_MAX: Final = 65_535


def _port_option(
    name: str, default: int, text: str, *, low: int = 0
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        name,
        default=default,
        show_default=default > 0,
        type=click.IntRange(low, PORT_MAX),
        metavar="PORT",
        help=text,
    )


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
    "--name",
    metavar="NAME",
    help="Name of control node and analytics, for a second controller of one machine (default: the "
    "host's).",
)
@_port_option("--api-port", 8082, "TCP port of the API.", low=1)
@_port_option("--control-port", 5269, "TCP port for agents.", low=1)
@click.option(
    "--control-listen",
    metavar="ADDRESS",
    help="Address for agents, as hosts reach it (default: loopback). Without --secure neither "
    "encrypted nor authenticated: the underlay must keep strangers away.",
)
@_port_option("--analytics-port", 8081, "TCP port of analytics, on loopback; 0 does without.")
@_port_option(
    "--sandesh-port",
    0,
    "Also listen to generators that speak Sandesh, on loopback (usually 8086).",
)
@_port_option("--syslog-port", 0, "Also take syslog of devices over UDP and TCP (usually 514).")
@_port_option("--sflow-port", 0, "Also take sFlow of switches (usually 6343).")
@_port_option(
    "--ipfix-port", 0, "Also take IPFIX and NetFlow 9 of switches over UDP (usually 4739)."
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
    type=click.IntRange(0, PORT_MAX),
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
@click.option(
    "--analytics-peer",
    "analytics_peers",
    multiple=True,
    metavar="PLACE",
    help="Analytics of another controller of this machine, unix:ITS_DATA/analytics.sock or, without "
    "--secure, http://127.0.0.1:PORT: questions of history are answered from both.",
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
@click.pass_context
def up(context: click.Context, **_: object) -> None:
    """Run the controller alone: API, compiler, control node, analytics, embedded store; no root.

    Prints one line when it serves; Ctrl-C or SIGTERM ends it.
    """
    # Replaced rather than started: signals and the exit status then need no forwarding.
    command = [sys.executable, "-P", "-m", "skytrail.daemons.up", *_arguments(context)]
    os.execv(sys.executable, command)  # noqa: S606 - a fixed program, not through a shell


def _arguments(context: click.Context) -> list[str]:
    """Return what says the same to the daemon: its options have the same names."""
    arguments: list[str] = []
    for option in context.command.params:
        given = context.params[option.name or ""]
        name = option.opts[0]
        if isinstance(option, click.Option) and option.is_flag:
            arguments += [name] if given else []
        elif given is not None:
            values = given if option.multiple else (given,)
            arguments += [word for each in values for word in (name, str(each))]
    return arguments
