"""How objects of a load balancer stand, from what HAProxy counts, and who is told."""

from __future__ import annotations

import pytest

from skytrail.agent.balancing.standing import CountedCopy, PartCounters, Totals, parts_of, standings
from skytrail.agent.control_sessions import ControlSessions
from skytrail.agent.outcome import Desired
from skytrail.agent.uves import HostState, uves
from skytrail.model.load_balancer import Listener, LoadBalancer, Member, Operating, Pool
from skytrail.testing.agent_world import uuid_of
from skytrail.wire.xmpp import BalancerStanding, Programmed, RevisionMark
from skytrail.wire.xmpp.config_codec import STANDINGS_COUNT_MAX

LB, WEB, SERVERS = uuid_of("lb"), uuid_of("web"), uuid_of("servers")
ONE, TWO = uuid_of("one"), uuid_of("two")
ANSWER = f"""\
# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,econ,eresp,status,weight,type,check_status,last_chk,
{WEB},FRONTEND,,,3,9,100,20,1000,5000,,,OPEN,,0,,,
{SERVERS}-of-{WEB},{ONE},0,0,1,4,,10,400,2000,0,0,UP,1,2,L7OK,"HTTP, 200",
{SERVERS}-of-{WEB},{TWO},0,0,2,5,,10,600,3000,7,1,DOWN,1,2,L4CON,Connection refused,
{SERVERS}-of-{WEB},BACKEND,0,0,3,9,10,20,1000,5000,7,1,UP,2,1,,,
GLOBAL,FRONTEND,,,0,0,100,0,0,0,,,OPEN,,0,,,

"""


def balancer(*, members=(ONE, TWO), weight=1):
    made = tuple(Member(uuid=each, address="10.1.1.5", port=80, weight=weight) for each in members)
    pool = Pool(uuid=SERVERS, protocol="HTTP", members=made)
    return LoadBalancer(
        uuid=LB,
        vip="10.1.1.100",
        listeners=(Listener(uuid=WEB, protocol="HTTP", port=80, pool=pool),),
    )


def counted(**states):
    """Parts of the balancer whose members have HAProxy's words ``one`` and ``two``."""
    listener = PartCounters(uuid=WEB, kind="listener", state="OPEN")
    words = {ONE: states.get("one"), TWO: states.get("two")}
    return (
        listener,
        *(PartCounters(uuid=u, kind="member", state=w) for u, w in words.items() if w),
    )


def test_answer_is_read_to_parts_of_objects_alone():
    parts = parts_of(ANSWER)

    assert [(each.kind, each.uuid) for each in parts] == [
        ("listener", WEB),
        ("member", ONE),
        ("member", TWO),
        ("pool", SERVERS),
    ]
    assert (parts[0].total_sessions, parts[0].bytes_in, parts[0].bytes_out) == (20, 1000, 5000)
    assert parts[1].detail == "L7OK HTTP, 200"
    assert (parts[2].connection_errors, parts[2].response_errors) == (7, 1)


@pytest.mark.parametrize("text", ["", "Unknown command.\n", "# a,b\n1,2\n"])
def test_what_is_no_table_is_refused(text):
    with pytest.raises(ValueError, match="no table of statistics"):
        parts_of(text)


@pytest.mark.parametrize(
    ("one", "two", "members", "pool"),
    [
        ("UP", "UP", ("ONLINE", "ONLINE"), "ONLINE"),
        ("UP", "DOWN", ("ONLINE", "ERROR"), "DEGRADED"),
        ("UP 1/2", "DOWN 1/2", ("ONLINE", "ERROR"), "DEGRADED"),
        ("DOWN", "DOWN (agent)", ("ERROR", "ERROR"), "ERROR"),
        ("no check", "no check", ("NO_MONITOR", "NO_MONITOR"), "ONLINE"),
        ("DRAIN", "UP", ("DRAINING", "ONLINE"), "ONLINE"),
        ("MAINT", "UP", ("OFFLINE", "ONLINE"), "DEGRADED"),
        ("UP", None, ("ONLINE", "ERROR"), "DEGRADED"),
    ],
)
def test_pool_listener_and_balancer_stand_as_the_members_do(one, two, members, pool):
    found = standings(balancer(), counted(one=one, two=two))

    assert (found[ONE], found[TWO]) == members
    assert found[SERVERS] == found[WEB] == found[LB] == pool


def test_listener_that_haproxy_was_not_given_is_in_error():
    other = PartCounters(uuid=uuid_of("another listener"), kind="listener", state="OPEN")

    found = standings(balancer(), (other,))

    assert found[WEB] is Operating.ERROR
    assert found[LB] is Operating.ERROR


def test_pool_without_members_is_offline_and_its_listener_answers():
    found = standings(balancer(members=()), counted())

    assert (found[SERVERS], found[WEB], found[LB]) == ("OFFLINE", "ONLINE", "ONLINE")


def test_member_of_weight_0_without_a_monitor_is_draining():
    assert standings(balancer(weight=0), counted(one="no check"))[ONE] is Operating.DRAINING


def test_of_a_keeper_that_does_not_count_only_the_balancer_is_known():
    assert standings(balancer(), ()) == {LB: Operating.ONLINE}


def test_uve_has_each_part_with_its_counters_and_totals_that_add_up():
    parts = parts_of(ANSWER)
    copy = CountedCopy(balancer(), 200, standings(balancer(), parts), parts)
    host = HostState("host1", "192.0.2.1", (), {}, {}, balancers=(copy,))

    (told,) = [each for each in uves(host, Desired()) if each.table == "ObjectLBTable"]

    assert told.key == LB
    assert told.fields["operating_status"] == "DEGRADED"
    assert told.fields["member"][TWO]["status"] == "INACTIVE"
    assert told.fields["member"][TWO]["status_description"] == "L4CON Connection refused"
    assert told.fields["listener"][WEB]["total_sessions"] == 20
    assert (told.fields["bytes_in"], told.rules["bytes_in"]) == (1000, "sum")


def test_control_node_is_told_when_a_member_changes_and_no_more_than_fits():
    sessions = ControlSessions("host")
    sessions.established("one", 0.0)
    sessions.received("one", RevisionMark(1), 0.0)
    small = BalancerStanding(LB, 200, ((LB, "ONLINE"),))
    large = BalancerStanding("large", 200, (("x", "ONLINE"),) * STANDINGS_COUNT_MAX)

    first = sessions.report(None, "", (), (small,))

    assert first == [("one", Programmed(None, "", (), (small,)))]
    assert sessions.report(None, "", (), (small,)) == []
    assert sessions.report(None, "", (), (small, large)) == []
    down = BalancerStanding(LB, 200, ((LB, "ERROR"),))
    assert sessions.report(None, "", (), (down,)) == [("one", Programmed(None, "", (), (down,)))]


def test_counters_go_on_when_another_worker_counts_from_nothing():
    totals = Totals()

    def seen(sessions, bytes_in):
        part = PartCounters(
            uuid=WEB, kind="listener", state="OPEN", total_sessions=sessions, bytes_in=bytes_in
        )
        (told,) = totals.of([part])
        return told.total_sessions, told.bytes_in

    assert [seen(10, 100), seen(12, 130), seen(1, 5), seen(3, 20), seen(0, 0)] == [
        (10, 100),
        (12, 130),
        (13, 135),
        (15, 150),
        (15, 150),
    ]
    assert totals.of([]) == ()
    assert seen(2, 2) == (2, 2)
