"""Policy of one direction of one port: from access lists and rules by tags to stages, and its oracle.

A policy has up to three stages, all of which must allow: the network's access list (first match
decides, no match denies), the security groups' lists (any allow decides, no match denies) and the
application policy sets' rules (first match decides, no match denies).
Rules are turned so that they speak of the *remote* end; the local end is settled here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from skytrail.agent.access_list import AccessList, AclRule, Selector
from skytrail.agent.identity import Identity
from skytrail.agent.mirror import Copied
from skytrail.agent.port_config import Port, chain_id_of
from skytrail.agent.security_stage import security_stage
from skytrail.agent.stage import RemoteRule, Stage
from skytrail.agent.tables import PolicyId
from skytrail.net import IpAddress

POLICY_DISABLED = PolicyId(0)
NO_RULE = "no rule allows"
"""In place of a rule where a stage had none."""


@dataclass(frozen=True, slots=True)
class Policy:
    """No stage at all allows everything."""

    direction: str
    stages: tuple[Stage, ...]

    @property
    def digest(self) -> str:
        """Names the content: equal policies share their number and rows, also over restarts."""
        stages = [stage.digest or stage.computed_digest for stage in self.stages]
        return hashlib.sha256(repr((self.direction, stages)).encode()).hexdigest()[:32]

    @property
    def instances(self) -> list[str]:
        """Routing instances its rules lead to."""
        found = {rule.instance for stage in self.stages for rule in stage.rules}
        return sorted(found - {""})

    @property
    def markings(self) -> list[str]:
        """QoS configurations its rules name."""
        found = {rule.qos for stage in self.stages for rule in stage.rules}
        return sorted(found - {""})

    @property
    def copies(self) -> list[Copied]:
        """Who gets copies by its rules."""
        rules = (rule for stage in self.stages for rule in stage.rules)
        found = {rule.copied.name: rule.copied for rule in rules if rule.copied is not None}
        return [found[name] for name in sorted(found)]


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
    qos: str = ""
    """QoS configuration that marks what is sent; empty: the port's."""
    copied: Copied | None = None

    @property
    def name(self) -> str:
        return " & ".join(self.rules)


def port_identity(port: Port) -> Identity:
    """Return what others' rules may ask of a port."""
    groups = [group.group_id for group in port.groups if group.group_id and port.port_security]
    return Identity(
        frozenset((port.network.name,)), frozenset(groups), frozenset(port.security.tags)
    )


def port_policies(port: Port) -> tuple[Policy, Policy]:
    """Return the (egress, ingress) policies of a port; no stages when policy is disabled."""
    if port.policy_disabled or port.network.is_mirror_destination:
        return Policy("egress", ()), Policy("ingress", ())
    # Copies come from hosts, of which no rule of a tenant knows.
    ingress = Policy("ingress", ()) if port.is_analyzer else _direction(port, egress=False)
    return _direction(port, egress=True), ingress


def _direction(port: Port, *, egress: bool) -> Policy:
    stages: list[Stage] = []
    access_list = port.network.access_list
    if access_list is not None:
        rules = (_turn(access_list, rule, port, egress=egress) for rule in access_list.rules)
        stages.append(Stage(access_list.name, True, tuple(rule for rule in rules if rule)))
    if port.port_security and (port.groups or port.missing_groups):
        stages.append(_group_stage(port, egress=egress))
    by_tags = security_stage(port, egress=egress)
    if by_tags is not None:
        stages.append(by_tags)
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
        qos=rule.qos if rule.allow else "",
        copied=rule.copied if rule.allow else None,
        notes=rule.notes,
    )


def evaluate(policy: Policy, packet: PolicyPacket) -> Decision:
    """The oracle: slow, obvious, and the definition of what the rows must do."""
    decisions: list[Decision] = []
    for stage in policy.stages:
        matching = [rule for rule in stage.rules if _matches(rule, packet)]
        decisions.append(stage_decision(stage, matching))
    return combine(decisions)


def _matches(rule: RemoteRule, packet: PolicyPacket) -> bool:
    remote = rule.remote
    return (
        not remote.never
        and (not remote.network or remote.network in packet.remote.networks)
        and (not remote.group or remote.group in packet.remote.groups)
        and packet.remote.tags.issuperset(remote.tags)
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


def stage_decision(stage: Stage, matching: Sequence[RemoteRule]) -> Decision:
    if not matching:
        return Decision(False, (f"{stage.name}#{NO_RULE}",))
    if stage.first_match:
        first = matching[0]
        return Decision(first.allow, (first.name,), first.instance, first.qos, first.copied)
    for rule in matching:
        if not rule.allow:
            return Decision(False, (rule.name,))
    first = matching[0]
    return Decision(True, (first.name,), first.instance, first.qos, first.copied)


def combine(decisions: Sequence[Decision]) -> Decision:
    # Also of what is denied: answers are admitted by their flow, and go where the rule leads.
    instance = next((decision.instance for decision in decisions if decision.instance), "")
    for decision in decisions:
        if not decision.allow:
            return replace(decision, instance=instance, copied=None)
    names = tuple(name for decision in decisions for name in decision.rules)
    qos = next((decision.qos for decision in decisions if decision.qos), "")
    copied = next((decision.copied for decision in decisions if decision.copied), None)
    return Decision(True, names, instance, qos, copied)
