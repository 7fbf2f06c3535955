"""What a certified machine may tell is what configuration places there; what comes late is not lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.placement import (
    BALANCERS,
    GRACE_S,
    LEFT_COUNT_MAX,
    MACHINES,
    NETWORKS,
    PORT,
    PORTS,
    ROUTER,
    SESSIONS,
    Placement,
    Standing,
)
from skytrail.analytics.refusals import LINE_EVERY_S, MACHINES_COUNT_MAX, Refusals
from skytrail.analytics.telemetry import change_of
from skytrail.analytics.trust import Trust
from skytrail.analytics.uve import UveTables
from skytrail.model.derived_uuid import derived_uuid
from skytrail.wire.errors import DecodeError
from skytrail.wire.telemetry import Sessions, Texts, Uve
from skytrail.wire.telemetry.sessions import pack, unpack

WEB, NET, OTHER = "d:red:web", "d:red:net", "d:blue:net"
H1, H2 = "h1:Compute:agent:0", "h2:Compute:agent:0"


def port(name=WEB, network=NET, host="", machines=(), **more):
    document = {
        "fq_name": name.split(":"),
        "parent_type": "project",
        "virtual_network_refs": [{"to": network.split(":"), "uuid": "n"}],
        "virtual_machine_refs": [{"to": [each], "uuid": f"{each}-uuid"} for each in machines],
        **more,
    }
    if host:
        pairs = [{"key": "vnic_type", "value": "normal"}, {"key": "host_id", "value": host}]
        document["virtual_machine_interface_bindings"] = {"key_value_pair": pairs}
    return document


def router(host, *machines):
    refs = [{"to": [each], "uuid": f"{each}-uuid"} for each in machines]
    return {"fq_name": ["default-global-system-config", host], "virtual_machine_refs": refs}


class Told:
    """A collector's state, and what machines told it."""

    def __init__(self, **settings):
        self.uves = UveTables()
        self.trust = Trust(self.uves, **settings)
        self.now = 0.0

    def known(self):
        for change in self.trust.known(self.now):
            self.uves.apply(change, self.now)

    def uve(self, generator, table, key, struct="S", **fields):
        self.trust.begin(generator, is_proven=True)
        change = change_of(generator, Uve(table=table, key=key, struct=struct, fields=fields))
        if self.trust.admits(change, self.now):
            self.uves.apply(change, self.now)

    def pass_time(self, seconds=0.0):
        self.now += seconds
        for change in self.trust.tick(self.now):
            self.uves.apply(change, self.now)

    def says(self, generator, table, key):
        return self.uves.said(table, key, "S", generator) is not None

    def sessions(self, machine, *pairs):
        rows = [
            {"T": 10 + place, "vmi": vmi, "vn": vn, "client_port": place}
            for place, (vmi, vn) in enumerate(pairs)
        ]
        found = self.trust.sessions(machine, pack(rows), self.now)
        return [] if found is None else unpack(found)["client_port"]


@pytest.fixture
def told():
    made = Told()
    made.trust.placement.put(PORT, "p1", port(host="h1"), 0.0)
    made.known()
    made.pass_time(GRACE_S + 1)
    return made


def test_port_is_where_its_binding_machine_or_parent_is():
    placement = Placement()
    placement.put(PORT, "p1", port("d:red:bound", host="h1"), 0.0)
    placement.put(PORT, "p2", port("d:red:of-machine", machines=["vm1"]), 0.0)
    placement.put(ROUTER, "r1", router("h2", "vm1"), 0.0)
    below = port("default-global-system-config:h3:vhost0", parent_type=ROUTER)
    placement.put(PORT, "p3", below, 0.0)

    assert placement.standing("h1", (PORTS, "d:red:bound")) is Standing.HERE
    assert placement.standing("h2", (PORTS, "d:red:bound")) is Standing.ELSEWHERE
    assert placement.standing("h2", (SESSIONS, "d:red:of-machine", NET)) is Standing.HERE
    assert placement.standing("h2", (MACHINES, "vm1-uuid")) is Standing.HERE
    assert placement.standing("h3", (PORTS, "default-global-system-config:h3:vhost0")) is (
        Standing.HERE
    )
    assert placement.standing("h1", (NETWORKS, NET)) is Standing.HERE
    assert placement.standing("h1", (NETWORKS, OTHER)) is Standing.UNKNOWN


