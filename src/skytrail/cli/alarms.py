"""``skytrail alarms``: those that stand, and rules tried over what is kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import click
from rich.table import Table
from rich.text import Text

from skytrail.cli import output
from skytrail.cli.analytics import checked_time
from skytrail.cli.analytics_gaps import note_gaps
from skytrail.cli.analytics_node import Analytics, node_options, opened_node
from skytrail.cli.analytics_tables import time_text
from skytrail.cli.help_text import examples
from skytrail.cli.session import Refused, console, reported
from skytrail.cli.values import Json, counted, mapping, text
from skytrail.cli.write import read
from skytrail.runtime.terminal import printable

_SEVERITIES: Final = ("critical", "major", "minor")
_RULE: Final = "alarm"
_GLOBAL: Final = "default-global-system-config"
_MATCHES_COUNT: Final = 3
"""Values shown by which a rule held."""


@click.group(
    invoke_without_command=True,
    epilog=examples(
        "skytrail alarms",
        "skytrail alarms dry-run much-traffic --since 2h",
        "skytrail alarms --acknowledge vrouter:compute1",
        "skytrail alarms --collected vrouter:compute1",
        "skytrail logs --message-type Alarm --last 1d",
    ),
)
@click.option(
    "--collected",
    "collected",
    metavar="TYPE:NAME",
    help="Show what was kept of nodes when its alarms were raised, as JSON.",
)
@click.option("--acknowledge", "seen", metavar="TYPE:NAME", help="Mark its alarms as seen.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@node_options
@click.pass_context
def alarms(
    ctx: click.Context,
    seen: str | None,
    collected: str | None,
    url: str | None,
    lab_name: str | None,
    *,
    as_json: bool,
) -> None:
    """Show the alarms that stand, the most severe first; what follows from one is below it, with a dash."""
    if ctx.invoked_subcommand is not None:
        if seen or collected or as_json or url or lab_name:
            raise click.UsageError(f"Options of {ctx.invoked_subcommand} stand behind it.")
        return
    with reported():
        node = opened_node(url, lab_name)
        if collected is not None:
            kind, _, name = collected.partition(":")
            path = f"/api/v1/alarms/{quote(kind, safe='')}/{quote(name, safe='')}/collected"
            kept = mapping(node.call("GET", path)).get("collected")
            output.print_json(kept)
            if not kept:
                output.note(printable(f"nothing is kept of alarms of {collected}"))
            return
        rows = _under_parents(sorted(_alarms(node), key=_gravity))
        if seen is not None:
            _acknowledge(node, rows, seen)
            rows = _under_parents(sorted(_alarms(node), key=_gravity))
    if as_json:
        output.print_json(rows)
        return
    if not rows:
        output.note("no alarm stands")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("SEVERITY", "SINCE", "TYPE", "NAME", "RULE", "SEEN", "DESCRIPTION"):
        table.add_column(title, overflow="fold")
    for row in rows:
        cells = (
            _SEVERITIES[min(_gravity(row)[0], 2)], time_text(row.get("timestamp")),
            text(row.get("type")), ("- " if row.get("parent") else "") + text(row.get("name")),
            text(row.get("rule")).rpartition(":")[2], _seen_by(row),
            text(row.get("description")),
        )  # fmt: skip
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console().print(table)


def _seen_by(row: Mapping[str, object]) -> str:
    """Return who has seen an alarm, as far as it is told."""
    who = " of ".join(filter(None, (text(row.get(name)) for name in ("ack_user", "ack_project"))))
    return (who or "yes") if row.get("ack") else ""


def _alarms(node: Analytics) -> Iterator[dict[str, object]]:
    for kind, entities in mapping(node.call("GET", "/analytics/alarms")).items():
        for entity in map(mapping, entities if isinstance(entities, list) else []):
            told = mapping(mapping(entity.get("value")).get("UVEAlarms")).get("alarms")
            for alarm in map(mapping, told if isinstance(told, list) else []):
                yield {**alarm, "type": kind, "name": entity.get("name"), "rule": alarm.get("type")}


def _under_parents(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Return alarms in their order, those that follow from another one right behind it."""
    shown: list[dict[str, object]] = []
    children: dict[tuple[str, ...], list[dict[str, object]]] = {}
    for row in rows:
        if row.get("parent"):
            children.setdefault(_alarm_id(mapping(row["parent"])), []).append(row)
    for row in rows:
        if not row.get("parent"):
            shown += [row, *children.pop(_alarm_id(row), ())]
    # Of a parent that went between two reads.
    return [*shown, *(row for of_one in children.values() for row in of_one)]


