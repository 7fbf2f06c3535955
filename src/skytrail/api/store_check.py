"""Whether what the store holds is consistent in itself. Pure: fed with keys, asked for findings.

Every commit is checked as a whole, so nothing here should ever be found; whoever restores, copies
or repairs a store by hand wants to know it. It reads what is stored, not what is in memory, and
changes nothing.

    object      a document that cannot be read, of an unknown type, or under another uuid
    name        an object without its name's key, or a key that leads elsewhere or nowhere
    parent      a parent that is not there, or of another type or name
    reference   a target that is not there, or of another type or name
    side        notes about an object that is not there
    number      a number owned by nobody, or not by the object that carries it
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import msgspec

from skytrail.api import documents, persistence
from skytrail.api.addressing import RESERVED, UNMANAGED_NETWORKS, own_subnets
from skytrail.api.documents import Document
from skytrail.api.rules.policy import SG_ID_POOL
from skytrail.api.rules.virtual_network import ID_POOL
from skytrail.api.schema import Schema
from skytrail.store.key_space import NAMES, name_key, split_object_key
from skytrail.store.plugin import KeyValue

PREFIXES = (persistence.OBJECTS, NAMES, persistence.SIDES, persistence.NUMBERS)
_CARRIED = {
    "virtual-network": ("virtual_network_network_id", ID_POOL),
    "security-group": ("security_group_id", SG_ID_POOL),
}
_ADDRESSES = {
    "instance-ip": "instance_ip_address",
    "floating-ip": "floating_ip_address",
    "alias-ip": "alias_ip_address",
}
_ADDRESS_POOL = "ip/"
_CLIENTS_POOLS = ("named/", "int/", "int-bounds/")
"""Their owners are names that clients give."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong: its kind, what it is about, and what it is."""

    kind: str
    type: str
    uuid: str
    detail: str


@dataclass(slots=True)
class _Known:
    """What is kept of an object."""

    type_name: str
    fq_name: tuple[str, ...]
    parent: tuple[str, str] | None
    targets: list[tuple[str, str, tuple[str, ...]]]
    number: int | None = None
    address: str | None = None
    subnets: tuple[str, ...] = ()
    """A network's own ones, unless nobody minds its addresses."""


