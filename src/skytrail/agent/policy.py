"""Policy of one direction of one port: from access lists to kernel rows, and its oracle.

A policy has up to two stages, both of which must allow: the network's access list (first match
decides, no match denies) and the security groups' lists (any allow decides, no match denies).
Rules are turned so that they speak of the *remote* end; the local end is settled here.

Compilation: remote identities that satisfy the same selectors share an identity class, addresses
inside the same rule prefixes share a prefix class. Per pair of classes and protocol the rules are
few, so verdicts are found per elementary port interval by the oracle's own stage evaluation and
written as port blocks for longest match: a block's row is written only where it differs from the
block around it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

from skytrail.agent.identity import Identity
from skytrail.agent.label import Numbers
from skytrail.agent.tables import (
    PROTOCOL_ANY,
    Action,
    IdentityId,
    IpNetwork,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    RuleId,
    SourcePortRow,
    VerdictRow,
    VrfId,
)
from skytrail.agent.view import (
    PORTS_ALL,
    AccessList,
    AclRule,
    IpAddress,
    Port,
    PortRange,
    Selector,
    chain_id_of,
)

T = TypeVar("T")

POLICY_DISABLED = PolicyId(0)
_PORT_BITS = 16


@dataclass(frozen=True, slots=True)
class RemoteRule:
    """An access list entry seen from one end."""

    name: str
    """Access list and rule uuid: what people are shown."""
    allow: bool
    protocol: int | None
    version: int | None
    remote: Selector
    source_ports: PortRange
    destination_ports: PortRange
    instance: str = ""
    """Where the way on is looked up."""

    @property
    def text(self) -> str:
        remote = self.remote
        far = ",".join(str(prefix) for prefix in remote.prefixes)
        far = " ".join(
            part
            for part in (remote.network, f"sg {remote.group}" if remote.group else "", far)
            if part
        )
        far = "nothing" if remote.never else far or "any"
        return (
            f"{'pass' if self.allow else 'deny'} protocol "
            f"{'any' if self.protocol is None else self.protocol}"
            f"{f' IPv{self.version}' if self.version else ''} remote {far} "
            f"ports {self.source_ports[0]}-{self.source_ports[1]}"
            f"->{self.destination_ports[0]}-{self.destination_ports[1]}"
            f"{f' by way of {self.instance}' if self.instance else ''}"
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """Rules of one stage; ``first_match``: network lists, else any allow wins."""

    name: str
    first_match: bool
    rules: tuple[RemoteRule, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """No stage at all allows everything."""

    direction: str
    stages: tuple[Stage, ...]

    @property
    def digest(self) -> str:
        """Names the content: equal policies share their number and rows, also over restarts."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:32]

    @property
    def instances(self) -> list[str]:
        """Routing instances its rules lead to."""
        found = {rule.instance for stage in self.stages for rule in stage.rules}
        return sorted(found - {""})


@dataclass(frozen=True, slots=True)
class PolicyPacket:
    """What the oracle looks at: the remote end and the protocol fields."""

    remote: Identity
    remote_address: IpAddress
    protocol: int
    source_port: int
    destination_port: int


@dataclass(frozen=True, slots=True)
class Decision:
    """``rules`` name what decided, one per stage consulted."""

    allow: bool
    rules: tuple[str, ...]
    instance: str = ""
    """Where the way on is looked up; empty: where the port is."""

    @property
    def name(self) -> str:
        return " & ".join(self.rules)


@dataclass(slots=True)
class PolicyRows:
    """Everything :class:`PolicyCompiler` wants installed, and what its rule numbers mean."""

    identities: list[PolicyIdentityRow] = field(default_factory=list[PolicyIdentityRow])
    prefixes: list[PolicyPrefixRow] = field(default_factory=list[PolicyPrefixRow])
    verdicts: list[VerdictRow] = field(default_factory=list[VerdictRow])
    source_ports: list[SourcePortRow] = field(default_factory=list[SourcePortRow])


def port_policies(port: Port) -> tuple[Policy, Policy]:
    """Return the (egress, ingress) policies of a port; no stages when policy is disabled."""
    if port.policy_disabled:
        return Policy("egress", ()), Policy("ingress", ())
    return _direction(port, egress=True), _direction(port, egress=False)


def _direction(port: Port, *, egress: bool) -> Policy:
    stages: list[Stage] = []
    access_list = port.network.access_list
    if access_list is not None:
        rules = (_turn(access_list, rule, port, egress=egress) for rule in access_list.rules)
        stages.append(Stage(access_list.name, True, tuple(rule for rule in rules if rule)))
    if port.port_security and (port.groups or port.missing_groups):
        stages.append(_group_stage(port, egress=egress))
    return Policy("egress" if egress else "ingress", tuple(stages))


