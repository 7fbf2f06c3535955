"""``skytrail status``: daemons, revisions, sessions; or how far the change of an object has come."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from skytrail.cli.choices import complete_name, complete_type
from skytrail.cli.conditions import conditions_of, lines
from skytrail.cli.help_text import examples
from skytrail.cli.lab import (
    json_option,
    opened,
    print_json,
    print_tables,
    reports_failures,
)
from skytrail.cli.lab_choice import readable_labs
from skytrail.cli.lookup import find_uuid
from skytrail.cli.names import resolve_type
from skytrail.cli.place import given_access, named_place
from skytrail.cli.session import api_options
from skytrail.cli.session import opened as api_opened
from skytrail.cli.values import Json, items, mapping
from skytrail.client.messages import Call, decode_reply
from skytrail.lab import commands, health, labs, state
from skytrail.lab.show import table_of
from skytrail.lab.topology import TopologyError
from skytrail.runtime.introspection import IntrospectionFailed, read_page, read_table

_REVISION = re.compile(r"^\w*revision(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Daemon:
    """A process that can be asked on a Unix socket."""

    name: str
    kind: str
    socket: Path
    restart_command: str | None = None
    """How to have it again; None while it runs, or when nobody knows."""


class _Health(msgspec.Struct, frozen=True):
    healthy: bool
    unmet: tuple[str, ...] = ()


@click.command(
    epilog=examples(
        "skytrail status",
        "skytrail status --data build/controller",
        "skytrail status --lab two-tenants --json",
        "skytrail status vn red",
    )
)
@click.argument("type_name", metavar="[TYPE", required=False, shell_complete=complete_type)
@click.argument("names", metavar="NAME|UUID...]", nargs=-1, shell_complete=complete_name)
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Ask the controller that `skytrail up --data` runs here.",
)
@json_option
@api_options
@reports_failures
def status(
    type_name: str | None,
    names: tuple[str, ...],
    data: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show daemons, the revision each has reached, sessions, and unmet dependencies; or, of an
    object, whether its last change is accepted, derived, distributed, and programmed on the hosts
    that need it.

    Asked of an API, it also lists troubles: what the compiler or a control node could not do, with
    the object's type and name, the reason, and what to do.

    Exits with status 1 when a daemon is not healthy, or a condition of the object is false.
    """
    if type_name is not None:
        if not names:
            raise click.UsageError(f"Which {type_name}? `skytrail status TYPE NAME`.")
        if data:
            raise click.UsageError("--data tells of daemons; for an object use --api or --lab.")
        _show_objects(type_name, names, as_json=as_json)
        return
    daemons = _of_controller(data) if data else _of_chosen_lab()
    if daemons is None:
        _show_api(as_json=as_json)
        return
    shown = [_describe(daemon) for daemon in daemons]
    overview = table_of("daemons", shown)
    sessions = table_of("sessions", [row for daemon in daemons for row in _sessions(daemon)])
    routers = table_of("BGP peers", [row for daemon in daemons for row in _bgp_peers(daemon)])
    if as_json:
        records = {"sessions": sessions.records(), "bgp": routers.records()}
        print_json({"daemons": overview.records(), **records})
    else:
        print_tables([overview, sessions, *([routers] if routers.rows else [])])
    if any(row["state"] != "healthy" for row in shown):
        raise SystemExit(1)


def _show_objects(type_name: str, names: tuple[str, ...], *, as_json: bool) -> None:
    with api_opened() as session:
        kind = resolve_type(type_name)
        uuids = [find_uuid(session, kind, name) for name in names]
        told = [conditions_of(session, kind.name, uuid) for uuid in uuids]
    if as_json:
        print_json(
            [
                {"type": kind.name, "uuid": uuid, "conditions": conditions}
                for uuid, conditions in zip(uuids, told, strict=True)
            ]
        )
    else:
        for name, conditions in zip(names, told, strict=True):
            click.echo(f"{kind.name} {name}")
            click.echo("\n".join(f"  {line}" for line in lines(conditions)))
    if any(each["status"] == "false" for conditions in told for each in conditions):
        raise SystemExit(1)


def _of_chosen_lab() -> list[Daemon] | None:
    """Return the daemons of the lab that is meant; None when the API is to be asked instead."""
    place = named_place(given_access(click.get_current_context()), os.environ)
    lab_name = None
    if place is not None:
        lab_name = place.lab or (None if place.socket else lab_at(place.url))
        if lab_name is None:
            return None
    elif not labs.names():
        return None
    try:
        return _of_lab(lab_name)
    except (TopologyError, msgspec.DecodeError, UnicodeDecodeError) as error:
        name = lab_name or state.chosen_name()
        click.echo(f"lab {name} cannot be read, so only its API is asked: {error}", err=True)
        return None


def lab_at(url: str) -> str | None:
    """Return the lab whose API has this address; labs that cannot be read are named and passed."""
    for lab in readable_labs():
        if url == f"http://127.0.0.1:{lab.api_port}":
            return lab.name
    return None


