"""Ports of services that route themselves: where what they send goes on, chain by chain.

```
 left network --> [left port] service [right port] --> right instance of the chain
```
Such a service is an ordinary neighbour in the networks at its sides, and its packets have other
ends' addresses. The port's ``vrf_assign_table`` tells by which rule of which chain they go on, and
in which of the chain's routing instances: there the next service is, or the far network.
"""

from __future__ import annotations

from typing import Final

from skytrail.compiler.derived import Derived, DerivedKey, Outcome
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes.chain import Chain, chain_id_of
from skytrail.compiler.passes.chain_ports import passing_chains, place_of
from skytrail.compiler.passes.entries import ports
from skytrail.compiler.passes.interfaces import role_of
from skytrail.compiler.passes.service_instances import IN_NETWORK, LEFT, NAT, PORT, RIGHT
from skytrail.compiler.passes.virtual_network import INSTANCE
from skytrail.model.generated.objects import (
    PortTuple,
    RoutingInstance,
    VirtualMachine,
    VirtualMachineInterface,
)
from skytrail.model.generated.types import (
    AddressType,
    MatchConditionType,
    VrfAssignRuleType,
    VrfAssignTableType,
)

TABLE: Final = "vrf_assign_table"
_ROUTED: Final = frozenset({IN_NETWORK, NAT})


def chain_rules(view: View, uuid: str) -> Outcome:
    """Derive the rules of one port; those of users stay, in front."""
    port = view.get(VirtualMachineInterface, uuid)
    if port is None:
        return Outcome()
    held = () if port.vrf_assign_table is None else port.vrf_assign_table.vrf_assign_rule
    others = tuple([rule for rule in held if not _is_ours(rule)])
    wanted = tuple(_wanted(view, port))
    if not wanted and len(others) == len(held):
        return Outcome()
    table = VrfAssignTableType(vrf_assign_rule=(*others, *wanted))
    filled = Derived(DerivedKey(PORT, port.fq_name), properties={TABLE: table}, update_only=True)
    return Outcome(derived=(filled,))


def _wanted(view: View, port: VirtualMachineInterface) -> list[VrfAssignRuleType]:
    role = role_of(port)
    found = place_of(view, port, _ROUTED) if role in {LEFT, RIGHT} else None
    if found is None:
        return []
    rules: list[VrfAssignRuleType] = []
    for state, hop in sorted(passing_chains(view, found[0]), key=lambda each: each[0].chain.id):
        instance = hop.left if role == LEFT else hop.right
        if instance is None or view.by_name(RoutingInstance, instance) is None:
            continue
        name = ":".join(instance)
        rules += [
            VrfAssignRuleType(match_condition=match, routing_instance=name, ignore_acl=False)
            for match in _matches(state.chain, backwards=role == LEFT)
        ]
    return rules


def _matches(chain: Chain, *, backwards: bool) -> list[MatchConditionType]:
    """Return what of a chain leaves a service to its right, or to its left."""
    ends = [
        (AddressType(virtual_network=network), listed)
        for network, listed in (
            (chain.left, ports(chain.source_ports)),
            (chain.right, ports(chain.destination_ports)),
        )
    ]
    if backwards:
        ends.reverse()
    (source, source_ports), (destination, destination_ports) = ends
    return [
        MatchConditionType(
            protocol=chain.protocol,
            src_address=source,
            src_port=from_port,
            dst_address=destination,
            dst_port=to_port,
        )
        for from_port in source_ports
        for to_port in destination_ports
    ]


def _is_ours(rule: VrfAssignRuleType) -> bool:
    return chain_id_of(tuple((rule.routing_instance or "").split(":"))) is not None


PASSES: Final = (
    UnitPass(
        "chain_rules",
        PORT,
        frozenset({PORT, INSTANCE, PortTuple.type_name, VirtualMachine.type_name}),
        chain_rules,
        ("service_chains", "service"),
    ),
)
