"""``skytrail lab``: labs from topology files, made of namespaces and virtual machines."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
import msgspec
from rich.console import Console

from skytrail.cli.help_text import examples
from skytrail.cli.lab_choice import lab_option
from skytrail.cli.place import complete_lab, given_access
from skytrail.cli.session import console as session_console
from skytrail.cli.values import counted
from skytrail.client import ApiFailure
from skytrail.lab import interconnect, labs, state
from skytrail.lab import show as lab_show
from skytrail.lab.guest_image import GuestImageError
from skytrail.lab.health import daemon_names, wait_healthy
from skytrail.lab.io import capture as captures
from skytrail.lab.io import guest
from skytrail.lab.io.guest import GuestError
from skytrail.lab.io.netns import NetworkError
from skytrail.lab.io.plug import PlugError
from skytrail.lab.io.processes import ProcessError
from skytrail.lab.io.workload import WorkloadError
from skytrail.lab.plan import UNDERLAY_IFNAME
from skytrail.lab.ports import PortError
from skytrail.lab.router import RouterError
from skytrail.lab.service import Lab
from skytrail.lab.show import Table
from skytrail.lab.state import LabError
from skytrail.lab.topology import TopologyError
from skytrail.lab.underlay_packet import decode_tunnel
from skytrail.runtime.introspection import IntrospectionFailed
from skytrail.wire.errors import DecodeError

FAILURES = (
    ApiFailure, GuestError, GuestImageError, IntrospectionFailed, LabError, NetworkError, PlugError,
    PortError, ProcessError, RouterError, TopologyError, WorkloadError,
)  # fmt: skip
ResultT = TypeVar("ResultT")
CommandT = TypeVar("CommandT", bound=Callable[..., object])
ParametersT = ParamSpec("ParametersT")


def reports_failures(command: Callable[ParametersT, ResultT]) -> Callable[ParametersT, ResultT]:
    """Turn the lab's expected failures into one message and exit status 1."""

    @functools.wraps(command)
    def wrapped(*args: ParametersT.args, **kwargs: ParametersT.kwargs) -> ResultT:
        try:
            return command(*args, **kwargs)
        except KeyError as error:
            raise click.ClickException(str(error.args[0])) from error
        except FAILURES as error:
            raise click.ClickException(str(error)) from error

    return wrapped


