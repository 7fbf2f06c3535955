"""Whatever peers ask for and agents publish, in whatever order: each peer holds what it wants."""

from __future__ import annotations

import random
from ipaddress import IPv4Address

import pytest

from skytrail.net import RouteTarget
from skytrail.testing.control_plane import (
    BGP_PLACE,
    Bench,
    bgp_router,
    inet_route,
    routing_instance,
)
from skytrail.wire.bgp import (
    Attributes,
    BgpFamily,
    Negotiated,
    Reach,
    RouteTargetNlri,
    Unreach,
    Update,
    VpnNlri,
    decode_update,
)
from skytrail.wire.bgp.framing import HEADER_BYTES
from skytrail.wire.xmpp import PublishRoute, Subscribe, WithdrawRoute

NETWORKS = ("red", "blue", "green")
NUMBERS = {"red": 1, "blue": 2, "green": 3}
PEERS = ("a", "b", "c")
NAMES = {name: ":".join((*BGP_PLACE, name)) for name in PEERS}
MEMBERSHIP, VPN = BgpFamily.ROUTE_TARGET, BgpFamily.INET_VPN
NEGOTIATED = Negotiated(frozenset((VPN, MEMBERSHIP)), 64512, 64512, IPv4Address("10.0.0.9"))
CHOICES = [
    *(
        RouteTargetNlri(64512, RouteTarget.parse(f"target:64512:{number}").packed)
        for number in NUMBERS.values()
    ),
    RouteTargetNlri(bits=0),
]


class World:
    """A node with agents and peers, and what each peer holds."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.bench = Bench()
        self.chores = self.bench.plane.replicator.chores
        # As if tables were so large that next to nothing is done at once.
        self.chores.at_once = self.random.choice((1, 3, 1000))
        self.bench.plane.node = "control1"
        self.bench.put(
            bgp_router("control1", "10.0.0.1", peers=[(name, {}) for name in PEERS]),
            *(bgp_router(name, f"10.0.0.{9 + index}") for index, name in enumerate(PEERS)),
            *(routing_instance(name, both=[number]) for name, number in NUMBERS.items()),
        )
        self.bench.up("compute1")
        for name, number in NUMBERS.items():
            self.bench.say("compute1", Subscribe(instance(name), number))
        self.wanted: dict[str, set[RouteTargetNlri]] = {name: set() for name in PEERS}
        self.held: dict[str, set[str]] = {name: set() for name in PEERS}
        self.routes: dict[str, str] = {}
        self.changes = 0
        for name in PEERS:
            self.bench.plane.bgp.session_up(NAMES[name], NEGOTIATED, self.bench.now)

    def step(self) -> None:
        match self.random.randrange(8):
            case 0 | 1:
                self.ask()
            case 2 | 3:
                self.publish()
            case 4:
                self.withdraw()
            case 5:
                self.chores.work(self.random.randrange(1, 4))
            case 6 if not self.random.randrange(4):
                self.flap(self.random.choice(PEERS))
            case _:
                self.read(self.random.choice(PEERS), self.random.choice((1, 1 << 20)))

    def ask(self) -> None:
        peer, nlri = self.random.choice(PEERS), self.random.choice(CHOICES)
        bgp = self.bench.plane.bgp
        if nlri in self.wanted[peer]:
            self.wanted[peer].remove(nlri)
            update = Update(Attributes(), withdrawn=(Unreach(MEMBERSHIP, (nlri,)),))
        else:
            self.wanted[peer].add(nlri)
            reach = Reach(MEMBERSHIP, IPv4Address("10.0.0.9"), (nlri,))
            update = Update(Attributes(0, local_preference=100), reach=(reach,))
        bgp.receive(NAMES[peer], update)

    def flap(self, peer: str) -> None:
        bgp, now = self.bench.plane.bgp, self.bench.now
        bgp.session_down(NAMES[peer], "test", now, graceful=False)
        self.wanted[peer].clear()
        self.held[peer].clear()
        bgp.session_up(NAMES[peer], NEGOTIATED, now)

    def publish(self) -> None:
        network = self.random.choice(NETWORKS)
        prefix = f"10.{NUMBERS[network]}.0.{self.random.randrange(6)}/32"
        self.changes += 1
        route = inet_route(prefix, label=16 + self.changes)
        self.bench.say("compute1", PublishRoute(instance(network), route))
        self.routes[prefix] = network

    def withdraw(self) -> None:
        if self.routes:
            prefix = self.random.choice(sorted(self.routes))
            network = self.routes.pop(prefix)
            key = inet_route(prefix).key
            self.bench.say("compute1", WithdrawRoute(instance(network), key))

    def read(self, peer: str, bytes_max: int) -> None:
        bgp = self.bench.plane.bgp
        bgp.take_ready()
        for message in bgp.collect(NAMES[peer], bytes_max):
            update = decode_update(message[HEADER_BYTES:], NEGOTIATED)
            for unreach in update.withdrawn:
                self.held[peer] -= set(map(text, unreach.nlri))
            for reach in update.reach:
                self.held[peer] |= set(map(text, reach.nlri))

    def expected(self, peer: str) -> set[str]:
        targets = {nlri.target for nlri in self.wanted[peer]}
        wants_all = RouteTargetNlri(bits=0) in self.wanted[peer]
        return {
            prefix
            for prefix, network in self.routes.items()
            if wants_all or RouteTarget.parse(f"target:64512:{NUMBERS[network]}").packed in targets
        }


def instance(network: str) -> str:
    return f"default-domain:p:{network}:{network}"


def text(nlri: object) -> str:
    return str(nlri.prefix) if isinstance(nlri, VpnNlri) else ""


@pytest.mark.parametrize("seed", range(120))
def test_every_peer_ends_with_exactly_the_routes_it_wants(seed: int) -> None:
    world = World(seed)
    for _ in range(world.random.randrange(10, 120)):
        world.step()

    # A change of interest is followed when the one before it has been: each may leave chores.
    for _ in range(50):
        world.bench.plane.bgp.take_ready()
        world.chores.finish()
        for peer in PEERS:
            world.read(peer, 1 << 20)
    for peer in PEERS:
        assert world.held[peer] - {""} == world.expected(peer)
