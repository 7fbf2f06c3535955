"""``skytrail host``: a compute host's own vRouter, asked on that host (needs root there)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final, ParamSpec, TypeVar

import click
import httpx
import msgspec

from skytrail.cli.capture import capture_options, fetch
from skytrail.cli.help_text import examples
from skytrail.cli.host_check import check
from skytrail.cli.host_clean import clean
from skytrail.cli.lab import json_option, print_json, print_tables, reports_failures, rows_options
from skytrail.cli.session import console
from skytrail.cli.trace import check_port, show_trace, trace_record
from skytrail.lab import show as lab_show
from skytrail.lab import trace as tracing
from skytrail.lab.io import plug as plugs
from skytrail.lab.io.plug import PlugError, PluggedPort
from skytrail.lab.trace import (
    DELIVERED,
    FORWARDED,
    PROTOCOLS,
    Endpoint,
    Explanation,
    Leg,
    Packet,
    PortRow,
    Query,
    ReadTable,
    TraceResult,
)
from skytrail.runtime.introspection import IntrospectionFailed, read_table

ParametersT = ParamSpec("ParametersT")
ResultT = TypeVar("ResultT")
SOCKET: Final = Path("/run/skytrail-agent/agent.sock")
PLUG_SOCKET: Final = Path("/run/skytrail-agent/plug.sock")
"""Where the installed unit has them."""
_OVERVIEW: Final = ("interfaces", "sessions")
_HERE: Final = "here"

socket_option = click.option(
    "--socket", "path", metavar="PATH", type=click.Path(path_type=Path), default=SOCKET, show_default=True,
    help="The agent's introspection socket.",
)  # fmt: skip
plug_socket_option = click.option(
    "--socket", "path", metavar="PATH", type=click.Path(path_type=Path), default=PLUG_SOCKET, show_default=True,
    help="The agent's plug socket.",
)  # fmt: skip


def asks_agent(command: Callable[ParametersT, ResultT]) -> Callable[ParametersT, ResultT]:
    """Say how to have an agent where none answers; the lab's other failures as everywhere."""

    @functools.wraps(command)
    def wrapped(*args: ParametersT.args, **kwargs: ParametersT.kwargs) -> ResultT:
        try:
            return command(*args, **kwargs)
        except (IntrospectionFailed, PlugError) as error:
            raise click.ClickException(f"{error}{_advice(error.__cause__)}") from error

    return reports_failures(wrapped)


def _advice(cause: BaseException | None) -> str:
    if not isinstance(cause, OSError | httpx.TransportError):
        return ""
    if "Permission denied" in str(cause):
        return "\nAsk as root."
    return (
        "\nStart the agent with `systemctl start skytrail-agent`, or say where its socket is with"
        " --socket PATH (in a lab: `skytrail lab show`)."
    )


@click.group(
    epilog=examples(
        "skytrail host check",
        "skytrail host show",
        "skytrail host show routes",
        "skytrail host plug PORT-UUID tap0 --machine MACHINE-UUID",
        "skytrail host trace port-1 10.9.0.12 tcp 22",
    )
)
def host() -> None:
    """Look into, and plug ports at, the vRouter of the compute host this runs on."""


host.add_command(check)
host.add_command(clean)


@host.command(
    short_help="Show ports and sessions, or a table of the vRouter.",
    epilog=examples("skytrail host show", "skytrail host show drops", "skytrail host show routes"),
)
@click.argument("view", required=False)
@rows_options
@socket_option
@json_option
@asks_agent
def show(
    view: str | None, where: tuple[str, ...], network: str | None, path: Path, *, as_json: bool
) -> None:
    """Show the host's ports and control sessions, or one VIEW; a wrong name lists all."""
    tables = [
        lab_show.introspected(
            path, each, each, every_column=as_json, where=lab_show.conditions(where, network)
        )
        for each in ((view,) if view else _OVERVIEW)
    ]
    if as_json:
        print_json({table.title: table.records() for table in tables})
        return
    print_tables(tables)


