"""Whose tunnel address is whose, as far as the configuration says: no host speaks for another. Pure.

A host in strange hands could publish routes that lead to another host's tunnel, or under that host's
route distinguishers: these then count as copies of the other host's routes (ADR 0145) and hide them
from everybody who imports them.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, ip_address
from typing import TypeAlias

from skytrail.control.config_graph import Change
from skytrail.control.path import PeerName, usable_next_hops
from skytrail.model.generated.objects import VirtualRouter
from skytrail.net import BROADCAST_MAC, IpAddress, RouteDistinguisher, number_of
from skytrail.wire.xmpp import EnetKey, NextHop, RouteKey

_INSTANCE_ID_MASK = 0xFFFF
_NOWHERE = IPv4Address(0)

_Host: TypeAlias = tuple[PeerName, IpAddress]


class Hosts:
    """Addresses of the virtual-routers."""

    def __init__(self) -> None:
        self._addresses: dict[PeerName, IpAddress] = {}
        self._names: dict[IpAddress, dict[PeerName, None]] = {}

    def follow(self, changes: Iterable[Change]) -> tuple[frozenset[PeerName], frozenset[IpAddress]]:
        """Take over changed configuration.

        Returns hosts and addresses: routes of these agents, and those that lead to these addresses,
        may mean something else now.
        """
        names: set[PeerName] = set()
        addresses: set[IpAddress] = set()
        for change in changes:
            if not any(isinstance(version, VirtualRouter) for version in change.versions):
                continue
            before = _host(change.before)
            after = _host(change.after)
            if before != after:
                for name, address in filter(None, (before, after)):
                    names.add(name)
                    addresses.add(address)
                self._forget(before)
                self._note(after)
        return frozenset(names), frozenset(addresses)

    def next_hops(
        self, name: PeerName, hops: tuple[NextHop, ...], instance: str
    ) -> tuple[NextHop, ...]:
        """Return those of an agent's next hops that may be used: none is another host's.

        The common case keeps the interned tuple.
        """
        usable = usable_next_hops(hops, instance)
        kept = tuple([hop for hop in usable if self._may_name(name, hop.address)])
        return hops if len(kept) == len(hops) else kept

    def may_say(self, name: PeerName, key: RouteKey) -> bool:
        """Tell whether an agent may say such a route: copies are asked for by who gets them.

        Said for another host, it would stand beside that host's own in tables: who wins has the
        copies, or says which groups the other one does not want.
        """
        asker = asker_of(key)
        return asker is None or self._may_name(name, asker)

    def distinguisher(
        self, name: PeerName, hops: tuple[NextHop, ...], instance_id: int
    ) -> RouteDistinguisher:
        """Return what tells an agent's routes in one of its VRFs from all others."""
        address = self._addresses.get(name)
        if address is None and hops:
            # Configuration does not know the host: it is where its routes lead.
            address = hops[0].address
        router = _NOWHERE if address is None else number_of(address)
        return RouteDistinguisher.of_address(router, instance_id & _INSTANCE_ID_MASK)

    def _may_name(self, name: PeerName, address: IpAddress) -> bool:
        names = self._names.get(address)
        return names is None or name in names

    def _note(self, host: _Host | None) -> None:
        if host is not None:
            name, address = host
            self._addresses[name] = address
            self._names.setdefault(address, {})[name] = None

    def _forget(self, host: _Host | None) -> None:
        if host is None:
            return
        name, address = host
        names = self._names[address]
        del names[name]
        if not names:
            del self._names[address]
        if self._addresses.get(name) == address:
            del self._addresses[name]


def asker_of(key: RouteKey) -> IpAddress | None:
    """Return who asks for copies by a route; None: it asks for none."""
    if not isinstance(key, EnetKey) or key.mac != BROADCAST_MAC or key.address is None:
        return None
    return key.address.network_address


def _host(router: object) -> _Host | None:
    if not isinstance(router, VirtualRouter):
        return None
    try:
        address = ip_address(router.virtual_router_ip_address or "")
    except ValueError:
        # Not said, or what the API took for an address.
        return None
    return PeerName(router.fq_name[-1]), address
