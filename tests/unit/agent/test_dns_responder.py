"""Names of workloads, and questions sent on."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from skytrail.agent.responders.dns import (
    PENDING_PER_PORT_COUNT_MAX,
    QUERY_TIMEOUT_S,
    DnsRequest,
    Forwarder,
    ForwardTo,
    Zones,
    answer_dns,
    decode_request,
    encode_reply,
    reply_frame,
)
from skytrail.net import GATEWAY_MAC
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet
from skytrail.wire.dns import (
    DnsMessage,
    Question,
    RecordType,
    ResourceRecord,
    ResponseCode,
    decode_dns,
)
from skytrail.wire.dns.zones import DnsRecord, VirtualDns
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    PROTOCOL_UDP,
    EthernetFrame,
    IpPacket,
    UdpDatagram,
    decode_ethernet,
    decode_ip,
    decode_udp,
)

DNS_NAME = "default-domain:tenant-dns"
UPSTREAM = IPv4Address("203.0.113.53")


def world(next_server="", method="virtual-dns-server"):
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    ipam = config.node(
        "network-ipam", f"{PROJECT}:ipam", network_ipam_mgmt={"ipam_dns_method": method}
    )
    config.port("a", red, ["10.1.1.3"])
    server = config.node(
        "virtual-DNS",
        DNS_NAME,
        virtual_DNS_data={
            "domain_name": "demo.test",
            "default_ttl_seconds": 300,
            "next_virtual_DNS": next_server,
        },
    )
    config.link(ipam, server)
    records = [
        ("web", "A", "10.1.1.4"),
        ("web", "AAAA", "fd00:1::4"),
        ("4.1.1.10.in-addr.arpa", "PTR", "web.demo.test"),
        ("www", "CNAME", "web"),
        ("demo.test", "MX", "web.demo.test"),
        ("broken", "A", "not an address"),
        ("", "A", "10.1.1.9"),
    ]
    for number, (name, kind, content) in enumerate(records):
        record = config.node(
            "virtual-DNS-record",
            f"{DNS_NAME}:{number}",
            virtual_DNS_record_data={
                "record_name": name,
                "record_type": kind,
                "record_class": "IN",
                "record_data": content,
            },
        )
        config.link(server, record)
    host = AgentHost()
    host.plug("a", 10)
    host.connect()
    host.configure(config.update())
    host.reconcile()
    return host


def ask(host, name, kind=RecordType.A):
    query = DnsMessage(message_id=9, recursion_desired=True, questions=(Question(name, kind),))
    return answer_dns(host.active("a").port, query, Zones().use(host.view.virtual_dns))


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.demo.test", RecordType.A, [IPv4Address("10.1.1.4")]),
        ("web.demo.test", RecordType.AAAA, [IPv6Address("fd00:1::4")]),
        ("4.1.1.10.in-addr.arpa", RecordType.PTR, ["web.demo.test"]),
        ("www.demo.test", RecordType.A, ["web.demo.test", IPv4Address("10.1.1.4")]),
    ],
)
def test_records_of_the_virtual_dns_are_answered(name, kind, expected):
    answer = ask(world(), name, kind)

    assert [record.content for record in answer.answers] == expected
    assert (answer.authoritative, answer.response_code) == (True, ResponseCode.NO_ERROR)
    assert answer.answers[0].ttl_s == 300


def test_unknown_name_of_the_domain_does_not_exist():
    answer = ask(world(), "nobody.demo.test")

    assert answer.response_code == ResponseCode.NAME_ERROR
    assert answer.authorities[0].record_type == RecordType.SOA


def test_known_name_without_the_asked_type_is_empty_not_missing():
    answer = ask(world(), "www.demo.test", RecordType.TXT)

    assert answer.response_code == ResponseCode.NO_ERROR


def test_reverse_name_of_an_own_unused_address_is_not_sent_upstream():
    answer = ask(world(), "77.1.1.10.in-addr.arpa", RecordType.PTR)

    assert answer.response_code == ResponseCode.NAME_ERROR


@pytest.mark.parametrize("name", ["example.com", "demo.test.example.com", "xdemo.test"])
def test_other_names_are_forwarded(name):
    assert ask(world(), name) == ForwardTo(None)


def test_next_server_of_the_virtual_dns_is_asked():
    assert ask(world(next_server="198.51.100.5"), "example.com") == ForwardTo(
        ip_address("198.51.100.5")
    )


def test_method_none_refuses():
    answer = ask(world(method="none"), "web.demo.test")

    assert answer.response_code == ResponseCode.REFUSED


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (DnsMessage(message_id=1, opcode=5), ResponseCode.NOT_IMPLEMENTED),
        (DnsMessage(message_id=1), ResponseCode.FORMAT_ERROR),
    ],
)
def test_strange_queries_get_an_error_code(query, code):
    host = world()

    answer = answer_dns(host.active("a").port, query, Zones().use(host.view.virtual_dns))

    assert (answer.response_code, answer.message_id) == (code, 1)


def request(vif=2, name="example.com", message_id=9):
    query = DnsMessage(message_id=message_id, questions=(Question(name, RecordType.A),))
    source, server = IPv4Address("10.1.1.3"), IPv4Address("10.1.1.2")
    datagram = UdpDatagram(40000, 53, query.encode()).encode(source, server)
    packet = IpPacket(source, server, PROTOCOL_UDP, datagram)
    port_mac = GATEWAY_MAC
    frame = EthernetFrame(GATEWAY_MAC, port_mac, ETHERTYPE_IPV4, packet.encode()).encode()
    return decode_request(vif, frame)


def upstream_answer(message_id, name="example.com"):
    record = ResourceRecord(name, RecordType.A, 60, IPv4Address("192.0.2.80"))
    return DnsMessage(
        message_id=message_id,
        is_response=True,
        questions=(Question(name, RecordType.A),),
        answers=(record,),
    ).encode()


def test_forwarded_question_gets_a_new_id_and_its_answer_the_old_one():
    forwarder = Forwarder()

    sent = forwarder.forward(request(), UPSTREAM, now=0.0, candidate_ids=[4242])
    matched = forwarder.receive(UPSTREAM, upstream_answer(4242))

    assert decode_dns(sent).message_id == 4242
    reply = decode_ip(decode_ethernet(reply_frame(matched[0].way, matched[1])).payload)
    message = decode_dns(decode_udp(reply.payload).payload)
    assert (message.message_id, str(reply.destination)) == (9, "10.1.1.3")
    assert len(forwarder) == 0


@pytest.mark.parametrize(
    ("server", "answer"),
    [
        (IPv4Address("203.0.113.99"), upstream_answer(4242)),
        (UPSTREAM, upstream_answer(4243)),
        (UPSTREAM, upstream_answer(4242, name="other.example")),
        (UPSTREAM, b"junk"),
    ],
)
def test_answer_that_does_not_match_is_dropped(server, answer):
    forwarder = Forwarder()
    forwarder.forward(request(), UPSTREAM, now=0.0, candidate_ids=[4242])

    assert forwarder.receive(server, answer) is None
    assert len(forwarder) == 1


def test_port_cannot_have_more_than_its_share_outstanding():
    forwarder = Forwarder()
    for number in range(PENDING_PER_PORT_COUNT_MAX):
        forwarder.forward(request(), UPSTREAM, now=0.0, candidate_ids=[number])

    refused = forwarder.forward(request(), UPSTREAM, now=0.0, candidate_ids=[5000])
    other = forwarder.forward(request(vif=3), UPSTREAM, now=0.0, candidate_ids=[5001])

    assert refused is None
    assert other is not None


def test_unanswered_question_expires():
    forwarder = Forwarder()
    forwarder.forward(request(), UPSTREAM, now=1.0, candidate_ids=[1])

    assert forwarder.expire(1.0 + QUERY_TIMEOUT_S - 0.1) == []
    assert [r.query.message_id for r in forwarder.expire(1.0 + QUERY_TIMEOUT_S)] == [9]


def test_response_sent_to_the_server_is_a_decode_error():
    source, server = IPv4Address("10.1.1.3"), IPv4Address("10.1.1.2")
    payload = DnsMessage(message_id=1, is_response=True).encode()
    datagram = UdpDatagram(53, 53, payload).encode(source, server)
    packet = IpPacket(source, server, PROTOCOL_UDP, datagram)
    frame = EthernetFrame(GATEWAY_MAC, GATEWAY_MAC, ETHERTYPE_IPV4, packet.encode()).encode()

    with pytest.raises(DecodeError):
        decode_request(2, frame)


@pytest.mark.parametrize(("following", "is_answered"), [("d:next", True), ("other:next", False)])
def test_next_server_is_asked_if_it_has_the_same_owner(following, is_answered):
    host = world()
    own = VirtualDns("d:x", "demo.test", 60, following, ())
    record = DnsRecord("db", "A", "10.2.0.9", 60)
    after = VirtualDns(following, "next.test", 60, "", (record,))
    port = host.active("a").port
    (only,) = port.network.subnets
    ipam = replace(only.ipam, virtual_dns="d:x")
    network = replace(port.network, subnets=(replace(only, ipam=ipam),))
    query = DnsMessage(message_id=1, questions=(Question("db.next.test", RecordType.A),))

    zones = Zones().use({"d:x": own, following: after})
    answer = answer_dns(replace(port, network=network), query, zones)

    assert isinstance(answer, DnsMessage) == is_answered


def test_method_of_the_tenant_is_refused_here():
    answer = ask(world(method="tenant-dns-server"), "example.com")

    assert answer.response_code == ResponseCode.REFUSED


def several(order, times):
    records = [DnsRecord("web", "A", f"10.0.0.{number}", 60) for number in range(1, 5)]
    server = VirtualDns("d:x", "demo.test", 60, "", tuple(records), order)
    zones = Zones(lambda found: found.reverse()).use({"d:x": server})
    port = world().active("a").port
    ipam = replace(port.network.subnets[0].ipam, virtual_dns="d:x")
    network = replace(port.network, subnets=(replace(port.network.subnets[0], ipam=ipam),))
    query = DnsMessage(message_id=1, questions=(Question("web.demo.test", RecordType.A),))
    found = [answer_dns(replace(port, network=network), query, zones) for _ in range(times)]
    return [[int(str(r.content)[-1]) for r in answer.answers] for answer in found]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("fixed", [[1, 2, 3, 4], [1, 2, 3, 4]]),
        ("round-robin", [[1, 2, 3, 4], [2, 3, 4, 1]]),
        ("random", [[4, 3, 2, 1], [4, 3, 2, 1]]),
    ],
)
def test_records_come_in_the_order_of_the_server(order, expected):
    assert several(order, 2) == expected


def test_subnet_whose_address_is_asked_decides_by_its_own_method():
    port = world().active("a").port
    (subnet_one,) = port.network.subnets
    closed = replace(
        subnet_one,
        prefix=ip_network("10.2.2.0/24"),
        gateway=IPv4Address("10.2.2.1"),
        service_address=IPv4Address("10.2.2.2"),
        ipam=replace(subnet_one.ipam, dns_method="none", virtual_dns=""),
    )
    two = replace(port, network=replace(port.network, subnets=(subnet_one, closed)))
    query = DnsMessage(message_id=1, questions=(Question("example.com", RecordType.A),))

    assert isinstance(answer_dns(two, query, Zones(), IPv4Address("10.1.1.2")), ForwardTo)
    refused = answer_dns(two, query, Zones(), IPv4Address("10.2.2.2"))
    assert refused.response_code == ResponseCode.REFUSED


def test_version_of_edns_that_is_not_served_is_told_so():
    option = ResourceRecord("", RecordType.OPT, 1 << 16, b"", 4096)
    query = DnsMessage(
        message_id=1,
        questions=(Question("web.demo.test", RecordType.A),),
        additionals=(option,),
    )
    asked = DnsRequest(2, query, query.encode(), IPv4Address("10.1.1.2"), request().way)
    answer = answer_dns(world().active("a").port, query, Zones())

    (back,) = decode_dns(encode_reply(asked, answer)).additionals
    assert back.ttl_s >> 24 == 1
