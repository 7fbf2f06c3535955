"""Network policies: each network's access list, and which networks may import each other.

```
 virtual-network --refs--> network-policy          (order: attachment sequence, then rule order)
        | network_rules    rules expanded to single addresses and ports, seen from one network
        +--> access_list   the network's ACL: rules, then the implicit tail
        +--> allowed_peers networks its policies pass traffic to or from
                +--> connections   peers that allow each other
```
Entries are one-way: a two-way rule becomes an entry and its mirror image, so that whoever reads the
list needs no rule about directions. Whatever a rule asks that is not compiled yet makes it deny and is reported as a violation: a policy
never lets more through than it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from skytrail.compiler.derived import Derived, DerivedKey, FqName, Outcome, Violation
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes.protocols import ANY, protocol_number
from skytrail.model.generated.objects import NetworkPolicy, VirtualNetwork
from skytrail.model.generated.types import (
    AclEntriesType,
    AclRuleType,
    ActionListType,
    AddressType,
    MatchConditionType,
    PolicyRuleType,
    PortType,
    VirtualNetworkPolicyType,
)
from skytrail.model.objects import Reference

NETWORK: Final = VirtualNetwork.type_name
POLICY: Final = NetworkPolicy.type_name

RULES_COUNT_MAX: Final = 2_000
"""Entries of one access list, so that it fits the API's largest request body; beyond it the list
denies everything and says so."""

_ENTRY_BYTES: Final = 400
"""What an entry takes as JSON, two subnets and names of ``_NAME_BYTES`` included."""
_NAME_BYTES: Final = 60
_SUBNET_BYTES: Final = 80

WITHIN_NETWORK_UUID: Final = "00000000-0000-0000-0000-100000000001"
IMPLICIT_DENY_UUID: Final = "00000000-0000-0000-0000-100000000002"
REST_UUID: Final = "00000000-0000-0000-0000-100000000003"

ALL_PORTS: Final = PortType(start_port=0, end_port=65535)
DENY: Final = ActionListType(simple_action="deny")
PASS: Final = ActionListType(simple_action="pass")
ONE_WAY: Final = ">"
BOTH_WAYS: Final = "<>"
_LOCAL: Final = "local"


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """A network's policies as single-address, single-port rules; empty without policy."""

    network: str
    has_policy: bool
    rules: tuple[AclRuleType, ...] = ()


@dataclass(frozen=True, slots=True)
class Peers:
    """Networks one network's policies pass traffic to or from, itself left out."""

    network: str
    names: frozenset[str] = frozenset()
    everyone: bool = False

    def allows(self, name: str) -> bool:
        return self.everyone or name in self.names


def network_rules(view: View, uuid: str) -> Outcome:
    """Expand the policies attached to one network."""
    network = view.get(VirtualNetwork, uuid)
    if network is None:
        return Outcome()
    name = ":".join(network.fq_name)
    violations: list[Violation] = []
    rules: list[AclRuleType] = []
    count = 0
    for attachment in sorted(network.network_policy_refs, key=_attachment_order):
        policy = view.get(NetworkPolicy, attachment.uuid)
        if policy is None or policy.network_policy_entries is None:
            continue
        expansion = _Expansion(view, name, policy.fq_name, timed=_is_timed(attachment))
        for rule in policy.network_policy_entries.policy_rule:
            rules += expansion.expand(rule, RULES_COUNT_MAX - count)
            count += expansion.size
        violations += expansion.violations
    if count > RULES_COUNT_MAX:
        violations.append(_too_many(network.fq_name, count))
        rules = [_tail_rule(AddressType(virtual_network=ANY), AddressType(virtual_network=ANY))]
    return Outcome(
        NetworkRules(name, bool(network.network_policy_refs), tuple(rules)),
        violations=tuple(violations),
    )


