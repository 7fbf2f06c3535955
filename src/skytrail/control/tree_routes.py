"""Overlay trees as BGP carries them between control nodes (AFI 1, private SAFI 243).

| route | says | who says it |
| --- | --- | --- |
| local | a member, with the label it receives by (edge discovery, attribute 241) | its control node |
| global | that member's edges (edge forwarding, attribute 242) | whoever builds the tree |

A global route has the name of the local one that it answers. Nothing here has state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from skytrail.control.bgp_config import Speaker
from skytrail.control.bgp_export import naming
from skytrail.control.bgp_values import ENCAPSULATION_TYPES, NetworkIds, encapsulation_names
from skytrail.control.path import VPN_INSTANCE, Learned, Path, PathSlot, PeerName, Relay
from skytrail.control.relay import NO_DESTINATION
from skytrail.net import IpAddress, Label, RouteTarget
from skytrail.wire.bgp import (
    ERMVPN_GLOBAL,
    ERMVPN_LOCAL,
    Attributes,
    BgpFamily,
    DiscoveryEdge,
    ErmvpnNlri,
    ForwardingEdge,
    communities,
)
from skytrail.wire.bgp.attributes import BUILDS_NO_TREES, ORIGIN_IGP
from skytrail.wire.xmpp import RouteAttributes, TreeKey

OWN = PeerName("overlay trees")
"""The source of what this node says of trees itself."""
_SLOT = PathSlot(OWN, VPN_INSTANCE, NO_DESTINATION)


@dataclass(frozen=True, slots=True)
class Local:
    """A member of a tree."""

    nlri: ErmvpnNlri
    address: IpAddress
    label: Label
    encapsulations: tuple[str, ...]
    targets: frozenset[RouteTarget]
    virtual_network: str = ""
    is_stale: bool = False
    """The control node that says it is not connected to us."""
    may_build: bool = True
    """That node can be the builder: it knows what there is to know."""

    @property
    def key(self) -> TreeKey:
        return TreeKey(self.nlri.group, self.nlri.source)


@dataclass(frozen=True, slots=True)
class Global:
    """A member's edges as one control node built them."""

    builder: IPv4Address
    edges: tuple[ForwardingEdge, ...]
    is_stale: bool = False


def member_of(nlri: ErmvpnNlri) -> ErmvpnNlri:
    """Return the local route that a global one answers."""
    return replace(nlri, kind=ERMVPN_LOCAL)


def answer_to(nlri: ErmvpnNlri) -> ErmvpnNlri:
    """Return the global route that answers a local one."""
    return replace(nlri, kind=ERMVPN_GLOBAL)


def local_of(path: Path) -> Local | None:
    """Return the member a peer's path tells of; None when it does not say how to reach it."""
    relay, learned = path.relay, path.learned
    if relay is None or learned is None or not isinstance(relay.nlri, ErmvpnNlri):
        return None
    edges = learned.attributes.edge_discovery
    if not edges or not edges[0].labels:
        return None
    kinds = communities.tunnel_kinds(learned.attributes.extended_communities)
    return Local(
        nlri=relay.nlri,
        address=edges[0].address,
        label=Label(edges[0].labels[0][0]),
        encapsulations=encapsulation_names(kinds),
        targets=path.targets,
        virtual_network=path.virtual_network,
        is_stale=path.is_stale,
        may_build=BUILDS_NO_TREES not in learned.attributes.communities,
    )


def global_of(path: Path) -> Global | None:
    """Return the edges a peer's path tells of; None where there are none."""
    learned = path.learned
    if path.relay is None or learned is None or not learned.attributes.edge_forwarding:
        return None
    return Global(learned.router_id, learned.attributes.edge_forwarding, path.is_stale)


def local_path(local: Local, speaker: Speaker, networks: NetworkIds) -> Path:
    """Return what peers are told of a member of ours."""
    edge = DiscoveryEdge(local.address, ((local.label, local.label),))
    made = replace(
        _attributes(local, speaker, networks),
        edge_discovery=(edge,),
        communities=() if local.may_build else (BUILDS_NO_TREES,),
    )
    return _path(local.nlri, local, made, speaker)


def global_path(
    local: Local, edges: tuple[ForwardingEdge, ...], speaker: Speaker, networks: NetworkIds
) -> Path:
    """Return what peers are told of a member's edges, by who builds the tree."""
    made = replace(_attributes(local, speaker, networks), edge_forwarding=edges)
    return _path(answer_to(local.nlri), local, made, speaker)


def _attributes(local: Local, speaker: Speaker, networks: NetworkIds) -> Attributes:
    extended = tuple(_extended(local, speaker.asn, networks))
    return Attributes(origin=ORIGIN_IGP, extended_communities=extended)


def _extended(local: Local, asn: int, networks: NetworkIds) -> Iterator[bytes]:
    yield from sorted(target.packed for target in local.targets)
    for name in local.encapsulations:
        for number in ENCAPSULATION_TYPES.get(name, ()):
            yield communities.Encapsulation(number).packed
    network = networks.number(local.virtual_network)
    if network:
        yield communities.OriginVn(naming(asn, network), network).packed


def _path(nlri: ErmvpnNlri, local: Local, attributes: Attributes, speaker: Speaker) -> Path:
    # As if heard from outside: told to everybody, with nothing added for reflection.
    learned = Learned(attributes, is_external=True, router_id=speaker.router_id)
    return Path(
        slot=_SLOT,
        distinguisher=nlri.distinguisher,
        next_hops=(),
        attributes=RouteAttributes(),
        targets=local.targets,
        virtual_network=local.virtual_network,
        learned=learned,
        relay=Relay(BgpFamily.ERMVPN, speaker.router_id, nlri),
    )
