"""Change sets: operations gathered over time, reviewed, then committed together or discarded. Pure.

A set is a note of the server, so it is as durable as objects are. Each operation remembers at which
revision its object was when the operation was added; if somebody has changed the object since, the
set is not committed before its author has looked again (``rebase``).
"""

from __future__ import annotations

import msgspec

from skytrail.api import native, transaction
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import View, find
from skytrail.api.identity import is_uuid
from skytrail.api.native import Done, Ground, Operation
from skytrail.api.notes import RESERVED
from skytrail.api.problem import Problem, Unacceptable, pointer
from skytrail.api.refusal import bad_request, not_found
from skytrail.api.schema import Schema
from skytrail.api.secret_fields import masked
from skytrail.api.transaction import OPERATIONS_COUNT_MAX, TransactionRequest
from skytrail.model.validate import shown

PREFIX = RESERVED + "change-set/"
SETS_COUNT_MAX = 1_000
SET_BYTES_MAX = 1_000_000
TITLE_LENGTH_MAX = 256


class ChangeSet(msgspec.Struct, frozen=True):
    id: str
    title: str
    author: str
    created: str
    operations: tuple[Operation, ...] = ()
    bases: tuple[int, ...] = ()
    """Revision of each operation's object when it was added; 0 when there was none."""

    def shown(self, schema: Schema) -> Document:
        """Return the set as readers see it."""
        operations: list[Document] = []
        for operation, base in zip(self.operations, self.bases, strict=True):
            document: Document = {"op": operation.op, "type": operation.type, "base": base}
            for name in ("uuid", "name", "if_match", "field_owner"):
                if getattr(operation, name) is not None:
                    document[name] = getattr(operation, name)
            resource = schema.find(operation.type)
            if operation.object is not None and resource is not None:
                document["object"] = masked(schema, resource.name, operation.object)
            operations.append(document)
        return {
            "id": self.id,
            "title": self.title,
            "author": self.author,
            "created": self.created,
            "operations": operations,
        }


def load(view: View, identity: str) -> ChangeSet:
    """Return a set, or refuse."""
    text = view.remembered(PREFIX + identity) if is_uuid(identity) else None
    if text is None:
        raise not_found(f"There is no change set {shown(identity)!r}")
    return msgspec.json.decode(text, type=ChangeSet)


def draft(
    change: Change, title: str, operations: list[Operation], count: int, ground: Ground
) -> ChangeSet:
    """Plan a new set; ``count`` is how many there are."""
    if count >= SETS_COUNT_MAX:
        raise bad_request(f"There are {count} change sets: commit or discard some")
    if len(title) > TITLE_LENGTH_MAX or not title.isprintable():
        raise bad_request(f"title must be at most {TITLE_LENGTH_MAX} printable characters")
    made = ChangeSet(change.new_uuid(), title, change.caller.user, change.now)
    return extend(change, made, operations, ground)


def extend(
    change: Change, existing: ChangeSet, operations: list[Operation], ground: Ground
) -> ChangeSet:
    """Plan a set with more operations, after all of it has been tried."""
    for operation in operations:
        native.resource_of(change, operation.type)
    bases = tuple(base_of(change.schema, change.view, each) for each in operations)
    extended = msgspec.structs.replace(
        existing,
        operations=(*existing.operations, *operations),
        bases=(*existing.bases, *bases),
    )
    if len(extended.operations) > OPERATIONS_COUNT_MAX:
        raise bad_request(f"More than {OPERATIONS_COUNT_MAX} operations in one change set")
    text = msgspec.json.encode(extended)
    if len(text) > SET_BYTES_MAX:
        raise bad_request(f"The change set takes {len(text)} bytes, over {SET_BYTES_MAX}")
    change.view.remember(PREFIX + extended.id, text.decode())
    return extended


def try_out(change: Change, existing: ChangeSet, ground: Ground) -> list[Done]:
    """Carry out all operations, for a plan or for good."""
    request = TransactionRequest(operations=list(existing.operations))
    return transaction.carry_out(change, request, ground)


def rebase(change: Change, existing: ChangeSet) -> ChangeSet:
    """Plan the set on the objects as they are now."""
    bases = tuple(base_of(change.schema, change.view, each) for each in existing.operations)
    renewed = msgspec.structs.replace(existing, bases=bases)
    change.view.remember(PREFIX + renewed.id, msgspec.json.encode(renewed).decode())
    return renewed


def commit(change: Change, identity: str, ground: Ground) -> list[Done]:
    """Plan all operations of a set and its end; refuse when its objects have moved on."""
    existing = load(change.view, identity)
    moved = conflicts(change, existing)
    if moved:
        count = len(moved)
        raise Unacceptable(
            409,
            f"{count} object{'s' * (count != 1)} changed since the change set was made; "
            "review it again and rebase it, or discard it",
            moved,
        )
    done = try_out(change, existing, ground)
    change.view.remember(PREFIX + identity, None)
    return done


def conflicts(change: Change, existing: ChangeSet) -> list[Problem]:
    """Return the operations whose objects somebody has changed since they were added."""
    problems: list[Problem] = []
    pairs = zip(existing.operations, existing.bases, strict=True)
    for place, (operation, base) in enumerate(pairs):
        now = base_of(change.schema, change.view, operation)
        if now == base:
            continue
        title = f"{operation.type} {_name(operation)}"
        if now == 0:
            detail = f"{title} has been deleted since"
        elif base == 0:
            detail = f"{title} has been created since, at revision {now}"
        else:
            detail = f"{title} was at revision {base} and has been changed at {now}"
        problems.append(Problem(pointer("operations", place), detail))
    return problems


def base_of(schema: Schema, view: View, operation: Operation) -> int:
    """Return the revision of an operation's object, 0 if there is none."""
    resource = schema.find(operation.type)
    if resource is None:
        return 0
    if operation.uuid is not None:
        record = view.get(operation.uuid)
    else:
        given = operation.name
        if given is None and operation.object is not None:
            listed = operation.object.get("fq_name")
            given = [str(part) for part in listed] if isinstance(listed, list) else None
        record = None
        if given is not None:
            record = find(view, resource.name, native.name_of(resource, given))
    return 0 if record is None else record.mod_revision


def _name(operation: Operation) -> str:
    if isinstance(operation.name, str):
        return operation.name
    given = operation.name or (operation.object or {}).get("fq_name")
    if operation.uuid is None and isinstance(given, list):
        return ":".join(map(str, given))
    return operation.uuid or ""
