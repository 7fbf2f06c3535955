"""The write actions beside create, update and delete: references, elements, addresses, notes."""

from __future__ import annotations

from skytrail.api import (
    addressing,
    admission,
    authorize,
    documents,
    identity,
    notes,
    rights,
    security_draft,
    texts,
)
from skytrail.api.addressing import Wish
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.elements import collection_of, edit_collection, positions_of
from skytrail.api.graph import Record, Side
from skytrail.api.references import find_or_draft, reference_field, reference_to
from skytrail.api.refusal import Refused, bad_request, conflict, not_found
from skytrail.model.validate import InvalidValue, shown, stored_attribute
from skytrail.net.decimal_text import decimal

_ADDRESS_COUNT_MAX = 1000


def update_reference(change: Change, request: Document) -> str:
    """Add, change or drop one reference; return the uuid of the referring object."""
    type_name, uuid = documents.text(request, "type"), documents.text(request, "uuid")
    wanted, operation = documents.text(request, "ref-type"), documents.text(request, "operation")
    if not type_name or not uuid or not wanted or not operation:
        raise bad_request(
            f"Bad Request: type/uuid/ref-type/operation is null: {shown(type_name)}, "
            f"{shown(uuid)}, {shown(wanted)}, {shown(operation)}"
        )
    verb = operation.upper()
    if verb not in ("ADD", "DELETE"):
        raise bad_request(f"Bad Request: operation should be add or delete: {shown(operation)}")
    resource = change.schema.find(type_name)
    if resource is None:
        raise not_found(texts.resource_type_not_found(shown(type_name)))
    record = admission.existing(change, resource, uuid, texts.unknown_id(uuid))
    record = security_draft.editable(change, record)
    reference = reference_field(resource, wanted)
    rights.check_edit(change, record, (reference.name,))
    target = _target(change, reference.target, request, required=verb == "ADD")
    items = documents.sections(record.body, reference.name)
    others = [item for item in items if target is None or item.get("uuid") != target.uuid]
    body = dict(record.body)
    side = record.side
    if verb == "DELETE":
        if target is None or len(others) == len(items):
            return uuid
        body[reference.name] = others
        if not others:
            del body[reference.name]
    elif target is not None:
        try:
            attribute = stored_attribute(reference, request.get("attr"))
        except InvalidValue as invalid:
            raise bad_request(f"Bad reference in update: {invalid}") from None
        body[reference.name] = [*others, reference_to(target, attribute)]
        if documents.flag(request, "relax_ref_for_delete"):
            side = _relaxed(record, target.uuid)
    admission.replace_body(change, record, body, side=side)
    return uuid


def _target(
    change: Change, target_type: str, request: Document, *, required: bool
) -> Record | None:
    uuid, name = documents.text(request, "ref-uuid"), documents.texts(request, "ref-fq-name")
    if not uuid and not name:
        raise bad_request("Bad Request: ref-uuid or ref-fq-name must be specified")
    if uuid:
        target = change.view.get(uuid)
        if target is not None and target.type_name == target_type:
            target = rights.linkable(change, target) if required else target
        else:
            target = None
        if target is not None:
            return target
        if not required:
            return None
        raise not_found(texts.no_such_object(target_type, shown(uuid)))
    target = find_or_draft(change, target_type, tuple(name))
    if required:
        target = rights.linkable(change, target)
    elif target is not None and not rights.shown_name(change, target):
        target = None
    if target is None:
        raise not_found(texts.name_not_found(name))
    return target


def _relaxed(record: Record, target: str) -> Side:
    return Side(
        positions=record.side.positions,
        relaxed=tuple(dict.fromkeys((*record.side.relaxed, target))),
        owners=record.side.owners,
    )


def relax_reference(change: Change, request: Document) -> str:
    """Have one reference no longer forbid the removal of its target."""
    uuid, target = documents.text(request, "uuid"), documents.text(request, "ref-uuid")
    if not uuid or not target:
        raise bad_request(f"Bad Request: Both uuid and ref-uuid should be specified: {uuid}")
    record = rights.known(change, change.view.get(uuid), texts.uuid_not_found(shown(uuid)))
    rights.check_edit(change, record, ())
    if target not in {each for _, each in record.targets}:
        raise not_found(f"{record.type_name} {uuid} does not refer to {shown(target)}")
    change.view.put(admission.next_version(record, dict(record.body), _relaxed(record, target)))
    return uuid


