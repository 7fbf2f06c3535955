"""Policies compiled to kernel rows.

Remote identities that satisfy the same selectors share an identity class, addresses inside the same
rule prefixes share a prefix class. Per pair of classes and protocol the rules are few, so verdicts
are found per elementary port interval by the oracle's own stage evaluation (``policy``) and written
as port blocks for longest match: a block's row is written only where it differs from the block
around it. Rules are found by what they name, so that a class costs what applies to it, not what
there is.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

from skytrail.agent.access_list import PORTS_ALL, PortRange
from skytrail.agent.identity import Identity
from skytrail.agent.label import IDENTITY_CLASS_LAST, Numbers, NumbersExhausted
from skytrail.agent.policy import (
    POLICY_DISABLED,
    Decision,
    Policy,
    combine,
    stage_decision,
)
from skytrail.agent.prefix_set import PrefixSet
from skytrail.agent.stage import RemoteRule, Stage
from skytrail.agent.tables import (
    PROTOCOL_ANY,
    Action,
    IdentityId,
    IpNetwork,
    MirrorId,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    QosId,
    RuleId,
    SourcePortRow,
    VerdictRow,
    VrfId,
)

T = TypeVar("T")
_PORT_BITS = 16
_CLASS_OF_NOBODY = IDENTITY_CLASS_LAST + 1
"""Of identities for which there is no number: it has no verdict."""
_CLASS_NAME_CHARS_MAX = 256
_GROUP, _TAG = "group", "tag"


@dataclass(slots=True)
class PolicyRows:
    """Everything :class:`PolicyCompiler` wants installed, and what its rule numbers mean."""

    identities: list[PolicyIdentityRow] = field(default_factory=list[PolicyIdentityRow])
    prefixes: list[PolicyPrefixRow] = field(default_factory=list[PolicyPrefixRow])
    verdicts: list[VerdictRow] = field(default_factory=list[VerdictRow])
    source_ports: list[SourcePortRow] = field(default_factory=list[SourcePortRow])
    lacking: dict[PolicyId, NumbersExhausted] = field(
        default_factory=dict[PolicyId, NumbersExhausted]
    )
    """Policies for which there was no number, and why: without rows, or with identities that are denied."""

    def add(self, own: PolicyRows) -> None:
        self.identities += own.identities
        self.prefixes += own.prefixes
        self.verdicts += own.verdicts
        self.source_ports += own.source_ports
        self.lacking |= own.lacking


_DEFAULTS: tuple[IpNetwork, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


class PolicyCompiler:
    """Interns policies and compiles them; content-addressed caches make recomputes cheap."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self.changes = 0
        """Grows whenever :meth:`used` has changed."""
        self._digests: dict[Stage, str] = {}
        self._used: dict[PolicyId, Policy] = {}
        self._texts: dict[tuple[str, str], str] = {}
        self._texts_at = -1
        """``changes`` when texts were written."""
        self._compiled: dict[PolicyId, _CompiledPolicy] = {}

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
        return policy_id

    def digest(self, policy: Policy) -> str:
        """Return ``policy.digest``; stages that are in use already are not read again."""
        stages = [replace(stage, digest=self._stage_digest(stage)) for stage in policy.stages]
        return replace(policy, stages=tuple(stages)).digest

    def _stage_digest(self, stage: Stage) -> str:
        digest = stage.digest or self._digests.get(stage)
        if digest is None:
            digest = self._digests[stage] = stage.computed_digest
        return digest

    def rule_text(self, direction: str, name: str) -> str:
        """Return what a rule of a policy in use says; empty for what is none.

        Both halves of a rule that is written for both directions have its name, as have the parts
        of one that names several services. O(all rules) the first time after a change.
        """
        if self._texts_at != self.changes:
            found: dict[tuple[str, str], dict[str, None]] = {}
            for policy in self._used.values():
                for rule in (rule for stage in policy.stages for rule in stage.rules):
                    found.setdefault((policy.direction, rule.name), {})[rule.text] = None
            self._texts = {key: "; ".join(texts) for key, texts in found.items()}
            self._texts_at = self.changes
        return self._texts.get((direction, name), "")

    def release(self, digest: str) -> None:
        """Nobody uses this policy any more."""
        number = self._numbers.policy.find(digest)
        policy = None if number is None else self._used.pop(PolicyId(number), None)
        if policy is not None:
            self.changes += 1
            for stage in policy.stages:
                self._digests.pop(stage, None)
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
            own = PolicyRows()
            try:
                compiled.emit(identities, self._numbers, own)
            except NumbersExhausted as why:
                # Without rows it denies everything.
                del self._compiled[policy_id]
                rows.lacking[policy_id] = why
                continue
            rows.add(own)
            if own.lacking:
                del self._compiled[policy_id]
        for policy_id in [known for known in self._compiled if known not in self._used]:
            del self._compiled[policy_id]
        for space in spaces:
            space.finish_cycle()
        rows.source_ports = list({row.key: row for row in rows.source_ports}.values())
        return rows


