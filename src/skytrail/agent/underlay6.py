"""What a host does not do for its workloads as its underlay is, said where they ask for it. Pure.

Some send packets into the underlay, or to a host's address, as IPv4 (ADR 0272); collectors of copies
in the underlay are of either IP version, and the host has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from skytrail.agent.interface import ActivePort, PortState
from skytrail.agent.nexthop import Underlay
from skytrail.agent.view import View
from skytrail.net import IpAddress
from skytrail.wire.xmpp import PortTrouble

_SHOWN_COUNT_MAX = 3


def unserved(ports: Mapping[str, PortState], underlay: Underlay) -> Iterator[PortTrouble]:
    """Yield the ports that ask for what the underlay's IP version does not let this host do."""
    version = underlay.address.version
    for uuid, state in sorted(ports.items()):
        if isinstance(state, ActivePort) and (asked := ", ".join(_asked(state, underlay))):
            yield PortTrouble(uuid, f"not over the IPv{version} underlay of this host: {asked}")


def _asked(state: ActivePort, underlay: Underlay) -> Iterator[str]:
    port = state.port
    to = port.mirror.to if port.mirror is not None else None
    if to and to.analyzer and not to.instance and not underlay.reaches(to.analyzer):
        yield f"mirroring to {to.analyzer}"
    if underlay.address4 is not None:
        return
    if port.bgp is not None and not state.plugged.relay_ifindex:
        yield "BGP as a service, as the relay of its sessions does not run"
    if port.network.leaves_by_host:
        yield "the way out by the host's address (fabric SNAT)"
    if port.network.is_underlay:
        yield "forwarding without tunnels"


def unmet(view: View, far: Iterable[IpAddress], underlay: Underlay) -> Iterator[str]:
    """Yield what the host cannot do as its underlay is; ``far``: where no tunnel of it leads."""
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
        f"routes or mirrors lead to {shown}{f' and {more} more' if more > 0 else ''}: nothing goes there from"
        f" {underlay.address}, which is IPv{underlay.address.version}"
    )
