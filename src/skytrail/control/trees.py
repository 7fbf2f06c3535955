"""Overlay trees: who is a member, who builds, what each member is told.

```
 agents' joins --> claims --> Local routes, ours and those heard --> Tree: members, elected builder
                                                                        | if that is us
 agents <-- branch(agent) <-- Global routes, ours and those heard <-- edges of a Shape
```
One control node builds a tree: of those that have members in it, are in contact and say that they
know enough, the one with the lowest router id. Whoever is elected no more goes on until it has heard of the new one's work, so that
there is a tree at any moment. That two may build at once does no harm: the same members always
make the same tree, and parts of different ones form no circle (``tree_shape``).

Nothing is worked out where something happens: trees are noted, :meth:`Trees.settle` works them off,
and looks only at members whose neighbours changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TypeAlias

from skytrail.control.bgp_config import Speaker
from skytrail.control.bgp_values import NetworkIds
from skytrail.control.inclusive import stays_in
from skytrail.control.path import InstanceName, PeerName
from skytrail.control.relay import RelayEntry, RelayTable
from skytrail.control.route_target import Replicator
from skytrail.control.tree import Built, Tree, TreeName
from skytrail.control.tree_labels import AgentLabels
from skytrail.control.tree_routes import (
    OWN,
    Global,
    Local,
    answer_to,
    global_of,
    global_path,
    local_of,
    local_path,
    member_of,
)
from skytrail.net import IpAddress, Label, RouteDistinguisher, RouteTarget, number_of
from skytrail.wire.bgp import ERMVPN_GLOBAL, ERMVPN_LOCAL, BgpFamily, ErmvpnNlri, ForwardingEdge
from skytrail.wire.xmpp import JoinTree, TreeBranch, TreeEdge, TreeKey

Member: TypeAlias = tuple[PeerName, TreeName]
"""An agent in a tree."""
UNNAMED_ENCAPSULATIONS = ("gre", "udp")
"""What members have that name none."""
_INSTANCE_ID_MASK = 0xFFFF


@dataclass(slots=True)
class Claim:
    """What an agent said of one tree."""

    join: JoinTree
    instance_id: int
    label: Label | None
    """Taken from the agent's block; None: it had none left."""
    nlri: ErmvpnNlri | None = None
    """The route it is told as; None while its instance is not there."""
    is_stale: bool = False


