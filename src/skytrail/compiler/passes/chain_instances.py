"""Routing instances of service chains, and the addresses of their transparent services.

```
 left network's   service A            service B       right network's
 default RI  ---> [left RI | right RI] ---> [left RI | right RI] ---> default RI
                  below the left network, below the right network
```
Each service has one instance in front of it and one behind, with a route target of their own. What
the control node needs to announce the far network's prefixes again, with the service as next hop, is
in their service chain information. Connections are held by the service's instances, so the networks'
default instances need no change; whichever side holds one, it is mutual.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from skytrail.compiler.derived import Derived, DerivedKey, FqName, Link, Outcome, Value
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes import subnets
from skytrail.compiler.passes.chain import Chain
from skytrail.compiler.passes.network_rules import NETWORK
from skytrail.compiler.passes.route_targets import TARGET, OwnTarget, Targets, read_targets
from skytrail.compiler.passes.service_chains import (
    CHAIN_IPAM,
    VERSIONS,
    Addresses,
    Chains,
    ChainState,
    Hop,
    address_name,
)
from skytrail.compiler.passes.service_instances import ADDRESS, NAT, PORT
from skytrail.compiler.passes.subnets import Prefix, network_prefixes
from skytrail.compiler.passes.virtual_network import (
    INSTANCE,
    INSTANCE_FIELD,
    TARGET_FIELD,
    default_instance_name,
    target_links,
)
from skytrail.model.generated.objects import (
    LogicalRouter,
    RoutingInstance,
    VirtualMachineInterface,
    VirtualNetwork,
)
from skytrail.model.generated.types import ServiceChainInfo

INTERNAL_PREFIX: Final = "__contrail_lr_internal_vn_"
INTERNAL_SUFFIX: Final = "__"
_INFORMATION: Final = {
    (False, 4): "service_chain_information",
    (False, 6): "ipv6_service_chain_information",
    (True, 4): "evpn_service_chain_information",
    (True, 6): "evpn_ipv6_service_chain_information",
}
"""By (announced as EVPN, IP version): networks inside a VXLAN router have EVPN routes only."""


@dataclass(frozen=True, slots=True)
class _End:
    """One of a chain's two networks."""

    network: VirtualNetwork
    instance: FqName
    prefixes: tuple[Prefix, ...]
    own_target: str | None
    user_targets: frozenset[str]

    @property
    def is_internal(self) -> bool:
        return self.network.name.startswith(INTERNAL_PREFIX)

    @property
    def is_transit(self) -> bool:
        settings = self.network.virtual_network_properties
        return settings is not None and bool(settings.allow_transit)

    def exported(self) -> Targets:
        """What the chain announces on behalf of this network."""
        transit = {self.own_target} if self.own_target and self.is_transit else set[str]()
        return Targets(exports=self.user_targets | transit)


def chain_instances(view: View, uuid: str) -> Outcome:
    """Derive everything of the chains that start on the left in this network."""
    chains = view.row("service_chains", uuid, Chains)
    if chains is None:
        return Outcome()
    derived: list[Derived] = []
    for state in chains.states:
        if not state.hops:
            continue
        left, right = (_end(view, name) for name in (state.chain.left, state.chain.right))
        if left is None or right is None:
            continue
        for index in range(len(state.hops)):
            derived += _hop_objects(view, state, index, (left, right))
    unique = {each.key: each for each in derived}
    targets = {link.to for each in unique.values() for link in each.links.get(TARGET_FIELD, ())}
    objects = [Derived(DerivedKey(TARGET, name)) for name in sorted(targets)]
    return Outcome(derived=(*objects, *unique.values()))


def _hop_objects(
    view: View, state: ChainState, index: int, ends: tuple[_End, _End]
) -> Iterator[Derived]:
    hop, chain = state.hops[index], state.chain
    left, right = ends
    is_first, is_last = index == 0, index == len(state.hops) - 1
    is_separate = _is_separate(state, ends)
    before = None if is_first else state.hops[index - 1].right
    targets, peers = Targets(), list[FqName]()
    if is_first and not is_separate:
        peers.append(left.instance)
    elif before is not None:
        peers.append(before)
    elif left.own_target is not None:
        targets |= Targets(imports=frozenset({left.own_target}))
    if is_first:
        targets |= left.exported()
    information = _information(chain, hop, left, right, hop.left_addresses)
    yield _instance(view, hop, hop.left, (targets, peers, _heads(information, is_head=is_first)))
    if hop.right is not None:
        targets, peers = Targets(), list[FqName]()
        if is_last and not is_separate:
            peers.append(right.instance)
        elif is_last and right.own_target is not None:
            targets |= Targets(imports=frozenset({right.own_target}))
        if is_last:
            targets |= right.exported()
        information = (
            _information(chain, hop, right, left, hop.right_addresses)
            if chain.both_ways
            else _no_information()
        )
        parts = (targets, peers, _heads(information, is_head=is_last))
        yield _instance(view, hop, hop.right, parts)
    if hop.is_transparent:
        for version in VERSIONS:
            if any(prefix.version == version for end in ends for prefix in end.prefixes):
                yield _chain_address(hop, version)


