"""The native transaction: operations on any objects that happen together or not at all."""

from __future__ import annotations

import msgspec

from skytrail.api import authorize, native
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.native import Done, Ground, Operation
from skytrail.api.problem import Unacceptable, pointer
from skytrail.api.refusal import Refused, bad_request

OPERATIONS_COUNT_MAX = 4_000
"""One transaction is planned in one go, in which the server answers nobody else."""


class TransactionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operations: list[Operation]
    derived_from: int | None = None
    """Set by the compiler: the revision its output follows from. An object that changed since is
    not updated, because the update may carry over lists the compiler saw in their former state."""


def carry_out(change: Change, request: TransactionRequest, ground: Ground) -> list[Done]:
    """Plan all operations in order; a refusal names the operation it is about.

    What is wrong with the form of several operations is told of all of them.
    """
    if len(request.operations) > OPERATIONS_COUNT_MAX:
        raise bad_request(f"More than {OPERATIONS_COUNT_MAX} operations in one transaction")
    if request.derived_from is not None:
        authorize.require_system(change.caller, "derived_from")
        change.by_system = True
    done: list[Done] = []
    for index, operation in enumerate(request.operations):
        try:
            _check_seen(change, operation, request.derived_from)
            done.append(native.carry_out(change, operation, ground))
        except Refused as refusal:
            raise _at(refusal, index, operation) from None
    return done


def _at(refusal: Refused, index: int, operation: Operation) -> Unacceptable:
    """Return a refusal as one about an operation of the transaction."""
    where = f"operation {index} ({operation.op[:32]} {operation.type[:64]}): "
    more: Document = {"operation": index}
    if isinstance(refusal, Unacceptable):
        moved = refusal.below(pointer("operations", index, "object"), where)
        return Unacceptable(moved.status, moved.text, moved.problems, {**moved.more, **more})
    return Unacceptable(refusal.status, where + refusal.text, more=more)


def _check_seen(change: Change, operation: Operation, derived_from: int | None) -> None:
    if derived_from is None or operation.op != "update" or operation.uuid is None:
        return
    record = change.view.get(operation.uuid)
    if record is not None and (
        record.mod_revision > derived_from or change.view.is_changing(record.uuid)
    ):
        raise Refused(409, f"it changed after revision {derived_from}: look again and retry")
