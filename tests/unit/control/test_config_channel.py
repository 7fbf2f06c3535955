"""What of the configuration an agent receives, decoded from its bytes."""

from __future__ import annotations

import msgspec

from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.types import KeyValuePair, KeyValuePairs
from skytrail.testing.control_plane import (
    SYSTEM,
    Bench,
    build,
    instance_of,
    routing_instance,
    virtual_router,
)
from skytrail.wire.xmpp import (
    TUNNEL_ENDS,
    ConfigDelete,
    ConfigKey,
    ConfigSubscribe,
    ConfigUnsubscribe,
    ConfigUpdate,
    EndOfConfig,
    Message,
    Subscribe,
)

RED = instance_of("red")


def red() -> ConfigObject:
    return routing_instance("red", both=[1])


def vm(name: str) -> ConfigObject:
    return build("virtual-machine", [name])


def port(
    name: str, machine: str, network: str = "red", groups: tuple[str, ...] = ()
) -> ConfigObject:
    return build(
        "virtual-machine-interface",
        ["default-domain", "p", name],
        parent="project",
        refs=[
            ("virtual-machine", [machine], None),
            ("virtual-network", ["default-domain", "p", network], None),
            *(("security-group", ["default-domain", "p", group], None) for group in groups),
        ],
    )


def network(name: str) -> ConfigObject:
    return build(
        "virtual-network",
        ["default-domain", "p", name],
        parent="project",
        fields={"virtual_network_network_id": 4},
    )


def group(name: str) -> ConfigObject:
    return build("security-group", ["default-domain", "p", name], parent="project")


PROJECT = build("project", ["default-domain", "p"], parent="domain")
ROUTER_A = ConfigKey("virtual-router", f"{SYSTEM}:a")


def config_bench() -> Bench:
    bench = Bench(
        PROJECT, red(), network("red"), network("blue"), group("sg"), group("other"),
        build("global-system-config", [SYSTEM]),
        virtual_router("a", ["vm1"]), virtual_router("b", ["vm2"]),
        vm("vm1"), vm("vm2"), vm("vm3"),
        port("p1", "vm1", groups=("sg",)), port("p2", "vm2"), port("p3", "vm3", "blue"),
    )  # fmt: skip
    bench.up("a")
    return bench


def nodes(messages: list[Message]) -> list[str]:
    return [
        node.key.name.rpartition(":")[2]
        for message in messages
        if isinstance(message, ConfigUpdate)
        for node in message.nodes
        if node.key.type_name != TUNNEL_ENDS
    ]


def links(messages: list[Message]) -> set[str]:
    return {
        link.kind
        for message in messages
        if isinstance(message, ConfigUpdate)
        for link in message.links
    }


def test_agent_sees_its_own_workloads_and_what_they_use() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))

    messages = bench.hear("a")

    assert sorted(nodes(messages)) == ["a", SYSTEM, "p", "p1", "red", "red", "sg", "vm1"]
    assert links(messages) == {
        "global-system-config-virtual-router",
        "virtual-router-virtual-machine",
        "virtual-machine-interface-virtual-machine",
        "virtual-machine-interface-virtual-network",
        "virtual-machine-interface-security-group",
        "project-virtual-machine-interface",
        "project-virtual-network",
        "project-security-group",
        "virtual-network-routing-instance",
    }


def test_large_objects_come_in_messages_of_their_own() -> None:
    names = [f"g{n}" for n in range(4)]
    groups = [
        build("security-group", ["default-domain", "p", name], parent="project",
              fields={"display_name": "&" * 150_000})
        for name in names
    ]  # fmt: skip
    bench = Bench(
        PROJECT, red(), network("red"), virtual_router("a", ["vm1"]), vm("vm1"),
        port("p1", "vm1", groups=tuple(names)), *groups,
    )  # fmt: skip
    bench.up("a")
    bench.say("a", ConfigSubscribe(ROUTER_A))

    messages = [message for _ in range(4) for message in bench.hear("a")]
    large = [set(nodes([message])) & set(names) for message in messages]

    assert sorted(len(group) for group in large if group) == [2, 2]


