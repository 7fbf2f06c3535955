"""Ports of transparent services, one for each chain: what a VLAN on a port makes a port.

```
 port (a network's)  --untagged--> as every port
                     --VLAN 17---> in the chain's instance, delivers with VLAN 17
                     --VLAN 23---> another chain's
```
A tagged port is a port in every respect (next hop, label, route of its address, share among copies),
but of no network: no policy, no broadcasts, no MAC to be found by. Whoever sends into the chain and
whoever receives at its end judge what passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from skytrail.agent.interface import PortInputs
from skytrail.agent.network_config import VirtualNetwork
from skytrail.agent.port_config import Port, chain_id_of
from skytrail.agent.service_tags import ServiceTag
from skytrail.agent.tables import Tag


def with_tagged(uuid: str, inputs: PortInputs) -> Iterator[tuple[str, PortInputs]]:
    """Yield a plugged port, and those its VLANs make."""
    yield uuid, inputs
    parent = inputs.port
    if parent is None:
        return
    for tag in parent.service_tags:
        port = _port(parent, tag)
        plugged = replace(inputs.plugged, vmi_uuid=port.uuid, sequences=(), tag=port.tag)
        yield port.uuid, replace(inputs, plugged=plugged, port=port)


def _port(parent: Port, tag: ServiceTag) -> Port:
    chain_id = chain_id_of(tag.instance)
    return Port(
        uuid=f"{parent.uuid}.{tag.vlan}",
        name=f"{parent.name}.{tag.vlan}",
        network=VirtualNetwork(
            name=tag.instance.rpartition(":")[0],
            network_id=0,
            vni=0,
            mtu_bytes=parent.network.mtu_bytes,
            vrf=tag.instance,
            subnets=(),
            access_list=None,
        ),
        mac=tag.destination,
        addresses=tag.addresses,
        groups=(),
        missing_groups=(),
        policy_disabled=True,
        port_security=False,
        address_pairs=(),
        host_name=parent.host_name,
        flow_count_max=parent.flow_count_max,
        local_preference=parent.local_preference,
        chains=((chain_id, tag.instance),),
        copy=f"{parent.copy} {chain_id}" if parent.copy else "",
        side=parent.side,
        tag=Tag(tag.vlan, tag.source),
    )
