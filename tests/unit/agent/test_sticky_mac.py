"""Ports whose MAC nobody else may claim."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet
from skytrail.wire.xmpp import EnetKey, Route

RED_VRF = f"{PROJECT}:red:red"


@pytest.mark.parametrize(
    ("value", "is_sticky"), [("true", True), ("false", False), ("yes", False), (None, False)]
)
def test_a_port_announces_its_mac_as_sticky_when_its_annotation_says_so(
    value: str | None, is_sticky: bool
) -> None:
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    port = config.port("a", red, ["10.1.1.3"])
    if value is not None:
        node = config.nodes[port]
        notes = {"key_value_pair": [{"key": "sticky-mac", "value": value}]}
        config.nodes[port] = replace(node, properties={**node.properties, "annotations": notes})
    made = AgentHost("192.0.2.1")
    made.plug("a", 10)
    made.connect()
    made.configure(config.update())
    made.reconcile()

    routes = {
        key: route
        for (vrf, key), route in dict(made.desired.published).items()
        if vrf == RED_VRF and isinstance(route, Route)
    }
    sticky = {key: route.attributes.sticky for key, route in routes.items()}
    assert sticky[ip_network("10.1.1.3")] == is_sticky
    host = ip_network("10.1.1.3/32")
    layer2 = [key for key in sticky if isinstance(key, EnetKey) and key.address == host]
    assert [sticky[key] for key in layer2] == [is_sticky]
