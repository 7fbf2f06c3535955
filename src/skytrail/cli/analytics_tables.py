"""``skytrail sessions`` and ``skytrail stats``: tables of the analytics node on the terminal."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import click
from rich.table import Table
from rich.text import Text

from skytrail.cli import output
from skytrail.cli.analytics import checked_time
from skytrail.cli.analytics_gaps import none_found, note_gaps
from skytrail.cli.analytics_node import Analytics, node_options, opened_node
from skytrail.cli.help_text import examples
from skytrail.cli.lookup import only_fitting
from skytrail.cli.names import did_you_mean, fits_length, full_names, read_project, split_name
from skytrail.cli.session import PROJECT_VARIABLE, Refused, console, reported
from skytrail.cli.values import Json, mapping, text
from skytrail.model.catalog import CATALOG
from skytrail.runtime.terminal import printable

_EQUAL: Final = 1
_NETWORK: Final = "virtual-network"
_PROTOCOLS: Final = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "icmp6": 58, "sctp": 132}
_NAMES: Final = {number: name for name, number in _PROTOCOLS.items()}
_ACTIONS: Final = ("pass", "deny")
"""What agents tell: whether a session was dropped."""
_SHORT: Final = {"app": "application", "remote_app": "remote_application"}
"""Of columns, in ``--by``."""
_TAG_COLUMNS: Final = {
    **{name: name for name in ("application", "tier", "deployment", "site")}, "label": "labels",
}  # fmt: skip
"""By the type a tag's name begins with; other types are custom ones."""
_REGEX: Final = 8
_SINGLE: Final = (
    "T",
    "vrouter",
    "session_type",
    "vn",
    "local_ip",
    "client_port",
    "remote_vn",
    "remote_ip",
    "server_port",
    "protocol",
    "forward_action",
    "drop_reason",
    "security_policy_rule",
    "forward_sampled_bytes",
    "reverse_sampled_bytes",
)
_TOTALS: Final = (
    "SUM(sample_count)",
    "SUM(forward_sampled_bytes)",
    "SUM(reverse_sampled_bytes)",
)

_LAST = click.option(
    "--last", default="10m", show_default=True, metavar="TIME", help="As in 30s, 2h, 7d."
)
_LIMIT = click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 100_000), metavar="N",
    help="So many rows.",
)  # fmt: skip
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command(
    epilog=examples(
        "skytrail sessions --network default-domain:red:front --action deny",
        "skytrail sessions --port 443 --last 1h --json",
        "skytrail sessions --by vn,remote_vn,server_port --last 7d",
        "skytrail sessions --tag tier=web --by app,remote_app",
    )
)
@click.option("--network", metavar="NAME", help="Only of workloads in this network.")
@click.option("--remote-network", metavar="NAME", help="Only with this network.")
@click.option("--address", metavar="ADDRESS", help="Only of a workload at this address.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), metavar="N", help="Only to this server port."
)
@click.option("--protocol", metavar="NAME", help="Only of tcp, udp, icmp, ... or a number.")
@click.option("--action", type=click.Choice(_ACTIONS), help="Only what was decided so.")
@click.option("--rule", metavar="UUID", help="Only what this rule decided.")
@click.option("--vrouter", metavar="HOST", help="Only what this host told.")
@click.option("--tag", metavar="NAME", help="Only of workloads with this tag, as in tier=web.")
@click.option("--remote-tag", metavar="NAME", help="Only with workloads that have this tag.")
@click.option("--by", metavar="COLUMN,...", help="Add up by these columns instead.")
@_LAST
@_LIMIT
@_JSON
@node_options
def sessions(
    url: str | None, lab_name: str | None, last: str, limit: int, by: str | None,
    port: int | None, protocol: str | None, *, as_json: bool, **chosen: str | None,
) -> None:  # fmt: skip
    """Show what sessions workloads had, newest first, or sums of them."""
    columns = {
        "address": "local_ip", "action": "forward_action",
        "rule": "security_policy_rule", "vrouter": "vrouter",
    }  # fmt: skip
    matches: list[object] = [
        {"name": column, "value": chosen[option], "op": _EQUAL}
        for option, column in columns.items()
        if chosen[option]
    ]
    if port is not None:
        matches.append({"name": "server_port", "value": port, "op": _EQUAL})
    if protocol is not None:
        matches.append({"name": "protocol", "value": _protocol(protocol), "op": _EQUAL})
    matches += [
        _tag_match(prefix, given)
        for option, prefix in (("tag", ""), ("remote_tag", "remote_"))
        if (given := chosen[option])
    ]
    question: dict[str, object] = {
        "start_time": f"now-{checked_time(last)}", "end_time": "now", "limit": limit, "sort": 2,
    }  # fmt: skip
    if by is None:
        chosen_columns: Sequence[str] = _SINGLE
        question |= {"table": "SessionRecordTable", "sort_fields": ["T"]}
    else:
        names = [_SHORT.get(name.strip(), name.strip()) for name in by.split(",") if name.strip()]
        # Both hosts tell a session between them: one side counts.
        chosen_columns = [*names, *_TOTALS]
        question |= {"table": "SessionSeriesTable", "session_type": "client"}
        question |= {"sort_fields": [_TOTALS[1]]}
    question["select_fields"] = list(chosen_columns)
    with reported():
        node = opened_node(url, lab_name)
        for option, column in (("network", "vn"), ("remote_network", "remote_vn")):
            given = chosen[option]
            if given:
                matches.append(
                    {"name": column, "value": full_network_name(node, given), "op": _EQUAL}
                )
        question["where"] = [matches] if matches else None
        rows = node.query(question)
        nothing = none_found("session", last, narrowed=bool(matches))
        _show(rows, chosen_columns, as_json=as_json, nothing=nothing)
        note_gaps(node, last, "session")


