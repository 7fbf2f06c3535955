"""The rules of each network's policies, as entries seen from that network.

Addresses and ports are single, directions are one-way: a two-way rule becomes an entry and its
mirror image, so that whoever reads the list needs no rule about directions. An entry whose traffic
goes through services names its chain; whether the chain is ready is decided later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from skytrail.compiler.derived import FqName, Outcome, Violation
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes import policy_actions
from skytrail.compiler.passes.chain import Chain
from skytrail.compiler.passes.entries import (
    BOTH_WAYS,
    DENY,
    ONE_WAY,
    RULES_COUNT_MAX,
    mirror_image,
    ports,
    rule_protocol,
    worth_of_pairs,
)
from skytrail.compiler.passes.mirroring import analyzer_network
from skytrail.compiler.passes.policy_actions import RuleAction, rule_action
from skytrail.compiler.passes.protocols import ANY
from skytrail.compiler.passes.route_targets import Membership
from skytrail.model.generated.objects import NetworkPolicy, VirtualNetwork
from skytrail.model.generated.types import (
    AclRuleType,
    ActionListType,
    AddressType,
    MatchConditionType,
    PolicyRuleType,
    VirtualNetworkPolicyType,
)
from skytrail.model.objects import Reference

NETWORK: Final = VirtualNetwork.type_name
POLICY: Final = NetworkPolicy.type_name
CHAINS_COUNT_MAX: Final = 200
"""Chains of one network; each makes two routing instances per service."""
_LOCAL: Final = "local"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, and the chain its traffic goes through, backwards from right to left."""

    rule: AclRuleType
    chain: Chain | None = None
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """A network's policies; no entries without policy."""

    network: str
    has_policy: bool
    entries: tuple[Entry, ...] = ()

    @property
    def chains(self) -> dict[str, Chain]:
        """The chains these rules name, by id."""
        found: dict[str, Chain] = {}
        for entry in self.entries:
            if entry.chain is not None:
                known = found.get(entry.chain.id)
                if known is None or entry.chain.retain_as_path:
                    found[entry.chain.id] = entry.chain
        return found


def network_rules(view: View, uuid: str) -> Outcome:
    """Expand the policies attached to one network."""
    network = view.get(VirtualNetwork, uuid)
    if network is None:
        return Outcome()
    name = ":".join(network.fq_name)
    violations: list[Violation] = []
    entries: list[Entry] = []
    count = 0
    for attachment in sorted(network.network_policy_refs, key=_attachment_order):
        policy = view.get(NetworkPolicy, attachment.uuid)
        if policy is None or policy.network_policy_entries is None:
            continue
        expansion = _Expansion(view, name, policy, timed=_is_timed(attachment))
        for rule in policy.network_policy_entries.policy_rule:
            entries += expansion.expand(rule, RULES_COUNT_MAX - count)
            count += expansion.size
        violations += expansion.violations
    rules = NetworkRules(name, bool(network.network_policy_refs), tuple(entries))
    excess = _excess(network.fq_name, count, len(rules.chains))
    if excess is not None:
        violations.append(excess)
        everywhere = AddressType(virtual_network=ANY)
        closed = Entry(_deny_all(everywhere))
        rules = NetworkRules(name, rules.has_policy, (closed,))
    return Outcome(rules, violations=tuple(violations))


def policy_mirrors(view: View, uuid: str) -> Outcome:
    """Tell which analyzers' networks one network needs because of its policies."""
    rules = view.row("network_rules", uuid, NetworkRules)
    actions = () if rules is None else [entry.rule.action_list for entry in rules.entries]
    found = {
        network
        for action in actions
        if action is not None and (network := analyzer_network(action.mirror_to)) is not None
    }
    found.discard("" if rules is None else rules.network)
    return Outcome(Membership(peers=frozenset(found))) if found else Outcome()


