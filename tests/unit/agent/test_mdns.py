"""Names below .local for who asks everybody, without ever claiming a workload's own."""

from ipaddress import IPv4Address, ip_address

import pytest

from skytrail.agent.plugin import Punt, PuntReason
from skytrail.agent.responders.dispatch import Dispatcher
from skytrail.net import Mac
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet
from skytrail.wire.dns import (
    DnsMessage,
    Question,
    RecordType,
    ResourceRecord,
    StartOfAuthority,
    decode_dns,
)
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTOCOL_UDP,
    EthernetFrame,
    IpPacket,
    UdpDatagram,
    decode_ethernet,
    decode_ip,
    decode_udp,
)

GROUPS = {4: ("10.1.1.3", "224.0.0.251"), 6: ("fd00:1::3", "ff02::fb")}
UNICAST = 0x8001
WEB = ResourceRecord("web.local", RecordType.A, 100, IPv4Address("10.1.1.4"))


def make_host():
    config = ConfigBuilder()
    ipam = config.node(
        "network-ipam",
        f"{PROJECT}:ipam",
        network_ipam_mgmt={"ipam_dns_method": "virtual-dns-server"},
    )
    red = config.network("red", 5, [subnet("10.1.1.0/24"), subnet("fd00:1::/64")])
    config.port("a", red, ["10.1.1.3", "fd00:1::3"])
    server = config.node("virtual-DNS", "d:dns", virtual_DNS_data={"domain_name": "demo.test"})
    config.link(ipam, server)
    listed = [
        ("web", "A", "10.1.1.4"),
        ("web", "AAAA", "fd00:1::4"),
        ("a", "A", "10.1.1.3"),
        ("alias", "CNAME", "web"),
        ("4.1.1.10.in-addr.arpa", "PTR", "web.demo.test"),
        ("3.1.1.10.in-addr.arpa", "PTR", "a.demo.test"),
    ]
    for number, (name, kind, content) in enumerate(listed):
        data = {"record_name": name, "record_type": kind, "record_data": content}
        record = config.node("virtual-DNS-record", f"d:dns:{number}", virtual_DNS_record_data=data)
        config.link(server, record)
    host = AgentHost()
    host.plug("a", 10)
    host.connect()
    host.configure(config.update())
    host.reconcile()
    return host


HOST = make_host()


def ask(*questions, version=4, port=5353, **fields):
    """Return (packet, datagram, message) of the answer, or None."""
    query = DnsMessage(
        message_id=9, questions=tuple(Question(*each) for each in questions), **fields
    )
    source, group = (ip_address(each) for each in GROUPS[version])
    datagram = UdpDatagram(port, 5353, query.encode()).encode(source, group)
    packet = IpPacket(source, group, PROTOCOL_UDP, datagram, hop_limit=255)
    kind = ETHERTYPE_IPV4 if version == 4 else ETHERTYPE_IPV6
    mac = HOST.active("a").port.mac
    frame = EthernetFrame(Mac(b"\1\0\x5e\0\0\xfb"), mac, kind, packet.encode()).encode()
    punt = Punt(PuntReason.DNS, 2, 10, 0, frame)
    found = Dispatcher().receive(punt, HOST.active("a"), HOST.view.virtual_dns, 0.0).frames
    if not found:
        return None
    answer = decode_ip(decode_ethernet(found[0]).payload)
    payload = decode_udp(answer.payload)
    return answer, payload, decode_dns(payload.payload)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.local", RecordType.A, ["10.1.1.4"]),
        ("web.local", RecordType.AAAA, ["fd00:1::4"]),
        ("web.local", RecordType.ANY, ["10.1.1.4", "fd00:1::4"]),
        ("4.1.1.10.in-addr.arpa", RecordType.PTR, ["web.local"]),
    ],
)
def test_name_of_the_virtual_dns_is_answered_below_local(name, kind, expected):
    packet, datagram, message = ask((name, kind))

    assert (str(packet.destination), packet.hop_limit) == ("224.0.0.251", 255)
    assert (datagram.source_port, datagram.destination_port) == (5353, 5353)
    assert (message.message_id, message.authoritative, message.questions) == (0, True, ())
    assert [str(each.content) for each in message.answers] == expected
    assert {each.name for each in message.answers} == {name}


def test_ipv6_asks_and_is_answered_on_its_own_group():
    packet, _, _ = ask(("web.local", RecordType.A), version=6)

    assert str(packet.destination) == "ff02::fb"


@pytest.mark.parametrize(
    ("questions", "fields"),
    [
        ([("nobody.local", RecordType.A)], {}),
        ([("web.demo.test", RecordType.A)], {}),
        ([("local", RecordType.ANY)], {}),
        ([("alias.local", RecordType.CNAME)], {}),
        ([("a.local", RecordType.A)], {}),
        ([("3.1.1.10.in-addr.arpa", RecordType.PTR)], {}),
        ([("web.local", RecordType.A)], {"answers": (WEB,)}),
        ([("web.local", RecordType.A)], {"is_response": True}),
        (
            [("web.local", RecordType.ANY)],
            {
                "authorities": (
                    ResourceRecord(
                        "x", RecordType.SOA, 1, StartOfAuthority("a", "b", 1, 1, 1, 1, 1)
                    ),
                )
            },
        ),
        ([], {}),
    ],
)
def test_what_is_not_known_or_ones_own_or_probed_is_left_alone(questions, fields):
    assert ask(*questions, **fields) is None


def test_who_wants_a_reply_of_its_own_gets_one():
    packet, datagram, message = ask(("web.local", RecordType.A, UNICAST))

    assert (str(packet.destination), datagram.destination_port) == ("10.1.1.3", 5353)
    assert message.message_id == 0


def test_resolver_that_speaks_plain_dns_is_answered_as_such():
    packet, datagram, message = ask(("web.local", RecordType.A), port=40000)

    assert (str(packet.destination), datagram.destination_port) == ("10.1.1.3", 40000)
    assert (message.message_id, len(message.questions)) == (9, 1)
    assert message.answers[0].ttl_s <= 10
