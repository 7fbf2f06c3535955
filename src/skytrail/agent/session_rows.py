"""Sessions as columns for the analytics node: sampled where there are too many, weighted so that sums stay true. Pure.

```
 batch of records --> ends --> raw numbers decide (session_sample) --> those that may stay: names as of now --> kept
                                                                                 second over: weights, columns <--'
```
A session is told when it ends. One that a rule or a logging object has logged is always told; where it would not have been
kept otherwise, it counts for nothing in sums of what is sampled, and has only what is logged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final

import numpy as np

from skytrail.agent import abi
from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import number_of
from skytrail.agent.interface import ActivePort
from skytrail.agent.label import Numbers
from skytrail.agent.logging_objects import GLOBAL
from skytrail.agent.outcome import Desired
from skytrail.agent.policy import NO_RULE
from skytrail.agent.session_batch import (
    IPV4,
    Array,
    SessionBatch,
    SessionKind,
    drop_reason_name,
)
from skytrail.agent.session_follow import Followed
from skytrail.agent.session_log import SessionBook, rule_names
from skytrail.agent.session_names import SessionNames
from skytrail.agent.session_sample import Sample
from skytrail.agent.tables import IdentityId, NextHopId, RuleId, VifId
from skytrail.wire.telemetry import Sessions, Texts
from skytrail.wire.telemetry.sessions import NUMBERS, PLACE, TEXTS

ROWS_PER_S_DEFAULT: Final = 500
ROWS_PER_S_MAX: Final = 1_000_000
WAITING_COUNT_MAX: Final = 10_000
"""Sessions that wait to be told, or those of two seconds if these are more; the oldest go, and are counted."""
MESSAGE_COUNT_MAX: Final = 10_000
SIZE_BYTES_MIN: Final = 1 << 12
SIZE_BYTES_MAX: Final = 1 << 20
"""A session is as likely to be kept as it is large, within a factor of so much: sums of bytes are near to the truth, and small sessions, as those that are denied, are seen."""
_US: Final = 1_000
_FEW: Final = 1 << 16
"""Numbers below are counted in an array; a search among others takes twenty times as long."""
_NUMBERS: Final = {name: f"<{np.dtype(code).str[1:]}" for name, code in NUMBERS.items()}
_SAMPLED: Final = [
    ("forward_sampled_bytes", "bytes", 0),
    ("forward_sampled_pkts", "packets", 0),
    ("reverse_sampled_bytes", "bytes", 1),
    ("reverse_sampled_pkts", "packets", 1),
]
_ADDRESSES: Final = ("local_ip", "remote_ip")
_WORDS: Final = tuple(name for name in TEXTS if name not in _ADDRESSES)
_KEPT: Final = np.dtype(
    [
        *(("size", "f8"), ("priority", "f8"), ("is_forced", "?"), ("is_v4", "?")),
        *((name, "i4") for name in _WORDS),
        *((name, "V16") for name in _ADDRESSES),
        *(_NUMBERS.items()),
    ]
)
"""A session that may be told: texts are places among the words of its second."""

Words = dict[str, dict[str, int]]
"""Of each column of texts: word to place."""


def rate_of(graph: ConfigGraph, given: int | None) -> int:
    """Return how many sessions a second are told: as the host was ``given``, else as is configured for all hosts."""
    if given is not None:
        return given
    for node in graph.nodes(GLOBAL):
        rate = number_of(node.properties.get("flow_export_rate"))
        if rate is not None and rate >= 0:
            return min(rate, ROWS_PER_S_MAX)
    return ROWS_PER_S_DEFAULT


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    rows: Array
    words: Words


@dataclass(slots=True)
class SessionRows:
    """Keeps some of the sessions a datapath tells of."""

    book: SessionBook
    numbers: Numbers
    host_address: str
    sample: Sample
    _words: Words = field(default_factory=dict[str, dict[str, int]])
    _waiting: deque[_Waiting] = field(default_factory=deque[_Waiting])
    _overflow_count: int = 0

    @property
    def lost_count(self) -> int:
        return self._overflow_count + self.sample.lost_count

    def note(self, batch: SessionBatch, followed: Followed, desired: Desired, now: float) -> None:
        """Keep those that ended, or not."""
        self._turn(now)
        ends = np.flatnonzero(batch.records["kind"] == SessionKind.END)
        records = batch.records[ends]
        asks = _by_value(records["rule"], lambda rule: self.book.asks(RuleId(rule), desired))
        is_forced = asks.astype(bool)
        if followed.logged_by:
            is_forced |= np.isin(ends, list(followed.logged_by))
        size = np.clip(records["bytes"].sum(1), SIZE_BYTES_MIN, SIZE_BYTES_MAX)
        places, priorities = self.sample.offer(size, is_forced)
        rows = np.zeros(len(places), _KEPT)
        rows["size"], rows["priority"] = size[places], priorities
        rows["is_forced"] = is_forced[places]
        self._fill_numbers(rows, records[places], batch)
        names = _Names(followed.names, desired)
        self._fill_texts(rows, records[places], followed.identities[ends[places]], names)
        self.sample.add(rows)

    def take(self, now: float) -> Iterator[Sessions]:
        """Remove and yield what is to be told, as it is asked for: what is not asked for stays."""
        self._turn(now)
        self._close(now)
        while self._waiting:
            yield _message(self._waiting.popleft())

    def _turn(self, now: float) -> None:
        """Go on with the next second, when one is over."""
        if self.sample.is_over(now):
            self._close(now)
            self.sample.begin(now)
            self._words = {name: {} for name in _WORDS}

    def _close(self, now: float) -> None:
        """Have what is decided wait to be told."""
        taken = self.sample.take(now)
        if taken is None:
            return
        rows, rows["sample_weight"] = taken
        for name, *_ in _SAMPLED:
            rows[name.replace("sampled", "logged")] = np.where(rows["is_forced"], rows[name], 0)
            rows[name][rows["sample_weight"] == 0] = 0
        for first in range(0, len(rows), MESSAGE_COUNT_MAX):
            self._waiting.append(_Waiting(rows[first : first + MESSAGE_COUNT_MAX], self._words))
        most = max(WAITING_COUNT_MAX, 2 * self.sample.per_second)
        while len(self._waiting) > 1 and sum(len(each.rows) for each in self._waiting) > most:
            gone = self._waiting.popleft().rows["sample_weight"]
            self._overflow_count += max(len(gone), round(float(gone.sum())))

    def _fill_numbers(self, rows: Array, records: Array, batch: SessionBatch) -> None:
        rows["is_v4"] = records["family"] == IPV4
        ended_us = (records["time_ns"].astype(np.int64) - batch.ahead_ns) // _US
        rows["T"] = rows["teardown_time"] = ended_us
        rows["setup_time"] = (records["created_ns"].astype(np.int64) + batch.monotonic_ns) // _US
        rows["server_port"] = records["destination_port"]
        rows["client_port"] = records["source_port"]
        rows["protocol"] = records["protocol"]
        for name, counters, way in _SAMPLED:
            rows[name] = records[counters][:, way]

    def _fill_texts(
        self, rows: Array, records: Array, identities: Array, names: _Names
    ) -> None:  # fmt: skip
        is_opened_here = records["direction"] & abi.FlowDirection.FROM_UNDERLAY == 0
        near, far = (np.where(is_opened_here, *each) for each in _ends(records))
        rows["local_ip"], rows["remote_ip"] = near, far
        place = self._place
        rows["session_type"] = place(
            "session_type", is_opened_here, ("server", "client").__getitem__
        )
        rows["vrouter_ip"] = self._words["vrouter_ip"].setdefault(self.host_address, 0)
        for name, word_of in (("vmi", names.port), ("vn", names.network), ("tags", names.tags)):
            rows[name] = place(name, records["vif"], word_of)
        for name, word_of in (("remote_vn", names.far_network), ("remote_tags", names.far_tags)):
            rows[name] = place(name, identities, word_of)
        rows["security_policy_rule"] = place("security_policy_rule", records["rule"], self._rule)
        rows["other_vrouter_ip"] = place("other_vrouter_ip", records["nexthop"], self._tunnel)
        for name in ("forward_action", "reverse_action"):
            rows[name] = place(name, records["drop_reason"] != 0, ("pass", "deny").__getitem__)
        rows["drop_reason"] = place("drop_reason", records["drop_reason"], drop_reason_name)
        rows["remote_prefix"] = self._words["remote_prefix"].setdefault("", 0)

    def _place(self, name: str, values: Array, word_of: Callable[[int], str]) -> Array:
        words = self._words[name]
        return _by_value(values, lambda value: words.setdefault(word_of(value), len(words)))

    def _rule(self, rule: int) -> str:
        """Return the uuid of the last rule that was asked; the name of a stage where none allowed."""
        names = rule_names(self.numbers, RuleId(rule))
        stage, _, name = (names[-1] if names else "").rpartition("#")
        return stage if name == NO_RULE else name

    def _tunnel(self, nexthop: int) -> str:
        """Return the far host of a next hop's name, ``tunnel:MPLS_UDP:l3:192.0.2.2``."""
        name = self.numbers.nexthop.name(NextHopId(nexthop)) or ""
        return name.split(":", 3)[3] if name.startswith("tunnel:") else ""


