"""``skytrail edit``: change an object in an editor."""

from __future__ import annotations

from typing import Final

import click

from skytrail.cli import output
from skytrail.cli.choices import complete_name, complete_type
from skytrail.cli.documents import (
    DocumentInvalid,
    check,
    contains,
    merged,
    read_documents,
    written,
)
from skytrail.cli.help_text import examples
from skytrail.cli.lookup import find_uuid
from skytrail.cli.names import resolve_type
from skytrail.cli.session import Refused, Session, api_options, explain, opened
from skytrail.cli.values import Json
from skytrail.client import ApiError
from skytrail.model.catalog import ObjectType

ATTEMPTS_COUNT_MAX: Final = 10
_HINT: Final = "# Lines that start with # are left out. Save without a change to stop.\n"


@click.command(epilog=examples("skytrail edit vn red", "EDITOR=nano skytrail edit np web-to-db"))
@click.argument("type_name", metavar="TYPE", shell_complete=complete_type)
@click.argument("name", metavar="NAME|UUID", shell_complete=complete_name)
@api_options
def edit(type_name: str, name: str) -> None:
    """Edit an object in $EDITOR (or $VISUAL) as YAML.

    The result is checked before it is sent. A mistake, a refusal, or a change somebody else made to
    the same fields opens the editor again with the reason on top. A removed field is removed.
    """
    with opened(writes=True) as session:
        kind = resolve_type(type_name)
        uuid = find_uuid(session, kind, name)
        changed = edit_object(session, kind, uuid)
        click.echo(
            f"{kind.name} {name} changed ({', '.join(changed)})" if changed else "Nothing changed."
        )


def edit_object(session: Session, kind: ObjectType, uuid: str) -> list[str]:
    """Let the user edit until it is accepted or given up; return the fields changed."""
    base = session.client.read(kind.name, uuid)
    # What the user knows of. The base stays, so that fields only others changed are never sent.
    seen = base
    reason = ""
    text = _HINT + output.to_yaml([written(kind, base)])
    for _ in range(ATTEMPTS_COUNT_MAX):
        answer = _edited(text)
        if answer is None or answer == text:
            if reason:
                raise Refused(f"Nothing was changed: {reason}")
            return []
        try:
            wanted = changed_fields(kind, base, answer)
        except DocumentInvalid as error:
            reason = str(error)
            text = with_reason(answer, reason)
            continue
        if not wanted:
            return []
        current = session.client.read(kind.name, uuid)
        clashing = [name for name in wanted if current.get(name) != seen.get(name)]
        if clashing:
            text = with_reason(
                answer, f"somebody changed {', '.join(clashing)} meanwhile to what follows;\n"
                "remove these lines to save your text all the same\n"
                + output.to_yaml([{name: current.get(name) for name in clashing}]),
            )  # fmt: skip
            seen = current
            continue
        try:
            session.client.update(kind.name, uuid, wanted)
        except ApiError as error:
            reason = explain(error)
            text = with_reason(answer, reason)
            continue
        return sorted(wanted)
    raise Refused("Given up; nothing was changed.")


def _edited(text: str) -> str | None:
    """Return the text as saved; None when it was left unsaved."""
    try:
        return click.edit(text, extension=".yaml")
    except click.ClickException as error:
        raise Refused(
            f"{error.message}\nSet EDITOR to an editor that is installed, as in EDITOR=vi."
        ) from error


def changed_fields(kind: ObjectType, base: Json, text: str) -> Json:
    """Return the fields that differ from the base; None removes one. DocumentInvalid says why not."""
    documents = read_documents(text, "edited text")
    if len(documents) != 1:
        raise DocumentInvalid(f"expected one object, found {len(documents)}")
    (document,) = documents
    if document.kind.name != kind.name or list(document.fq_name) != base.get("fq_name"):
        raise DocumentInvalid("type and fq_name cannot be changed; create another object instead")
    check(document)
    (original,) = read_documents(output.to_yaml([written(kind, base)]), "stored object")
    before = original.fields
    found: Json = {
        name: merged(value, before.get(name))
        for name, value in document.fields.items()
        if not (contains(before.get(name), value) and contains(value, before.get(name)))
    }
    for name in before:
        if name not in document.fields:
            found[name] = [] if name in kind.references else None
    return found


def with_reason(text: str, reason: str) -> str:
    """Put a reason on top of an edited text, in place of an earlier one."""
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    comment = "\n".join(f"# {line}" for line in reason.splitlines())
    return f"{_HINT}# Not saved:\n{comment}\n{body}\n"