def _show_api(*, as_json: bool) -> None:
    """Tell how the API is, and what reports to it."""
    with api_opened() as session:
        content = session.client.call(Call("GET", "/api/v1/status"))
    found = decode_reply(content, dict[str, object])
    reports = [mapping(each) for each in items(found.get("reports"))]
    if as_json:
        print_json({"api": "healthy", **found})
    else:
        rows: list[dict[str, object]] = [
            {"name": "api", "kind": "api", "revision": found.get("revision"), "agents": "",
             "troubles": ""}
        ]  # fmt: skip
        rows += [
            {
                "name": each.get("reporter"),
                "kind": each.get("kind"),
                "revision": each.get("revision"),
                "agents": len(items(each.get("agents"))) if each["kind"] == "control" else "",
                "troubles": len(items(each.get("troubles"))),
            }
            for each in reports
        ]
        troubles = _troubles(reports)
        shown = [table_of("troubles", troubles)] if troubles else []
        print_tables([table_of("reports to the API", rows), *shown])
    missing = {"compiler", "control"} - {str(each.get("kind")) for each in reports}
    for kind in sorted(missing):
        click.echo(f"no {'control node' if kind == 'control' else kind} reports to it", err=True)
    if missing:
        raise SystemExit(1)


def _troubles(reports: Iterable[Json]) -> list[dict[str, object]]:
    """Return what reporters could not do, once each: two compilers say the same."""
    rows = [
        {
            "type": each.get("type"),
            "name": ":".join(map(str, items(each.get("fq_name")))),
            "reason": each.get("reason"),
            "detail": each.get("detail"),
        }
        for report in reports
        for each in map(mapping, items(report.get("troubles")))
    ]
    return [row for place, row in enumerate(rows) if row not in rows[:place]]


def _of_controller(data: Path) -> list[Daemon]:
    names = ("api", "compiler", "control", "analytics")
    found = [Daemon(name, name, data / f"{name}.sock") for name in names]
    # Without --analytics-port there is none; one that was killed leaves its socket.
    return [each for each in found if each.name != "analytics" or each.socket.exists()]


def _of_lab(lab_name: str | None) -> list[Daemon]:
    lab = opened(lab_name or state.chosen_name())
    kinds = {
        **({commands.ANALYTICS: "analytics"} if lab.topology.analytics else {}),
        commands.API: "api",
        commands.COMPILER: "compiler",
        **{node.name: "control" for node in lab.plan.controllers},
        **{node.name: "agent" for node in lab.plan.hosts},
    }
    return [
        Daemon(
            name,
            kind,
            health.socket_of(lab, name),
            None if lab.processes.identity(name) else health.restart_command(lab, name),
        )
        for name, kind in kinds.items()
    ]


def _describe(daemon: Daemon) -> dict[str, object]:
    row: dict[str, object] = {"name": daemon.name, "kind": daemon.kind, "state": "silent"}
    if daemon.restart_command:
        return {**row, "state": "dead", "revision": None, "unmet": daemon.restart_command}
    try:
        found = msgspec.json.decode(read_page(daemon.socket, "/healthz"), type=_Health)
        metrics = read_page(daemon.socket, "/metrics").decode()
    except (IntrospectionFailed, msgspec.DecodeError, UnicodeDecodeError) as error:
        return {**row, "revision": None, "unmet": str(error)}
    revision = _REVISION.search(metrics)
    return {
        **row,
        "state": "healthy" if found.healthy else "waiting",
        "revision": int(float(revision[1])) if revision else None,
        "unmet": "; ".join(found.unmet),
    }


def _sessions(daemon: Daemon) -> list[dict[str, object]]:
    table = {"control": "peers", "agent": "sessions"}.get(daemon.kind)
    if table is None:
        return []
    try:
        rows = read_table(daemon.socket, table)
    except IntrospectionFailed:
        return []
    return [_session(daemon.name, row) for row in rows]


def _bgp_peers(daemon: Daemon) -> list[dict[str, object]]:
    if daemon.kind != "control":
        return []
    try:
        rows = read_table(daemon.socket, "bgp")
    except IntrospectionFailed:
        return []
    columns = ("address", "as", "up", "up_s", "routes", "routes_stale", "last_down_reason")
    return [
        {
            "of": daemon.name,
            "with": str(row.get("name", "")).rpartition(":")[2],
            **{column: row.get(column) for column in columns},
        }
        for row in rows
    ]


def _session(name: str, row: dict[str, object]) -> dict[str, object]:
    """One line of either end's table: a control node's peer, or an agent's session."""
    return {
        "of": name,
        "with": row.get("name") or row.get("source"),
        "address": row.get("address", ""),
        "up": row["up"] if "up" in row else row.get("state") == "established",
        "up_s": row.get("up_s", row.get("established_for_s")),
        "routes": row.get("routes", row.get("published")),
        "routes_stale": row.get("routes_stale"),
        "last_down_reason": row.get("last_down_reason", row.get("last_reason")),
    }
