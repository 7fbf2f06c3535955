"""What the relay of workloads' BGP is told: one specification for each port that needs it. Pure.

The relay is a process beside the agent (``io/bgp_relay.py``) and outlives it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from skytrail.agent.interface import ActivePort, PortState
from skytrail.agent.port_config import Port
from skytrail.agent.workload_bgp import gates, is_relayed
from skytrail.net import IpAddress

PROTOCOL = 1
"""Of what is said between agent and relay: a relay that speaks another one ends."""


class RelayGate(msgspec.Struct, frozen=True):
    """An address of the vRouter that the workload speaks to, and who answers."""

    address: str
    control: str


class RelaySpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that the relay needs to know of one port. Holds a key: not to be shown."""

    port: str
    """uuid"""
    device: str
    """What the port is joined to the relay by."""
    ifname: str
    ifindex: int
    mac: str
    mtu_bytes: int
    addresses: tuple[str, ...]
    gates: tuple[RelayGate, ...]
    source: str
    """Our tunnel address, by which control nodes know the host."""
    source_port: int
    is_signed: bool
    key: str

    @property
    def is_usable(self) -> bool:
        """A signed session whose key has not arrived has no relay: it must not run unsigned."""
        return bool(self.gates and self.ifindex) and (bool(self.key) or not self.is_signed)


def relay_device(port: str) -> str:
    """Return the name of the link between a port and the relay: at most 15 bytes, one for each."""
    return f"bgp-{hashlib.blake2b(port.encode(), digest_size=5).hexdigest()}"


def bgp_places(port: Port) -> Iterator[tuple[IpAddress | None, IpAddress | None]]:
    """Yield for each of a port's addresses where it may speak BGP: the gateway's address of its
    subnet leads to the first control node, the service address to the second.
    """
    for address in port.addresses:
        subnet = port.network.subnet_of(address)
        if subnet is not None:
            yield subnet.gateway, subnet.service_address


def relay_specs(
    ports: Iterable[PortState], controls: tuple[IpAddress, ...], source: IpAddress
) -> dict[str, RelaySpec]:
    """Return what there is to relay, by port."""
    specs = (
        _spec(state, controls, source)
        for state in ports
        if isinstance(state, ActivePort) and state.plugged.tag is None
    )
    return {spec.port: spec for spec in specs if spec is not None and spec.is_usable}


def _spec(
    active: ActivePort, controls: tuple[IpAddress, ...], source: IpAddress
) -> RelaySpec | None:
    port, plugged = active.port, active.plugged
    bgp = port.bgp
    if bgp is None or not is_relayed(bgp, source):
        return None
    found = dict.fromkeys(gates(bgp, bgp_places(port), controls, source))
    return RelaySpec(
        port=port.uuid,
        device=relay_device(port.uuid),
        ifname=plugged.ifname,
        ifindex=plugged.ifindex,
        mac=str(port.mac),
        mtu_bytes=active.mtu_bytes,
        addresses=tuple(map(str, port.addresses)),
        gates=tuple([RelayGate(str(place), str(control)) for place, control in found]),
        source=str(source),
        source_port=bgp.source_port,
        is_signed=bgp.is_signed,
        key=bgp.key,
    )