Demand = tuple[str, int, tuple[int, ...]]
"""Network, group and tags a remote must have; "", 0 and () stand for no demand."""
_NO_DEMAND: Demand = ("", 0, ())
Selected = frozenset[Demand]
"""Demands an identity satisfies."""


class _CompiledPolicy:
    """One policy's rows; verdict rows are cached per set of satisfied demands."""

    def __init__(self, policy_id: PolicyId, policy: Policy) -> None:
        self.policy = policy
        self._policy_id = policy_id
        self._stages = [_StageIndex(stage) for stage in policy.stages]
        rules = [rule for stage in policy.stages for rule in stage.rules if not rule.remote.never]
        self._demands = _Demands({_demand(rule) for rule in rules} - {_NO_DEMAND})
        self._prefix_rows, self._prefix_classes = _prefix_classes(policy_id, rules)
        self._selected: dict[Identity, Selected] = {}
        self._cells: dict[tuple[Selected, int], _ClassRows] = {}

    def emit(
        self, identities: Mapping[IdentityId, Identity], numbers: Numbers, rows: PolicyRows
    ) -> None:
        classes: dict[Selected, int] = {frozenset(): 0}
        known, self._selected = self._selected, {}
        for identity_id, identity in identities.items():
            selected = known.get(identity)
            if selected is None:
                selected = self._demands.satisfied_by(identity)
            self._selected[identity] = selected
            if not selected:
                continue
            if selected not in classes:
                try:
                    classes[selected] = numbers.identity_class.number(_class_name(selected))
                except NumbersExhausted as why:
                    rows.lacking[self._policy_id] = why
            identity_class = classes.get(selected, _CLASS_OF_NOBODY)
            row = PolicyIdentityRow(self._policy_id, identity_id, identity_class)
            rows.identities.append(row)
        rows.prefixes.extend(self._prefix_rows)
        cells, self._cells = self._cells, {}
        for selected, identity_class in classes.items():
            made = cells.get((selected, identity_class))
            if made is None:
                made = self._compile_class(selected, identity_class, numbers)
            self._cells[(selected, identity_class)] = made
            made.touch(numbers)
            if made.lacks is not None:
                rows.lacking[self._policy_id] = made.lacks
            rows.verdicts.extend(made.verdicts)
            rows.source_ports.extend(made.source_ports)

    def _compile_class(
        self, selected: Selected, identity_class: int, numbers: Numbers
    ) -> _ClassRows:
        made = _ClassRows()
        chosen = [stage.of(selected) for stage in self._stages]
        # Most classes differ in rules of a protocol, few in those of every protocol.
        defaults: dict[tuple[tuple[RemoteRule, ...], ...], PortDecisions] = {}
        for prefix_class, covering in enumerate(self._prefix_classes):
            stages = [
                (stage, rules.of(covering))
                for stage, rules in zip(self.policy.stages, chosen, strict=True)
            ]
            named = {
                rule.protocol for _, rules in stages for rule in rules if rule.protocol is not None
            }
            general = tuple(
                tuple(rule for rule in rules if rule.protocol is None) for _, rules in stages
            )
            default = defaults.get(general)
            if default is None:
                default = defaults[general] = _decide_ports(stages, None)
            emitter = _Emitter(made, numbers, (self._policy_id, identity_class, prefix_class))
            emitter.emit(PROTOCOL_ANY, default)
            for protocol in sorted(named):
                intervals = _decide_ports(stages, protocol)
                if intervals != default:
                    emitter.emit(protocol, intervals)
        return made


def _demand(rule: RemoteRule) -> Demand:
    return rule.remote.network, rule.remote.group, rule.remote.tags


def _class_name(selected: Selected) -> str:
    # Names are kept on disk: those of policies without tags are as they were before there were any.
    ordered = [demand if demand[2] else demand[:2] for demand in sorted(selected)]
    name = repr(ordered)
    short = hashlib.sha256(name.encode()).hexdigest()[:32]
    return name if len(name) <= _CLASS_NAME_CHARS_MAX else short


