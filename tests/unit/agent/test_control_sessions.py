"""What is said to two control nodes, and what happens when one of them leaves."""

from ipaddress import ip_network

from skytrail.agent.control_sessions import (
    END_OF_CONFIG_IDLE_S,
    END_OF_RIB_TIMEOUT_S,
    STALE_SWEEP_DELAY_S,
    ControlSessions,
)
from skytrail.agent.tables import VrfId
from skytrail.net import Label
from skytrail.wire.xmpp import (
    ConfigKey,
    ConfigNode,
    ConfigSubscribe,
    ConfigUpdate,
    EndOfConfig,
    EndOfRib,
    Family,
    ItemsEvent,
    NextHop,
    PortTrouble,
    Programmed,
    PublishRoute,
    RevisionMark,
    Route,
    Subscribe,
    Unsubscribe,
    WithdrawRoute,
)

ROUTER = ConfigKey("virtual-router", "default-global-system-config:h1")
NODE = ConfigNode(ConfigKey("virtual-network", "d:p:red"), {})
OTHER = ConfigNode(ConfigKey("virtual-network", "d:p:blue"), {})
VRFS = {"red": VrfId(3)}


def own_route(text="10.0.0.1/32"):
    from ipaddress import IPv4Address

    hop = NextHop(address=IPv4Address("192.0.2.1"), label=Label(16))
    return Route(ip_network(text), (hop,))


def published(text="10.0.0.1/32"):
    return {("red", ip_network(text)): own_route(text)}


def sessions(*sources, configured=True):
    made = ControlSessions("h1")
    for source in sources:
        made.established(source, 0.0)
    if configured:
        made.received(sources[0], ConfigUpdate(nodes=(NODE,)), 0.0)
        made.received(sources[0], EndOfConfig(1), 0.0)
    return made


def said(outgoing, source):
    return [message for name, message in outgoing if name == source]


def test_configuration_is_asked_of_one_control_node_only():
    made = ControlSessions("h1")
    made.set_machines(["vm-1"])

    outgoing = made.established("one", 0.0) + made.established("two", 1.0)

    assert outgoing == [
        ("one", ConfigSubscribe(ROUTER, answers_marks=True)),
        ("one", ConfigSubscribe(ConfigKey("virtual-machine", "vm-1"))),
    ]


def test_configuration_moves_when_its_source_is_lost():
    made = sessions("one", "two")

    assert made.lost("one", 5.0) == [("two", ConfigSubscribe(ROUTER, answers_marks=True))]
    made.received("two", ConfigUpdate(nodes=(OTHER,)), 6.0)
    made.received("two", EndOfConfig(1), 6.0)
    assert [node.key for node in made.graph.nodes()] == [OTHER.key]


def test_configuration_of_the_other_control_node_is_not_taken():
    made = sessions("one", "two")
    made.received("two", ConfigUpdate(nodes=(OTHER,)), 1.0)

    assert [node.key for node in made.graph.nodes()] == [NODE.key]


def test_routes_are_published_to_both_and_end_of_rib_follows():
    made = sessions("one", "two")

    outgoing = made.synchronise(VRFS, published())

    expected = [Subscribe("red", 3), PublishRoute("red", own_route()), EndOfRib()]
    assert said(outgoing, "one") == said(outgoing, "two") == expected


def test_end_of_rib_waits_for_the_configuration():
    made = sessions("one", configured=False)

    assert made.synchronise({}, {}) == []
    made.received("one", ConfigUpdate(nodes=(NODE,)), 0.0)
    made.received("one", EndOfConfig(1), 0.0)
    assert made.synchronise({}, {}) == [("one", EndOfRib())]


def test_only_differences_are_said():
    made = sessions("one")
    made.synchronise(VRFS, published())

    assert made.synchronise(VRFS, published()) == []
    assert made.synchronise(VRFS, published("10.0.0.2/32")) == [
        ("one", WithdrawRoute("red", ip_network("10.0.0.1/32"))),
        ("one", PublishRoute("red", own_route("10.0.0.2/32"))),
    ]
    assert said(made.synchronise({}, {}), "one")[-1] == Unsubscribe("red")


def test_new_session_is_told_everything_again():
    made = sessions("one")
    made.synchronise(VRFS, published())
    made.lost("one", 1.0)
    made.established("one", 2.0)

    assert PublishRoute("red", own_route()) in said(made.synchronise(VRFS, published()), "one")


def learn(made, source, now=0.0):
    made.received(source, ItemsEvent(Family.INET, "red", (own_route("10.0.0.9/32"),)), now)


def learnt(made):
    return [str(route.key) for route in made.learnt.best("red", Family.INET)]


def test_routes_stay_while_no_control_node_is_there():
    made = sessions("one")
    made.synchronise(VRFS, {})
    learn(made, "one")
    made.received("one", EndOfRib(), 0.0)
    made.lost("one", 100.0)

    for now in (110.0, 1000.0, 1e6):
        made.tick(now)

    assert learnt(made) == ["10.0.0.9/32"]


