"""What create, apply and edit share: write one object and tell what happened."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import click

from skytrail.cli.documents import Document, DocumentInvalid, changes, read_documents
from skytrail.cli.session import Refused, Session
from skytrail.client import ApiError
from skytrail.client.messages import Call

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
NOT_FOUND: Final = 404

Result = Literal["created", "changed", "unchanged"]


def apply_one(session: Session, document: Document) -> tuple[Result, list[str]]:
    """Make one object as its document says; return what that took and the fields changed."""
    client, kind = session.client, document.kind.name
    try:
        uuid = client.name_to_id(kind, document.fq_name)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        body = document.without_server_values().wire()
        client.create(kind, {**body, **_uuid_of(session, document)})
        return "created", []
    differing = changes(document, client.read(kind, uuid))
    if not differing:
        return "unchanged", []
    client.update(kind, uuid, differing)
    return "changed", sorted(differing)


def _uuid_of(session: Session, document: Document) -> dict[str, str]:
    """Return the uuid a new object shall have; none when its document is a copy of another's."""
    if document.uuid is None:
        return {}
    try:
        session.client.call(Call("POST", "/id-to-fqname", {"uuid": document.uuid}))
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return {"uuid": document.uuid}
    return {}


def read_paths(paths: Sequence[str]) -> list[Document]:
    """Read files, folders (all YAML and JSON files below, by name) and ``-`` for standard input."""
    found: list[Document] = []
    for path in paths:
        if path == "-":
            found += read(sys.stdin.read(), "standard input")
            continue
        place = Path(path)
        if not place.exists():
            raise click.UsageError(f"No file or folder {path}")
        files = (
            sorted(f for f in place.rglob("*") if f.suffix in SUFFIXES)
            if place.is_dir()
            else [place]
        )
        for file in files:
            try:
                text = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise Refused(f"{file}: {error}") from error
            found += read(text, str(file))
    if not found:
        raise click.UsageError(f"No objects in {', '.join(paths)}")
    return found


def read(text: str, source: str) -> list[Document]:
    try:
        return read_documents(text, source)
    except DocumentInvalid as error:
        raise Refused(str(error)) from error