class StoreCheck:
    """Feed it every key below ``PREFIXES``, as of one revision and in that order."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._objects: dict[str, _Known] = {}
        self._keys: dict[str, str] = {}
        """What name keys lead to."""
        self._early: list[Finding] = []
        self._numbers: dict[tuple[str, int], str] = {}
        self._sides: list[str] = []

    def feed(self, item: KeyValue) -> None:
        if item.key.startswith(persistence.OBJECTS):
            self._object(item)
        elif item.key.startswith(NAMES):
            self._keys[item.key] = item.value.decode("utf-8", "replace")
        elif item.key.startswith(persistence.SIDES):
            self._sides.append(item.key[len(persistence.SIDES) :])
        elif item.key.startswith(persistence.NUMBERS):
            self._number(item)

    @property
    def counts(self) -> Document:
        return {
            "objects": len(self._objects),
            "names": len(self._keys),
            "numbers": len(self._numbers),
        }

    def findings(self) -> Iterator[Finding]:
        yield from self._early
        for uuid, known in self._objects.items():
            yield from self._name_of(uuid, known)
            yield from self._parent_of(uuid, known)
            yield from self._targets_of(uuid, known)
            yield from self._numbers_of(uuid, known)
        yield from self._stale_names()
        for uuid in self._sides:
            if uuid not in self._objects:
                yield Finding("side", "", uuid, "notes about an object that is not there")
        yield from self._stale_numbers()
        yield from self._addresses()

    def _object(self, item: KeyValue) -> None:
        try:
            type_name, uuid = split_object_key(item.key)
            body = msgspec.json.decode(item.value, type=Document)
        except (ValueError, msgspec.DecodeError) as error:
            self._early.append(Finding("object", "", "", f"{item.key}: {error}"))
            return
        resource = self._schema.resources.get(type_name)
        name = tuple(documents.texts(body, "fq_name"))
        if resource is None:
            detail = "the data model has no such type"
        elif documents.text(body, "uuid") != uuid:
            detail = f"its document says uuid {body.get('uuid')!r}"
        elif not name:
            detail = "its document has no fq_name"
        else:
            self._objects[uuid] = _known(type_name, name, body, tuple(resource.references))
            return
        self._early.append(Finding("object", type_name, uuid, detail))

    def _number(self, item: KeyValue) -> None:
        try:
            place = persistence.split_number_key(item.key)
        except ValueError as error:
            self._early.append(Finding("number", "", "", f"{item.key}: {error}"))
            return
        self._numbers[place] = item.value.decode("utf-8", "replace")

    def _name_of(self, uuid: str, known: _Known) -> Iterator[Finding]:
        holder = self._keys.get(name_key(known.type_name, known.fq_name))
        if holder is None:
            yield Finding("name", known.type_name, uuid, f"{_text(known)} has no key of its name")
        elif holder != uuid:
            detail = f"the key of {_text(known)} leads to {holder}"
            yield Finding("name", known.type_name, uuid, detail)

    def _stale_names(self) -> Iterator[Finding]:
        for key, uuid in self._keys.items():
            known = self._objects.get(uuid)
            if known is None:
                yield Finding("name", "", uuid, f"{key} leads to no object")
            elif name_key(known.type_name, known.fq_name) != key:
                detail = f"{key} leads to {known.type_name} {_text(known)}"
                yield Finding("name", known.type_name, uuid, detail)

    def _parent_of(self, uuid: str, known: _Known) -> Iterator[Finding]:
        if known.parent is None:
            return
        kind, parent_uuid = known.parent
        parent = self._objects.get(parent_uuid)
        if parent is None:
            detail = f"{_text(known)}: its parent {kind} {parent_uuid} is not there"
        elif parent.type_name != kind:
            detail = f"{_text(known)}: its parent is a {parent.type_name}, not a {kind}"
        elif known.fq_name[:-1] != parent.fq_name:
            detail = f"{_text(known)} is not named below its parent {_text(parent)}"
        else:
            return
        yield Finding("parent", known.type_name, uuid, detail)

    def _targets_of(self, uuid: str, known: _Known) -> Iterator[Finding]:
        references = self._schema.resources[known.type_name].references
        for field, target_uuid, name in known.targets:
            target = self._objects.get(target_uuid)
            kind = references[field].target
            if target is None:
                detail = f"{_text(known)}: {field} names {target_uuid}, which is not there"
            elif target.type_name != kind:
                detail = f"{_text(known)}: {field} names a {target.type_name}"
            elif name and name != target.fq_name:
                detail = f"{_text(known)}: {field} calls {_text(target)} {':'.join(name)}"
            else:
                continue
            yield Finding("reference", known.type_name, uuid, detail)

    def _numbers_of(self, uuid: str, known: _Known) -> Iterator[Finding]:
        carried = _CARRIED.get(known.type_name)
        if carried is None or known.number is None:
            return
        field, pool = carried
        owner = self._numbers.get((pool, known.number))
        if owner != uuid:
            held = "is not allocated" if owner is None else f"is allocated to {owner}"
            detail = f"{_text(known)}: {field} {known.number} {held}"
            yield Finding("number", known.type_name, uuid, detail)

    def _addresses(self) -> Iterator[Finding]:
        """Find addresses of a network's own subnets that are in use without being allocated."""
        owned: dict[str, set[int]] = {}
        for (pool, value), owner in self._numbers.items():
            if pool.startswith(_ADDRESS_POOL):
                owned.setdefault(owner, set()).add(value)
        for uuid, known in self._objects.items():
            networks = [
                self._objects[target]
                for field, target, _ in known.targets
                if field == "virtual_network_refs" and target in self._objects
            ]
            if known.address is None or len(networks) != 1:
                continue
            value = _as_number(known.address)
            inside = any(_contains(each, known.address) for each in networks[0].subnets)
            if inside and value not in owned.get(uuid, ()):
                detail = f"{_text(known)}: {known.address} is not allocated to it"
                yield Finding("number", known.type_name, uuid, detail)

    def _stale_numbers(self) -> Iterator[Finding]:
        for (pool, value), owner in self._numbers.items():
            known = self._objects.get(owner)
            if known is None:
                if not pool.startswith(_CLIENTS_POOLS) and owner != RESERVED:
                    detail = f"{value} of pool {pool} belongs to an object that is not there"
                    yield Finding("number", "", owner, detail)
                continue
            if not pool.startswith(_ADDRESS_POOL) or known.address is None:
                continue
            if _as_number(known.address) != value:
                detail = f"{_text(known)} has {known.address}, but {value} of pool {pool}"
                yield Finding("number", known.type_name, owner, detail)


def _known(
    type_name: str, name: tuple[str, ...], body: Document, references: tuple[str, ...]
) -> _Known:
    targets = [
        (field, documents.text(each, "uuid") or "", tuple(documents.texts(each, "to")))
        for field in references
        for each in documents.sections(body, field)
    ]
    parent_type, parent = documents.text(body, "parent_type"), documents.text(body, "parent_uuid")
    known = _Known(
        type_name, name, None if parent is None else (parent_type or "", parent), targets
    )
    if type_name in _CARRIED:
        known.number = documents.number(body, _CARRIED[type_name][0])
    if type_name in _ADDRESSES:
        known.address = documents.text(body, _ADDRESSES[type_name])
    if type_name == "virtual-network" and name[-1] not in UNMANAGED_NETWORKS:
        known.subnets = tuple(
            f"{documents.text(prefix, 'ip_prefix')}/{documents.number(prefix, 'ip_prefix_len')}"
            for prefix in (documents.section(each, "subnet") for each in own_subnets(body))
        )
    return known


def _contains(subnet: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(subnet, strict=False)
    except ValueError:
        return False


def _as_number(address: str) -> int | None:
    try:
        return int(ip_address(address))
    except ValueError:
        return None


def _text(known: _Known) -> str:
    return ":".join(known.fq_name)
