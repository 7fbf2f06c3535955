"""Source translation: an address of each router's external network on every host that needs one.

```
 logical-router --ExternalGateway--> virtual-network (external)
   |  interfaces: its networks --> ports --> machines --> hosts
   | router_way_out    which hosts need an address, and for which networks
   +--> source_nat     machine, port and address for each external network and host
```
Routers of one external network share a host's address. A machine whose host configuration does not
name may run anywhere: then every host gets an address (ADR 0360).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

import msgspec

from skytrail.compiler.derived import Derived, DerivedKey, FqName, Link, Outcome, Violation
from skytrail.compiler.engine import TablePass, UnitPass, View
from skytrail.compiler.passes.logical_router import Router
from skytrail.model.annotation_names import SOURCE_NAT
from skytrail.model.generated.objects import (
    InstanceIp,
    LogicalRouter,
    VirtualMachine,
    VirtualMachineInterface,
    VirtualNetwork,
    VirtualRouter,
)
from skytrail.model.generated.types import KeyValuePair, KeyValuePairs
from skytrail.model.source_nat import NAME_START, SourceNat, name_of

PORT: Final = VirtualMachineInterface.type_name
MACHINE: Final = VirtualMachine.type_name
ADDRESS: Final = InstanceIp.type_name
_TOR: Final = "tor"


@dataclass(frozen=True, slots=True)
class WayOut:
    """By which external networks, and from which hosts, a router's networks are led out."""

    externals: frozenset[str]
    """uuids of networks"""
    hosts: frozenset[str]
    """uuids of virtual-routers"""
    instances: frozenset[str]
    inside: frozenset[str]


@dataclass(frozen=True, slots=True)
class Placed:
    """A host's address in an external network."""

    host: str
    """uuid of the virtual-router"""
    machine: FqName


def router_way_out(view: View, uuid: str) -> Outcome:
    """Say which hosts need an address of a router's external network, and which have none."""
    row = view.row("logical_router", uuid, Router)
    router = view.get(LogicalRouter, uuid)
    if row is None or router is None or not row.externals:
        return Outcome()
    found = [view.get(VirtualNetwork, each) for each in sorted(row.networks)]
    networks = [each for each in found if each is not None and each.uuid not in row.externals]
    hosts = _hosts(view, networks)
    externals = [view.get(VirtualNetwork, each) for each in sorted(row.externals)]
    missing = [
        Violation(
            router.type_name,
            router.fq_name,
            "no_address",
            f"host {host.name} has no address of {':'.join(external.fq_name)}: workloads there do"
            " not get out by the router (NO_ROUTE); is an IPv4 address free in that network?",
        )
        for external in externals
        if external is not None
        for host in hosts
        if view.by_name(InstanceIp, (name_of(external.uuid, host.uuid),)) is None
    ]
    way = WayOut(
        frozenset(each.uuid for each in externals if each is not None),
        frozenset(each.uuid for each in hosts),
        frozenset(_default_instance(each) for each in networks),
        frozenset(prefix for each in networks for prefix in _prefixes(each)),
    )
    return Outcome(way, violations=tuple(missing))


def source_nat(view: View) -> dict[str, Outcome]:
    """Derive what stands for each address, by its name."""
    ways: dict[tuple[str, str], list[WayOut]] = {}
    for _, way in view.rows("router_way_out", WayOut):
        for external in way.externals:
            for host in way.hosts:
                ways.setdefault((external, host), []).append(way)
    found: dict[str, Outcome] = {}
    for (external, host), joined in sorted(ways.items()):
        network = view.get(VirtualNetwork, external)
        if network is None:
            continue
        name = name_of(external, host)
        value = SourceNat(
            instances=tuple(sorted({each for way in joined for each in way.instances})),
            inside=tuple(sorted({each for way in joined for each in way.inside})),
        )
        placed = Placed(host, (name,))
        found[name] = Outcome(placed, tuple(_derived(view, network, name, value)))
    return found


def _derived(view: View, network: VirtualNetwork, name: str, value: SourceNat) -> Iterator[Derived]:
    pairs = (KeyValuePair(key=SOURCE_NAT, value=msgspec.json.encode(value).decode()),)
    yield Derived(
        DerivedKey(MACHINE, (name,)),
        properties={"annotations": KeyValuePairs(key_value_pair=pairs)},
    )
    own = (*network.fq_name[:-1], name)
    yield Derived(
        DerivedKey(PORT, own),
        links={
            "virtual_network_refs": (Link(network.fq_name),),
            "virtual_machine_refs": (Link((name,)),),
        },
        parent_type=network.parent_type,
    )
    # Apart from what needs it: a network without a free address shall not keep that from being.
    if view.by_name(VirtualMachineInterface, own) is not None:
        yield Derived(
            DerivedKey(ADDRESS, (name,)),
            properties={"instance_ip_family": "v4"},
            links={
                "virtual_network_refs": (Link(network.fq_name),),
                "virtual_machine_interface_refs": (Link(own),),
            },
        )


def _hosts(view: View, networks: Iterable[VirtualNetwork]) -> list[VirtualRouter]:
    """Return the hosts that machines of the networks run on, as far as configuration tells."""
    every = {
        each.name: each
        for each in view.every(VirtualRouter)
        if not (each.virtual_router_type or "").startswith(_TOR)
    }
    named: set[str] = set()
    for network in networks:
        for port in view.referrers(VirtualMachineInterface, network.uuid):
            machines = _machines(port)
            if port.name.startswith(NAME_START) or not machines:
                continue
            hosts = _hosts_of(view, port, machines)
            if not hosts:
                return [every[name] for name in sorted(every)]
            named |= hosts
    return [every[name] for name in sorted(named & every.keys())]


def _machines(port: VirtualMachineInterface) -> list[str]:
    own = [each.uuid for each in port.virtual_machine_refs]
    if port.parent_type == MACHINE and port.parent_uuid is not None:
        own.append(port.parent_uuid)
    return own


def _hosts_of(view: View, port: VirtualMachineInterface, machines: Iterable[str]) -> set[str]:
    bindings = port.virtual_machine_interface_bindings
    pairs = () if bindings is None else bindings.key_value_pair
    found = {each.value or "" for each in pairs if each.key == "host_id"} - {"", "null"}
    for machine in machines:
        found |= {each.name for each in view.referrers(VirtualRouter, machine)}
    return found


def _default_instance(network: VirtualNetwork) -> str:
    return ":".join((*network.fq_name, network.name))


def _prefixes(network: VirtualNetwork) -> Iterator[str]:
    for reference in network.network_ipam_refs:
        subnets = () if reference.attr is None else reference.attr.ipam_subnets
        for each in subnets or ():
            if each.subnet is None or not each.subnet.ip_prefix:
                continue
            text = f"{each.subnet.ip_prefix}/{each.subnet.ip_prefix_len}"
            prefix = ip_network(text, strict=False)
            if prefix.version == 4:
                yield str(prefix)


PASSES: Final = (
    UnitPass(
        "router_way_out",
        LogicalRouter.type_name,
        frozenset(
            {
                LogicalRouter.type_name,
                VirtualNetwork.type_name,
                VirtualRouter.type_name,
                PORT,
                ADDRESS,
            }
        ),
        router_way_out,
        ("logical_router",),
    ),
    TablePass(
        "source_nat",
        frozenset({VirtualNetwork.type_name, PORT}),
        source_nat,
        upstream=("router_way_out",),
    ),
)
