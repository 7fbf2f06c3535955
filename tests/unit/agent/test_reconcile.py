from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.agent.plugin import TableFullError
from skytrail.agent.reconcile import Reconciler, plan
from skytrail.agent.tables import (
    ROW_TYPES,
    IdentityId,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    VifId,
    VrfId,
)
from skytrail.net import Mac
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.testing.fake_datapath import FakeDatapath


def nexthop(number):
    return NextHopRow(NextHopId(number), NextHopKind.RECEIVE)


def route(number, nexthop_id=1):
    prefix = ip_network(f"10.0.0.{number}/32")
    return InetRouteRow(VrfId(1), prefix, NextHopId(nexthop_id), 0, IdentityId(0))


def tables(*rows):
    found = {kind: {} for kind in ROW_TYPES}
    for row in rows:
        found[type(row)][row.key] = row
    return found


def test_referred_rows_are_put_first_and_deleted_last():
    todo = plan(tables(route(1), nexthop(1)), tables(route(2), nexthop(2)), complete=True)

    assert todo.puts == (nexthop(1), route(1))
    assert todo.deletes == (route(2), nexthop(2))


def test_equal_tables_need_nothing():
    same = tables(nexthop(1), route(1))

    assert plan(same, tables(nexthop(1), route(1)), complete=True) == plan({}, {}, complete=True)


def test_incomplete_state_deletes_nothing():
    todo = plan(tables(), tables(route(1), nexthop(1)), complete=False)

    assert (todo.deletes, todo.held) == ((), 2)


def test_refused_write_is_followed_by_reading_everything_again():
    datapath = FakeDatapath()
    reconciler = Reconciler(datapath)
    reconciler.run(tables(nexthop(1)), complete=True)
    datapath.refuse = OSError(28, "no space")
    with pytest.raises(OSError, match="no space"):
        reconciler.run(tables(nexthop(1), nexthop(2)), complete=True)
    datapath.refuse = None
    datapath.rows[NextHopRow].clear()

    done = reconciler.run(tables(nexthop(1), nexthop(2)), complete=True)

    assert done.puts == (nexthop(1), nexthop(2))


def test_full_table_keeps_no_interface_from_being_attached():
    datapath = RoutesAreFull()
    reconciler = Reconciler(datapath)

    full = reconciler.run(tables(interface(7), route(1)), complete=True).full
    assert str(full) == "[Errno 28] no room"
    assert datapath.attached == {7}
    with pytest.raises(TableFullError, match="no room"):
        reconciler.resync(tables(interface(7), route(1)), complete=True)
    assert reconciler.statistics.last_error == "[Errno 28] no room"

    datapath.has_room = True
    assert reconciler.run(tables(interface(7), route(1)), complete=True).puts == (route(1),)


def test_full_table_retires_no_other_version():
    datapath = RoutesAreFull()
    datapath.before = {7}

    done = Reconciler(datapath).run(tables(interface(7), route(1)), complete=True)

    assert done.full is not None
    assert (datapath.attached, datapath.before) == (set(), {7})


class RoutesAreFull(FakeDatapath):
    has_room = False

    def apply(self, puts, deletes):
        if self.has_room:
            super().apply(puts, deletes)
            return
        super().apply([row for row in puts if not isinstance(row, InetRouteRow)], deletes)
        raise TableFullError(28, "no room")


def test_resync_repairs_and_counts_drift():
    datapath = FakeDatapath()
    reconciler = Reconciler(datapath)
    desired = tables(nexthop(1), route(1))
    reconciler.run(desired, complete=True)
    datapath.rows[InetRouteRow].clear()
    datapath.apply([nexthop(9)], [])

    assert reconciler.resync(desired, complete=True) == 2
    assert datapath.rows == desired


def red_host(datapath=None, numbers=None):
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    config.port("a", red, ["10.1.1.3"])
    made = AgentHost(datapath=datapath, numbers=numbers)
    made.plug("a", 10)
    return made, config


