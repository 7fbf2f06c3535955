"""Service chains: which are complete, and where each service of a chain stands.

```
 network_rules of both networks --+
 service of each service instance-+--> service_chains  per left network: ready, or why not
                                          +--> access_list      entries pass into the chain
                                          +--> chain_instances  routing instances, addresses
                                          +--> chain_ports      ports of transparent services
```
A chain exists when both its networks have the rule, as a plain connection does. Until everything it
needs is there it leads nowhere: its rules deny, and the reason is reported by each network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from skytrail.compiler.derived import FqName, Outcome, Violation
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes.chain import Chain
from skytrail.compiler.passes.network_rules import NETWORK, NetworkRules
from skytrail.compiler.passes.service_instances import (
    ADDRESS,
    IN_NETWORK,
    LEFT,
    NAT,
    PORT,
    RIGHT,
    SERVICE,
    TRANSPARENT,
    Member,
    Service,
    shared_address_name,
)
from skytrail.model.generated.objects import (
    InstanceIp,
    NetworkIpam,
    ServiceInstance,
    VirtualMachineInterface,
    VirtualNetwork,
)

CHAIN_IPAM: Final = ("default-domain", "default-project", "service-chain-flat-ipam")
"""Where addresses of transparent services come from; they are never seen on a wire."""
VERSIONS: Final = (4, 6)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The chain's address at one side of a service, per IP version."""

    v4: str | None = None
    v6: str | None = None

    def of(self, version: int) -> str | None:
        return self.v4 if version == VERSIONS[0] else self.v6

    @property
    def is_empty(self) -> bool:
        return self.v4 is None and self.v6 is None


@dataclass(frozen=True, slots=True)
class Hop:
    """One service of a chain, with its addresses towards the chain's left and right."""

    service: Service
    left: FqName
    """Routing instance in front of it."""
    right: FqName | None
    """Routing instance behind it; None when the service hides the left (NAT)."""
    left_addresses: Addresses = Addresses()
    right_addresses: Addresses = Addresses()

    @property
    def is_transparent(self) -> bool:
        return self.service.mode == TRANSPARENT


@dataclass(frozen=True, slots=True)
class ChainState:
    """One chain; with ``reason`` it leads nowhere. ``hops`` are set once only addresses lack."""

    chain: Chain
    hops: tuple[Hop, ...] = ()
    reason: str = ""
    detail: str = ""

    @property
    def is_ready(self) -> bool:
        return bool(self.hops) and not self.reason

    def entrance(self, *, backwards: bool) -> FqName | None:
        """Return the routing instance where traffic enters the chain, if it may."""
        if not self.is_ready:
            return None
        return self.hops[-1].right if backwards else self.hops[0].left

    def answers(self, *, backwards: bool) -> FqName | None:
        """Return where a service that hides the left sends answers, if the chain ends with one."""
        hides = self.is_ready and backwards and self.hops[-1].right is None
        return self.hops[-1].left if hides else None


@dataclass(frozen=True, slots=True)
class Chains:
    """The chains whose left is one network, in order of id."""

    states: tuple[ChainState, ...]

    def state(self, chain_id: str) -> ChainState | None:
        return next((each for each in self.states if each.chain.id == chain_id), None)


class _Gap(Exception):
    """What keeps a chain from working; always caught in :func:`_state`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def service_chains(view: View, uuid: str) -> Outcome:
    """Tell of each chain that starts on the left in this network whether it is complete."""
    rules = view.row("network_rules", uuid, NetworkRules)
    chains = {} if rules is None else rules.chains
    mine = [chains[key] for key in sorted(chains) if rules and chains[key].left == rules.network]
    if not mine:
        return Outcome()
    return Outcome(Chains(tuple(_state(view, chain) for chain in mine)))


def chain_state(view: View, chain: Chain) -> ChainState:
    """Return the state of a chain that rules of any of its two networks name."""
    left = view.by_name(VirtualNetwork, tuple(chain.left.split(":")))
    chains = None if left is None else view.row("service_chains", left.uuid, Chains)
    found = None if chains is None else chains.state(chain.id)
    return _one_sided(chain) if found is None else found


def unready(network: FqName, state: ChainState) -> Violation:
    chain = state.chain
    return Violation(
        NETWORK,
        network,
        state.reason,
        f"service chain {chain.left} - {chain.right} through {', '.join(chain.services)} leads"
        f" nowhere, its rules deny: {state.detail}",
    )


def address_name(hop: Hop, version: int) -> FqName:
    """Name the address a transparent service has in its chain."""
    return (f"{hop.left[-1]}-v{version}",)


def _state(view: View, chain: Chain) -> ChainState:
    right = view.by_name(VirtualNetwork, tuple(chain.right.split(":")))
    theirs = None if right is None else view.row("network_rules", right.uuid, NetworkRules)
    if theirs is None or chain.id not in theirs.chains:
        return _one_sided(chain)
    hops: list[Hop] = []
    pending: _Gap | None = None
    for name in chain.services:
        try:
            if hops and hops[-1].right is None:
                raise _hidden(hops[-1].service.name, name)
            hop = _hop(view, chain, _service(view, name))
        except _Gap as gap:
            return ChainState(chain, (), gap.reason, str(gap))
        hops.append(hop)
        lacking = [
            side
            for side, addresses, needed in (
                (LEFT, hop.left_addresses, True),
                (RIGHT, hop.right_addresses, chain.both_ways and hop.right is not None),
            )
            if needed and addresses.is_empty
        ]
        if lacking and pending is None:
            pending = _Gap("service_address_pending", f"{name} has no {lacking[0]} address yet")
    if pending is not None:
        return ChainState(chain, tuple(hops), pending.reason, str(pending))
    return ChainState(chain, tuple(hops))


def _hidden(nat: str, behind: str) -> _Gap:
    """What leaves a translating service is the service's own, in the right network."""
    return _Gap(
        "service_behind_nat",
        f"{behind} is behind {nat}, which sends with its own address straight to the right"
        " network; name the translating service last",
    )


