r"""Which members of an overlay tree are neighbours: a function of who they are, and of nothing else.

Each member has a rank and a path of ternary digits, both from a hash of its address. At every place
of the tree stands, of the members whose path leads through it, the one of lowest rank:
```
                 lowest of all
              0/      1|      \2        first digit of the others' paths
          lowest     lowest    lowest
         of the 0s  of the 1s  of the 2s      ... second digit, and so on
```
So whoever knows the same members draws the same tree, a member that comes or goes moves few others
(about two on average), and a parent's rank is lower than its child's in every tree that was ever
drawn. The last is what makes mixtures safe: however old what each member was told is, edges that
both their ends agree on form no circle (ADR 0152).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from skytrail.net import IpAddress

CHILDREN_MAX = 3
DEGREE_MAX = CHILDREN_MAX + 1
"""Neighbours of a member: its parent and its children."""
_HASH_BYTES = 16
_PATH_BYTES = 8


@dataclass(slots=True, eq=False)
class _Node:
    address: IpAddress
    rank: tuple[int, int]
    path: int
    parent: _Node | None = None
    children: list[_Node | None] = field(default_factory=lambda: [None] * CHILDREN_MAX)

    def digit(self, depth: int) -> int:
        """Return the digit that leads on from a depth; after forty of them all are 0."""
        return self.path // CHILDREN_MAX**depth % CHILDREN_MAX


def _node(salt: bytes, address: IpAddress) -> _Node:
    digest = hashlib.blake2b(address.packed, digest_size=_HASH_BYTES, key=salt).digest()
    rank = (int.from_bytes(digest[_PATH_BYTES:]), int(address))
    return _Node(address, rank, int.from_bytes(digest[:_PATH_BYTES]))


class Shape:
    """The tree of a set of members that changes; ``salt`` makes each tree another one."""

    def __init__(self, salt: bytes) -> None:
        self._salt = hashlib.blake2b(salt, digest_size=_HASH_BYTES).digest()
        self._nodes: dict[IpAddress, _Node] = {}
        self._root: _Node | None = None
        self._changed: dict[IpAddress, None] = {}

    def __contains__(self, address: IpAddress) -> bool:
        return address in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def parent(self, address: IpAddress) -> IpAddress | None:
        """Return the neighbour of lower rank; None for the root."""
        parent = self._nodes[address].parent
        return None if parent is None else parent.address

    def neighbours(self, address: IpAddress) -> list[IpAddress]:
        """Return a member's neighbours, its parent first; at most ``DEGREE_MAX``."""
        node = self._nodes[address]
        above = [] if node.parent is None else [node.parent.address]
        return above + [child.address for child in node.children if child is not None]

    def take_changed(self) -> list[IpAddress]:
        """Return members whose neighbours may be others since the last call; some may be gone."""
        changed, self._changed = self._changed, {}
        return list(changed)

    def add(self, address: IpAddress) -> None:
        """Add a member; one that is there already stays."""
        if address in self._nodes:
            return
        carried = self._nodes[address] = _node(self._salt, address)
        self._touch(carried)
        parent, digit, depth = None, 0, 0
        while True:
            here = self._root if parent is None else parent.children[digit]
            if here is None:
                self._place(carried, parent, digit)
                self._touch(parent)
                return
            if carried.rank < here.rank:
                self._place(carried, parent, digit)
                carried.children, here.children = here.children, [None] * CHILDREN_MAX
                for child in carried.children:
                    if child is not None:
                        child.parent = carried
                        self._touch(child)
                self._touch(parent)
                self._touch(here)
                carried, here = here, carried
            parent, digit, depth = here, carried.digit(depth), depth + 1

    def remove(self, address: IpAddress) -> None:
        """Remove a member; unknown ones are ignored. The places below move up."""
        gone = self._nodes.pop(address, None)
        if gone is None:
            return
        self._touch(gone)
        while True:
            self._touch(gone.parent)
            heirs = [child for child in gone.children if child is not None]
            if not heirs:
                break
            for child in heirs:
                self._touch(child)
            self._swap(gone, min(heirs, key=lambda child: child.rank))
        self._replace(gone, None)

    def _swap(self, node: _Node, child: _Node) -> None:
        """Let a child take its parent's place, and the parent the child's."""
        self._replace(node, child)
        place = node.children.index(child)
        node.children, child.children = child.children, node.children
        child.children[place] = node
        node.parent = child
        for parent in (node, child):
            for each in parent.children:
                if each is not None:
                    each.parent = parent

    def _replace(self, node: _Node, other: _Node | None) -> None:
        parent = node.parent
        if parent is None:
            self._root = other
        else:
            parent.children[parent.children.index(node)] = other
        if other is not None:
            other.parent = parent

    def _place(self, node: _Node, parent: _Node | None, digit: int) -> None:
        node.parent = parent
        if parent is None:
            self._root = node
        else:
            parent.children[digit] = node

    def _touch(self, node: _Node | None) -> None:
        if node is not None:
            self._changed[node.address] = None


def parents_of(salt: bytes, members: Iterable[IpAddress]) -> dict[IpAddress, IpAddress]:
    """Return every member's parent, the root's left out: the definition of a :class:`Shape`."""
    key = hashlib.blake2b(salt, digest_size=_HASH_BYTES).digest()
    parents: dict[IpAddress, IpAddress] = {}

    def descend(nodes: list[_Node], above: _Node | None, depth: int) -> None:
        if not nodes:
            return
        lowest = min(nodes, key=lambda node: node.rank)
        if above is not None:
            parents[lowest.address] = above.address
        for digit in range(CHILDREN_MAX):
            rest = [node for node in nodes if node is not lowest and node.digit(depth) == digit]
            descend(rest, lowest, depth + 1)

    descend([_node(key, address) for address in set(members)], None, 0)
    return parents