def full_network_name(node: Analytics, given: str) -> str:
    """Return the network a written name stands for: in full as it is, else of those hosts tell of."""
    kind = CATALOG.objects[_NETWORK]
    parts = split_name(given, kind)
    if fits_length(parts, kind):
        return given
    listed = node.call("GET", f"/analytics/uves/{_NETWORK}s")
    told = [text(mapping(each).get("name")) for each in listed] if isinstance(listed, list) else []
    known = {split_name(name, kind) for name in told}
    project = read_project(os.environ.get(PROJECT_VARIABLE))
    for name in full_names(parts, kind, project):
        if name in known:
            return ":".join(name)
    try:
        return ":".join(only_fitting(kind, parts, known))
    except Refused as error:
        raise Refused(
            f"{error.message}\nShort names are those of networks that hosts tell of now; a full one,"
            " DOMAIN:PROJECT:NAME, is asked for as it is."
        ) from error


def _tag_match(prefix: str, given: str) -> dict[str, object]:
    """Return the match of a tag: by its full name, or by TYPE=VALUE of all and of any project."""
    owner, _, name = given.rpartition(":")
    kind, equals, value = name.partition("=")
    if not (kind and equals and value):
        raise click.UsageError(f"a tag is TYPE=VALUE, as in tier=web, not {given!r}")
    column = prefix + _TAG_COLUMNS.get(kind, "custom_tags")
    start = "(^|;)" if owner else "(^|[:;])"
    return {"name": column, "value": f"{start}{re.escape(given)}($|;)", "op": _REGEX}


def _protocol(given: str) -> int:
    if given.lower() in _PROTOCOLS:
        return _PROTOCOLS[given.lower()]
    if given.isascii() and given.isdigit() and len(given) <= 3 and int(given) < 256:
        return int(given)
    raise click.UsageError(
        f"--protocol {given!r} is none of {', '.join(_PROTOCOLS)} and no number below 256"
    )


