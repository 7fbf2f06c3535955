"""The DNS channel over all histories: what is answered follows from what holds now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skytrail.control.dns import DnsPlane
from skytrail.model.config_object import ConfigObject
from skytrail.testing.control_plane import Bench
from skytrail.testing.dns_world import NEXT, TENANT, dns_record, dns_server, hosts_with_ports
from skytrail.wire.dns import RecordType, ResponseCode
from skytrail.wire.xmpp import DnsEntry, DnsReply, DnsRequest, DnsVerb
from skytrail.wire.xmpp.codec import StanzaDecoder

AGENTS = ("a", "b")
NAMES = ("web", "vm")
ADDRESSES = ("10.0.0.1", "10.0.0.2")
U16 = st.integers(0, 0xFFFF)
ANY_ENTRY = st.builds(
    DnsEntry,
    st.sampled_from([1, 254, 255]) | U16,
    st.sampled_from(RecordType) | U16,
    st.sampled_from(["web.demo.test", "1.1.1.10.in-addr.arpa", ""]) | st.text(max_size=20),
    st.sampled_from(["10.0.0.1", "fd00::1", "web", ""]) | st.text(max_size=20),
    st.integers(0, 0xFFFF_FFFF),
    U16,
)
SAID = st.tuples(
    st.sampled_from(AGENTS), st.sampled_from([1, 254]), st.sampled_from(NAMES), st.sampled_from(ADDRESSES)
)  # fmt: skip
LOST = st.tuples(st.sampled_from(AGENTS))
RECORDS = [
    dns_record(TENANT, number, name, "A", address)
    for number, (name, address) in enumerate((n, a) for n in NAMES for a in ADDRESSES)
]
SERVERS = [
    dns_server(TENANT, "demo.test", dynamic_records_from_client=True),
    dns_server(TENANT, "other.test", dynamic_records_from_client=True, next_virtual_DNS=NEXT),
    dns_server(NEXT, "demo.test"),
]
OBJECTS = st.sampled_from([*RECORDS, *SERVERS])
COMMITS = st.tuples(st.lists(OBJECTS, max_size=3), st.lists(OBJECTS, max_size=2))


def node(*objects: ConfigObject) -> tuple[Bench, DnsPlane]:
    bench = Bench()
    plane = DnsPlane(bench.plane, list.reverse)
    bench.plane.config_replace([*objects, *hosts_with_ports(*AGENTS)])
    bench.commit()
    for agent in AGENTS:
        plane.session_up(agent, "192.0.2.1", 0.0)
    return bench, plane


def reply(plane: DnsPlane, agent: str, request: DnsRequest) -> DnsReply:
    plane.receive(agent, request, 0.0)
    (answer,) = StanzaDecoder().decode(plane.collect(agent, 0.0, 1 << 20)[0])
    assert isinstance(answer, DnsReply)
    return answer


def answers(plane: DnsPlane) -> list[tuple[int, list[str]]]:
    found: list[tuple[int, list[str]]] = []
    for name in (f"{name}.{domain}" for name in NAMES for domain in ("demo.test", "other.test")):
        request = DnsRequest(1, DnsVerb.QUERY, TENANT, "", (DnsEntry(1, 1, name),))
        answer = reply(plane, "a", request)
        found.append((answer.code, sorted(entry.data for entry in answer.entries)))
    return found


@given(st.sampled_from(DnsVerb), st.lists(ANY_ENTRY, max_size=4), st.text(max_size=12))
def test_any_entries_get_a_code_and_never_raise(
    verb: DnsVerb, entries: list[DnsEntry], zone: str
) -> None:
    settings = {"dynamic_records_from_client": True, "reverse_resolution": True}
    _, plane = node(dns_server(TENANT, "demo.test", **settings), *RECORDS)

    answer = reply(plane, "a", DnsRequest(1, verb, TENANT, zone, tuple(entries)))

    assert answer.code in {code.value for code in ResponseCode}
    if answer.code and verb is DnsVerb.UPDATE:
        assert len(plane.records) == 0


@given(st.lists(SAID | LOST, max_size=12))
def test_what_is_answered_is_what_sessions_that_stand_said_last(
    history: list[tuple[str, ...]],
) -> None:
    _, plane = node(SERVERS[0])
    model: set[tuple[str, ...]] = set()
    for step in history:
        agent = step[0]
        if len(step) == 1:
            plane.session_down(agent, "test", 1.0)
            plane.session_up(agent, "192.0.2.1", 1.0)
            model = {each for each in model if each[0] != agent}
            continue
        _, record_class, name, address = step
        entry = DnsEntry(int(record_class), RecordType.A, name, address, 60)
        assert reply(plane, agent, DnsRequest(1, DnsVerb.UPDATE, TENANT, "", (entry,))).code == 0
        (model.add if int(record_class) == 1 else model.discard)((agent, name, address))

    for name in NAMES:
        request = DnsRequest(1, DnsVerb.QUERY, TENANT, "", (DnsEntry(1, 1, f"{name}.demo.test"),))
        said = sorted(entry.data for entry in reply(plane, "a", request).entries)
        assert said == sorted(address for _, each, address in model if each == name)
    assert len(plane.records) == len(model)


@given(st.lists(COMMITS, max_size=6))
def test_answers_after_any_commits_are_those_of_a_node_that_starts_now(
    commits: list[tuple[list[ConfigObject], list[ConfigObject]]],
) -> None:
    bench, plane = node(SERVERS[0])
    for put, removed in commits:
        for each in removed:
            bench.plane.config_delete(each.uuid)
        bench.put(*put)

    _, fresh = node(*bench.plane.config.graph)

    assert answers(plane) == answers(fresh)