class _Demands:
    """Demands found by the rarest thing they ask for."""

    def __init__(self, demands: set[Demand]) -> None:
        counts = Counter(thing for demand in demands for thing in _things(demand))
        self._by_thing: dict[object, list[Demand]] = {}
        for demand in sorted(demands):
            rarest = min(_things(demand), key=lambda thing: counts[thing])
            self._by_thing.setdefault(rarest, []).append(demand)

    def satisfied_by(self, identity: Identity) -> Selected:
        """O(demands that ask for something the identity has)."""
        things = (
            *identity.networks,
            *((_GROUP, group) for group in identity.groups),
            *((_TAG, tag) for tag in identity.tags),
        )
        return frozenset(
            demand
            for thing in things
            for demand in self._by_thing.get(thing, ())
            if (not demand[0] or demand[0] in identity.networks)
            and (not demand[1] or demand[1] in identity.groups)
            and identity.tags.issuperset(demand[2])
        )


def _things(demand: Demand) -> list[object]:
    network, group, tags = demand
    things: list[object] = [(_TAG, tag) for tag in tags]
    if network:
        things.append(network)
    if group:
        things.append((_GROUP, group))
    return things


Placed = tuple[int, RemoteRule]
"""A rule and its place in its stage."""


class _StageIndex:
    """A stage's rules by what they demand of the remote."""

    def __init__(self, stage: Stage) -> None:
        self._by_demand: dict[Demand, list[Placed]] = {}
        for place, rule in enumerate(stage.rules):
            if not rule.remote.never:
                self._by_demand.setdefault(_demand(rule), []).append((place, rule))

    def of(self, selected: Selected) -> _Chosen:
        demands = (_NO_DEMAND, *selected)
        return _Chosen([entry for each in demands for entry in self._by_demand.get(each, ())])


class _Chosen:
    """The rules of a stage for one identity class, by the prefixes they name."""

    def __init__(self, placed: list[Placed]) -> None:
        self._anywhere: list[Placed] = []
        self._by_prefix: dict[IpNetwork, list[Placed]] = {}
        for entry in placed:
            prefixes = entry[1].remote.prefixes
            if not prefixes:
                self._anywhere.append(entry)
            for prefix in prefixes:
                self._by_prefix.setdefault(prefix, []).append(entry)

    def of(self, covering: frozenset[IpNetwork] | None) -> list[RemoteRule]:
        """Return, in order, the rules for addresses inside these prefixes.

        ``covering`` None is prefix class 0: addresses inside no prefix of the policy.
        """
        inside = covering or frozenset()
        versions = {prefix.version for prefix in inside}
        placed = dict(self._anywhere)
        for prefix in inside:
            placed.update(self._by_prefix.get(prefix, ()))
        return [
            rule
            for _, rule in sorted(placed.items(), key=lambda entry: entry[0])
            if rule.version is None or rule.version in versions
        ]


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
    known = PrefixSet(ordered)
    classes: list[frozenset[IpNetwork] | None] = [None]
    numbers: dict[frozenset[IpNetwork], int] = {}
    rows: list[PolicyPrefixRow] = []
    for prefix in ordered:
        covering = frozenset(known.covering(prefix))
        if covering not in numbers:
            numbers[covering] = len(classes)
            classes.append(covering)
        rows.append(PolicyPrefixRow(policy_id, prefix, numbers[covering]))
    return rows, classes


Interval = tuple[int, int]
Outcome = tuple[tuple[Interval, Decision], ...]
"""Decisions by source port intervals; one entry = source ports do not matter."""
PortDecisions = tuple[tuple[Interval, Outcome], ...]
"""Outcomes by destination port intervals."""


def _decide_ports(
    stages: Sequence[tuple[Stage, Sequence[RemoteRule]]], protocol: int | None
) -> PortDecisions:
    """Split 0..65535 by destination port into intervals of one outcome each."""
    chosen = [
        _Sweep(stage, [rule for rule in rules if rule.protocol in {None, protocol}])
        for stage, rules in stages
    ]
    starts = {0}.union(*(sweep.starts for sweep in chosen))
    ordered = sorted(start for start in starts if start <= PORTS_ALL[1])
    found: list[tuple[Interval, Outcome]] = []
    for start, following in zip(ordered, [*ordered[1:], PORTS_ALL[1] + 1], strict=True):
        at_port = [(sweep.stage, sweep.move(start)) for sweep in chosen]
        _append(found, (start, following - 1), _decide_source(at_port))
    return tuple(found)


