"""Objects as they were: the present ones, with the audit log's pages undone from the newest on. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from skytrail.api.audit import Alteration, Page
from skytrail.api.differences import undone
from skytrail.api.documents import Document


@dataclass(slots=True)
class Past:
    """Documents by uuid, taken back page by page."""

    documents: dict[str, tuple[str, Document]]
    """uuid to type and document; start with the present ones."""
    types: frozenset[str] = frozenset()
    """Only these types; empty for all."""
    uuid: str | None = None
    """Only this object."""
    unknown: set[str] = field(default_factory=set[str])
    """Objects whose former content the log does not have (what the compiler wrote)."""

    def undo(self, page: Page) -> None:
        """Take back one page; pages come newest first."""
        for entry in reversed(page.entries):
            for alteration in reversed(entry.alterations):
                if self._concerns(alteration):
                    self._undo(alteration)

    def _concerns(self, alteration: Alteration) -> bool:
        if self.uuid is not None:
            return alteration.uuid == self.uuid
        return not self.types or alteration.type in self.types

    def _undo(self, alteration: Alteration) -> None:
        uuid = alteration.uuid
        if alteration.op == "create":
            self.documents.pop(uuid, None)
            self.unknown.discard(uuid)
        elif alteration.op == "delete":
            if alteration.object is None:
                self.unknown.add(uuid)
            else:
                self.documents[uuid] = (alteration.type, alteration.object)
        elif not alteration.fields and (alteration.before or alteration.digest):
            self.unknown.add(uuid)
        elif uuid in self.documents and uuid not in self.unknown:
            type_name, document = self.documents[uuid]
            self.documents[uuid] = (type_name, undone(document, alteration.fields, force=True))

    def known(self) -> list[tuple[str, Document]]:
        """Return type and document of every object whose content is known, by type and name."""
        found = [pair for uuid, pair in self.documents.items() if uuid not in self.unknown]
        return sorted(found, key=lambda pair: (pair[0], str(pair[1].get("fq_name"))))
