"""The configuration graph and what the agent reads from it."""

import itertools

import pytest

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import object_uuid
from skytrail.agent.tables import Encapsulation
from skytrail.agent.view import build_view
from skytrail.testing.agent_world import PROJECT, ConfigBuilder, rule, subnet, uuid_of
from skytrail.wire.xmpp import ConfigDelete, ConfigKey, ConfigLink, ConfigNode, ConfigUpdate


def world():
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24", dns_nameservers=["8.8.8.8"])], mtu=1400)
    port = config.port("a", red, ["10.1.1.3"])
    group = config.security_group("web", 8000001, [rule({}, {})], [rule({}, {})])
    config.link(port, group)
    return config


def view_of(*updates):
    graph = ConfigGraph()
    for update in updates:
        graph.update(update)
    return build_view(graph)


def test_view_does_not_depend_on_the_order_of_arrival():
    config = world()
    pieces = [ConfigUpdate(nodes=(node,)) for node in config.nodes.values()]
    pieces += [ConfigUpdate(links=(link,)) for link in config.links.values()]

    assert view_of(*pieces) == view_of(*reversed(pieces)) == view_of(config.update())


def test_port_is_read_with_network_groups_and_names():
    port = view_of(world().update()).ports[uuid_of("a")]

    assert port.network.vrf == f"{PROJECT}:red:red"
    assert port.network.mtu_bytes == 1400
    assert [group.group_id for group in port.groups] == [8000001]
    assert port.host_name == "a"
    assert [str(server) for server in port.network.subnets[0].dns_servers] == ["8.8.8.8"]


def test_address_with_a_zone_is_as_good_as_absent():
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    config.port("a", red, ["10.1.1.3", "fd00::5%<x>"])

    port = view_of(config.update()).ports[uuid_of("a")]

    assert [str(address) for address in port.addresses] == ["10.1.1.3"]


@pytest.mark.parametrize("missing", ["virtual-network", "routing-instance"])
def test_port_with_missing_part_is_a_problem_not_a_port(missing):
    config = world()
    for key in [key for key in config.nodes if key.type_name == missing]:
        del config.nodes[key]
    for pair in [pair for pair in config.links if missing in {k.type_name for k in pair}]:
        del config.links[pair]

    view = view_of(config.update())

    assert view.ports == {}
    assert "has not arrived" in view.problems[uuid_of("a")]


def test_new_generation_sweeps_what_is_not_repeated():
    config = world()
    graph = ConfigGraph()
    graph.update(config.update())
    graph.begin_generation()
    kept = {k: n for k, n in config.nodes.items() if k.type_name != "security-group"}
    graph.update(ConfigUpdate(tuple(kept.values()), tuple(config.links.values())))

    graph.sweep()

    port = build_view(graph).ports[uuid_of("a")]
    assert (port.groups, port.missing_groups) == ((), (f"{PROJECT}:web",))


def test_deleted_link_is_gone_in_either_direction():
    graph = ConfigGraph()
    left, right = ConfigKey("a", "x"), ConfigKey("b", "y")
    graph.update(ConfigUpdate(links=(ConfigLink(left, right, "a-b"),)))

    graph.delete(ConfigDelete(links=(ConfigLink(right, left, "a-b"),)))

    assert graph.neighbours(left, "b") == graph.neighbours(right, "a") == []


def test_delete_of_what_is_absent_changes_nothing_else():
    graph = ConfigGraph()
    graph.update(world().update())
    before = build_view(graph)

    graph.delete(ConfigDelete(nodes=(ConfigKey("virtual-network", "other"),)))

    assert build_view(graph) == before


@pytest.mark.parametrize("sign", [1, -1])
def test_uuid_is_read_from_id_perms_in_both_spellings(sign):
    number = 0xF1000000000000008200000000000001
    high, low = number >> 64, number & (1 << 64) - 1
    if sign < 0:
        high, low = high - (1 << 64), low - (1 << 64)
    parts = {"uuid_mslong": str(high), "uuid_lslong": str(low)}
    node = ConfigNode(
        ConfigKey("virtual-machine-interface", "d:p:n"), {"id_perms": {"uuid": parts}}
    )

    assert object_uuid(node) == "f1000000-0000-0000-8200-000000000001"


def test_encapsulation_priorities_are_read_in_order_and_unknown_ones_skipped():
    config = ConfigBuilder()
    config.node(
        "global-vrouter-config",
        "g:v",
        encapsulation_priorities={"encapsulation": ["VXLAN", "Strange", "MPLSoGRE"]},
    )

    assert view_of(config.update()).encapsulations == (
        Encapsulation.VXLAN,
        Encapsulation.MPLS_GRE,
    )


def test_values_of_wrong_shape_never_raise():
    shapes = ["", "text", "-1", "999999999999999999999999", ("a", "b"), {"x": "y"}, ({"x": "y"},)]
    config = world()
    for node, name, shape in itertools.product(
        list(config.nodes.values()),
        [
            "virtual_network_properties",
            "access_control_list_entries",
            "instance_ip_address",
            "virtual_machine_interface_mac_addresses",
            "id_perms",
            "security_group_id",
            "virtual_machine_interface_allowed_address_pairs",
            "network_ipam_mgmt",
            "mtu",
        ],
        shapes,
    ):
        broken = ConfigNode(node.key, {**node.properties, name: shape})
        view = view_of(config.update(), ConfigUpdate(nodes=(broken,)))

        assert set(view.ports) | set(view.problems) >= {uuid_of("a")} or name == "id_perms"