def access_list(view: View, uuid: str) -> Outcome:
    """Build the network's access list, or none when no policy is attached."""
    network = view.get(VirtualNetwork, uuid)
    rules = view.row("network_rules", uuid, NetworkRules)
    if network is None or rules is None or not rules.has_policy:
        return Outcome()
    entries = AclEntriesType(
        dynamic=False, acl_rule=(*rules.rules, *_implicit_tail(rules.network, rules.rules))
    )
    acl = Derived(
        DerivedKey("access-control-list", (*network.fq_name, network.name)),
        properties={"access_control_list_entries": entries},
        parent_type=NETWORK,
    )
    return Outcome(derived=(acl,))


def allowed_peers(view: View, uuid: str) -> Outcome:
    """Collect the networks that a network's passing rules name on the other side."""
    rules = view.row("network_rules", uuid, NetworkRules)
    if rules is None or not rules.rules:
        return Outcome()
    own = rules.network
    names: set[str] = set()
    for rule in rules.rules:
        names.update(_peers_of(rule, own))
    everyone = ANY in names
    names -= {own, ANY}
    if not names and not everyone:
        return Outcome()
    return Outcome(Peers(own, frozenset(names), everyone))


def connections(view: View, uuid: str) -> Outcome:
    """Return the names of the networks that allow this one and that this one allows, sorted."""
    mine = view.row("allowed_peers", uuid, Peers)
    if mine is None:
        return Outcome()
    if mine.everyone:
        others = [peers for _, peers in view.rows("allowed_peers", Peers)]
    else:
        others = list(_peer_rows(view, mine))
    joined = sorted(
        other.network
        for other in others
        if other.network != mine.network
        and mine.allows(other.network)
        and other.allows(mine.network)
    )
    return Outcome(tuple(joined)) if joined else Outcome()


def _peer_rows(view: View, mine: Peers) -> Iterator[Peers]:
    for name in sorted(mine.names):
        other = view.by_name(VirtualNetwork, tuple(name.split(":")))
        peers = None if other is None else view.row("allowed_peers", other.uuid, Peers)
        if peers is not None:
            yield peers


def _peers_of(rule: AclRuleType, own: str) -> Iterator[str]:
    match = rule.match_condition
    action = rule.action_list
    if match is None or action is None or action.simple_action != "pass":
        return
    source = None if match.src_address is None else match.src_address.virtual_network
    destination = None if match.dst_address is None else match.dst_address.virtual_network
    if source in {own, ANY} and destination is not None:
        yield destination
    if destination in {own, ANY} and source is not None:
        yield source


