"""``skytrail logs`` and ``skytrail uve``: what the analytics node knows, on the terminal."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import click
import msgspec
from rich.table import Table
from rich.text import Text

from skytrail.cli import output
from skytrail.cli.analytics_gaps import none_found, note_gaps
from skytrail.cli.analytics_node import Analytics, NotKnown, node_options, opened_node
from skytrail.cli.help_text import examples
from skytrail.cli.names import did_you_mean
from skytrail.cli.session import Refused, console, reported
from skytrail.cli.values import Json, mapping, text
from skytrail.runtime.terminal import printable

TAIL_S: Final = 1.0
_FIELDS: Final = (
    "MessageTS",
    "Source",
    "ModuleId",
    "Category",
    "Level",
    "Messagetype",
    "Xmlmessage",
)
_LEVELS: Final = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")
_LEAF: Final = re.compile(r"<([A-Za-z_][\w.-]*)(?: [^<>]*)?>([^<>]*)</\1>")
_OLD: Final = re.compile(r"[0-9]{1,6}[smhd]")
_EQUAL, _AT_MOST, _PREFIX = 1, 5, 7


def checked_time(last: str, option: str = "--last") -> str:
    """Return how long ago, as ``option`` has it; a usage error when it is no time."""
    if not _OLD.fullmatch(last):
        raise click.UsageError(f"{option} {last!r} is no time; write 30s, 10m, 2h or 1d")
    return last


@click.command(
    epilog=examples(
        "skytrail logs",
        "skytrail logs --module contrail-control --level warning --last 1d",
        "skytrail logs --object virtual-network:default-domain:red:front",
        "skytrail logs --tail",
    )
)
@click.option("--source", metavar="HOST", help="Only of this machine.")
@click.option("--module", metavar="NAME", help="Only of this program, such as contrail-control.")
@click.option("--node-type", metavar="TYPE", help="Only of Config, Control, Compute, Analytics.")
@click.option("--category", metavar="NAME", help="Only of this category.")
@click.option("--message-type", metavar="NAME", help="Only messages whose type begins so.")
@click.option("--level", type=click.Choice(_LEVELS), help="Only this severe or more.")
@click.option("--object", "about", metavar="TYPE:NAME", help="Only what is about this entity.")
@click.option("--last", default="10m", show_default=True, metavar="TIME", help="As in 30s, 2h, 1d.")
@click.option("--limit", default=1000, show_default=True, metavar="N", help="So many, the newest.")
@click.option("--reverse", is_flag=True, help="Newest first.")
@click.option("--tail", is_flag=True, help="Go on with what comes; Ctrl-C ends it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@node_options
def logs(
    url: str | None,
    lab_name: str | None,
    about: str | None,
    last: str,
    limit: int,
    *,
    reverse: bool,
    tail: bool,
    as_json: bool,
    **chosen: str | None,
) -> None:
    """Show what processes logged, oldest first."""
    checked_time(last)
    table, matches = _question(about, chosen)
    with reported():
        node = opened_node(url, lab_name)
        question: dict[str, object] = {
            "table": table, "start_time": f"now-{last}", "end_time": "now",
            "select_fields": list(_FIELDS), "where": [matches] if matches else None,
            "sort_fields": ["MessageTS"], "sort": 2, "limit": limit,
        }  # fmt: skip
        rows = node.query(question)
        for row in rows if reverse else reversed(rows):
            _print(row, as_json=as_json)
        if not rows:
            narrowed = bool(matches) or about is not None
            output.note(none_found("message", last, narrowed=narrowed))
        note_gaps(node, last, "log")
        if tail:
            _follow(node, question, rows, as_json=as_json)


def _question(about: str | None, chosen: Mapping[str, str | None]) -> tuple[str, list[object]]:
    names = {
        "source": "Source",
        "module": "ModuleId",
        "node_type": "NodeType",
        "category": "Category",
    }
    matches: list[object] = [
        {"name": column, "value": chosen[option], "op": _EQUAL}
        for option, column in names.items()
        if chosen[option]
    ]
    if chosen["message_type"]:
        matches.append({"name": "Messagetype", "value": chosen["message_type"], "op": _PREFIX})
    if chosen["level"]:
        level = _LEVELS.index(chosen["level"])
        matches.append({"name": "Level", "value": level, "op": _AT_MOST})
    if about is None:
        return "MessageTable", matches
    from skytrail.analytics.uve_types import TABLES

    kind, colon, name = about.partition(":")
    if kind not in TABLES or not colon:
        raise click.UsageError(f"--object {about!r} is not TYPE:NAME; types: {', '.join(TABLES)}")
    matches.append({"name": "ObjectId", "value": name, "op": _EQUAL})
    return TABLES[kind], matches


def _follow(
    node: Analytics, question: dict[str, object], rows: Sequence[Json], *, as_json: bool
) -> None:
    # Rows of one moment may come one after the other: ask for that moment again, show once.
    seen = {msgspec.json.encode(row) for row in rows}
    newest = max((_moment(row) for row in rows), default=0)
    while True:
        time.sleep(TAIL_S)
        since = {"start_time": newest} if newest else {}
        for row in reversed(node.query({**question, **since})):
            encoded = msgspec.json.encode(row)
            if encoded in seen:
                continue
            _print(row, as_json=as_json)
            seen = {encoded} if _moment(row) > newest else seen | {encoded}
            newest = max(newest, _moment(row))


def _moment(row: Json) -> int:
    said = row.get("MessageTS")
    return said if isinstance(said, int) else 0


def _print(row: Json, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(row).decode())
        return
    at = datetime.fromtimestamp(_moment(row) / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    level = row.get("Level")
    severity = _LEVELS[level] if isinstance(level, int) and 0 <= level < len(_LEVELS) else "-"
    said = " ".join(f"{name}={value}" for name, value in _leaves(text(row.get("Xmlmessage"))))
    line = f"{at} {text(row.get('Source'))} {text(row.get('ModuleId'))} {severity} "
    line += f"{text(row.get('Messagetype'))} {said}"
    click.echo(printable(line.rstrip()))


def _leaves(body: str) -> Iterator[tuple[str, str]]:
    """Yield the innermost fields of a message's XML, as texts."""
    for match in _LEAF.finditer(body):
        yield match[1], html.unescape(match[2])


