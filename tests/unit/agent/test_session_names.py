"""Sessions that end with their port have its names, and never those of another port."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from skytrail.agent.session_batch import SessionKind
from skytrail.agent.session_names import PORTS_COUNT_MAX, SessionNames
from skytrail.agent.session_rows import SessionRows
from skytrail.agent.session_sample import Sample
from skytrail.agent.tables import IdentityId, VifId
from skytrail.testing.agent_world import PROJECT
from skytrail.testing.session_records import batch_of
from skytrail.testing.session_world import SessionWorld
from skytrail.wire.telemetry.sessions import unpack


@pytest.fixture
def world():
    return SessionWorld()


def told(world, *batches):
    """Follow batches, each with what is desired at that moment; returns the columns told, and records."""
    rows = SessionRows(
        world.book, world.host.numbers, "192.0.2.1", Sample(np.random.default_rng(1), 500)
    )
    follower, records = world.follower(), []
    for event, desired in batches:
        batch = batch_of([event])
        followed = follower.follow(batch, desired)
        rows.note(batch, followed, desired, 0.0)
        far = IdentityId(int(followed.identities[0]))
        records.append(world.book.record(event, far, desired, (), followed.names))
    return [unpack(message) for message in rows.take(9.0)], records


def without_ports(desired):
    return dataclasses.replace(desired, ports={}, vifs={}, identities={})


def test_session_that_ends_when_its_port_is_deleted_has_its_names(world):
    begin = world.event(80)
    end = dataclasses.replace(begin, kind=SessionKind.END, identity=IdentityId(0))
    before = world.host.desired

    [columns], records = told(world, (begin, before), (end, without_ports(before)))

    assert columns["vmi"] == [f"{PROJECT}:web"]
    assert columns["vn"] == [f"{PROJECT}:blue"]
    assert columns["remote_vn"] == [f"{PROJECT}:blue"]
    for name in ("vmi_uuid", "peer_vmi_uuid", "port", "virtual_network", "peer_networks"):
        assert records[1][name] == records[0][name] != ""


def test_session_that_began_before_its_port_was_here_has_its_names(world):
    names, here = SessionNames(), world.host.desired
    gone, web = without_ports(here), world.host.vif("web")
    names.note(batch_of([world.event(80)]).records, np.zeros(1), gone)

    names.look(here)

    assert names.port(web, gone) == world.host.active("web")


def test_session_of_a_port_nobody_saw_has_no_names(world):
    end = dataclasses.replace(world.event(80), kind=SessionKind.END)

    [columns], _ = told(world, (end, without_ports(world.host.desired)))

    assert "vmi" not in columns
    assert "vn" not in columns


def test_number_that_another_port_has_now_is_that_port(world):
    begin = world.event(80)
    end = dataclasses.replace(begin, kind=SessionKind.END)
    before = world.host.desired
    web, db = (world.host.vif(name) for name in ("web", "db"))
    after = dataclasses.replace(before, vifs={web: before.vifs[db]})

    [columns], _ = told(world, (begin, before), (end, after))

    assert columns["vmi"] == [f"{PROJECT}:db"]


def test_so_many_ports_are_remembered(world):
    names, desired = SessionNames(), world.host.desired
    web = world.host.vif("web")
    for number in range(1, PORTS_COUNT_MAX + 2):
        moment = dataclasses.replace(desired, vifs={VifId(number): desired.vifs[web]})
        names.note(batch_of([world.event(80, vif_id=VifId(number))]).records, np.zeros(1), moment)

    gone = without_ports(desired)
    assert names.port(VifId(1), gone) is None
    assert names.port(VifId(2), gone) is not None
