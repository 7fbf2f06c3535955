from ipaddress import IPv4Address, ip_network

from skytrail.agent.fib import LearntRoutes
from skytrail.net import Label
from skytrail.wire.xmpp import Family, ItemsEvent, NextHop, Route, RouteAttributes

PREFIX = ip_network("10.0.0.1/32")


def route(address, preference=100):
    hop = NextHop(address=IPv4Address(address), label=Label(20), encapsulations=("udp",))
    return Route(PREFIX, (hop,), RouteAttributes(local_preference=preference))


def offer(routes, source, *members):
    routes.apply(source, ItemsEvent(Family.INET, "red", members))


def best(routes):
    found = list(routes.best("red", Family.INET))
    return [str(hop.address) for hop in found[0].next_hops] if found else []


def routes_of(*sources):
    routes = LearntRoutes()
    for source in sources:
        routes.session_up(source)
    return routes


def test_offers_of_equal_preference_are_joined():
    routes = routes_of("one", "two")
    offer(routes, "one", route("192.0.2.2"))
    offer(routes, "two", route("192.0.2.1"))

    assert best(routes) == ["192.0.2.1", "192.0.2.2"]


def test_route_survives_the_loss_of_its_only_source_as_stale():
    routes = routes_of("one")
    offer(routes, "one", route("192.0.2.1"))
    routes.session_down("one")

    assert best(routes) == ["192.0.2.1"]
    assert next(iter(routes.best("red", Family.INET))).stale


def test_live_offer_beats_a_better_stale_one():
    routes = routes_of("one", "two")
    offer(routes, "one", route("192.0.2.1", preference=200))
    offer(routes, "two", route("192.0.2.2"))
    routes.session_down("one")

    assert best(routes) == ["192.0.2.2"]


def test_sweep_deletes_what_was_not_repeated():
    routes = routes_of("one")
    offer(routes, "one", route("192.0.2.1"))
    routes.session_down("one")
    routes.session_up("one")
    routes.end_of_rib("one")

    assert routes.sweep_stale() == 1
    assert best(routes) == []


def test_repeated_route_is_no_longer_stale():
    routes = routes_of("one")
    offer(routes, "one", route("192.0.2.1"))
    routes.session_down("one")
    routes.session_up("one")
    offer(routes, "one", route("192.0.2.1"))

    assert routes.sweep_stale() == 0
    assert best(routes) == ["192.0.2.1"]


def test_in_sync_needs_a_live_source_that_has_told_everything():
    routes = routes_of("one")
    states = [routes.in_sync()]
    routes.end_of_rib("one")
    states.append(routes.in_sync())
    routes.session_down("one")
    states.append(routes.in_sync())

    assert states == [False, True, False]


def test_forgotten_instance_leaves_nothing():
    routes = routes_of("one")
    offer(routes, "one", route("192.0.2.1"))
    routes.forget_instance("red")

    assert routes.instances() == set()
