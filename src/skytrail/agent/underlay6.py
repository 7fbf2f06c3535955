"""What a host whose underlay is IPv6 does not do for its workloads, said where they ask for it. Pure.

Each of these sends packets into the underlay, or to a host's address, as IPv4 (ADR 0272).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from skytrail.agent.interface import ActivePort, PortState
from skytrail.agent.nexthop import Underlay
from skytrail.agent.view import View
from skytrail.net import IpAddress
from skytrail.wire.xmpp import PortTrouble

_SHOWN_COUNT_MAX = 3
SERVICES_UNSERVED = (
    "services of the underlay for workloads (link-local, metadata): need an IPv4 underlay"
)


def unserved(ports: Mapping[str, PortState], underlay: Underlay) -> Iterator[PortTrouble]:
    """Yield the ports that ask for what only hosts with an IPv4 underlay do."""
    if underlay.address4 is not None:
        return
    for uuid, state in sorted(ports.items()):
        if isinstance(state, ActivePort) and (asked := ", ".join(_asked(state))):
            yield PortTrouble(uuid, f"not over the IPv6 underlay of this host: {asked}")


def _asked(state: ActivePort) -> Iterator[str]:
    port = state.port
    if port.mirror is not None:
        yield "mirroring"
    if port.bgp is not None:
        yield "BGP as a service"
    if port.network.leaves_by_host:
        yield "the way out by the host's address (fabric SNAT)"
    if port.network.is_underlay:
        yield "forwarding without tunnels"


def unmet(view: View, far: Iterable[IpAddress], underlay: Underlay) -> Iterator[str]:
    """Yield what the host cannot do as its underlay is; ``far``: where no tunnel of it leads."""
    if view.fabric.services and underlay.address4 is None:
        yield SERVICES_UNSERVED
    if view.replicator is not None and not underlay.reaches(view.replicator):
        yield (
            f"replicator-address {view.replicator}: copies for others need an address of the tunnel"
            f" address's IP version, which {underlay.address} is"
        )
    yield from out_of_reach(far, underlay)


def out_of_reach(addresses: Iterable[IpAddress], underlay: Underlay) -> Iterator[str]:
    """Yield a line when routes lead to hosts of the other IP version."""
    found = sorted(addresses)
    if not found:
        return
    shown = ", ".join(str(each) for each in found[:_SHOWN_COUNT_MAX])
    more = len(found) - _SHOWN_COUNT_MAX
    yield (
        f"routes lead to {shown}{f' and {more} more' if more > 0 else ''}: no tunnel goes there from"
        f" {underlay.address}, which is IPv{underlay.address.version}"
    )
