"""Identities: what policy knows about the far end of a packet, interned to small numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skytrail.agent.label import NumberSpace
from skytrail.agent.tables import IdentityId

NO_IDENTITY = IdentityId(0)


@dataclass(frozen=True, slots=True)
class Identity:
    """Networks by fully qualified name, security groups and tags by number."""

    networks: frozenset[str] = frozenset()
    groups: frozenset[int] = frozenset()
    tags: frozenset[int] = frozenset()

    @property
    def text(self) -> str:
        """Canonical: equal identities, and only they, have equal texts, whatever names hold."""
        return repr((sorted(self.networks), sorted(self.groups), sorted(self.tags)))


class IdentityTable:
    """The identities one recompute uses."""

    def __init__(self, numbers: NumberSpace) -> None:
        self._numbers = numbers
        self._used: dict[IdentityId, Identity] = {}
        self._by_value: dict[Identity, IdentityId] = {}

    def intern(self, identity: Identity) -> IdentityId:
        """Return the number of ``identity``; the empty one is 0."""
        number = self._by_value.get(identity)
        if number is None:
            if not (identity.networks or identity.groups or identity.tags):
                return NO_IDENTITY
            number = IdentityId(self._numbers.number(identity.text))
            self._by_value[identity] = number
            self._used[number] = identity
        return number

    def used(self) -> Mapping[IdentityId, Identity]:
        return self._used

    def of(self, networks: Iterable[str], groups: Iterable[int], tags: Iterable[int]) -> IdentityId:
        """Shorthand for :meth:`intern`."""
        return self.intern(Identity(frozenset(networks), frozenset(groups), frozenset(tags)))