def _one_sided(chain: Chain) -> ChainState:
    detail = "the policy must be attached to both networks"
    return ChainState(chain, (), "service_chain_one_sided", detail)


def _service(view: View, name: str) -> Service:
    item = view.by_name(ServiceInstance, tuple(name.split(":")))
    found = None if item is None else view.row("service", item.uuid, Service)
    if found is None:
        raise _Gap("service_not_found", f"service-instance {name} does not exist")
    if found.mode not in {TRANSPARENT, IN_NETWORK, NAT}:
        raise _Gap("service_without_mode", f"the template of {name} has no service_mode")
    if not found.members:
        raise _Gap(
            "service_without_members",
            f"{name} has no port-tuple with ports; create one per copy of the service",
        )
    return found


def _hop(view: View, chain: Chain, service: Service) -> Hop:
    has_right = service.mode != NAT
    sides = [LEFT, RIGHT] if has_right else [LEFT]
    usable = [
        member for member in service.members if all(member.port(side) is not None for side in sides)
    ]
    if not usable:
        raise _Gap(
            "service_without_interfaces",
            f"no member of {service.name} has {' and '.join(sides)} interfaces",
        )
    hop = Hop(
        service=service,
        left=chain.left_instance(service.name),
        right=chain.right_instance(service.name) if has_right else None,
    )
    if service.mode == TRANSPARENT:
        addresses = _addresses(view, [address_name(hop, version) for version in VERSIONS])
        if view.by_name(NetworkIpam, CHAIN_IPAM) is None:
            raise _Gap("no_chain_addresses", f"network-ipam {':'.join(CHAIN_IPAM)} does not exist")
        return _with_addresses(hop, addresses, addresses)
    _check_network(view, service, usable, (LEFT, chain.left))
    if has_right:
        _check_network(view, service, usable, (RIGHT, chain.right))
    left, right = (
        _addresses(view, [shared_address_name(service.uuid, side, v) for v in VERSIONS])
        for side in (LEFT, RIGHT)
    )
    return _with_addresses(hop, left, right if has_right else Addresses())


def _with_addresses(hop: Hop, left: Addresses, right: Addresses) -> Hop:
    return Hop(hop.service, hop.left, hop.right, left, right)


def _check_network(
    view: View, service: Service, members: Sequence[Member], place: tuple[str, str]
) -> None:
    """Ports of services that route themselves must be in the chain's own networks."""
    side, network = place
    for member in members:
        port = view.get(VirtualMachineInterface, member.port(side) or "")
        names = [] if port is None else [":".join(each.to) for each in port.virtual_network_refs]
        if network not in names:
            raise _Gap(
                "service_in_other_network",
                f"the {side} interface of {service.name} is not in {network}; move it, or write"
                " the rule from the service's left to its right",
            )


def _addresses(view: View, names: Sequence[FqName]) -> Addresses:
    found = [view.by_name(InstanceIp, name) for name in names]
    texts = [None if each is None else each.instance_ip_address for each in found]
    return Addresses(*texts)


PASSES: Final = (
    UnitPass(
        "service_chains",
        NETWORK,
        frozenset({NETWORK, SERVICE, ADDRESS, PORT, NetworkIpam.type_name}),
        service_chains,
        ("network_rules", "service"),
    ),
)
