"""``skytrail plan``: show what documents would change, down to hosts and reachability."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

import click
from rich.table import Table
from rich.text import Text

from skytrail.cli import output
from skytrail.cli.documents import Document, changes
from skytrail.cli.help_text import examples
from skytrail.cli.session import Refused, Session, api_options, console, opened
from skytrail.cli.values import Json, counted, items, mapping, text
from skytrail.cli.write import NOT_FOUND
from skytrail.client import ApiError, Denied
from skytrail.client.messages import Call, decode_reply

COLOURS = {"create": "green", "update": "yellow", "delete": "red"}
SIGNS = {"create": "+", "update": "~", "delete": "-"}
_VALUE_LENGTH_MAX = 60
_PARTS_COUNT_MAX = 8
_OPERATION = re.compile(r"operation (\d+) \([^)]*\): ")
_SAID_ELSEWHERE = frozenset(
    {"uuid", "fq_name", "name", "parent_type", "parent_uuid", "id_perms", "perms2", "display_name"}
)
"""Members of a new object that its name tells already, or that every object has."""


@click.command(epilog=examples("skytrail plan -f network.yaml", "skytrail plan tenants/ --json"))
@click.argument("paths", metavar="[FILE|DIR|-]...", nargs=-1, type=click.Path(allow_dash=True))
@click.option(
    "-f",
    "--file",
    "files",
    metavar="FILE|DIR|-",
    multiple=True,
    type=click.Path(allow_dash=True),
    help="YAML or JSON documents, as for `apply`; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@api_options
def plan(paths: tuple[str, ...], files: tuple[str, ...], *, as_json: bool) -> None:
    """Show what `skytrail apply` of these documents would change; nothing is written.

    Shown are the objects, what is derived from them, the hosts concerned, and which networks and
    groups would reach each other differently.
    """
    from skytrail.cli.apply import complete_documents, read_checked

    if not (paths or files):
        raise click.UsageError("Which documents? Name files or folders, or - for standard input.")
    documents = read_checked((*paths, *files))
    with opened() as session:
        found = planned(session, complete_documents(session, documents))
    show(found, as_json=as_json)


def planned(session: Session, documents: Iterable[Document]) -> Json:
    """Return the plan of making objects as documents say, with what each document comes to."""
    operations: list[Json] = []
    sources: list[Document] = []
    results: list[Json] = []
    for document in documents:
        found = operations_of(session, document)
        operations += found
        sources += [document] * len(found)
        verb = str(found[0]["op"]) if found else "unchanged"
        result = {"create": "created", "update": "changed"}.get(verb, verb)
        fields = sorted(mapping(found[0]["object"])) if verb == "update" else []
        name = list(document.fq_name)
        results.append(
            {"type": document.kind.name, "fq_name": name, "result": result, "fields": fields}
        )
    try:
        return {**ask(session, operations), "results": results}
    except ApiError as error:
        place = _OPERATION.match(error.text)
        if place is None or int(place[1]) >= len(sources):
            raise
        source = sources[int(place[1])]
        reason = error.text[place.end() :]
        raise Refused(f"{source.source}: {source.title}: {reason}") from error


def ask(session: Session, operations: list[Json]) -> Json:
    """Return the plan of operations; of the objects alone for who is no administrator."""
    body = {"operations": operations}
    try:
        reply = session.client.call(Call("POST", "/api/v1/plan", body))
    except Denied:
        query = {"dry_run": "true"}
        reply = session.client.call(Call("POST", "/api/v1/transaction", body, query=query))
        found = decode_reply(reply, dict[str, object])
        return {**found, "derived_unknown": "what follows is shown to administrators"}
    return decode_reply(reply, dict[str, object])


def operations_of(session: Session, document: Document) -> list[Json]:
    """Return the operation that makes an object as its document says; none if it is so."""
    kind = document.kind.name
    try:
        uuid = session.client.name_to_id(kind, document.fq_name)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return [{"op": "create", "type": kind, "object": document.without_server_values().wire()}]
    differing = changes(document, session.client.read(kind, uuid))
    if not differing:
        return []
    return [{"op": "update", "type": kind, "uuid": uuid, "object": differing}]


def show(found: Json, *, as_json: bool) -> None:
    """Print a plan: for machines as it came, for people as tables."""
    if as_json:
        output.print_json(found)
        return
    show_objects("Objects", items(found.get("changes")))
    show_objects("Derived by the compiler", items(found.get("derived")))
    _show_pairs(items(found.get("reachability")))
    for violation in items(found.get("violations")):
        named = mapping(violation)
        name = ":".join(text(part) for part in items(named.get("fq_name")))
        click.secho(f"! {named.get('type')} {name}: {named.get('detail')}", fg="red")
    _show_hosts(found)
    if "derived_unknown" in found:
        output.note(f"What is derived is not known: {found['derived_unknown']}")


def show_objects(title: str, entries: list[object]) -> None:
    if not entries:
        return
    table = _table(title, "", "TYPE", "NAME", "WHAT CHANGES")
    for entry in map(mapping, entries):
        verb = str(entry.get("op"))
        style = COLOURS.get(verb, "")
        name = ":".join(text(part) for part in items(entry.get("fq_name")))
        table.add_row(
            Text(SIGNS.get(verb, "?"), style),
            Text(text(entry.get("type")), style),
            Text(name, style),
            Text("\n".join(field_text(mapping(each)) for each in _fields(entry))),
        )
    console().print(table)


def _fields(entry: Json) -> list[object]:
    """Return what changes; of a new object, every member of its own."""
    fields = items(entry.get("fields"))
    if fields or entry.get("op") != "create":
        return fields
    members = mapping(entry.get("object"))
    return [{"path": f"/{n}", "to": v} for n, v in members.items() if n not in _SAID_ELSEWHERE]


def field_text(field: Json) -> str:
    """Return what becomes of a field; of a structure that changes, of its parts that do."""
    path = text(field.get("path")).removeprefix("/")
    if "from" not in field:
        return f"{path}: {_short(field.get('to'))}"
    if "to" not in field:
        return f"{path}: {_short(field['from'])} -> (none)"
    parts = list(islice(_parts(path, field["from"], field["to"]), _PARTS_COUNT_MAX + 1))
    if len(parts) > _PARTS_COUNT_MAX:
        parts[-1] = "..."
    return "\n".join(parts)


def _parts(path: str, before: object, after: object) -> Iterator[str]:
    """Yield the innermost parts that differ; lists that grow or shrink are told whole."""
    old, new = mapping(before), mapping(after)
    rules = [items(each.get("acl_rule")) for each in (old, new)]
    if ("acl_rule" in old or "acl_rule" in new) and not _are_alike(*rules):
        yield f"{path}: {_short(before)} -> {_short(after)}"
    elif old and new:
        for name in dict.fromkeys((*old, *new)):
            if old.get(name) != new.get(name):
                yield from _parts(f"{path}/{name}", old.get(name), new.get(name))
    elif isinstance(before, list) and isinstance(after, list) and _are_alike(before, after):
        for place, (one, other) in enumerate(zip(items(before), items(after), strict=True)):
            if one != other:
                yield from _parts(f"{path}/{place}", one, other)
    else:
        yield f"{path}: {_short(before)} -> {_short(after)}"


def _are_alike(before: list[object], after: list[object]) -> bool:
    """Whether two lists hold structures that may be compared one by one."""
    return len(before) == len(after) and all(mapping(each) for each in (*before, *after))


def _short(value: object) -> str:
    if "acl_rule" in mapping(value):
        return counted(len(items(mapping(value)["acl_rule"])), "rule")
    shown = ", ".join(map(_item_text, items(value))) if isinstance(value, list) else text(value)
    return shown if len(shown) <= _VALUE_LENGTH_MAX else f"{shown[:_VALUE_LENGTH_MAX]}..."


def _item_text(item: object) -> str:
    """Return an item of a list; of a reference, whom it refers to."""
    target = items(mapping(item).get("to"))
    return ":".join(map(text, target)) if target else text(item)


def _show_pairs(pairs: list[object]) -> None:
    if not pairs:
        return
    table = _table("Reachability", "FROM", "TO", "BEFORE", "AFTER")
    for pair in map(mapping, pairs):
        table.add_row(
            Text(text(pair.get("from"))),
            Text(text(pair.get("to"))),
            Text("\n".join(map(text, items(pair.get("before")))), "red"),
            Text("\n".join(map(text, items(pair.get("after")))), "green"),
        )
    console().print(table)


def _show_hosts(found: Json) -> None:
    hosts = [
        f"{each['host']} ({each['interfaces']})" for each in map(mapping, items(found.get("hosts")))
    ]
    counts = [
        counted(len(items(found.get("changes"))), "object"),
        f"{found.get('derived_count', 0)} derived",
        f"{found.get('reachability_count', 0)} pairs",
        f"{found.get('hosts_count', 0)} hosts with {found.get('interfaces_count', 0)} interfaces",
    ]
    if hosts:
        click.echo(f"Hosts (interfaces): {', '.join(hosts)}")
    output.note(f"{', '.join(counts)} would change at revision {found.get('revision')}")
    results = Counter(str(mapping(each).get("result")) for each in items(found.get("results")))
    if results:
        words = [f"{results[word]} {word}" for word in ("created", "changed", "unchanged")]
        output.note(f"{', '.join(words)} (nothing was written)")


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