def test_nodes_precede_the_links_that_name_them() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))
    known: set[ConfigKey] = set()

    for message in bench.hear("a"):
        assert isinstance(message, ConfigUpdate)
        assert len(message.nodes) + len(message.links) <= 16
        known.update(node.key for node in message.nodes)
        for link in message.links:
            assert {link.left, link.right} <= known


def test_node_carries_properties_and_the_uuid() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))

    (red_node,) = [
        node
        for message in bench.hear("a")
        if isinstance(message, ConfigUpdate)
        for node in message.nodes
        if node.key.type_name == "virtual-network"
    ]

    assert red_node.properties["virtual_network_network_id"] == "4"
    uuid = red_node.properties["id_perms"]["uuid"]  # type: ignore[index,call-overload]
    number = (int(uuid["uuid_mslong"]) << 64) | int(uuid["uuid_lslong"])  # type: ignore[index]
    assert f"{number:032x}" == network("red").uuid.replace("-", "")


def test_end_of_config_waits_until_the_agent_stopped_asking() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))
    assert not any(isinstance(m, EndOfConfig) for m in bench.hear("a"))
    bench.wait(0.15)
    bench.say("a", ConfigSubscribe(ConfigKey("virtual-machine", "vm3")))
    bench.wait(0.15)
    assert "p3" in nodes(bench.hear("a"))

    bench.wait(0.1)

    assert [m for m in bench.hear("a") if isinstance(m, EndOfConfig)] == [EndOfConfig(1)]


def test_no_configuration_is_sent_before_the_snapshot_is_complete() -> None:
    bench = Bench()
    bench.up("a")
    bench.put(virtual_router("a"))
    bench.say("a", ConfigSubscribe(ROUTER_A))
    bench.wait(1)

    assert bench.hear("a") == []


def test_subscribed_machine_is_seen_until_unsubscribed() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))
    bench.hear("a")
    machine = ConfigKey("virtual-machine", "vm3")

    bench.say("a", ConfigSubscribe(machine))
    assert sorted(nodes(bench.hear("a"))) == ["blue", "p3", "vm3"]

    bench.say("a", ConfigUnsubscribe(machine))
    (delete,) = [m for m in bench.hear("a") if isinstance(m, ConfigDelete)]
    assert sorted(key.name.rpartition(":")[2] for key in delete.nodes) == ["blue", "p3", "vm3"]
    assert len(delete.links) == 4


def test_new_port_of_a_visible_machine_arrives() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))
    bench.hear("a")

    bench.put(port("p9", "vm1"))

    assert nodes(bench.hear("a")) == ["p9"]


def test_port_of_another_host_in_the_same_network_concerns_nobody() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))
    bench.hear("a")

    bench.put(port("p8", "vm2"))

    assert bench.plane.take_ready() == []
    assert not bench.plane.peers["a"].config.has_work  # type: ignore[index]


def test_router_created_after_its_agent_asked_is_delivered() -> None:
    bench = Bench(PROJECT, red(), network("red"), vm("vm1"), port("p1", "vm1"))
    bench.up("a")
    bench.say("a", ConfigSubscribe(ROUTER_A))
    assert nodes(bench.hear("a")) == []

    bench.put(virtual_router("a", ["vm1"]))

    assert "p1" in nodes(bench.hear("a"))


def test_reference_to_a_later_object_is_followed_when_it_comes() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))
    bench.hear("a")
    bench.put(port("p1", "vm1", groups=("late",)))
    messages = bench.hear("a")
    assert any(isinstance(m, ConfigDelete) for m in messages)

    bench.put(group("late"))

    messages = bench.hear("a")
    assert nodes(messages) == ["late"]
    assert "virtual-machine-interface-security-group" in links(messages)


