"""Compare the desired state with the stored one and say what to write.

Ownership: an object whose uuid is :func:`derived_uuid` of its name was made by a compiler; the
access lists of networks and security groups with the reserved names are compiled kinds whoever made
them. Nothing else is ever deleted. Route targets stay while a routing instance or logical router
that the compiler does not rewrite still refers to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import msgspec

from skytrail.compiler.derived import Derived, DerivedKey, Link
from skytrail.compiler.engine import Change, Engine, Put, Remove
from skytrail.compiler.intent import Intent
from skytrail.compiler.passes.security import EGRESS, INGRESS
from skytrail.model.derived_uuid import derived_uuid
from skytrail.model.objects import ConfigObject, Reference

ACL: Final = "access-control-list"
RECORD: Final = "virtual-DNS-record"
TARGET: Final = "route-target"
INSTANCE: Final = "routing-instance"
LOGGING: Final = "security-logging-object"
ROUTER: Final = "logical-router"
NETWORK: Final = "virtual-network"
ADDRESS: Final = "instance-ip"
SERVICE: Final = "service-instance"
PORT: Final = "virtual-machine-interface"
_CREATE_ORDER: Final = (
    TARGET,
    NETWORK,
    ACL,
    RECORD,
    INSTANCE,
    "bgp-router",
    ROUTER,
    "virtual-machine",
    "virtual-router",
    PORT,
    ADDRESS,
    "floating-ip",
    SERVICE,
    "bgp-as-a-service",
    "routing-policy",
    "route-aggregate",
    LOGGING,
)
OUTPUT_KINDS: Final = frozenset(_CREATE_ORDER)
"""Kinds this compiler writes; of each it deletes only what it owns."""
_TARGET_HOLDERS: Final = (INSTANCE, ROUTER)


@dataclass(frozen=True, slots=True)
class Create:
    key: DerivedKey
    uuid: str
    wire: Mapping[str, object]

    @property
    def depth(self) -> int:
        """How many objects of its own type it refers to; those come first."""
        own = self.key.type_name.replace("-", "_") + "_refs"
        return len(cast("list[object]", self.wire.get(own, [])))


@dataclass(frozen=True, slots=True)
class Update:
    key: DerivedKey
    uuid: str
    wire: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Delete:
    key: DerivedKey
    uuid: str
    depth: int = 0
    """How many objects of its own type it refers to; those go last."""


Write = Create | Update | Delete


def plan(engine: Engine, keys: Iterable[DerivedKey]) -> list[Write]:
    """Return the writes that bring these derived objects to their desired state, in a safe order.

    Targets come before the instances that refer to them; deletions come last.
    """
    writes = [write for key in keys if (write := _compare(engine, key)) is not None]
    return sorted(writes, key=_order)


def all_keys(engine: Engine) -> set[DerivedKey]:
    """Return every key a full comparison must look at: desired ones and owned stored ones."""
    keys = set(engine.wanted_keys())
    for kind in OUTPUT_KINDS:
        keys.update(
            DerivedKey(kind, item.fq_name) for item in engine.intent.objects(kind) if is_owned(item)
        )
    return keys


def is_owned(item: ConfigObject) -> bool:
    """Whether the compiler may delete this stored object when nothing wants it."""
    if item.type_name not in OUTPUT_KINDS:
        return False
    if item.uuid == derived_uuid(item.type_name, item.fq_name):
        return True
    if item.type_name != ACL or len(item.fq_name) < 2:
        return False
    if item.parent_type == "security-group":
        return item.name in {INGRESS, EGRESS}
    return item.parent_type == "virtual-network" and item.name == item.fq_name[-2]


def target_type(field: str) -> str:
    """Return the type a reference field points to."""
    return field.removesuffix("_refs").replace("_", "-")


def affected_keys(item: ConfigObject) -> set[DerivedKey]:
    """Return the derived keys whose comparison may change because this stored object did."""
    keys: set[DerivedKey] = set()
    if item.type_name in OUTPUT_KINDS:
        keys.add(DerivedKey(item.type_name, item.fq_name))
    if item.type_name in _TARGET_HOLDERS:
        listed = _references(item, "route_target_refs")
        keys.update(DerivedKey(TARGET, reference.to) for reference in listed)
    return keys


def apply(engine: Engine, changes: Sequence[Change]) -> set[DerivedKey]:
    """Bring changes into the engine; return the derived keys whose comparison they may change."""
    before = _affected(engine, changes)
    differing = engine.apply(changes)
    return before | differing | _affected(engine, changes)


def _affected(engine: Engine, changes: Iterable[Change]) -> set[DerivedKey]:
    """Return keys to compare because of stored objects as they are at this moment."""
    keys: set[DerivedKey] = set()
    for change in changes:
        match change:
            case Put(item):
                stored = engine.intent.item(item.type_name, item.uuid)
            case Remove(type_name, uuid):
                stored = engine.intent.item(type_name, uuid)
        if stored is not None:
            keys |= affected_keys(stored)
    return keys


def as_operation(write: Write) -> dict[str, object]:
    """Return a write as the transaction endpoint takes it."""
    operation: dict[str, object] = {"type": write.key.type_name}
    match write:
        case Create():
            return {"op": "create", **operation, "object": dict(write.wire)}
        case Update():
            return {"op": "update", **operation, "uuid": write.uuid, "object": dict(write.wire)}
        case Delete():
            return {"op": "delete", **operation, "uuid": write.uuid}


def _compare(engine: Engine, key: DerivedKey) -> Write | None:
    wanted = engine.wanted(key)
    stored = engine.intent.find(key.type_name, key.fq_name)
    if wanted is None:
        if stored is None or not is_owned(stored) or _is_held(engine, stored):
            return None
        own = key.type_name.replace("-", "_") + "_refs"
        depth = len(_references(stored, own)) if own in stored.__struct_fields__ else 0
        return Delete(key, stored.uuid, depth)
    if stored is None:
        return None if wanted.update_only else _create(engine.intent, wanted)
    wire = {
        **{
            name: _plain(value)
            for name, value in wanted.properties.items()
            if not _is_same(getattr(stored, name), value)
        },
        **{
            name: _wire_links(engine.intent, name, links)
            for name, links in wanted.links.items()
            if _normal_links(links) != _stored_links(stored, name)
        },
    }
    return Update(key, stored.uuid, wire) if wire else None


def _create(intent: Intent, wanted: Derived) -> Create:
    key = wanted.key
    uuid = derived_uuid(key.type_name, key.fq_name)
    wire: dict[str, object] = {"uuid": uuid, "fq_name": list(key.fq_name)}
    if wanted.parent_type is not None:
        wire["parent_type"] = wanted.parent_type
    values = {**wanted.initial, **wanted.properties}
    wire |= {name: _plain(value) for name, value in values.items() if value is not None}
    wire |= {name: _wire_links(intent, name, links) for name, links in wanted.links.items()}
    return Create(key, uuid, wire)


def _is_held(engine: Engine, stored: ConfigObject) -> bool:
    """Whether something the compiler does not rewrite refers to this route target."""
    if stored.type_name != TARGET:
        return False
    holders = [
        engine.intent.item(kind, uuid)
        for kind in _TARGET_HOLDERS
        for uuid in engine.intent.referrers(kind, stored.uuid)
    ]
    return any(
        item is not None and engine.wanted(DerivedKey(item.type_name, item.fq_name)) is None
        for item in holders
    )


def _wire_links(intent: Intent, name: str, links: tuple[Link, ...]) -> list[object]:
    target = target_type(name)
    found: list[object] = []
    for link in links:
        stored = intent.find(target, link.to)
        uuid = derived_uuid(target, link.to) if stored is None else stored.uuid
        attr = None if link.attr is None else _plain(link.attr)
        found.append({"to": list(link.to), "uuid": uuid, "attr": attr})
    return found


def _normal_links(links: tuple[Link, ...]) -> dict[tuple[str, ...], object]:
    return {link.to: _normal_attr(link.attr) for link in links}


def _stored_links(stored: ConfigObject, name: str) -> dict[tuple[str, ...], object]:
    return {item.to: _normal_attr(item.attr) for item in _references(stored, name)}


def _references(item: ConfigObject, name: str) -> tuple[Reference[msgspec.Struct], ...]:
    return cast("tuple[Reference[msgspec.Struct], ...]", getattr(item, name))


def _normal_attr(attr: msgspec.Struct | None) -> msgspec.Struct | None:
    """An attribute with nothing set is the same as none; stores keep either."""
    return None if attr is None or attr == type(attr)() else attr


def _is_same(stored: object, wanted: object) -> bool:
    """Compare values; what is empty on one side and missing on the other is the same."""
    return stored == wanted or _without_empty(_plain(stored)) == _without_empty(_plain(wanted))


def _without_empty(value: object) -> object:
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        found = {name: rest for name, item in items if (rest := _without_empty(item)) is not None}
        return found or None
    if isinstance(value, list):
        return [_without_empty(item) for item in cast("list[object]", value)] or None
    return value


def _plain(value: object) -> object:
    return cast("object", msgspec.json.decode(msgspec.json.encode(value)))


def _order(write: Write) -> tuple[bool, int, bool, int, tuple[str, ...]]:
    place = _CREATE_ORDER.index(write.key.type_name)
    match write:
        case Delete():
            return (True, -place, False, -write.depth, write.key.fq_name)
        case Create():
            return (False, place, False, write.depth, write.key.fq_name)
        case Update():
            return (False, place, True, 0, write.key.fq_name)
