"""Workloads as BGP peers: whose connection it is, what becomes of what they say, what they hear."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest

from skytrail.control.bgp_peer import TooManyPrefixes
from skytrail.control.path import InstanceName, PeerName
from skytrail.control.workload_peers import WorkloadPeer
from skytrail.model.config_object import ConfigObject
from skytrail.net import BROADCAST_MAC, Label
from skytrail.testing.control_plane import (
    Bench,
    bgp_router,
    build,
    inet_route,
    instance_of,
    routing_instance,
)
from skytrail.wire.bgp import (
    AsSegment,
    AsSegmentKind,
    Attributes,
    BgpFamily,
    Negotiated,
    Update,
    decode_update,
)
from skytrail.wire.bgp.framing import HEADER_BYTES
from skytrail.wire.bgp.messages import Reach, Unreach
from skytrail.wire.xmpp import (
    EnetKey,
    Family,
    NextHop,
    PublishRoute,
    Route,
    RouteAttributes,
    Subscribe,
    WithdrawRoute,
)

RED = instance_of("red")
PLACE = ("default-domain", "p", "red", "red")
NAME = PeerName(":".join((*PLACE, "web")))
PORT = 50_010
NEGOTIATED = Negotiated(
    frozenset({BgpFamily.INET, BgpFamily.INET6}), 64512, 65001, IPv4Address("10.1.1.3")
)
ANNOUNCED = ip_network("172.30.0.0/16")


def client(**changes: object) -> ConfigObject:
    session = {"attributes": [changes.pop("session", {})]}
    parameters = {
        "router_type": "bgpaas-client",
        "autonomous_system": 65001,
        "address": "10.1.1.3",
        "source_port": PORT,
        "gateway_address": "10.1.1.1",
        **changes,
    }
    return build(
        "bgp-router",
        (*PLACE, "web"),
        parent="routing-instance",
        refs=[("bgp-router", (*PLACE, "bgpaas-server"), {"session": [session]})],
        fields={"bgp_router_parameters": parameters},
    )


def server() -> ConfigObject:
    return build(
        "bgp-router",
        (*PLACE, "bgpaas-server"),
        parent="routing-instance",
        fields={
            "bgp_router_parameters": {"router_type": "bgpaas-server", "autonomous_system": 64512}
        },
    )


def made(router: ConfigObject | None = None, *others: ConfigObject) -> Bench:
    """The workload runs on host c1, a neighbour on c2."""
    bench = Bench()
    bench.plane.node = "control1"
    bench.put(
        bgp_router("control1", "192.0.2.250"),
        routing_instance("red", both=[1]),
        server(),
        router or client(),
        *others,
    )
    bench.up("c1", "c2")
    for name in ("c1", "c2"):
        bench.say(name, Subscribe(RED, 1))
    groups = RouteAttributes(local_preference=200, security_groups=(8000001,))
    bench.say(
        "c1", PublishRoute(RED, inet_route("10.1.1.3/32", "172.16.0.1", 31, attributes=groups))
    )
    bench.say("c2", PublishRoute(RED, inet_route("10.1.1.4/32", "172.16.0.2", 32)))
    return bench


def up(bench: Bench) -> WorkloadPeer:
    bench.plane.workloads.session_up(NAME, NEGOTIATED, bench.now)
    return bench.plane.workloads.peers[NAME]


def announce(
    bench: Bench,
    *prefixes: IPv4Network | IPv6Network,
    next_hop: str = "10.1.1.3",
    path: tuple[int, ...] = (65001,),
    **attributes: object,
) -> None:
    told = Attributes(origin=0, as_path=(AsSegment(AsSegmentKind.SEQUENCE, path),))
    reach = Reach(BgpFamily.INET, IPv4Address(next_hop), prefixes)
    bench.plane.workloads.receive(
        NAME,
        Update(replace(told, **attributes), reach=(reach,)),  # type: ignore[arg-type]
    )
    bench.plane.take_ready()


def route(bench: Bench, prefix: IPv4Network | IPv6Network = ANNOUNCED):
    best = bench.plane.replicator.vrfs[InstanceName(RED)].ribs[Family.INET].best(prefix)
    return best[0] if best else None


def heard(bench: Bench) -> tuple[dict[str, Attributes], set[str]]:
    """What the workload is told now: announced with attributes, and withdrawn."""
    bench.plane.take_ready()
    reach: dict[str, Attributes] = {}
    gone: set[str] = set()
    for message in bench.plane.workloads.collect(NAME, 1 << 20):
        update = decode_update(message[HEADER_BYTES:], NEGOTIATED)
        for part in update.reach:
            assert part.next_hop == IPv4Address("10.1.1.1")
            reach.update((str(nlri), update.attributes) for nlri in part.nlri)
        gone.update(str(nlri) for part in update.withdrawn for nlri in part.nlri)
    return reach, gone


def test_what_a_workload_announces_is_led_to_its_interface() -> None:
    bench = made()
    up(bench)
    announce(bench, ANNOUNCED)

    found = route(bench)
    assert found is not None
    (hop,) = found.next_hops
    assert (str(hop.address), hop.label) == ("172.16.0.1", Label(31))
    assert found.attributes.security_groups == (8000001,)
    assert found.attributes.sub_protocol == "bgpaas"
    assert found.as_path[0].numbers == (65001,)
    # And exported, so that other control nodes and routers hear of it.
    (target,) = found.targets
    assert str(target) == "target:64512:1"


def test_a_next_hop_in_a_connected_network_stays_one_of_that_network() -> None:
    """Under the workload's own network, policy between the two would not be asked."""
    blue = instance_of("blue")
    bench = made()
    bench.put(
        routing_instance("blue", both=[2]), routing_instance("red", both=[1], connected=["blue"])
    )
    bench.say("c2", Subscribe(blue, 2))
    bench.say("c2", PublishRoute(blue, inet_route("10.2.2.5/32", "172.16.0.2", 52)))
    up(bench)

    announce(bench, ANNOUNCED, next_hop="10.2.2.5")

    found = route(bench)
    assert found is not None
    (hop,) = found.next_hops
    assert (hop.label, hop.virtual_network) == (Label(52), "default-domain:p:blue")


