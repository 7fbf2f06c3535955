"""Application policy sets: their rules in order, and which sets hold for which port.

```
 global-vrouter-config <-- sets of everybody         1
 project --------------->  sets of the project       2
 application tag <-------- sets of the application   3   global ones first, then by name
        | policy_set    policies by sequence, then rules by sequence; drafts left out
        +--> port_policy_sets   per port, in the order above; the first rule that matches decides
```
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from skytrail.compiler.derived import FqName, Outcome
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes.firewall_rules import CompiledRule, is_draft
from skytrail.compiler.passes.tags import APPLICATION, PORT, PortTags
from skytrail.model.generated.objects import (
    ApplicationPolicySet,
    FirewallPolicy,
    FirewallRule,
    GlobalVrouterConfig,
    Project,
    VirtualMachineInterface,
)
from skytrail.model.generated.types import FirewallSequence
from skytrail.model.objects import Reference

SET: Final = ApplicationPolicySet.type_name
VROUTER_CONFIG_NAME: Final = ("default-global-system-config", "default-global-vrouter-config")


@dataclass(frozen=True, slots=True)
class PolicySet:
    name: str
    rules: tuple[CompiledRule, ...]
    is_empty: bool = False
    """It restricts nobody: it has not even rules that cannot be read."""


@dataclass(frozen=True, slots=True)
class PortPolicySets:
    """The sets one port obeys, in order of evaluation; only sets that have rules."""

    port: str
    """full name"""
    tags: tuple[str, ...]
    sets: tuple[str, ...]


def policy_set(view: View, uuid: str) -> Outcome:
    """Collect the rules of one set in order of evaluation."""
    item = view.get(ApplicationPolicySet, uuid)
    if item is None or is_draft(item):
        return Outcome()
    rules: dict[str, CompiledRule] = {}
    is_empty = True
    for reference in _in_order(item.firewall_policy_refs):
        policy = view.get(FirewallPolicy, reference.uuid)
        if policy is None or is_draft(policy):
            continue
        for entry in _in_order(policy.firewall_rule_refs):
            stored = view.get(FirewallRule, entry.uuid)
            is_empty &= stored is None or is_draft(stored)
            rule = view.row("firewall_rule", entry.uuid, CompiledRule)
            if rule is not None:
                rules.setdefault(rule.uuid, rule)
    return Outcome(PolicySet(":".join(item.fq_name), tuple(rules.values()), is_empty))


def port_policy_sets(view: View, uuid: str) -> Outcome:
    """List the sets that hold for one port."""
    port = view.get(VirtualMachineInterface, uuid)
    found = view.row("port_tags", uuid, PortTags)
    if port is None or found is None:
        return Outcome()
    names: dict[str, None] = {}
    for item in _sets(view, found):
        known = view.row("policy_set", item.uuid, PolicySet)
        if known is not None and not known.is_empty:
            names.setdefault(known.name)
    if not names and not found.tags:
        return Outcome()
    tags = tuple(tag.name for tag in found.tags)
    return Outcome(PortPolicySets(":".join(port.fq_name), tags, tuple(names)))


def _sets(view: View, found: PortTags) -> Iterator[ApplicationPolicySet]:
    config = view.by_name(GlobalVrouterConfig, VROUTER_CONFIG_NAME)
    if config is not None:
        yield from _global_first(view.referrers(ApplicationPolicySet, config.uuid))
    project = None if found.project is None else view.get(Project, found.project)
    if project is not None:
        listed = [
            view.get(ApplicationPolicySet, each.uuid)
            for each in project.application_policy_set_refs
        ]
        yield from _global_first(item for item in listed if item is not None)
    for tag in found.tags:
        if tag.kind == APPLICATION:
            yield from _global_first(view.referrers(ApplicationPolicySet, tag.uuid))


def _global_first(items: Iterable[ApplicationPolicySet]) -> list[ApplicationPolicySet]:
    return sorted(items, key=lambda item: (item.parent_type == Project.type_name, item.fq_name))


def _in_order(
    references: tuple[Reference[FirewallSequence], ...],
) -> list[Reference[FirewallSequence]]:
    return sorted(references, key=_sequence_key)


def _sequence_key(reference: Reference[FirewallSequence]) -> tuple[bool, int, str, FqName]:
    """Order by number, then by what follows the point, as text: 1.25 comes before 1.5.

    Members without a readable sequence come last, by name.
    """
    text = "" if reference.attr is None else reference.attr.sequence or ""
    whole, _, rest = text.partition(".")
    if not (whole.isascii() and whole.isdecimal()):
        return (True, 0, "", reference.to)
    return (False, int(whole), rest, reference.to)


PASSES: Final = (
    UnitPass(
        "policy_set",
        SET,
        frozenset({SET, FirewallPolicy.type_name, FirewallRule.type_name}),
        policy_set,
        ("firewall_rule",),
    ),
    UnitPass(
        "port_policy_sets",
        PORT,
        frozenset({PORT, SET, Project.type_name, GlobalVrouterConfig.type_name}),
        port_policy_sets,
        ("port_tags", "policy_set"),
    ),
)