def test_balancer_is_where_the_compilers_copies_are_and_nobody_elses():
    placement = Placement()
    name = "load-balancer-0c1d-2e3f-1"
    made = {"to": [name], "uuid": derived_uuid("virtual-machine", (name,))}
    placement.put(PORT, "p1", port(host="h1", virtual_machine_refs=[made]), 0.0)
    placement.put(PORT, "p2", port("d:blue:x", host="h2", machines=["load-balancer-9-1"]), 0.0)

    assert placement.standing("h1", (BALANCERS, "0c1d-2e3f")) is Standing.HERE
    assert placement.standing("h2", (BALANCERS, "9")) is Standing.UNKNOWN


def test_what_moves_or_goes_counts_as_there_for_a_while():
    placement = Placement()
    placement.put(PORT, "p1", port(host="h1"), 0.0)
    placement.put(PORT, "p1", port(host="h2"), 10.0)

    assert placement.standing("h1", (PORTS, WEB)) is Standing.HERE
    placement.delete("p1", 20.0)
    assert placement.take_expired(10.0 + GRACE_S - 1) == []
    gone = placement.take_expired(10.0 + GRACE_S)
    assert ("h1", (PORTS, WEB)) in gone
    assert placement.standing("h1", (PORTS, WEB)) is Standing.UNKNOWN
    assert placement.standing("h2", (PORTS, WEB)) is Standing.HERE


def test_machine_that_gets_another_host_takes_its_ports_along():
    placement = Placement(grace_s=0.0)
    placement.put(PORT, "p1", port(machines=["vm1"]), 0.0)
    assert placement.standing("h1", (PORTS, WEB)) is Standing.UNPLACED

    placement.put(ROUTER, "r1", router("h1", "vm1"), 0.0)
    placement.put(ROUTER, "r2", router("h2"), 0.0)
    placement.put(ROUTER, "r1", router("h1"), 1.0)
    placement.put(ROUTER, "r2", router("h2", "vm1"), 1.0)
    placement.take_expired(1.0)

    assert placement.standing("h1", (PORTS, WEB)) is Standing.ELSEWHERE
    assert placement.standing("h2", (PORTS, WEB)) is Standing.HERE


def test_what_left_is_remembered_within_bounds():
    placement = Placement()
    for number in range(LEFT_COUNT_MAX // 3 + 2):
        placement.put(PORT, "p", port(f"d:red:p{number}", f"d:red:n{number}", host="h1"), 0.0)

    assert placement.forgotten_count > 0
    assert len(placement.take_expired(GRACE_S)) == LEFT_COUNT_MAX


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("port"),
            st.sampled_from("ab"),
            st.sampled_from(["", "h1", "h2"]),
            st.sampled_from([(), ("vm1",), ("vm2",)]),
            st.sampled_from([NET, OTHER]),
        ),
        st.tuples(
            st.just("router"),
            st.sampled_from(["h1", "h2"]),
            st.sets(st.sampled_from(["vm1", "vm2"])),
        ),
        st.tuples(st.just("delete"), st.sampled_from(["a", "b", "h1", "h2"])),
    ),
    max_size=20,
)


@given(steps)
def test_placement_is_a_function_of_configuration(history):
    followed, documents = Placement(grace_s=0.0), {}
    for step in history:
        match step:
            case "port", uuid, host, machines, network:
                documents[uuid] = PORT, port(f"d:red:{uuid}", network, host, machines)
            case "router", host, machines:
                documents[host] = ROUTER, router(host, *sorted(machines))
            case _, uuid:
                documents.pop(uuid, None)
                followed.delete(uuid, 0.0)
        for uuid, (kind, document) in documents.items():
            followed.put(kind, uuid, document, 0.0)
    followed.take_expired(1.0)

    fresh = Placement()
    for uuid, (kind, document) in documents.items():
        fresh.put(kind, uuid, document, 0.0)
    fresh.take_expired(2 * GRACE_S)
    subjects = [
        *((PORTS, f"d:red:{each}") for each in "ab"),
        *((NETWORKS, each) for each in (NET, OTHER)),
        *((MACHINES, each) for each in ("vm1", "vm2-uuid")),
        *((SESSIONS, f"d:red:{each}", NET) for each in "ab"),
    ]
    for subject in subjects:
        for host in ("h1", "h2"):
            assert followed.standing(host, subject) == fresh.standing(host, subject)


