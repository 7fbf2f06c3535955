"""Static and aggregate routes: there while their next hop is reached, in place of what is inside."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

from skytrail.control.show import tables
from skytrail.model.config_object import ConfigObject
from skytrail.testing.control_plane import Bench, build, inet_route, instance_of, routing_instance
from skytrail.wire.xmpp import ItemsEvent, PublishRoute, Route, Subscribe, WithdrawRoute

RED, BLUE = instance_of("red"), instance_of("blue")
GATEWAY = "10.1.1.3/32"


def red(*routes: dict[str, object], **more: object) -> ConfigObject:
    fields: dict[str, object] = {"static_route_entries": {"route": list(routes)}}
    return routing_instance("red", both=[1], fields=fields, **more)  # type: ignore[arg-type]


def publish(prefix: str, label: int = 16, router: str = "172.16.0.1") -> PublishRoute:
    return PublishRoute(RED, inet_route(prefix, router, label))


def heard(bench: Bench, agent: str) -> dict[tuple[str, str], Route | None]:
    """What an agent hears from now on; None for what is taken back."""
    found: dict[tuple[str, str], Route | None] = {}
    for message in bench.hear(agent):
        if isinstance(message, ItemsEvent):
            found.update({(message.instance, str(each.key)): each for each in message.routes})
            found.update({(message.instance, str(key)): None for key in message.retracts})
    return found


def started(*objects: ConfigObject) -> Bench:
    bench = Bench(*objects)
    bench.up("a", "b")
    for agent in ("a", "b"):
        bench.say(agent, Subscribe(RED, 1), Subscribe(BLUE, 2))
    return bench


def labels(route: Route | None) -> list[int]:
    return [hop.label for hop in route.next_hops] if route is not None else []


def test_static_route_leads_where_its_next_hop_leads_and_goes_with_it() -> None:
    bench = started(red({"prefix": "172.20.0.0/16", "next_hop": "10.1.1.3"}))
    assert heard(bench, "b") == {}

    bench.say("a", publish(GATEWAY, 40))
    assert labels(heard(bench, "b")[RED, "172.20.0.0/16"]) == [40]

    bench.say("a", publish(GATEWAY, 41))
    assert labels(heard(bench, "b")[RED, "172.20.0.0/16"]) == [41]

    bench.say("a", WithdrawRoute(RED, ip_network(GATEWAY)))
    assert heard(bench, "b")[RED, "172.20.0.0/16"] is None


def test_static_route_has_its_communities_and_targets_of_its_own() -> None:
    route = {
        "prefix": "172.20.0.0/16",
        "next_hop": "10.1.1.3",
        "community": ["64512:9"],
        "route_target": ["target:64512:2"],
    }
    bench = started(red(route), routing_instance("blue", both=[2]))
    bench.say("a", publish(GATEWAY))

    found = heard(bench, "b")

    in_blue = found[BLUE, "172.20.0.0/16"]
    assert in_blue is not None
    assert in_blue.attributes.communities == ("64512:9",)
    assert (BLUE, GATEWAY) not in found, "only the static route is exported to blue"


def test_static_route_shares_the_load_of_its_next_hop() -> None:
    bench = started(red({"prefix": "172.20.0.0/16", "next_hop": "10.1.1.3"}))
    bench.say("a", publish(GATEWAY, 40))
    bench.say("b", publish(GATEWAY, 50, "172.16.0.2"))

    assert sorted(labels(heard(bench, "b")[RED, "172.20.0.0/16"])) == [40, 50]


def test_static_route_is_changed_and_removed_with_the_configuration() -> None:
    bench = started(red({"prefix": "172.20.0.0/16", "next_hop": "10.1.1.3"}))
    bench.say("a", publish(GATEWAY))
    heard(bench, "b")

    bench.put(red({"prefix": "172.21.0.0/16", "next_hop": "10.1.1.3"}))

    found = heard(bench, "b")
    assert found[RED, "172.20.0.0/16"] is None
    assert found[RED, "172.21.0.0/16"] is not None


def test_route_that_cannot_be_read_stops_no_other() -> None:
    routes = [
        {"prefix": "rubbish", "next_hop": "10.1.1.3"},
        {"prefix": "172.20.0.0/16", "next_hop": "fd00::1"},
        {"prefix": "172.21.0.0/16", "next_hop": "10.1.1.3", "route_target": ["bad"]},
        {"prefix": "172.22.0.0/16", "next_hop": "10.1.1.3"},
    ]
    bench = started(red(*routes))
    bench.say("a", publish(GATEWAY))

    assert [prefix for _, prefix in heard(bench, "b") if prefix != GATEWAY] == ["172.22.0.0/16"]


def aggregate(
    routes: Sequence[str], next_hop: str | None, instances: Sequence[str] = ("red",)
) -> ConfigObject:
    return build(
        "route-aggregate",
        ["default-domain", "p", "whole"],
        parent="project",
        refs=[("routing-instance", instance_of(each).split(":"), None) for each in instances],
        fields={"aggregate_route_entries": {"route": list(routes)},
                "aggregate_route_nexthop": next_hop},
    )  # fmt: skip


def test_aggregate_is_there_while_something_inside_it_is() -> None:
    bench = started(red(), aggregate(["172.20.0.0/16"], "10.1.1.3"))
    bench.say("a", publish(GATEWAY, 40))
    assert (RED, "172.20.0.0/16") not in heard(bench, "b")

    bench.say("a", publish("172.20.5.0/24", 41))
    assert labels(heard(bench, "b")[RED, "172.20.0.0/16"]) == [40]

    bench.say("a", WithdrawRoute(RED, ip_network("172.20.5.0/24")))
    assert heard(bench, "b")[RED, "172.20.0.0/16"] is None


def test_other_networks_see_the_aggregate_in_place_of_what_is_inside() -> None:
    bench = started(
        red(),
        routing_instance("blue", both=[2], imports=[1]),
        aggregate(["172.20.0.0/16"], "10.1.1.3"),
    )
    bench.say("a", publish(GATEWAY, 40), publish("172.20.5.0/24", 41))
    found = heard(bench, "b")
    assert found[BLUE, "172.20.0.0/16"] is not None
    assert found.get((BLUE, "172.20.5.0/24")) is None
    assert (RED, "172.20.5.0/24") in found, "in its own network everything is there"

    bench.say("a", WithdrawRoute(RED, ip_network(GATEWAY)))

    found = heard(bench, "b")
    assert found[BLUE, "172.20.0.0/16"] is None
    assert found[BLUE, "172.20.5.0/24"] is not None, "nothing stands for it any more"


def test_removed_aggregate_gives_back_what_it_stood_for() -> None:
    whole = aggregate(["172.20.0.0/16"], "10.1.1.3")
    bench = started(red(), routing_instance("blue", both=[2], imports=[1]), whole)
    bench.say("a", publish(GATEWAY, 40), publish("172.20.5.0/24", 41))
    heard(bench, "b")

    bench.delete(whole)

    found = heard(bench, "b")
    assert found[BLUE, "172.20.0.0/16"] is None
    assert found[BLUE, "172.20.5.0/24"] is not None


def test_aggregate_without_next_hop_makes_nothing() -> None:
    bench = started(red(), aggregate(["172.20.0.0/16"], None))
    bench.say("a", publish(GATEWAY), publish("172.20.5.0/24", 41))

    assert (RED, "172.20.0.0/16") not in heard(bench, "b")


def test_introspection_names_what_a_made_route_leads_by() -> None:
    bench = started(red({"prefix": "172.20.0.0/16", "next_hop": "10.1.1.3"}))
    bench.say("a", publish(GATEWAY, 40))
    bench.hear("b")
    shown = tables(bench.plane, lambda: bench.now)

    (row,) = [row for row in shown["routes"]() if row["prefix"] == "172.20.0.0/16"]
    assert (row["made"], row["source"], row["best"]) == ("static", "static via 172.16.0.1:1", True)
    (maker,) = shown["made"]()
    assert (maker["spec"], maker["makes"]) == (
        "static 172.20.0.0/16 via 10.1.1.3/32",
        ["172.20.0.0/16"],
    )
