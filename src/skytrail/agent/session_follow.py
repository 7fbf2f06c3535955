"""What a session's end does not tell, kept from its beginning: its far end, who logs it, names of what is gone by then. Pure.

```
 beginning: identity of the far end --------> table by place of the flow (pair) --> the end's identity
            logging objects: 1 of every rate ------------^                      --> who logs the end
```
A place is used again by later flows: an end whose flow is not the one that is known there (``created_ns``) has no
beginning, as if nobody had seen it. Batches cost a few array operations, however many records they have; one by one are
looked at only those that logging objects log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from skytrail.agent.interface import ActivePort
from skytrail.agent.label import Numbers
from skytrail.agent.logging_objects import LoggingObjects, Turn
from skytrail.agent.outcome import Desired
from skytrail.agent.session_batch import Array, SessionBatch, SessionKind
from skytrail.agent.session_far_ends import LateFarEnds
from skytrail.agent.session_log import rule_names
from skytrail.agent.session_names import SessionNames
from skytrail.agent.tables import RuleId, VifId
from skytrail.net.latest import Latest
from skytrail.wire.xmpp import ConfigKey

LOGGED_COUNT_MAX: Final = 65_536
"""Open sessions of which is known who logs them; the oldest are forgotten."""
PLACES_COUNT_MAX: Final = 1 << 26
"""Beyond what any flow table has."""


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """Of each record of a batch."""

    identities: Array
    """Of far ends; 0 is unknown."""
    logged_by: Mapping[int, tuple[str, ...]]
    """Names of the logging objects that log a session, by the record's place in the batch."""
    names: SessionNames = field(default_factory=SessionNames)


