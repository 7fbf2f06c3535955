"""``skytrail history`` and ``skytrail revert``: who changed what, and taking it back."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import indent
from typing import Final

import click

from skytrail.cli import output, plan
from skytrail.cli.choices import complete_name, complete_type
from skytrail.cli.help_text import examples
from skytrail.cli.lookup import NOT_FOUND, find_uuid
from skytrail.cli.names import resolve_type
from skytrail.cli.session import Refused, Session, api_options, explain, opened
from skytrail.cli.values import Json, items, mapping, text
from skytrail.client import ApiError
from skytrail.client.messages import Call, decode_reply

HEADINGS: Final = ("CHANGE", "AT (UTC)", "BY", "REQUEST")
BAD_REQUEST: Final = 400
GONE: Final = 410
_LIMIT_DEFAULT = 20


@click.command(
    epilog=examples(
        "skytrail history",
        "skytrail history vn red",
        "skytrail history --by alice",
        "skytrail history --verify",
    )
)
@click.argument("type_name", metavar="[TYPE]", required=False, shell_complete=complete_type)
@click.argument("name", metavar="[NAME|UUID]", required=False, shell_complete=complete_name)
@click.option("--by", metavar="USER", help="Only changes of this user.")
@click.option("--derived", is_flag=True, help="Also what the compiler wrote.")
@click.option(
    "--limit", metavar="N", default=_LIMIT_DEFAULT, show_default=True, help="So many changes."
)
@click.option("--verify", is_flag=True, help="Check that nobody altered the log.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@api_options
def history(
    type_name: str | None,
    name: str | None,
    by: str | None,
    limit: int,
    *,
    derived: bool,
    verify: bool,
    as_json: bool,
) -> None:
    """Tell who changed what and when, newest first; of a TYPE, or of the object NAME alone."""
    with opened() as session:
        if verify:
            _verify(session.client.call(Call("GET", "/api/v1/history/verify")), as_json=as_json)
            return
        query = {"limit": str(limit)}
        if by is not None:
            query["by"] = by
        if derived:
            query["derived"] = "true"
        if type_name is not None:
            kind = resolve_type(type_name)
            if name is None:
                query["type"] = kind.name
            else:
                query["object"] = find_uuid(session, kind, name)
        reply = session.client.call(Call("GET", "/api/v1/history", query=query))
    entries = [mapping(e) for e in items(decode_reply(reply, dict[str, object]).get("entries"))]
    if as_json:
        output.print_json(entries)
        return
    if not entries:
        output.note("No changes.")
        return
    widths = [max(map(len, column)) for column in zip(HEADINGS, *map(_head, entries), strict=True)]
    click.secho(_line(HEADINGS, widths), underline=True)
    for entry in entries:
        _show(entry, widths)


def _head(entry: Json) -> tuple[str, ...]:
    texts = (text(entry.get(name)) for name in ("change", "at", "by", "request_id"))
    change, at, by, request = texts
    return change, at[:19], by, request


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def _show(entry: Json, widths: Iterable[int]) -> None:
    click.secho(_line(_head(entry), widths), bold=True)
    for operation in map(mapping, items(entry.get("operations"))):
        verb = str(operation.get("op"))
        name = ":".join(text(part) for part in items(operation.get("fq_name")))
        click.secho(
            f"  {plan.SIGNS.get(verb, '?')} {operation.get('type')} {name}",
            fg=plan.COLOURS.get(verb),
        )
        for field in map(mapping, items(operation.get("fields"))):
            click.echo(indent(plan.field_text(field), "      "))


def _verify(reply: bytes, *, as_json: bool) -> None:
    found = decode_reply(reply, dict[str, object])
    if as_json:
        output.print_json(found)
    if not found.get("valid"):
        raise Refused(f"The audit log does not hold: {found.get('fault')}")
    if not as_json:
        click.echo(f"The audit log holds: {found.get('pages')} pages, head {found.get('hash')}")


@click.command(epilog=examples("skytrail revert 812.0 --dry-run", "skytrail revert 812.0"))
@click.argument("change", metavar="CHANGE")
@click.option("--dry-run", is_flag=True, help="Show what would change, change nothing.")
@click.option("--force", is_flag=True, help="Also what has changed again since.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@api_options
def revert(change: str, *, dry_run: bool, force: bool, as_json: bool) -> None:
    """Take back a change that `skytrail history` shows, as a new change."""
    query = {"force": "true"} if force else {}
    query |= {"dry_run": "true"} if dry_run else {}
    with opened(writes=not dry_run) as session:
        path = f"/api/v1/history/{change}/revert"
        try:
            reply = session.client.call(Call("POST", path, query=query))
        except ApiError as error:
            raise Refused(_advice(error)) from error
        found = decode_reply(reply, dict[str, object])
        done = None if dry_run or as_json else _done(session, text(found.get("change")))
    if as_json:
        output.print_json(found)
    elif dry_run:
        plan.show_objects("Would change", items(found.get("changes")))
    else:
        plan.show_objects("Changed", items(mapping(done).get("operations")))
        click.echo(f"{change} reverted by {found.get('change')}")


def _done(session: Session, change: str) -> object:
    """Return what a revert wrote, as the log tells it; None where the log cannot be read now."""
    try:
        reply = session.client.call(Call("GET", f"/api/v1/history/{change}"))
    except ApiError as error:
        output.note(f"What it changed cannot be shown: {error.text}")
        return None
    return decode_reply(reply, dict[str, object])


def _advice(error: ApiError) -> str:
    """Return why a change is not reverted, in the command's words, and where changes are listed."""
    told = explain(error).replace("force=true", "--force")
    is_known = error.status not in (BAD_REQUEST, NOT_FOUND, GONE)
    return told if is_known else f"{told}\n`skytrail history` lists the changes there are."
