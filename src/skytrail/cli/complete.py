"""Names in documents made full: their own, and those of parents and of what they refer to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

from skytrail.cli.documents import Document, DocumentInvalid
from skytrail.cli.names import FqName, own_name
from skytrail.cli.values import items, mapping
from skytrail.model.catalog import CATALOG, ObjectType

FindName = Callable[[ObjectType, FqName, Collection[FqName]], FqName]
"""(type, written name, names about to be created) -> full name; raises when there is none."""

_COMPANIONS: Final = frozenset({"routing-instance", "application-policy-set"})
"""Types of which the API makes one together with its parent."""


def with_own_names(documents: Sequence[Document], project: FqName) -> list[Document]:
    """Put the default project in front of names that are too short for their type."""
    return [each.renamed(own_name(each.fq_name, each.kind, project)) for each in documents]


class Names:
    """The objects documents may name: those about to be created, and those ``find`` knows."""

    def __init__(self, documents: Sequence[Document], find: FindName) -> None:
        self._find = find
        self._known: dict[tuple[str, FqName], FqName] = {}
        self._planned: dict[str, set[FqName]] = {}
        for document in documents:
            self._planned.setdefault(document.kind.name, set()).add(document.fq_name)

    def complete(self, document: Document) -> Document:
        """Return a document whose references have full names.

        DocumentInvalid without its parent; what ``find`` raises when a target does not exist.
        """
        parent = document.fq_name[:-1]
        # Only the parent's whole name will do: it is a part of the child's own.
        if document.parent_type and self._full(document.parent_type, parent) != parent:
            raise DocumentInvalid(f"its parent {':'.join(parent)} does not exist")
        fields = dict(document.fields)
        for name, reference in document.kind.references.items():
            if name in fields:
                fields[name] = [
                    {**each, "to": list(self._full(reference.target, _parts(each.get("to"))))}
                    for each in map(mapping, items(fields[name]))
                ]
        return replace(document, fields=fields)

    def _full(self, type_name: str, written: FqName) -> FqName:
        key = (type_name, written)
        if key not in self._known:
            kind = CATALOG.objects[type_name]
            planned = self._planned.get(type_name, set[FqName]())
            self._known[key] = (
                written
                if self._comes_with_parent(kind, written)
                else self._find(kind, written, planned)
            )
        return self._known[key]

    def _comes_with_parent(self, kind: ObjectType, name: FqName) -> bool:
        """Whether the object is made together with one of the documents, as a network's VRF is."""
        return kind.name in _COMPANIONS and any(
            name[:-1] in self._planned.get(parent, ()) for parent in kind.parent_types
        )


def _parts(value: object) -> FqName:
    return tuple(str(part) for part in items(value))
