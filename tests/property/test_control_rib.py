"""Replication and update groups against naive models, over any order of events."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.control import rib_out
from skytrail.control.best_path import select
from skytrail.control.path import InstanceName, Path, PathSlot, PeerName
from skytrail.control.rib import offer, only_source
from skytrail.control.rib_out import UpdateGroup
from skytrail.control.route_target import Replicator
from skytrail.control.vrf import InstanceConfig
from skytrail.net import Label, RouteDistinguisher, RouteTarget
from skytrail.wire.xmpp import Family, ItemsEvent, NextHop, Route, RouteAttributes, RouteKey
from skytrail.wire.xmpp.codec import StanzaDecoder

INSTANCES = ("red", "blue", "green")
PEERS = ("a", "b", "c")
KEYS = tuple(IPv4Network((f"10.0.0.{number}", 32)) for number in range(4))
TARGETS = tuple(RouteTarget.parse(f"target:1:{number}") for number in range(3))
DISTINGUISHER = RouteDistinguisher.parse("10.0.0.1:1")

TARGET_SETS = st.frozensets(st.sampled_from(TARGETS), max_size=2)
PUT = st.tuples(
    st.just("put"), st.sampled_from(PEERS), st.sampled_from(INSTANCES), st.sampled_from(KEYS),
    st.integers(0, 2),
)  # fmt: skip
REMOVE = st.tuples(
    st.just("remove"), st.sampled_from(PEERS), st.sampled_from(INSTANCES), st.sampled_from(KEYS)
)
CONFIGURE = st.tuples(st.just("configure"), st.sampled_from(INSTANCES), TARGET_SETS, TARGET_SETS)
DROP = st.tuples(st.just("drop"), st.sampled_from(INSTANCES))
STEPS = st.lists(st.one_of(PUT, PUT, REMOVE, CONFIGURE, DROP), max_size=40)


def path(slot: PathSlot, number: int, exports: frozenset[RouteTarget]) -> Path:
    # A hop without label is unusable: number 0 makes an infeasible path.
    hop = NextHop(IPv4Address("172.16.0.1"), Label(16 + number), encapsulations=("udp",))
    return Path(
        slot=slot,
        distinguisher=DISTINGUISHER,
        next_hops=(hop,) if number else (),
        attributes=RouteAttributes(local_preference=100 * number),
        targets=exports,
    )


@given(STEPS)
def test_replication_equals_looking_at_everything(steps: list[tuple[object, ...]]) -> None:
    replicator = Replicator()
    configs: dict[str, InstanceConfig] = {}
    offers: dict[tuple[str, str, RouteKey], tuple[PathSlot, int]] = {}
    for step in steps:
        match step:
            case ("put", str(peer), str(instance), IPv4Network() as key, int(number)):
                if instance in configs:
                    known = offers.get((peer, instance, key))
                    slot = known[0] if known else PathSlot(
                        PeerName(peer), InstanceName(instance), key
                    )  # fmt: skip
                    offers[peer, instance, key] = (slot, number)
                    replicator.put(path(slot, number, configs[instance].exports))
            case ("remove", str(peer), str(instance), IPv4Network() as key):
                gone = offers.pop((peer, instance, key), None)
                if gone is not None:
                    replicator.remove(gone[0])
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
                offers = {slot: offered for slot, offered in offers.items() if slot[1] != instance}
            case _:
                pass

    for name, config in configs.items():
        rib = replicator.vrfs[InstanceName(name)].ribs[Family.INET]
        expected: dict[RouteKey, set[PathSlot]] = {}
        for (_, origin, key), (slot, _) in offers.items():
            exported = configs[origin].exports
            if origin == name or not exported.isdisjoint(config.imports):
                expected.setdefault(key, set()).add(slot)
        assert {key: set(entry.paths) for key, entry in rib.entries.items()} == expected
        for entry in rib.entries.values():
            assert entry.best == select(entry.paths.values(), Family.INET, rib.instance)
            assert all(
                held.targets == configs[held.instance].exports for held in entry.paths.values()
            )
    assert len(replicator.vpn[Family.INET]) == len(offers)


CHANGE = st.tuples(st.just("put"), st.sampled_from(PEERS), st.sampled_from(KEYS), st.integers(0, 3))
WITHDRAW = st.tuples(st.just("remove"), st.sampled_from(PEERS), st.sampled_from(KEYS))
PULL = st.tuples(st.just("pull"), st.sampled_from(PEERS))
JOIN = st.tuples(st.just("join"), st.sampled_from(PEERS))
LEAVE = st.tuples(st.just("leave"), st.sampled_from(PEERS))
GROUP_STEPS = st.lists(
    st.one_of(CHANGE, CHANGE, CHANGE, WITHDRAW, PULL, PULL, JOIN, LEAVE), min_size=20, max_size=80
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


@pytest.mark.parametrize(("items_max", "slack"), [(32, 1024), (2, 3)])
@settings(max_examples=300)
@given(steps=GROUP_STEPS)
def test_every_member_ends_with_the_table_whatever_the_order(
    items_max: int, slack: int, steps: list[tuple[object, ...]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # Small bounds make short histories reach compaction and many batches.
        patch.setattr(rib_out, "ITEMS_COUNT_MAX", items_max)
        patch.setattr(rib_out, "_COMPACT_SLACK", slack)
        run_group(steps)


def run_group(steps: list[tuple[object, ...]]) -> None:
    replicator = Replicator()
    vrf = replicator.add_vrf(InstanceConfig(InstanceName("red")))
    rib = vrf.ribs[Family.INET]
    group = UpdateGroup(rib, lambda _: None)
    slots = {
        (peer, key): PathSlot(PeerName(peer), InstanceName("red"), key)
        for peer in PEERS
        for key in KEYS
    }
    members = {peer: Member() for peer in PEERS}
    for peer in PEERS:
        group.join(PeerName(peer))
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
            case _:
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
