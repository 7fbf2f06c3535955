"""``make demo``: isolated virtual networks carrying real traffic, in about a minute.

    python -m skytrail.lab.demo [--keep] [--topology FILE] [--name NAME]

Brings the two-tenants example up, shows what reaches what beside what should, names the reason of
every refusal, measures, opens one packet of the underlay, and takes everything down again unless
``--keep``. Exits with status 1 when any cell is wrong, 2 when the lab could not be built.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from skytrail.client import ApiFailure
from skytrail.lab import check, labs, reachability, throughput, vrouter
from skytrail.lab.guest_image import GuestImageError
from skytrail.lab.io import guest
from skytrail.lab.io.capture import Capture
from skytrail.lab.io.guest import GuestError
from skytrail.lab.io.netns import NetworkError
from skytrail.lab.io.plug import PlugError
from skytrail.lab.io.probe import Probe, Prober
from skytrail.lab.io.processes import ProcessError
from skytrail.lab.io.workload import WorkloadError
from skytrail.lab.port_timing import PortTimer, Site, percentiles
from skytrail.lab.ports import PortError
from skytrail.lab.reachability import Cell, Denial
from skytrail.lab.router import RouterError
from skytrail.lab.service import Lab
from skytrail.lab.state import LabError
from skytrail.lab.throughput import ThroughputError
from skytrail.lab.topology import Gateway, Switch, TopologyError
from skytrail.lab.trace import Packet, TraceError
from skytrail.lab.underlay_packet import TunnelPacket, decode_tunnel
from skytrail.lab.wording import explained, readable
from skytrail.net import Mac
from skytrail.runtime.introspection import IntrospectionFailed
from skytrail.wire.errors import DecodeError

EXAMPLE = Path("examples") / "two-tenants" / "topology.yaml"
THROUGHPUT_ROUNDS = 3
THROUGHPUT_SECONDS = 1.0
TIMED_PORTS_COUNT = 20
CAPTURE_TIMEOUT_S = 5.0
FAILURES = (
    ApiFailure, GuestError, GuestImageError, IntrospectionFailed, LabError, NetworkError, OSError,
    PlugError, PortError, ProcessError, RouterError, ThroughputError, TopologyError, TraceError, WorkloadError,
)  # fmt: skip


@dataclass(slots=True)
class Report:
    """What went wrong; empty means the demo passed."""

    faults: list[str] = field(default_factory=list[str])

    def require(self, holds: bool, fault: str) -> None:
        if not holds:
            self.faults.append(fault)


class Demo:
    """The parts of the show, each printing its own section."""

    def __init__(self, lab: Lab, console: Console) -> None:
        self.lab = lab
        self.console = console
        self.report = Report()

    def run(self) -> Report:
        """Show everything, in order; failures of one part do not hide the others."""
        for part in (
            self.show_reachability,
            self.show_packet,
            self.show_packet_outside,
            self.show_guest,
            self.show_throughput,
            self.show_port_timing,
        ):
            self.console.print()
            try:
                part()
            except FAILURES as error:
                self.report.faults.append(f"{part.__name__}: {error}")
                self.console.print(f"[bold red]failed:[/] {error}", highlight=False)
        return self.report

    def show_reachability(self) -> None:
        """Probe every expectation; print the matrix, the other probes, and every refusal."""
        self.console.print(Rule("Who reaches whom", align="left"))
        expected = self.lab.topology.expect
        with _bar(self.console, "probing", len(expected)) as advance:
            cells = asyncio.run(check.check(self.lab, when_judged=lambda _: advance()))
        names = [endpoint.name for endpoint in self.lab.topology.endpoints]
        names += self.lab.topology.outside_hosts
        self.console.print(reachability.matrix(cells, names))
        self.console.print(reachability.probe_list(cells))
        self.console.print(self._refusals(cells))
        wrong = [cell for cell in cells if not cell.ok]
        for cell in wrong:
            pair = f"{cell.expectation.source} -> {cell.expectation.destination}"
            self.report.faults.append(
                f"{pair} {cell.expectation.protocol}: expected {cell.wanted}, seen {cell.seen}"
            )
        right = len(cells) - len(wrong)
        style = "green" if not wrong else "bold red"
        self.console.print(f"[{style}]{right} of {len(cells)} probes as expected[/]")

    def _refusals(self, cells: Sequence[Cell]) -> Table:
        """What is refused for the same counted reason, and what the tables say of the first."""
        table = Table(
            title="Why the others do not (counted by the datapath | the first, explained from its tables)",
            title_justify="left",
            box=box.ROUNDED,
        )
        for column in ("from", "to", "probe", "drop reason", "on", "explanation"):
            table.add_column(column)
        alike: dict[tuple[str, str, str, str], list[tuple[Cell, Denial]]] = {}
        for cell in cells:
            expectation, denial = cell.expectation, cell.evidence.denial
            if expectation.reply or denial is None:
                continue
            port = f"/{expectation.port}" if expectation.port else ""
            probe = f"{expectation.protocol}{port}"
            key = (expectation.source, probe, denial.reason, denial.host)
            alike.setdefault(key, []).append((cell, denial))
        for (source, probe, reason, host), refused in alike.items():
            table.add_row(
                source,
                ", ".join(cell.expectation.destination for cell, _ in refused),
                probe,
                f"[yellow]{reason}[/]",
                host,
                Text(self._explanation(*refused[0])),
            )
        return table

    def _explanation(self, cell: Cell, denial: Denial) -> str:
        expectation = cell.expectation
        if expectation.source in self.lab.topology.outside_hosts:
            at_gateway = f"no route in the VRF of {denial.host} to {expectation.destination}"
            return readable(denial.rule) or at_gateway
        packet = Packet(expectation.protocol, expectation.port)
        traced = vrouter.trace(self.lab, expectation.source, expectation.destination, packet)
        return explained(traced, denial.reason)

    def show_packet(self) -> None:
        """Capture one packet between the hosts and compare its label with the receiver's table."""
        self.console.print(Rule("One packet on the underlay", align="left"))
        pair = self._pair_across_hosts()
        packet = asyncio.run(self._capture(*pair))
        if packet is None:
            self.report.faults.append("no tunnel packet was seen on the underlay")
            return
        receiver = self.lab.topology.endpoint(pair[1]).host
        known = vrouter.labels(self.lab, receiver)
        meaning = known.get(packet.label, "")
        uuid = self.lab.attached(pair[1]).uuid
        right = uuid in meaning
        lines = [*packet.lines(), f"label table of {receiver}: {packet.label} -> {meaning or '?'}"]
        verdict = f"[green]the label is {pair[1]}'s[/]" if right else "[bold red]wrong label[/]"
        self.console.print(
            Panel("\n".join(lines) + f"\n{verdict}", title=" > ".join(pair), expand=False)
        )
        self.report.require(
            packet.encapsulation == "MPLSoUDP", f"the tunnel was {packet.encapsulation}"
        )
        self.report.require(right, f"label {packet.label} is not that of {pair[1]}")

    def show_packet_outside(self) -> None:
        """Capture one packet on its way to each gateway, in the encapsulation routers speak."""
        for gateway in self.lab.topology.gateways:
            self.console.print(
                Rule(f"One packet to {gateway.host} by {gateway.name}", align="left")
            )
            sources = [
                expectation.source
                for expectation in self.lab.topology.expect
                if expectation.destination == gateway.host and expectation.reply
            ]
            if not sources:
                raise LabError(f"the topology expects nobody to reach {gateway.host}")
            packet = asyncio.run(self._capture(sources[0], gateway.host))
            if packet is None:
                self.report.faults.append(f"no tunnel packet to {gateway.name} was seen")
                continue
            title = f"{sources[0]} > {gateway.host}"
            self.console.print(Panel("\n".join(packet.lines()), title=title, expand=False))
            self.report.require(
                packet.encapsulation == "VXLAN", f"the tunnel was {packet.encapsulation}"
            )

    async def _capture(self, source: str, destination: str) -> TunnelPacket | None:
        outside = self.lab.topology.outside_hosts.get(destination)
        if isinstance(outside, Gateway):
            receiver = self.lab.gateway_place(outside.name).node
        elif isinstance(outside, Switch):
            raise LabError(f"{destination} is behind the underlay: no tunnel leads there")
        else:
            end = outside or self.lab.topology.endpoint(destination)
            receiver = self.lab.plan.node(end.host)
        address = check.members(self.lab)[destination].address(version=4)
        if address is None:
            return None
        namespaces = {name: self.lab.plan.namespace_of(name) for name in (source, destination)}
        with Capture(self.lab.plan.router_namespace, receiver.router_ifname) as capture:
            async with Prober(namespaces) as prober:
                probe = Probe(source=source, destination=destination, address=address)
                await prober.send(probe, timeout_s=CAPTURE_TIMEOUT_S)

            def wanted(frame: bytes) -> bool:
                opened = _opened(frame)
                inner = opened.inner_ip if opened else None
                return inner is not None and inner.destination == address

            found = capture.wait_for(wanted, CAPTURE_TIMEOUT_S)
        return _opened(found.frame) if found else None

    def show_guest(self) -> None:
        """Let each virtual machine tell its address, resolve a name and ping a neighbour."""
        for item in self.lab.topology.guests:
            self.console.print(Rule(f"Virtual machine {item.name}", align="left"))
            place = self.lab.guest_place(item.name)
            lease = guest.wait_lease(place, timeout_s=5)
            neighbour = self._named_neighbour(item.name)
            name = f"{neighbour}.{lease.domain}" if lease.domain != "-" else neighbour
            resolved = guest.run(place, f"nslookup {name}")
            pinged = guest.run(place, f"ping -c 3 -W 2 {name}")
            boot = guest.boot_s(place)
            table = Table(box=box.SIMPLE, show_header=False)
            table.add_row("booted", f"{boot:.1f} s after power-on" if boot else "")
            table.add_row("address", f"{lease.address} by DHCP, router {lease.router}")
            table.add_row(f"resolved {name}", _last_address(resolved.output))
            table.add_row(f"pinged {name}", _last_line(pinged.output, "packets"))
            self.console.print(table)
            self.report.require(resolved.status == 0, f"{item.name} did not resolve {name}")
            self.report.require(pinged.status == 0, f"{item.name} did not ping {name}")

    def show_throughput(self) -> None:
        """One TCP stream across hosts beside two yardsticks, measured in turn."""
        self.console.print(Rule("TCP across hosts, one stream", align="left"))
        source, destination = self._pair_across_hosts()
        address = check.members(self.lab)[destination].address(version=4)
        ours = throughput.Path(
            "skytrail MPLSoUDP, policy and flows on",
            self.lab.plan.namespace_of(source),
            self.lab.plan.namespace_of(destination),
            str(address),
        )
        prefix = self.lab.scratch_namespace("yardstick")
        with (
            self.console.status(f"{THROUGHPUT_ROUNDS} interleaved rounds"),
            throughput.veth_pair(prefix) as plain,
            throughput.bridge_vxlan(prefix) as kernel,
        ):
            rates = throughput.compare(
                [ours, plain, kernel], rounds=THROUGHPUT_ROUNDS, seconds=THROUGHPUT_SECONDS
            )
        table = Table(box=box.SIMPLE)
        table.add_column("path")
        table.add_column("Gbit/s (median)", justify="right")
        table.add_column("skytrail is", justify="right")
        for name, rate in rates.items():
            ratio = "" if name == ours.name else f"{rates[ours.name] / rate:.2f} x"
            table.add_row(name, f"{rate / 1e9:.2f}", ratio)
        self.console.print(table)

    def show_port_timing(self) -> None:
        """Create ports one after the other; how soon does each get an answer?"""
        self.console.print(Rule("Port created by REST to first reply", align="left"))
        source, destination = self._pair_across_hosts()
        member = check.members(self.lab)[destination]
        address = member.address(version=4)
        if not isinstance(address, IPv4Address):
            raise LabError(f"{destination} has no IPv4 address")
        project = member.network[:-1]
        site = Site(
            host=self.lab.topology.endpoint(source).host,
            project=project,
            network=member.network,
            security_group=(*project, "open"),
            target=destination,
            target_mac=Mac.parse(self.lab.attached(destination).mac),
            target_address=address,
        )
        with (
            PortTimer(self.lab, site) as timer,
            _bar(self.console, "creating ports", TIMED_PORTS_COUNT) as advance,
        ):
            timer.prepare(TIMED_PORTS_COUNT)
            timings = []
            for _ in range(TIMED_PORTS_COUNT):
                timings.append(timer.measure())
                advance()
        table = Table(box=box.SIMPLE)
        for column in ("milliseconds since the first request", "p50", "p99"):
            table.add_column(column, justify="left" if " " in column else "right")
        for name, values in (
            ("REST answered (port and address)", [t.created_s for t in timings]),
            ("plugged", [t.plugged_s for t in timings]),
            ("first reply from the other host", [t.replied_s for t in timings]),
        ):
            p50, p99 = percentiles(values, (50, 99))
            table.add_row(name, f"{p50 * 1e3:.1f}", f"{p99 * 1e3:.1f}")
        self.console.print(table)

    def _pair_across_hosts(self) -> tuple[str, str]:
        """The first pair of workloads on different hosts that should reach each other by ping."""
        workloads = {item.name: item for item in self.lab.topology.workloads}
        for expectation in self.lab.topology.expect:
            pair = (expectation.source, expectation.destination)
            if (
                expectation.reply
                and expectation.protocol == "icmp"
                and all(name in workloads for name in pair)
                and workloads[pair[0]].host != workloads[pair[1]].host
            ):
                return pair
        raise LabError("the topology expects no two workloads on different hosts to ping")

    def _named_neighbour(self, name: str) -> str:
        """Host name of a workload in the same network on another host, as DNS knows it."""
        own = self.lab.topology.endpoint(name)
        network = self.lab.attached(name).network
        candidates = sorted(
            (item.host == own.host, item.port[-1])
            for item in self.lab.topology.workloads
            if self.lab.attached(item.name).network == network
        )
        if not candidates:
            raise LabError(f"{name} has no neighbour in its network")
        return candidates[0][1]


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="skytrail-demo", description=__doc__)
    options.add_argument("--keep", action="store_true", help="leave the lab running")
    options.add_argument("--topology", type=Path, default=_example())
    options.add_argument("--name", default=None, help="lab name; the topology's by default")
    chosen = options.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 150, emoji=False)
    if os.geteuid() != 0:
        console.print("The demo needs root, for network namespaces and eBPF: sudo make demo")
        return 2
    try:
        return _run(chosen.topology, chosen.name, keep=chosen.keep, console=console)
    except FAILURES as error:
        console.print(Text.assemble(("the lab could not be built: ", "bold red"), str(error)))
        return 2
    except KeyboardInterrupt:
        left = "stays: skytrail lab show, skytrail lab down" if chosen.keep else "is removed"
        console.print(f"[yellow]interrupted; the lab {left}[/]", highlight=False)
        return 130