@click.command(
    epilog=examples(
        "skytrail uve",
        "skytrail uve vrouter",
        "skytrail uve virtual-network default-domain:red:front",
        "skytrail uve vrouter compute1 --at 2026-11-28T04:00:00Z",
        "skytrail uve control-node --json",
    )
)
@click.argument("kind", metavar="[TYPE]", required=False)
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--at", metavar="TIME", help="As it was then; ISO 8601, UTC where no zone is given.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@node_options
def uve(
    kind: str | None,
    name: str | None,
    at: str | None,
    url: str | None,
    lab_name: str | None,
    *,
    as_json: bool,
) -> None:
    """Show what processes say of entities now: types, the entities of one, or all about NAME."""
    if at is not None and kind is None:
        raise click.UsageError("--at shows entities of a TYPE; name one.")
    with reported():
        node = opened_node(url, lab_name)
        if kind is None:
            _print_types(node, as_json=as_json)
            return
        kind = _singular(kind)
        past = "" if at is None else f"&at={quote(at, safe='')}"
        found = mapping(_of_type(node, kind, f"/{name or '*'}?flat{past}"))
        then = "" if at is None else f" at {at}"
        if name is not None and not name.endswith("*") and not found:
            close = did_you_mean(name, _names_of_type(node, kind, past))
            raise Refused(
                f"nobody says anything of {kind} {name}{then}.{close} `skytrail uve {kind}` lists names."
            )
    if as_json:
        output.print_json(found)
        return
    rows = found.get("value")
    one: Json = {"name": name, "value": found}
    entities = [mapping(row) for row in rows] if isinstance(rows, list) else [one]
    for entity in entities:
        _print_entity(entity)
    if not entities:
        output.note(f"nobody says anything of any {kind}{then}")


def _singular(kind: str) -> str:
    """Return a type as one of its entities is asked for: `skytrail uve` and the node list types in the plural."""
    from skytrail.analytics.uve_types import singular

    return singular(kind) or kind


def _of_type(node: Analytics, kind: str, rest: str) -> object:
    """Return what is known below a type; an unknown one is refused with those that are close."""
    from skytrail.analytics.uve_types import TABLES

    try:
        return node.call("GET", f"/analytics/uves/{quote(kind, safe='')}{rest}")
    except NotKnown as error:
        if kind in TABLES:
            raise
        raise NotKnown(f"{error.message}\n{did_you_mean(kind, TABLES).strip()}".rstrip()) from error


def _names_of_type(node: Analytics, kind: str, past: str) -> list[str]:
    from skytrail.analytics.uve_types import plural

    return _names(node, f"/analytics/uves/{plural(kind)}?flat{past}")


def _names(node: Analytics, path: str) -> list[str]:
    listed = node.call("GET", path)
    return [text(mapping(each).get("name")) for each in listed] if isinstance(listed, list) else []


def _print_types(node: Analytics, *, as_json: bool) -> None:
    names = _names(node, "/analytics/uves")
    if as_json:
        output.print_json(names)
        return
    for each in names:
        click.echo(each)
    if not names:
        output.note("no process has said anything yet; they do within ten seconds")


def _print_entity(entity: Json) -> None:
    """Print an entity's structs below each other: beside their names no terminal has room."""
    terminal = console()
    terminal.print(Text(printable(text(entity.get("name"))), style="bold"))
    for struct, fields in mapping(entity.get("value")).items():
        terminal.print(Text(f"  {printable(struct)}"))
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for field, value in mapping(fields).items():
            shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            table.add_row(Text(f"    {printable(field)}"), Text(printable(shown)))
        terminal.print(table)
