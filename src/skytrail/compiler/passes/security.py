"""Security groups: one access list for what workloads receive, one for what they send.

The side of a rule that says ``local`` is the workload itself and stays empty in the entry; the other
side names a group by number, a subnet, or any. A rule that cannot be read is left out: nothing is
let through for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from skytrail.compiler.derived import Derived, DerivedKey, Outcome, Violation
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes.entries import (
    ONE_WAY,
    PASS,
    RULES_COUNT_MAX,
    ports,
    rule_protocol,
    worth_of_pairs,
)
from skytrail.model.generated.objects import SecurityGroup
from skytrail.model.generated.types import (
    AclEntriesType,
    AclRuleType,
    AddressType,
    MatchConditionType,
    PolicyRuleType,
)

GROUP: Final = SecurityGroup.type_name
INGRESS: Final = "ingress-access-control-list"
EGRESS: Final = "egress-access-control-list"
ANY_GROUP: Final = "-1"
_LOCAL: Final = "local"
_ANY: Final = "any"
_SIDES: Final = {
    False: ("no_local_side", "neither side is local"),
    True: ("two_local_sides", "both sides are local, so no other end is named"),
}


def security_group(view: View, uuid: str) -> Outcome:
    """Build both access lists of one group; a group without rules gets two empty ones."""
    group = view.get(SecurityGroup, uuid)
    if group is None:
        return Outcome()
    reader = _GroupReader(view, group)
    ingress: list[AclRuleType] = []
    egress: list[AclRuleType] = []
    count = 0
    entries = group.security_group_entries
    for rule in () if entries is None else entries.policy_rule:
        into, out, size = reader.expand(rule, RULES_COUNT_MAX - count)
        count += size
        ingress += into
        egress += out
    if count > RULES_COUNT_MAX:
        reader.report_too_many(count)
        ingress, egress = [], []
    return Outcome(
        derived=(_access_list(group, INGRESS, ingress), _access_list(group, EGRESS, egress)),
        violations=tuple(reader.violations),
    )


class _GroupReader:
    """Expands a group's rules to single addresses and ports, collecting what cannot be read."""

    def __init__(self, view: View, group: SecurityGroup) -> None:
        self._view = view
        self._group = group
        self.violations: list[Violation] = []

    def expand(
        self, rule: PolicyRuleType, room: int
    ) -> tuple[list[AclRuleType], list[AclRuleType], int]:
        """Return the (ingress, egress) entries and how many they are worth.

        Nothing but the count when they are more than ``room``.
        """
        protocol = rule_protocol(rule)
        if protocol is None:
            self.report("unknown_protocol", rule, f"protocol {rule.protocol!r} is not known")
            return [], [], 0
        if rule.action_list is not None and rule.action_list.simple_action == "deny":
            self.report("deny_rule", rule, "security groups only allow")
            return [], [], 0
        into = any(_is_local(address) for address in rule.dst_addresses)
        out = any(_is_local(address) for address in rule.src_addresses)
        if into == out:
            reason, detail = _SIDES[into]
            self.report(reason, rule, detail)
            return [], [], 0
        remotes = self._addresses(rule, rule.src_addresses if into else rule.dst_addresses)
        count = worth_of_pairs(remotes, [AddressType()])
        count *= len(ports(rule.src_ports)) * len(ports(rule.dst_ports))
        if count > room:
            return [], [], count
        found = [
            entry
            for remote in remotes
            for entry in _entries(rule, protocol, remote, is_ingress=into)
        ]
        return (found, [], count) if into else ([], found, count)

    def report(self, reason: str, rule: PolicyRuleType, detail: str) -> None:
        which = f"rule {rule.rule_uuid}: " if rule.rule_uuid else ""
        self.violations.append(
            Violation(GROUP, self._group.fq_name, reason, f"{which}{detail}: it allows nothing")
        )

    def report_too_many(self, count: int) -> None:
        detail = f"rules expand to {count} entries, {RULES_COUNT_MAX} at most: it allows nothing"
        self.violations.append(Violation(GROUP, self._group.fq_name, "too_many_rules", detail))

    def _addresses(
        self, rule: PolicyRuleType, addresses: tuple[AddressType, ...]
    ) -> list[AddressType]:
        found = [self._address(rule, address) for address in addresses]
        return [address for address in found if address is not None]

    def _address(self, rule: PolicyRuleType, address: AddressType) -> AddressType | None:
        subnets = AddressType(subnet=address.subnet, subnet_list=address.subnet_list)
        has_subnets = address.subnet is not None or bool(address.subnet_list)
        if address.security_group and (has_subnets or address.virtual_network):
            self.report("bad_address", rule, "an address names a group and something else")
            return None
        match address.security_group:
            case "any":
                return AddressType(security_group=ANY_GROUP)
            case None | "":
                if has_subnets and address.virtual_network in {None, "", _ANY}:
                    return subnets
                self.report("bad_address", rule, "an address names no group or subnet")
                return None
            case name:
                return self._named_group(rule, name)

    def _named_group(self, rule: PolicyRuleType, name: str) -> AddressType | None:
        group = self._view.by_name(SecurityGroup, tuple(name.split(":")))
        number = None if group is None else group.security_group_id
        if number is None:
            self.report("unknown_security_group", rule, f"security group {name} does not exist")
            return None
        return AddressType(security_group=str(number))


def _entries(
    rule: PolicyRuleType, protocol: str, remote: AddressType, *, is_ingress: bool
) -> Iterator[AclRuleType]:
    workload = AddressType()
    for source_port in ports(rule.src_ports):
        for destination_port in ports(rule.dst_ports):
            yield AclRuleType(
                match_condition=MatchConditionType(
                    protocol=protocol,
                    src_address=remote if is_ingress else workload,
                    src_port=source_port,
                    dst_address=workload if is_ingress else remote,
                    dst_port=destination_port,
                    ethertype=rule.ethertype,
                ),
                action_list=PASS,
                rule_uuid=rule.rule_uuid,
                direction=ONE_WAY,
            )


def _is_local(address: AddressType) -> bool:
    return address.security_group == _LOCAL


def _access_list(group: SecurityGroup, name: str, rules: list[AclRuleType]) -> Derived:
    return Derived(
        DerivedKey("access-control-list", (*group.fq_name, name)),
        properties={
            "access_control_list_entries": AclEntriesType(dynamic=False, acl_rule=tuple(rules))
        },
        parent_type=GROUP,
    )


PASSES: Final = (UnitPass("security_group", GROUP, frozenset({GROUP}), security_group),)
