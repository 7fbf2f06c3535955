"""What an agent is told of its trees: each part once, in the form it has when the agent reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from skytrail.control.path import InstanceName
from skytrail.control.tree import TreeName
from skytrail.wire.xmpp import TreeBranch, TreeItems, TreeKey
from skytrail.wire.xmpp.codec import ITEMS_COUNT_MAX


@dataclass(slots=True)
class TreeOut:
    """Of one agent and session."""

    to_tell: dict[TreeName, None] = field(default_factory=dict[TreeName, None])
    """Trees its part of which may be another than it was told."""
    told: dict[TreeName, TreeBranch] = field(default_factory=dict[TreeName, TreeBranch])

    def clear(self) -> None:
        """The session is over: the next one begins with nothing told."""
        self.to_tell.clear()
        self.told.clear()

    def forget(self, instance: InstanceName) -> None:
        """The agent reads an instance no longer, and need not be told what that takes away."""
        for name in [name for name in self.told if name[0] == instance]:
            del self.told[name]

    def pull(self, branch_of: Callable[[TreeName], TreeBranch | None]) -> list[TreeItems]:
        """Return the next news, all of one instance; empty when there are none."""
        while self.to_tell:
            instance = next(iter(self.to_tell))[0]
            names = (name for name in self.to_tell if name[0] == instance)
            events = self._news(instance, list(islice(names, ITEMS_COUNT_MAX)), branch_of)
            if events:
                return events
        return []

    def _news(
        self,
        instance: InstanceName,
        names: list[TreeName],
        branch_of: Callable[[TreeName], TreeBranch | None],
    ) -> list[TreeItems]:
        branches: list[TreeBranch] = []
        retracts: list[TreeKey] = []
        for name in names:
            del self.to_tell[name]
            before, branch = self.told.pop(name, None), branch_of(name)
            if branch is not None:
                self.told[name] = branch
                if branch != before:
                    branches.append(branch)
            elif before is not None:
                retracts.append(name[1])
        events = (TreeItems(instance, tuple(branches)), TreeItems(instance, (), tuple(retracts)))
        return [event for event in events if event.branches or event.retracts]
