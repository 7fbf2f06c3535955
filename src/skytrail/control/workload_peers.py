"""Workloads as BGP peers: what they announce is routed in their network, what is there is told.

```
 session_up, receive --> heard --> WorkloadRoutes (a Maker) --> origination: led to the route of the
                                        ^                       next hop, like a static route
 the instance's tables change ----------+--> to tell --> collect: best paths, next hop the gateway
```
A workload's routes are there while its session is, and its next hop's route is selected. Nothing
waits for a lost session: a workload that is gone forwards nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_network

from skytrail.control.bgp_config import BgpConfig
from skytrail.control.bgp_export import ExportPolicy, for_peers
from skytrail.control.bgp_peer import TooManyPrefixes
from skytrail.control.bgp_values import community_number, community_text
from skytrail.control.config_graph import Change
from skytrail.control.derived_routes import DerivedRoutes
from skytrail.control.origination import Best, Draft, IpPrefix, Table
from skytrail.control.path import Made, Path, PeerName
from skytrail.control.route_target import Replicator
from skytrail.control.service_chain import anchors
from skytrail.control.workload_config import CARRIED, WorkloadConfig, workload_configs
from skytrail.model.generated.objects import BgpAsAService, BgpRouter, RoutingInstance
from skytrail.model.graph import ObjectGraph
from skytrail.net import BROADCAST_MAC, IpAddress
from skytrail.wire.bgp import Attributes, BgpFamily, Demarcation, Negotiated, RouteRefresh, Update
from skytrail.wire.bgp.attributes import DEFAULT_LOCAL_PREFERENCE, ORIGIN_IGP
from skytrail.wire.bgp.nlri import Nlri
from skytrail.wire.bgp.update_encode import (
    AttributesTooLong,
    encode_end_of_rib,
    encode_update,
    encode_withdraw,
)
from skytrail.wire.xmpp import EnetKey, Family, NextHop, RouteKey

KIND = "bgpaas"
WINDOW_COUNT = 1000
_BGP_FAMILIES = {family: bgp for bgp, family in CARRIED.items()}


@dataclass(frozen=True, slots=True)
class _Heard:
    next_hop: IpPrefix
    """The host prefix of the next hop."""
    attributes: Attributes


class WorkloadRoutes:
    """A maker of what one workload announces in one family."""

    def __init__(self, config: WorkloadConfig, family: Family, owner: WorkloadPeer) -> None:
        self._table: Table = (config.instance, family)
        self._network = config.network
        self._name = config.name
        self._owner = owner
        self.heard: dict[RouteKey, _Heard] = {}
        self._by_next_hop: dict[RouteKey, dict[RouteKey, None]] = {}

    @property
    def spec(self) -> object:
        return f"{KIND} {self._name} {self._table[1].name.lower()}"

    @property
    def table(self) -> Table:
        return self._table

    @property
    def watched(self) -> tuple[Table, ...]:
        return (self._table,)

    @property
    def stands_for(self) -> Collection[RouteKey]:
        return ()

    def touched(self, table: Table, key: RouteKey, best: Best) -> Iterable[RouteKey]:
        """Have the workload told, and follow its next hops."""
        del best
        self._owner.table_changed(table[1], key)
        return tuple(self._by_next_hop.get(key, ()))

    def make(self, key: RouteKey, best: Best) -> Iterator[Draft]:
        """Yield one path for each way to the next hop."""
        heard = self.heard.get(key)
        if heard is None or key == heard.next_hop:
            return
        attributes = heard.attributes
        for anchor in anchors(best(self._table, heard.next_hop)):
            yield Draft(
                anchor=anchor,
                made=Made(KIND),
                next_hops=self._led_to(anchor),
                attributes=replace(
                    anchor.attributes,
                    sequence_number=0,
                    sticky=False,
                    local_preference=_preference(attributes),
                    med=attributes.med or 0,
                    communities=tuple(map(community_text, attributes.communities)),
                    sub_protocol=KIND,
                ),
                virtual_network=self._network,
                as_path=attributes.as_path,
            )

    def _led_to(self, anchor: Path) -> tuple[NextHop, ...]:
        """Return an anchor's next hops, each with the network it is in.

        The next hop a workload names may be in a connected network. Were it told as one of the
        workload's own network, everybody there could reach it under an announced address without a
        policy between the networks being asked.
        """
        born = anchor.virtual_network or self._network
        return tuple(
            [replace(hop, virtual_network=hop.virtual_network or born) for hop in anchor.next_hops]
        )

    def put(self, key: RouteKey, heard: _Heard) -> None:
        self.remove(key)
        self.heard[key] = heard
        self._by_next_hop.setdefault(heard.next_hop, {})[key] = None

    def remove(self, key: RouteKey) -> None:
        former = self.heard.pop(key, None)
        if former is not None:
            keys = self._by_next_hop[former.next_hop]
            del keys[key]
            if not keys:
                del self._by_next_hop[former.next_hop]


def _preference(attributes: Attributes) -> int:
    given = attributes.local_preference
    return DEFAULT_LOCAL_PREFERENCE if given is None else given


@dataclass(slots=True)
class WorkloadPeer:
    """One configured session, across its connections."""

    config: WorkloadConfig
    is_up: bool = False
    up_since: float = 0.0
    sessions: int = 0
    last_down_reason: str = ""
    last_problem: str = ""
    routes_refused: int = 0
    """Announced in a loop, or with a next hop that is none."""
    negotiated: Negotiated | None = None
    makers: dict[Family, WorkloadRoutes] = field(default_factory=dict[Family, WorkloadRoutes])
    told: dict[tuple[Family, RouteKey], Attributes] = field(
        default_factory=dict[tuple[Family, RouteKey], Attributes]
    )
    to_tell: dict[tuple[Family, RouteKey], None] = field(
        default_factory=dict[tuple[Family, RouteKey], None]
    )
    ends_to_send: list[BgpFamily] = field(default_factory=list[BgpFamily])

    def __post_init__(self) -> None:
        self.makers = {
            CARRIED[family]: WorkloadRoutes(self.config, CARRIED[family], self)
            for family in self.config.peer.families
        }

    def table_changed(self, family: Family, key: RouteKey) -> None:
        if self.is_up:
            self.to_tell[family, key] = None


class WorkloadPeers:
    """All workloads that may peer with this node. Not safe for use from more than one thread."""

    def __init__(self, replicator: Replicator, derived: DerivedRoutes) -> None:
        self.peers: dict[PeerName, WorkloadPeer] = {}
        self.config = BgpConfig()
        """The node's own: without a speaker nobody is answered."""
        self.problems: tuple[str, ...] = ()
        self._replicator = replicator
        self._derived = derived
        self._changes: dict[PeerName, None] = {}
        self._by_port: dict[int, PeerName] = {}

    # Configuration.

    def follow(self, changes: Iterable[Change], graph: ObjectGraph, config: BgpConfig) -> None:
        """Take over changed configuration; sessions follow by :meth:`take_changes`."""
        concerns = (BgpRouter, BgpAsAService, RoutingInstance)
        is_other = config.speaker != self.config.speaker
        self.config = config
        if not is_other and not any(
            isinstance(version, concerns) for change in changes for version in change.versions
        ):
            return
        speaker = config.speaker
        wanted, self.problems = (
            workload_configs(graph, speaker.asn) if speaker is not None else ({}, ())
        )
        for name in [name for name in self.peers if name not in wanted]:
            self._stop(name)
        for text, each in wanted.items():
            name = PeerName(text)
            known = self.peers.get(name)
            if known is not None and known.config == each and not is_other:
                continue
            if known is not None:
                self._stop(name)
            if not each.peer.is_down:
                peer = self.peers[name] = WorkloadPeer(each)
                self._derived.configure(f"{KIND} {name}", peer.makers.values())
                self._changes[name] = None
        self._by_port = {peer.config.source_port: name for name, peer in self.peers.items()}

    def take_changes(self) -> list[PeerName]:
        """Return peers whose sessions must be started, restarted or, if unknown now, ended."""
        changes, self._changes = self._changes, {}
        return list(changes)

    def expected(self, address: IpAddress, port: int) -> PeerName | None:
        """Return whose connection comes from there: a port that is some workload's, on its host.

        Whoever can send from another host's address may be anybody, but a host that the workload
        does not run on is nobody. A workload whose routes are withdrawn, because its host finds it
        not well, may run on any host with members of its network: it is to peer before it is well.
        """
        name = self._by_port.get(port)
        if name is None:
            return None
        config = self.peers[name].config
        vrf = self._replicator.vrfs.get(config.instance)
        if vrf is None:
            return None
        place = ip_network(config.peer.address)
        family = Family.INET if isinstance(place, IPv4Network) else Family.INET6
        hosts = {
            hop.address for path in anchors(vrf.ribs[family].best(place)) for hop in path.next_hops
        }
        if not hosts:
            member = EnetKey(BROADCAST_MAC, ip_network(address))
            ways = anchors(vrf.ribs[Family.ENET].best(member))
            hosts = {hop.address for path in ways for hop in path.next_hops}
        return name if address in hosts else None

    def _stop(self, name: PeerName) -> None:
        self.session_down(name, "no longer configured", 0.0, graceful=False)
        del self.peers[name]
        self._derived.configure(f"{KIND} {name}", ())
        self._changes[name] = None

    # Sessions: what a link calls.

    def session_up(self, name: str, negotiated: Negotiated, now: float) -> None:
        """A session is established."""
        peer = self.peers[PeerName(name)]
        if peer.is_up:
            self.session_down(name, "replaced", now, graceful=False)
        peer.is_up, peer.up_since, peer.negotiated = True, now, negotiated
        peer.sessions += 1
        peer.ends_to_send = [
            family for family in peer.config.peer.families if family in negotiated.families
        ]
        peer.told = {}
        self._repeat(peer, peer.makers)

    def session_down(self, name: str, reason: str, now: float, *, graceful: bool) -> None:
        """A session is over, and with it what was announced."""
        del now, graceful
        peer = self.peers[PeerName(name)]
        if not peer.is_up:
            return
        peer.is_up, peer.last_down_reason, peer.negotiated = False, reason, None
        peer.told, peer.to_tell = {}, {}
        for maker in peer.makers.values():
            gone = list(maker.heard)
            for key in gone:
                maker.remove(key)
            self._remake(peer, maker, gone)

    def receive(self, name: str, update: Update) -> None:
        """Act on an UPDATE; raises ``TooManyPrefixes``."""
        peer = self.peers[PeerName(name)]
        if update.problems:
            peer.last_problem = "; ".join(update.problems)
        for unreach in update.withdrawn:
            maker = peer.makers.get(CARRIED[unreach.family]) if unreach.family in CARRIED else None
            if maker is not None:
                keys = [
                    each for each in unreach.nlri if isinstance(each, IPv4Network | IPv6Network)
                ]
                for key in keys:
                    maker.remove(key)
                self._remake(peer, maker, keys)
        for reach in update.reach:
            maker = peer.makers.get(CARRIED[reach.family]) if reach.family in CARRIED else None
            if maker is not None:
                self._hear(peer, maker, reach.family, reach.next_hop, reach.nlri, update.attributes)

    def refresh(self, name: str, message: RouteRefresh) -> None:
        """The workload wants a family again (RFC 2918); marks (RFC 7313) were not agreed upon."""
        family = CARRIED.get(message.family)
        if family is not None and message.demarcation is Demarcation.REQUEST:
            self._repeat(self.peers[PeerName(name)], (family,))

    def _repeat(self, peer: WorkloadPeer, families: Iterable[Family]) -> None:
        vrf = self._replicator.vrfs.get(peer.config.instance)
        if vrf is None:
            return
        for family in families:
            for told in [told for told in peer.told if told[0] is family]:
                del peer.told[told]
            if family in peer.makers:
                peer.to_tell.update(((family, key), None) for key in vrf.ribs[family].entries)

    def _hear(
        self,
        peer: WorkloadPeer,
        maker: WorkloadRoutes,
        family: BgpFamily,
        next_hop: IpAddress,
        nlri: Iterable[Nlri],
        attributes: Attributes,
    ) -> None:
        keys = [each for each in nlri if isinstance(each, IPv4Network | IPv6Network)]
        limit = dict(peer.config.peer.prefix_limits).get(family)
        host = ip_network(next_hop)
        # A route that has been here, or leads nowhere in its own family, takes the former's place.
        is_refused = self._is_loop(peer, attributes) or host.version != (
            4 if family is BgpFamily.INET else 6
        )
        for key in keys:
            if is_refused:
                peer.routes_refused += 1
                maker.remove(key)
            else:
                maker.put(key, _Heard(host, attributes))
        self._remake(peer, maker, keys)
        if limit is not None and len(maker.heard) > limit:
            raise TooManyPrefixes(f"more than {limit} routes of {family.name.lower()}")

    def _is_loop(self, peer: WorkloadPeer, attributes: Attributes) -> bool:
        speaker = self.config.speaker
        own = {peer.config.peer.local_asn} | ({speaker.asn} if speaker is not None else set())
        own -= {peer.config.peer.asn}
        times = sum(number in own for segment in attributes.as_path for number in segment.numbers)
        return times > peer.config.peer.loop_count

    def _remake(self, peer: WorkloadPeer, maker: WorkloadRoutes, keys: Iterable[RouteKey]) -> None:
        self._derived.remake(f"{KIND} {peer.config.name}", maker.spec, keys)

    # Output.

    def take_ready(self) -> list[PeerName]:
        """Return peers with a session that have something to be told."""
        return [
            name
            for name, peer in self.peers.items()
            if peer.is_up and (peer.to_tell or peer.ends_to_send)
        ]

    def collect(self, name: str, bytes_max: int) -> list[bytes]:
        """Return the next messages for a workload, about ``bytes_max`` in all."""
        peer = self.peers[PeerName(name)]
        messages: list[bytes] = []
        size = 0
        while peer.to_tell and size < bytes_max:
            chunk = self._tell(peer)
            messages += chunk
            size += sum(map(len, chunk))
        if not peer.to_tell and peer.is_up:
            messages += [encode_end_of_rib(family) for family in peer.ends_to_send]
            peer.ends_to_send = []
        return messages

    def _tell(self, peer: WorkloadPeer) -> list[bytes]:
        """Tell what changed of up to ``WINDOW_COUNT`` destinations."""
        negotiated = peer.negotiated
        window = list(peer.to_tell)[:WINDOW_COUNT]
        for each in window:
            del peer.to_tell[each]
        if negotiated is None:
            return []
        reach: dict[tuple[Family, Attributes], list[Nlri]] = {}
        gone: dict[Family, list[Nlri]] = {}
        for family, key in window:
            if not isinstance(key, IPv4Network | IPv6Network):
                continue
            if _BGP_FAMILIES[family] not in negotiated.families:
                continue
            attributes = self._offer(peer, family, key)
            if attributes is None:
                if peer.told.pop((family, key), None) is not None:
                    gone.setdefault(family, []).append(key)
            elif peer.told.get((family, key)) != attributes:
                peer.told[family, key] = attributes
                reach.setdefault((family, attributes), []).append(key)
        messages: list[bytes] = []
        for family, nlri in gone.items():
            messages += encode_withdraw(_BGP_FAMILIES[family], nlri, negotiated)
        for (family, attributes), nlri in reach.items():
            hop = peer.config.gateway if family is Family.INET else peer.config.ipv6_gateway
            assert hop is not None
            try:
                messages += encode_update(_BGP_FAMILIES[family], hop, attributes, nlri, negotiated)
            except AttributesTooLong:
                messages += encode_withdraw(_BGP_FAMILIES[family], nlri, negotiated)
        return messages

    def _offer(self, peer: WorkloadPeer, family: Family, key: RouteKey) -> Attributes | None:
        """Return how a destination is told; None when it is not."""
        config = peer.config
        hop = config.gateway if family is Family.INET else config.ipv6_gateway
        vrf = self._replicator.vrfs.get(config.instance)
        if hop is None or not config.tells_routes or vrf is None:
            return None
        best = vrf.ribs[family].best(key)
        if not best or key in peer.makers[family].heard:
            # Not what it says itself.
            return None
        policy = ExportPolicy(
            is_external=config.peer.is_external,
            local_asn=config.peer.local_asn,
            overridden_asn=config.peer.asn if config.peer.as_override else 0,
            private_as_action=config.peer.private_as_action if config.peer.is_external else "",
        )
        path = best[0]
        return for_peers(_plain(path), path, policy) if policy.admits(path) else None

    def rows(self) -> Iterator[Mapping[str, object]]:
        """Yield every session for introspection."""
        for name, peer in self.peers.items():
            config = peer.config
            yield {
                "name": name,
                "state": "established" if peer.is_up else "waiting",
                "instance": config.instance,
                "address": str(config.peer.address),
                "asn": config.peer.asn,
                "source_port": config.source_port,
                "routes_in": sum(len(maker.heard) for maker in peer.makers.values()),
                "routes_refused": peer.routes_refused,
                "routes_out": len(peer.told),
                "sessions": peer.sessions,
                "last_down_reason": peer.last_down_reason,
                "last_problem": peer.last_problem,
            }
        for problem in self.problems:
            yield {"name": problem.partition(": ")[0], "state": "refused", "last_problem": problem}


def _plain(path: Path) -> Attributes:
    """Return what a workload is told of a path: nothing of how the network is built."""
    if path.learned is not None:
        learned = path.learned.attributes
        return Attributes(
            origin=learned.origin, as_path=learned.as_path, communities=learned.communities
        )
    return Attributes(
        origin=ORIGIN_IGP,
        as_path=path.as_path,
        communities=tuple(sorted(filter(None, map(community_number, path.attributes.communities)))),
    )