class _Expansion:
    """Expands the rules of one policy as one network sees them, collecting what it cannot."""

    def __init__(self, view: View, network: str, policy: FqName, *, timed: bool) -> None:
        self._view = view
        self._network = network
        self._policy = policy
        self._timed = timed
        self.size = 0
        """How many entries the rule given last makes, whether or not there was room for them."""
        self.violations: list[Violation] = []

    def expand(self, rule: PolicyRuleType, room: int) -> list[AclRuleType]:
        """Return one entry per source, destination and port pair that concerns the network.

        Nothing when they are more than ``room``: four short lists multiply to millions, which are
        counted and never made.
        """
        action = self._action(rule)
        protocol = protocol_number(rule.protocol)
        if protocol is None:
            self._report("unknown_protocol", rule, f"protocol {rule.protocol!r} is not known")
            protocol, action = ANY, DENY
        sources = self._addresses(rule, rule.src_addresses)
        destinations = self._addresses(rule, rule.dst_addresses)
        self.size = self._size(rule, sources, destinations)
        if self.size > room:
            return []
        entries = [
            AclRuleType(
                match_condition=MatchConditionType(
                    protocol=protocol,
                    src_address=source,
                    src_port=source_port,
                    dst_address=destination,
                    dst_port=destination_port,
                    ethertype=rule.ethertype,
                ),
                action_list=action,
                rule_uuid=rule.rule_uuid,
                direction=ONE_WAY,
            )
            for source in sources
            for destination in destinations
            if self._concerns(source) or self._concerns(destination)
            for source_port in ports(rule.src_ports)
            for destination_port in ports(rule.dst_ports)
        ]
        return _both_ways(entries) if rule.direction == BOTH_WAYS else entries

    def _size(
        self, rule: PolicyRuleType, sources: list[AddressType], destinations: list[AddressType]
    ) -> int:
        strangers = [
            sum(not self._concerns(address) for address in side) for side in (sources, destinations)
        ]
        pairs = worth_of_pairs(sources, destinations) - strangers[0] * strangers[1]
        ways = 2 if rule.direction == BOTH_WAYS else 1
        return ways * pairs * len(ports(rule.src_ports)) * len(ports(rule.dst_ports))

    def _action(self, rule: PolicyRuleType) -> ActionListType:
        action = rule.action_list
        if action is None or action.simple_action != "pass":
            # A service rule may leave simple_action out, so it is looked at first.
            if action is not None and action.apply_service:
                self._report_closed(rule, "service_chain", "apply_service")
            return DENY
        closed = {
            "apply_service": bool(action.apply_service),
            "gateway_name": bool(action.gateway_name),
            "assign_routing_instance": bool(action.assign_routing_instance),
            "host_based_service": bool(action.host_based_service),
            "application": bool(rule.application),
            "timer": self._timed,
        }
        for feature in [name for name, used in closed.items() if used]:
            self._report_closed(rule, _REASONS.get(feature, feature), feature)
        if any(closed.values()):
            return DENY
        for feature, used in (
            ("mirror_to", action.mirror_to is not None),
            ("qos_action", bool(action.qos_action)),
        ):
            if used:
                self._report(
                    f"{feature}_not_supported",
                    rule,
                    f"{feature} is not supported yet: traffic passes without it",
                )
        return ActionListType(simple_action="pass", log=action.log, alert=action.alert)

    def _addresses(
        self, rule: PolicyRuleType, addresses: Iterable[AddressType]
    ) -> list[AddressType]:
        found: list[AddressType] = []
        for address in addresses:
            found += self._address(rule, address)
        return list(dict.fromkeys(found))

    def _address(self, rule: PolicyRuleType, address: AddressType) -> list[AddressType]:
        if address.network_policy:
            return self._networks_of_policy(rule, address.network_policy)
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
        return [
            AddressType(
                virtual_network=network or None,
                subnet=address.subnet,
                subnet_list=address.subnet_list,
            )
        ]

    def _networks_of_policy(self, rule: PolicyRuleType, name: str) -> list[AddressType]:
        policy = self._view.by_name(NetworkPolicy, tuple(name.split(":")))
        if policy is None:
            self._report("unknown_policy", rule, f"network policy {name} does not exist")
            return [] if _passes(rule) else [AddressType(virtual_network=ANY)]
        networks = self._view.referrers(VirtualNetwork, policy.uuid)
        return [
            AddressType(virtual_network=fq_name)
            for fq_name in sorted(":".join(network.fq_name) for network in networks)
        ]

    def _concerns(self, address: AddressType) -> bool:
        # A bare subnet may lie in this network, so it always concerns it.
        return address.virtual_network in {None, ANY, self._network}

    def _report_closed(self, rule: PolicyRuleType, subject: str, feature: str) -> None:
        self._report(
            f"{subject}_not_supported",
            rule,
            f"{feature} is not supported yet: the rule denies until it is",
        )

    def _report(self, reason: str, rule: PolicyRuleType, detail: str) -> None:
        which = f"rule {rule.rule_uuid}: " if rule.rule_uuid else ""
        self.violations.append(Violation(POLICY, self._policy, reason, which + detail))


_REASONS: Final = {"apply_service": "service_chain"}


def worth_of_pairs(sources: list[AddressType], destinations: list[AddressType]) -> int:
    """Return how many entries all pairs make, long ones counted as the several they could be.

    An access list the API refuses for its bytes would leave the one before it in force.
    """
    extra = len(destinations) * sum(map(_extra_bytes, sources))
    extra += len(sources) * sum(map(_extra_bytes, destinations))
    return len(sources) * len(destinations) + extra // _ENTRY_BYTES


