"""Identities: what policy knows about the far end of a packet, interned to small numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from skytrail.agent.label import NumberSpace
from skytrail.agent.tables import IdentityId

NO_IDENTITY = IdentityId(0)
PARTS_COUNT_MAX = 65536
"""Combinations of networks, groups and tags of which the identity is remembered."""


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
    """The identities in use; ``note`` is told the name of each that is asked for."""

    def __init__(
        self, numbers: NumberSpace, note: Callable[[str], None] = lambda _name: None
    ) -> None:
        self.changes = 0
        """Grows whenever :meth:`used` has changed."""
        self._numbers = numbers
        self._note = note
        self._used: dict[IdentityId, Identity] = {}
        self._by_value: dict[Identity, tuple[IdentityId, str]] = {}
        self._by_name: dict[str, Identity] = {}
        self._by_parts: dict[
            tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]], Identity
        ] = {}
        """As routes tell them, many the same."""

    def intern(self, identity: Identity) -> IdentityId:
        """Return the number of ``identity``; the empty one is 0."""
        known = self._by_value.get(identity)
        if known is None:
            if not (identity.networks or identity.groups or identity.tags):
                return NO_IDENTITY
            name = identity.text
            known = IdentityId(self._numbers.number(name)), name
            self._by_value[identity] = known
            self._by_name[name] = identity
            self._used[known[0]] = identity
            self.changes += 1
        self._note(known[1])
        return known[0]

    def release(self, name: str) -> None:
        """Nobody uses this identity any more."""
        number, _ = self._by_value.pop(self._by_name.pop(name))
        del self._used[number]
        self._numbers.retire(name)
        self.changes += 1

    def used(self) -> Mapping[IdentityId, Identity]:
        return self._used

    def of(self, networks: Iterable[str], groups: Iterable[int], tags: Iterable[int]) -> IdentityId:
        """Shorthand for :meth:`intern`."""
        parts = tuple(networks), tuple(groups), tuple(tags)
        identity = self._by_parts.get(parts)
        if identity is None:
            if len(self._by_parts) >= PARTS_COUNT_MAX:
                self._by_parts.clear()
            identity = Identity(frozenset(parts[0]), frozenset(parts[1]), frozenset(parts[2]))
            self._by_parts[parts] = identity
        return self.intern(identity)
