"""The option of every daemon that names the analytics nodes, and the task that tells them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from skytrail.net.decimal_text import decimal
from skytrail.runtime import logs
from skytrail.runtime.answering import Pages
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.log_tap import LogTap
from skytrail.runtime.mutual_tls import TlsFolder
from skytrail.runtime.telemetry import Collectors, Endpoint, SessionSource, Source, Telemetry
from skytrail.wire.telemetry import Hello

OPTION = "--collector"
OPTION_HELP = (
    "an analytics node that is told what this process knows (port 8189); given several times, the "
    "first that answers"
)
METAVAR = "ADDR[:PORT]|unix:PATH"
PORT: Final = 8189
AT_CONTROL: Final = "control"
NOWHERE: Final = "none"
_UNIX = "unix:"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add the option; ``options.collector`` is then a list of endpoints."""
    parser.add_argument(
        OPTION,
        action="append",
        type=address,
        default=[],
        metavar=METAVAR,
        help=OPTION_HELP,
    )


def add_agent_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of agents, whose collectors may be where their control nodes are."""
    parser.add_argument(
        OPTION,
        action="append",
        type=_of_agent,
        default=[],
        metavar=f"{METAVAR}|{AT_CONTROL}|{NOWHERE}",
        help=f"{OPTION_HELP}; {AT_CONTROL}: at the control nodes' addresses, where `skytrail up` has one",
    )


def _of_agent(text: str) -> Endpoint | str:
    return text if text in {AT_CONTROL, NOWHERE} else address(text)


def of_agent(given: Sequence[Endpoint | str], controls: Sequence[str]) -> list[Endpoint]:
    """Return where an agent tells; ``controls`` are the hosts of its control nodes."""
    found: dict[Endpoint, None] = {}
    for each in given:
        if each == AT_CONTROL:
            found |= dict.fromkeys((host, PORT) for host in controls)
        elif not isinstance(each, str):
            found[each] = None
    return list(found)


def address(text: str) -> Endpoint:
    """Read ``ADDR[:PORT]``, ``[V6]:PORT`` or ``unix:PATH``; ArgumentTypeError when it is none."""
    if text.startswith(_UNIX) and text != _UNIX:
        return Path(text.removeprefix(_UNIX))
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(PORT)
    host = host.removeprefix("[").removesuffix("]")
    number = decimal(port, 1, 65_535)
    if not host or number is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not {METAVAR}")
    return host, number


@dataclass(frozen=True, slots=True)
class Told:
    """The analytics nodes of a process, and the tap on its log."""

    endpoints: Sequence[Endpoint]
    tap: LogTap | None

    async def tell(
        self,
        tls: TlsFolder | None,
        hello: Hello,
        source: Source,
        sessions: SessionSource | None = None,
        *,
        pages: Pages,
    ) -> None:
        """Tell the first node that answers, and show it ``pages`` that it asks for, until cancelled.

        Returns when there is no node.
        """
        client = None if tls is None else tls.client()
        collectors = Collectors(self.endpoints, client)
        await Telemetry(hello, source, collectors, SystemClock(), self.tap, sessions, pages).run()


def configure_logs(level: str, json: bool, endpoints: Sequence[Endpoint]) -> Told:
    """Set the log up; it is told to analytics nodes, where there are any, as well."""
    tap = LogTap(SystemClock()) if endpoints else None
    logs.configure(level, json, tap=tap)
    return Told(endpoints, tap)
