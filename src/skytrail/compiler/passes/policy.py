"""Network policies: each network's access list, and which networks may import each other.

```
 virtual-network --refs--> network-policy          (order: attachment sequence, then rule order)
        | network_rules    rules expanded to single addresses and ports, seen from one network
        +--> access_list   the network's ACL: rules, chains entered, then the implicit tail
        +--> allowed_peers networks its policies pass traffic to or from
                +--> connections   peers that allow each other
```
Whatever a rule asks that cannot be compiled makes it deny and is reported as a violation: a policy
never lets more through than it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from skytrail.compiler.derived import Derived, DerivedKey, Outcome
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes import provider
from skytrail.compiler.passes.entries import ALL_PORTS, DENY, ONE_WAY, PASS, mirror_image
from skytrail.compiler.passes.logical_router import IP_FABRIC
from skytrail.compiler.passes.network_rules import NETWORK, Entry, NetworkRules
from skytrail.compiler.passes.protocols import ANY
from skytrail.compiler.passes.route_targets import Membership
from skytrail.compiler.passes.service_chains import ChainState, chain_state, unready
from skytrail.model.generated.objects import VirtualNetwork
from skytrail.model.generated.types import (
    AclEntriesType,
    AclRuleType,
    ActionListType,
    AddressType,
    MatchConditionType,
)

MIRROR_PASSES: Final = ("policy_mirrors", "mirrored_networks")
WITHIN_NETWORK_UUID: Final = "00000000-0000-0000-0000-100000000001"
IMPLICIT_DENY_UUID: Final = "00000000-0000-0000-0000-100000000002"
REST_UUID: Final = "00000000-0000-0000-0000-100000000003"


@dataclass(frozen=True, slots=True)
class Peers:
    """Networks one network's policies pass traffic to or from, itself left out."""

    network: str
    names: frozenset[str] = frozenset()
    everyone: bool = False

    def allows(self, name: str) -> bool:
        return self.everyone or name in self.names


def access_list(view: View, uuid: str) -> Outcome:
    """Build the network's access list, or none when no policy is attached."""
    network = view.get(VirtualNetwork, uuid)
    rules = view.row("network_rules", uuid, NetworkRules)
    if network is None or rules is None or not rules.has_policy:
        return Outcome()
    states = {key: chain_state(view, chain) for key, chain in rules.chains.items()}
    found = [_resolved(entry, states) for entry in rules.entries]
    closing = _implicit_tail(rules.network, found, _mirrored_to(view, uuid))
    tail = dict.fromkeys((*_provider_tail(view, network), *closing))
    entries = AclEntriesType(dynamic=False, acl_rule=(*found, *tail))
    acl = Derived(
        DerivedKey("access-control-list", (*network.fq_name, network.name)),
        properties={"access_control_list_entries": entries},
        parent_type=NETWORK,
    )
    violations = [
        unready(network.fq_name, states[key]) for key in sorted(states) if states[key].reason
    ]
    return Outcome(derived=(acl,), violations=tuple(violations))


def _provider_tail(view: View, network: VirtualNetwork) -> list[AclRuleType]:
    """Close what routes of the underlay open without a rule."""
    own = AddressType(virtual_network=":".join(network.fq_name))
    linked = view.row(provider.PROVIDER_LINKS, network.uuid, Membership) or Membership()
    pairs = [AddressType(virtual_network=name) for name in sorted(linked.peers)]
    closing = [_tail_rule(own, other) for other in pairs]
    entries = [each for entry in closing for each in (entry, mirror_image(entry))]
    fabric = AddressType(virtual_network=":".join(IP_FABRIC))
    if network.fabric_snat and fabric not in pairs:
        entries.append(_tail_rule(fabric, own))
    return entries


def allowed_peers(view: View, uuid: str) -> Outcome:
    """Collect the networks that a network's passing rules name on the other side."""
    rules = view.row("network_rules", uuid, NetworkRules)
    if rules is None or not rules.entries:
        return Outcome()
    own = rules.network
    names: set[str] = set()
    for entry in rules.entries:
        if entry.chain is None:
            names.update(_peers_of(entry.rule, own))
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


def _resolved(entry: Entry, states: Mapping[str, ChainState]) -> AclRuleType:
    """Send what goes through a chain to where the chain begins; close what cannot enter it."""
    if entry.chain is None:
        return entry.rule
    entrance = states[entry.chain.id].entrance(backwards=entry.backwards)
    action = entry.rule.action_list
    if action is None:
        return msgspec.structs.replace(entry.rule, action_list=DENY)
    if entrance is None:
        # Nobody may begin there, but what is answered there goes on through the chain.
        answers = states[entry.chain.id].answers(backwards=entry.backwards)
        denied = msgspec.structs.replace(
            DENY, assign_routing_instance=":".join(answers) if answers else None
        )
        return msgspec.structs.replace(entry.rule, action_list=denied)
    assigned = msgspec.structs.replace(action, assign_routing_instance=":".join(entrance))
    return msgspec.structs.replace(entry.rule, action_list=assigned)


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
    if action.assign_routing_instance:
        # Its traffic is looked up elsewhere, so it needs no routes of the other network here.
        return
    source = None if match.src_address is None else match.src_address.virtual_network
    destination = None if match.dst_address is None else match.dst_address.virtual_network
    if source in {own, ANY} and destination is not None:
        yield destination
    if destination in {own, ANY} and source is not None:
        yield source


def _mirrored_to(view: View, uuid: str) -> list[str]:
    found = Membership()
    for name in MIRROR_PASSES:
        found |= view.row(name, uuid, Membership) or Membership()
    return sorted(found.peers)


def _implicit_tail(
    own: str, rules: Iterable[AclRuleType], mirrored_to: Iterable[str]
) -> list[AclRuleType]:
    """Return what follows the rules: within the network pass, then close every matched pair.

    The pairs are closed both ways, so that a one-way rule does not open the other direction. What no
    rule speaks of passes: it can only come from routes that were imported on purpose. Routes to an
    analyzer are there for copies alone.
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
            closing = _tail_rule(source, destination)
            tail += dict.fromkeys((closing, mirror_image(closing)))
    for network in mirrored_to:
        pair = frozenset({here, AddressType(virtual_network=network)})
        if pair not in closed:
            closing = _tail_rule(here, AddressType(virtual_network=network))
            tail += (closing, mirror_image(closing))
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


PASSES: Final = (
    *provider.LINKS,
    UnitPass(
        "access_list",
        NETWORK,
        frozenset({NETWORK}),
        access_list,
        ("network_rules", "service_chains", provider.PROVIDER_LINKS, *MIRROR_PASSES),
    ),
    UnitPass("allowed_peers", NETWORK, frozenset({NETWORK}), allowed_peers, ("network_rules",)),
    UnitPass("connections", NETWORK, frozenset({NETWORK}), connections, ("allowed_peers",)),
)
