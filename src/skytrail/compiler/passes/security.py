"""Security groups: one access list for what workloads receive, one for what they send.

The side of a rule that says ``local`` is the workload itself and stays empty in the entry; the other
side names a group by number, a subnet, or any. A rule that cannot be read is left out: nothing is
let through for it.
"""

from __future__ import annotations

from typing import Final

from skytrail.compiler.derived import Derived, DerivedKey, Outcome, Violation
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes.policy import PASS, RULES_COUNT_MAX, ports, worth_of_pairs
from skytrail.compiler.passes.protocols import ICMP, ICMP6, protocol_number
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
        to_local = any(address.security_group == _LOCAL for address in rule.dst_addresses)
        from_local = any(address.security_group == _LOCAL for address in rule.src_addresses)
        if not (to_local or from_local):
            reader.report("no_local_side", rule, "neither side is local")
            continue
        expanded = reader.expand(rule, RULES_COUNT_MAX - count)
        count += reader.size
        ingress += expanded if to_local else []
        egress += expanded if from_local else []
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
        self.size = 0
        """How many entries the rule given last makes, whether or not there was room for them."""
        self.violations: list[Violation] = []

    def expand(self, rule: PolicyRuleType, room: int) -> list[AclRuleType]:
        """Return one entry per source, destination and port pair; nothing beyond ``room``."""
        self.size = 0
        protocol = protocol_number(rule.protocol)
        if protocol is None:
            self.report("unknown_protocol", rule, f"protocol {rule.protocol!r} is not known")
            return []
        if protocol == ICMP and rule.ethertype == "IPv6":
            protocol = ICMP6
        sources = self._addresses(rule, rule.src_addresses)
        destinations = self._addresses(rule, rule.dst_addresses)
        source_ports, destination_ports = ports(rule.src_ports), ports(rule.dst_ports)
        pairs = worth_of_pairs(sources, destinations)
        self.size = pairs * len(source_ports) * len(destination_ports)
        if self.size > room:
            return []
        return [
            AclRuleType(
                match_condition=MatchConditionType(
                    protocol=protocol,
                    src_address=source,
                    src_port=source_port,
                    dst_address=destination,
                    dst_port=destination_port,
                    ethertype=rule.ethertype,
                ),
                action_list=PASS,
                rule_uuid=rule.rule_uuid,
                direction=">",
            )
            for source in sources
            for destination in destinations
            for source_port in source_ports
            for destination_port in destination_ports
        ]

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
        match address.security_group:
            case "local":
                return AddressType()
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


def _access_list(group: SecurityGroup, name: str, rules: list[AclRuleType]) -> Derived:
    return Derived(
        DerivedKey("access-control-list", (*group.fq_name, name)),
        properties={
            "access_control_list_entries": AclEntriesType(dynamic=False, acl_rule=tuple(rules))
        },
        parent_type=GROUP,
    )


PASSES: Final = (UnitPass("security_group", GROUP, frozenset({GROUP}), security_group),)
