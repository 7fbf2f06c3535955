"""The vRouter agent process: ``python -m skytrail.daemons.agent``.

Runs in the host's network namespace. Needs root for the eBPF datapath; ``--datapath fake`` keeps
the tables in memory and forwards nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import structlog

from skytrail.agent.control_choice import ControlNode, chosen_pair, read_control
from skytrail.agent.io import uves
from skytrail.agent.io.introspect import AgentPages
from skytrail.agent.io.session_export import SessionExport
from skytrail.agent.io.settings import AgentSettings
from skytrail.agent.io.table_use import TableUsage
from skytrail.agent.plugin import Datapath
from skytrail.agent.program_traces import ProgramTraces
from skytrail.agent.service import AgentService
from skytrail.agent.session_rows import ROWS_PER_S_DEFAULT, ROWS_PER_S_MAX
from skytrail.agent.table_sizes import read_sizes
from skytrail.daemons import collectors, option_numbers, tracing
from skytrail.daemons.tls_folder import TLS_FOLDER_HELP, checked_folder
from skytrail.net import IpAddress
from skytrail.runtime import garbage, logs, processes, tasks
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.telemetry import SessionSource, hello_of_this_process
from skytrail.runtime.tls import TlsUnusable
from skytrail.runtime.traces import Traces

XMPP_PORT = 5269
FLOWS_BOUNDS = (1024, 4_194_304)
UPLINKS_COUNT_MAX = 8
_IFNAME = re.compile(r"[^\s/:]{1,15}")


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; return the exit status."""
    parser = argparse.ArgumentParser(prog="skytrail-agent", description=__doc__)
    parser.add_argument("--name", required=True, help="host name: the virtual-router's name")
    parser.add_argument(
        "--control",
        required=True,
        action="extend",
        type=_control_addresses,
        metavar="ADDR[:PORT][@ZONE],...",
        help="control nodes; of more than two the host's name decides which two it uses, of two "
        "zones if there are any; may be given several times",
    )
    parser.add_argument("--xmpp-tls", type=Path, metavar="FOLDER", help=TLS_FOLDER_HELP)
    _add_underlay(parser)
    parser.add_argument("--state", required=True, type=Path, help="folder kept over restarts")
    parser.add_argument("--socket", required=True, type=Path, help="introspection Unix socket")
    parser.add_argument("--plug-socket", required=True, type=Path)
    _add_quality(parser)
    _add_services(parser)
    parser.add_argument(
        "--bpf",
        type=Path,
        metavar="DIR",
        help="where programs and tables are pinned; under the host's own /sys/fs/bpf they outlive "
        "a private mount namespace (default: /run/skytrail/bpf)",
    )
    _add_telling(parser)
    parser.add_argument(
        "--hook",
        choices=("auto", "clsact"),
        default="auto",
        help="how programs are put on interfaces: TCX where the kernel has it, or always clsact",
    )
    parser.add_argument("--datapath", choices=("ebpf", "fake"), default="ebpf")
    options = parser.parse_args(arguments)
    if len(set(options.underlay)) < len(options.underlay):
        parser.error("--underlay names a link twice")
    known = [(node.host, node.port) for node in options.control]
    if len(set(known)) < len(known):
        parser.error("--control names a control node twice")
    try:
        tls = checked_folder(options.xmpp_tls, is_server=False)
    except TlsUnusable as error:
        parser.error(str(error))
    pair = chosen_pair(options.name, options.control)
    endpoints = collectors.of_agent(options.collector, [node.host for node in pair])
    told = collectors.configure_logs(options.log_level, options.log_json, endpoints)
    settings = AgentSettings(
        name=options.name,
        controls=tuple([(node.host, node.port) for node in pair]),
        underlay=tuple(options.underlay),
        address=options.address,
        state=options.state,
        plug_socket=options.plug_socket,
        dns_forwarder=options.dns_forwarder,
        certificates=options.certificates,
        priority_tags=options.priority_tags,
        uplink_mbps=options.uplink_mbps,
        tls=tls,
        metadata_secret=options.metadata_secret,
        further_ends=tuple(options.tunnel_end),
        takes_any_end=options.tunnels_from == "anybody",
        sessions_per_second=options.sessions_per_second,
    )
    traces = tracing.checked(parser, options.otlp, "agent", settings.name)
    return tasks.run_until_signal(
        lambda: _serve(settings, options.socket, told, _opener(options), traces)
    )