def look_around(name: str, api_url: str, analytics_url: str) -> list[str]:
    """Return what to try in a lab that stays up; each line means this lab, whatever else runs."""
    words = ("get vn", "lab show", "lab show flows", "trace red-web1 red-app tcp 22", "status")
    asked = [f"  curl -s '{analytics_url}/analytics/uves/virtual-network/*?flat'"]
    return [
        "The lab stays up. Look around:",
        f"  {api_url}/console/   in a browser",
        *(f"  .venv/bin/skytrail --lab {name} {each}" for each in words),
        *(asked if analytics_url else []),
        f"  .venv/bin/skytrail lab down {name}",
    ]


def _run(topology: Path, name: str | None, *, keep: bool, console: Console) -> int:
    console.print(Rule("Skytrail: isolated virtual networks on an IP underlay", align="left"))
    _remove_leftover(topology, name, console)
    started = time.monotonic()
    lab = Lab.create(topology, name=name)
    try:
        lab.up(_steps(console))
        console.print(f"[dim]everything is up after {time.monotonic() - started:.1f} s[/]")
        report = Demo(lab, console).run()
    except BaseException:
        if not keep:
            lab.down()
        raise
    console.print()
    if keep:
        for line in look_around(lab.name, lab.api_url, lab.analytics_url):
            console.print(line, highlight=False, soft_wrap=True)
    else:
        lab.down(_steps(console))
    for fault in report.faults:
        console.print(f"[bold red]WRONG[/] {fault}", highlight=False)
    passed = not report.faults
    console.print(
        f"[bold {'green' if passed else 'red'}]demo {'passed' if passed else 'FAILED'}[/] "
        f"in {time.monotonic() - started:.0f} s"
    )
    return 0 if passed else 1


