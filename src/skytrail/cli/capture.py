"""``skytrail capture`` and ``skytrail host capture``: frames of ports as a pcapng file."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import click
import httpx

from skytrail.cli.help_text import examples
from skytrail.cli.lab import complete_endpoint, opened, reports_failures
from skytrail.cli.lab_choice import lab_option
from skytrail.lab import vrouter

_CONNECT_S: Final = 10.0
CommandT = TypeVar("CommandT", bound=Callable[..., object])
_OPTIONS: Final = (
    click.option(
        "--write", "-w", metavar="FILE", type=click.File("wb", lazy=False), required=True,
        help="The pcapng file; - is standard output.",
    ),
    click.option(
        "--point", metavar="POINTS",
        help="sent, delivered, dropped, or several of them with commas; all by default.",
    ),
    click.option("--src", metavar="ADDRESS", help="One end of a flow."),
    click.option("--dst", metavar="ADDRESS", help="The other end; answers match as well."),
    click.option("--proto", metavar="NAME", help="icmp, tcp, udp, sctp, or a number."),
    click.option("--sport", metavar="PORT", help="Port at the end that --src is."),
    click.option("--port", "dport", metavar="PORT", help="Port at the other end."),
    click.option("--reason", metavar="NAME", help="Only drops for this reason, as POLICY."),
    click.option("--snap", metavar="BYTES", help="Keep so much of each frame."),
    click.option("--count", metavar="N", help="Stop after so many frames."),
    click.option("--seconds", metavar="S", help="Stop after this time; 60 by default."),
)  # fmt: skip


def capture_options(command: CommandT) -> CommandT:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(
    epilog=examples(
        "skytrail capture red-web1 -w web1.pcapng",
        "skytrail capture red-web1 -w - --proto tcp --port 80 | tcpdump -r -",
        "skytrail capture compute1 -w drops.pcapng --point dropped --seconds 10",
    )
)
@click.argument("place", metavar="WORKLOAD|HOST", shell_complete=complete_endpoint)
@capture_options
@lab_option
@reports_failures
def capture(place: str, lab_name: str | None, write: BinaryIO, **asked: str | None) -> None:
    """Capture frames of a WORKLOAD, or of all ports of a HOST, at its vRouter.

    Each frame has a comment: whether the workload sent it, it was delivered, or why it was dropped.
    """
    lab = opened(lab_name)
    hosts = [node.name for node in lab.plan.hosts]
    if place in hosts:
        fetch(lab.paths.introspect_socket(place), asked, write)
        return
    uuid = lab.attached(place).uuid
    for host in hosts:
        if any(port.vmi_uuid == uuid for port in vrouter.ports(lab, host)):
            fetch(lab.paths.introspect_socket(host), {**asked, "interface": uuid}, write)
            return
    raise click.ClickException(f"{place} is plugged on no host")


def fetch(path: Path, asked: Mapping[str, str | None], write: BinaryIO) -> None:
    """Have an agent capture until it is done, or until Ctrl-C."""
    query = {("port" if name == "dport" else name): text for name, text in asked.items() if text}
    transport = httpx.HTTPTransport(uds=str(path), verify=False)
    timeout = httpx.Timeout(None, connect=_CONNECT_S)
    size = 0
    try:
        with (
            contextlib.suppress(KeyboardInterrupt),
            httpx.Client(transport=transport, timeout=timeout, trust_env=False) as client,
            client.stream("GET", "http://agent/capture", params=query) as reply,
        ):
            if reply.status_code != 200:
                reply.read()
                raise click.ClickException(reply.text)
            click.echo("capturing; Ctrl-C ends", err=True)
            for part in reply.iter_raw():
                write.write(part)
                write.flush()
                size += len(part)
    except httpx.HTTPError as error:
        raise click.ClickException(f"no answer on {path}: {error}") from error
    click.echo(f"{size} bytes of pcapng written", err=True)
    sys.stdout.flush()