def _message(waiting: _Waiting) -> Sessions:
    rows = waiting.rows
    texts = {name: _texts(rows[name], list(waiting.words[name])) for name in _WORDS}
    texts |= {name: _addresses(rows[name], rows["is_v4"]) for name in _ADDRESSES}
    return Sessions(
        count=len(rows),
        texts={name: each for name, each in texts.items() if each.words != [""]},
        numbers={name: rows[name].tobytes() for name in NUMBERS if name == "T" or rows[name].any()},
    )


@dataclass(frozen=True, slots=True)
class _Names:
    """What is told of ports and far ends, by number."""

    names: SessionNames
    desired: Desired

    def port(self, vif: int) -> str:
        state = self._state(vif)
        return state.port.name if state else ""

    def network(self, vif: int) -> str:
        state = self._state(vif)
        return state.port.network.name if state else ""

    def tags(self, vif: int) -> str:
        state = self._state(vif)
        return _tags(state.port.security.tags) if state else ""

    def far_network(self, identity: int) -> str:
        far = self.names.far_end(IdentityId(identity), self.desired)
        return min(far.networks, default="") if far else ""

    def _state(self, vif: int) -> ActivePort | None:
        return self.names.port(VifId(vif), self.desired)

    def far_tags(self, identity: int) -> str:
        far = self.names.far_end(IdentityId(identity), self.desired)
        return _tags(sorted(far.tags)) if far else ""


