"""What an agent is given, kept up change by change, equals a walk of everything from its roots."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import TopologicalSorter
from random import Random
from uuid import NAMESPACE_OID, uuid5

from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.control.config_filter import WALK, visible
from skytrail.control.config_graph import ConfigGraph
from skytrail.control.path import PeerName
from skytrail.model.config_object import ConfigObject
from skytrail.model.objects import decode_object
from skytrail.testing.control_plane import Bench
from skytrail.wire.xmpp import (
    TUNNEL_ENDS,
    ConfigDelete,
    ConfigKey,
    ConfigSubscribe,
    ConfigUnsubscribe,
    ConfigUpdate,
)

SLOTS_COUNT = 3
RELATIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "global-system-config": ((), ()),
    "global-vrouter-config": (("global-system-config",), ()),
    "virtual-router": (("global-system-config",), ("virtual-machine", "tag")),
    "virtual-machine": ((), ("tag",)),
    "virtual-machine-interface": (
        ("project", "virtual-router", "virtual-machine"),
        (
            "virtual-machine",
            "virtual-network",
            "security-group",
            "routing-instance",
            "interface-route-table",
            "bgp-router",
            "port-tuple",
            "service-health-check",
            "qos-config",
            "security-logging-object",
            "tag",
            "virtual-machine-interface",
        ),
    ),
    "global-qos-config": (("global-system-config",), ()),
    "qos-config": (("global-qos-config", "project"), ()),
    "forwarding-class": (("global-qos-config",), ("qos-queue",)),
    "qos-queue": (("global-qos-config",), ()),
    "port-tuple": (("service-instance",), ()),
    "service-instance": (("project",), ("service-template",)),
    "service-template": ((), ()),
    "service-health-check": (("project",), ()),
    "bgp-as-a-service": (("project",), ("virtual-machine-interface", "service-health-check")),
    "interface-route-table": (("project",), ()),
    "bgp-router": (("routing-instance",), ("bgp-router",)),
    "instance-ip": ((), ("virtual-machine-interface", "virtual-network")),
    "floating-ip": (("floating-ip-pool", "instance-ip"), ("virtual-machine-interface",)),
    "floating-ip-pool": (("virtual-network",), ()),
    "alias-ip": (("alias-ip-pool",), ("virtual-machine-interface",)),
    "alias-ip-pool": (("virtual-network",), ()),
    "project": ((), ("tag", "application-policy-set")),
    "virtual-network": (
        ("project",),
        (
            "intent-map",
            "network-ipam",
            "qos-config",
            "security-logging-object",
            "service-health-check",
            "tag",
            "virtual-network",
        ),
    ),
    "tag": (("project",), ()),
    "application-policy-set": (("project",), ("tag", "global-vrouter-config", "firewall-policy")),
    "firewall-policy": (("project",), ("firewall-rule", "security-logging-object")),
    "firewall-rule": (
        ("project",),
        ("tag", "service-group", "address-group", "security-logging-object"),
    ),
    "security-logging-object": (
        ("project", "global-vrouter-config"),
        ("network-policy", "security-group"),
    ),
    "network-policy": (("project",), ()),
    "service-group": (("project",), ()),
    "address-group": (("project",), ("tag",)),
    "routing-instance": (("virtual-network",), ("routing-instance",)),
    "security-group": (("project",), ()),
    "access-control-list": (("virtual-network", "security-group"), ()),
    "intent-map": (("global-system-config",), ()),
    "network-ipam": (("project",), ("virtual-DNS",)),
    "virtual-DNS": ((), ()),
    "virtual-DNS-record": (("virtual-DNS",), ()),
}
"""Parents and references of the objects drawn, by type."""
ROOT_TYPES = ("virtual-router", "virtual-machine")


def uuid_of(type_name: str, slot: int, life: int) -> str:
    return str(uuid5(NAMESPACE_OID, f"{type_name}/{slot}/{life}"))


def name_of(type_name: str, slot: int) -> str:
    # Every agent may only ask for the router of its own name; the one here is called 0.
    return f"{type_name}:{slot}" if type_name != "virtual-router" else f"system:{slot}"


@dataclass(frozen=True, eq=False)
class Drawn:
    """An object; those of one slot but different ``life`` have one name and different uuids."""

    type_name: str
    slot: int
    life: int
    item: ConfigObject


def draw_object(random: Random, type_name: str, slot: int, life: int = 0) -> Drawn:
    """Return an object with any relations, most of them to present objects."""

    def far_end(target: str) -> str:
        return uuid_of(target, random.randrange(SLOTS_COUNT), int(random.random() < 0.06))

    parents, references = RELATIONS[type_name]
    renamed = "-renamed" if random.random() < 0.05 else ""
    wire: dict[str, object] = {
        "uuid": uuid_of(type_name, slot, life),
        "fq_name": (name_of(type_name, slot) + renamed).split(":"),
        "display_name": random.choice("xy"),
    }
    if parents:
        parent = random.choice(parents)
        wire |= {"parent_type": parent, "parent_uuid": far_end(parent)}
    for target in references:
        if (type_name, target) == ("virtual-network", "virtual-network"):
            # Only to provider networks, which refer to none: here those of slot 0.
            ends = [uuid_of(target, 0, 0)] if slot and random.random() < 0.5 else []
            wire["virtual_network_refs"] = [{"to": ["x"], "uuid": end} for end in ends]
            continue
        wire[f"{target.replace('-', '_')}_refs"] = [
            {"to": ["x"], "uuid": far_end(target), "attr": None} for _ in range(random.randrange(3))
        ]
    if type_name == "virtual-machine-interface":
        # Also references between two with a tag, or two without.
        vlan = random.choice([0, 7])
        wire["virtual_machine_interface_properties"] = {"sub_interface_vlan_tag": vlan}
    if type_name == "virtual-DNS":
        # Also itself, in circles, and of another owner.
        asked = random.choice([*(name_of(type_name, n) for n in range(SLOTS_COUNT)), "x:1", ""])
        wire["virtual_DNS_data"] = {"domain_name": "x", "next_virtual_DNS": asked}
    return Drawn(type_name, slot, life, decode_object(type_name, wire))


def draw_root(random: Random) -> ConfigKey:
    type_name = random.choice(ROOT_TYPES)
    slot = 0 if type_name == "virtual-router" else random.randrange(SLOTS_COUNT)
    return ConfigKey(type_name, name_of(type_name, slot))


def draw_action(random: Random) -> tuple[object, ...]:
    type_name, slot = random.choice(sorted(RELATIONS)), random.randrange(SLOTS_COUNT)
    life = int(random.random() < 0.06)
    actions: dict[tuple[object, ...], int] = {
        ("put", draw_object(random, type_name, slot, life)): 50,
        ("delete", type_name, slot): 8,
        ("subscribe", draw_root(random)): 14,
        ("unsubscribe", draw_root(random)): 6,
        ("commit",): 14,
        ("read",): 6,
        ("snapshot", random.randrange(5)): 1,
        ("new session",): 1,
    }
    (action,) = random.choices(list(actions), list(actions.values()))
    return action


class Agent:
    """A core with one agent, and what that agent holds after what it has been sent."""

    def __init__(self, objects: list[ConfigObject]) -> None:
        self.bench = Bench()
        self.bench.plane.config_replace(objects)
        self.bench.commit()
        self.nodes: set[ConfigKey] = set()
        self.links: set[tuple[ConfigKey, str, ConfigKey]] = set()
        self.bench.up("0")

    def act(self, action: tuple[object, ...]) -> None:
        plane = self.bench.plane
        match action:
            case ("put", Drawn(type_name, slot, life, item)):
                # No two objects bear one name at the end of a revision.
                plane.config_put(item)
                plane.config_delete(uuid_of(type_name, slot, 1 - life))
            case ("delete", str(type_name), int(slot)):
                plane.config_delete(uuid_of(type_name, slot, 0))
                plane.config_delete(uuid_of(type_name, slot, 1))
            case ("subscribe", ConfigKey() as key):
                # Within a revision a name may have two owners, and links precede the new one.
                self.bench.commit()
                self.bench.say("0", ConfigSubscribe(key))
            case ("unsubscribe", ConfigKey() as key):
                self.bench.commit()
                self.bench.say("0", ConfigUnsubscribe(key))
            case ("snapshot", int(seed)):
                known = list(plane.config.graph)
                plane.config_replace([item for n, item in enumerate(known) if (n + seed) % 5])
                self.bench.commit()
            case ("commit",):
                self.bench.commit()
            case ("new session",):
                self.bench.down("0")
                self.bench.up("0")
                self.nodes.clear()
                self.links.clear()
            case _:
                self.read(bytes_max=1)

    def read(self, *, bytes_max: int) -> None:
        """Take what is to be sent, or the next of it, and check its order."""
        for message in self.bench.hear("0", bytes_max):
            if isinstance(message, ConfigUpdate):
                self.nodes.update(node.key for node in message.nodes)
                for link in message.links:
                    assert {link.left, link.right} <= self.nodes
                    self.links.add((link.left, link.kind, link.right))
            elif isinstance(message, ConfigDelete):
                for link in message.links:
                    self.links.remove((link.left, link.kind, link.right))
                for key in message.nodes:
                    self.nodes.remove(key)
                    assert all(key not in (left, right) for left, _, right in self.links)

    def check(self) -> None:
        """Compare with a walk of everything in a graph that never changed."""
        self.bench.commit()
        self.read(bytes_max=1 << 20)
        config = self.bench.plane.peers[PeerName("0")].config
        assert not config.has_work
        whole = ConfigGraph()
        whole.replace_all(self.bench.plane.config.graph)
        seen = visible(whole.graph, config.reach.roots)
        encoded = {uuid: whole.encoded(item) for uuid, item in seen.items()}
        nodes = {item.key: item.node for item in encoded.values()}
        links = {
            link.key: link.text
            for item in encoded.values()
            for link in item.links
            if link.other in seen
        }

        # Nobody's objects: all agents that ask for their virtual-router are given the same.
        ends = {
            key: text for key, text in config.nodes.sent.items() if key.type_name == TUNNEL_ENDS
        }
        if config.is_asked_for:
            assert ends == dict(self.bench.plane.tunnel_ends.nodes())

        assert config.reach.seen.keys() == seen.keys()
        assert config.nodes.sent == nodes | ends
        assert config.links.sent == links
        assert self.nodes == nodes.keys() | ends.keys()
        assert len(self.links) == len(links)


def rooted(random: Random) -> Agent:
    """Return an agent beside a configuration in which every object is there."""
    objects = [
        draw_object(random, type_name, slot).item
        for type_name in RELATIONS
        for slot in range(SLOTS_COUNT)
    ]
    agent = Agent(objects)
    for _ in range(3):
        agent.act(("subscribe", draw_root(random)))
    return agent


# Seeds, because histories drawn choice by choice are mostly of objects without relations.
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32))
def test_what_an_agent_is_given_equals_a_walk_of_everything(seed: int) -> None:
    random = Random(seed)
    agent = rooted(random)
    agent.check()
    for _ in range(15):
        for _ in range(random.randrange(1, 5)):
            agent.act(draw_action(random))
        agent.check()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1 << 32))
def test_nothing_is_remembered_when_nothing_is_left(seed: int) -> None:
    random = Random(seed)
    agent = rooted(random)
    for _ in range(20):
        agent.act(draw_action(random))
    plane = agent.bench.plane
    for type_name in ROOT_TYPES:
        for slot in range(SLOTS_COUNT):
            agent.act(("unsubscribe", ConfigKey(type_name, name_of(type_name, slot))))
    config = plane.peers[PeerName("0")].config
    assert not config.reach.seen
    assert all(key.type_name == TUNNEL_ENDS for key in config.nodes.wanted)
    assert not config.links.wanted

    plane.config_replace([])
    agent.check()

    assert not plane.steps.present
    assert not any(
        plane.steps.onward(uuid_of(type_name, slot, life))
        for type_name in RELATIONS
        for slot in range(SLOTS_COUNT)
        for life in range(2)
    )


def test_walk_has_no_cycle_or_counting_would_keep_what_is_unreachable() -> None:
    onward = {
        type_name: step.parent | step.children | step.refs | step.back_refs
        for type_name, step in WALK.items()
    }
    # A network leads to its provider network, which the API lets refer to none.
    onward["virtual-network"] -= {"virtual-network"}

    assert set(TopologicalSorter(onward).static_order()) >= set(WALK)


def test_drawn_relations_contain_every_step_of_the_walk() -> None:
    drawn = {(child, parent) for child, (parents, _) in RELATIONS.items() for parent in parents}
    drawn |= {(source, target) for source, (_, targets) in RELATIONS.items() for target in targets}

    for type_name, step in WALK.items():
        assert {(type_name, other) for other in step.parent | step.refs} <= drawn
        assert {(other, type_name) for other in step.children | step.back_refs} <= drawn
