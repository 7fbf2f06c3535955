"""What a control node tells the analytics node: itself, its peers, its routing instances. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from skytrail.control.bgp_peer import BgpPeer
from skytrail.control.peer import Peer
from skytrail.control.plane import ControlPlane
from skytrail.wire.telemetry import Uve

CONTROL_NODES = "ObjectBgpRouter"


def uves(node: str, plane: ControlPlane) -> Iterator[Uve]:
    """Yield all UVEs of a control node but its state as a process."""
    yield _router(node, plane)
    for peer in plane.peers.values():
        yield _agent(node, peer)
    for peer in plane.bgp.peers.values():
        yield _bgp_peer(node, peer)
    for vrf in plane.replicator.vrfs.values():
        yield Uve(
            table="ObjectRoutingInstance",
            key=vrf.name,
            struct="RoutingInstanceStatsData",
            fields={
                "prefixes": sum(len(rib.entries) for rib in vrf.ribs.values()),
                "virtual_network": vrf.config.virtual_network,
            },
            rules={"prefixes": "counter"},
        )


def _router(node: str, plane: ControlPlane) -> Uve:
    agents, peers = list(plane.peers.values()), list(plane.bgp.peers.values())
    return Uve(
        table=CONTROL_NODES,
        key=node,
        struct="BgpRouterState",
        fields={
            "num_xmpp_peer": len(agents),
            "num_up_xmpp_peer": sum(peer.is_up for peer in agents),
            "num_bgp_peer": len(peers),
            "num_up_bgp_peer": sum(peer.is_up for peer in peers),
            "num_routing_instance": len(plane.replicator.vrfs),
            "config_revision": plane.revision,
            "ifmap_server_info": {"num_peer_clients": len(agents)},
        },
    )


def _agent(node: str, peer: Peer) -> Uve:
    return Uve(
        table="ObjectXmppPeerInfo",
        key=f"{node}:{peer.address or peer.name}",
        struct="XmppPeerInfoData",
        fields={
            "identifier": peer.name,
            "state_info": {"state": "Established" if peer.is_up else "Active"},
            "close_reason": "" if peer.is_up else peer.last_down_reason,
            "routes": peer.routes_count,
            "sessions": peer.counters.sessions,
        },
    )


def _bgp_peer(node: str, peer: BgpPeer) -> Uve:
    config = peer.config
    return Uve(
        table="ObjectBgpPeer",
        key=f"{node}:{peer.name}",
        struct="BgpPeerInfoData",
        fields={
            "peer_address": str(config.address),
            "peer_asn": config.asn,
            "local_asn": config.local_asn,
            "state_info": {"state": "Established" if peer.is_up else "Active"},
            "peer_type": "internal" if config.asn == config.local_asn else "external",
            "hold_time": peer.negotiated.hold_time_s if peer.negotiated else 0,
            "families": [family.name.lower() for family in config.families],
            "routes": len(peer.adj_in),
            "flap_info": {"flap_count": max(peer.counters.sessions - 1, 0)},
            "last_down_reason": "" if peer.is_up else peer.last_down_reason,
        },
    )
