"""The DNS channel of a control node: who is answered what, and whose records count."""

from __future__ import annotations

import pytest

from skytrail.control import dns_records
from skytrail.control.dns import REPLIES_COUNT_MAX, DnsPlane
from skytrail.control.plane import PeerRefused
from skytrail.testing.control_plane import SYSTEM, Bench
from skytrail.testing.dns_world import (
    NEXT,
    TENANT,
    dns_record,
    dns_server,
    hosts_with_ports,
)
from skytrail.wire.dns import RecordType, ResponseCode
from skytrail.wire.xmpp import (
    ConfigKey,
    ConfigSubscribe,
    DnsEntry,
    DnsReply,
    DnsRequest,
    DnsVerb,
    Subscribe,
)
from skytrail.wire.xmpp.codec import StanzaDecoder

IN, NONE, ANY = 1, 254, 255


class Channel:
    """A control node with agents a and b that see the tenant's server, and c that sees none."""

    def __init__(self, *objects, **settings):
        settings = {"dynamic_records_from_client": True, **settings}
        self.bench = Bench()
        self.plane = DnsPlane(self.bench.plane, list.reverse)
        self.bench.plane.config_replace(
            [dns_server(TENANT, "demo.test", **settings), *hosts_with_ports("a", "b"), *objects]
        )
        self.bench.commit()
        for name in "abc":
            self.plane.session_up(name, "192.0.2.1", 0.0)

    def send(self, agent, verb, *entries, server=TENANT, zone="demo.test"):
        self.plane.receive(agent, DnsRequest(7, verb, server, zone, entries), 0.0)
        assert self.plane.take_ready() == [agent]
        (stanza,) = self.plane.collect(agent, 0.0, 65536)
        (reply,) = StanzaDecoder().decode(stanza)
        assert isinstance(reply, DnsReply)
        assert (reply.transaction, reply.verb) == (7, verb)
        return reply

    def ask(self, agent, name, kind=RecordType.A, server=TENANT):
        reply = self.send(agent, DnsVerb.QUERY, DnsEntry(IN, kind, name), server=server)
        return ResponseCode(reply.code), [entry.data for entry in reply.entries]

    def say(self, agent, *entries, server=TENANT, zone="demo.test"):
        return ResponseCode(
            self.send(agent, DnsVerb.UPDATE, *entries, server=server, zone=zone).code
        )


def a_record(name, address, ttl=60, record_class=IN):
    return DnsEntry(record_class, RecordType.A, name, address, ttl)


CONFIGURED = [
    dns_record(TENANT, 1, "web", "A", "10.1.1.4"),
    dns_record(TENANT, 2, "web", "AAAA", "fd00::4"),
    dns_record(TENANT, 3, "www", "CNAME", "web"),
    dns_record(TENANT, 4, "demo.test", "MX", "web.demo.test", record_mx_preference=20),
    dns_record(TENANT, 5, "demo.test", "NS", "ns1.example"),
    dns_record(TENANT, 6, "10.1.1.4", "PTR", "web.demo.test"),
    dns_record(TENANT, 7, "broken", "A", "no address"),
]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.demo.test", RecordType.A, ["10.1.1.4"]),
        ("WEB.Demo.test.", RecordType.A, ["10.1.1.4"]),
        ("web.demo.test", RecordType.AAAA, ["fd00::4"]),
        ("www.demo.test", RecordType.A, ["web.demo.test", "10.1.1.4"]),
        ("demo.test", RecordType.MX, ["web.demo.test"]),
        ("demo.test", RecordType.NS, ["ns1.example"]),
        ("4.1.1.10.in-addr.arpa", RecordType.PTR, ["web.demo.test"]),
        ("demo.test", RecordType.SOA, ["ns.demo.test hostmaster.demo.test 1 3600 600 86400 60"]),
    ],
)
def test_configured_records_are_answered(name, kind, expected):
    channel = Channel(*CONFIGURED, reverse_resolution=True)

    assert channel.ask("a", name, kind) == (ResponseCode.NO_ERROR, expected)


def test_answers_hold_preference_and_time_to_live():
    channel = Channel(*CONFIGURED, default_ttl_seconds=300)

    reply = channel.send("a", DnsVerb.QUERY, DnsEntry(IN, RecordType.MX, "demo.test"))

    assert [(each.priority, each.ttl_s, each.name) for each in reply.entries] == [
        (20, 300, "demo.test")
    ]


