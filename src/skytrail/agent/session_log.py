"""Records of sessions: that a flow began or ended, between whom, by which rule. Pure.

Each is a line of JSON of the agent's ``GET /flow-log``. A session's id is the same in all of its
records; the end says what both directions had.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address

from skytrail.agent.interface import ActivePort
from skytrail.agent.label import Numbers
from skytrail.agent.logging_objects import LoggingObjects
from skytrail.agent.outcome import Desired
from skytrail.agent.policy import Policy
from skytrail.agent.tables import IdentityId, IpNetwork, NextHopId, PolicyId, RuleId, VifId
from skytrail.wire.xmpp import ConfigKey

KNOWN_COUNT_MAX = 65_536
"""Open sessions of which the far end is remembered for their last record."""
_NANOSECONDS = 1_000_000_000


class SessionKind(enum.IntEnum):
    """Numbered as in ``bpf/include/abi_watch.h``."""

    BEGIN = 1
    END = 2


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """What the datapath tells of a flow."""

    kind: SessionKind
    time_ns: int
    """Since 1970."""
    created_ns: int
    pair: int
    vif_id: VifId
    peer_vif_id: VifId
    """Where the other end is plugged, if it is on this host as well; else 0."""
    is_opened_here: bool
    """The port sent the first packet."""
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    source_port: int
    destination_port: int
    protocol: int
    rule_id: RuleId
    identity: IdentityId
    """Of the far end; known at the beginning."""
    nexthop_id: NextHopId
    drop_reason: str
    """Empty: the flow is allowed."""
    packets: tuple[int, int]
    """Of the direction that began, and of its answers; at the end."""
    bytes: tuple[int, int]
    folded: tuple[IpNetwork, IpNetwork] | None = None
    """Source and destination of a flow that is one for many addresses, whose own are the prefixes'."""

    @property
    def id(self) -> str:
        return f"{self.vif_id}-{self.pair}-{self.created_ns}"


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions a reader wants; unset means all."""

    vmi_uuid: str = ""
    is_logged: bool = False
    """Only those whose rule, or a logging object, asks for a record."""

    def wants(self, record: Mapping[str, object]) -> bool:
        if self.vmi_uuid and self.vmi_uuid not in {record["vmi_uuid"], record["peer_vmi_uuid"]}:
            return False
        return bool(record["logged"]) or not self.is_logged


class LoggedSessions:
    """Which logging objects log a session: counted when it begins, the same when it ends."""

    def __init__(self, numbers: Numbers, objects: LoggingObjects) -> None:
        self._numbers = numbers
        self._objects = objects
        self._open: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def by(self, event: SessionEvent, desired: Desired) -> tuple[str, ...]:
        """Return the objects' names. A session whose beginning nobody saw is counted at its end."""
        if event.kind is SessionKind.END and event.id in self._open:
            return self._open.pop(event.id)
        if not self._objects.are_any:
            return ()
        ends: list[ConfigKey] = []
        for vif_id in (event.vif_id, event.peer_vif_id):
            state = desired.ports.get(desired.vifs.get(vif_id, ""))
            if isinstance(state, ActivePort):
                ends.append(ConfigKey("virtual-machine-interface", state.port.name))
                ends.append(ConfigKey("virtual-network", state.port.network.name))
        rules = [name.rpartition("#")[2] for name in _rule_names(self._numbers, event.rule_id)]
        found = self._objects.choose(rules, ends)
        if event.kind is SessionKind.BEGIN:
            self._open[event.id] = found
            if len(self._open) > KNOWN_COUNT_MAX:
                self._open.popitem(last=False)
        return found


class SessionBook:
    """Turns events into records, by the desired state of that moment."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._far: OrderedDict[str, IdentityId] = OrderedDict()
        self._policies: Mapping[PolicyId, Policy] = {}
        self._logged: frozenset[str] = frozenset()

    def record(
        self, event: SessionEvent, desired: Desired, logged_by: Sequence[str] = ()
    ) -> Mapping[str, object]:
        """Return the record of an event; those of a session in order, or its far end is unknown."""
        rules = _rule_names(self._numbers, event.rule_id)
        uuid = desired.vifs.get(event.vif_id, "")
        state = desired.ports.get(uuid)
        port = state.port if isinstance(state, ActivePort) else None
        far = desired.identities.get(self._far_end(event))
        record: dict[str, object] = {
            "kind": event.kind.name.lower(),
            "id": event.id,
            "time": _text(event.time_ns),
            "vmi_uuid": uuid,
            "port": port.name if port else "",
            "virtual_network": port.network.name if port else "",
            "vrf": port.network.vrf if port else "",
            "tags": list(port.security.tags) if port else [],
            "peer_vmi_uuid": desired.vifs.get(event.peer_vif_id, ""),
            "peer_networks": sorted(far.networks) if far else [],
            "peer_tags": sorted(far.tags) if far else [],
            "peer_nexthop": self._numbers.nexthop.name(event.nexthop_id) or "",
            "opened_by_port": event.is_opened_here,
            "source": str(event.folded[0] if event.folded else event.source),
            "source_port": event.source_port,
            "destination": str(event.folded[1] if event.folded else event.destination),
            "destination_port": event.destination_port,
            "protocol": event.protocol,
            "allowed": not event.drop_reason,
            "drop_reason": event.drop_reason,
            "rules": rules,
            "rule_uuids": [name.rpartition("#")[2] for name in rules],
            "logged": bool(logged_by) or not self._logged_rules(desired).isdisjoint(rules),
            "logged_by": list(logged_by),
        }
        if event.kind is SessionKind.END:
            record |= {
                "forward_packets": event.packets[0],
                "reverse_packets": event.packets[1],
                "forward_bytes": event.bytes[0],
                "reverse_bytes": event.bytes[1],
            }
        return record

    def remember(self, event: SessionEvent) -> None:
        """Note a session's far end, which only its beginning knows."""
        self._far_end(event)

    def is_logged(self, event: SessionEvent, desired: Desired) -> bool:
        """Tell whether a rule that decided asks for a record."""
        logged = self._logged_rules(desired)
        return bool(logged) and not logged.isdisjoint(_rule_names(self._numbers, event.rule_id))

    def forget(self, event: SessionEvent) -> None:
        """Pass over a session's end."""
        self._far.pop(event.id, None)

    def _far_end(self, event: SessionEvent) -> IdentityId:
        if event.kind is SessionKind.END:
            return self._far.pop(event.id, IdentityId(0))
        self._far[event.id] = event.identity
        if len(self._far) > KNOWN_COUNT_MAX:
            self._far.popitem(last=False)
        return event.identity

    def _logged_rules(self, desired: Desired) -> frozenset[str]:
        """Return the rules with ``log``. O(rules) after policies changed."""
        if self._policies is not desired.policies:
            self._policies = desired.policies
            self._logged = frozenset(_logged(desired.policies))
        return self._logged


def _rule_names(numbers: Numbers, rule_id: RuleId) -> list[str]:
    return [name for name in (numbers.rule.name(rule_id) or "").split(" & ") if name]


def _logged(policies: Mapping[PolicyId, Policy]) -> Iterator[str]:
    for policy in policies.values():
        for stage in policy.stages:
            yield from (rule.name for rule in stage.rules if "log" in rule.notes.split())


def _text(time_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // _NANOSECONDS, UTC)
    micros = time_ns % _NANOSECONDS // 1000
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{micros:06}Z"