def edit_elements(change: Change, request: Document) -> None:
    """Carry out all element operations of one request, or none."""
    uuid = documents.text(request, "uuid")
    if not uuid:
        raise bad_request("Bad Request: uuid is null")
    record = rights.known(change, change.view.get(uuid), texts.unknown_id(shown(uuid)))
    record = security_draft.editable(change, record)
    resource = change.schema.resources[record.type_name]
    given = request.get("updates")
    updates = documents.sections(request, "updates")
    if len(updates) != len(documents.as_list(given)) or (given and not isinstance(given, list)):
        raise bad_request("updates must be a list of objects")
    rights.check_edit(change, record, [documents.text(each, "field") or "" for each in updates])
    body, positions = dict(record.body), dict(record.side.positions)
    for update in updates:
        prop = collection_of(resource, documents.text(update, "field") or "")
        pairs = positions_of(body, prop, positions)
        pairs = edit_collection(prop, pairs, update, fresh_position=change.new_uuid())
        body[prop.name] = {prop.wrapper_field: [element for element, _ in pairs]}
        if prop.kind == "list":
            positions[prop.name] = [position for _, position in pairs]
        if not pairs:
            del body[prop.name]
            positions.pop(prop.name, None)
    if updates:
        side = Side(positions=positions, relaxed=record.side.relaxed, owners=record.side.owners)
        admission.replace_body(change, record, body, side=side)


def alloc_ips(change: Change, network: Record, request: Document) -> list[str]:
    """Reserve addresses of a network (ip-alloc)."""
    rights.check_edit(change, network, ())
    count = request.get("count", 1)
    number = decimal(count, 0, _ADDRESS_COUNT_MAX) if isinstance(count, str) else count
    if isinstance(number, bool) or not isinstance(number, int):
        raise bad_request(f"Invalid count {shown(count)}")
    if not 1 <= number <= _ADDRESS_COUNT_MAX:
        raise bad_request(f"Invalid count {number}: 1 to {_ADDRESS_COUNT_MAX}")
    subnet = documents.text(request, "subnet")
    wish = Wish(family=documents.text(request, "family"), subnet_uuids=[subnet] if subnet else None)
    return addressing.alloc_addresses(change, network, wish, number)


def free_ips(change: Change, network: Record, request: Document) -> None:
    """Give reserved addresses back (ip-free)."""
    rights.check_edit(change, network, ())
    addressing.free_addresses(change, network, documents.texts(request, "ip_addr"))


def keep_note(change: Change, request: Document) -> object:
    """Store, return or drop a client's note (useragent-kv); None when there is no reply body."""
    operation = documents.text(request, "operation")
    if not operation or "key" not in request:
        raise bad_request("Key/value store API needs operation and key")
    key = documents.text(request, "key")
    kept = notes.kept_key(change.view, change.caller, key or "")
    if operation == "RETRIEVE":
        value = change.view.remembered(kept)
        if value is None:
            raise not_found(f"Unknown User-Agent key {shown(key)}")
        return {"value": value}
    if operation not in ("STORE", "DELETE"):
        raise not_found(f"Invalid Operation {shown(operation)}")
    if not key or len(key.encode()) > 1024:
        raise bad_request("Key/value store API needs a key of 1 to 1024 bytes")
    value = request.get("value")
    change.view.remember(kept, None if operation == "DELETE" else str(value))
    return None


def allocate_number(change: Change, request: Document) -> int:
    """Give a durable number of a named pool to an owner; asking again gives the same one."""
    authorize.require_admin(change.view, change.caller, "allocating numbers")
    pool, owner = documents.text(request, "pool"), documents.text(request, "owner")
    low, high = documents.number(request, "low"), documents.number(request, "high")
    want = documents.number(request, "want")
    _check_pool(pool, owner)
    if low is None or high is None or not 0 <= low <= high < 1 << 64:
        raise bad_request("low and high must be integers, 0 <= low <= high < 2^64")
    name, holder = f"named/{pool}", f"named/{owner}"
    numbers = change.view.numbers
    if want is not None:
        if not low <= want <= high:
            raise bad_request(f"want {want} is outside {low}..{high}")
        if not numbers.take(name, want, holder):
            raise conflict(f"{pool} {want} is allocated to another owner")
        return want
    for held_pool, value in numbers.owned_by(holder):
        if held_pool == name and low <= value <= high:
            return value
    taken = numbers.take_first(name, ((low, high),), holder)
    if taken is None:
        raise conflict(f"{pool}: no number is left in {low}..{high}")
    return taken


def free_number(change: Change, request: Document) -> None:
    """Take a number back from its owner; a number of somebody else is refused."""
    authorize.require_admin(change.view, change.caller, "freeing numbers")
    pool, owner = documents.text(request, "pool"), documents.text(request, "owner")
    value = documents.number(request, "value")
    _check_pool(pool, owner)
    if value is None:
        raise bad_request("value must be an integer")
    held = change.view.numbers.owner(f"named/{pool}", value)
    if held is not None and held != f"named/{owner}":
        raise conflict(f"{pool} {value} is allocated to another owner")
    change.view.numbers.release(f"named/{pool}", value)


def _check_pool(pool: str | None, owner: str | None) -> None:
    if not pool or not owner or len(pool) > 128 or len(owner) > 512:
        raise bad_request("pool (1..128 characters) and owner (1..512) are needed")


def require_uuid(value: object) -> str:
    """Return a canonical uuid of a request."""
    if not identity.is_uuid(value):
        raise Refused(400, texts.invalid_uuid(shown(value)))
    return str(value)