@click.command(
    epilog=examples(
        "skytrail stats",
        "skytrail stats StatTable.UveVirtualNetworkAgent.vn_stats --select 'name,SUM(vn_stats.in_bytes)'",
        "skytrail stats StatTable.UveVMInterfaceAgent.if_stats --select 'T=60,SUM(if_stats.in_bytes)' "
        "--where name=default-domain:red:web1 --last 1h",
    )
)
@click.argument("table", required=False)
@click.option("--select", metavar="COLUMN,...", help="Columns, or SUM(), AVG(), MAX() of them.")
@click.option("--where", multiple=True, metavar="COLUMN=VALUE", help="Only where it is so.")
@click.option("--sort", "order", metavar="COLUMN", help="By this column, greatest first.")
@_LAST
@_LIMIT
@_JSON
@node_options
def stats(
    table: str | None, select: str | None, where: Sequence[str], order: str | None, last: str,
    limit: int, url: str | None, lab_name: str | None, *, as_json: bool,
) -> None:  # fmt: skip
    """Show numbers over time: the tables there are, the columns of one, or its rows."""
    with reported():
        node = opened_node(url, lab_name)
        if table is not None:
            _check_told(node, table)
        if table is None or select is None:
            _describe(node, table, as_json=as_json)
            return
        columns = [name.strip() for name in select.split(",") if name.strip()]
        matches = [_match(each) for each in where]
        question: dict[str, object] = {
            "table": table, "start_time": f"now-{checked_time(last)}", "end_time": "now",
            "select_fields": columns, "where": [matches] if matches else None, "limit": limit,
            "sort_fields": [order] if order else None, "sort": 2,
        }  # fmt: skip
        rows = node.query(question)
    _show(rows, columns, as_json=as_json, nothing=none_found("number", last, narrowed=bool(where)))


def _match(given: str) -> dict[str, object]:
    name, equals, value = given.partition("=")
    if not name or not equals:
        raise click.UsageError(f"--where {given!r} is not COLUMN=VALUE")
    return {"name": name, "value": value, "op": _EQUAL}


def _tables(node: Analytics) -> list[Json]:
    listed = node.call("GET", "/analytics/tables")
    return [mapping(each) for each in listed] if isinstance(listed, list) else []


def _check_told(node: Analytics, table: str) -> None:
    known = [text(each.get("name")) for each in _tables(node)]
    if table not in known:
        raise Refused(
            f"nobody has told a table {table}.{did_you_mean(table, known)}"
            " `skytrail stats` lists those there are."
        )


def _describe(node: Analytics, table: str | None, *, as_json: bool) -> None:
    numbers: list[str] = []
    if table is None:
        names = [text(each.get("name")) for each in _tables(node) if each.get("type") == "STAT"]
    else:
        schema = mapping(node.call("GET", f"/analytics/table/{table}/schema"))
        columns = schema.get("columns")
        found = [mapping(each) for each in columns] if isinstance(columns, list) else []
        names = [text(each.get("name")) for each in found]
        # The names of attributes come from what is added up: each is a number.
        numbers = [text(each.get("name")) for each in found if each.get("datatype") == "double"]
    if as_json:
        output.print_json(names)
        return
    for name in names:
        click.echo(printable(name))
    if not names:
        output.note("no process has told numbers yet; they do within ten seconds of a change")
    elif numbers:
        output.note(f"choose some: skytrail stats {table} --select 'name,SUM({numbers[-1]})'")


def _show(rows: Sequence[Json], columns: Sequence[str], *, as_json: bool, nothing: str) -> None:
    if as_json:
        output.print_json(rows)
        return
    if not rows:
        output.note(nothing)
        return
    shown = ["T=" if name.startswith("T=") else name for name in columns]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in shown:
        table.add_column("TIME" if name in {"T", "T="} else printable(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(_cell(name, row.get(name)))) for name in shown))
    console().print(table)


def _cell(name: str, value: object) -> str:
    if name in {"T", "T="}:
        return time_text(value)
    if name == "protocol" and isinstance(value, int):
        return _NAMES.get(value, str(value))
    if isinstance(value, float):
        return f"{value:g}" if value != int(value) else str(int(value))
    return str(value)


def time_text(value: object) -> str:
    """Return microseconds since 1970 as people read them (UTC); nothing where it is no number."""
    if not isinstance(value, int):
        return ""
    return datetime.fromtimestamp(value / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