def complete_endpoint(context: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of names inside the lab: workloads, guests, hosts, controllers."""
    name = context.params.get("lab_name")
    try:
        chosen = opened(name if isinstance(name, str) else None)
    except LabError:
        return []
    nodes = (*chosen.plan.nodes, *chosen.plan.gateways)
    names = [item.name for item in (*chosen.topology.endpoints, *nodes)]
    names += [*chosen.topology.outside_hosts, *(each.name for each in chosen.topology.routers)]
    return [name for name in names if name.startswith(incomplete)]


def complete_process(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of what has daemons: hosts, controllers, API, compiler, analytics."""
    name = context.params.get("lab_name")
    try:
        chosen = opened(name if isinstance(name, str) else None)
    except LabError:
        return []
    return [name for name in daemon_names(chosen) if name.startswith(incomplete)]


def complete_view(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of the tables of a host, or of the process that is named."""
    name, place = context.params.get("lab_name"), context.params.get("host")
    try:
        chosen = opened(name if isinstance(name, str) else None)
        listed = lab_show.views(chosen, place if isinstance(place, str) else None)
    except LabError:
        return []
    return [view for view in listed if view.startswith(incomplete)]


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def rows_options(function: CommandT) -> CommandT:
    """Add what rows of a table are shown: ``where`` and ``network``."""
    where = click.option("--where", multiple=True, metavar="COLUMN=TEXT",
                         help="Only rows where it is so; --json shows all columns.")  # fmt: skip
    network = click.option("--network", metavar="PROJECT:NAME", help="Only rows of its VRF.")
    return where(network(function))


def opened(lab_name: str | None) -> Lab:
    """Return the lab of that name, else the one that the environment names, else the only one."""
    return Lab.load(lab_name or state.chosen_name())


def print_tables(tables: Iterable[Table]) -> None:
    """Print tables as wide as the terminal is."""
    console = session_console()
    for table in tables:
        console.print(table.rendered(console.width))


def print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=str)).decode())


@click.group(
    epilog=examples(
        "skytrail lab up examples/two-tenants/topology.yaml",
        "skytrail lab show routes --host compute1",
        "skytrail lab down",
    )
)
def lab() -> None:
    """Bring a topology file to life in network namespaces and virtual machines (needs root)."""


@lab.command(
    short_help="Create what a topology file names.",
    epilog=examples(
        "skytrail lab up examples/two-tenants/topology.yaml",
        "skytrail lab up topology.yaml --name second --api-port 9082",
    ),
)
@click.argument("topology", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", metavar="NAME", help="Name of the lab; the topology's own by default.")
@click.option(
    "--api-port",
    type=int,
    metavar="PORT",
    help="TCP port of the API; 8082 or a free one by default.",
)
@json_option
@reports_failures
def up(topology: Path, name: str | None, api_port: int | None, *, as_json: bool) -> None:
    """Create everything TOPOLOGY names and wait until every workload has its address."""
    created = Lab.create(topology, name=name, api_port=api_port)
    try:
        created.up(reporter(Console(stderr=True)))
    except BaseException:
        click.echo(
            f"lab {created.name} stays as far as it came; look: skytrail lab show --lab"
            f" {created.name}; remove it: skytrail lab down {created.name}",
            err=True,
        )
        raise
    if as_json:
        shown = {"name": created.name, "api": created.api_url, "analytics": created.analytics_url}
        print_json({name: value for name, value in shown.items() if value})
    else:
        click.echo(f"lab {created.name} is up; look inside: skytrail lab show, skytrail status")
        click.echo(
            f"all commands mean it while it is the only one; else: export {labs.VARIABLE}={created.name}"
        )
        click.echo(f"its API: {created.api_url} (console: {created.api_url}/console/)")
        if created.analytics_url:
            click.echo(f"its analytics: {created.analytics_url}/analytics/uves")


@lab.command(
    short_help="Remove a lab and all that belongs to it.",
    epilog=examples("skytrail lab down", "skytrail lab down second", "skytrail lab down --all"),
)
@click.argument("name", required=False, shell_complete=complete_lab)
@click.option("--all", "every", is_flag=True, help="Take down every lab.")
@json_option
@click.pass_context
@reports_failures
def down(ctx: click.Context, name: str | None, *, every: bool, as_json: bool) -> None:
    """Remove a lab and everything that belongs to it; may follow any crash."""
    chosen = name or given_access(ctx).get("lab")
    names = labs.names() if every else [chosen or state.chosen_name()]
    for each in names:
        Lab.load(each).down(reporter(Console(stderr=True)))
        if not as_json:
            click.echo(f"lab {each} is gone")
    if as_json:
        print_json({"removed": names})


@lab.command(
    short_help="Show topology and processes, or a table of the vRouters.",
    epilog=examples(
        "skytrail lab show",
        "skytrail lab show flows --host compute1 --network red:front",
        "skytrail lab show drops --json",
    ),
)
@click.argument("view", required=False, shell_complete=complete_view)
@click.option(
    "--host",
    metavar="NAME",
    shell_complete=complete_process,
    help="Only this host, controller, or the compiler.",
)
@rows_options
@lab_option
@json_option
@reports_failures
def show(
    view: str | None, host: str | None, where: tuple[str, ...], network: str | None,
    lab_name: str | None, *, as_json: bool,
) -> None:  # fmt: skip
    """Show a lab: topology and processes, or one VIEW of what the vRouters hold.

    VIEW is a table of the agents: vrfs, routes, flows, drops, ...; a wrong name lists all.
    """
    chosen = opened(lab_name)
    wanted = lab_show.conditions(where, network)
    tables = lab_show.tables(chosen, view, host, every_column=as_json, where=wanted)
    if as_json:
        print_json({table.title: table.records() for table in tables})
        return
    print_tables(tables)


@lab.command(
    name="exec",
    context_settings={"ignore_unknown_options": True},
    short_help="Run a command inside a workload, guest or host.",
    epilog=examples(
        "skytrail lab exec red-web1 -- ping -c1 web2.red.example",
        "skytrail lab exec compute1 -- ip -brief address",
    ),
)
@click.argument("name", shell_complete=complete_endpoint)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@lab_option
@reports_failures
def exec_(name: str, command: tuple[str, ...], lab_name: str | None) -> None:
    """Run COMMAND in workload, guest, host, controller or gateway NAME, or in router "underlay".

    Also in a host outside, and in a gateway's VRF, called <gateway>-vrf.
    """
    chosen = opened(lab_name)
    if name in {item.name for item in chosen.topology.guests}:
        result = guest.run(chosen.guest_place(name), " ".join(command), timeout_s=600)
        click.echo(result.output, nl=False)
        sys.exit(result.status)
    line = chosen.command_in(name, command)
    os.execvp(line[0], line)  # noqa: S606 - the user's own command, not through a shell


@lab.command(
    short_help="Plug a workload that is not plugged.",
    epilog=examples("skytrail lab plug mover --lab west"),
)
@click.argument("name", shell_complete=complete_endpoint)
@lab_option
@reports_failures
def plug(name: str, lab_name: str | None) -> None:
    """Plug workload or guest NAME into its host and wait until it has its address."""
    chosen = opened(lab_name)
    endpoint = chosen.topology.endpoint(name)
    if endpoint in chosen.plugged():
        raise LabError(f"{name} is plugged already; take it away with: skytrail lab unplug {name}")
    chosen.attach([endpoint])
    click.echo(f"{name} is plugged on {endpoint.host}")


@lab.command(
    short_help="Take a workload away.", epilog=examples("skytrail lab unplug mover --lab east")
)
@click.argument("name", shell_complete=complete_endpoint)
@lab_option
@reports_failures
def unplug(name: str, lab_name: str | None) -> None:
    """Take workload or guest NAME from its host, as a hypervisor does when a machine ends."""
    chosen = opened(lab_name)
    endpoint = chosen.topology.endpoint(name)
    if endpoint not in chosen.plugged():
        raise LabError(f"{name} is not plugged; plug it with: skytrail lab plug {name}")
    chosen.unplug(endpoint)
    click.echo(f"{name} is gone from {endpoint.host}")


@lab.command(
    short_help="Join two labs as data centers that peer by BGP.",
    epilog=examples("skytrail lab connect east west"),
)
@click.argument("one", metavar="LAB", shell_complete=complete_lab)
@click.argument("other", metavar="LAB", shell_complete=complete_lab)
@reports_failures
def connect(one: str, other: str) -> None:
    """Join the underlays of two labs and have their control nodes peer by eBGP.

    Networks with a route target in common are one network then. The labs need different underlay
    ranges and AS numbers.
    """
    interconnect.connect(Lab.load(one), Lab.load(other))
    click.echo(f"{one} and {other} are joined; skytrail status --lab {one} shows the sessions")


@lab.command(
    short_help="Start a daemon again and wait until it is healthy.",
    epilog=examples("skytrail lab restart api", "skytrail lab restart compute1"),
)
@click.argument("process", shell_complete=complete_process)
@lab_option
@reports_failures
def restart(process: str, lab_name: str | None) -> None:
    """Start a daemon again and wait until it is healthy: api, compiler, a controller, a host."""
    chosen = opened(lab_name)
    started = time.monotonic()
    chosen.restart(process)
    wait_healthy(chosen, process)
    click.echo(f"{process} is healthy after {time.monotonic() - started:.1f} s")


@lab.command(
    short_help="Show tunnel packets of a host layer by layer.",
    epilog=examples(
        "skytrail lab capture compute1",
        "skytrail lab capture compute1 --count 10 --json",
        "skytrail lab capture compute1 --write underlay.pcap --seconds 5",
    ),
)
@click.argument("host", shell_complete=complete_endpoint)
@click.option(
    "--interface", metavar="NAME", help="Interface of the host; the underlay's by default."
)
@click.option(
    "--write",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write every frame to this pcap file instead.",
)
@click.option("--count", default=0, metavar="N", help="Stop after this many packets.")
@click.option("--seconds", default=0.0, metavar="S", help="Stop after this time.")
@lab_option
@json_option
@reports_failures
def capture(
    host: str,
    interface: str | None,
    write: Path | None,
    count: int,
    seconds: float,
    lab_name: str | None,
    *,
    as_json: bool,
) -> None:
    """Show tunnel packets of HOST opened layer by layer, or write every frame to a pcap file.

    HOST may be a gateway as well.
    """
    chosen = opened(lab_name)
    gateways = {node.name: node for node in chosen.plan.gateways}
    namespace = (gateways.get(host) or chosen.plan.node(host)).namespace
    ifname = interface or UNDERLAY_IFNAME
    limit = count or sys.maxsize
    with (
        contextlib.suppress(KeyboardInterrupt),
        captures.Capture(namespace, ifname) as source,
    ):
        if not (count or seconds):
            click.echo(f"listening on {ifname} of {host}; Ctrl-C ends", err=True)
        frames = source.frames(seconds or float(sys.maxsize))
        if write:
            written = captures.write_pcap(write, frames, limit)
            click.echo(f"{counted(written, 'frame')} written to {write}", err=True)
            return
        for lines in _limited(_opened_tunnels(frames), limit):
            click.echo(msgspec.json.encode(lines) if as_json else "\n  ".join(lines))


def _opened_tunnels(frames: Iterator[captures.CapturedFrame]) -> Iterator[list[str]]:
    for captured in frames:
        try:
            packet = decode_tunnel(captured.frame)
        except DecodeError as error:
            yield [f"malformed: {error}"]
            continue
        if packet:
            yield packet.lines()


def _limited(lines: Iterator[list[str]], limit: int) -> Iterator[list[str]]:
    for number, line in enumerate(lines, start=1):
        yield line
        if number >= limit:
            return


def reporter(console: Console) -> Callable[[str], contextlib.AbstractContextManager[object]]:
    """Return a progress function that shows a spinner, then the step's time."""

    @contextlib.contextmanager
    def step(text: str) -> Generator[None]:
        started = time.monotonic()
        with console.status(text):
            try:
                yield
            except BaseException:
                console.print(f"[red]failed[/] {text}")
                raise
        console.print(f"[green]done[/]   {text} [dim]({time.monotonic() - started:.1f} s)[/]")

    return step