class SessionFollower:
    """Sees every batch, in order."""

    def __init__(self, numbers: Numbers, objects: LoggingObjects) -> None:
        self._numbers = numbers
        self._objects = objects
        self._created = np.zeros(0, np.uint64)
        self._identity = np.zeros(0, np.uint32)
        self._logged: Latest[tuple[int, int], tuple[str, ...]] = Latest(LOGGED_COUNT_MAX)
        """By pair and ``created_ns``."""
        self._names = SessionNames()
        self._late = LateFarEnds()

    def look(self, desired: Desired) -> None:
        """Learn from ports and routes that came since the last batch; costs little when none did."""
        self._names.look(desired)
        self._late.look(self._names, desired)

    def follow(self, batch: SessionBatch, desired: Desired) -> Followed:
        """Return what is known of a batch's sessions."""
        records = batch.records
        self._grow(records)
        is_begin = records["kind"] == SessionKind.BEGIN
        begins = _beginnings_before(records, is_begin)
        identities = np.where(is_begin, records["identity"], 0)
        # A place has one session at a time: what has begun there since ends what was known of it.
        is_replaced = begins >= 0
        is_here = is_replaced & (records["created_ns"][begins] == records["created_ns"])
        pairs = np.minimum(records["pair"], len(self._created) - 1)
        is_known = ~is_begin & ~is_replaced & (self._created[pairs] == records["created_ns"])
        identities[is_known] = self._identity[pairs[is_known]]
        counted = np.flatnonzero(~is_here & ~is_known)
        logged_by = self._logged_by(records, counted, is_begin, desired)
        self._find_late(records, identities, is_known, is_begin, desired)
        identities[is_here] = identities[begins[is_here]]
        self._remember(records, identities, is_begin)
        self._names.note(records, identities, desired)
        return Followed(identities, logged_by, self._names)

    def _find_late(
        self, records: Array, identities: Array, is_known: Array, is_begin: Array, desired: Desired
    ) -> None:  # fmt: skip
        """Fill in far ends that were not known when their sessions began; of earlier batches first."""
        ended, begun = (np.flatnonzero(each & (identities == 0)) for each in (is_known, is_begin))
        identities[ended] = self._late.end(records[ended])
        identities[begun] = self._late.begin(records[begun], self._names, desired)

    def _grow(self, records: Array) -> None:
        wanted = min(int(records["pair"].max(initial=0)) + 1, PLACES_COUNT_MAX)
        if wanted > len(self._created):
            more = (1 << (wanted - 1).bit_length()) - len(self._created)
            self._created = np.concatenate((self._created, np.zeros(more, np.uint64)))
            self._identity = np.concatenate((self._identity, np.zeros(more, np.uint32)))

    def _remember(self, records: Array, identities: Array, is_begin: Array) -> None:
        begun = np.flatnonzero(is_begin)
        # The last of each place: which of several an assignment leaves is not said.
        places, last = np.unique(records["pair"][begun][::-1], return_index=True)
        newest = begun[::-1][last[places < PLACES_COUNT_MAX]]
        pairs = records["pair"][newest]
        self._created[pairs] = records["created_ns"][newest]
        self._identity[pairs] = identities[newest]

    def _logged_by(
        self, records: Array, counted: Array, is_begin: Array, desired: Desired
    ) -> Mapping[int, tuple[str, ...]]:
        if not self._logged and not self._objects.are_any:
            return {}
        found = self._choose(records, counted, desired) if self._objects.are_any else {}
        names = {place: tuple(sorted(each)) for place, each in found.items()}
        keys = records["pair"].tolist(), records["created_ns"].tolist()
        for place in sorted(names):
            if is_begin[place]:
                self._logged.put((keys[0][place], keys[1][place]), names[place])
        for place in np.flatnonzero(~is_begin).tolist():
            known = self._logged.pop((keys[0][place], keys[1][place]), None)
            if known is not None:
                names[place] = known
        return names

    def _choose(
        self, records: Array, counted: Array, desired: Desired
    ) -> Mapping[int, set[str]]:  # fmt: skip
        """Return who logs which of the counted records: each object one of every ``rate``."""
        some = records[counted]
        kinds = (
            some["rule"].astype(np.uint64) << np.uint64(32)
            | some["vif"].astype(np.uint64) << np.uint64(16)
            | some["peer_vif"]
        )
        different, which = np.unique(kinds, return_inverse=True)
        turns: defaultdict[Turn, list[Array]] = defaultdict(list)
        for number, kind in enumerate(different.tolist()):
            for turn in self._turns(kind, desired):
                turns[turn].append(counted[which == number])
        found: defaultdict[int, set[str]] = defaultdict(set)
        for turn, places in turns.items():
            in_order = np.sort(np.concatenate(places))
            for place in in_order[list(self._objects.count(turn, len(in_order)))].tolist():
                found[place].add(turn.name)
        return found

    def _turns(self, kind: int, desired: Desired) -> list[Turn]:
        rules = [
            name.rpartition("#")[2] for name in rule_names(self._numbers, RuleId(kind >> 32))
        ]  # fmt: skip
        if not self._objects.name_any(rules):
            return []
        ends: list[ConfigKey] = []
        for vif in (kind >> 16 & 0xFFFF, kind & 0xFFFF):
            state = desired.ports.get(desired.vifs.get(VifId(vif), ""))
            if isinstance(state, ActivePort):
                ends.append(ConfigKey("virtual-machine-interface", state.port.name))
                ends.append(ConfigKey("virtual-network", state.port.network.name))
        return self._objects.turns(rules, ends)


def _beginnings_before(records: Array, is_begin: Array) -> Array:
    """Return for each end which session began last at its place before it in the batch, else -1."""
    order = np.argsort(records["pair"], kind="stable")
    places = np.where(is_begin[order], np.arange(len(order)), -1)
    latest = np.maximum.accumulate(places)
    begins = np.full(len(order), -1, np.int64)
    begins[order] = np.where(latest >= 0, order[latest], -1)
    is_same = ~is_begin & (begins >= 0) & (records["pair"][begins] == records["pair"])
    return np.where(is_same, begins, -1)
