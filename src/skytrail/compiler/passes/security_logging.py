"""Security logging objects: the rules of each policy and group they refer to, with their rate.

Whoever logs needs rule uuids; users refer to whole policies and security groups. The references'
attributes are therefore owned here. Single rules that a user picks stay in the object's own list.
"""

from __future__ import annotations

from typing import Final

from skytrail.compiler.derived import Derived, DerivedKey, Link, Outcome
from skytrail.compiler.engine import UnitPass, View
from skytrail.model.generated.objects import NetworkPolicy, SecurityGroup, SecurityLoggingObject
from skytrail.model.generated.types import (
    PolicyEntriesType,
    SecurityLoggingObjectRuleEntryType,
    SecurityLoggingObjectRuleListType,
)

LOGGING: Final = SecurityLoggingObject.type_name
RATE_DEFAULT: Final = 100
"""One of so many flows is logged, as the model says."""


def logged_rules(view: View, uuid: str) -> Outcome:
    """Derive the rule lists of one object's references."""
    item = view.get(SecurityLoggingObject, uuid)
    if item is None or not (item.network_policy_refs or item.security_group_refs):
        return Outcome()
    rate = item.security_logging_object_rate
    rate = RATE_DEFAULT if rate is None else rate
    policies: list[Link] = []
    for reference in item.network_policy_refs:
        policy = view.get(NetworkPolicy, reference.uuid)
        entries = None if policy is None else policy.network_policy_entries
        policies.append(Link(reference.to, _rule_list(entries, rate)))
    groups: list[Link] = []
    for reference in item.security_group_refs:
        group = view.get(SecurityGroup, reference.uuid)
        entries = None if group is None else group.security_group_entries
        groups.append(Link(reference.to, _rule_list(entries, rate)))
    filled = Derived(
        DerivedKey(LOGGING, item.fq_name),
        links={"network_policy_refs": tuple(policies), "security_group_refs": tuple(groups)},
        update_only=True,
    )
    return Outcome(derived=(filled,))


def _rule_list(entries: PolicyEntriesType | None, rate: int) -> SecurityLoggingObjectRuleListType:
    rules = () if entries is None else entries.policy_rule
    return SecurityLoggingObjectRuleListType(
        rule=tuple(
            SecurityLoggingObjectRuleEntryType(rule_uuid=rule.rule_uuid, rate=rate)
            for rule in rules
            if rule.rule_uuid
        )
    )


PASSES: Final = (
    UnitPass(
        "logged_rules",
        LOGGING,
        frozenset({LOGGING, NetworkPolicy.type_name, SecurityGroup.type_name}),
        logged_rules,
    ),
)