def test_host_tells_of_its_own_and_of_nothing_of_others(told):
    told.uve(H1, PORTS, WEB)
    told.uve(H2, PORTS, WEB)
    told.uve(H2, NETWORKS, NET, interface_list=[])
    told.uve(H1, NETWORKS, NET, interface_list=[WEB])

    assert told.says(H1, PORTS, WEB)
    assert told.says(H1, NETWORKS, NET)
    assert not told.says(H2, PORTS, WEB)
    assert not told.says(H2, NETWORKS, NET)
    assert told.trust.refusals.total == {"placed_elsewhere": 2}


def test_network_or_machine_is_not_said_to_have_ports_of_elsewhere(told):
    told.trust.placement.put(PORT, "p2", port("d:red:db", host="h2"), told.now)

    told.uve(H1, NETWORKS, NET, interface_list=[WEB, "d:red:db"])
    told.uve(H1, MACHINES, "made-up", interface_list=["d:red:db"])

    assert not told.says(H1, NETWORKS, NET)
    assert not told.says(H1, MACHINES, "made-up")


def test_what_is_told_before_its_placement_counts_once_that_comes(told):
    told.uve(H2, PORTS, "d:red:new")
    assert not told.says(H2, PORTS, "d:red:new")

    told.trust.placement.put(PORT, "p2", port("d:red:new", host="h2"), told.now)
    told.pass_time()

    assert told.says(H2, PORTS, "d:red:new")
    assert told.trust.held_count == 0


def test_what_left_for_good_is_taken_back_and_returns_with_its_placement(told):
    told.uve(H1, PORTS, WEB)
    told.trust.placement.put(PORT, "p1", port(host="h2"), told.now)
    told.pass_time(GRACE_S - 1)
    assert told.says(H1, PORTS, WEB)

    told.pass_time(2)
    assert not told.says(H1, PORTS, WEB)
    told.trust.placement.put(PORT, "p1", port(host="h1"), told.now)
    told.pass_time()
    assert told.says(H1, PORTS, WEB)


def test_what_was_told_before_configuration_came_is_judged_then():
    told = Told()
    told.uve(H2, PORTS, WEB)
    told.uve(H1, PORTS, WEB)
    assert told.sessions("h2", (WEB, NET)) == [0]
    assert told.trust.unjudged_count == 3

    told.trust.placement.put(PORT, "p1", port(host="h1"), 0.0)
    told.known()

    assert told.says(H1, PORTS, WEB)
    assert not told.says(H2, PORTS, WEB)


def test_who_has_shown_no_certificate_is_not_judged(told):
    told.trust.begin(H2, is_proven=False)
    told.uves.apply(change_of(H2, Uve(table=PORTS, key=WEB, struct="S")), told.now)
    told.trust.placement.delete("p1", told.now)
    told.pass_time(GRACE_S + 1)

    assert told.says(H2, PORTS, WEB)


def test_ports_placed_nowhere_are_anybodys_unless_only_placed_ones_count():
    for placed_only in (False, True):
        told = Told(placed_only=placed_only)
        told.trust.placement.put(PORT, "p1", port(), 0.0)
        told.known()
        told.pass_time(GRACE_S + 1)

        told.uve(H1, PORTS, WEB)
        told.uve(H1, MACHINES, "nobody-wrote-it-down", interface_list=[WEB])

        assert told.says(H1, PORTS, WEB) is not placed_only
        assert told.says(H1, MACHINES, "nobody-wrote-it-down") is not placed_only
        assert told.sessions("h1", (WEB, NET)) == ([] if placed_only else [0])


def test_tables_of_other_roles_need_the_role(told):
    told.uve(H1, "ObjectRoutingInstance", "d:red:net:net")
    told.uve(H1, "ObjectPRouter", "switch1")
    told.uve(H1, "ObjectBgpPeer", "control1:peer")
    told.uve("c1:Control:control:0", "ObjectBgpPeer", "c1:peer")
    assert told.says("c1:Control:control:0", "ObjectBgpPeer", "c1:peer")
    assert told.trust.refusals.total == {"not_its_role": 3}

    told.trust.note_node("ObjectBgpRouter", "h1", 1)
    told.pass_time()

    assert told.says(H1, "ObjectRoutingInstance", "d:red:net:net")
    assert told.says(H1, "ObjectPRouter", "switch1")
    assert not told.says(H1, "ObjectBgpPeer", "control1:peer")


