"""What is written of rows while an agent that was restarted does not know everything yet."""

from dataclasses import replace
from ipaddress import IPv4Address

from skytrail.agent.reconcile import Reconciler, plan
from skytrail.agent.tables import (
    FLOOD_MEMBERS_COUNT_MAX,
    ROW_TYPES,
    FloodRow,
    GroupRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    VifId,
    VrfId,
)
from skytrail.testing.fake_datapath import FakeDatapath

PORT, NEW_PORT = (NextHopId(1), 0), (NextHopId(2), 0)
FAR, FURTHER = (NextHopId(3), 16), (NextHopId(4), 17)
NEXTHOPS = [
    NextHopRow(NextHopId(1), NextHopKind.INTERFACE, vif_id=VifId(1)),
    NextHopRow(NextHopId(2), NextHopKind.INTERFACE, vif_id=VifId(2)),
    NextHopRow(NextHopId(3), NextHopKind.TUNNEL),
    NextHopRow(NextHopId(4), NextHopKind.TUNNEL),
]


def flood(*members, **fields):
    return FloodRow(VrfId(5), members, **fields)


def group(*members):
    return GroupRow(VrfId(5), IPv4Address("239.1.1.1"), None, members)


def tables(*rows):
    found = {kind: {} for kind in ROW_TYPES}
    for row in (*NEXTHOPS, *rows):
        found[type(row)][row.key] = row
    return found


def adopting(row, present):
    return plan(tables(row), tables(present), complete=False)


def test_setting_of_a_network_is_followed_while_its_members_elsewhere_are_not_heard_yet():
    present = flood(PORT, FAR)

    todo = adopting(flood(PORT, floods_unknown=True), present)

    assert todo.puts == (replace(present, floods_unknown=True),)
    assert todo.held == 1


def test_setting_of_a_network_is_followed_and_nothing_waits_when_all_members_are_known():
    wanted = flood(PORT, FAR, floods_unknown=True)

    todo = adopting(wanted, flood(PORT, FAR))

    assert (todo.puts, todo.held) == ((wanted,), 0)


def test_members_not_heard_yet_keep_their_copies():
    for wanted, present in ((flood(PORT), flood(PORT, FAR)), (group(PORT), group(PORT, FAR))):
        todo = adopting(wanted, present)

        assert (todo.puts, todo.held) == ((), 1)


def test_port_that_came_meanwhile_gets_copies_and_nobody_loses_theirs():
    for wanted, present in (
        (flood(PORT, NEW_PORT), flood(PORT, FAR)),
        (group(PORT, NEW_PORT), group(PORT, FAR)),
    ):
        todo = adopting(wanted, present)

        assert [row.members for row in todo.puts] == [(NEW_PORT, PORT, FAR)]
        assert todo.held == 1


def test_members_beyond_the_bound_are_counted_meanwhile():
    many = tuple((NextHopId(100 + number), 16) for number in range(FLOOD_MEMBERS_COUNT_MAX))

    (put,) = adopting(flood(PORT), flood(*many, beyond_count=3)).puts

    assert put.members == (PORT, *many[:-1])
    assert put.beyond_count == 4


def test_somebody_new_elsewhere_has_the_row_written_as_it_is_known():
    wanted = flood(PORT, FURTHER)

    todo = adopting(wanted, flood(PORT, FAR))

    assert (todo.puts, todo.held) == ((wanted,), 0)


def test_snooping_stays_as_it_was_while_who_listens_is_not_known():
    assert adopting(flood(PORT), flood(PORT, FAR, snoops=True)).puts == ()


def test_what_waited_is_written_when_everything_is_known():
    datapath = FakeDatapath()
    datapath.apply([*NEXTHOPS, flood(PORT, FAR)], [])
    reconciler, wanted = Reconciler(datapath), flood(PORT, floods_unknown=True)

    reconciler.run(tables(wanted), complete=False)
    assert datapath.rows[FloodRow][VrfId(5)] == flood(PORT, FAR, floods_unknown=True)
    reconciler.run(tables(wanted), complete=True)

    assert datapath.rows[FloodRow][VrfId(5)] == wanted
