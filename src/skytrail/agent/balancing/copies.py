"""The copies of load balancers that run on this host, from its configuration and ports.

```
 configuration: own virtual-router --> machine with an annotation --> its port
        |  wanted_here: ports to plug        (the keeper makes the link that is plugged)
        +--> copy_specs: link, addresses and HAProxy's configuration of each, for the keeper
```
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

import msgspec

from skytrail.agent.balancing.haproxy import Place, render
from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import object_uuid
from skytrail.agent.made_machines import told_by_compiler
from skytrail.agent.port_config import Port
from skytrail.model.annotation_names import LOAD_BALANCER
from skytrail.model.load_balancer import LoadBalancer
from skytrail.net import IpAddress

PROTOCOL = 1
"""Of what is said between agent and keeper: a keeper that speaks another one ends."""
DEVICE_START = "lb-"
NAME_START = "load-balancer-"
"""Of machines that the compiler makes."""


class CopySpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that the keeper needs to know of one copy."""

    port: str
    """uuid"""
    device: str
    """The link's name on the host; inside it is eth0."""
    mac: str
    mtu_bytes: int
    addresses: tuple[str, ...]
    """Each with the length of its prefix."""
    gateways: tuple[str, ...]
    configuration: str


@dataclass(frozen=True, slots=True)
class CopyHere:
    """A copy this host runs."""

    port: str
    balancer: LoadBalancer
    problem: str = ""


def device_of(port: str) -> str:
    """Return the name of a copy's link: one for each port, and nobody else's."""
    return f"{DEVICE_START}{hashlib.blake2b(port.encode(), digest_size=5).hexdigest()}"


def wanted_here(graph: ConfigGraph) -> dict[str, CopyHere]:
    """Return the copies that configuration has on this host, by port."""
    found: dict[str, CopyHere] = {}
    for machine in graph.nodes("virtual-machine"):
        text = told_by_compiler(graph, machine, NAME_START, LOAD_BALANCER)
        if not text:
            continue
        try:
            balancer = msgspec.json.decode(text, type=LoadBalancer)
            ip_address(balancer.vip)
        except ValueError:
            # Of another release: nothing is better than something else than what was meant.
            continue
        for port in graph.linked_nodes(machine.key, "virtual-machine-interface"):
            uuid = object_uuid(port)
            found[uuid] = CopyHere(uuid, balancer)
    return found


def copy_specs(
    wanted: Mapping[str, CopyHere],
    ports: Mapping[str, Port],
    place: Callable[[IpAddress], Place],
    mtu_bytes: Callable[[Port], int],
) -> Iterator[tuple[CopySpec, tuple[str, ...]]]:
    """Yield what the keeper is told of each copy whose port has arrived, and what is wrong with it."""
    for uuid, copy in sorted(wanted.items()):
        port = ports.get(uuid)
        vip = ip_address(copy.balancer.vip)
        if port is None or vip not in port.addresses:
            continue
        own = [a for a in port.addresses if a != vip and a.version == vip.version]
        if not own:
            continue
        configuration, problems = render(copy.balancer, place(own[0]))
        addresses: list[str] = []
        gateways: dict[str, None] = {}
        # The own address first: it is the one that the kernel prefers to send from.
        for address in (own[0], vip):
            subnet = port.network.subnet_of(address)
            if subnet is not None:
                addresses.append(f"{address}/{subnet.prefix.prefixlen}")
                if subnet.gateway is not None:
                    gateways[str(subnet.gateway)] = None
        spec = CopySpec(
            port=uuid,
            device=device_of(uuid),
            mac=str(port.mac),
            mtu_bytes=mtu_bytes(port),
            addresses=tuple(addresses),
            gateways=tuple(gateways),
            configuration=configuration,
        )
        yield spec, problems
