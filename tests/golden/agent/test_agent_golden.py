"""Configuration and routes to desired tables, whole.

Each folder holds ``world.yaml`` (objects and links as the config channel names them, learnt routes,
plugged ports) and ``expected.yaml`` (every desired row and published route as text). Run with
SKYTRAIL_UPDATE_GOLDEN=1 to rewrite the expectations, then review the difference.
"""

import os
from ipaddress import IPv4Address, ip_network
from pathlib import Path

import pytest
import yaml

from skytrail.net import Label, Mac, Vni
from skytrail.testing.agent_world import AgentHost
from skytrail.wire.xmpp import (
    ConfigKey,
    ConfigLink,
    ConfigNode,
    ConfigUpdate,
    EnetKey,
    NextHop,
    Route,
    RouteAttributes,
)
from skytrail.wire.xmpp.route_codec import key_text
from skytrail.wire.xmpp.values import normal_form

HERE = Path(__file__).parent
CASES = sorted(folder.name for folder in HERE.iterdir() if (folder / "world.yaml").exists())


def key_of(text):
    type_name, _, name = text.partition(" ")
    return ConfigKey(type_name, name)


def config_of(world):
    nodes = [
        ConfigNode(key_of(key), {n: normal_form(v) for n, v in (properties or {}).items()})
        for key, properties in world["objects"].items()
    ]
    links = []
    for entry in world["links"]:
        left, right = key_of(entry["from"]), key_of(entry["to"])
        kind = f"{left.type_name}-{right.type_name}"
        links.append(ConfigLink(left, right, kind, normal_form(entry.get("attr"))))
    return ConfigUpdate(tuple(nodes), tuple(links))


def route_of(entry):
    prefix = ip_network(entry["prefix"])
    key = EnetKey(Mac.parse(entry["mac"]), prefix) if entry.get("enet") else prefix
    hops = tuple(
        NextHop(
            address=IPv4Address(hop["address"]),
            label=Label(hop.get("label", 0)),
            vni=Vni(hop.get("vni", 0)),
            mac=Mac.parse(entry["mac"]) if "mac" in entry else None,
            encapsulations=tuple(hop["encapsulations"]),
            virtual_network=hop.get("network", ""),
        )
        for hop in entry["next_hops"]
    )
    groups = tuple(entry.get("security_groups", ()))
    return Route(key, hops, RouteAttributes(local_preference=200, security_groups=groups))


def shown(row):
    fields = {name: getattr(row, name) for name in row.__slots__}
    return " ".join(f"{name}={text(value)}" for name, value in fields.items() if value)


def text(value):
    if isinstance(value, tuple):
        return "(" + ",".join(text(part) for part in value) + ")"
    return getattr(value, "name", None) or str(value)


def result_of(world):
    host = AgentHost(world["address"])
    for index, name in enumerate(world["plugged"]):
        host.plug(name, 10 + index)
    host.connect()
    host.configure(config_of(world))
    host.reconcile()
    for instance, entries in world.get("routes", {}).items():
        host.learn(instance, [route_of(entry) for entry in entries])
    host.resolve(*world.get("resolved", []))
    host.reconcile()
    tables = {
        kind.__name__: sorted(shown(row) for row in rows.values())
        for kind, rows in host.desired.rows.items()
        if rows
    }
    published = sorted(
        f"{instance} {key_text(route.key)} {shown(route.next_hops[0])}"
        for instance, route in host.published()
    )
    rules = {number: name for name, number in sorted(host.numbers.rule.items(), key=lambda i: i[1])}
    return {"tables": tables, "published": published, "rules": rules}


@pytest.mark.parametrize("case", CASES)
def test_desired_tables_are_as_recorded(case):
    world = yaml.safe_load((HERE / case / "world.yaml").read_text(encoding="utf-8"))

    result = result_of(world)

    place = HERE / case / "expected.yaml"
    if os.environ.get("SKYTRAIL_UPDATE_GOLDEN"):
        place.write_text(yaml.safe_dump(result, width=10000), encoding="utf-8")
    assert yaml.safe_load(place.read_text(encoding="utf-8")) == result


def test_there_are_cases():
    assert len(CASES) >= 2