@host.command(
    short_help="Hand a link of this host to the vRouter as a port.",
    epilog=examples("skytrail host plug PORT-UUID tap0 --machine MACHINE-UUID"),
)
@click.argument("port", type=click.UUID)
@click.argument("link")
@click.option("--machine", metavar="UUID", type=click.UUID, help="The port's virtual machine.")
@click.option(
    "--kind", type=click.Choice(("veth", "tap")), default="veth", show_default=True,
    help="What the link is: one end of a veth pair (containers, namespaces), or a hypervisor's tap.",
)  # fmt: skip
@plug_socket_option
@asks_agent
def plug(port: object, link: str, machine: object, kind: str, path: Path) -> None:
    """Serve the virtual-machine-interface PORT on LINK; repeating it is harmless."""
    vm_uuid = "" if machine is None else str(machine)
    plugs.plug(path, PluggedPort(vmi_uuid=str(port), vm_uuid=vm_uuid, ifname=link, kind=kind))
    click.echo(f"port {port} plugged at {link}; see how it gets on: skytrail host show")


@host.command(
    short_help="Take a port off the vRouter.", epilog=examples("skytrail host unplug PORT-UUID")
)
@click.argument("port", type=click.UUID)
@plug_socket_option
@asks_agent
def unplug(port: object, path: Path) -> None:
    """Serve PORT no more; the link itself stays."""
    if str(port) not in {each.vmi_uuid for each in plugs.plugged(path)}:
        raise click.ClickException(f"port {port} is not plugged here; `skytrail host show` lists")
    plugs.unplug(path, str(port))
    click.echo(f"port {port} unplugged")


@host.command(
    short_help="Capture frames of a port as a pcapng file.",
    epilog=examples("skytrail host capture tap0 -w tap0.pcapng --proto icmp --seconds 10"),
)
@click.argument("port", required=False)
@capture_options
@socket_option
@asks_agent
def capture(port: str | None, path: Path, write: BinaryIO, **asked: str | None) -> None:
    """Capture what PORT (a uuid or link name) sends and is sent; without, all ports."""
    fetch(path, {**asked, "interface": port}, write)


@host.command(
    short_help="Walk a packet through this host's actual tables.",
    epilog=examples(
        "skytrail host trace port-1 10.9.0.12 tcp 22",
        "skytrail host trace 10.9.0.11 10.9.0.12 tcp 22 --label 17",
    ),
)
@click.argument("source")
@click.argument("destination")
@click.argument("protocol", default="icmp", type=click.Choice(PROTOCOLS))
@click.argument("port", default=0, type=click.IntRange(0, 65535))
@click.option(
    "--label",
    metavar="NUMBER",
    type=click.IntRange(0, 2**20 - 1),
    help="It arrives in a tunnel with it.",
)
@click.option(
    "--vni", metavar="NUMBER", type=click.IntRange(1, 2**24 - 1), help="The same, of VXLAN."
)
@click.option(
    "--from",
    "came_from",
    metavar="ADDRESS",
    help="The tunnel comes from this host of the underlay.",
)
@click.option(
    "--sent-by",
    metavar="ADDRESS",
    help="SOURCE is a service's port and sends on what this address sent.",
)
@socket_option
@json_option
@asks_agent
def trace(
    source: str,
    destination: str,
    protocol: str,
    port: int,
    label: int | None,
    vni: int | None,
    came_from: str | None,
    sent_by: str | None,
    path: Path,
    *,
    as_json: bool,
) -> None:
    """Walk the tables for the first packet of SOURCE to the address or MAC DESTINATION.

    SOURCE is a port of this host, its uuid, name or address, or an address learnt behind one. With --label or --vni the packet
    comes from another host, as the trace there said, and SOURCE is an address. Ends with the
    command to go on with, on another host or behind a service. Exits with status 1 when the packet
    is dropped here.
    """
    if label is not None and vni is not None:
        raise click.UsageError("--label is of MPLS, --vni of VXLAN: one of them.")
    if sent_by is not None and (label is not None or vni is not None):
        raise click.UsageError("--sent-by is of a packet that a port of this host sends on.")
    if came_from is not None and label is None and vni is None:
        raise click.UsageError("--from is of a packet that arrives with --label or --vni.")
    check_port(f"skytrail host trace {source} {destination}", protocol, port)
    arrives = {"label": label, "vni": vni, "from": came_from}
    incoming = {name: str(number) for name, number in arrives.items() if number is not None}
    try:
        ends = (source, destination, sent_by)
        result = _traced(ends, Packet(protocol, port), incoming, path)
    except tracing.TraceError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        print_json(trace_record(result))
    else:
        show_trace(console(), result)
        _show_next(result)
    if result.last.outcome not in {FORWARDED, DELIVERED}:
        raise SystemExit(1)


