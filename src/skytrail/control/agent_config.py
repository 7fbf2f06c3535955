"""The configuration of one agent as it is sent: differences only, in small pieces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias, TypeVar

from skytrail.control.config_filter import visible
from skytrail.control.config_graph import Change, ConfigGraph
from skytrail.model.config_object import ConfigObject
from skytrail.wire.xmpp import ConfigKey
from skytrail.wire.xmpp.config_codec import encode_stub

LinkKey: TypeAlias = tuple[ConfigKey, str, ConfigKey]
"""Holder, kind, other end."""

UPDATE_LENGTH_MAX = 1 << 20
"""Sixteen objects of the largest size the API takes would be more than agents accept at once."""

KeyT = TypeVar("KeyT", ConfigKey, LinkKey)


class AgentConfig:
    """What one agent should have, and what it has been sent in its present session.

    Only the difference is ever sent, in pieces of at most 16 objects: new and changed nodes, then
    links, then links to delete, then nodes to delete. Adding comes first so that an interface
    that moves between security groups is never without one.
    """

    def __init__(self) -> None:
        self.roots: dict[ConfigKey, None] = {}
        self.seen: dict[str, ConfigObject] = {}
        self.sent_nodes: dict[ConfigKey, str] = {}
        self.sent_links: dict[LinkKey, str] = {}
        self.is_dirty = False
        self._nodes: list[tuple[ConfigKey, str]] = []
        self._links: list[tuple[LinkKey, str]] = []
        self._gone_links: list[LinkKey] = []
        self._gone_nodes: list[ConfigKey] = []

    def add_root(self, key: ConfigKey) -> None:
        self.roots[key] = None
        self.is_dirty = True

    def remove_root(self, key: ConfigKey) -> None:
        self.roots.pop(key, None)
        self.is_dirty = True

    def is_affected_by(self, touched_uuids: set[str], changes: Iterable[Change]) -> bool:
        """Tell whether the walk must be done again."""
        if not self.roots:
            return False
        if not touched_uuids.isdisjoint(self.seen):
            return True
        return any(
            ConfigKey(version.type_name, ":".join(version.fq_name)) in self.roots
            for change in changes
            for version in change.versions
        )

    @property
    def has_work(self) -> bool:
        return self.is_dirty or bool(
            self._nodes or self._links or self._gone_links or self._gone_nodes
        )

    def refresh(self, config: ConfigGraph) -> None:
        """Walk again and work out what is still to be sent."""
        self.is_dirty = False
        self.seen = visible(config.graph, self.roots)
        nodes: dict[ConfigKey, str] = {}
        links: dict[LinkKey, str] = {}
        keys = {uuid: config.encoded(item).key for uuid, item in self.seen.items()}
        for item in self.seen.values():
            encoded = config.encoded(item)
            nodes[encoded.key] = encoded.node
            for link in encoded.links:
                if link.other in keys:
                    links[encoded.key, link.kind, keys[link.other]] = link.text
        self._nodes = _differences(nodes, self.sent_nodes)
        self._links = _differences(links, self.sent_links)
        self._gone_links = sorted((key for key in self.sent_links if key not in links),
                                  reverse=True)  # fmt: skip
        self._gone_nodes = sorted((key for key in self.sent_nodes if key not in nodes),
                                  reverse=True)  # fmt: skip

    def take(self, count: int) -> tuple[list[str], list[str]]:
        """Return texts of (objects to update, objects to delete), together at most ``count``.

        Deletes only come when nothing is left to update. Large objects come fewer at a time: no
        text follows once there are ``UPDATE_LENGTH_MAX`` characters.
        """
        updates: list[str] = []
        room = UPDATE_LENGTH_MAX
        while self._nodes and len(updates) < count and room > 0:
            key, text = self._nodes.pop()
            self.sent_nodes[key] = text
            updates.append(text)
            room -= len(text)
        while self._links and len(updates) < count and room > 0:
            link, text = self._links.pop()
            self.sent_links[link] = text
            updates.append(text)
            room -= len(text)
        if updates:
            return updates, []
        deletes: list[str] = []
        while self._gone_links and len(deletes) < count:
            deletes.append(self.sent_links.pop(self._gone_links.pop()))
        while self._gone_nodes and len(deletes) < count:
            key = self._gone_nodes.pop()
            del self.sent_nodes[key]
            deletes.append(encode_stub(key))
        return [], deletes


def _differences(wanted: Mapping[KeyT, str], sent: Mapping[KeyT, str]) -> list[tuple[KeyT, str]]:
    """Return what must be sent, in the order in which ``pop`` gives sorted keys."""
    return [
        (key, wanted[key]) for key in sorted(wanted, reverse=True) if sent.get(key) != wanted[key]
    ]
