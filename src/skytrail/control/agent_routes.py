"""What agents published, and how it gets into the tables and out of them.

```
 publish, withdraw --> Peer.adj_in --> Path in its slot --> Replicator
 leave (unsubscribed) --> Peer.leaving --chore--> out of all tables
```
What is kept of an agent's words and what stands in tables may differ for a while: chores follow in
slices. An instance that configuration does not know, or that the host may not use, has no table for
a route, which is kept all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat

from skytrail.control.chores import STEPS_OF_PUTTING
from skytrail.control.hosts import Hosts, asker_of
from skytrail.control.path import InstanceName, Interner, Path, PathSlot
from skytrail.control.peer import AdjRoute, Peer, PeerRefused
from skytrail.control.route_target import Replicator
from skytrail.net import IpAddress
from skytrail.wire.xmpp import Route, RouteKey

_BEFORE_ALL = -1
"""The generation of what counts as said in no session that there was."""


class AgentRoutes:
    """Keeps tables in step with every agent's adj-RIB-in. ``may_use``: whether its routes count."""

    def __init__(
        self,
        replicator: Replicator,
        hosts: Hosts,
        may_use: Callable[[Peer, InstanceName], bool],
    ) -> None:
        self._replicator = replicator
        self._hosts = hosts
        self._may_use = may_use
        self._interner = Interner()

    def publish(self, peer: Peer, instance: InstanceName, route: Route, count_max: int) -> None:
        """An agent says a route; raises ``PeerRefused`` beyond ``count_max`` of them."""
        if instance not in peer.subscriptions:
            peer.counters.routes_ignored += 1
            return
        routes = peer.adj_in.setdefault(instance, {})
        before = routes.get(route.key) or self._returning(peer, instance, route.key)
        if before is None:
            if peer.routes_count >= count_max:
                raise PeerRefused(f"more than {count_max} routes")
            peer.routes_count += 1
        peer.counters.routes_published += 1
        intern = self._interner.intern
        shared = Route(route.key, intern(route.next_hops), intern(route.attributes))
        if before is None:
            slot = PathSlot(peer.name, instance, route.key)
            before = routes[route.key] = AdjRoute(shared, slot, peer.generation)
        elif before.generation == peer.generation and before.route == shared:
            return
        else:
            before.route, before.generation = shared, peer.generation
        self._put(peer, instance, before)

    def _returning(self, peer: Peer, instance: InstanceName, key: RouteKey) -> AdjRoute | None:
        """Return what is still to leave the tables: what is said now takes its place there."""
        adjacent = peer.leaving.get(instance, {}).pop(key, None)
        if adjacent is not None:
            peer.adj_in[instance][key] = adjacent
            adjacent.generation = _BEFORE_ALL
        return adjacent

    def withdraw(self, peer: Peer, instance: InstanceName, key: RouteKey) -> None:
        """An agent takes a route back; unknown ones are ignored."""
        routes = peer.adj_in.get(instance, {})
        adjacent = routes.pop(key, None)
        if adjacent is None:
            return
        if not routes:
            del peer.adj_in[instance]
        peer.routes_count -= 1
        peer.counters.routes_withdrawn += 1
        if instance in self._replicator.vrfs:
            self._replicator.remove(adjacent.slot)

    def leave(self, peer: Peer, instance: InstanceName) -> None:
        """An agent unsubscribed: all it said there goes, in slices."""
        routes = peer.adj_in.pop(instance, None)
        if routes:
            peer.leaving.setdefault(instance, {}).update(routes)
            # Chores that have the routes in hand must not put them back.
            routes.clear()
            self._replicator.chores.add(self._leaving(peer, instance))

    def put_all(self, peer: Peer, instance: InstanceName) -> None:
        """Put what an agent said into an instance's table, or take it out, in slices.

        Asked for again before it is over, it begins anew: agents may have this done at will.
        """
        if instance in peer.putting:
            peer.putting[instance] = True
            return
        peer.putting[instance] = False
        self._replicator.chores.add(self._putting_all(peer, instance))

    def _putting_all(self, peer: Peer, instance: InstanceName) -> Iterator[None]:
        yield from self.putting(peer, instance)
        while peer.putting[instance]:
            peer.putting[instance] = False
            yield from self.putting(peer, instance)
        del peer.putting[instance]

    def putting(
        self, peer: Peer, instance: InstanceName, among: frozenset[IpAddress] | None = None
    ) -> Iterator[None]:
        """Let tables follow what is true of an agent's routes in an instance by then: a chore.

        ``among``: of those only that lead to one of these addresses, or ask for copies to it.
        """
        routes = peer.adj_in.get(instance, {})
        for key, adjacent in list(routes.items()):
            hops = adjacent.route.next_hops
            if among is not None and not (
                asker_of(key) in among or any(hop.address in among for hop in hops)
            ):
                yield
                continue
            yield from repeat(None, STEPS_OF_PUTTING)
            if routes.get(key) is not adjacent or instance not in peer.subscriptions:
                continue
            if self._may_use(peer, instance):
                self._put(peer, instance, adjacent)
            elif instance in self._replicator.vrfs:
                self._replicator.remove(adjacent.slot)

    def aging(self, peer: Peer, generation: int) -> Iterator[None]:
        """Let tables know that an agent's routes are stale, unless they are said again: a chore."""
        for instance, routes in list(peer.adj_in.items()):
            for key, adjacent in list(routes.items()):
                yield from repeat(None, STEPS_OF_PUTTING)
                if adjacent.generation < generation and routes.get(key) is adjacent:
                    self._put(peer, instance, adjacent)

    def sweeping(self, peer: Peer, generation: int) -> Iterator[None]:
        """Withdraw what an agent did not say again since a session of its began: a chore."""
        for instance, routes in list(peer.adj_in.items()):
            for key, adjacent in list(routes.items()):
                yield from repeat(None, STEPS_OF_PUTTING if adjacent.generation < generation else 1)
                if adjacent.generation < generation and routes.get(key) is adjacent:
                    self.withdraw(peer, instance, key)

    def _leaving(self, peer: Peer, instance: InstanceName) -> Iterator[None]:
        leaving = peer.leaving.get(instance, {})
        for key, adjacent in list(leaving.items()):
            yield from repeat(None, STEPS_OF_PUTTING)
            if leaving.get(key) is adjacent:
                del leaving[key]
                peer.routes_count -= 1
                peer.counters.routes_withdrawn += 1
                self._replicator.remove(adjacent.slot)
        if not leaving and peer.leaving.get(instance) is leaving:
            del peer.leaving[instance]

    def _put(self, peer: Peer, instance: InstanceName, adjacent: AdjRoute) -> None:
        vrf = self._replicator.vrfs.get(instance)
        if vrf is None or not self._may_use(peer, instance):
            return
        route, is_stale = adjacent.route, adjacent.generation != peer.generation
        if not self._hosts.may_say(peer.name, route.key):
            self._replicator.remove(adjacent.slot)
            return
        if is_stale and route.attributes.replicates:
            # Without it everybody copies for himself and nobody is left out (ADR 0210).
            self._replicator.remove(adjacent.slot)
            return
        hops = self._hosts.next_hops(peer.name, route.next_hops, instance)
        number = peer.subscriptions[instance].instance_id
        self._replicator.put(
            Path(
                slot=adjacent.slot,
                distinguisher=self._hosts.distinguisher(peer.name, hops, number),
                next_hops=hops,
                attributes=route.attributes,
                targets=vrf.config.exports,
                virtual_network=vrf.config.virtual_network,
                is_stale=is_stale,
            )
        )
