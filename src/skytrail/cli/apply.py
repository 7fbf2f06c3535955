"""``skytrail apply``: make the configuration match files."""

from __future__ import annotations

from collections import Counter
from functools import partial

import click

from skytrail.cli import conditions, output, plan
from skytrail.cli.complete import Names, with_own_names
from skytrail.cli.conditions import wait_options
from skytrail.cli.documents import Document, DocumentInvalid, check, in_order
from skytrail.cli.help_text import examples
from skytrail.cli.lookup import find_full_name
from skytrail.cli.session import Refused, Session, api_options, explain, opened
from skytrail.cli.values import Json
from skytrail.cli.write import apply_one, read_paths
from skytrail.client import ApiError


@click.command(
    epilog=examples(
        "skytrail apply network.yaml",
        "skytrail apply tenants/ --dry-run",
        "skytrail get vn red -o yaml | sed s/red/green/ | skytrail apply -f -",
    )
)
@click.argument("paths", metavar="[FILE|DIR|-]...", nargs=-1, type=click.Path(allow_dash=True))
@click.option(
    "-f",
    "--file",
    "files",
    metavar="FILE|DIR|-",
    multiple=True,
    type=click.Path(allow_dash=True),
    help="YAML or JSON documents; repeatable.",
)
@click.option(
    "--dry-run",
    "--plan",
    "dry_run",
    is_flag=True,
    help="Let the API check everything and show all that would follow; do nothing.",
)
@wait_options
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@api_options
def apply(
    paths: tuple[str, ...],
    files: tuple[str, ...],
    *,
    dry_run: bool,
    wait: str | None,
    as_json: bool,
) -> None:
    """Create or change objects so that they match documents; running it again changes nothing.

    Objects are found by their full name. Only the fields a document names are touched; each of them
    becomes what the document says, whole: a list loses what it does not name, and so does a field
    with members, such as virtual_network_properties (--dry-run shows it). Before the
    first is written all documents are checked as far as they alone tell, and that what they refer
    to exists, in the API or among them; parents and targets of references are written first,
    whatever the order in the files. Each is written by itself: a refusal by the API stops there and
    tells what was done. --dry-run has the API check everything beforehand; `skytrail change`
    commits several changes as one.

    A document is the type, the fq_name and fields as the API has them; references may be plain
    names, subnets ADDRESS/LENGTH. Short names mean what they mean to `create`: the default project
    in front (SKYTRAIL_PROJECT), or for a reference the only object whose name ends so.
    `skytrail get ... -o yaml` prints documents.
    """
    if not (paths or files):
        raise click.UsageError("Which documents? Name files or folders, or - for standard input.")
    documents = read_checked((*paths, *files))
    results: list[Json] = []
    with opened(writes=not dry_run) as session:
        documents = complete_documents(session, documents)
        if dry_run:
            plan.show(plan.planned(session, documents), as_json=as_json)
            return
        for document in documents:
            try:
                result, fields = apply_one(session, document)
            except ApiError as error:
                _finish(results, as_json=as_json)
                raise Refused(f"{document.source}: {document.title}: {explain(error)}") from error
            results.append(
                {
                    "type": document.kind.name,
                    "fq_name": list(document.fq_name),
                    "result": result,
                    "fields": fields,
                }
            )
            if not as_json:
                changed = f" ({', '.join(fields)})" if fields else ""
                click.echo(f"{document.title} {result}{changed}")
        if wait:
            conditions.wait(
                session, [(each.kind.name, each.fq_name) for each in documents], until=wait
            )
    _finish(results, as_json=as_json)


def read_checked(paths: tuple[str, ...]) -> list[Document]:
    """Return the documents of files; Refused names what is wrong in each of them."""
    documents = read_paths(paths)
    wrong: list[str] = []
    for document in documents:
        try:
            check(document)
        except DocumentInvalid as error:
            wrong.append(str(error))
    if wrong:
        raise Refused("\n".join(wrong))
    return documents


def complete_documents(session: Session, documents: list[Document]) -> list[Document]:
    """Return documents with full names and in order; Refused when something named is missing."""
    documents = with_own_names(documents, session.project)
    names = Names(documents, partial(find_full_name, session))
    found: list[Document] = []
    wrong: list[str] = []
    for document in documents:
        try:
            found.append(names.complete(document))
        except (DocumentInvalid, Refused) as error:
            wrong.append(f"{document.source}: {document.title}: {error}")
    if wrong:
        raise Refused("\n".join(wrong))
    try:
        return in_order(found)
    except DocumentInvalid as error:
        raise Refused(str(error)) from error


def _finish(results: list[Json], *, as_json: bool) -> None:
    if as_json:
        output.print_json(results)
        return
    counts = Counter(str(each["result"]) for each in results)
    words = [f"{counts[word]} {word}" for word in ("created", "changed", "unchanged")]
    output.note(", ".join(words))