def _add_telling(parser: argparse.ArgumentParser) -> None:
    """Add what the agent logs, and whom it tells what it knows, and how much."""
    parser.add_argument("--log-level", choices=logs.LEVELS, default="info")
    parser.add_argument("--log-json", action="store_true")
    collectors.add_agent_option(parser)
    tracing.add_option(parser)
    parser.add_argument(
        "--sessions-per-second",
        type=option_numbers.number(0, ROWS_PER_S_MAX),
        metavar="COUNT",
        help="sessions that an analytics node is told in a second at most, a weighted sample of more;"
        " 0: only those that are logged (default: flow_export_rate of global-vrouter-config, or"
        f" {ROWS_PER_S_DEFAULT})",
    )


def _add_quality(parser: argparse.ArgumentParser) -> None:
    """Add what quality of service needs to know of the underlay."""
    parser.add_argument(
        "--priority-tags",
        action="store_true",
        help="write the VLAN priority of QoS marks into a tag of VLAN 0; the underlay's switches must"
        " pass on such frames",
    )
    parser.add_argument(
        "--uplink-mbps",
        type=option_numbers.number(1, 1_000_000),
        default=0,
        metavar="MBPS",
        help="speed of the underlay's link that shares of QoS queues are of (default: what the link"
        " says, or 10000)",
    )


def _add_underlay(parser: argparse.ArgumentParser) -> None:
    """Add where the host is in the underlay."""
    parser.add_argument(
        "--underlay",
        required=True,
        action="extend",
        type=_ifnames,
        metavar="IFNAME,...",
        help="the link into the underlay; of several the kernel's routes choose, and the address is"
        " on lo; may be given several times",
    )
    parser.add_argument(
        "--address", required=True, type=_tunnel_address, help="tunnel address, IPv4 or IPv6"
    )
    parser.add_argument(
        "--tunnels-from",
        choices=("known", "anybody"),
        default="known",
        help="whose tunnels are taken: those of hosts and routers that configuration and routes"
        " know, or anybody's, for underlays that change source addresses (default: %(default)s)",
    )
    parser.add_argument(
        "--tunnel-end",
        action="append",
        type=_tunnel_address,
        default=[],
        metavar="ADDR",
        help="tunnels are taken from this address as well; may be given several times",
    )


def _add_services(parser: argparse.ArgumentParser) -> None:
    """Add what the agent needs for what it serves workloads with itself."""
    parser.add_argument(
        "--flows",
        type=option_numbers.number(*FLOWS_BOUNDS),
        metavar="COUNT",
        help="connections the host can hold at once, where it has no flow table yet (default: 131072;"
        " docs/flows.md tells what they cost)",
    )
    parser.add_argument(
        "--table",
        action="append",
        type=_table_size,
        default=[],
        metavar="NAME=COUNT",
        help="entries that a kernel table can hold, 1024 to 16777216; again for another table"
        " (docs/hosts.md names them)",
    )
    parser.add_argument(
        "--vm-flows",
        type=option_numbers.number(1, 100),
        default=50,
        metavar="PERCENT",
        help="of these, how many one virtual machine and each of its interfaces may have at most"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--port-share",
        type=option_numbers.number(1, 100),
        default=25,
        metavar="PERCENT",
        help="of the host's ports that stand for workloads' towards one far end, how many one"
        " interface may hold at most (default: %(default)s)",
    )
    parser.add_argument("--dns-forwarder", type=ip_address, help="upstream DNS server")
    parser.add_argument(
        "--metadata-secret",
        type=Path,
        metavar="FILE",
        help="what the metadata service (Nova) shares with its proxies; without it, requests of "
        "workloads are passed on unsigned",
    )
    parser.add_argument(
        "--certificates",
        type=Path,
        default=Path("/etc/skytrail/certificates"),
        metavar="DIR",
        help="certificates with keys that load balancers show, NAME.pem (default: %(default)s)",
    )