def running_host():
    made, config = red_host()
    made.connect()
    made.configure(config.update())
    made.resolve("192.0.2.9")
    made.reconcile()
    other = AgentHost("192.0.2.9")
    other.plug("b", 20)
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    config.port("b", red, ["10.1.1.4"])
    other.connect()
    other.configure(config.update())
    other.reconcile()
    for instance, published in other.published():
        made.learn(instance, [published])
    made.reconcile()
    return made, config


def test_restarted_agent_with_saved_numbers_writes_nothing():
    made, config = running_host()
    restarted = AgentHost(datapath=made.datapath)
    restarted.numbers.load(made.numbers.save())
    restarted.plugged, restarted.paths = made.plugged, made.paths
    restarted.sessions.learnt = made.sessions.learnt
    restarted.connect()
    restarted.configure(config.update())
    made.datapath.batches.clear()

    restarted.reconcile(complete=False)

    assert made.datapath.batches == []


def test_restarted_agent_keeps_forwarding_until_its_inputs_are_complete():
    made, _ = running_host()
    before = {kind: dict(rows) for kind, rows in made.datapath.rows.items()}
    restarted = AgentHost(datapath=made.datapath)
    restarted.numbers.load(made.numbers.save())
    restarted.plugged = made.plugged

    restarted.reconcile(complete=False)

    assert made.datapath.rows == before
    assert made.datapath.rows[InterfaceRow][10].vrf_id != 0


def test_after_completion_unwanted_rows_are_swept_and_the_port_fails_closed():
    made, _ = running_host()
    restarted = AgentHost(datapath=made.datapath)
    restarted.numbers.load(made.numbers.save())
    restarted.plugged = made.plugged

    restarted.reconcile(complete=True)

    assert made.datapath.rows[InetRouteRow] == {}
    assert made.datapath.rows[InterfaceRow][10].vrf_id == 0


def test_vanished_link_loses_its_row_and_a_new_index_gets_one():
    made, _ = running_host()
    uuid = uuid_of("a")
    port = made.plugged[uuid]
    made.plugged[uuid] = type(port)(
        port.vmi_uuid, port.vm_uuid, port.ifname, port.kind, 77, port.link_mtu_bytes
    )

    made.reconcile()

    assert set(made.datapath.rows[InterfaceRow]) == {1, 77}
    assert IPv4Address("192.0.2.1") == made.datapath.rows[InterfaceRow][1].tunnel_address


def interface(ifindex):
    return InterfaceRow(
        ifindex=ifindex,
        vif_id=VifId(ifindex),
        kind=InterfaceKind.WORKLOAD_VETH,
        vrf_id=VrfId(1),
        mac=Mac.parse("02:00:00:00:00:01"),
        mtu_bytes=1500,
        policy_egress=PolicyId(0),
        policy_ingress=PolicyId(0),
        identity=IdentityId(0),
        antispoof=True,
    )


def test_what_another_version_carries_is_taken_over_when_the_tables_are_whole():
    datapath = FakeDatapath()
    datapath.before = {7, 9}
    reconciler = Reconciler(datapath)

    reconciler.run(tables(interface(7), interface(8)), complete=False)
    assert reconciler.takes_over
    assert (datapath.attached, datapath.before) == ({8}, {7, 9})

    reconciler.run(tables(interface(7), interface(8)), complete=True)
    assert not reconciler.takes_over
    assert (datapath.attached, datapath.before) == ({7, 8}, set())


def test_another_version_stays_while_an_interface_cannot_be_attached():
    datapath = RefusesAttach()
    datapath.before = {7}
    reconciler = Reconciler(datapath)

    reconciler.run(tables(interface(7)), complete=True)
    assert datapath.before == {7}

    datapath.refuses = False
    reconciler.run(tables(interface(7)), complete=True)
    assert (datapath.attached, datapath.before) == ({7}, set())


class RefusesAttach(FakeDatapath):
    refuses = True

    def attach(self, ifindex):
        if self.refuses:
            raise OSError(12, "no memory")
        super().attach(ifindex)