class _Expansion:
    """Expands the rules of one policy as one network sees them, collecting what it cannot."""

    def __init__(self, view: View, network: str, policy: NetworkPolicy, *, timed: bool) -> None:
        self._view = view
        self._network = network
        self._holder = policy
        self._policy = policy.fq_name
        self._timed = timed
        self.size = 0
        """How many entries the rule given last makes, whether or not there was room for them."""
        self.violations: list[Violation] = []

    def expand(self, rule: PolicyRuleType, room: int) -> list[Entry]:
        """Return one entry per source, destination and port pair that concerns the network.

        Nothing when they are more than ``room``: four short lists multiply to millions, which are
        counted and never made.
        """
        action = rule_action(self._view, rule, self._report, policy=self._holder, timed=self._timed)
        protocol = rule_protocol(rule)
        if protocol is None:
            self._report("unknown_protocol", rule, f"protocol {rule.protocol!r} is not known")
            protocol, action = ANY, RuleAction(DENY)
        sources = self._addresses(rule, rule.src_addresses)
        destinations = self._addresses(rule, rule.dst_addresses)
        self.size = self._size(rule, sources, destinations)
        if self.size > room:
            return []
        both_ways = rule.direction == BOTH_WAYS
        found: list[Entry] = []
        for source in sources:
            for destination in destinations:
                if not (self._concerns(source) or self._concerns(destination)):
                    continue
                chain: Chain | None = None
                entry_action = action.entry
                if action.services:
                    if self._is_within(source, destination):
                        self._report_within(rule)
                        continue
                    chain = self._chain(rule, action, protocol, (source, destination))
                    entry_action = DENY if chain is None else entry_action
                one_way = _one_way(rule, entry_action, protocol, (source, destination))
                for entry in one_way:
                    found.append(Entry(entry, chain))
                    if both_ways:
                        found.append(Entry(mirror_image(entry), chain, backwards=True))
        return _without_repeats(found)

    def _is_within(self, source: AddressType, destination: AddressType) -> bool:
        return source.virtual_network == destination.virtual_network == self._network

    def _chain(
        self,
        rule: PolicyRuleType,
        action: RuleAction,
        protocol: str,
        ends: tuple[AddressType, AddressType],
    ) -> Chain | None:
        left, right = (end.virtual_network for end in ends)
        if not left or not right or ANY in {left, right}:
            self._report(
                "service_chain_ends",
                rule,
                "a service chain needs a network by name on both sides: the rule denies here",
            )
            return None
        return Chain(
            left=left,
            right=right,
            services=action.services,
            both_ways=rule.direction == BOTH_WAYS,
            protocol=protocol,
            source_ports=tuple(ports(rule.src_ports)),
            destination_ports=tuple(ports(rule.dst_ports)),
            retain_as_path=action.retain_as_path,
        )

    def _size(
        self, rule: PolicyRuleType, sources: list[AddressType], destinations: list[AddressType]
    ) -> int:
        strangers = [
            sum(not self._concerns(address) for address in side) for side in (sources, destinations)
        ]
        pairs = worth_of_pairs(sources, destinations) - strangers[0] * strangers[1]
        ways = 2 if rule.direction == BOTH_WAYS else 1
        return ways * pairs * len(ports(rule.src_ports)) * len(ports(rule.dst_ports))

    def _addresses(
        self, rule: PolicyRuleType, addresses: Iterable[AddressType]
    ) -> list[AddressType]:
        found: list[AddressType] = []
        for address in addresses:
            found += self._address(rule, address)
        return list(dict.fromkeys(found))

    def _address(self, rule: PolicyRuleType, address: AddressType) -> list[AddressType]:
        if address.network_policy:
            return self._networks_of_policy(rule, address)
        network = address.virtual_network
        if address.security_group or not (network or address.subnet or address.subnet_list):
            self._report("bad_address", rule, "an address names no network or subnet: skipped")
            # A deny must not shrink because one of its addresses cannot be read.
            return [] if _passes(rule) else [AddressType(virtual_network=ANY)]
        if network == _LOCAL:
            network = self._network
        elif network and network != ANY:
            other = self._view.by_name(VirtualNetwork, tuple(network.split(":")))
            if other is None:
                self._report("unknown_network", rule, f"network {network} does not exist")
        return [_within(network or None, address)]

    def _networks_of_policy(self, rule: PolicyRuleType, address: AddressType) -> list[AddressType]:
        """Return the networks a policy is attached to, its own included; subnets still limit."""
        name = address.network_policy or ""
        if name == _LOCAL:
            name = ":".join(self._policy)
        policy = self._view.by_name(NetworkPolicy, tuple(name.split(":")))
        if policy is None:
            self._report("unknown_policy", rule, f"network policy {name} does not exist")
            return [] if _passes(rule) else [AddressType(virtual_network=ANY)]
        networks = self._view.referrers(VirtualNetwork, policy.uuid)
        return [
            _within(fq_name, address)
            for fq_name in sorted(":".join(network.fq_name) for network in networks)
        ]

    def _concerns(self, address: AddressType) -> bool:
        # A bare subnet may lie in this network, so it always concerns it.
        return address.virtual_network in {None, ANY, self._network}

    def _report_within(self, rule: PolicyRuleType) -> None:
        self._report(
            "service_chain_within_network",
            rule,
            f"traffic inside {self._network} cannot be led through services: the rule does not"
            " apply to it; name another network on one side",
        )

    def _report(self, reason: str, rule: PolicyRuleType, detail: str) -> None:
        which = f"rule {rule.rule_uuid}: " if rule.rule_uuid else ""
        self.violations.append(Violation(POLICY, self._policy, reason, which + detail))


