"""Sessions as rows for the analytics node: sampled where there are too many, weighted so that sums stay true. Pure.

A session that is kept with probability p counts for 1/p (Horvitz and Thompson): totals are unbiased, whatever the rate. A
session is a row when it ends. One that a rule or a logging object has logged is always a row; where it would not have been
kept otherwise, it counts for nothing in these totals and has only what is logged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from skytrail.agent.outcome import Desired
from skytrail.agent.policy import NO_RULE
from skytrail.agent.session_log import SessionBook, SessionEvent, SessionKind

ROWS_PER_S_DEFAULT = 500
ROWS_COUNT_MAX = 10_000
"""That wait to be told; the oldest go, and are counted."""
_US = 1_000

Row = dict[str, object]


class SessionRows:
    """Keeps some of the sessions a datapath tells of. ``draw`` returns numbers from 0 up to 1."""

    def __init__(
        self,
        book: SessionBook,
        host: str,
        address: str,
        draw: Callable[[], float],
        *,
        rows_per_s: int = ROWS_PER_S_DEFAULT,
    ) -> None:
        self._book = book
        self._host = host
        self._address = address
        self._draw = draw
        self._rows_per_s = rows_per_s
        self._rows: deque[Row] = deque(maxlen=ROWS_COUNT_MAX)
        self._second = 0
        self._seen = 0
        self.probability = 1.0
        """With which a session is kept now."""
        self.lost_count = 0

    def note(
        self, event: SessionEvent, desired: Desired, logged_by: Sequence[str] = ()
    ) -> None:  # fmt: skip
        """Keep an event, or not."""
        self._adapt(event.time_ns // 1_000_000_000)
        if event.kind is SessionKind.BEGIN:
            self._book.remember(event)
            return
        self._seen += 1
        is_kept = self.probability >= 1.0 or self._draw() < self.probability
        if not (is_kept or logged_by or self._book.is_logged(event, desired)):
            self._book.forget(event)
            return
        if len(self._rows) == ROWS_COUNT_MAX:
            self.lost_count += 1
        record = self._book.record(event, desired, logged_by)
        self._rows.append(self._row(event, record, 1.0 / self.probability if is_kept else 0.0))

    def take(self) -> list[Row]:
        """Remove and return the rows that are kept."""
        taken = list(self._rows)
        self._rows.clear()
        return taken

    def _adapt(self, second: int) -> None:
        """Set the probability by how many came in the second before."""
        if second <= self._second:
            return
        self.probability = min(1.0, self._rows_per_s / self._seen) if self._seen else 1.0
        self._second, self._seen = second, 0

    def _row(self, event: SessionEvent, record: Mapping[str, object], weight: float) -> Row:
        near, far = event.source, event.destination
        if not event.is_opened_here:
            near, far = far, near
        networks = record["peer_networks"]
        counted = {
            "forward_sampled_bytes": event.bytes[0],
            "forward_sampled_pkts": event.packets[0],
            "reverse_sampled_bytes": event.bytes[1],
            "reverse_sampled_pkts": event.packets[1],
        }
        logged = {name.replace("sampled", "logged"): count for name, count in counted.items()}
        if not weight:
            counted = dict.fromkeys(counted, 0)
        action = "pass" if not event.drop_reason else "deny"
        return {
            "T": event.time_ns // _US,
            "session_type": "client" if event.is_opened_here else "server",
            "vrouter": self._host,
            "vrouter_ip": self._address,
            "vmi": record["port"],
            "vn": record["virtual_network"],
            "remote_vn": networks[0] if isinstance(networks, list) and networks else "",
            "tags": _numbers(record["tags"]),
            "remote_tags": _numbers(record["peer_tags"]),
            "security_policy_rule": _decider(cast("list[str]", record["rules"])),
            "local_ip": str(near),
            "remote_ip": str(far),
            "server_port": event.destination_port,
            "client_port": event.source_port,
            "protocol": event.protocol,
            "other_vrouter_ip": _tunnel(str(record["peer_nexthop"])),
            "forward_action": action,
            "reverse_action": action,
            "drop_reason": event.drop_reason,
            "sample_weight": weight,
            **counted,
            **(logged if record["logged"] else {}),
            "setup_time": event.created_ns // _US,
            "teardown_time": event.time_ns // _US,
        }


def _decider(rules: Sequence[str]) -> str:
    """Return the uuid of the last rule that was asked; the name of a stage where none allowed."""
    stage, _, rule = (rules[-1] if rules else "").rpartition("#")
    return stage if rule == NO_RULE else rule


def _numbers(tags: object) -> str:
    """Return tags as the analytics node reads them: a host does not know the names of others' tags."""
    return " ".join(f"0x{tag:08x}" for tag in cast("list[int]", tags))


def _tunnel(nexthop: str) -> str:
    """Return the far host of a next hop's name, ``tunnel:MPLS_UDP:l3:192.0.2.2``."""
    return nexthop.split(":", 3)[3] if nexthop.startswith("tunnel:") else ""
