"""What a host says of its listeners, and who gets a group's copies by what others say."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from skytrail.agent.ledger import Claims, Published, PublishKey, Rank
from skytrail.agent.listeners import (
    TELLS_OF_ALL,
    TOLD_COUNT_MAX,
    TOLD_OF_HOST_COUNT_MAX,
    Announcement,
    Herald,
    told_of,
)
from skytrail.agent.lookup import Tables
from skytrail.agent.membership import Groups, Listening
from skytrail.agent.reconcile import Plan
from skytrail.agent.tables import GroupRow, NextHopRow
from skytrail.agent.trace import COPIED, TracePacket, explain
from skytrail.net import BROADCAST_MAC, IpAddress, Label
from skytrail.testing.agent_world import (
    SOURCE,
    AgentHost,
    ConfigBuilder,
    subnet,
    uuid_of,
)
from skytrail.wire.xmpp import (
    EnetKey,
    Family,
    ItemsEvent,
    NextHop,
    PublishRoute,
    Route,
    RouteAttributes,
)
from skytrail.wire.xmpp.values import Json

RED = "default-domain:demo:red"
VRF = f"{RED}:red"
OWN = ip_network("192.0.2.1/32")
GROUP, OTHER, GROUP6 = (ip_address(each) for each in ("239.1.2.3", "239.4.4.4", "ff05::7"))
A, B = (ip_address(f"10.1.1.{number}") for number in (8, 9))
ALL = Listening(takes_all=True, versions=2)


def world(
    *names: str, network: Json = True, port: Json = None, datapath_of: AgentHost | None = None
) -> AgentHost:
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")], igmp_enable=network)
    for number, name in enumerate("abc", start=3):
        key = config.port(name, red, [f"10.1.1.{number}"])
        if name == "a" and port is not None:
            old = config.nodes[key].properties
            config.node(key.type_name, key.name, **dict(old), igmp_enable=port)
    if datapath_of is None:
        made = AgentHost("192.0.2.1")
    else:
        made = AgentHost("192.0.2.1", datapath=datapath_of.datapath, numbers=datapath_of.numbers)
    for index, name in enumerate(names):
        made.plug(name, 10 + index)
    made.connect()
    made.configure(config.update())
    made.resolve("192.0.2.2", "192.0.2.3", "192.0.2.4")
    if datapath_of is None:
        made.reconcile()
    return made


def said(made: AgentHost) -> dict[tuple[str, str], int]:
    """Flags by group and source of what is published; of the inclusive route under ("", "")."""
    return {
        (str(route.key.group or ""), str(route.key.source or "")): route.attributes.multicast_flags
        for _, route in made.published()
        if isinstance(route.key, EnetKey) and route.key.mac == BROADCAST_MAC
    }


def listen(made: AgentHost, **groups: Groups) -> Plan:
    made.groups = {uuid_of(name): each for name, each in groups.items()}
    return made.reconcile()


def far(router: str, *groups: EnetKey | IpAddress, flags: int = TELLS_OF_ALL) -> list[Route]:
    """What another host says: where it wants copies, and of which groups."""
    hop = NextHop(IPv4Address(router), Label(40), encapsulations=("udp",), virtual_network=RED)
    key = EnetKey(BROADCAST_MAC, ip_network(router))
    routes = [Route(key, (hop,), RouteAttributes(multicast_flags=flags))]
    for group in groups:
        about = replace(key, group=group) if not isinstance(group, EnetKey) else group
        routes.append(Route(about, (hop,), RouteAttributes(multicast_flags=4)))
    return routes


def about(router: str, group: IpAddress, source: IpAddress | None, flags: int) -> Route:
    hop = NextHop(IPv4Address(router), Label(0), virtual_network=RED)
    key = EnetKey(BROADCAST_MAC, ip_network(router), 0, group, source)
    return Route(key, (hop,), RouteAttributes(multicast_flags=flags))


def lists(made: AgentHost) -> dict[tuple[str, str], set[str]]:
    """Members of each list by group and source: ports by name, others by tunnel end."""
    names = {uuid_of(name): name for name in "abc"}
    found: dict[tuple[str, str], set[str]] = {}
    for row in made.datapath.rows[GroupRow].values():
        assert isinstance(row, GroupRow)
        members: set[str] = set()
        for number, _ in row.members:
            hop = made.datapath.rows[NextHopRow][number]
            assert isinstance(hop, NextHopRow)
            port = made.desired.vifs.get(hop.vif_id)
            members.add(str(hop.remote) if port is None else names[port])
        found[str(row.group or ""), str(row.source or "")] = members
    return found


def test_a_host_says_that_it_tells_and_what_its_ports_listen_to() -> None:
    made = world("a", "b")
    made.reconcile()
    assert said(made) == {("", ""): 3}

    listen(made, a={GROUP: ALL}, b={GROUP: Listening(wanted=frozenset({A})), GROUP6: ALL})
    assert said(made) == {("", ""): 3, ("239.1.2.3", ""): 2, ("ff05::7", ""): 2}
    route = next(r for _, r in made.published() if getattr(r.key, "group", None) == GROUP)
    assert route.key == EnetKey(BROADCAST_MAC, OWN, 0, GROUP)
    assert route.next_hops[0].address == IPv4Address("192.0.2.1")

    listen(made, b={GROUP: Listening(wanted=frozenset({A}))})
    assert said(made) == {("", ""): 3, ("239.1.2.3", "10.1.1.8"): 4}
    listen(made)
    assert said(made) == {("", ""): 3}


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([{GROUP: Listening(takes_all=True)}], {(GROUP, None): 4}),
        ([{GROUP6: Listening(takes_all=True)}], {(GROUP6, None): 2}),
        ([{GROUP: Listening(takes_all=True, versions=1)}, {GROUP: ALL}], {(GROUP, None): 3}),
        (
            [{GROUP: Listening(takes_all=True, unwanted=frozenset({A, B}), versions=4)}],
            {(GROUP, None): 4, (GROUP, A): 12, (GROUP, B): 12},
        ),
        (
            [
                {GROUP: Listening(takes_all=True, unwanted=frozenset({A, B}), versions=4)},
                {GROUP: Listening(wanted=frozenset({A}))},
            ],
            {(GROUP, None): 4, (GROUP, B): 12},
        ),
        ([{GROUP: Listening(wanted=frozenset({A, B}))}], {(GROUP, A): 4, (GROUP, B): 4}),
        ([{}, {}], {}),
    ],
    ids=["v3", "MLDv2", "v1 and v2", "all but some", "wanted by another", "some", "nothing"],
)
def test_what_is_said_is_what_any_port_takes(
    ports: list[Groups], expected: dict[tuple[IpAddress, IpAddress | None], int]
) -> None:
    assert told_of(ports) == expected


def test_a_host_with_a_port_that_is_not_asked_wants_everything() -> None:
    made = world("a", "b", network=None, port=True)
    listen(made, a={GROUP: ALL})
    assert said(made)["", ""] == 0

    del made.plugged[uuid_of("b")]
    made.reconcile()
    assert said(made) == {("", ""): 3, ("239.1.2.3", ""): 2}


def test_a_network_that_is_not_asked_says_nothing() -> None:
    made = world("a", network=None)
    listen(made, a={GROUP: ALL})

    assert said(made) == {("", ""): 0}


def test_copies_go_to_hosts_with_listeners_and_to_those_that_do_not_tell() -> None:
    made = world("a", "b")
    listen(made, b={OTHER: ALL})
    made.learn(VRF, [*far("192.0.2.2", GROUP), *far("192.0.2.3", OTHER)])
    made.learn(VRF, far("192.0.2.4", flags=0))
    made.reconcile()

    assert lists(made) == {
        ("239.1.2.3", ""): {"192.0.2.2", "192.0.2.4"},
        ("239.4.4.4", ""): {"b", "192.0.2.3", "192.0.2.4"},
        ("", ""): {"192.0.2.4"},
    }


def test_a_source_is_sent_to_who_wants_it_and_to_nobody_who_refuses_it() -> None:
    made = world("a")
    made.learn(VRF, [*far("192.0.2.2"), about("192.0.2.2", GROUP, A, 4)])
    made.learn(VRF, [*far("192.0.2.3", GROUP), about("192.0.2.3", GROUP, A, 12)])
    # The exclusion is only of version 3; without it the source is wanted.
    made.learn(VRF, [*far("192.0.2.4", GROUP), about("192.0.2.4", GROUP, A, 8)])
    made.reconcile()

    assert lists(made) == {
        ("239.1.2.3", ""): {"192.0.2.3", "192.0.2.4"},
        ("239.1.2.3", "10.1.1.8"): {"192.0.2.2", "192.0.2.4"},
        ("", ""): set(),
    }


def test_who_wants_every_group_gets_every_group() -> None:
    made = world("a")
    made.learn(VRF, far("192.0.2.2", IPv4Address(0)))
    made.learn(VRF, far("192.0.2.3", GROUP))
    made.reconcile()

    assert lists(made)["239.1.2.3", ""] == {"192.0.2.2", "192.0.2.3"}
    assert lists(made)["", ""] == {"192.0.2.2"}


def test_a_listener_that_is_taken_back_gets_no_copies_and_later_ones_again() -> None:
    made = world("a")
    made.learn(VRF, far("192.0.2.2", GROUP))
    made.reconcile()
    gone = ItemsEvent(
        Family.ENET, VRF, (), (EnetKey(BROADCAST_MAC, ip_network("192.0.2.2"), 0, GROUP),)
    )
    made.sessions.received(SOURCE, gone, made.now)
    made.reconcile()
    assert lists(made) == {("", ""): set()}

    made.learn(VRF, far("192.0.2.2", GROUP))
    made.reconcile()
    assert lists(made)["239.1.2.3", ""] == {"192.0.2.2"}


def test_a_restarted_agent_says_its_listeners_before_the_end_of_its_routes() -> None:
    made = world("a", "b")
    made.learn(VRF, far("192.0.2.2", GROUP))
    listen(made, b={OTHER: ALL})
    before = lists(made)

    again = world("a", "b", datapath_of=made)
    again.groups = dict(made.groups)
    again.reconcile(complete=False)

    assert lists(again) == before
    messages = [message for _, message in again.sent]
    published = [m.route.key for m in messages if isinstance(m, PublishRoute)]
    assert EnetKey(BROADCAST_MAC, OWN, 0, OTHER) in published
    assert type(messages[-1]).__name__ == "EndOfRib"


def announcement(count: int) -> Announcement:
    first = int(ip_address("239.0.0.0"))
    hop = NextHop(IPv4Address("192.0.2.1"), Label(40))
    key = EnetKey(BROADCAST_MAC, OWN)
    told = {(ip_address(first + number), None): 4 for number in range(count)}
    return Announcement({key: Route(key, (hop,))}, hop, told, is_whole=True)


def test_more_groups_than_may_be_told_make_a_host_want_everything() -> None:
    published: Claims[PublishKey, Published] = Claims()
    herald = Herald(published)

    def settled(*counts: int) -> list[tuple[int, int]]:
        """Of each VRF: groups told, and flags of its inclusive route."""
        for number, count in enumerate(counts):
            name = f"vrf{number}"
            herald.put((Rank.SERVICE, name, None), name, announcement(count))
        herald.settle()
        published.settle()
        found = []
        for number in range(len(counts)):
            routes = [
                each
                for (vrf, _), each in published.values.items()
                if vrf == f"vrf{number}" and isinstance(each, Route)
            ]
            flags = published.values[f"vrf{number}", EnetKey(BROADCAST_MAC, OWN)]
            assert isinstance(flags, Route)
            found.append((len(routes) - 1, flags.attributes.multicast_flags))
        return found

    assert settled(TOLD_COUNT_MAX, 1) == [(TOLD_COUNT_MAX, 3), (1, 3)]
    assert settled(TOLD_COUNT_MAX + 1, 1) == [(TOLD_COUNT_MAX, 0), (1, 3)]
    many = TOLD_OF_HOST_COUNT_MAX // TOLD_COUNT_MAX + 4
    crowded = settled(*[TOLD_COUNT_MAX] * many, 5)
    assert sum(count for count, _ in crowded) <= TOLD_OF_HOST_COUNT_MAX
    assert crowded[-1] == (5, 3)
    assert crowded[0][1] == 0
    assert settled(*[3] * (many + 1)) == [(3, 3)] * (many + 1)


def test_nobody_hears_that_a_host_tells_before_it_told() -> None:
    made = world("a", "b", network=None, port=True)
    listen(made, a={GROUP: ALL})
    made.sent.clear()
    del made.plugged[uuid_of("b")]
    listen(made, a={GROUP: ALL, OTHER: ALL})

    told = [m.route.key for _, m in made.sent if isinstance(m, PublishRoute)]
    assert told.index(EnetKey(BROADCAST_MAC, OWN, 0, OTHER)) < told.index(
        EnetKey(BROADCAST_MAC, OWN)
    )


@pytest.mark.parametrize(
    ("group", "question", "answer"),
    [
        ("239.1.2.3", "vrf 1, listeners of 239.1.2.3 from anybody", "192.0.2.2"),
        ("239.4.4.4", "vrf 1, listeners of 239.4.4.4 from 10.1.1.3", "vif 2, 192.0.2.2"),
        ("224.0.0.251", "vrf 1", "vif 2, 192.0.2.2, 192.0.2.3"),
    ],
    ids=["a group", "a source of a group", "a group of the link"],
)
def test_a_trace_tells_which_list_decides_who_gets_copies(
    group: str, question: str, answer: str
) -> None:
    made = world("a", "b")
    sender = ip_address("10.1.1.3")
    listen(made, b={OTHER: Listening(wanted=frozenset({sender}))})
    made.learn(VRF, [*far("192.0.2.2", GROUP, OTHER), *far("192.0.2.3")])
    made.reconcile()
    tables = Tables(row for rows in made.desired.rows.values() for row in rows.values())

    trace = explain(tables, made.vif("a"), TracePacket(sender, ip_address(group), 17, 4000, 4001))

    assert trace.outcome == COPIED
    step = trace.steps[-1]
    assert (step.question, step.answer) == (
        question,
        answer.replace("vif 2", f"vif {made.vif('b')}"),
    )
    unheard = explain(tables, made.vif("a"), TracePacket(sender, ip_address("239.9.9.9"), 17))
    assert unheard.drop_reason == "GROUP_UNHEARD"
    assert unheard.steps[-1].question == "vrf 1, listeners of 239.9.9.9: none"