def _extra_bytes(address: AddressType) -> int:
    name = len((address.virtual_network or "").encode())
    return _SUBNET_BYTES * len(address.subnet_list) + max(0, name - _NAME_BYTES)


def ports(listed: tuple[PortType, ...]) -> list[PortType]:
    """Return port ranges with bounds filled in; no range and -1 both mean every port."""
    found = [
        PortType(
            start_port=0 if port.start_port in {None, -1} else port.start_port,
            end_port=65535 if port.end_port in {None, -1} else port.end_port,
        )
        for port in listed
    ]
    return found or [ALL_PORTS]


def _both_ways(entries: Iterable[AclRuleType]) -> list[AclRuleType]:
    """Follow each entry by its mirror image: addresses and ports swapped."""
    found: list[AclRuleType] = []
    for entry in entries:
        match = entry.match_condition
        mirrored = (
            None
            if match is None
            else MatchConditionType(
                protocol=match.protocol,
                src_address=match.dst_address,
                src_port=match.dst_port,
                dst_address=match.src_address,
                dst_port=match.src_port,
                ethertype=match.ethertype,
            )
        )
        found += [entry, msgspec.structs.replace(entry, match_condition=mirrored)]
    return list(dict.fromkeys(found))


def _passes(rule: PolicyRuleType) -> bool:
    return rule.action_list is not None and rule.action_list.simple_action == "pass"


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


def _implicit_tail(own: str, rules: Iterable[AclRuleType]) -> list[AclRuleType]:
    """Return what follows the rules: within the network pass, then close every matched pair.

    The pairs are closed both ways, so that a one-way rule does not open the other direction. What no
    rule speaks of passes: it can only come from routes that were imported on purpose.
    """
    here = AddressType(virtual_network=own)
    everywhere = AddressType(virtual_network=ANY)
    tail = [_tail_rule(here, here, WITHIN_NETWORK_UUID, PASS)]
    closed: set[frozenset[AddressType]] = {frozenset({here})}
    for rule in rules:
        match = rule.match_condition
        if match is None or match.src_address is None or match.dst_address is None:
            continue
        source, destination = _whole(match.src_address), _whole(match.dst_address)
        pair = frozenset({source, destination})
        if pair not in closed:
            closed.add(pair)
            tail += _both_ways([_tail_rule(source, destination)])
    tail.append(_tail_rule(everywhere, everywhere, REST_UUID, PASS))
    return tail


def _whole(address: AddressType) -> AddressType:
    """Widen an address to the whole network it names."""
    if address.virtual_network:
        return AddressType(virtual_network=address.virtual_network)
    return address


def _tail_rule(
    source: AddressType,
    destination: AddressType,
    rule_uuid: str = IMPLICIT_DENY_UUID,
    action: ActionListType = DENY,
) -> AclRuleType:
    return AclRuleType(
        match_condition=MatchConditionType(
            protocol=ANY,
            src_address=source,
            src_port=ALL_PORTS,
            dst_address=destination,
            dst_port=ALL_PORTS,
        ),
        action_list=action,
        rule_uuid=rule_uuid,
        direction=ONE_WAY,
    )


def _too_many(fq_name: FqName, count: int) -> Violation:
    return Violation(
        NETWORK,
        fq_name,
        "too_many_rules",
        f"policies expand to {count} entries, {RULES_COUNT_MAX} at most: everything is denied;"
        " name subnet lists or port ranges instead of single values",
    )


PASSES: Final = (
    UnitPass("network_rules", NETWORK, frozenset({NETWORK, POLICY}), network_rules),
    UnitPass("access_list", NETWORK, frozenset({NETWORK}), access_list, ("network_rules",)),
    UnitPass("allowed_peers", NETWORK, frozenset({NETWORK}), allowed_peers, ("network_rules",)),
    UnitPass("connections", NETWORK, frozenset({NETWORK}), connections, ("allowed_peers",)),
)
