"""One overlay tree as a control node sees it: its members, who may build, and what was built.

Hosts reach hosts with tunnel addresses of their own IP version alone, so the members of each version
are a tree by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TypeAlias

from skytrail.control.path import InstanceName
from skytrail.control.tree_routes import Local
from skytrail.control.tree_shape import Shape
from skytrail.net import IpAddress
from skytrail.wire.bgp import ErmvpnNlri, ForwardingEdge
from skytrail.wire.xmpp import TreeKey

TreeName: TypeAlias = tuple[InstanceName, TreeKey]


@dataclass(frozen=True, slots=True)
class Built:
    local: Local
    edges: tuple[ForwardingEdge, ...]


@dataclass(slots=True)
class Tree:
    """One tree of an instance, as this node sees it."""

    name: TreeName
    locals: dict[ErmvpnNlri, Local] = field(default_factory=dict[ErmvpnNlri, Local])
    members: dict[IpAddress, dict[ErmvpnNlri, None]] = field(
        default_factory=dict[IpAddress, dict[ErmvpnNlri, None]]
    )
    """By tunnel address; a member of several control nodes has several routes."""
    routers: dict[IPv4Address, int] = field(default_factory=dict[IPv4Address, int])
    """Control nodes that can build, and how many members each tells of."""
    shapes: dict[int, Shape] = field(default_factory=dict[int, Shape])
    """By IP version, while this node builds."""
    built: dict[ErmvpnNlri, Built] = field(default_factory=dict[ErmvpnNlri, Built])
    touched: dict[IpAddress, None] = field(default_factory=dict[IpAddress, None])
    gone: dict[ErmvpnNlri, None] = field(default_factory=dict[ErmvpnNlri, None])

    @property
    def builder(self) -> IPv4Address | None:
        """The elected control node."""
        return min(self.routers, default=None)

    @property
    def is_built(self) -> bool:
        """Whether this node builds."""
        return bool(self.shapes)

    def chosen(self, address: IpAddress) -> Local:
        """Return the route that counts for a member."""
        routes = [self.locals[nlri] for nlri in self.members[address]]
        return min(routes, key=lambda local: (local.is_stale, local.nlri.router_id))

    def put(self, local: Local) -> None:
        """Add a member's route or replace it."""
        self.remove(local.nlri)
        self.gone.pop(local.nlri, None)
        self.locals[local.nlri] = local
        self.members.setdefault(local.address, {})[local.nlri] = None
        self.touched[local.address] = None
        if local.may_build and not local.is_stale:
            router = local.nlri.router_id
            self.routers[router] = self.routers.get(router, 0) + 1

    def remove(self, nlri: ErmvpnNlri) -> None:
        """Remove a member's route; unknown ones are ignored."""
        local = self.locals.pop(nlri, None)
        if local is None:
            return
        self.gone[nlri] = None
        self.touched[local.address] = None
        routes = self.members[local.address]
        del routes[nlri]
        if not routes:
            del self.members[local.address]
        if local.may_build and not local.is_stale:
            router = nlri.router_id
            self.routers[router] -= 1
            if not self.routers[router]:
                del self.routers[router]

    def start(self) -> None:
        """Begin to build."""
        name, key = self.name
        salt = f"{name} {key.group} {key.source}".encode()
        self.shapes = {4: Shape(salt), 6: Shape(salt)}
        self.touched.update(dict.fromkeys(self.members))

    def changed(self) -> list[IpAddress]:
        """Return members whose edges may be others, once the shape has followed what happened."""
        if not self.is_built:
            self.touched = {}
            return []
        changed = dict(self.touched)
        for address in self.touched:
            shape = self.shapes[address.version]
            if address in self.members:
                shape.add(address)
                # It may have another label, which is part of its neighbours' edges.
                changed.update(dict.fromkeys(shape.neighbours(address)))
            else:
                shape.remove(address)
        for shape in self.shapes.values():
            changed.update(dict.fromkeys(shape.take_changed()))
        self.touched = {}
        return [address for address in changed if address in self.members]

    def edges(self, address: IpAddress) -> tuple[ForwardingEdge, ...]:
        """Return a member's edges as built."""
        label = self.chosen(address).label
        return tuple(
            ForwardingEdge(address, label, other, self.chosen(other).label)
            for other in self.shapes[address.version].neighbours(address)
        )
