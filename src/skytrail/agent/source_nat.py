"""Addresses of external networks by which workloads of other networks leave this host. Pure.

```
 configuration: own virtual-router --> machine with an annotation --> its port, with the address
        |  ports_here: ports to plug, each on a link that nobody is at
        +--> source_nat_of: of such a port, whose sources its address stands for
```
The port is in the external network: its address is published with its label as any port's is, and
is routed to without a MAC of its own, as a floating address is. Networks that it stands for have a
default route to it (``routes_out`` in ``fabric.py``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network

import msgspec

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import object_uuid
from skytrail.agent.made_machines import told_by_compiler
from skytrail.model.annotation_names import SOURCE_NAT
from skytrail.model.source_nat import NAME_START
from skytrail.model.source_nat import SourceNat as Told
from skytrail.wire.xmpp import ConfigKey

DEVICE_START = "nat-"


@dataclass(frozen=True, slots=True)
class SourceNat:
    """Whose sources an address stands for."""

    instances: tuple[str, ...]
    inside: tuple[IPv4Network, ...]


def device_of(port: str) -> str:
    """Return the name of a port's link: one for each port, and nobody else's."""
    return f"{DEVICE_START}{hashlib.blake2b(port.encode(), digest_size=5).hexdigest()}"


def ports_here(graph: ConfigGraph) -> set[str]:
    """Return the uuids of the ports that configuration has on this host for that."""
    return {
        object_uuid(port)
        for port in graph.nodes("virtual-machine-interface")
        if source_nat_of(graph, port.key) is not None
    }


def source_nat_of(graph: ConfigGraph, port: ConfigKey) -> SourceNat | None:
    """Return whose sources a port's address stands for; None: it is a workload's."""
    for machine in graph.linked_nodes(port, "virtual-machine"):
        text = told_by_compiler(graph, machine, NAME_START, SOURCE_NAT)
        if not text:
            continue
        try:
            told = msgspec.json.decode(text, type=Told)
            inside = [ip_network(each) for each in told.inside]
        except ValueError:
            # Of another release: nothing is better than something else than what was meant.
            continue
        prefixes = tuple([each for each in inside if isinstance(each, IPv4Network)])
        return SourceNat(told.instances, prefixes)
    return None
