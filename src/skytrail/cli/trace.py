"""``skytrail trace``: where a packet between two workloads goes, table by table, and why."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from skytrail.cli.help_text import examples
from skytrail.cli.lab import (
    complete_endpoint,
    json_option,
    opened,
    print_json,
    reports_failures,
)
from skytrail.cli.lab_choice import lab_option
from skytrail.cli.session import console
from skytrail.lab import vrouter
from skytrail.lab.io.packet_probe import ProbeFailed
from skytrail.lab.io.packet_probe import source_port as make_source_port
from skytrail.lab.packet_probe import ProbeResult
from skytrail.lab.trace import PROTOCOLS, WITH_PORTS, Packet, TraceError, TraceResult, without_uuids
from skytrail.lab.wording import readable


@click.command(
    epilog=examples(
        "skytrail trace red-web1 red-app",
        "skytrail trace red-web1 red-app tcp 22 --both",
        "skytrail trace red-web1 red-app tcp 22 --probe",
        "skytrail trace red-web1 02:00:00:00:65:01",
        "skytrail trace 10.1.1.3 10.1.1.4 udp 53 --network default-domain:red:web",
    )
)
@click.argument("source", shell_complete=complete_endpoint)
@click.argument("destination", shell_complete=complete_endpoint)
@click.argument("protocol", default="icmp", type=click.Choice(PROTOCOLS))
@click.argument("port", default=0, type=click.IntRange(0, 65535))
@click.option(
    "--source-port",
    default=0,
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Port it is sent from; 0, any, by default.",
)
@click.option(
    "--network",
    metavar="NAME",
    help="Network of an end given by address or MAC, as domain:project:name.",
)
@click.option("--probe", is_flag=True, help="Send such a packet, too, and tell where it was seen.")
@click.option("--both", is_flag=True, help="Also trace a new connection in the other direction.")
@lab_option
@json_option
@reports_failures
def trace(
    source: str,
    destination: str,
    protocol: str,
    port: int,
    source_port: int,
    network: str | None,
    lab_name: str | None,
    *,
    both: bool,
    probe: bool,
    as_json: bool,
) -> None:
    """Walk the vRouters' actual tables for the first packet from SOURCE to DESTINATION.

    Each end is a workload's name, a port's uuid or name, or an address (then with --network), of a
    port or learnt behind one. DESTINATION may also be a MAC in the network of SOURCE.
    Through services it is followed as well: what enters one side of a copy goes on at the other.
    TCP, UDP and SCTP need a PORT.
    With --probe a real packet follows, from a source port of its own: the workload it arrives at gets it.
    Exits with status 1 when the packet does not arrive, or not as the tables say.
    """
    check_port(f"skytrail trace {source} {destination}", protocol, port)
    if probe and both:
        raise click.UsageError("A probe goes one way: leave out --both.")
    lab = opened(lab_name)
    source_port = source_port or (make_source_port() if probe else 0)
    packet = Packet(protocol, port, source_port)
    pairs = [(source, destination), (destination, source)] if both else [(source, destination)]
    try:
        results = [vrouter.trace(lab, *pair, packet, network=network) for pair in pairs]
        probed = [vrouter.probe(lab, source, result) for result in results if probe]
    except (TraceError, ProbeFailed) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        records = [trace_record(result) for result in results]
        for record, found in zip(records, probed, strict=False):
            record["probe"] = probe_record(found)
        print_json(records)
    else:
        for result in results:
            show_trace(console(), result)
        for found in probed:
            show_probe(console(), found)
    agree = all(found.agrees for found in probed)
    if not (agree and all(result.delivered for result in results)):
        raise SystemExit(1)


def check_port(command: str, protocol: str, port: int) -> None:
    """Refuse a packet whose protocol has ports and that names none."""
    if protocol in WITH_PORTS and not port:
        raise click.UsageError(f"Name a port, as in `{command} {protocol} 80`.")


def probe_record(found: ProbeResult) -> dict[str, object]:
    """Return what --json prints of a probe."""
    return {
        "agrees": found.agrees,
        "seen": found.seen,
        "expected": found.expected,
        "summary": found.summary(),
        "hops": [
            {"host": hop.host, "port": hop.port, "what": hop.what, "time_ns": hop.time_ns}
            for hop in found.hops
        ],
    }


def show_probe(console: Console, found: ProbeResult) -> None:
    """Print where the probe was seen, in order."""
    table = Table(title="probe", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("after", "host", "port", "what"):
        table.add_column(column, overflow="fold")
    for hop in found.hops:
        after = (hop.time_ns - found.hops[0].time_ns) / 1000
        cells = (f"{after:.0f} us", hop.host, hop.port, readable(hop.what))
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    style = "green" if found.agrees else "red"
    console.print(Text(f"probe {found.summary()}" if found.hops else found.summary(), style=style))


def trace_record(result: TraceResult) -> dict[str, object]:
    """Return what --json prints of one trace."""
    return {
        "source": asdict(result.source),
        "destination": asdict(result.destination),
        "protocol": result.packet.protocol,
        "port": result.packet.port,
        "delivered": result.delivered,
        "summary": result.summary(),
        "services": list(result.services),
        "legs": [{"host": leg.host, "explanation": leg.explanation} for leg in result.legs],
    }


def show_trace(console: Console, result: TraceResult) -> None:
    """Print what each vRouter looked up, and what came of it."""
    port = f"/{result.packet.port}" if result.packet.port else ""
    title = f"{result.source.name} -> {result.destination.name} {result.packet.protocol}{port}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("host", "stage", "looked up", "found", "rule"):
        table.add_column(column, overflow="fold")
    for leg in result.legs:
        for step in leg.explanation.steps:
            # Text: a MAC or a name in a string would become a picture.
            cells = (leg.host, step.stage, readable(step.question), readable(step.answer))
            cells += (without_uuids(step.rule),)
            table.add_row(*(Text(cell) for cell in cells))
        table.add_section()
    console.print(table)
    style = "green" if result.delivered else "yellow"
    console.print(Text(without_uuids(result.summary()), style=style))
    rule = result.deciding_rule
    for term in rule.text.split("; ") if rule and rule.text else ():
        console.print(Text(f"  {readable(term)}"))