def test_new_group_is_sent_before_the_old_one_is_deleted() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))
    bench.hear("a")

    bench.put(port("p1", "vm1", groups=("other",)))

    messages = bench.hear("a")
    kinds = [type(message) for message in messages]
    assert kinds == [ConfigUpdate, ConfigDelete]
    assert "other" in nodes(messages)


def test_changed_object_is_sent_alone() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))
    bench.hear("a")

    bench.put(replace_id(network("red"), 5))

    (update,) = bench.hear("a")
    assert isinstance(update, ConfigUpdate)
    assert update.links == ()
    assert update.nodes[0].properties["virtual_network_network_id"] == "5"


def replace_id(_: ConfigObject, number: int) -> ConfigObject:
    return build(
        "virtual-network",
        ["default-domain", "p", "red"],
        parent="project",
        fields={"virtual_network_network_id": number},
    )


def test_repeated_snapshot_sends_only_the_difference() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))
    bench.hear("a")
    objects = [item for item in bench.plane.config.graph if item.fq_name[-1] != "sg"]

    bench.plane.config_replace(objects)
    bench.commit()

    (delete,) = bench.hear("a")
    assert isinstance(delete, ConfigDelete)
    assert [key.name for key in delete.nodes] == ["default-domain:p:sg"]


def test_session_loss_makes_the_next_one_start_from_nothing() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A), Subscribe(RED, 1))
    first = bench.hear("a")
    bench.down("a")
    bench.up("a")
    assert bench.hear("a") == []
    bench.say("a", ConfigSubscribe(ROUTER_A))

    assert nodes(bench.hear("a")) == nodes(first)


def test_many_revisions_before_an_agent_reads_are_sent_once() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))
    bench.hear("a")

    for number in range(5, 50):
        bench.put(replace_id(network("red"), number))
    for _ in range(5):
        bench.put(port("p9", "vm1"))
        bench.delete(port("p9", "vm1"))

    (update,) = bench.hear("a")
    assert isinstance(update, ConfigUpdate)
    assert [node.properties["virtual_network_network_id"] for node in update.nodes] == ["49"]


def test_agent_that_gives_up_its_last_root_is_told_to_forget_everything() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))
    known = set(nodes(bench.hear("a")))

    bench.say("a", ConfigUnsubscribe(ROUTER_A))

    deletes = [m for m in bench.hear("a") if isinstance(m, ConfigDelete)]
    assert {key.name.rpartition(":")[2] for m in deletes for key in m.nodes} == known


def test_renamed_object_takes_its_links_along() -> None:
    bench = config_bench()
    bench.say("a", ConfigSubscribe(ROUTER_A))
    bench.hear("a")
    renamed = msgspec.structs.replace(group("sg"), fq_name=("default-domain", "p", "renamed"))

    bench.put(renamed)

    messages = bench.hear("a")
    assert nodes(messages) == ["renamed"]
    assert "virtual-machine-interface-security-group" in links(messages)


def test_of_annotations_agents_get_those_they_read() -> None:
    notes = [
        {"key": "sticky-mac", "value": "true"},
        {"key": "owner", "value": "somebody's name"},
    ]
    machine = msgspec.structs.replace(
        vm("m1"),
        annotations=KeyValuePairs(key_value_pair=tuple(KeyValuePair(**note) for note in notes)),
    )
    bench = Bench(PROJECT, virtual_router("a", ["m1"]), machine)
    bench.up("a")
    bench.say("a", ConfigSubscribe(ROUTER_A))

    (told,) = (
        node.properties.get("annotations")
        for message in bench.hear("a")
        if isinstance(message, ConfigUpdate)
        for node in message.nodes
        if node.key.type_name == "virtual-machine"
    )

    # A list of one is the one.
    assert told == {"key_value_pair": {"key": "sticky-mac", "value": "true"}}