class _Sweep:
    """The rules of a stage that hold at a destination port, which moves upwards."""

    def __init__(self, stage: Stage, rules: Sequence[RemoteRule]) -> None:
        self.stage = stage
        self._rules = rules
        self._here: list[int] = []
        self._ends: dict[int, list[tuple[bool, int]]] = {}
        """Port -> (whether they begin there, or have ended, rules by their place)."""
        for place, rule in enumerate(rules):
            low, high = rule.destination_ports
            if low > high:
                continue
            self._ends.setdefault(low, []).append((True, place))
            self._ends.setdefault(high + 1, []).append((False, place))

    @property
    def starts(self) -> Iterable[int]:
        return self._ends

    def move(self, port: int) -> list[RemoteRule]:
        """Return the rules at ``port``, in order, as far as they can decide anything."""
        here = self._here
        for begins, place in self._ends.get(port, ()):
            if begins:
                insort(here, place)
            else:
                del here[bisect_left(here, place)]
        found: list[RemoteRule] = []
        for place in here:
            rule = self._rules[place]
            found.append(rule)
            if self.stage.first_match and rule.source_ports == PORTS_ALL:
                break
        return found


def _decide_source(stages: Sequence[tuple[Stage, Sequence[RemoteRule]]]) -> Outcome:
    ranges = [rule.source_ports for _, rules in stages for rule in rules]
    found: list[tuple[Interval, Decision]] = []
    for interval in _elementary(ranges):
        decisions = [
            stage_decision(
                stage,
                [r for r in rules if r.source_ports[0] <= interval[0] <= r.source_ports[1]],
            )
            for stage, rules in stages
        ]
        _append(found, interval, combine(decisions))
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
    lacks: NumbersExhausted | None = None
    """Why not everything is marked as it should be."""

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
                    qos_id=QosId(0) if cell else self._qos(decision),
                    mirror_id=MirrorId(0) if cell else self._mirror(decision),
                )
            )

    def _rule(self, decision: Decision) -> RuleId:
        self._made.rule_names.add(decision.name)
        return RuleId(self._numbers.rule.number(decision.name))

    def _vrf(self, decision: Decision) -> VrfId:
        # Ports whose policy leads there keep the number in use.
        instance = decision.instance
        return VrfId(self._numbers.vrf.number(instance) if instance else 0)

    def _qos(self, decision: Decision) -> QosId:
        # Likewise; nothing is marked when all are in use.
        try:
            return QosId(self._numbers.qos.number(decision.qos) if decision.qos else 0)
        except NumbersExhausted as why:
            self._made.lacks = why
            return QosId(0)

    def _mirror(self, decision: Decision) -> MirrorId:
        # Likewise.
        copied = decision.copied
        return MirrorId((copied and self._numbers.mirror.find(copied.name)) or 0)

    def _cell(self, outcome: Outcome) -> int:
        name = hashlib.sha256(repr(outcome).encode()).hexdigest()[:32]
        cell = self._numbers.source_cell.number(name)
        self._made.cell_names.add(name)
        for port, port_bits, decision in _blocks(outcome):
            action = Action.ALLOW if decision.allow else Action.DENY
            rule_id, vrf_id = self._rule(decision), self._vrf(decision)
            qos_id = self._qos(decision)
            mirror_id = self._mirror(decision)
            row = SourcePortRow(cell, port, port_bits, action, rule_id, vrf_id, qos_id, mirror_id)
            self._made.source_ports.append(row)
        return cell


def _blocks(intervals: Sequence[tuple[Interval, T]]) -> list[tuple[int, int, T]]:
    """Return (port, bits, value) blocks whose longest match gives each port its value."""
    # The value of most intervals is written once, around everything; ties go to the first.
    around = Counter(value for _, value in intervals).most_common(1)[0][0]
    found: list[tuple[int, int, T]] = [(0, 0, around)]
    for (low, high), value in intervals:
        start = low
        while value != around and start <= high:
            # The largest block that begins here and ends within the interval.
            aligned = (start & -start).bit_length() - 1 if start else _PORT_BITS
            exponent = min(aligned, (high - start + 1).bit_length() - 1)
            found.append((start, _PORT_BITS - exponent, value))
            start += 1 << exponent
    return found