def test_the_route_follows_the_interface_and_goes_with_the_session() -> None:
    bench = made()
    up(bench)
    announce(bench, ANNOUNCED)
    bench.say("c1", PublishRoute(RED, inet_route("10.1.1.3/32", "172.16.0.1", 99)))
    bench.plane.take_ready()
    found = route(bench)
    assert found is not None
    assert found.next_hops[0].label == 99

    bench.plane.workloads.session_down(NAME, "test", bench.now, graceful=True)
    bench.plane.take_ready()
    assert route(bench) is None


def test_withdrawn_and_unreachable_announcements_lead_nowhere() -> None:
    bench = made()
    up(bench)
    announce(bench, ANNOUNCED, next_hop="10.1.1.77")
    assert route(bench) is None
    announce(bench, ANNOUNCED)
    assert route(bench) is not None

    unreach = Unreach(BgpFamily.INET, (ANNOUNCED,))
    bench.plane.workloads.receive(NAME, Update(Attributes(), withdrawn=(unreach,)))
    bench.plane.take_ready()
    assert route(bench) is None


@pytest.mark.parametrize("path", [(65001, 64512), (64512,)])
def test_a_path_with_our_own_as_is_refused(path: tuple[int, ...]) -> None:
    bench = made()
    peer = up(bench)
    announce(bench, ANNOUNCED)
    announce(bench, ANNOUNCED, path=path)

    assert route(bench) is None
    assert peer.routes_refused == 1


def test_a_workload_hears_its_network_by_the_gateway_and_not_itself() -> None:
    bench = made()
    up(bench)
    announce(bench, ANNOUNCED)

    reach, gone = heard(bench)
    assert set(reach) == {"10.1.1.3/32", "10.1.1.4/32"}
    attributes = reach["10.1.1.4/32"]
    assert [segment.numbers for segment in attributes.as_path] == [(64512,)]
    assert (attributes.extended_communities, attributes.local_preference) == ((), None)
    assert gone == set()

    bench.down("c2")
    bench.wait(10_000)
    assert heard(bench) == ({}, {"10.1.1.4/32"})


def test_as_override_replaces_the_workload_s_own_number() -> None:
    for session, expected in (({}, (64512, 65001)), ({"as_override": True}, (64512, 64512))):
        other = build(
            "bgp-router",
            (*PLACE, "other"),
            parent="routing-instance",
            fields={
                "bgp_router_parameters": {
                    "router_type": "bgpaas-client",
                    "autonomous_system": 65001,
                    "address": "10.1.1.4",
                    "source_port": PORT + 1,
                    "gateway_address": "10.1.1.1",
                }
            },
        )
        bench = made(client(session=session), other)
        up(bench)
        second = PeerName(":".join((*PLACE, "other")))
        bench.plane.workloads.session_up(second, NEGOTIATED, bench.now)
        reach = Reach(BgpFamily.INET, IPv4Address("10.1.1.4"), (ANNOUNCED,))
        told = Attributes(as_path=(AsSegment(AsSegmentKind.SEQUENCE, (65001,)),))
        bench.plane.workloads.receive(second, Update(told, reach=(reach,)))

        path = heard(bench)[0][str(ANNOUNCED)].as_path
        assert tuple(number for segment in path for number in segment.numbers) == expected


def test_a_service_may_keep_routes_from_its_workload() -> None:
    service = build(
        "bgp-as-a-service",
        ("default-domain", "p", "quiet"),
        refs=[("bgp-router", (*PLACE, "web"), None)],
        fields={"bgpaas_suppress_route_advertisement": True},
    )
    bench = made(None, service)
    up(bench)
    announce(bench, ANNOUNCED)

    assert heard(bench) == ({}, set())
    assert route(bench) is not None


def test_only_the_host_the_workload_runs_on_may_speak_for_it() -> None:
    expected = made().plane.workloads.expected

    assert expected(IPv4Address("172.16.0.1"), PORT) == NAME
    assert expected(IPv4Address("172.16.0.2"), PORT) is None
    assert expected(IPv4Address("172.16.0.1"), PORT + 1) is None


