"""Options about devices that export to analytics, of its daemon and of ``up``."""

from __future__ import annotations

import argparse
import dataclasses
from ipaddress import ip_address, ip_network
from typing import Final

from skytrail.analytics.exporters import DeviceSettings, Network
from skytrail.daemons import option_numbers

PORTS: Final = {
    "syslog_port": "syslog over UDP and TCP, usually 514",
    "sflow_port": "sFlow version 5, usually 6343",
    "ipfix_port": "IPFIX and NetFlow version 9 over UDP, usually 4739",
}
"""Field of the settings to what is listened to there."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add where to listen, and to whom."""
    parser.add_argument(
        "--device-listen",
        type=_address,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address of the ports that devices send to",
    )
    parser.add_argument(
        "--device",
        type=_network,
        action="append",
        default=[],
        metavar="ADDRESS",
        help="device or network (CIDR) to listen to, beside this machine and configured physical routers",
    )
    for field, meaning in PORTS.items():
        parser.add_argument(
            f"--{field.replace('_', '-')}",
            type=option_numbers.port_or_none,
            default=0,
            metavar="PORT",
            help=f"of devices: {meaning}; 0: none",
        )


def settings_of(options: argparse.Namespace) -> DeviceSettings:
    """Return what the options say."""
    ports = {field: getattr(options, field) for field in PORTS}
    return DeviceSettings(listen=options.device_listen, admitted=tuple(options.device), **ports)


def arguments_of(settings: DeviceSettings) -> list[str]:
    """Return the options that say the same."""
    if settings == DeviceSettings():
        return []
    arguments = ["--device-listen", settings.listen]
    for network in settings.admitted:
        arguments += ["--device", str(network)]
    values = dataclasses.asdict(settings)
    for field in PORTS:
        if values[field]:
            arguments += [f"--{field.replace('_', '-')}", str(values[field])]
    return arguments


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:64]!r} is no IP address") from error


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text[:64]!r} is neither an address nor a network: {error}"
        ) from error
