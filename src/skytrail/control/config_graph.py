"""The configuration this control node knows, and the XML of each object, made once.

Objects arrive in any order; relations to absent ones wait. A snapshot replaces everything: what
it does not contain is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast
from uuid import UUID

import msgspec

from skytrail.control.usable_names import UsableNames
from skytrail.model.annotation_names import READ_BY_AGENTS
from skytrail.model.catalog import CATALOG
from skytrail.model.config_object import ConfigObject
from skytrail.model.graph import ObjectGraph, edges_of
from skytrail.model.objects import encode_object
from skytrail.model.secret_values import Masks
from skytrail.wire.xmpp import ConfigKey, ConfigLink, ConfigNode, ConfigValue
from skytrail.wire.xmpp.config_codec import encode_link, encode_node
from skytrail.wire.xmpp.values import Json, normal_form

# Rights and notes are the API's business, but for the notes agents read; tag references travel as
# links.
_PROPERTIES_KEPT_BACK = frozenset({"perms2", "annotations"})
_MASKS = Masks(CATALOG)
"""Keys and passwords are no business of a host."""
_KEYS_FOR_HOSTS = frozenset({("bgp-as-a-service", "bgpaas_session_attributes")})
"""But for those of its own workloads' BGP sessions, which end there (ADR 0205)."""
_LOW_64_BITS = (1 << 64) - 1

LinkKey: TypeAlias = tuple[ConfigKey, str, ConfigKey]
"""Holder, kind, other end."""


@dataclass(frozen=True, slots=True)
class Change:
    """One object before and after; None where it did not exist."""

    before: ConfigObject | None
    after: ConfigObject | None

    @property
    def versions(self) -> list[ConfigObject]:
        return [version for version in (self.before, self.after) if version is not None]


@dataclass(frozen=True, slots=True)
class EncodedLink:
    """A relation in sendable form; ``other`` is the uuid at the far end."""

    key: LinkKey
    other: str
    text: str


@dataclass(frozen=True, slots=True)
class EncodedObject:
    """A node and the relations its object holds (parent and references)."""

    key: ConfigKey
    node: str
    links: tuple[EncodedLink, ...]


class ConfigGraph:
    """All objects of interest, with changes collected until taken."""

    def __init__(self) -> None:
        self.graph = ObjectGraph()
        self._changes: dict[str, Change] = {}
        self._encoded: dict[str, EncodedObject] = {}
        self._outdated: dict[str, None] = {}
        self._names = UsableNames(self.graph)

    def put(self, config_object: ConfigObject) -> None:
        """Add or replace an object by uuid."""
        before = self.graph.put(config_object)
        self._note(config_object.uuid, before, config_object)

    def remove(self, uuid: str) -> None:
        """Remove an object; unknown ones are ignored."""
        before = self.graph.remove(uuid)
        if before is not None:
            self._note(uuid, before, None)

    def replace_all(self, objects: Iterable[ConfigObject]) -> None:
        """Make the graph hold exactly ``objects``; unchanged ones count as no change."""
        fresh = {config_object.uuid: config_object for config_object in objects}
        for gone in [known.uuid for known in self.graph if known.uuid not in fresh]:
            self.remove(gone)
        for config_object in fresh.values():
            if self.graph.get(config_object.uuid) != config_object:
                self.put(config_object)

    def take_changes(self) -> list[Change]:
        """Return what changed since the last call, one entry per object."""
        changes = [change for change in self._changes.values() if change.before != change.after]
        self._changes = {}
        return changes

    def take_outdated(self) -> dict[str, None]:
        """Return the uuids of objects whose XML may have changed since the last call."""
        outdated, self._outdated = self._outdated, {}
        return outdated

    def encoded(self, config_object: ConfigObject) -> EncodedObject:
        """Return the object's XML, from the cache while it does not change."""
        found = self._encoded.get(config_object.uuid)
        if found is None:
            found = self._encoded[config_object.uuid] = self._encode(config_object)
        return found

    def _note(self, uuid: str, before: ConfigObject | None, after: ConfigObject | None) -> None:
        for named in self._names.follow(before, after):
            self._outdate(named)
        earlier = self._changes.get(uuid)
        self._changes[uuid] = Change(earlier.before if earlier else before, after)
        self._outdate(uuid)
        if before is not None and after is not None and config_key(before) == config_key(after):
            return
        # Links name both ends and are not written to absent objects.
        for source in self.graph.back_refs(uuid):
            self._outdate(source.uuid)
        for child in self.graph.children(uuid):
            self._outdate(child.uuid)

    def _outdate(self, uuid: str) -> None:
        self._encoded.pop(uuid, None)
        self._outdated[uuid] = None

    def _encode(self, config_object: ConfigObject) -> EncodedObject:
        key = config_key(config_object)
        links: list[EncodedLink] = []
        parent = self.graph.parent(config_object.uuid)
        object_type = CATALOG.objects[config_object.type_name]
        if parent is not None and parent.type_name in object_type.parents:
            kind = object_type.parents[parent.type_name].link
            link = ConfigLink(config_key(parent), key, kind)
            links.append(EncodedLink((key, kind, link.left), parent.uuid, encode_link(link)))
        for edge in edges_of(config_object):
            target = self.graph.get(edge.target)
            if target is not None:
                reference = object_type.references[edge.field]
                kind = reference.link
                attribute = msgspec.json.decode(msgspec.json.encode(edge.attr))
                value = normal_form(cast("Json", _MASKS.typed(reference.attr_type, attribute)))
                link = ConfigLink(key, config_key(target), kind, value)
                link_key = (key, kind, link.right)
                links.append(EncodedLink(link_key, target.uuid, encode_link(link)))
        node = ConfigNode(key, _properties(self._names.usable(config_object)))
        return EncodedObject(key, encode_node(node), tuple(links))


def config_key(config_object: ConfigObject) -> ConfigKey:
    """Return the name an object has on the config channel."""
    return ConfigKey(config_object.type_name, ":".join(config_object.fq_name))


def _properties(config_object: ConfigObject) -> dict[str, ConfigValue]:
    known = CATALOG.objects[config_object.type_name].properties
    properties: dict[str, ConfigValue] = {}
    for name, value in encode_object(config_object).items():
        if name in known and name not in _PROPERTIES_KEPT_BACK:
            is_open = (config_object.type_name, name) in _KEYS_FOR_HOSTS
            shown = value if is_open else _MASKS.field(known[name], value)
            normal = normal_form(cast("Json", shown))
            if normal is not None:
                properties[name] = normal
    notes = _annotations(config_object)
    if notes:
        properties["annotations"] = {"key_value_pair": notes}
    return _with_uuid(properties, config_object.uuid)


def _annotations(config_object: ConfigObject) -> list[ConfigValue]:
    given = config_object.annotations
    pairs = () if given is None else given.key_value_pair
    return [
        {"key": each.key, "value": each.value or ""} for each in pairs if each.key in READ_BY_AGENTS
    ]


def _with_uuid(properties: dict[str, ConfigValue], uuid: str) -> dict[str, ConfigValue]:
    """Put the uuid where agents look for it: as two 64-bit numbers inside id_perms."""
    number = UUID(uuid).int
    halves: dict[str, ConfigValue] = {
        "uuid_mslong": str(number >> 64),
        "uuid_lslong": str(number & _LOW_64_BITS),
    }
    id_perms = properties.get("id_perms")
    known = dict(id_perms) if isinstance(id_perms, Mapping) else {}
    known["uuid"] = halves
    properties["id_perms"] = known
    return properties