def test_a_missing_name_of_the_domain_does_not_exist():
    assert Channel().ask("a", "nobody.demo.test") == (ResponseCode.NAME_ERROR, [])


def test_names_elsewhere_are_left_to_the_asker():
    channel = Channel(next_virtual_DNS="198.51.100.5")

    assert channel.ask("a", "example.com") == (ResponseCode.NOT_AUTHORITATIVE, [])


def test_names_of_addresses_are_answered_only_where_that_is_configured():
    channel = Channel(*CONFIGURED)

    code, _ = channel.ask("a", "4.1.1.10.in-addr.arpa", RecordType.PTR)

    assert code == ResponseCode.NOT_AUTHORITATIVE


def test_the_next_virtual_dns_is_asked_though_the_agent_may_not_ask_it_itself():
    channel = Channel(
        dns_server(NEXT, "next.test"),
        dns_record(NEXT, 1, "db", "A", "10.2.0.9"),
        next_virtual_DNS=NEXT,
    )

    assert channel.ask("a", "db.next.test") == (ResponseCode.NO_ERROR, ["10.2.0.9"])
    assert channel.ask("a", "db.next.test", server=NEXT)[0] == ResponseCode.REFUSED


def test_a_server_of_another_domain_is_not_read_by_naming_it_as_the_next():
    other = "other-domain:dns"
    channel = Channel(
        dns_server(other, "next.test"),
        dns_record(other, 1, "db", "A", "10.2.0.9"),
        next_virtual_DNS=other,
    )

    assert channel.ask("a", "db.next.test") == (ResponseCode.NOT_AUTHORITATIVE, [])


def test_servers_that_name_each_other_end_the_search():
    channel = Channel(dns_server(NEXT, "next.test", next_virtual_DNS=TENANT), next_virtual_DNS=NEXT)

    assert channel.ask("a", "example.com")[0] == ResponseCode.NOT_AUTHORITATIVE


def test_a_server_that_nothing_visible_names_refuses_questions_and_records():
    channel = Channel(*CONFIGURED)

    assert channel.ask("c", "web.demo.test") == (ResponseCode.REFUSED, [])
    assert channel.say("c", a_record("x", "10.1.1.9")) == ResponseCode.REFUSED
    assert channel.ask("a", "web.demo.test", server="no:such")[0] == ResponseCode.REFUSED


def test_before_the_configuration_is_known_nothing_is_denied():
    bench = Bench()
    plane = DnsPlane(bench.plane, list.reverse)
    plane.session_up("a", "192.0.2.1", 0.0)
    plane.receive("a", DnsRequest(1, DnsVerb.QUERY, TENANT, "", (DnsEntry(IN, 1, "x"),)), 0.0)
    (reply,) = StanzaDecoder().decode(plane.collect("a", 0.0, 65536)[0])

    assert reply.code == ResponseCode.SERVER_FAILURE


def test_what_one_agent_says_another_is_answered_until_its_session_ends():
    channel = Channel()

    assert channel.say("a", a_record("vm", "10.1.1.7", 30)) == ResponseCode.NO_ERROR
    assert channel.ask("b", "vm.demo.test") == (ResponseCode.NO_ERROR, ["10.1.1.7"])

    channel.plane.session_down("a", "test", 1.0)
    assert channel.ask("b", "vm.demo.test") == (ResponseCode.NAME_ERROR, [])
    assert len(channel.plane.records) == 0


def test_agents_with_their_configuration_from_here_are_judged_by_that():
    channel = Channel()
    channel.bench.up("c")
    channel.bench.say("c", ConfigSubscribe(ConfigKey("virtual-router", f"{SYSTEM}:c")))
    assert channel.say("c", a_record("x", "10.1.1.9")) == ResponseCode.REFUSED

    channel.bench.say("c", ConfigSubscribe(ConfigKey("virtual-machine", "machine-of-a")))
    assert channel.say("c", a_record("x", "10.1.1.9")) == ResponseCode.NO_ERROR