def _group_stage(port: Port, *, egress: bool) -> Stage:
    rules: list[RemoteRule] = []
    for group in port.groups:
        access_list = group.egress if egress else group.ingress
        if access_list is None:
            continue
        for rule in access_list.rules:
            remote = rule.destination if egress else rule.source
            rules.append(_remote_rule(access_list, rule, remote))
    names = sorted((*(group.name for group in port.groups), *port.missing_groups))
    return Stage("security groups " + ", ".join(names), False, tuple(rules))


def _turn(access_list: AccessList, rule: AclRule, port: Port, *, egress: bool) -> RemoteRule | None:
    """Settle the local side of a network rule; None when it cannot apply to this port."""
    local, remote = (rule.source, rule.destination) if egress else (rule.destination, rule.source)
    onward = dict(port.chains).get(chain_id_of(rule.instance)) if rule.instance else None
    if onward is not None:
        return _transit_rule(access_list, rule, (remote, port.network.name), onward)
    if local.never or (local.network and local.network != port.network.name) or local.group:
        return None
    if local.prefixes:
        inside = [any(address in prefix for prefix in local.prefixes) for address in port.addresses]
        # The rows cannot see the local address. A port with addresses on both sides of the line
        # fails closed: its allow rules need all of them inside, its deny rules only one.
        if not (all(inside) and inside if rule.allow else any(inside)):
            return None
    return _remote_rule(access_list, rule, remote)


def _transit_rule(
    access_list: AccessList, rule: AclRule, far: tuple[Selector, str], onward: str
) -> RemoteRule | None:
    """Turn a chain's rule for a port of one of its services: both ends are others.

    A service takes from the network it is in and gives to the network it is in; what it gives goes
    on in its own instance of the chain. So do answers of a service that hides its left, where rules
    deny.
    """
    remote, network = far
    if remote.never or (remote.network and remote.network != network):
        return None
    return replace(_remote_rule(access_list, rule, remote), instance=onward)


def _remote_rule(access_list: AccessList, rule: AclRule, remote: Selector) -> RemoteRule:
    return RemoteRule(
        name=f"{access_list.name}#{rule.uuid}",
        allow=rule.allow,
        protocol=rule.protocol,
        version=rule.version,
        remote=remote,
        source_ports=rule.source_ports,
        destination_ports=rule.destination_ports,
        instance=rule.instance if rule.allow else "",
    )


def evaluate(policy: Policy, packet: PolicyPacket) -> Decision:
    """The oracle: slow, obvious, and the definition of what the rows must do."""
    decisions: list[Decision] = []
    for stage in policy.stages:
        matching = [rule for rule in stage.rules if _matches(rule, packet)]
        decisions.append(_stage_decision(stage, matching))
    return _combine(decisions)


def _matches(rule: RemoteRule, packet: PolicyPacket) -> bool:
    remote = rule.remote
    return (
        not remote.never
        and (not remote.network or remote.network in packet.remote.networks)
        and (not remote.group or remote.group in packet.remote.groups)
        and (
            not remote.prefixes
            or any(
                packet.remote_address.version == prefix.version and packet.remote_address in prefix
                for prefix in remote.prefixes
            )
        )
        and rule.version in {None, packet.remote_address.version}
        and rule.protocol in {None, packet.protocol}
        and rule.source_ports[0] <= packet.source_port <= rule.source_ports[1]
        and rule.destination_ports[0] <= packet.destination_port <= rule.destination_ports[1]
    )


def _stage_decision(stage: Stage, matching: Sequence[RemoteRule]) -> Decision:
    if not matching:
        return Decision(False, (f"{stage.name}#no rule allows",))
    if stage.first_match:
        return Decision(matching[0].allow, (matching[0].name,), matching[0].instance)
    for rule in matching:
        if not rule.allow:
            return Decision(False, (rule.name,))
    return Decision(True, (matching[0].name,), matching[0].instance)


def _combine(decisions: Sequence[Decision]) -> Decision:
    # Also of what is denied: answers are admitted by their flow, and go where the rule leads.
    instance = next((decision.instance for decision in decisions if decision.instance), "")
    for decision in decisions:
        if not decision.allow:
            return replace(decision, instance=instance)
    names = tuple(name for decision in decisions for name in decision.rules)
    return Decision(True, names, instance)


