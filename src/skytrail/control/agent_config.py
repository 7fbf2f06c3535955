"""The configuration of one agent as it is sent: differences only, in small pieces."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from skytrail.control.config_graph import ConfigGraph, EncodedObject, LinkKey
from skytrail.control.config_reach import Delta, Reach, Steps
from skytrail.model.generated.objects import VirtualRouter
from skytrail.wire.xmpp import ConfigKey
from skytrail.wire.xmpp.config_codec import encode_stub

UPDATE_LENGTH_MAX = 1 << 20
"""Sixteen objects of the largest size the API takes would be more than agents accept at once."""

KeyT = TypeVar("KeyT", ConfigKey, LinkKey)


class Difference(Generic[KeyT]):
    """What should be at the far end against what has been sent there, in order of change."""

    def __init__(self) -> None:
        self.wanted: dict[KeyT, str] = {}
        self.sent: dict[KeyT, str] = {}
        self._updates: OrderedDict[KeyT, None] = OrderedDict()
        self._deletes: OrderedDict[KeyT, None] = OrderedDict()

    @property
    def has_updates(self) -> bool:
        return bool(self._updates)

    @property
    def has_deletes(self) -> bool:
        return bool(self._deletes)

    def want(self, key: KeyT, text: str) -> None:
        self.wanted[key] = text
        self._deletes.pop(key, None)
        if self.sent.get(key) == text:
            self._updates.pop(key, None)
        else:
            self._updates[key] = None

    def drop(self, key: KeyT) -> None:
        if self.wanted.pop(key, None) is not None:
            self._updates.pop(key, None)
            if key in self.sent:
                self._deletes[key] = None

    def take_update(self) -> str:
        """Return the next text to send; there must be one."""
        key, _ = self._updates.popitem(last=False)
        text = self.sent[key] = self.wanted[key]
        return text

    def take_delete(self) -> tuple[KeyT, str]:
        """Return the next key to delete and the text once sent; there must be one."""
        key, _ = self._deletes.popitem(last=False)
        return key, self.sent.pop(key)


class AgentConfig:
    """What one agent should have, and what it has been sent in its present session.

    Only the difference is ever sent, in pieces of at most 16 objects: new and changed nodes, then
    links, then links to delete, then nodes to delete. Adding comes first so that an interface
    that moves between security groups is never without one. However many changes arrive before
    an agent reads, each object is sent once.
    """

    def __init__(self) -> None:
        self.reach = Reach()
        self.roots_length = 0
        """Of the names of all roots together, held ones as well."""
        self.restarts_count = 0
        """How often the agent let go of its virtual-router."""
        self.held: dict[ConfigKey, None] = {}
        """Machines it asked for, but that the configuration does not place there (yet)."""
        self.nodes = Difference[ConfigKey]()
        self.links = Difference[LinkKey]()
        self._offered: dict[str, EncodedObject] = {}
        """The version of each seen object that ``nodes`` and ``links`` speak of."""
        self._holders: dict[str, dict[str, None]] = {}
        """Seen objects with a relation to this uuid, whether that is seen or not."""

    def add_root(self, key: ConfigKey, config: ConfigGraph, steps: Steps) -> None:
        self.roots_length += len(key.name) if key not in self.reach.roots else 0
        self._offer(self.reach.add_root(key, config.graph, steps), config)

    def remove_root(self, key: ConfigKey, config: ConfigGraph, steps: Steps) -> None:
        self.roots_length -= len(key.name) if key in self.reach.roots else 0
        self._offer(self.reach.remove_root(key, steps), config)

    def follow(
        self, delta: Delta, outdated: Mapping[str, None], config: ConfigGraph, steps: Steps
    ) -> None:
        """Take over a commit: ``outdated`` are the objects whose XML may differ."""
        flipped = self.reach.follow(delta, config.graph, steps)
        self._offer(flipped, config, outdated)

    @property
    def roots_count(self) -> int:
        return len(self.reach.roots) + len(self.held)

    def hold_root(self, key: ConfigKey) -> None:
        """Remember a root that the agent may not have for now."""
        self.roots_length += len(key.name) if key not in self.held else 0
        self.held[key] = None

    def release_root(self, key: ConfigKey) -> bool:
        """Forget a root that was held; tell whether it was."""
        if key not in self.held:
            return False
        del self.held[key]
        self.roots_length -= len(key.name)
        return True

    @property
    def is_asked_for(self) -> bool:
        """The agent asked for its virtual-router."""
        return any(key.type_name == VirtualRouter.type_name for key in self.reach.roots)

    def share(self, nodes: Iterable[tuple[ConfigKey, str]]) -> None:
        """Want what is the same for every agent, and no object's."""
        for key, text in nodes:
            self.nodes.want(key, text)

    @property
    def has_work(self) -> bool:
        return (
            self.nodes.has_updates
            or self.links.has_updates
            or self.links.has_deletes
            or self.nodes.has_deletes
        )

    def take(self, count: int) -> tuple[list[str], list[str]]:
        """Return texts of (objects to update, objects to delete), together at most ``count``.

        Deletes only come when nothing is left to update. Large objects come fewer at a time: no
        text follows once there are ``UPDATE_LENGTH_MAX`` characters.
        """
        updates: list[str] = []
        room = UPDATE_LENGTH_MAX
        for difference in (self.nodes, self.links):
            while difference.has_updates and len(updates) < count and room > 0:
                updates.append(difference.take_update())
                room -= len(updates[-1])
        if updates:
            return updates, []
        deletes: list[str] = []
        while self.links.has_deletes and len(deletes) < count:
            deletes.append(self.links.take_delete()[1])
        while self.nodes.has_deletes and len(deletes) < count:
            deletes.append(encode_stub(self.nodes.take_delete()[0]))
        return [], deletes

    def _offer(
        self,
        flipped: Iterable[str],
        config: ConfigGraph,
        outdated: Mapping[str, None] | None = None,
    ) -> None:
        """Work out again what is wanted of objects whose visibility or XML may have changed."""
        uuids = dict.fromkeys(flipped)
        for uuid in list(uuids):
            uuids.update(self._holders.get(uuid, {}))
        uuids.update((uuid, None) for uuid in outdated or () if uuid in self.reach.seen)
        # All withdrawals first: a new object may bear the name of an old one.
        for uuid in uuids:
            self._withdraw(uuid)
        for uuid in uuids:
            config_object = config.graph.get(uuid)
            if config_object is not None and uuid in self.reach.seen:
                self._want(uuid, config.encoded(config_object))

    def _withdraw(self, uuid: str) -> None:
        offered = self._offered.pop(uuid, None)
        if offered is None:
            return
        self.nodes.drop(offered.key)
        for link in offered.links:
            self.links.drop(link.key)
            holders = self._holders.get(link.other)
            if holders is not None:
                holders.pop(uuid, None)
                if not holders:
                    del self._holders[link.other]

    def _want(self, uuid: str, encoded: EncodedObject) -> None:
        self._offered[uuid] = encoded
        self.nodes.want(encoded.key, encoded.node)
        for link in encoded.links:
            self._holders.setdefault(link.other, {})[uuid] = None
            if link.other in self.reach.seen:
                self.links.want(link.key, link.text)