def test_stale_routes_are_swept_some_time_after_end_of_rib():
    made = sessions("one")
    made.synchronise(VRFS, {})
    learn(made, "one")
    made.lost("one", 100.0)
    made.established("one", 101.0)
    made.received("one", EndOfRib(), 102.0)

    made.tick(102.0 + STALE_SWEEP_DELAY_S - 0.1)
    kept = learnt(made)
    made.tick(102.0 + STALE_SWEEP_DELAY_S)

    assert (kept, learnt(made)) == (["10.0.0.9/32"], [])


def test_control_node_that_comes_and_goes_does_not_keep_what_the_other_took_back():
    made = sessions("one", "two")
    made.synchronise(VRFS, {})
    for source in ("one", "two"):
        learn(made, source)
        made.received(source, EndOfRib(), 1.0)
    made.tick(50.0)

    made.lost("two", 100.0)
    made.received("one", ItemsEvent(Family.INET, "red", (), (ip_network("10.0.0.9/32"),)), 101.0)
    for now in (102.0, 105.0, 108.0):
        made.established("two", now)
        made.received("two", EndOfRib(), now + 1)
        made.lost("two", now + 2)
    made.tick(100.0 + STALE_SWEEP_DELAY_S - 0.1)
    kept = learnt(made)
    made.tick(100.0 + STALE_SWEEP_DELAY_S)

    assert (kept, learnt(made)) == (["10.0.0.9/32"], [])


def test_control_nodes_restarted_in_turn_each_get_their_time():
    made = sessions("one", "two")
    made.synchronise(VRFS, {})
    for source in ("one", "two"):
        learn(made, source)
        made.received(source, EndOfRib(), 1.0)
    made.tick(50.0)

    made.lost("one", 100.0)
    made.established("one", 102.0)
    made.received("one", EndOfRib(), 103.0)
    made.lost("two", 105.0)
    made.established("two", 107.0)
    made.received("two", EndOfRib(), 108.0)
    made.tick(108.0 + STALE_SWEEP_DELAY_S - 0.1)

    assert learnt(made) == ["10.0.0.9/32"]


def test_missing_end_of_rib_is_assumed_after_its_time():
    made = sessions("one")

    made.tick(END_OF_RIB_TIMEOUT_S)
    made.tick(END_OF_RIB_TIMEOUT_S + STALE_SWEEP_DELAY_S)

    assert made.is_complete


def test_missing_end_of_config_is_assumed_after_silence():
    made = sessions("one", configured=False)
    made.received("one", ConfigUpdate(nodes=(NODE,)), 1.0)

    made.tick(END_OF_CONFIG_IDLE_S)
    early = made.config_complete
    made.tick(1.0 + END_OF_CONFIG_IDLE_S)

    assert (early, made.config_complete) == (False, True)


def test_control_node_that_knows_nothing_does_not_empty_the_agent():
    made = sessions("one")
    made.lost("one", 1.0)
    made.established("one", 2.0)

    made.received("one", EndOfConfig(1), 3.0)

    assert [node.key for node in made.graph.nodes()] == [NODE.key]
    assert made.refused_sweeps == 1


def test_route_of_an_instance_not_subscribed_is_ignored():
    made = sessions("one")

    learn(made, "one")

    assert learnt(made) == []


def test_messages_of_unknown_sources_are_ignored():
    made = sessions("one")

    made.received("stranger", EndOfRib(), 0.0)

    assert not made.learnt.in_sync()


def test_a_mark_is_answered_once_it_is_reached():
    made = sessions("one", "two")
    mark = RevisionMark(7)
    made.received("one", mark, 1.0)

    assert made.report(None, "", ()) == []
    assert made.report(mark, "", ()) == [("one", Programmed(7))]
    assert made.report(mark, "", ()) == []


def test_a_mark_counts_from_its_own_arrival_whatever_came_before():
    made = sessions("one")
    made.received("one", ConfigUpdate((NODE,), ()), 1.0)
    made.received("one", RevisionMark(7), 2.0)
    made.received("one", RevisionMark(8), 3.0)

    assert (made.mark, made.mark_since) == (RevisionMark(8), 3.0)


def test_the_same_revision_marked_again_is_answered_again():
    made = sessions("one")
    for _ in range(2):
        mark = RevisionMark(7)
        made.received("one", mark, 1.0)

        assert made.report(mark, "", ()) == [("one", Programmed(7))]


def test_troubles_are_told_when_they_change_and_answer_no_mark():
    made = sessions("one")
    made.received("one", RevisionMark(7), 1.0)
    trouble = PortTrouble("p", "no instance-ip has arrived")

    assert made.report(None, "full", (trouble,)) == [("one", Programmed(None, "full", (trouble,)))]
    assert made.report(None, "full", (trouble,)) == []
    assert made.report(None, "", ()) == [("one", Programmed(None))]


def test_control_nodes_that_send_no_marks_are_told_nothing():
    made = sessions("one", "two")
    made.received("two", RevisionMark(7), 1.0)

    assert not made.is_asked
    assert made.report(made.mark, "full", ()) == []


def test_a_mark_ends_with_the_session_it_came_in():
    made = sessions("one", "two")
    mark = RevisionMark(7)
    made.received("one", mark, 1.0)
    made.lost("one", 2.0)

    assert made.report(mark, "full", ()) == []
    made.received("two", RevisionMark(7), 3.0)
    assert made.report(mark, "", ()) == []
