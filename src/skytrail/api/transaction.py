"""The native transaction: several creates, updates and deletes that happen together or not at all."""

from __future__ import annotations

import msgspec

from skytrail.api import admission, texts
from skytrail.api.admission import Links
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.identity import is_uuid
from skytrail.api.refusal import Refused, bad_request, not_found

OPERATIONS_COUNT_MAX = 4_000
"""One transaction is planned in one go, in which the server answers nobody else."""


class Operation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    op: str
    type: str
    uuid: str | None = None
    object: Document | None = None


class TransactionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operations: list[Operation]
    derived_from: int | None = None
    """Set by the compiler: the revision its output follows from."""


def carry_out(change: Change, request: TransactionRequest, links: Links) -> list[Document]:
    """Plan all operations in order; a refusal names the operation it is about."""
    if len(request.operations) > OPERATIONS_COUNT_MAX:
        raise bad_request(f"More than {OPERATIONS_COUNT_MAX} operations in one transaction")
    change.by_system = request.derived_from is not None
    results: list[Document] = []
    for index, operation in enumerate(request.operations):
        try:
            results.append({"uuid": _carry_out_one(change, operation, links)})
        except Refused as refusal:
            where = f"operation {index} ({operation.op} {operation.type}): "
            raise Refused(refusal.status, where + refusal.text) from None
    return results


def _carry_out_one(change: Change, operation: Operation, links: Links) -> str:
    resource = change.schema.find(operation.type)
    if resource is None:
        raise not_found(texts.resource_type_not_found(operation.type[:128]))
    if resource.origin == "compiled" and not change.by_system:
        raise Refused(
            403, f"{resource.name} is written by the compiler; change what it follows from"
        )
    if operation.op == "create":
        if operation.object is None:
            raise bad_request("object is missing")
        body = operation.object
        if operation.uuid is not None:
            body = {"uuid": operation.uuid, **body}
        uuid = admission.create(change, resource, body).uuid
        if change.ignored:
            raise bad_request(f"unknown fields: {', '.join(change.ignored)[:512]}")
        return uuid
    if not is_uuid(operation.uuid):
        raise bad_request(texts.invalid_uuid(operation.uuid))
    uuid = str(operation.uuid)
    record = admission.existing(change, resource, uuid, texts.unknown_id(uuid))
    if operation.op == "update":
        if operation.object is None:
            raise bad_request("object is missing")
        admission.update(change, record, operation.object)
        if change.ignored:
            raise bad_request(f"unknown fields: {', '.join(change.ignored)[:512]}")
    elif operation.op == "delete":
        admission.delete(change, record, links)
    else:
        raise bad_request(f"unknown op {operation.op[:64]!r}: create, update or delete")
    return uuid