async def _serve(
    settings: AgentSettings,
    socket_path: Path,
    told: collectors.Told,
    open_datapath: Callable[[], Datapath],
    traces: Traces | None,
) -> None:
    service = AgentService(settings, open_datapath())
    if traces is not None:
        service.traces = ProgramTraces(settings.name, traces.add)

    def announce() -> None:
        controls = ",".join(f"{host}:{port}" for host, port in settings.controls)
        processes.print_ready(
            "agent", host=settings.name, plug=settings.plug_socket, control=controls
        )
        if told.endpoints:
            pages.session_log.tap(export.note)

    usage = TableUsage(service)
    traffic = uves.totals_from_now()
    pages = AgentPages(service, usage, traces)
    export = SessionExport(service, settings, SystemClock())
    sessions = SessionSource(export.take, export.lost, export.per_second)
    async with asyncio.TaskGroup() as group:
        group.create_task(garbage.keep_short())
        group.create_task(pages.serve(socket_path))
        group.create_task(service.run(when_ready=announce))
        group.create_task(usage.run())
        if traces is not None:
            group.create_task(traces.run())
        hello = hello_of_this_process(settings.name, uves.NODE_TYPE, uves.MODULE)
        group.create_task(
            told.tell(
                settings.tls,
                hello,
                lambda: uves.uves_of(service, usage, traffic),
                sessions,
                pages=pages.router(),
            )
        )


def _opener(options: argparse.Namespace) -> Callable[[], Datapath]:
    if options.datapath == "fake":
        from skytrail.testing.fake_datapath import FakeDatapath

        return FakeDatapath
    from skytrail.agent.io.bpf_links import Hook
    from skytrail.agent.io.ebpf import FLOW_PAIRS_MAX, ROOT, EbpfDatapath

    flows: int = options.flows or FLOW_PAIRS_MAX
    root: Path = options.bpf or ROOT
    sizes = {name: count for given in options.table for name, count in given.items()}

    def opened() -> Datapath:
        datapath = EbpfDatapath.open(
            options.name,
            root=root,
            hook=Hook(options.hook),
            flow_pairs_max=flows,
            machine_percent=options.vm_flows,
            port_share_percent=options.port_share,
            sizes=sizes,
        )
        for table, entries in datapath.kept_sizes.items():
            # It would lose some of them.
            structlog.get_logger().warning("table_size_kept", table=table, entries=entries)
        return datapath

    return opened


def _table_size(text: str) -> Mapping[str, int]:
    try:
        return read_sizes([text])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _ifnames(text: str) -> list[str]:
    names = [each for each in text.split(",") if each]
    if not names or len(names) > UPLINKS_COUNT_MAX:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a link, or a list of up to {UPLINKS_COUNT_MAX} with commas between"
        )
    for name in names:
        # What the kernel takes for the name of a link.
        if not _IFNAME.fullmatch(name) or name in {".", ".."}:
            raise argparse.ArgumentTypeError(f"{name!r} can be no link's name")
    return names


def _control_addresses(text: str) -> list[ControlNode]:
    """Read a list; an empty last place is none, so that settings may leave the second out."""
    return [_control_address(each) for each in text.rstrip(",").split(",")]


def _control_address(text: str) -> ControlNode:
    try:
        return read_control(text, XMPP_PORT)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not ADDR[:PORT][@ZONE], an IPv6 address with a port in brackets"
        ) from error


def _tunnel_address(text: str) -> IpAddress:
    try:
        address = ip_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IPv4 or IPv6 address") from error
    if (
        address.is_unspecified
        or address.is_multicast
        or (isinstance(address, IPv6Address) and (address.is_link_local or address.ipv4_mapped))
    ):
        raise argparse.ArgumentTypeError(f"{text} is no address that other hosts can send to")
    return address


if __name__ == "__main__":
    sys.exit(main())
