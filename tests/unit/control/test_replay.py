from ipaddress import IPv4Address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from skytrail.control.replay import BgpReader, XmppReader, reader_of, said_in
from skytrail.net import Label, RouteDistinguisher, RouteTarget
from skytrail.wire.bgp import (
    Attributes,
    BgpFamily,
    Open,
    VpnNlri,
    encode_end_of_rib,
    encode_keepalive,
    encode_open,
    encode_update,
    encode_withdraw,
    negotiate,
)
from skytrail.wire.xmpp import NextHop, PublishRoute, Route, Subscribe
from skytrail.wire.xmpp.codec import encode

OURS = Open(64512, 90, IPv4Address("10.0.0.1"), (BgpFamily.INET_VPN,))
THEIRS = Open(64513, 90, IPv4Address("10.0.0.2"), (BgpFamily.INET_VPN,))
NEGOTIATED = negotiate(THEIRS, OURS)
ATTRIBUTES = Attributes(
    local_preference=200, extended_communities=(RouteTarget.parse("target:64512:7").packed,)
)


def route(number):
    prefix = ip_network(f"10.1.1.{number}/32")
    return VpnNlri(RouteDistinguisher.parse("10.0.0.2:5"), prefix, (Label(30 + number),))


def conversation():
    announced = encode_update(
        BgpFamily.INET_VPN, IPv4Address("10.0.0.2"), ATTRIBUTES, [route(1), route(2)], NEGOTIATED
    )
    return [
        (0.0, "out", encode_open(OURS)),
        (0.1, "in", encode_open(THEIRS) + encode_keepalive()),
        (0.2, "out", encode_keepalive()),
        (1.0, "in", b"".join(announced)),
        (2.0, "in", b"".join(encode_withdraw(BgpFamily.INET_VPN, [route(2)], NEGOTIATED))),
        (3.0, "in", encode_end_of_rib(BgpFamily.INET_VPN)),
    ]


def read(reader, chunks, until_s=99.0):
    return [(each.direction, each.kind, each.summary) for each in said_in(reader, chunks, until_s)]


def test_bgp_messages_are_told_in_order_with_what_they_say():
    said = read(reader_of("bgp"), conversation())

    assert [(way, kind) for way, kind, _ in said] == [
        ("out", "OPEN"), ("in", "OPEN"), ("in", "KEEPALIVE"), ("out", "KEEPALIVE"),
        ("in", "UPDATE"), ("in", "UPDATE"), ("in", "UPDATE"),
    ]  # fmt: skip
    assert "AS 64513, 10.0.0.2, hold 90 s, inet_vpn" in said[1][2]
    assert "10.0.0.2:5:10.1.1.1/32" in said[4][2]
    assert "target:64512:7" in said[4][2]
    assert said[5][2].startswith("withdraw inet_vpn")
    assert said[6][2] == "end of RIB inet_vpn"


def test_routes_are_those_announced_and_not_taken_back_by_then():
    early, late = BgpReader(), BgpReader()
    read(early, conversation(), until_s=1.5)
    read(late, conversation())

    assert len(early.routes()) == 2
    (held,) = late.routes()
    assert (held.destination, held.next_hop) == ("10.0.0.2:5:10.1.1.1/32", "10.0.0.2")


def test_messages_in_single_bytes_are_the_same():
    torn = [
        (time_s, direction, bytes((byte,)))
        for time_s, direction, data in conversation()
        for byte in data
    ]
    assert read(BgpReader(), torn) == read(BgpReader(), conversation())


def test_what_cannot_be_read_is_told_and_the_other_side_goes_on():
    chunks = [*conversation()[:3], (1.0, "in", b"garbage" * 9), (2.0, "out", encode_keepalive())]

    said = read(BgpReader(), chunks)

    assert said[-2][1] == "unreadable"
    assert said[-1][:2] == ("out", "KEEPALIVE")


def test_agents_session_tells_subscriptions_and_routes():
    name = "default-domain:p:red:red"
    published = PublishRoute(
        name, Route(ip_network("10.1.1.3/32"), (NextHop(IPv4Address("10.0.0.7"), Label(34)),))
    )
    stream = b'<?xml version="1.0"?><stream:stream from="compute1" to="control1">'
    chunks = [(0.0, "in", stream)] + [
        (1.0, "in", encode(message, sender="compute1", receiver="control1"))
        for message in (Subscribe(name, 1), published)
    ]
    reader = XmppReader()

    said = read(reader, chunks)

    assert [kind for _, kind, _ in said] == ["stream", "Subscribe", "PublishRoute"]
    assert said[2][2] == f"{name} 10.1.1.3/32"
    (held,) = reader.routes()
    assert held.next_hop == "10.0.0.7 label 34"


@given(st.lists(st.tuples(st.sampled_from(["in", "out"]), st.binary(max_size=80))), st.booleans())
def test_any_bytes_are_read_without_an_error(pieces, is_bgp):
    reader = BgpReader() if is_bgp else XmppReader()
    head = conversation()[:3] if is_bgp else []
    read(reader, [*head, *((5.0, way, data) for way, data in pieces)])
    assert isinstance(reader.routes(), list)