class Trees:
    """All overlay trees of a control node. Not safe for use from more than one thread."""

    def __init__(self, replicator: Replicator, relay: RelayTable, networks: NetworkIds) -> None:
        self.trees: dict[TreeName, Tree] = {}
        self.claims: dict[PeerName, dict[TreeName, Claim]] = {}
        self._replicator = replicator
        self._relay = relay
        self._networks = networks
        self._speaker: Speaker | None = None
        self._may_build = False
        self._labels: dict[PeerName, AgentLabels] = {}
        self._claimants: dict[ErmvpnNlri, dict[Member, Claim]] = {}
        self._claims_in: dict[InstanceName, dict[Member, None]] = {}
        self._heard: dict[ErmvpnNlri, Local] = {}
        self._heard_by_target: dict[RouteTarget, dict[ErmvpnNlri, None]] = {}
        self._trees_of: dict[ErmvpnNlri, tuple[TreeName, ...]] = {}
        """Where routes that were heard are members."""
        self._heard_in: dict[InstanceName, dict[ErmvpnNlri, None]] = {}
        self._globals: dict[ErmvpnNlri, tuple[Global, ...]] = {}
        """What was heard of members' edges, by their local routes."""
        self._dirty: dict[TreeName, None] = {}
        self._news: dict[Member, None] = {}
        relay.on_tree = self._hear

    @property
    def router_id(self) -> IPv4Address:
        return IPv4Address(0) if self._speaker is None else self._speaker.router_id

    # Agents.

    def join(self, peer: PeerName, message: JoinTree, instance_id: int) -> None:
        """An agent is a member of a tree."""
        name = (InstanceName(message.instance), message.key)
        claims = self.claims.setdefault(peer, {})
        before = claims.get(name)
        self._news[peer, name] = None
        if before is not None and (before.join, before.instance_id) == (message, instance_id):
            self._confirm(before)
            return
        if before is not None:
            self.leave(peer, *name)
            claims = self.claims.setdefault(peer, {})
        labels = self._labels.setdefault(peer, AgentLabels())
        use = f"{message.instance} {message.key.group} {message.key.source}"
        label = labels.take(use, message.first_label, message.last_label)
        claim = claims[name] = Claim(message, instance_id, label)
        self._claims_in.setdefault(name[0], {})[peer, name] = None
        self._claim(peer, name, claim)

    def leave(self, peer: PeerName, instance: InstanceName, key: TreeKey) -> None:
        """An agent is no member of a tree any more."""
        name = (instance, key)
        claims = self.claims.get(peer, {})
        claim = claims.pop(name, None)
        if claim is None:
            return
        self._news[peer, name] = None
        self._unclaim(peer, name, claim)
        del self._claims_in[instance][peer, name]
        if claim.label is not None:
            self._labels[peer].give_back(claim.label)
        if not claims:
            del self.claims[peer]
            self._labels.pop(peer, None)

    def leave_instance(self, peer: PeerName, instance: InstanceName) -> None:
        for name in [name for name in self.claims.get(peer, {}) if name[0] == instance]:
            self.leave(peer, *name)

    def age(self, peer: PeerName) -> None:
        """The agent's session is gone; it stays a member for now, and no edge changes."""
        for claim in self.claims.get(peer, {}).values():
            claim.is_stale = True
            if claim.nlri is not None and len(self._claimants[claim.nlri]) > 1:
                self._hold(claim.nlri)

    def sweep(self, peer: PeerName) -> None:
        """Forget what the agent did not say again."""
        for name, claim in list(self.claims.get(peer, {}).items()):
            if claim.is_stale:
                self.leave(peer, *name)

    def branch(self, peer: PeerName, name: TreeName) -> TreeBranch | None:
        """Return what an agent is to be told of a tree; None: nothing."""
        claim = self.claims.get(peer, {}).get(name)
        if claim is None or claim.nlri is None or claim.label is None:
            return None
        tree, address = self.trees[name], claim.join.address
        best = self._edges_for(tree, claim.nlri, address, claim.label)
        if best is None:
            return None
        edges = tuple(
            TreeEdge(edge.outbound, Label(edge.outbound_label), _encapsulations(tree, edge))
            for edge in best.edges
        )
        return TreeBranch(name[1], claim.label, edges)

    def take_news(self) -> list[Member]:
        """Return agents that may have to be told something else of a tree."""
        news, self._news = self._news, {}
        return list(news)

    # Configuration.

    def speaker_changed(self, speaker: Speaker | None) -> None:
        """Say everything again, for this node speaks BGP under another name."""
        if speaker == self._speaker:
            return
        members = [
            (peer, name, claim)
            for peer, claims in self.claims.items()
            for name, claim in claims.items()
        ]
        for peer, name, claim in members:
            self._unclaim(peer, name, claim)
        self.settle()
        for name, tree in list(self.trees.items()):
            self._stop(tree)
            self._dirty[name] = None
        self._speaker = speaker
        for peer, name, claim in members:
            self._claim(peer, name, claim)

    def instance_changed(self, instance: InstanceName) -> None:
        """An instance appeared, went, or has other targets."""
        for peer, name in list(self._claims_in.get(instance, {})):
            claim = self.claims[peer][name]
            self._unclaim(peer, name, claim)
            self._claim(peer, name, claim)
        vrf = self._replicator.vrfs.get(instance)
        concerned = dict(self._heard_in.get(instance, {}))
        for target in vrf.config.imports if vrf is not None else ():
            concerned.update(self._heard_by_target.get(target, {}))
        for nlri in concerned:
            self._settle_in(nlri, self._heard[nlri])

    def may_build(self) -> None:
        """From now on this node knows enough to build: what it lacks is not there."""
        if not self._may_build:
            self._may_build = True
            for nlri in list(self._claimants):
                self._hold(nlri)

    def settle(self) -> None:
        """Build what is to be built; cheap when nothing happened."""
        dirty, self._dirty = self._dirty, {}
        for name in dirty:
            tree = self.trees.get(name)
            if tree is not None:
                self._settle_tree(tree)

    # Members.

    def _confirm(self, claim: Claim) -> None:
        was_stale, claim.is_stale = claim.is_stale, False
        if was_stale and claim.nlri is not None and len(self._claimants[claim.nlri]) > 1:
            self._hold(claim.nlri)

    def _claim(self, peer: PeerName, name: TreeName, claim: Claim) -> None:
        if claim.label is None or name[0] not in self._replicator.vrfs:
            return
        join = claim.join
        number = claim.instance_id & _INSTANCE_ID_MASK
        distinguisher = RouteDistinguisher.of_address(number_of(join.address), number)
        key = join.key
        nlri = ErmvpnNlri(ERMVPN_LOCAL, distinguisher, self.router_id, key.source, key.group)
        claimants = self._claimants.setdefault(nlri, {})
        if any(other != name for _, other in claimants):
            # Two instances under one number: routes of theirs could not be told apart.
            return
        claim.nlri = nlri
        claimants[peer, name] = claim
        self._hold(nlri)

    def _unclaim(self, peer: PeerName, name: TreeName, claim: Claim) -> None:
        nlri, claim.nlri = claim.nlri, None
        if nlri is None:
            return
        claimants = self._claimants[nlri]
        del claimants[peer, name]
        self._news[peer, name] = None
        if claimants:
            self._hold(nlri)
            return
        del self._claimants[nlri]
        self._remove(name, nlri)
        self._relay.remove((BgpFamily.ERMVPN, nlri), OWN)

    def _hold(self, nlri: ErmvpnNlri) -> None:
        """Let one of the agents that say they have a tunnel address have it, a present one first."""
        claimants = self._claimants[nlri]
        (_, name), claim = min(claimants.items(), key=lambda each: (each[1].is_stale, each[0][0]))
        config = self._replicator.vrfs[name[0]].config
        assert claim.label is not None
        local = Local(
            nlri,
            claim.join.address,
            claim.label,
            claim.join.encapsulations,
            config.exports,
            config.virtual_network,
            may_build=self._may_build,
        )
        self._put(name, local)
        if self._speaker is not None:
            path = local_path(local, self._speaker, self._networks)
            self._relay.put((BgpFamily.ERMVPN, nlri), path)

    def _put(self, name: TreeName, local: Local) -> None:
        tree = self.trees.get(name)
        if tree is None:
            tree = self.trees[name] = Tree(name)
        before = tree.locals.get(local.nlri)
        if before == local:
            return
        tree.put(local)
        self._dirty[name] = None
        if before is not None and before.encapsulations != local.encapsulations:
            self._tell_all(tree)

    def _remove(self, name: TreeName, nlri: ErmvpnNlri) -> None:
        self.trees[name].remove(nlri)
        self._dirty[name] = None

    # What peers say.

    def _hear(self, nlri: object, entry: RelayEntry | None) -> None:
        if not isinstance(nlri, ErmvpnNlri):
            return
        paths = [] if entry is None else [p for p in entry.paths.values() if p.source != OWN]
        if nlri.kind == ERMVPN_LOCAL and nlri.router_id != self.router_id:
            best = entry.best if entry is not None and paths else None
            self._hear_local(nlri, None if best is None else local_of(best))
        elif nlri.kind == ERMVPN_GLOBAL:
            found = [each for each in map(global_of, paths) if each is not None]
            self._hear_globals(member_of(nlri), found)

    def _hear_local(self, nlri: ErmvpnNlri, local: Local | None) -> None:
        before = self._heard.pop(nlri, None)
        for target in before.targets if before is not None else ():
            known = self._heard_by_target[target]
            del known[nlri]
            if not known:
                del self._heard_by_target[target]
        if local is not None:
            self._heard[nlri] = local
            for target in local.targets:
                self._heard_by_target.setdefault(target, {})[nlri] = None
        self._settle_in(nlri, local)

    def _settle_in(self, nlri: ErmvpnNlri, local: Local | None) -> None:
        """Let a member be in the trees of exactly the instances that it belongs to."""
        names = tuple(self._belongs_to(local)) if local is not None else ()
        for name in self._trees_of.pop(nlri, ()):
            if name not in names:
                self._remove(name, nlri)
                del self._heard_in[name[0]][nlri]
        for name in names:
            assert local is not None
            self._put(name, local)
            self._heard_in.setdefault(name[0], {})[nlri] = None
        if names:
            self._trees_of[nlri] = names

    def _belongs_to(self, local: Local) -> Iterator[TreeName]:
        for vrf in self._replicator.importers(local.targets):
            if stays_in(local.virtual_network, local.targets, vrf.config):
                yield vrf.name, local.key

    def _hear_globals(self, member: ErmvpnNlri, found: list[Global]) -> None:
        if self._globals.get(member, ()) == tuple(found):
            return
        if found:
            self._globals[member] = tuple(found)
        else:
            del self._globals[member]
        self._dirty.update(dict.fromkeys(self._trees_of.get(member, ())))
        for peer, name in self._claimants.get(member, ()):
            self._dirty[name] = None
            self._news[peer, name] = None

    # Building.

    def _settle_tree(self, tree: Tree) -> None:
        is_elected = tree.builder == self.router_id
        if not tree.is_built and is_elected:
            tree.start()
        elif tree.is_built and not is_elected and self._is_built_elsewhere(tree):
            self._stop(tree)
        for address in tree.changed():
            edges = tree.edges(address)
            for nlri in tree.members[address]:
                self._build(tree, nlri, edges)
        for nlri in tree.gone:
            self._build(tree, nlri, ())
        tree.gone = {}
        if not tree.locals:
            del self.trees[tree.name]

    def _is_built_elsewhere(self, tree: Tree) -> bool:
        """Whether the control node that builds from now on has done all that we did."""
        own = self.router_id
        # Routes of one tree come one by one: what is left of ours must not go before the last.
        return not tree.routers or all(
            any(
                not each.is_stale and (each.builder < own or own not in tree.routers)
                for each in self._globals.get(nlri, ())
            )
            for nlri in tree.built
        )

    def _stop(self, tree: Tree) -> None:
        for nlri in list(tree.built):
            self._build(tree, nlri, ())
        tree.shapes = {}

    def _build(self, tree: Tree, nlri: ErmvpnNlri, edges: tuple[ForwardingEdge, ...]) -> None:
        local = tree.locals.get(nlri)
        built = Built(local, edges) if edges and local is not None else None
        if tree.built.get(nlri) == built:
            return
        self._news.update(dict.fromkeys(self._claimants.get(nlri, ())))
        relay_key = (BgpFamily.ERMVPN, answer_to(nlri))
        if built is None or local is None:
            del tree.built[nlri]
            self._relay.remove(relay_key, OWN)
            return
        tree.built[nlri] = built
        if self._speaker is not None:
            path = global_path(local, edges, self._speaker, self._networks)
            self._relay.put(relay_key, path)

    def _edges_for(
        self, tree: Tree, nlri: ErmvpnNlri, address: IpAddress, label: Label
    ) -> Global | None:
        """Return the edges that count for a member of ours: of the first control node in contact."""
        offers = list(self._globals.get(nlri, ()))
        own = tree.built.get(nlri)
        if own is not None:
            offers.append(Global(self.router_id, own.edges))
        # Edges of a label that it had before lead to somebody else's tree by now.
        usable = [each for each in offers if _is_of(each.edges, address, label)]
        return min(usable, key=lambda each: (each.is_stale, each.builder), default=None)

    def _tell_all(self, tree: Tree) -> None:
        for nlri in tree.locals:
            self._news.update(dict.fromkeys(self._claimants.get(nlri, ())))

    # Introspection.

    def tree_rows(self) -> Iterator[Mapping[str, object]]:
        """Yield every tree: who builds it, how large it is."""
        for (instance, key), tree in self.trees.items():
            yield {
                "instance": instance,
                "group": str(key.group),
                "source": str(key.source),
                "members": len(tree.members),
                "builder": None if tree.builder is None else str(tree.builder),
                "built_here": tree.is_built,
                "control_nodes": sorted(map(str, tree.routers)),
            }

    def member_rows(self) -> Iterator[Mapping[str, object]]:
        """Yield every member of every tree with its edges, and agents that could not become one."""
        for (instance, key), tree in self.trees.items():
            for nlri, local in tree.locals.items():
                agents = [peer for peer, _ in self._claimants.get(nlri, ())]
                best = self._edges_for(tree, nlri, local.address, local.label)
                yield {
                    "instance": instance,
                    "group": str(key.group),
                    "source": str(key.source),
                    "member": str(local.address),
                    "label": local.label,
                    "control_node": str(nlri.router_id),
                    "agents": agents,
                    "stale": local.is_stale,
                    "builder": None if best is None else str(best.builder),
                    "edges": []
                    if best is None
                    else [f"{each.outbound} {each.outbound_label}" for each in best.edges],
                    "problem": "",
                }
        for peer, claims in self.claims.items():
            for (instance, key), claim in claims.items():
                if claim.nlri is None:
                    yield {
                        "instance": instance,
                        "group": str(key.group),
                        "source": str(key.source),
                        "member": str(claim.join.address),
                        "label": claim.label,
                        "control_node": str(self.router_id),
                        "agents": [peer],
                        "stale": claim.is_stale,
                        "builder": None,
                        "edges": [],
                        "problem": self._problem(instance, claim),
                    }

    def _problem(self, instance: InstanceName, claim: Claim) -> str:
        if claim.label is None:
            return "no free label in its block"
        if instance not in self._replicator.vrfs:
            return "no such instance"
        return "another instance has its number"


def _is_of(edges: Iterable[ForwardingEdge], address: IpAddress, label: Label) -> bool:
    return all((each.inbound, each.inbound_label) == (address, label) for each in edges)


def _encapsulations(tree: Tree, edge: ForwardingEdge) -> tuple[str, ...]:
    if edge.outbound not in tree.members:
        return UNNAMED_ENCAPSULATIONS
    return tree.chosen(edge.outbound).encapsulations or UNNAMED_ENCAPSULATIONS