def _tags(tags: Sequence[int]) -> str:
    """Return tags as the analytics node reads them: a host does not know the names of others' tags."""
    return " ".join(f"0x{tag:08x}" for tag in tags)


def _ends(records: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return what is near and what is far: of a session that the port opened, and of another."""
    source, destination = records["source"], records["destination"]
    return (source, destination), (destination, source)


def _by_value(values: Array, of: Callable[[int], int]) -> Array:
    """Return ``of`` of each value; it is asked once for each different one."""
    numbers = values.astype(np.int64)
    if numbers.max(initial=0) >= _FEW:
        different, which = np.unique(numbers, return_inverse=True)
        return np.array([of(number) for number in different.tolist()])[which]
    different = np.flatnonzero(np.bincount(numbers))
    found = np.zeros(_FEW, np.int64)
    found[different] = [of(number) for number in different.tolist()]
    return found[numbers]


def _texts(places: Array, words: Sequence[str]) -> Texts:
    used = np.flatnonzero(np.bincount(places))
    new = np.zeros(int(used[-1]) + 1, f"<u{np.dtype(PLACE).itemsize}")
    new[used] = np.arange(len(used))
    return Texts([words[place] for place in used.tolist()], new[places].tobytes())


def _addresses(addresses: Array, is_v4: Array) -> Texts:
    known: dict[tuple[bytes, bool], int] = {}
    places = [
        known.setdefault(each, len(known))
        for each in zip(addresses.tolist(), is_v4.tolist(), strict=True)
    ]
    words = [
        f"{raw[0]}.{raw[1]}.{raw[2]}.{raw[3]}" if v4 else str(IPv6Address(raw)) for raw, v4 in known
    ]
    return Texts(words, np.array(places, f"<u{np.dtype(PLACE).itemsize}").tobytes())
