"""``skytrail change``: gather changes, review them, commit them together."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from skytrail.cli import output, plan
from skytrail.cli.help_text import examples
from skytrail.cli.lookup import NOT_FOUND
from skytrail.cli.session import Refused, Session, api_options, console, opened
from skytrail.cli.values import Json, counted, items, mapping, text
from skytrail.client import ApiError
from skytrail.client.messages import Call, decode_reply

_PATH = "/api/v1/change-sets"


@click.group(
    epilog=examples(
        'skytrail change new -m "open web" network.yaml',
        "skytrail change review 3f9c...",
        "skytrail change commit 3f9c...",
    )
)
def change() -> None:
    """Gather changes in a set, review what would follow, commit all of it or discard it.

    A set may be named by the first characters of its id. Where people log in, sets are for
    administrators.
    """


@change.command(epilog=examples('skytrail change new -m "open web" network.yaml'))
@click.argument("paths", metavar="[FILE|DIR|-]...", nargs=-1)
@click.option("-m", "--title", metavar="TEXT", default="", help="What it is for.")
@api_options
def new(paths: tuple[str, ...], title: str) -> None:
    """Draft a change set, with what documents would change."""
    with opened(writes=True) as session:
        operations = _operations(session, paths)
        if paths and not operations:
            click.echo("Everything is as the documents say; no set is needed.")
            return
        body = {"title": title, "operations": operations}
        made = _call(session, "POST", "", body)
    click.echo(f"{made['id']} drafted with {counted(len(items(made['operations'])), 'operation')}")


@change.command(epilog=examples("skytrail change add 3f9c policy.yaml"))
@click.argument("identity", metavar="SET")
@click.argument("paths", metavar="FILE|DIR|-...", nargs=-1, required=True)
@api_options
def add(identity: str, paths: tuple[str, ...]) -> None:
    """Add what documents would create or change to a set."""
    with opened(writes=True) as session:
        place = f"/{_full(session, identity)}/operations"
        made = _call(session, "POST", place, {"operations": _operations(session, paths)})
    click.echo(f"{made['id']} has {counted(len(items(made['operations'])), 'operation')}")


@change.command(name="list", epilog=examples("skytrail change list"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@api_options
def list_sets(*, as_json: bool) -> None:
    """List the change sets that are open."""
    with opened() as session:
        found = items(_call(session, "GET", "")["change_sets"])
    if as_json:
        output.print_json(found)
        return
    table = Table("ID", "CREATED", "AUTHOR", "OPERATIONS", "TITLE", box=None, pad_edge=False)
    for each in map(mapping, found):
        cells = (each["id"], each["created"], each["author"], each["operations_count"])
        table.add_row(*(Text(text(cell)) for cell in (*cells, each["title"])))
    if found:
        console().print(table)


@change.command(epilog=examples("skytrail change review 3f9c"))
@click.argument("identity", metavar="SET")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@api_options
def review(identity: str, *, as_json: bool) -> None:
    """Show all that committing a set would change."""
    with opened() as session:
        found = _call(session, "GET", f"/{_full(session, identity)}/plan")
    plan.show(found, as_json=as_json)
    if not as_json:
        for conflict in map(mapping, items(found.get("conflicts"))):
            click.secho(f"! {conflict['detail']}", fg="red")


@change.command(epilog=examples("skytrail change commit 3f9c"))
@click.argument("identity", metavar="SET")
@api_options
def commit(identity: str) -> None:
    """Carry out a set, unless its objects changed meanwhile."""
    with opened(writes=True) as session:
        done = _call(session, "POST", f"/{_full(session, identity)}/commit")
    click.echo(f"committed as change {done['change']} at revision {done['revision']}")


@change.command(epilog=examples("skytrail change rebase 3f9c"))
@click.argument("identity", metavar="SET")
@api_options
def rebase(identity: str) -> None:
    """Take the objects of a set as they are now."""
    with opened(writes=True) as session:
        made = _call(session, "POST", f"/{_full(session, identity)}/rebase")
    click.echo(f"{made['id']} rebased")


@change.command(epilog=examples("skytrail change discard 3f9c"))
@click.argument("identity", metavar="SET")
@api_options
def discard(identity: str) -> None:
    """Drop a set."""
    with opened(writes=True) as session:
        gone = _call(session, "DELETE", f"/{_full(session, identity)}")
    click.echo(f"{gone['discarded']} discarded")


def _operations(session: Session, paths: tuple[str, ...]) -> list[Json]:
    from skytrail.cli.apply import complete_documents, read_checked

    if not paths:
        return []
    documents = complete_documents(session, read_checked(paths))
    return [each for document in documents for each in plan.operations_of(session, document)]


def _full(session: Session, identity: str) -> str:
    """Return the id that starts so, if only one does."""
    known = [str(mapping(e)["id"]) for e in items(_call(session, "GET", "")["change_sets"])]
    fitting = [each for each in known if each.startswith(identity)]
    if len(fitting) > 1:
        raise Refused(f"{len(fitting)} change sets start with {identity!r}: {', '.join(fitting)}")
    return fitting[0] if fitting else identity


def _call(session: Session, method: str, path: str, body: object = None) -> Json:
    try:
        reply = session.client.call(Call(method, _PATH + path, body))
    except ApiError as error:
        if error.status == NOT_FOUND:
            raise Refused(f"{error.text}\n`skytrail change list` lists those there are.") from error
        raise
    return decode_reply(reply, dict[str, object])