def test_records_of_an_agent_that_sees_the_server_no_more_are_not_answered():
    channel = Channel()
    channel.say("a", a_record("vm", "10.1.1.7"))
    (port,) = [
        each
        for each in channel.bench.plane.config.graph.of_type("virtual-machine-interface")
        if each.name == "port-of-a"
    ]

    channel.bench.delete(port)

    assert channel.ask("b", "vm.demo.test") == (ResponseCode.NAME_ERROR, [])
    (row,) = channel.plane.tables(lambda: 1.0)["dns_records"]()
    assert "does not see" in row["unused_because"]


def test_nobody_adds_to_a_name_of_the_configuration():
    channel = Channel(*CONFIGURED)

    channel.say("a", a_record("web", "10.6.6.6"))

    assert channel.ask("b", "web.demo.test") == (ResponseCode.NO_ERROR, ["10.1.1.4"])


def test_two_agents_may_say_one_name_and_each_takes_back_its_own():
    channel = Channel()
    channel.say("a", a_record("vm", "10.1.1.7"))
    channel.say("b", a_record("vm", "10.1.1.8"))
    assert channel.ask("a", "vm.demo.test")[1] == ["10.1.1.7", "10.1.1.8"]

    assert channel.say("b", DnsEntry(ANY, ANY, "vm.demo.test")) == ResponseCode.NO_ERROR
    assert channel.ask("a", "vm.demo.test")[1] == ["10.1.1.7"]
    channel.say("b", a_record("vm", "10.1.1.7", record_class=NONE))
    assert channel.ask("a", "vm.demo.test")[1] == ["10.1.1.7"]
    channel.say("a", a_record("vm", "10.1.1.7", 0, NONE))
    assert channel.ask("a", "vm.demo.test")[0] == ResponseCode.NAME_ERROR


def test_without_dynamic_records_an_update_is_refused_and_earlier_ones_do_not_count():
    channel = Channel()
    channel.say("a", a_record("vm", "10.1.1.7"))

    channel.bench.put(dns_server(TENANT, "demo.test", dynamic_records_from_client=False))

    assert channel.say("a", a_record("vm", "10.1.1.8")) == ResponseCode.REFUSED
    assert channel.ask("b", "vm.demo.test")[0] == ResponseCode.NAME_ERROR


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (a_record("vm", "10.1.1"), ResponseCode.FORMAT_ERROR),
        (a_record("vm", "10.1.1.7", 1 << 31), ResponseCode.FORMAT_ERROR),
        (a_record("a..b", "10.1.1.7"), ResponseCode.FORMAT_ERROR),
        (a_record("vm", "10.1.1.7", 1, 3), ResponseCode.FORMAT_ERROR),
        (a_record("vm.example.com", "10.1.1.7"), ResponseCode.NOT_ZONE),
        (DnsEntry(ANY, ANY, "vm.example.com"), ResponseCode.NOT_ZONE),
        (DnsEntry(ANY, ANY, "vm.demo.test", "x"), ResponseCode.FORMAT_ERROR),
        (DnsEntry(IN, RecordType.TXT, "vm", "x"), ResponseCode.NOT_IMPLEMENTED),
        (DnsEntry(IN, RecordType.SOA, "vm", "x"), ResponseCode.NOT_IMPLEMENTED),
        (DnsEntry(IN, RecordType.PTR, "10.1.1.7", "vm"), ResponseCode.NOT_ZONE),
    ],
)
def test_a_wrong_entry_is_named_by_its_code_and_the_whole_update_changes_nothing(entry, code):
    channel = Channel(reverse_resolution=True)

    assert channel.say("a", a_record("good", "10.1.1.6"), entry) == code
    assert len(channel.plane.records) == 0


def test_names_of_addresses_are_said_in_a_zone_of_theirs():
    channel = Channel(reverse_resolution=True)
    entry = DnsEntry(IN, RecordType.PTR, "10.1.1.7", "vm.demo.test", 60)

    assert channel.say("a", entry, zone="1.1.10.in-addr.arpa") == ResponseCode.NO_ERROR
    assert channel.ask("b", "7.1.1.10.in-addr.arpa", RecordType.PTR)[1] == ["vm.demo.test"]
    assert channel.say("a", entry, zone="2.1.10.in-addr.arpa") == ResponseCode.NOT_ZONE
    assert channel.say("a", entry, zone="example.com") == ResponseCode.NOT_ZONE


