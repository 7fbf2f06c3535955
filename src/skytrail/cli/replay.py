"""``skytrail replay``: what was said in a recorded session; or say it again to a control node."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from skytrail.cli.help_text import examples
from skytrail.cli.lab import json_option, print_json, print_tables
from skytrail.cli.output import note
from skytrail.control.replay import Said, reader_of, said_in
from skytrail.lab.show import table_of
from skytrail.net.decimal_text import decimal
from skytrail.runtime import recording
from skytrail.runtime.recording import Chunk, Header, RecordingInvalid
from skytrail.wire.bgp import encode_keepalive

PORTS: Final = {"bgp": 179, "xmpp": 5269}
_READ_BYTES: Final = 65536
_FOREVER_S: Final = float("inf")
_KEEPALIVES: Final = {"bgp": encode_keepalive(), "xmpp": b" "}
_KEEPALIVE_S: Final = 5.0


@click.command(
    epilog=examples(
        "skytrail replay /var/lib/skytrail/recordings/bgp-mx1-20261127T101500-812-1.session",
        "skytrail replay bgp-mx1.session --routes --until 12.5",
        "skytrail replay bgp-mx1.session --to 127.0.0.1:1790 --speed 10 --stay 60",
    )
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--routes", is_flag=True, help="Show the routes the peer had announced at the end.")
@click.option(
    "--until", type=click.FloatRange(min=0), default=_FOREVER_S, metavar="SECONDS",
    help="Stop this long after the start of the recording.",
)  # fmt: skip
@click.option(
    "--to", "target", metavar="HOST[:PORT]",
    help="Say what the peer said again, to this control node.",
)  # fmt: skip
@click.option(
    "--speed", type=click.FloatRange(min=0), default=1.0, metavar="FACTOR",
    help="With --to: so many times faster; 0: without waiting.",
)  # fmt: skip
@click.option(
    "--stay", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS",
    help="With --to: keep the session alive so long afterwards.",
)  # fmt: skip
@click.option(
    "--source", metavar="ADDRESS", help="With --to: connect from this address, as the peer did."
)
@json_option
def replay(
    file: Path,
    target: str | None,
    source: str | None,
    *,
    routes: bool,
    until: float,
    speed: float,
    stay: float,
    as_json: bool,
) -> None:
    """Show what was said in the recorded session FILE: every message of both sides, with its time.

    Control nodes record their sessions, with BGP peers and with agents, when they are started with
    --record FOLDER. "in" is what the node received. A recording holds what the session held: routes,
    and for agents their configuration.

    With --to the peer's side is said again to a live control node, byte for byte: for it the node
    must have the peer configured at the address this comes from, and speak without TLS and MD5.
    """
    try:
        header, chunks = recording.read(file)
        if target is not None:
            _say_again(header, chunks, target, source, speed=speed, stay=stay, until=until)
            return
        reader = reader_of(header.protocol)
        plain = ((each.time_s, each.direction, each.data) for each in chunks)
        said = list(said_in(reader, plain, until))
    except (RecordingInvalid, OSError) as error:
        raise click.ClickException(str(error)) from error
    held = [asdict(route) for route in reader.routes()] if routes else []
    if as_json:
        shown = {"session": _session(header), "messages": [asdict(each) for each in said]}
        print_json({**shown, "routes": held} if routes else shown)
    elif routes:
        print_tables([table_of(f"routes of {header.peer}", held)])
    else:
        print_tables([table_of(_title(header), _rows(said))])


def _session(header: Header) -> dict[str, object]:
    return {
        "protocol": header.protocol,
        "node": header.node,
        "peer": header.peer,
        "began": header.began,
    }


def _title(header: Header) -> str:
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(header.began))
    return f"{header.protocol} session of {header.node} with {header.peer}, from {began} UTC"


def _rows(said: Iterable[Said]) -> list[dict[str, object]]:
    return [
        {
            "time": f"{each.time_s:.3f}",
            "way": each.direction,
            "message": each.kind,
            "content": each.summary,
        }
        for each in said
    ]


def _say_again(
    header: Header,
    chunks: Iterator[Chunk],
    target: str,
    source: str | None,
    *,
    speed: float,
    stay: float,
    until: float,
) -> None:
    host, _, port = target.rpartition(":") if ":" in target else (target, "", "")
    number = decimal(port, 1, 65_535) if port else PORTS[header.protocol]
    if number is None:
        raise click.BadParameter(f"{target!r} is not HOST or HOST:PORT", param_hint="--to")
    address = (host, number)
    own = None if source is None else (source, 0)
    sent = heard = 0
    with socket.create_connection(address, timeout=10, source_address=own) as channel:
        channel.settimeout(None)
        began = time.monotonic()
        for chunk in chunks:
            if chunk.direction != "in" or chunk.time_s > until:
                continue
            due = began + (chunk.time_s / speed if speed else 0.0)
            heard += _listen(channel, due)
            channel.sendall(chunk.data)
            sent += len(chunk.data)
        ends = time.monotonic() + stay
        while (left := ends - time.monotonic()) > 0:
            heard += _listen(channel, time.monotonic() + min(left, _KEEPALIVE_S))
            channel.sendall(_KEEPALIVES[header.protocol])
    note(f"said {sent} bytes to {target}, heard {heard}")


def _listen(channel: socket.socket, until: float) -> int:
    """Read what comes until then; return how much. Raises ``OSError`` when the node hangs up."""
    heard = 0
    while True:
        left = max(0.0, until - time.monotonic())
        if not select.select([channel], [], [], left)[0]:
            return heard
        data = channel.recv(_READ_BYTES)
        if not data:
            raise ConnectionResetError("the control node closed the session; its log says why")
        heard += len(data)