def _one_way(
    rule: PolicyRuleType,
    action: ActionListType,
    protocol: str,
    ends: tuple[AddressType, AddressType],
) -> Iterator[AclRuleType]:
    for source_port in ports(rule.src_ports):
        for destination_port in ports(rule.dst_ports):
            yield AclRuleType(
                match_condition=MatchConditionType(
                    protocol=protocol,
                    src_address=ends[0],
                    src_port=source_port,
                    dst_address=ends[1],
                    dst_port=destination_port,
                    ethertype=rule.ethertype,
                ),
                action_list=action,
                rule_uuid=rule.rule_uuid,
                direction=ONE_WAY,
            )


def _within(network: str | None, address: AddressType) -> AddressType:
    return AddressType(
        virtual_network=network, subnet=address.subnet, subnet_list=address.subnet_list
    )


def _without_repeats(entries: Iterable[Entry]) -> list[Entry]:
    # Chains are compared by what makes them differ in an entry; hashing them whole is slow.
    found: dict[bytes, Entry] = {}
    for entry in entries:
        chain = "" if entry.chain is None else entry.chain.id
        found.setdefault(msgspec.json.encode((entry.rule, chain, entry.backwards)), entry)
    return list(found.values())


def _passes(rule: PolicyRuleType) -> bool:
    action = rule.action_list
    if action is None:
        return False
    return (action.simple_action or ("pass" if action.apply_service else "deny")) == "pass"


def _is_timed(attachment: Reference[VirtualNetworkPolicyType]) -> bool:
    return attachment.attr is not None and attachment.attr.timer is not None


def _attachment_order(
    attachment: Reference[VirtualNetworkPolicyType],
) -> tuple[bool, int, int, FqName]:
    """Sort by sequence; attachments without one come last, by name."""
    sequence = None if attachment.attr is None else attachment.attr.sequence
    if sequence is None:
        return (True, 0, 0, attachment.to)
    return (False, sequence.major or 0, sequence.minor or 0, attachment.to)


def _excess(fq_name: FqName, entries: int, chains: int) -> Violation | None:
    if entries > RULES_COUNT_MAX:
        return Violation(
            NETWORK,
            fq_name,
            "too_many_rules",
            f"policies expand to {entries} entries, {RULES_COUNT_MAX} at most: everything is"
            " denied; name subnet lists or port ranges instead of single values",
        )
    if chains > CHAINS_COUNT_MAX:
        return Violation(
            NETWORK,
            fq_name,
            "too_many_service_chains",
            f"policies make {chains} service chains, {CHAINS_COUNT_MAX} at most: everything is"
            " denied; use the same ports and protocol in rules with the same services",
        )
    return None


def _deny_all(everywhere: AddressType) -> AclRuleType:
    return AclRuleType(
        match_condition=MatchConditionType(
            protocol=ANY,
            src_address=everywhere,
            src_port=ports(())[0],
            dst_address=everywhere,
            dst_port=ports(())[0],
        ),
        action_list=DENY,
        direction=ONE_WAY,
    )


PASSES: Final = (
    UnitPass(
        "network_rules",
        NETWORK,
        frozenset({NETWORK, POLICY}) | policy_actions.KINDS,
        network_rules,
        ("service",),
    ),
    UnitPass("policy_mirrors", NETWORK, frozenset({NETWORK}), policy_mirrors, ("network_rules",)),
)
