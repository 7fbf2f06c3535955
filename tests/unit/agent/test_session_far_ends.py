"""Far ends whose routes come after the beginning, and are gone before the end, are named; strangers are not."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.agent.session_batch import SessionKind
from skytrail.agent.session_far_ends import BEGINNINGS_COUNT_MAX, FAR_ENDS_COUNT_MAX
from skytrail.agent.tables import IdentityId, InetRouteRow
from skytrail.testing.agent_world import PROJECT
from skytrail.testing.session_records import batch_of
from skytrail.testing.session_world import SessionWorld

NOBODY = IdentityId(0)
RED, GREEN = IdentityId(7), IdentityId(8)
CLIENT = ip_address("10.1.1.9")


@pytest.fixture(scope="module")
def world():
    return SessionWorld()


def with_routes(world, **identities):
    """What is desired when routes of ``c9=...``, the network's address 10.1.1.9, are there."""
    desired = world.host.desired
    rows = dict(desired.rows[InetRouteRow])
    vrf_id = desired.vrfs[f"{PROJECT}:blue:blue"]
    some = next(iter(rows.values()))
    for name, identity in identities.items():
        prefix = ip_network(f"10.1.1.{name[1:]}")
        row = dataclasses.replace(some, vrf_id=vrf_id, prefix=prefix, identity=identity)
        rows[row.key] = row
    return dataclasses.replace(desired, rows={**desired.rows, InetRouteRow: rows})


def opened(world, source=CLIENT, **changed):
    """A session that another host's port has opened with web, as its host is told of it."""
    return world.event(
        80,
        is_opened_here=False,
        source=source,
        destination=ip_address("10.1.1.3"),
        peer_vif_id=0,
        identity=NOBODY,
        **changed,
    )


def ended(begin):
    return dataclasses.replace(begin, kind=SessionKind.END)


def far_ends(follower, desired, *events):
    return follower.follow(batch_of(events), desired).identities.tolist()


def test_route_that_came_after_the_beginning_and_went_before_the_end_names_the_far_end(world):
    follower, begin = world.follower(), opened(world)

    first = far_ends(follower, with_routes(world), begin)
    follower.look(with_routes(world, c9=RED))
    last = far_ends(follower, with_routes(world), ended(begin))

    assert (first, last) == ([NOBODY], [RED])


def test_far_end_is_named_that_came_after_the_port_it_speaks_to(world):
    follower, begin, here = world.follower(), opened(world), with_routes(world, c9=RED)
    far_ends(follower, dataclasses.replace(here, ports={}, vifs={}), begin)

    follower.look(here)

    assert far_ends(follower, with_routes(world), ended(begin)) == [RED]


def test_route_that_is_there_when_the_beginning_is_read_names_both(world):
    follower, begin = world.follower(), opened(world)

    assert far_ends(follower, with_routes(world, c9=RED), begin, ended(begin)) == [RED, RED]


def test_far_end_whose_route_never_came_has_no_name(world):
    follower, begin = world.follower(), opened(world)

    far_ends(follower, with_routes(world), begin)
    follower.look(with_routes(world, c8=RED))

    assert far_ends(follower, with_routes(world), ended(begin)) == [NOBODY]


def test_session_of_which_no_beginning_was_seen_is_not_guessed(world):
    assert far_ends(world.follower(), with_routes(world, c9=RED), ended(opened(world))) == [NOBODY]


def test_who_had_the_address_before_does_not_name_a_later_session(world):
    follower, begin = world.follower(), opened(world)
    later = dataclasses.replace(begin, pair=begin.pair + 1, created_ns=begin.created_ns + 1)
    far_ends(follower, with_routes(world, c9=RED), begin)

    far_ends(follower, with_routes(world), later)

    assert far_ends(follower, with_routes(world), ended(later)) == [NOBODY]


def test_floating_address_is_not_looked_for_in_the_ports_own_network():
    world = SessionWorld()
    state = world.host.active("web")
    binding = dataclasses.make_dataclass("Outside", ["outside"])(ip_address("198.51.100.5"))
    port = dataclasses.replace(state.port, floating=((binding, state.port.network),))
    desired = with_routes(world, c9=RED)
    ports = {**desired.ports, port.uuid: dataclasses.replace(state, port=port)}
    desired = dataclasses.replace(desired, ports=ports)
    to_floating = dataclasses.replace(opened(world), destination=ip_address("198.51.100.5"))

    assert far_ends(world.follower(), desired, to_floating) == [NOBODY]
    assert far_ends(world.follower(), desired, opened(world)) == [RED]


def test_so_many_far_ends_are_remembered(world):
    follower, nobody = world.follower(), with_routes(world)
    first = ip_address("10.2.0.0")
    begins = [
        opened(world, source=first + number, pair=number + 1)
        for number in range(FAR_ENDS_COUNT_MAX)
    ]
    far_ends(follower, nobody, opened(world, pair=FAR_ENDS_COUNT_MAX + 1))
    for start in range(0, len(begins), BEGINNINGS_COUNT_MAX):
        far_ends(follower, nobody, *begins[start : start + BEGINNINGS_COUNT_MAX])

    follower.look(with_routes(world, c9=RED))

    old = opened(world, pair=FAR_ENDS_COUNT_MAX + 1)
    assert far_ends(follower, nobody, ended(old)) == [NOBODY]


def test_latest_beginnings_of_a_batch_are_looked_for(world):
    follower = world.follower()
    many = [opened(world, pair=number + 1) for number in range(BEGINNINGS_COUNT_MAX + 1)]

    found = far_ends(follower, with_routes(world, c9=RED), *many)

    assert found == [NOBODY] + [RED] * BEGINNINGS_COUNT_MAX


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["look", "begin", "end"]),
            st.sampled_from([None, RED, GREEN]),
            st.sampled_from([8, 9]),
        ),
        max_size=30,
    )
)
def test_far_end_is_who_was_there_at_the_beginning_or_else_last(world, steps):
    """Against a model of each address's holders; one session of each address at a time."""
    follower = world.follower()
    known = {8: None, 9: None}
    is_open, is_told = {8: False, 9: False}, {8: False, 9: False}
    for count, (step, holder, host) in enumerate(steps, 1):
        desired = with_routes(world, **({f"c{host}": holder} if holder else {}))
        if holder and not is_told[host]:
            known[host] = holder
        session = opened(world, source=ip_address(f"10.1.1.{host}"), pair=host, created_ns=host)
        if step == "begin" and not is_open[host]:
            known[host] = holder
            is_open[host], is_told[host] = True, bool(holder)
            assert far_ends(follower, desired, session) == [holder or NOBODY], count
        elif step == "end" and is_open[host]:
            follower.look(desired)
            assert far_ends(follower, desired, ended(session)) == [known[host] or NOBODY], count
            is_open[host] = is_told[host] = False
        else:
            follower.look(desired)
