"""Replication and update groups against naive models, over any order of events."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.control import change_log, rib_out
from skytrail.control.best_path import select, select_one
from skytrail.control.path import (
    VPN_INSTANCE,
    InstanceName,
    Learned,
    Path,
    PathSlot,
    PeerName,
)
from skytrail.control.rib import offer, only_source
from skytrail.control.rib_out import UpdateGroup
from skytrail.control.route_target import Replicator
from skytrail.control.vpn import Selection, VpnEntry
from skytrail.control.vrf import InstanceConfig
from skytrail.net import Label, RouteDistinguisher, RouteTarget
from skytrail.wire.bgp import Attributes
from skytrail.wire.xmpp import Family, ItemsEvent, NextHop, Route, RouteAttributes, RouteKey
from skytrail.wire.xmpp.codec import StanzaDecoder

INSTANCES = ("red", "blue", "green")
PEERS = ("a", "b", "c")
KEYS = tuple(IPv4Network((f"10.0.0.{number}", 32)) for number in range(4))
TARGETS = tuple(RouteTarget.parse(f"target:1:{number}") for number in range(3))
DISTINGUISHERS = {
    peer: RouteDistinguisher.parse(f"10.0.0.{number}:1") for number, peer in enumerate(PEERS, 1)
}
"""Each agent's; a BGP peer may repeat what an agent said, under the agent's distinguisher."""

TARGET_SETS = st.frozensets(st.sampled_from(TARGETS), min_size=1, max_size=2)
PUT = st.tuples(
    st.just("put"), st.sampled_from(PEERS), st.sampled_from(INSTANCES), st.sampled_from(KEYS),
    st.integers(0, 2),
)  # fmt: skip
REMOVE = st.tuples(
    st.just("remove"), st.sampled_from(PEERS), st.sampled_from(INSTANCES), st.sampled_from(KEYS)
)
HEAR = st.tuples(
    st.just("hear"), st.sampled_from(PEERS), st.sampled_from(KEYS), st.integers(0, 2), TARGET_SETS
)
UNHEAR = st.tuples(st.just("unhear"), st.sampled_from(PEERS), st.sampled_from(KEYS))
CONFIGURE = st.tuples(
    st.just("configure"), st.sampled_from(INSTANCES), TARGET_SETS | st.just(frozenset()),
    TARGET_SETS | st.just(frozenset()),
)  # fmt: skip
DROP = st.tuples(st.just("drop"), st.sampled_from(INSTANCES))
WORK = st.tuples(st.just("work"), st.integers(1, 3))
FIRST = st.tuples(
    *[
        st.tuples(st.just("configure"), st.just(name), TARGET_SETS, TARGET_SETS)
        for name in INSTANCES
    ]
)
STEPS = st.lists(
    st.one_of(PUT, PUT, HEAR, HEAR, REMOVE, UNHEAR, CONFIGURE, DROP, WORK), max_size=40
)


def path(slot: PathSlot, number: int, targets: frozenset[RouteTarget], peer: str = "a") -> Path:
    # A hop without label is unusable: number 0 makes an infeasible path.
    hop = NextHop(IPv4Address("172.16.0.1"), Label(16 + number), encapsulations=("udp",))
    heard = Learned(Attributes(), is_external=False, router_id=IPv4Address("10.9.9.9"))
    return Path(
        slot=slot,
        distinguisher=DISTINGUISHERS[peer],
        next_hops=(hop,) if number else (),
        attributes=RouteAttributes(local_preference=100 * number),
        targets=targets,
        learned=None if slot.instance else heard,
    )


class World:
    """A replicator, and what it was told."""

    def __init__(self, at_once: int) -> None:
        self.replicator = Replicator()
        self.replicator.chores.at_once = at_once
        self.configs: dict[str, InstanceConfig] = {}
        self.offers: dict[tuple[str, str, RouteKey], tuple[PathSlot, int]] = {}
        self.heard: dict[tuple[str, RouteKey], Path] = {}
        self.told: dict[VpnEntry, Path] = {}
        self.replicator.on_selection = self._selected

    def _selected(self, changes: list[Selection]) -> None:
        for entry, before in changes:
            assert self.told.get(entry) is before
            if entry.best is None:
                del self.told[entry]
            else:
                self.told[entry] = entry.best

    def act(self, step: tuple[object, ...]) -> None:
        replicator, configs = self.replicator, self.configs
        match step:
            case ("put", str(peer), str(instance), IPv4Network() as key, int(number)):
                if instance in configs:
                    known = self.offers.get((peer, instance, key))
                    slot = known[0] if known else PathSlot(
                        PeerName(peer), InstanceName(instance), key
                    )  # fmt: skip
                    self.offers[peer, instance, key] = (slot, number)
                    replicator.put(path(slot, number, configs[instance].exports, peer))
            case ("remove", str(peer), str(instance), IPv4Network() as key):
                gone = self.offers.pop((peer, instance, key), None)
                if gone is not None:
                    replicator.remove(gone[0])
            case ("hear", str(peer), IPv4Network() as key, int(number), frozenset() as targets):
                old = self.heard.get((peer, key))
                slot = old.slot if old else PathSlot(PeerName("bgp"), VPN_INSTANCE, key)
                self.heard[peer, key] = path(slot, number, targets, peer)
                replicator.put(self.heard[peer, key])
            case ("unhear", str(peer), IPv4Network() as key):
                old = self.heard.pop((peer, key), None)
                if old is not None:
                    replicator.remove(old.slot)
            case ("configure", str(instance), frozenset() as exports, frozenset() as imports):
                config = InstanceConfig(InstanceName(instance), "", exports, imports)
                if instance in configs:
                    replicator.configure(config)
                else:
                    replicator.add_vrf(config)
                configs[instance] = config
            case ("drop", str(instance)) if instance in configs:
                replicator.remove_vrf(InstanceName(instance))
                del configs[instance]
                self.offers = {
                    slot: offered for slot, offered in self.offers.items() if slot[1] != instance
                }
            case ("work", int(count)):
                replicator.chores.work(count)
            case _:
                pass

    def best_in_vpn(self) -> list[Path]:
        """The best path of each (distinguisher, key), from everything that was told."""
        copies: dict[tuple[RouteDistinguisher, RouteKey], list[Path]] = {}
        offered = [
            path(slot, number, self.configs[origin].exports, peer)
            for (peer, origin, _), (slot, number) in self.offers.items()
        ]
        for offer_ in (*offered, *self.heard.values()):
            copies.setdefault((offer_.distinguisher, offer_.key), []).append(offer_)
        found = [select_one(sorted(several, key=str)) for several in copies.values()]
        return [best for best in found if best is not None]


@settings(max_examples=400)
@given(FIRST, STEPS, st.sampled_from((1, 2, 1000)))
def test_replication_equals_looking_at_everything(
    first: tuple[tuple[object, ...], ...], steps: list[tuple[object, ...]], at_once: int
) -> None:
    world = World(at_once)
    for step in (*first, *steps):
        world.act(step)
    world.replicator.chores.finish()

    best = world.best_in_vpn()
    for name, config in world.configs.items():
        rib = world.replicator.vrfs[InstanceName(name)].ribs[Family.INET]
        expected: dict[RouteKey, set[PathSlot]] = {}
        for (_, origin, key), (slot, _) in world.offers.items():
            if origin == name:
                expected.setdefault(key, set()).add(slot)
        for each in best:
            if each.instance != name and not each.targets.isdisjoint(config.imports):
                expected.setdefault(each.key, set()).add(each.slot)
        assert {key: set(entry.paths) for key, entry in rib.entries.items()} == expected
        for entry in rib.entries.values():
            assert entry.best == select(entry.paths.values(), Family.INET, rib.instance)
            assert all(
                held.targets == world.configs[held.instance].exports
                for held in entry.paths.values()
                if held.instance
            )
    table = world.replicator.vpn[Family.INET]
    assert len(table) == len(world.offers) + len(world.heard)
    assert {entry.best.slot for entry in table.entries.values() if entry.best} == {
        each.slot for each in best
    }
    assert {id(entry) for entry in world.told} == {id(entry) for entry in table.entries.values()}


CHANGE = st.tuples(st.just("put"), st.sampled_from(PEERS), st.sampled_from(KEYS), st.integers(0, 3))
WITHDRAW = st.tuples(st.just("remove"), st.sampled_from(PEERS), st.sampled_from(KEYS))
PULL = st.tuples(st.just("pull"), st.sampled_from(PEERS))
JOIN = st.tuples(st.just("join"), st.sampled_from(PEERS))
LEAVE = st.tuples(st.just("leave"), st.sampled_from(PEERS))
FILL = st.tuples(st.just("fill"))
GROUP_STEPS = st.lists(
    st.one_of(CHANGE, CHANGE, CHANGE, WITHDRAW, PULL, PULL, JOIN, LEAVE, FILL),
    min_size=20,
    max_size=80,
)


class Member:
    """A receiver that believes what it is told."""

    def __init__(self) -> None:
        self.routes: dict[RouteKey, Route] = {}

    def hear(self, bodies: tuple[bytes, ...]) -> None:
        for body in bodies:
            (event,) = StanzaDecoder().decode(b"<message>" + body + b"</message>")
            assert isinstance(event, ItemsEvent)
            assert not (event.routes and event.retracts)
            self.routes |= {route.key: route for route in event.routes}
            for key in event.retracts:
                self.routes.pop(key, None)


@pytest.mark.parametrize(("items_max", "segment_bits"), [(32, 10), (2, 2)])
@settings(max_examples=300)
@given(steps=GROUP_STEPS)
def test_every_member_ends_with_the_table_whatever_the_order(
    items_max: int, segment_bits: int, steps: list[tuple[object, ...]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # Small bounds make short histories reach compaction and many batches.
        patch.setattr(rib_out, "ITEMS_COUNT_MAX", items_max)
        patch.setattr(change_log, "SEGMENT_BITS", segment_bits)
        patch.setattr(change_log, "SEGMENT_COUNT", 1 << segment_bits)
        patch.setattr(change_log, "_INDEX_MASK", (1 << segment_bits) - 1)
        run_group(steps)


def run_group(steps: list[tuple[object, ...]]) -> None:
    replicator = Replicator()
    vrf = replicator.add_vrf(InstanceConfig(InstanceName("red")))
    rib = vrf.ribs[Family.INET]
    slots = {
        (peer, key): PathSlot(PeerName(peer), InstanceName("red"), key)
        for peer in PEERS
        for key in KEYS
    }
    for number, slot in enumerate(slots.values()):
        if number % 2:
            replicator.put(path(slot, number % 4, frozenset()))
    group = UpdateGroup(rib, lambda _: None)
    members = {peer: Member() for peer in PEERS}
    for peer in PEERS:
        group.join(PeerName(peer))
    filling = group.fill()
    for step in steps:
        match step:
            case ("put", str(peer), IPv4Network() as key, int(number)):
                replicator.put(path(slots[peer, key], number, frozenset()))
            case ("remove", str(peer), IPv4Network() as key):
                replicator.remove(slots[peer, key])
            case ("pull", str(peer)) if peer in members:
                group.take_woken()
                members[peer].hear(group.pull(PeerName(peer)))
            case ("join", str(peer)):
                members[peer] = Member()
                group.join(PeerName(peer))
            case ("leave", str(peer)):
                members.pop(peer, None)
                group.leave(PeerName(peer))
            case ("fill",):
                next(filling, None)
            case _:
                pass

    for _ in filling:
        pass
    group.take_woken()
    for peer, member in members.items():
        while group.has_work(PeerName(peer)):
            member.hear(group.pull(PeerName(peer)))
        assert member.routes == {
            key: offer(entry.best)
            for key, entry in rib.entries.items()
            if entry.best and only_source(entry.best, "red") != peer
        }