_DEFAULTS: tuple[IpNetwork, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


class PolicyCompiler:
    """Interns policies and compiles them; content-addressed caches make recomputes cheap."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self.changes = 0
        """Grows whenever :meth:`used` has changed."""
        self._digests: dict[Policy, str] = {}
        self._used: dict[PolicyId, Policy] = {}
        self._compiled: dict[PolicyId, _CompiledPolicy] = {}
        self.rule_texts: dict[tuple[str, str], str] = {}
        """(direction, rule name) -> its text, for people. Both halves of a rule that is written
        for both directions have its name."""

    def begin(self) -> None:
        """Forget which policies are in use, not what was compiled."""
        self._used = {}
        self._digests = {}
        self.changes += 1

    def intern(self, policy: Policy, digest: str = "") -> PolicyId:
        """Return the number of a policy; one without stages is 0. ``digest`` saves computing it."""
        if not policy.stages:
            return POLICY_DISABLED
        policy_id = PolicyId(self._numbers.policy.number(digest or policy.digest))
        if policy_id not in self._used:
            self._used[policy_id] = policy
            self.changes += 1
            for stage in policy.stages:
                for rule in stage.rules:
                    self.rule_texts[policy.direction, rule.name] = rule.text
        return policy_id

    def digest(self, policy: Policy) -> str:
        """Return ``policy.digest``; computed once as long as the policy is in use."""
        digest = self._digests.get(policy)
        if digest is None:
            digest = self._digests[policy] = policy.digest
        return digest

    def release(self, digest: str) -> None:
        """Nobody uses this policy any more."""
        number = self._numbers.policy.find(digest)
        policy = None if number is None else self._used.pop(PolicyId(number), None)
        if policy is not None:
            self.changes += 1
            self._digests.pop(policy, None)
        self._numbers.policy.retire(digest)

    def used(self) -> Mapping[PolicyId, Policy]:
        return self._used

    def compile(self, identities: Mapping[IdentityId, Identity]) -> PolicyRows:
        """Return the rows of every policy in use."""
        rows = PolicyRows()
        numbers = self._numbers
        # Nobody else asks for these numbers, and here all that are wanted are asked for.
        spaces = (numbers.identity_class, numbers.source_cell, numbers.rule)
        for space in spaces:
            space.begin_cycle()
        for policy_id in sorted(self._used):
            policy = self._used[policy_id]
            compiled = self._compiled.get(policy_id)
            if compiled is None or compiled.policy != policy:
                compiled = self._compiled[policy_id] = _CompiledPolicy(policy_id, policy)
            compiled.emit(identities, self._numbers, rows)
        for policy_id in [known for known in self._compiled if known not in self._used]:
            del self._compiled[policy_id]
        for space in spaces:
            space.finish_cycle()
        rows.source_ports = list({row.key: row for row in rows.source_ports}.values())
        return rows


Selected = frozenset[tuple[str, int]]
"""Which (network, group) selectors an identity satisfies; "" and 0 stand for no demand."""


class _CompiledPolicy:
    """One policy's rows; verdict rows are cached per set of satisfied selectors."""

    def __init__(self, policy_id: PolicyId, policy: Policy) -> None:
        self.policy = policy
        self._policy_id = policy_id
        rules = [rule for stage in policy.stages for rule in stage.rules if not rule.remote.never]
        self._selectors = sorted(
            {
                (rule.remote.network, rule.remote.group)
                for rule in rules
                if rule.remote.network or rule.remote.group
            }
        )
        self._prefix_rows, self._prefix_classes = _prefix_classes(policy_id, rules)
        self._cells: dict[tuple[Selected, int], _ClassRows] = {}

    def emit(
        self, identities: Mapping[IdentityId, Identity], numbers: Numbers, rows: PolicyRows
    ) -> None:
        classes: dict[Selected, int] = {frozenset(): 0}
        for identity_id, identity in identities.items():
            selected = frozenset(
                (network, group)
                for network, group in self._selectors
                if (not network or network in identity.networks)
                and (not group or group in identity.groups)
            )
            if not selected:
                continue
            if selected not in classes:
                classes[selected] = numbers.identity_class.number(_class_name(selected))
            row = PolicyIdentityRow(self._policy_id, identity_id, classes[selected])
            rows.identities.append(row)
        rows.prefixes.extend(self._prefix_rows)
        for selected, identity_class in classes.items():
            made = self._cells.get((selected, identity_class))
            if made is None:
                made = self._compile_class(selected, identity_class, numbers)
                self._cells[(selected, identity_class)] = made
            made.touch(numbers)
            rows.verdicts.extend(made.verdicts)
            rows.source_ports.extend(made.source_ports)

    def _compile_class(
        self, selected: Selected, identity_class: int, numbers: Numbers
    ) -> _ClassRows:
        made = _ClassRows()
        for prefix_class, covering in enumerate(self._prefix_classes):
            stages = [
                (stage, [rule for rule in stage.rules if _in_class(rule, selected, covering)])
                for stage in self.policy.stages
            ]
            named = {
                rule.protocol for _, rules in stages for rule in rules if rule.protocol is not None
            }
            default = _decide_ports(stages, None)
            emitter = _Emitter(made, numbers, (self._policy_id, identity_class, prefix_class))
            emitter.emit(PROTOCOL_ANY, default)
            for protocol in sorted(named):
                intervals = _decide_ports(stages, protocol)
                if intervals != default:
                    emitter.emit(protocol, intervals)
        return made


def _class_name(selected: Selected) -> str:
    return repr(sorted(selected))


def _in_class(rule: RemoteRule, selected: Selected, covering: frozenset[IpNetwork] | None) -> bool:
    """True when every remote of the classes satisfies the rule's remote side.

    ``covering`` None is prefix class 0: addresses inside no prefix of the policy.
    """
    remote = rule.remote
    if remote.never:
        return False
    if (remote.network or remote.group) and (remote.network, remote.group) not in selected:
        return False
    inside = covering or frozenset()
    if remote.prefixes and not any(prefix in inside for prefix in remote.prefixes):
        return False
    return rule.version is None or any(prefix.version == rule.version for prefix in inside)


def _prefix_classes(
    policy_id: PolicyId, rules: Iterable[RemoteRule]
) -> tuple[list[PolicyPrefixRow], list[frozenset[IpNetwork] | None]]:
    """Number the distinct sets of rule prefixes that cover an address; class 0 is none.

    Rules that name an IP version need to tell versions apart, so the two default prefixes join.
    """
    rule_list = list(rules)
    prefixes = {prefix for rule in rule_list for prefix in rule.remote.prefixes}
    if any(rule.version is not None for rule in rule_list):
        prefixes |= set(_DEFAULTS)
    ordered = sorted(prefixes, key=lambda p: (p.version, p.prefixlen, int(p.network_address)))
    classes: list[frozenset[IpNetwork] | None] = [None]
    numbers: dict[frozenset[IpNetwork], int] = {}
    rows: list[PolicyPrefixRow] = []
    for prefix in ordered:
        covering = frozenset(
            other for other in ordered if other.version == prefix.version and _covers(other, prefix)
        )
        if covering not in numbers:
            numbers[covering] = len(classes)
            classes.append(covering)
        rows.append(PolicyPrefixRow(policy_id, prefix, numbers[covering]))
    return rows, classes


def _covers(outer: IpNetwork, inner: IpNetwork) -> bool:
    return outer.prefixlen <= inner.prefixlen and inner.network_address in outer


Interval = tuple[int, int]
Outcome = tuple[tuple[Interval, Decision], ...]
"""Decisions by source port intervals; one entry = source ports do not matter."""


def _decide_ports(
    stages: Sequence[tuple[Stage, Sequence[RemoteRule]]], protocol: int | None
) -> tuple[tuple[Interval, Outcome], ...]:
    """Split 0..65535 by destination port into intervals of one outcome each."""
    chosen = [
        (stage, [rule for rule in rules if rule.protocol in {None, protocol}])
        for stage, rules in stages
    ]
    every = [rule for _, rules in chosen for rule in rules]
    found: list[tuple[Interval, Outcome]] = []
    for interval in _elementary([rule.destination_ports for rule in every]):
        at_port = [
            (
                stage,
                [
                    r
                    for r in rules
                    if r.destination_ports[0] <= interval[0] <= r.destination_ports[1]
                ],
            )
            for stage, rules in chosen
        ]
        _append(found, interval, _decide_source(at_port))
    return tuple(found)


def _decide_source(stages: Sequence[tuple[Stage, Sequence[RemoteRule]]]) -> Outcome:
    ranges = [rule.source_ports for _, rules in stages for rule in rules]
    found: list[tuple[Interval, Decision]] = []
    for interval in _elementary(ranges):
        decisions = [
            _stage_decision(
                stage,
                [r for r in rules if r.source_ports[0] <= interval[0] <= r.source_ports[1]],
            )
            for stage, rules in stages
        ]
        _append(found, interval, _combine(decisions))
    return tuple(found)


def _append(found: list[tuple[Interval, T]], interval: Interval, value: T) -> None:
    """Join with the previous interval when it has the same value."""
    if found and found[-1][1] == value:
        found[-1] = ((found[-1][0][0], interval[1]), value)
    else:
        found.append((interval, value))


def _elementary(ranges: Iterable[PortRange]) -> list[Interval]:
    """Cut 0..65535 where any range starts or ends."""
    starts = {0}
    for low, high in ranges:
        if low <= high and (low, high) != PORTS_ALL:
            starts.add(low)
            starts.add(high + 1)
    ordered = sorted(start for start in starts if start <= PORTS_ALL[1])
    return [
        (start, (ordered[index + 1] if index + 1 < len(ordered) else PORTS_ALL[1] + 1) - 1)
        for index, start in enumerate(ordered)
    ]


@dataclass(slots=True)
class _ClassRows:
    """Cached rows; ``touch`` keeps the numbers they use from being retired."""

    verdicts: list[VerdictRow] = field(default_factory=list[VerdictRow])
    source_ports: list[SourcePortRow] = field(default_factory=list[SourcePortRow])
    rule_names: set[str] = field(default_factory=set[str])
    cell_names: set[str] = field(default_factory=set[str])

    def touch(self, numbers: Numbers) -> None:
        for name in self.rule_names:
            numbers.rule.number(name)
        for name in self.cell_names:
            numbers.source_cell.number(name)


class _Emitter:
    """Writes the rows of one (policy, identity class, prefix class)."""

    def __init__(
        self, made: _ClassRows, numbers: Numbers, place: tuple[PolicyId, int, int]
    ) -> None:
        self._made = made
        self._numbers = numbers
        self._place = place

    def emit(self, protocol: int, intervals: Sequence[tuple[Interval, Outcome]]) -> None:
        policy_id, identity_class, prefix_class = self._place
        for port, port_bits, outcome in _blocks(intervals):
            decision = outcome[0][1]
            cell = 0 if len(outcome) == 1 else self._cell(outcome)
            self._made.verdicts.append(
                VerdictRow(
                    policy_id=policy_id,
                    identity_class=identity_class,
                    prefix_class=prefix_class,
                    protocol=protocol,
                    port=port,
                    port_bits=port_bits,
                    action=Action.DENY if cell or not decision.allow else Action.ALLOW,
                    rule_id=RuleId(0) if cell else self._rule(decision),
                    source_cell=cell,
                    vrf_id=VrfId(0) if cell else self._vrf(decision),
                )
            )

    def _rule(self, decision: Decision) -> RuleId:
        self._made.rule_names.add(decision.name)
        return RuleId(self._numbers.rule.number(decision.name))

    def _vrf(self, decision: Decision) -> VrfId:
        # Ports whose policy leads there keep the number in use.
        instance = decision.instance
        return VrfId(self._numbers.vrf.number(instance) if instance else 0)

    def _cell(self, outcome: Outcome) -> int:
        name = hashlib.sha256(repr(outcome).encode()).hexdigest()[:32]
        cell = self._numbers.source_cell.number(name)
        self._made.cell_names.add(name)
        for port, port_bits, decision in _blocks(outcome):
            action = Action.ALLOW if decision.allow else Action.DENY
            rule_id, vrf_id = self._rule(decision), self._vrf(decision)
            row = SourcePortRow(cell, port, port_bits, action, rule_id, vrf_id)
            self._made.source_ports.append(row)
        return cell


def _blocks(intervals: Sequence[tuple[Interval, T]]) -> list[tuple[int, int, T]]:
    """Return (port, bits, value) blocks whose longest match gives each port its value."""
    # The value of most intervals is written once, around everything; ties go to the first.
    around = Counter(value for _, value in intervals).most_common(1)[0][0]
    found: list[tuple[int, int, T]] = [(0, 0, around)]
    _split(intervals, (0, 0), around, found)
    return found


def _split(
    intervals: Sequence[tuple[Interval, T]],
    block: tuple[int, int],
    around: T,
    found: list[tuple[int, int, T]],
) -> None:
    port, bits = block
    last = port + (1 << (_PORT_BITS - bits)) - 1
    inside = [entry for entry in intervals if entry[0][0] <= last and entry[0][1] >= port]
    if all(value == around for _, value in inside):
        return
    if len(inside) == 1:
        found.append((port, bits, inside[0][1]))
        return
    half = 1 << (_PORT_BITS - bits - 1)
    _split(inside, (port, bits + 1), around, found)
    _split(inside, (port + half, bits + 1), around, found)