def _is_separate(state: ChainState, ends: tuple[_End, _End]) -> bool:
    """Whether several chains may lie between the networks, so that none may connect them whole."""
    enabled = all(end.network.multi_policy_service_chains_enabled for end in ends)
    return enabled and state.hops[-1].service.mode != NAT


def _instance(
    view: View,
    hop: Hop,
    name: FqName,
    parts: tuple[Targets, list[FqName], dict[str, Value]],
) -> Derived:
    targets, peers, information = parts
    stored = view.by_name(RoutingInstance, name)
    own = None if stored is None else view.row("own_route_target", stored.uuid, OwnTarget)
    if own is not None:
        targets |= Targets.both(own.route_target)
    present = [peer for peer in peers if view.by_name(RoutingInstance, peer) is not None]
    return Derived(
        DerivedKey(INSTANCE, name),
        properties={
            **information,
            "routing_instance_is_default": False,
            "routing_instance_has_pnf": hop.service.is_physical,
        },
        links={
            TARGET_FIELD: target_links(targets),
            INSTANCE_FIELD: tuple(Link(peer) for peer in present),
        },
        parent_type=NETWORK,
    )


def _information(
    chain: Chain, hop: Hop, near: _End, far: _End, addresses: Addresses
) -> dict[str, Value]:
    found = _no_information()
    for version in VERSIONS:
        prefixes = tuple(str(each) for each in far.prefixes if each.version == version)
        address = addresses.of(version)
        if not prefixes or address is None:
            continue
        found[_INFORMATION[(near.is_internal, version)]] = ServiceChainInfo(
            routing_instance=":".join(far.instance),
            prefix=prefixes,
            service_chain_address=address,
            service_instance=hop.service.name,
            # A transparent service is reached inside its own instance.
            source_routing_instance=None if hop.is_transparent else ":".join(near.instance),
            service_chain_id=chain.id,
            retain_as_path=chain.retain_as_path or None,
        )
    return found


def _no_information() -> dict[str, Value]:
    return dict.fromkeys(_INFORMATION.values())


def _heads(information: dict[str, Value], *, is_head: bool) -> dict[str, Value]:
    return {
        name: _with_head(value, is_head=is_head) if isinstance(value, ServiceChainInfo) else value
        for name, value in information.items()
    }


def _with_head(value: ServiceChainInfo, *, is_head: bool) -> ServiceChainInfo:
    return msgspec.structs.replace(value, sc_head=is_head)


def _chain_address(hop: Hop, version: int) -> Derived:
    return Derived(
        DerivedKey(ADDRESS, address_name(hop, version)),
        properties={"instance_ip_family": f"v{version}"},
        links={"network_ipam_refs": (Link(CHAIN_IPAM),)},
    )


def _end(view: View, name: str) -> _End | None:
    network = view.by_name(VirtualNetwork, tuple(name.split(":")))
    if network is None:
        return None
    instance = default_instance_name(network.fq_name)
    stored = view.by_name(RoutingInstance, instance)
    own = None if stored is None else view.row("own_route_target", stored.uuid, OwnTarget)
    return _End(
        network=network,
        instance=instance,
        prefixes=_prefixes(view, network),
        own_target=None if own is None else own.route_target,
        # What cannot be read is reported by the network itself.
        user_targets=read_targets(network, network.route_target_list, []),
    )


def _prefixes(view: View, network: VirtualNetwork) -> tuple[Prefix, ...]:
    """Return a network's prefixes; inside a VXLAN router, those of all networks it joins."""
    if not network.name.startswith(INTERNAL_PREFIX):
        return network_prefixes(view, network)
    uuid = network.name.removeprefix(INTERNAL_PREFIX).removesuffix(INTERNAL_SUFFIX)
    router = view.get(LogicalRouter, uuid)
    found: set[Prefix] = set()
    for reference in () if router is None else router.virtual_machine_interface_refs:
        port = view.get(VirtualMachineInterface, reference.uuid)
        for target in () if port is None else port.virtual_network_refs:
            member = view.get(VirtualNetwork, target.uuid)
            if member is not None:
                found.update(network_prefixes(view, member))
    return tuple(sorted(found, key=lambda p: (p.version, int(p.network_address), p.prefixlen)))


PASSES: Final = (
    UnitPass(
        "chain_instances",
        NETWORK,
        frozenset({NETWORK, INSTANCE, PORT, LogicalRouter.type_name}) | subnets.KINDS,
        chain_instances,
        ("service_chains", "own_route_target"),
    ),
)
