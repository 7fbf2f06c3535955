"""Records of sessions: that a flow began or ended, between whom, by which rule. Pure.

Each is a line of JSON of the agent's ``GET /flow-log``. A session's id is the same in all of its
records; the end says what both directions had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from skytrail.agent.label import Numbers
from skytrail.agent.outcome import Desired
from skytrail.agent.policy import Policy
from skytrail.agent.session_batch import SessionEvent, SessionKind
from skytrail.agent.session_names import SessionNames
from skytrail.agent.tables import IdentityId, PolicyId, RuleId

_NANOSECONDS = 1_000_000_000


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


class SessionBook:
    """Turns events into records, by the desired state of that moment."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._policies: Mapping[PolicyId, Policy] = {}
        self._logged: frozenset[str] = frozenset()

    def record(
        self,
        event: SessionEvent,
        identity: IdentityId,
        desired: Desired,
        logged_by: Sequence[str] = (),
        names: SessionNames | None = None,
    ) -> Mapping[str, object]:
        """Return the record of an event; ``identity`` is the session's far end, ``names`` has those of what is gone."""
        rules = rule_names(self._numbers, event.rule_id)
        known = SessionNames() if names is None else names
        state, peer = (known.port(vif, desired) for vif in (event.vif_id, event.peer_vif_id))
        port = state.port if state is not None else None
        far = known.far_end(identity, desired)
        record: dict[str, object] = {
            "kind": event.kind.name.lower(),
            "id": event.id,
            "time": _text(event.time_ns),
            "vmi_uuid": port.uuid if port else desired.vifs.get(event.vif_id, ""),
            "port": port.name if port else "",
            "virtual_network": port.network.name if port else "",
            "vrf": port.network.vrf if port else "",
            "tags": list(port.security.tags) if port else [],
            "peer_vmi_uuid": peer.port.uuid if peer else desired.vifs.get(event.peer_vif_id, ""),
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

    def asks(self, rule_id: RuleId, desired: Desired) -> bool:
        """Tell whether a rule that decided asks for a record."""
        logged = self._logged_rules(desired)
        return bool(logged) and not logged.isdisjoint(rule_names(self._numbers, rule_id))

    def _logged_rules(self, desired: Desired) -> frozenset[str]:
        """Return the rules with ``log``. O(rules) after policies changed."""
        if self._policies is not desired.policies:
            self._policies = desired.policies
            self._logged = frozenset(_logged(desired.policies))
        return self._logged


def rule_names(numbers: Numbers, rule_id: RuleId) -> list[str]:
    """Return the rules that made a decision together."""
    return [name for name in (numbers.rule.name(rule_id) or "").split(" & ") if name]


def _logged(policies: Mapping[PolicyId, Policy]) -> Iterator[str]:
    for policy in policies.values():
        for stage in policy.stages:
            yield from (rule.name for rule in stage.rules if "log" in rule.notes.split())


def _text(time_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // _NANOSECONDS, UTC)
    micros = time_ns % _NANOSECONDS // 1000
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{micros:06}Z"