def test_an_agent_has_a_bounded_number_of_records(monkeypatch):
    monkeypatch.setattr(dns_records, "RECORDS_COUNT_MAX", 2)
    channel = Channel()
    two = [a_record("vm", "10.1.1.7"), a_record("vm", "10.1.1.8")]

    assert channel.say("a", *two, a_record("vm", "10.1.1.9")) == ResponseCode.REFUSED
    assert channel.say("a", *two) == ResponseCode.NO_ERROR
    assert channel.say("a", a_record("vm", "10.1.1.7", 5)) == ResponseCode.NO_ERROR
    assert channel.say("b", *two) == ResponseCode.NO_ERROR


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("fixed", ["12", "12", "12"]),
        ("round-robin", ["12", "21", "12"]),
        ("random", ["21", "21", "21"]),
    ],
)
def test_answers_come_in_the_order_of_the_server(order, expected):
    """Chance is a reversal here."""
    channel = Channel(record_order=order)
    channel.say("a", a_record("vm", "10.0.0.1"), a_record("vm", "10.0.0.2"))

    answers = [channel.ask("b", "vm.demo.test")[1] for _ in range(3)]

    assert ["".join(each[-1] for each in answer) for answer in answers] == expected


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ((), ResponseCode.FORMAT_ERROR),
        ((DnsEntry(IN, 1, "a"), DnsEntry(IN, 1, "b")), ResponseCode.FORMAT_ERROR),
        ((DnsEntry(IN, 1, "é.demo.test"),), ResponseCode.FORMAT_ERROR),
        ((DnsEntry(3, 1, "web.demo.test"),), ResponseCode.NOT_IMPLEMENTED),
    ],
)
def test_a_question_that_is_none_gets_a_code(entries, code):
    assert Channel().send("a", DnsVerb.QUERY, *entries).code == code


def test_routes_have_no_place_on_this_connection_nor_dns_among_routes():
    channel = Channel()
    with pytest.raises(PeerRefused):
        channel.plane.receive("a", Subscribe("x", 1), 0.0)
    channel.bench.up("a")
    with pytest.raises(PeerRefused):
        channel.bench.say("a", DnsRequest(1, DnsVerb.QUERY, TENANT, ""))


def test_an_agent_that_does_not_read_its_answers_is_refused():
    channel = Channel()
    question = DnsRequest(1, DnsVerb.QUERY, TENANT, "", (DnsEntry(IN, 1, "x"),))
    for _ in range(REPLIES_COUNT_MAX):
        channel.plane.receive("a", question, 0.0)

    with pytest.raises(PeerRefused):
        channel.plane.receive("a", question, 0.0)
    assert len(channel.plane.collect("a", 0.0, 1)) == 1


def test_a_server_created_anew_under_its_name_serves_its_records():
    channel = Channel(*CONFIGURED)

    channel.bench.put(dns_server(TENANT, "other.test"))

    assert channel.ask("a", "web.other.test") == (ResponseCode.NO_ERROR, ["10.1.1.4"])
    assert channel.ask("a", "web.demo.test")[0] == ResponseCode.NOT_AUTHORITATIVE
    channel.bench.delete(CONFIGURED[0])
    assert channel.ask("a", "web.other.test") == (ResponseCode.NO_ERROR, [])


def test_tables_show_who_asked_and_what_was_said():
    channel = Channel()
    channel.say("a", a_record("vm", "10.1.1.7", 30))
    channel.ask("b", "vm.demo.test")
    channel.ask("c", "vm.demo.test")
    shown = channel.plane.tables(lambda: 5.0)

    peers = {row["name"]: row for row in shown["dns_peers"]()}
    assert (peers["a"]["updates"], peers["a"]["records"]) == (1, 1)
    assert (peers["b"]["queries"], peers["b"]["refused"], peers["c"]["refused"]) == (1, 0, 1)
    assert list(shown["dns_records"]()) == [
        {
            "agent": "a",
            "virtual_dns": TENANT,
            "name": "vm.demo.test",
            "type": "A",
            "data": "10.1.1.7",
            "ttl_s": 30,
            "unused_because": "",
        }
    ]