def test_sessions_of_other_hosts_ports_or_networks_are_refused_row_by_row(told):
    told.trust.placement.put(PORT, "p2", port("d:red:db", host="h2"), told.now)

    kept = told.sessions(
        "h1",
        (WEB, NET),
        ("d:red:db", NET),
        (WEB, OTHER),
        ("", ""),
        ("", NET),
        ("d:x:y", NET),
        (WEB, NET),
    )

    assert kept == [0, 3, 6]
    assert told.trust.refusals.total == {
        "placed_elsewhere": 1, "not_its_network": 2, "not_configured": 1,
    }  # fmt: skip
    row = next(told.trust.refusals.rows())
    assert row["machine"] == "h1"
    assert told.sessions("h3", (WEB, NET)) == []


def test_sessions_told_late_of_ports_that_moved_or_went_are_kept(told):
    told.trust.placement.put(PORT, "p1", port(host="h2"), told.now)
    assert told.sessions("h1", (WEB, NET)) == [0]
    assert told.sessions("h2", (WEB, NET)) == [0]

    told.trust.placement.delete("p1", told.now)
    assert told.sessions("h2", (WEB, NET)) == [0]
    told.pass_time(GRACE_S + 1)
    assert told.sessions("h2", (WEB, NET)) == []


def test_ports_this_node_never_heard_of_are_taken_while_it_may_have_missed_them():
    told = Told()
    told.known()
    assert told.sessions("h1", ("d:red:gone", NET), ("d:red:gone", NET)) == [0, 1]
    assert told.trust.unjudged_count == 2

    told.pass_time(GRACE_S + 1)
    assert told.sessions("h1", ("d:red:gone", NET)) == []
    told.trust.is_current = lambda: False
    assert told.sessions("h1", ("d:red:gone", NET)) == [0]


def test_held_uves_are_bounded_and_go_with_their_generator(told):
    told.uve(H2, PORTS, WEB, text="x" * (40 << 20))
    told.uve(H2, PORTS, "d:red:other", text="x" * (40 << 20))
    assert told.trust.held_count == 1
    assert told.trust.refusals.unheld_count == 1

    told.trust.forget(H2)
    assert told.trust.held_count == 0
    told.uve(H2, PORTS, WEB, text="x" * (40 << 20))
    assert told.trust.held_count == 1


@given(
    st.integers(-1, 30_000),
    st.lists(st.sampled_from(["", WEB, "d:x:y"]), max_size=3),
    st.binary(max_size=9),
    st.booleans(),
)
def test_sessions_of_any_form_are_kept_refused_or_a_decode_error(count, words, places, has_vn):
    told = Told()
    told.trust.placement.put(PORT, "p1", port(host="h1"), 0.0)
    told.known()
    told.pass_time(GRACE_S + 1)
    texts = {"vmi": Texts(words, places)}
    if has_vn:
        texts["vn"] = Texts([NET], places)
    message = Sessions(count=count, texts=texts, numbers={"T": bytes(8)})

    try:
        found = told.trust.sessions("h1", message, told.now)
    except DecodeError:
        return
    assert found is None or found is message or 0 < found.count < count


def test_log_is_told_of_a_machine_now_and_then():
    refusals = Refusals()
    refusals.note("h1", "not_placed", "x", 0.0, 3)
    assert [(machine, count) for machine, _, count in refusals.lines(0.0)] == [("h1", 3)]

    refusals.note("h1", "not_placed", "y" * 9999, 1.0)
    assert list(refusals.lines(1.0)) == []
    [(_, refused, count)] = refusals.lines(LINE_EVERY_S)
    assert (count, len(refused.latest)) == (1, 256)
    for number in range(MACHINES_COUNT_MAX):
        refusals.note(f"m{number}", "r", "", 0.0)
    assert len(list(refusals.rows())) == MACHINES_COUNT_MAX
    assert refusals.total["r"] == MACHINES_COUNT_MAX


def test_what_is_held_without_fields_takes_room_as_well(told):
    for number in range(2_000):
        told.uve(H1, PORTS, f"{number}")

    assert told.trust.held_count == 2_000
    assert told.trust.held_bytes >= 2_000 * 1_024
