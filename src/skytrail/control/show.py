"""The control node's tables as rows for introspection: every path, and why it is not used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from skytrail.control.best_path import why_best, why_not_best, why_not_told
from skytrail.control.bgp_peer import BgpPeer
from skytrail.control.membership import OWN, membership_text
from skytrail.control.nlri_text import nlri_text
from skytrail.control.path import InstanceName, Path
from skytrail.control.peer import Peer
from skytrail.control.plane import ControlPlane
from skytrail.control.rib import Rib, RibEntry
from skytrail.wire.xmpp import RouteKey
from skytrail.wire.xmpp.route_codec import key_text

Row = Mapping[str, object]

SLICED = frozenset(
    {
        "config",
        "groups",
        "instances",
        "memberships",
        "peers",
        "relayed",
        "routes",
        "subscriptions",
        "tables",
        "vpn",
    }
)
"""Tables whose rows may be read with anything happening in between: they walk copies of what may change."""


def routes_of(plane: ControlPlane, instance: str) -> Iterator[Row]:
    """Yield the rows of ``routes`` that are of one routing instance."""
    vrf = plane.replicator.vrfs.get(InstanceName(instance))
    return _routes(() if vrf is None else list(vrf.ribs.values()))


def tables(
    plane: ControlPlane, now: Callable[[], float]
) -> Mapping[str, Callable[[], Iterable[Row]]]:
    """Return every table by name."""
    return {
        "control": lambda: [_control(plane)],
        "peers": lambda: (
            _peer(peer, plane.revision, now()) for peer in list(plane.peers.values())
        ),
        "bgp": lambda: [_bgp_peer(peer, now()) for peer in plane.bgp.peers.values()],
        "subscriptions": lambda: _subscriptions(plane),
        "instances": lambda: _instances(plane),
        "tables": lambda: _tables(plane),
        "routes": lambda: _routes(_ribs(plane)),
        "vpn": lambda: _vpn(plane),
        "workloads": plane.workloads.rows,
        "memberships": lambda: _memberships(plane),
        "relayed": lambda: _relayed(plane),
        "duplicate_macs": lambda: plane.mac_moves.rows(now()),
        "made": plane.derived.rows,
        "trees": plane.trees.tree_rows,
        "tree_members": plane.trees.member_rows,
        "groups": lambda: _groups(plane),
        "config": lambda: _config(plane),
    }


def _control(plane: ControlPlane) -> Row:
    return {
        "revision": plane.revision,
        "config_complete": plane.is_config_complete,
        "settled": plane.is_settled,
        "objects": len(plane.config.graph),
        "instances": len(plane.replicator.vrfs),
        "peers": len(plane.peers),
        "peers_up": sum(peer.is_up for peer in plane.peers.values()),
        "bgp_problems": list(plane.bgp.config.problems),
        "underlay_refused": plane.underlay.refused,
    }


def _peer(peer: Peer, current: int, now: float) -> Row:
    return {
        "name": peer.name,
        "address": peer.address,
        "up": peer.is_up,
        "up_s": round(now - peer.up_since, 1) if peer.is_up else None,
        "last_down_reason": peer.last_down_reason,
        "sessions": peer.counters.sessions,
        "subscriptions": len(peer.subscriptions),
        "routes": peer.routes_count,
        "routes_stale": peer.stale_count,
        "end_of_rib_received": peer.end_of_rib_received,
        "end_of_rib_sent": peer.end_of_rib_sent,
        "end_of_config_sent": peer.end_of_config_sent,
        "revision": peer.progress.revision(current),
        "problem": peer.progress.problem,
        "ports_in_trouble": len(peer.progress.troubles),
        "machines_not_placed": len(peer.config.held),
        "config_objects": len(peer.config.nodes.sent),
        "config_links": len(peer.config.links.sent),
        "routes_published": peer.counters.routes_published,
        "routes_withdrawn": peer.counters.routes_withdrawn,
        "routes_ignored": peer.counters.routes_ignored,
        "messages_out": peer.counters.messages_out,
        "bytes_out": peer.counters.bytes_out,
        "groups_pending": len(peer.groups),
    }


def _bgp_peer(peer: BgpPeer, now: float) -> Row:
    config, negotiated, counters = peer.config, peer.negotiated, peer.counters
    return {
        "name": peer.name,
        "address": str(config.address),
        "as": config.asn,
        "local_as": config.local_asn,
        "up": peer.is_up,
        "up_s": round(now - peer.up_since, 1) if peer.is_up else None,
        "bfd": peer.bfd_state,
        "last_down_reason": peer.last_down_reason,
        "router_id": str(negotiated.peer_router_id) if negotiated else None,
        "families": [
            family.name.lower()
            for family in config.families
            if negotiated and family in negotiated.families
        ],
        "hold_time_s": negotiated.hold_time_s if negotiated else None,
        "routes": len(peer.adj_in),
        "routes_stale": peer.adj_in.stale_count,
        "sessions": counters.sessions,
        "updates_in": counters.updates_in,
        "problems": counters.problems,
        "last_problem": peer.last_problem,
        "messages_out": counters.messages_out,
        "bytes_out": counters.bytes_out,
        "memberships": len(peer.asked) if peer.has_memberships else None,
        "memberships_stale": peer.asked.stale_count,
        "ends_of_rib_received": sorted(family.name.lower() for family in peer.ends_received),
    }


def _subscriptions(plane: ControlPlane) -> Iterator[Row]:
    for peer in list(plane.peers.values()):
        for instance, subscription in list(peer.subscriptions.items()):
            yield {
                "peer": peer.name,
                "instance": instance,
                "instance_id": subscription.instance_id,
                "no_ribout": subscription.no_ribout,
                "stale": subscription.is_stale,
                "placed": plane.grants is None or plane.grants.may_use(peer.name, instance),
                "instance_known": instance in plane.replicator.vrfs,
            }


def _instances(plane: ControlPlane) -> Iterator[Row]:
    for vrf in list(plane.replicator.vrfs.values()):
        yield {
            "instance": vrf.name,
            "virtual_network": vrf.config.virtual_network,
            "exports": sorted(map(str, vrf.config.exports)),
            "imports": sorted(map(str, vrf.config.imports)),
        }


def _ribs(plane: ControlPlane) -> Iterator[Rib]:
    for vrf in list(plane.replicator.vrfs.values()):
        yield from vrf.ribs.values()


def _tables(plane: ControlPlane) -> Iterator[Row]:
    for rib in _ribs(plane):
        group = plane.groups.get((rib.instance, rib.family))
        paths = [path for entry in rib.entries.values() for path in entry.paths.values()]
        yield {
            "instance": rib.instance,
            "family": rib.family.name.lower(),
            "destinations": len(rib.entries),
            "paths": len(paths),
            "imported": sum(path.instance != rib.instance for path in paths),
            "members": len(group.members) if group else 0,
        }


def _routes(ribs: Iterable[Rib]) -> Iterator[Row]:
    for rib in ribs:
        for key, entry in list(rib.entries.items()):
            for path in list(entry.paths.values()):
                yield _route(rib, key, entry, path)


def _route(rib: Rib, key: RouteKey, entry: RibEntry, path: Path) -> Row:
    attributes = path.attributes
    return {
        "instance": rib.instance,
        "family": rib.family.name.lower(),
        "prefix": key_text(key),
        "source": path.source,
        "origin": path.instance,
        "best": path in entry.best,
        "why_best": why_best(path, entry.best, entry.paths.values(), rib.instance),
        "why_not_best": why_not_best(path, entry.best, rib.instance),
        "stale": path.is_stale,
        "made": path.made.kind if path.made else "",
        "changed_by_policy": path.original is not None and not path.rejected_by,
        "led_through": path.made.networks if path.made else (),
        "communities": attributes.communities,
        "next_hops": [
            {
                "address": str(hop.address),
                "label": hop.label,
                "vni": hop.vni,
                "encapsulations": hop.encapsulations,
                "virtual_network": hop.virtual_network or path.virtual_network,
            }
            for hop in path.next_hops
        ],
        "local_preference": attributes.local_preference,
        "sequence_number": attributes.sequence_number,
        "security_groups": attributes.security_groups,
        "distinguisher": str(path.distinguisher),
        "targets": sorted(map(str, path.targets)),
    }


def _vpn(plane: ControlPlane) -> Iterator[Row]:
    for family, table in plane.replicator.vpn.items():
        for entry in list(table.entries.values()):
            for path in entry.paths:
                yield {
                    "family": family.name.lower(),
                    "distinguisher": str(entry.distinguisher),
                    "prefix": key_text(entry.key),
                    "source": path.source,
                    "origin": path.instance,
                    "best": path is entry.best,
                    "why_not_best": why_not_told(path, entry.best),
                    "stale": path.is_stale,
                    "feasible": path.is_feasible,
                    "next_hops": [str(hop.address) for hop in path.next_hops],
                    "targets": sorted(map(str, path.targets)),
                    "as_path": _as_path(path),
                }


def _relayed(plane: ControlPlane) -> Iterator[Row]:
    """Yield routes of BGP peers that are in no instance: passed on as they came."""
    for (family, _), entry in list(plane.bgp.relay.entries.items()):
        for path in list(entry.paths.values()):
            yield {
                "family": family.name.lower(),
                "route": nlri_text(entry.nlri if path.relay is None else path.relay.nlri),
                "source": path.source,
                "best": path is entry.best,
                "why_not_best": "in a loop"
                if path.relay is None
                else why_not_told(path, entry.best),
                "stale": path.is_stale,
                "next_hop": None if path.relay is None else str(path.relay.next_hop),
                "targets": sorted(map(str, path.targets)),
                "as_path": _as_path(path),
            }


def _memberships(plane: ControlPlane) -> Iterator[Row]:
    memberships = plane.bgp.memberships
    if memberships is None:
        return
    told = {name: memberships.told(name) for name in plane.bgp.peers}
    for nlri, sources in memberships.sources().items():
        yield {
            "membership": membership_text(nlri),
            "wanted_here": OWN in sources,
            "wanted_by": sorted(source for source in sources if source != OWN),
            "told_to": sorted(name for name, each in told.items() if nlri in each),
        }


def _as_path(path: Path) -> list[int]:
    segments = path.learned.attributes.as_path if path.learned else ()
    return [number for segment in segments for number in segment.numbers]


def _groups(plane: ControlPlane) -> Iterator[Row]:
    for (instance, family), group in list(plane.groups.items()):
        yield {
            "instance": instance,
            "family": family.name.lower(),
            "members": group.members,
            "log_length": len(group.log),
            "items_encoded": group.counters.items_encoded,
            "messages_encoded": group.counters.messages_encoded,
            "messages_sent": group.counters.messages_sent,
            "compactions": group.log.compactions,
        }


def _config(plane: ControlPlane) -> Iterator[Row]:
    for peer in list(plane.peers.values()):
        for key in list(peer.config.nodes.sent):
            yield {"agent": peer.name, "type": key.type_name, "name": key.name}
