"""Our parts of overlay trees as control nodes tell them: one answer for each tree.

Control nodes tell the same, but not at the same moment. One of them is believed at a time, so that
the host has one parent in a tree whatever happens (ADR 0152): a live one before one whose session
is gone, then the first by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from skytrail.wire.xmpp import TreeBranch, TreeItems, TreeKey

TreeName: TypeAlias = tuple[str, TreeKey]


@dataclass(frozen=True, slots=True)
class _Offer:
    branch: TreeBranch
    is_stale: bool = False


class LearntBranches:
    """What each control node told. ``version`` grows with every change."""

    def __init__(self) -> None:
        self.version = 0
        self._offers: dict[TreeName, dict[str, _Offer]] = {}
        self._changed_at: dict[str, int] = {}

    def apply(self, source: str, event: TreeItems) -> None:
        """Take over an event of a control node."""
        for branch in event.branches:
            offers = self._offers.setdefault((event.instance, branch.key), {})
            offers[source] = _Offer(branch)
        for key in event.retracts:
            self._drop((event.instance, key), source)
        self._note(event.instance)

    def mark_stale(self, source: str) -> None:
        """The control node will say it all again, or its session is gone."""
        for name, offers in self._offers.items():
            if source in offers:
                offers[source] = _Offer(offers[source].branch, is_stale=True)
                self._note(name[0])

    def sweep_stale(self) -> None:
        """Forget what was not said again."""
        stale = [
            (name, source)
            for name, offers in self._offers.items()
            for source, offer in offers.items()
            if offer.is_stale
        ]
        for name, source in stale:
            self._drop(name, source)
            self._note(name[0])

    def forget_instance(self, instance: str) -> None:
        """Drop what is known of an instance that is not subscribed to any more."""
        for name in [name for name in self._offers if name[0] == instance]:
            del self._offers[name]
        self._note(instance)

    def instances(self) -> set[str]:
        return {instance for instance, _ in self._offers}

    def best(self, instance: str, key: TreeKey) -> TreeBranch | None:
        """Return this host's part of a tree; None: it has none."""
        offers = self._offers.get((instance, key), {})
        sources = sorted(offers, key=lambda source: (offers[source].is_stale, source))
        return offers[sources[0]].branch if sources else None

    def changes_since(self, version: int) -> list[str]:
        """Return the instances whose trees changed since then."""
        if version == self.version:
            return []
        return [instance for instance, at in self._changed_at.items() if at > version]

    def _drop(self, name: TreeName, source: str) -> None:
        offers = self._offers.get(name, {})
        offers.pop(source, None)
        if not offers:
            self._offers.pop(name, None)

    def _note(self, instance: str) -> None:
        self.version += 1
        self._changed_at[instance] = self.version
