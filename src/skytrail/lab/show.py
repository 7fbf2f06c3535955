"""Tables that describe a lab: what exists, whether it lives, and what the vRouters hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from skytrail.lab import commands
from skytrail.lab.health import daemon_names, process_health, restart_command
from skytrail.lab.io import frr, guest, workload
from skytrail.lab.service import Lab
from skytrail.lab.state import LabError
from skytrail.lab.topology import Guest
from skytrail.lab.trace import without_uuids
from skytrail.lab.wording import PROTOCOL_NAMES, readable
from skytrail.runtime.introspection import IntrospectionFailed, read_page, read_table
from skytrail.runtime.terminal import printable

ROWS_COUNT_MAX = 5000
NAME_COLUMNS = frozenset({"vrf", "networks", "network"})
RULE_COLUMNS = frozenset({"text"})
RULE_NAME_COLUMNS = frozenset({"rule"})
WIDTH_DEFAULT = 400
FOLDED_CELL_LENGTH = 10
"""Longer cells may be folded, but to no less than this."""
GAP_LENGTH = 3
PORT_COLUMN = "vmi_uuid"
FULL_NAME_LENGTH = 3
DROPS = "drops"
FLOWS = "flows"
EXPLAIN = "explain"
"""Answers a question about one packet; no table to look at."""
_DEFAULT_INSTANCE = re.compile(r"^(.+:)?([^:]+):\2$")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    # What people see; JSON has every column. A view that is not listed shows all.
    "interfaces": (
        "vif_id", "ifname", "vlan", "name", "addresses", "mac", "learnt_macs", "vrf_id",
        "mtu_bytes", "active", "reason",
    ),
    # Agents and control nodes both have routes; a column that rows lack is left out.
    "routes": (
        "vrf", "family", "instance", "prefix", "nexthop", "label", "networks", "mac", "source",
        "best", "why_not_best",
    ),
    "bgp": (
        "name", "address", "as", "up", "up_s", "routes", "routes_stale", "families",
        "last_down_reason", "last_problem",
    ),
    "vpn": (
        "distinguisher", "prefix", "source", "best", "why_not_best", "next_hops", "targets",
        "as_path",
    ),
    "nexthops": (
        "nexthop_id", "name", "kind", "vif_id", "encapsulation", "remote", "out_destination_mac",
    ),
    "flows": (
        PORT_COLUMN, "vrf", "source", "destination", "protocol", "source_port", "destination_port",
        "leaves_as", "allowed", "drop_reason", "rule_id", "rule", "nexthop", "label",
        "packets", "bytes", "age_s",
    ),
    "sessions": (
        "source", "state", "established_for_s", "subscribed", "published", "received_messages",
        "sent_messages", "config_source", "last_reason",
    ),
    "peers": (
        "name", "address", "up", "up_s", "routes", "routes_stale", "subscriptions",
        "messages_out", "bytes_out", "last_down_reason",
    ),
    "tree_members": (
        "instance", "member", "label", "edges", "builder", "control_node", "agents", "stale",
        "problem",
    ),
    "health": (
        "vmi_uuid", "check", "monitor", "source", "target", "state", "since_s", "detail",
    ),
    "policy": ("policy_id", "direction", "stage", "text"),
    "rules": ("rule_id", "name", "text"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """Port uuid to the name people gave it; only the rendered table uses it."""

    def records(self) -> list[dict[str, object]]:
        """Rows as mappings, for JSON."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def rendered(self, width: int = WIDTH_DEFAULT) -> RichTable:
        """The table for a terminal of this width: nested values as JSON, long ones folded.

        What would fold into towers of letters is written one column a line instead.
        """
        title = Text(printable(self.title))
        table = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        if not self.rows:
            # A table without columns would be nothing at all, title included.
            table.show_header = False
            table.add_column(min_width=len(title))
            table.add_row("(empty)")
            return table
        titles = ["port" if column == PORT_COLUMN else column for column in self.columns]
        # Text, not markup: a MAC or a name must never turn into a colour or a picture.
        rows = [
            [Text(self._cell(*cell)) for cell in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]
        if _fits(titles, rows, width):
            for title in titles:
                table.add_column(title, overflow="fold")
            for row in rows:
                table.add_row(*row)
        else:
            table.show_header = False
            table.add_column(style="bold", no_wrap=True)
            table.add_column(overflow="fold")
            for row in rows:
                for title, cell in zip(titles, row, strict=True):
                    table.add_row(title, cell)
                table.add_section()
        return table

    def _cell(self, column: str, value: object) -> str:
        if column in NAME_COLUMNS:
            parts: object = [value] if isinstance(value, str) else value
            if isinstance(parts, Sequence):
                return printable(", ".join(_short_name(str(part)) for part in parts))
        if column in RULE_COLUMNS:
            value = readable(_text(value))
        if column in RULE_NAME_COLUMNS:
            value = without_uuids(_text(value))
        named = _UUID.sub(lambda found: self.names.get(found[0], found[0]), _text(value))
        return printable(named)


def _fits(titles: Sequence[str], rows: Sequence[Sequence[Text]], width: int) -> bool:
    """Tell whether no column gets narrower than its title, or than a line of a long cell."""
    longest = [
        max([len(title), *(min(len(row[place]), FOLDED_CELL_LENGTH) for row in rows)])
        for place, title in enumerate(titles)
    ]
    return sum(longest) + GAP_LENGTH * len(longest) <= width


def table_of(
    title: str, records: Sequence[Mapping[str, object]], columns: tuple[str, ...] = ()
) -> Table:
    """Make a table; without ``columns`` these are all keys of the records as they appear."""
    columns = columns or tuple(dict.fromkeys(key for record in records for key in record))
    rows = tuple(tuple(record.get(column) for column in columns) for record in records)
    return Table(title, columns, rows)


def tables(
    lab: Lab,
    view: str | None,
    place: str | None,
    *,
    every_column: bool = False,
    where: Mapping[str, str] | None = None,
) -> list[Table]:
    """Return the overview, or one introspection table of every host (or of one process).

    ``where`` is what columns of its rows are.
    """
    if view is None:
        gateways = [_gateways(lab)] if lab.topology.gateways else []
        routers = [_routers(lab)] if lab.topology.routers else []
        return [_nodes(lab), _endpoints(lab), *gateways, *routers]
    places = [place] if place else [node.name for node in lab.plan.hosts]
    return [
        _introspected(lab, each, view, every_column=every_column, where=where) for each in places
    ]


def views(lab: Lab, place: str | None) -> list[str]:
    """Name the tables of a daemon, of a host's agent unless told; none when it does not answer."""
    chosen = place or next((node.name for node in lab.plan.hosts), commands.COMPILER)
    try:
        return _listed(lab.paths.introspect_socket(chosen))
    except IntrospectionFailed:
        return []


def _listed(socket: Path) -> list[str]:
    return [*msgspec.json.decode(read_page(socket, "/introspect"), type=_Tables).tables]


def _introspected(
    lab: Lab, place: str, view: str, *, every_column: bool, where: Mapping[str, str] | None
) -> Table:
    known = [name for name in daemon_names(lab) if name != commands.API]
    if place not in known:
        raise KeyError(f"{place!r} has no tables in this lab; known: {', '.join(known)}")
    title = f"{place}: {view}"
    if lab.processes.identity(place) is None:
        return _state_only(title, f"dead; {restart_command(lab, place)}")
    try:
        return introspected(
            lab.paths.introspect_socket(place), title, view, every_column=every_column, where=where
        )
    except IntrospectionFailed as error:
        return _state_only(title, f"silent: {error}")


def conditions(where: Sequence[str], network: str | None) -> dict[str, str]:
    """Return what columns must be, of COLUMN=TEXT and the network whose VRF rows are to have.

    LabError when one of them is neither.
    """
    found: dict[str, str] = {}
    for each in where:
        column, equals, text = each.partition("=")
        if not column or not equals or column == "limit":
            raise LabError(f"--where {each!r} is not COLUMN=TEXT, as in --where protocol=6")
        found[column] = text
    if network is not None:
        parts = network.split(":")
        if len(parts) not in {FULL_NAME_LENGTH - 1, FULL_NAME_LENGTH}:
            raise LabError(f"--network {network!r} is not DOMAIN:PROJECT:NAME or PROJECT:NAME")
        full = network if len(parts) == FULL_NAME_LENGTH else f"default-domain:{network}"
        found["vrf"] = f"{full}:{parts[-1]}"
    return found


def introspected(
    socket: Path,
    title: str,
    view: str,
    *,
    every_column: bool = False,
    where: Mapping[str, str] | None = None,
) -> Table:
    """Return one table of the daemon on a socket, of it the rows whose columns are so.

    LabError when it has none of that name.
    """
    listed = _listed(socket)
    if view == EXPLAIN and EXPLAIN in listed:
        raise LabError("explain answers questions about a packet: use the command `trace` for them")
    if view not in listed:
        known = ", ".join(name for name in listed if name != EXPLAIN)
        raise LabError(f"No table {view}; known tables: {known}")
    rows: Sequence[Mapping[str, object]] = read_table(
        socket, view, limit=ROWS_COUNT_MAX, where=where
    )
    interfaces = read_table(socket, "interfaces") if "interfaces" in listed else []
    if view == DROPS and not every_column:
        rows = [_named_drop(row) for row in rows]
    if view == FLOWS and not every_column:
        rows = [_named_protocol(row) for row in rows]
    columns = () if every_column else COLUMNS.get(view, ())
    present = {column for row in rows for column in row}
    table = table_of(title, rows, tuple(c for c in columns if not rows or c in present))
    return replace(table, names=_port_names(interfaces))


def _state_only(title: str, condition: str) -> Table:
    return Table(title, ("state",), ((condition,),))


def _named_drop(row: Mapping[str, object]) -> Mapping[str, object]:
    """Say what a row counts when it is no port that exists."""
    if row.get(PORT_COLUMN):
        return row
    return {**row, PORT_COLUMN: "(unplugged)" if row.get("vif_id") else "(whole host)"}


def _named_protocol(row: Mapping[str, object]) -> Mapping[str, object]:
    number = row.get("protocol")
    return {**row, "protocol": PROTOCOL_NAMES.get(str(number), number)}


def _port_names(interfaces: Sequence[Mapping[str, object]]) -> dict[str, str]:
    """Return uuid to name: the last part where that tells ports apart, else all of it."""
    # A port whose configuration has not arrived has no name yet.
    full = {str(row["vmi_uuid"]): str(row["name"]) for row in interfaces if row.get("name")}
    short = {uuid: name.rpartition(":")[2] for uuid, name in full.items()}
    counts = Counter(short.values())
    return {
        uuid: name if counts[name] == 1 else full[uuid].removeprefix("default-domain:")
        for uuid, name in short.items()
    }


class _Tables(msgspec.Struct, frozen=True):
    tables: tuple[str, ...]


def _nodes(lab: Lab) -> Table:
    rows: list[tuple[object, ...]] = []
    for name in daemon_names(lab):
        node = next((node for node in lab.plan.nodes if node.name == name), None)
        identity = lab.processes.identity(name)
        condition, detail = process_health(lab, name)
        rows.append(
            (
                name,
                node.kind.value if node else "controller",
                str(node.place) if node else _url(lab, name),
                node.namespace if node else "",
                identity.pid if identity else None,
                condition,
                detail,
            )
        )
    columns = ("name", "kind", "address", "namespace", "pid", "state", "unmet")
    return Table(f"lab {lab.name}", columns, tuple(rows))


def _url(lab: Lab, name: str) -> str:
    """Where a daemon that is no node answers, if anywhere."""
    return {commands.API: lab.api_url, commands.ANALYTICS: lab.analytics_url}.get(name) or ""


def _endpoints(lab: Lab) -> Table:
    rows: list[tuple[object, ...]] = []
    for endpoint in lab.topology.endpoints:
        kind = "guest" if isinstance(endpoint, Guest) else "workload"
        attached = lab.paths.endpoint(endpoint.name) / "port.json"
        port = lab.attached(endpoint.name) if attached.exists() else None
        rows.append(
            (
                endpoint.name,
                kind,
                endpoint.host,
                ":".join(port.network) if port else "not plugged",
                port.mac if port else "",
                port.ifname if port else "",
                ", ".join(endpoint_addresses(lab, endpoint.name)) if port else "",
            )
        )
    columns = ("name", "kind", "host", "network", "mac", "interface", "addresses")
    return Table("workloads and guests", columns, tuple(rows))


def _gateways(lab: Lab) -> Table:
    rows: list[tuple[object, ...]] = []
    for gateway in lab.topology.gateways:
        place = lab.gateway_place(gateway.name)
        rows.append(
            (
                gateway.name,
                str(place.node.address),
                ":".join(gateway.network),
                place.vrf_namespace,
                _frr_state(lab, gateway.name),
                gateway.host,
                str(place.host_address),
            )
        )
    columns = ("name", "address", "network", "vrf", "state", "host outside", "its address")
    return Table("gateways (FRR)", columns, tuple(rows))


def _routers(lab: Lab) -> Table:
    rows: list[tuple[object, ...]] = []
    for router in lab.topology.routers:
        attached = lab.paths.endpoint(router.name) / "port.json"
        port = lab.attached(router.name) if attached.exists() else None
        is_static = router.autonomous_system is None
        rows.append(
            (
                router.name,
                router.host,
                ":".join(port.network) if port else "not plugged",
                port.ifname if port else "",
                "static" if is_static else f"BGP, AS {router.autonomous_system}",
                "" if is_static else _frr_state(lab, router.name),
                router.site,
                str(router.behind[10]),
            )
        )
    columns = (
        "name", "host", "network", "interface", "routes", "state", "host behind", "its address",
    )  # fmt: skip
    return Table("physical routers", columns, tuple(rows))


def _frr_state(lab: Lab, name: str) -> str:
    dead = [each for each in frr.DAEMONS if lab.processes.identity(f"{name}-{each}") is None]
    return f"{', '.join(dead)} dead" if dead else "runs"


def endpoint_addresses(lab: Lab, name: str) -> list[str]:
    """What the endpoint's own DHCP client got, with prefix lengths."""
    if name in {item.name for item in lab.topology.guests}:
        lease = guest.current_lease(lab.guest_place(name))
        return [lease.address] if lease else []
    return [str(item) for item in workload.addresses(lab.paths.endpoint(name)) if item]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _short_name(value: str) -> str:
    """Drop what says nothing: the default domain, and a network's name twice in its VRF's."""
    return _DEFAULT_INSTANCE.sub(r"\1\2", value).removeprefix("default-domain:")
