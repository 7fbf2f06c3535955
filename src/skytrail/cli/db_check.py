"""``skytrail db-check``: whether what the store holds is consistent, asked of the running API."""

from __future__ import annotations

from typing import Final

import click
import httpx
from rich.table import Table
from rich.text import Text

from skytrail.cli import output
from skytrail.cli.help_text import examples
from skytrail.cli.session import api_options, console, opened
from skytrail.cli.values import items, mapping, text
from skytrail.client.messages import Call, decode_reply

_COLUMNS: Final = ("kind", "type", "uuid", "detail")
CHECK_TIMEOUT_S: Final = 600.0


@click.command(
    name="db-check",
    epilog=examples("skytrail db-check", "skytrail db-check --json"),
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@api_options
def db_check(*, as_json: bool) -> None:
    """Read the whole store and check documents, names, parents, references, numbers and addresses,
    and that the API has the same in memory. Changes nothing; administrators only.

    Exits with status 1 when something is found.
    """
    with opened(timeout=httpx.Timeout(CHECK_TIMEOUT_S, connect=5.0)) as session:
        reply = session.client.call(Call("POST", "/db-check", {}))
    found = decode_reply(reply, dict[str, object])
    results = [mapping(each) for each in items(found.get("results"))]
    if as_json:
        output.print_json(found)
    else:
        if results:
            table = Table(*(name.upper() for name in _COLUMNS), box=None, pad_edge=False)
            for each in results:
                table.add_row(*(Text(text(each.get(name))) for name in _COLUMNS))
            console().print(table)
        checked = ", ".join(f"{count} {what}" for what, count in mapping(found["checked"]).items())
        click.echo(f"checked at revision {found['revision']}: {checked}")
        shown = "" if len(results) == found["results_count"] else f" ({len(results)} shown)"
        click.echo(f"{found['results_count']} findings{shown}")
    if found["results_count"]:
        raise SystemExit(1)