def _remove_leftover(topology: Path, name: str | None, console: Console) -> None:
    """A demo that was kept, or killed, gives way to the new one."""
    from skytrail.lab.topology import parse

    wanted = name or parse(topology.read_text(), str(topology)).name
    if wanted in labs.names():
        console.print(f"[dim]removing the lab {wanted} of an earlier run[/]")
        Lab.load(wanted).down()


def _example() -> Path:
    """The example next to this checkout, wherever the demo is started."""
    checkout = Path(__file__).resolve().parents[3]
    return checkout / EXAMPLE


def _steps(console: Console) -> Callable[[str], contextlib.AbstractContextManager[object]]:
    @contextlib.contextmanager
    def step(text: str) -> Generator[None]:
        started = time.monotonic()
        with console.status(text):
            yield
        console.print(f"[green]✓[/] {text} [dim]({time.monotonic() - started:.1f} s)[/]")

    return step


@contextlib.contextmanager
def _bar(console: Console, text: str, total: int) -> Generator[Callable[[], None]]:
    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(text, total=total)
        yield lambda: progress.advance(task)


def _opened(frame: bytes) -> TunnelPacket | None:
    try:
        return decode_tunnel(frame)
    except DecodeError:
        return None


def _last_address(output: str) -> str:
    found = [line.split()[-1] for line in output.splitlines() if line.startswith("Address")]
    return found[-1] if found else "[red]no answer[/]"


def _last_line(output: str, word: str) -> str:
    return next((line for line in reversed(output.splitlines()) if word in line), "no answer")


if __name__ == "__main__":
    sys.exit(main())
