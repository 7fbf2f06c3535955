"""``skytrail delete``: remove objects, or say what stands in the way."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import click

from skytrail.cli import output
from skytrail.cli.choices import complete_name, complete_type
from skytrail.cli.complete import Names, with_own_names
from skytrail.cli.documents import DocumentInvalid, in_order
from skytrail.cli.help_text import examples
from skytrail.cli.lookup import find_full_name, find_uuid, name_of
from skytrail.cli.names import FqName, resolve_type
from skytrail.cli.session import Refused, Session, api_options, opened
from skytrail.cli.write import read_paths
from skytrail.client import ApiError
from skytrail.model.catalog import ObjectType

CONFLICT: Final = 409
NOT_FOUND: Final = 404
BLOCKERS_SHOWN_MAX: Final = 20
_LINK: Final = re.compile(r"https?://[^/'\"]+/([^/'\"]+)/([0-9a-fA-F-]{36})")


@click.command(
    epilog=examples(
        "skytrail delete vn red",
        "skytrail delete sg web db",
        "skytrail delete -f network.yaml",
    )
)
@click.argument("type_name", metavar="[TYPE]", required=False, shell_complete=complete_type)
@click.argument("names", metavar="[NAME|UUID]...", nargs=-1, shell_complete=complete_name)
@click.option(
    "-f",
    "--file",
    "paths",
    metavar="FILE|DIR|-",
    multiple=True,
    type=click.Path(allow_dash=True),
    help="Delete the objects these documents name; missing ones are skipped.",
)
@api_options
def delete(type_name: str | None, names: tuple[str, ...], paths: tuple[str, ...]) -> None:
    """Delete objects by TYPE and NAME, or all that documents name, children and referrers first.

    When something blocks a deletion it is listed, with the command that removes it.
    """
    if bool(paths) == bool(type_name and names):
        raise click.UsageError("Give TYPE and NAME, or -f FILE")
    with opened(writes=True) as session:
        if paths:
            _delete_documents(session, paths)
            return
        kind = resolve_type(type_name or "")
        uuids = [find_uuid(session, kind, name) for name in names]
        for uuid in uuids:
            _, name = name_of(session, uuid)
            delete_one(session, kind.name, uuid, name)
            click.echo(f"{kind.name} {name} deleted")


def delete_one(session: Session, type_name: str, uuid: str, name: str) -> None:
    """Delete an object; Refused names what blocks it."""
    try:
        session.client.delete(type_name, uuid)
    except ApiError as error:
        blockers = blocking(error)
        if error.status != CONFLICT or not blockers:
            raise
        raise Refused(_explain(session, f"{type_name} {name}", error.text, blockers)) from error


def blocking(error: ApiError) -> list[str]:
    """Return the uuids a refusal names."""
    return [match.group(2) for match in _LINK.finditer(error.text)]


def _explain(session: Session, title: str, text: str, blockers: list[str]) -> str:
    found = [name_of(session, uuid) for uuid in blockers[:BLOCKERS_SHOWN_MAX]]
    lines = [f"{title} cannot be deleted: {_reason(text, len(blockers))}"]
    lines += [f"  {kind} {name}" for kind, name in found]
    if len(blockers) > len(found):
        lines.append(f"  and {len(blockers) - len(found)} more")
    words = " ".join(found[0])
    lines.append(f"Delete them first (`skytrail delete {words}`)")
    if "children" not in text:
        lines[-1] += f" or remove their references (`skytrail edit {words}`)"
    return "\n".join(lines)


def _reason(text: str, count: int) -> str:
    if "children" in text:
        return "1 object lives below it" if count == 1 else f"{count} objects live below it"
    return "1 object refers to it" if count == 1 else f"{count} objects refer to it"


def _delete_documents(session: Session, paths: tuple[str, ...]) -> None:
    def full_name(kind: ObjectType, written: FqName, planned: Collection[FqName]) -> FqName:
        try:
            return find_full_name(session, kind, written, planned)
        except Refused:
            return written  # What is gone already stands in nobody's way.

    documents = with_own_names(read_paths(paths), session.project)
    names = Names(documents, full_name)
    try:
        documents = in_order(names.complete(each) for each in documents)
    except DocumentInvalid as error:
        raise Refused(str(error)) from error
    for document in reversed(documents):
        try:
            uuid = session.client.name_to_id(document.kind.name, document.fq_name)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            output.note(f"{document.title} does not exist")
            continue
        delete_one(session, document.kind.name, uuid, ":".join(document.fq_name))
        click.echo(f"{document.title} deleted")