def _alarm_id(row: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(text(row.get(name)) for name in ("type", "name", "rule"))


def _acknowledge(node: Analytics, rows: Sequence[Mapping[str, object]], seen: str) -> None:
    kind, _, name = seen.partition(":")
    meant = [row for row in rows if (row["type"], row["name"]) == (kind, name)]
    if not meant:
        raise Refused(f"no alarm of {seen} stands; `skytrail alarms` lists them")
    for row in meant:
        said = {"table": kind, "name": name, "type": row["rule"], "token": row.get("token")}
        node.call("POST", "/analytics/alarms/acknowledge", said)


def _gravity(row: Mapping[str, object]) -> tuple[int, str]:
    severity = row.get("severity")
    return (severity if isinstance(severity, int) else 2, text(row.get("name")))


@alarms.command(
    "dry-run",
    epilog=examples(
        "skytrail alarms dry-run much-traffic --since 2h",
        "skytrail alarms dry-run rule.yaml --since 1d --entity 'default-domain:red:*'",
        "skytrail alarms dry-run default-global-system-config:system-defined-xmpp-connectivity",
    ),
)
@click.argument("rule", metavar="FILE|NAME")
@click.option(
    "--since",
    "last",
    default="2h",
    show_default=True,
    metavar="TIME",
    help="As in 30s, 2h, 1d ago.",
)
@click.option("--entity", metavar="NAME", help="Only of this one; NAME* of those that begin so.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@node_options
def dry_run(
    rule: str,
    last: str,
    entity: str | None,
    url: str | None,
    lab_name: str | None,
    *,
    as_json: bool,
) -> None:
    """Show when a rule would have raised alarms.

    The rule is an alarm object in FILE (YAML or JSON), or one in force by NAME.
    """
    asked: dict[str, object] = {"last": checked_time(last, "--since"), **_rule(rule)}
    if entity:
        asked["entity"] = entity
    with reported():
        node = opened_node(url, lab_name)
        found = mapping(node.call("POST", "/api/v1/alarms/dry-run", asked))
        if as_json:
            output.print_json(found)
        else:
            _print_spans(found, last)
        note_gaps(node, last, "uve")


def _rule(given: str) -> Json:
    """Return the member of the request that says which rule is tried."""
    place = Path(given)
    if given != "-" and not place.exists():
        if place.suffix in {".yaml", ".yml", ".json"} or "/" in given:
            raise click.UsageError(f"No file {given}")
        return {"name": given if ":" in given else f"{_GLOBAL}:{given}"}
    with reported():
        try:
            said = sys.stdin.read() if given == "-" else place.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"{given}: {error}") from error
        rules = [each for each in read(said, given) if each.kind.name == _RULE]
    if len(rules) != 1:
        raise click.UsageError(f"{given} holds {len(rules)} objects of type {_RULE}; write one.")
    return {"rule": rules[0].wire()}


def _print_spans(found: Json, last: str) -> None:
    listed = found.get("alarms")
    spans = [mapping(each) for each in listed] if isinstance(listed, list) else []
    if spans:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("RAISED", "CLEARED", "TYPE", "NAME", "BY"):
            table.add_column(title, overflow="fold")
        for span in spans:
            cells = (
                ("before " if span.get("is_from_before") else "") + time_text(span.get("raised_us")),
                time_text(span.get("cleared_us"))
                + (" (node restarted)" if span.get("is_restart") else ""),
                text(span.get("type")), text(span.get("name")), ", ".join(_values(span)),
            )  # fmt: skip
            table.add_row(*(Text(printable(cell)) for cell in cells))
        console().print(table)
    total, shown = _number(found, "alarms_count"), len(spans)
    more = f" ({shown} shown)" if total != shown else ""
    entities = _number(found, "entities_count")
    looked_at = "1 entity" if entities == 1 else f"{entities} entities"
    output.note(
        f"{counted(total, 'alarm')}{more} in the last {last}, of {looked_at} with"
        f" {counted(_number(found, 'steps_count'), 'kept change')}; what changes all the time is kept every"
        f" {found.get('every_s')} s"
    )
    if found.get("cut_count"):
        output.note(f"{found['cut_count']} values were too long to be kept; they count as empty")


def _number(found: Json, member: str) -> int:
    value = found.get(member)
    return value if isinstance(value, int) else 0


def _values(span: Json) -> Iterator[str]:
    """Yield the conditions by which a rule held, with the values that met them."""
    for both in _listed(span.get("matched"), "or_list"):
        for each in _listed(both, "and_list"):
            said = mapping(each.get("condition"))
            values = [text(hit.get("json_operand1_value")) for hit in _listed(each, "match")]
            some = " ".join(values[:_MATCHES_COUNT])
            yield f"{text(said.get('operand1'))}={some}"


def _listed(holder: object, name: str) -> list[Json]:
    found = mapping(holder).get(name)
    return [mapping(each) for each in found] if isinstance(found, list) else []