def test_a_workload_without_routes_may_peer_from_any_host_with_members_of_its_network() -> None:
    bench = made()
    expected = bench.plane.workloads.expected
    for name, host in (("c1", "172.16.0.1"), ("c2", "172.16.0.2")):
        member = EnetKey(BROADCAST_MAC, ip_network(host))
        hop = NextHop(IPv4Address(host), Label(40), encapsulations=("udp",))
        bench.say(name, PublishRoute(RED, Route(member, (hop,))))
    assert expected(IPv4Address("172.16.0.2"), PORT) is None, "c1 has the workload's route"

    bench.say("c1", WithdrawRoute(RED, ip_network("10.1.1.3/32")))

    assert expected(IPv4Address("172.16.0.1"), PORT) == NAME
    assert expected(IPv4Address("172.16.0.2"), PORT) == NAME
    assert expected(IPv4Address("172.16.0.3"), PORT) is None


def test_a_deleted_client_ends_its_session_and_its_routes() -> None:
    bench = made()
    up(bench)
    bench.plane.workloads.take_changes()
    announce(bench, ANNOUNCED)

    bench.delete(client())

    assert bench.plane.workloads.take_changes() == [NAME]
    assert NAME not in bench.plane.workloads.peers
    assert route(bench) is None


def test_a_key_is_the_host_s_business() -> None:
    key = {"auth_data": {"key_type": "md5", "key_items": [{"key_id": 0, "key": "secret"}]}}
    bench = made(client(session=key))

    assert list(bench.plane.workloads.peers) == [NAME]
    assert "secret" not in repr(list(bench.plane.workloads.rows()))


def test_a_workload_that_announces_too_much_is_ceased() -> None:
    limits = {"family_attributes": [{"address_family": "inet", "prefix_limit": {"maximum": 2}}]}
    bench = made(client(session=limits))
    up(bench)

    with pytest.raises(TooManyPrefixes):
        announce(bench, *(ip_network(f"172.30.{n}.0/24") for n in range(3)))


def test_nobody_peers_with_a_node_that_speaks_no_bgp() -> None:
    bench = made()
    bench.delete(bgp_router("control1", "192.0.2.250"))

    assert bench.plane.workloads.peers == {}


def test_ipv6_is_announced_and_heard_over_the_same_session() -> None:
    bench = made(client(ipv6_gateway_address="fd00:1::1"))
    hop = NextHop(IPv4Address("172.16.0.1"), Label(31), encapsulations=("udp",))
    for last in (3, 4):
        own = Route(ip_network(f"fd00:1::{last}"), (hop,), RouteAttributes(local_preference=200))
        bench.say("c1", PublishRoute(RED, own))
    up(bench)
    prefix = ip_network("fd00:30::/64")
    told = Attributes(as_path=(AsSegment(AsSegmentKind.SEQUENCE, (65001,)),))
    reach = Reach(BgpFamily.INET6, IPv6Address("fd00:1::3"), (prefix,))
    bench.plane.workloads.receive(NAME, Update(told, reach=(reach,)))
    bench.plane.take_ready()

    (path,) = bench.plane.replicator.vrfs[InstanceName(RED)].ribs[Family.INET6].best(prefix)
    assert path.next_hops[0].label == Label(31)
    parts = [
        part
        for message in bench.plane.workloads.collect(NAME, 1 << 20)
        for part in decode_update(message[HEADER_BYTES:], NEGOTIATED).reach
        if part.family is BgpFamily.INET6
    ]
    assert {part.next_hop for part in parts} == {IPv6Address("fd00:1::1")}
    assert {str(nlri) for part in parts for nlri in part.nlri} == {"fd00:1::3/128", "fd00:1::4/128"}


def test_a_next_hop_of_the_other_family_is_refused() -> None:
    bench = made()
    peer = up(bench)
    reach = Reach(BgpFamily.INET6, IPv4Address("10.1.1.3"), (ip_network("fd00:30::/64"),))
    bench.plane.workloads.receive(NAME, Update(Attributes(), reach=(reach,)))

    assert peer.routes_refused == 1


def test_many_routes_of_a_workload_follow_its_interface_in_slices() -> None:
    """One tenant must not keep all others waiting for seconds with one change."""
    bench = made()
    up(bench)
    prefixes = [IPv4Network((0x0B00_0000 + (number << 8), 24)) for number in range(400)]
    announce(bench, *prefixes)

    def labels() -> set[int]:
        found = (route(bench, prefix) for prefix in prefixes)
        return {0 if path is None else int(path.next_hops[0].label) for path in found}

    assert labels() == {0, 31}
    bench.plane.replicator.chores.finish()
    assert labels() == {31}

    bench.say("c1", PublishRoute(RED, inet_route("10.1.1.3/32", "172.16.0.1", 99)))
    bench.plane.take_ready()
    assert labels() == {31, 99}
    bench.plane.replicator.chores.finish()
    assert labels() == {99}

    bench.delete(client())
    assert labels() == {0, 99}
    bench.plane.replicator.chores.finish()
    assert labels() == {0}
