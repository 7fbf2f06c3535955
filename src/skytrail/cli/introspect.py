"""``skytrail introspect``: one table of every process, by the analytics node they are connected to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode

import click
import msgspec
from rich.table import Table
from rich.text import Text

from skytrail.cli import output
from skytrail.cli.analytics_node import Analytics, node_options, opened_node
from skytrail.cli.help_text import examples
from skytrail.cli.names import did_you_mean
from skytrail.cli.session import console, reported
from skytrail.cli.values import Json, mapping, text
from skytrail.runtime.terminal import printable

_WHO: Final = ("node", "process")


@click.command(
    epilog=examples(
        "skytrail introspect",
        "skytrail introspect interfaces --node compute1",
        "skytrail introspect routes --process agent --where vrf=default-domain:red:front:front",
        "skytrail introspect drops --columns reason,packets --json",
    )
)
@click.argument("page", required=False)
@click.option("--node", "nodes", multiple=True, metavar="NAME", help="Only of this machine.")
@click.option(
    "--process", "processes", multiple=True, metavar="NAME",
    help="Only of agent, control, api, schema, analytics-api.",
)  # fmt: skip
@click.option("--where", multiple=True, metavar="COLUMN=TEXT", help="Only rows where it is so.")
@click.option(
    "--match", metavar="TEXT", help="Only rows in which any value holds this, in any case."
)
@click.option("--columns", metavar="COLUMN,...", help="Show these columns only.")
@click.option(
    "--limit", default=1000, show_default=True, type=click.IntRange(1, 1_000_000), metavar="N",
    help="So many rows.",
)  # fmt: skip
@click.option(
    "--timeout", default=5.0, show_default=True, type=click.FloatRange(0.1, 30), metavar="SECONDS",
    help="How long to wait for all of them.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@node_options
def introspect(
    page: str | None, nodes: Sequence[str], processes: Sequence[str], where: Sequence[str],
    match: str | None, columns: str | None, limit: int, timeout: float, url: str | None, lab_name: str | None,
    *, as_json: bool,
) -> None:  # fmt: skip
    """Show a table of what processes hold now, of all nodes; without PAGE, which tables there are.

    Who does not answer in time is named; the exit status is 1 then.
    """
    asked = [("timeout", f"{timeout:.1f}")]
    asked += [("node", name) for name in nodes] + [("process", name) for name in processes]
    if page is not None:
        asked += [("limit", str(limit)), *map(_condition, where)]
        asked += [("match", match)] if match else []
    path = "/api/v1/introspect" + (f"/{quote(page, safe='')}" if page is not None else "")
    with reported():
        node = opened_node(url, lab_name)
        found = mapping(node.call("GET", f"{path}?{urlencode(asked)}"))
        failures = _rows(found, "failures")
        strange = {text(each.get("node")) for each in failures if not each.get("process")}
        connected = _nodes(node) if strange else frozenset[str]()
    if as_json:
        output.print_json(found)
    elif page is None:
        _show(_rows(found, "processes"), ("node", "process", "tables", "failure"))
    else:
        rows = _rows(found, "rows")
        own = list(dict.fromkeys(name for row in rows for name in row))
        named = [name.strip() for name in (columns or "").split(",") if name.strip()]
        _show(rows, [*_WHO, *named] if named else own)
        total = found.get("total")
        if isinstance(total, int) and total > len(rows):
            output.note(f"{len(rows)} of {total} rows; a greater --limit shows more")
    for each in failures:
        who = " ".join(filter(None, (text(each.get(name)) for name in _WHO)))
        meant = did_you_mean(who, connected) if who in strange else ""
        output.note(printable(f"{who}: {text(each.get('reason'))}.{meant}"))
    if failures:
        raise SystemExit(1)


def _nodes(node: Analytics) -> frozenset[str]:
    """Return the names of the machines whose processes are connected."""
    processes = _rows(mapping(node.call("GET", "/api/v1/introspect")), "processes")
    return frozenset(text(each.get("node")) for each in processes)


def _condition(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not name or not equals:
        raise click.UsageError(f"--where {given!r} is not COLUMN=TEXT")
    if name in {*_WHO, "limit", "match", "timeout"}:
        raise click.UsageError(f"--where {name}=... is asked for with --{name}")
    return name, value


def _rows(found: Json, name: str) -> list[Json]:
    listed = found.get(name)
    return [mapping(row) for row in listed] if isinstance(listed, list) else []


def _show(rows: Sequence[Json], columns: Sequence[str]) -> None:
    if not rows:
        output.note("there are no such rows")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(printable(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(_cell(row, name))) for name in columns))
    console().print(table)


def _cell(row: Mapping[str, object], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return " ".join(value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