def _traced(
    ends: tuple[str, str, str | None], packet: Packet, incoming: dict[str, str], path: Path
) -> TraceResult:
    source, destination, sent_by = ends
    here = {_HERE: tracing.port_rows(read_table(path, "interfaces"))}

    def read(_host: str, table: str, where: Query) -> list[dict[str, object]]:
        return read_table(path, table, where=where)

    first = _end(source, {}) if incoming else _end(source, here, read=read)
    network = tracing.network_of_destination(destination, first, None)
    last = _end(
        destination, here, network=network or None, read=read, find=tracing.find_destination
    )
    if incoming:
        macs = [end.mac for end in (last, *last.sharers) if end.mac]
        mac = {"dmac": macs[0]} if macs else {}
        query = {**tracing.query_of(first, last, packet), **incoming, **mac}
    else:
        if not first.host:
            raise tracing.TraceError(f"{source} is no port of this host: `skytrail host show`")
        if sent_by is not None:
            first = replace(first, addresses=_end(sent_by, {}).addresses)
        tracing.check_source(first)
        query = {**tracing.query_of(first, last, packet), "vmi": first.uuid}
    rows = read_table(path, "explain", where=query)
    found = msgspec.convert(rows[0], Explanation)
    names = {row.vmi_uuid: row.name for row in here[_HERE]}
    last = tracing.chosen(last, found)
    return TraceResult(first, last, packet, (Leg(_HERE, found),), names)


def _end(
    text: str,
    ports: dict[str, list[PortRow]],
    *,
    network: str | None = None,
    read: ReadTable | None = None,
    find: Callable[..., Endpoint] = tracing.find,
) -> Endpoint:
    """Find a port of this host or what is behind one, or take an address or MAC for one elsewhere."""
    try:
        return find(text, ports, known={}, network=network, read=read)
    except tracing.TraceError as error:
        if isinstance(error, tracing.SeveralPorts) or tracing.as_mac(text) is not None:
            raise
        raise tracing.TraceError(
            f"{text!r} is neither a port of this host (`skytrail host show`) nor an address"
        ) from error


def _show_next(result: TraceResult) -> None:
    """Say where to go on, when the packet leaves in a tunnel or enters a service."""
    last = result.last
    query = {**tracing.query_of(result.source, result.destination, result.packet), **last.leaves_as}
    port = f" {result.packet.port}" if result.packet.port else ""
    to = query["dst"] if result.destination.addresses else result.destination.mac
    service = last.service
    if service is not None and service.onward:
        click.echo(
            f"what passes the service, on this host: skytrail host trace {service.onward} "
            f"{query['dst']} {query['proto']}{port} --sent-by {service.source or query['src']}"
        )
    if last.outcome == FORWARDED and last.remote:
        option = "--vni" if last.encapsulation == "VXLAN" else "--label"
        click.echo(
            f"on the host with {last.remote}: skytrail host trace {query['src']} {to} "
            f"{query['proto']}{port} {option} {last.label}"
        )
