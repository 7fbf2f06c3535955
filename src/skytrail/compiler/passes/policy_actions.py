"""What a policy rule does with the traffic it matches, as far as it can be compiled.

A feature that decides where traffic may go and cannot be provided makes the rule deny; one that only
adds something (a copy, a marking) is left out. Either is reported (docs/adr/0053).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from skytrail.compiler.derived import FqName
from skytrail.compiler.engine import View
from skytrail.compiler.passes import mirroring, naming
from skytrail.compiler.passes.mirroring import NoAnalyzer, filled
from skytrail.compiler.passes.naming import may_mark, may_name, may_use_instance
from skytrail.model.generated.objects import NetworkPolicy, ServiceInstance
from skytrail.model.generated.types import ActionListType, MirrorActionType, PolicyRuleType

Report = Callable[[str, PolicyRuleType, str], None]
"""(reason, rule, detail)"""

SERVICES_COUNT_MAX: Final = 16
"""Services that one rule may put in a row."""

KINDS: Final = naming.INSTANCE_KINDS | naming.KINDS | mirroring.KINDS


@dataclass(frozen=True, slots=True)
class RuleAction:
    """The action of each entry; with ``services`` traffic may pass only through all of them."""

    entry: ActionListType
    services: tuple[str, ...] = ()
    retain_as_path: bool = False

    @property
    def passes(self) -> bool:
        return self.entry.simple_action == "pass"


def rule_action(
    view: View, rule: PolicyRuleType, report: Report, *, policy: NetworkPolicy, timed: bool
) -> RuleAction:
    """Read the actions of a policy's rule; ``timed``: the policy is in force at times only."""
    action = rule.action_list
    if action is None:
        return RuleAction(ActionListType(simple_action="deny"))
    denied = ActionListType(simple_action="deny", log=action.log, alert=action.alert)
    # A service rule may leave simple_action out.
    wanted = action.simple_action or ("pass" if action.apply_service else "deny")
    if wanted != "pass":
        return RuleAction(denied)
    holder = _Holder(view, policy)
    if _is_closed(holder, rule, action, report, timed=timed):
        return RuleAction(denied)
    entry = ActionListType(
        simple_action="pass",
        log=action.log,
        alert=action.alert,
        assign_routing_instance=action.assign_routing_instance or None,
        qos_action=_qos(view, rule, policy, report),
        mirror_to=_mirror(view, rule, policy, report),
    )
    properties = action.service_properties
    return RuleAction(
        entry,
        action.apply_service,
        retain_as_path=properties is not None and bool(properties.retain_as_path),
    )


@dataclass(frozen=True, slots=True)
class _Holder:
    """The policy, and what it may name in text."""

    view: View
    policy: NetworkPolicy

    def may_use_instance(self, name: str) -> bool:
        return may_use_instance(self.view, self.policy, name)

    def may_lead_through(self, name: str) -> bool:
        """Tell whether a service is the policy's to name; one that is missing stops its chain."""
        found = self.view.by_name(ServiceInstance, _parts(name))
        return found is None or may_name(self.view, self.policy, found)


def _is_closed(
    holder: _Holder, rule: PolicyRuleType, action: ActionListType, report: Report, *, timed: bool
) -> bool:
    """Report what this rule asks for and cannot have."""
    missing = {
        "gateway_name": bool(action.gateway_name),
        "host_based_service": bool(action.host_based_service),
        "application": bool(rule.application),
        "timer": timed,
    }
    found = [name for name, used in missing.items() if used]
    for feature in found:
        report(
            f"{feature}_not_supported",
            rule,
            f"{feature} is not supported: the rule denies; remove it to let traffic pass",
        )
    if len(action.apply_service) > SERVICES_COUNT_MAX:
        found.append("apply_service")
        report(
            "too_many_services",
            rule,
            f"{len(action.apply_service)} services in a row, {SERVICES_COUNT_MAX} at most:"
            " the rule denies",
        )
    if len(set(action.apply_service)) < len(action.apply_service):
        found.append("apply_service")
        report(
            "repeated_service",
            rule,
            "a service stands twice in one chain: the rule denies; use another instance of it",
        )
    assigned = action.assign_routing_instance
    if assigned and action.apply_service:
        found.append("assign_routing_instance")
        report(
            "contradicting_actions",
            rule,
            "apply_service and assign_routing_instance exclude each other: the rule denies",
        )
    elif assigned and not holder.may_use_instance(assigned):
        found.append("assign_routing_instance")
        report(
            "unknown_routing_instance",
            rule,
            f"routing instance {assigned} does not exist or its network is not shared with this"
            " project: the rule denies",
        )
    foreign = [name for name in action.apply_service if not holder.may_lead_through(name)]
    if foreign:
        found.append("apply_service")
        report(
            "unknown_service",
            rule,
            f"service-instance {foreign[0]} does not exist or is not shared with this project: the"
            " rule denies",
        )
    return bool(found)


def _qos(view: View, rule: PolicyRuleType, policy: NetworkPolicy, report: Report) -> str | None:
    name = rule.action_list.qos_action if rule.action_list is not None else None
    if not name:
        return None
    if not may_mark(view, policy, name):
        report(
            "unknown_qos_config",
            rule,
            f"qos-config {name} does not exist or is not shared with this project: traffic passes"
            " unmarked",
        )
        return None
    return name


def _mirror(
    view: View, rule: PolicyRuleType, policy: NetworkPolicy, report: Report
) -> MirrorActionType | None:
    wanted = rule.action_list.mirror_to if rule.action_list is not None else None
    if wanted is None:
        return None
    try:
        return filled(view, wanted, policy)
    except NoAnalyzer as gap:
        report("no_analyzer", rule, f"{gap}: traffic passes without a copy")
        return None


def _parts(name: str) -> FqName:
    return tuple(name.split(":"))
