"""The short way through route events says what the reader of any XML says, or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skytrail.net import Label, Mac, Vni
from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp import (
    EnetKey,
    Family,
    ItemsEvent,
    NextHop,
    Route,
    RouteAttributes,
    RouteKey,
)
from skytrail.wire.xmpp.codec import StanzaDecoder, encode
from skytrail.wire.xmpp.plain_items import SHARED_COUNT_MAX, PlainItems
from skytrail.wire.xmpp.xml import StanzaParser

MAC = Mac.parse("02:00:00:00:00:07")
HOP = NextHop(
    IPv4Address("192.0.2.1"),
    Label(17),
    Vni(5),
    Label(18),
    MAC,
    ("gre", "udp"),
    "d:p:red & blue",
    (7, 8),
)
ATTRIBUTES = RouteAttributes(
    3, True, 200, 4, (8000001,), ("64512:1",), ("l4-protocol",), "field-hash", "bgp", True
)
KEYS: dict[Family, tuple[RouteKey, ...]] = {
    Family.INET: (IPv4Network("10.0.0.3/32"), IPv4Network("10.1.0.0/16")),
    Family.INET6: (IPv6Network("fd00::3/128"), IPv6Network("fd00::/64")),
    Family.ENET: (EnetKey(MAC), EnetKey(MAC, IPv4Network("10.0.0.3/32"), 9)),
}
PIECES = st.sampled_from(
    [
        "", " ", "\n", "<!---->", "<?x?>", "&#49;", "&amp;", "&lt;", "<a/>", "<a>", "</a>", "x", "9",
        "<nlri/>", "<next-hops/>", "<next-hop/>", "<address>10.9.9.9/32</address>", "</entry><entry>",
        "<label>7</label>", "<vni>99999999</vni>", "<med>7</med>", "<mac>02:00:00:00:00:09</mac>",
        "<tag-list><tag>5</tag></tag-list>", "<tag-list><tag>x</tag></tag-list>", "</entry></item>",
        "<virtual-network>q</virtual-network>", '<item id="z"/>', '<retract id="10.7.0.0/16"/>',
        "<flags>3</flags>", "<group>224.1.1.1</group>", "<mobility><seqno>9</seqno></mobility>", "%1",
        "</items><items>", "</event>", "é", "\0", "]]>", "<l3-label>1</l3-label>",
    ]
)  # fmt: skip
CUTS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), PIECES), max_size=3)


def event(family: Family) -> ItemsEvent:
    routes = [Route(key, (HOP,), ATTRIBUTES) for key in KEYS[family]]
    return ItemsEvent(
        family, "d:p:red:red", (*routes, Route(KEYS[family][0], (HOP, HOP))), KEYS[family]
    )


def spelled(family: Family) -> str:
    return encode(event(family), sender="control", receiver="agent").decode()


def of_any_xml(stanza: bytes) -> object:
    try:
        # White space in front: not how ours are spelled.
        return StanzaDecoder().decode(b"\n" + stanza)
    except DecodeError as error:
        return error


def changed(stanza: str, cuts: list[tuple[int, int, str]]) -> str:
    """Replace so many tags or texts, from some place on, by something else."""
    parts = re.findall(r"<[^>]*>|[^<]+", stanza)
    for at, count, piece in cuts:
        parts[at % len(parts) : at % len(parts) + count] = [piece]
    return "".join(parts)


@pytest.mark.parametrize("family", Family)
def test_what_our_control_nodes_write_is_read_the_short_way(family: Family) -> None:
    read = PlainItems(StanzaParser()).read(spelled(family).encode())

    assert read == event(family)


@given(st.sampled_from(Family), CUTS)
@example(Family.INET, [(14, 0, "<label>7</label>")])
def test_it_says_what_the_reader_of_any_xml_says(
    family: Family, cuts: list[tuple[int, int, str]]
) -> None:
    stanza = changed(spelled(family), cuts).encode()
    plain = PlainItems(StanzaParser())

    # Twice: what is remembered of the first time is used the second time.
    read = [plain.read(stanza) for _ in range(2)]

    assert read[0] == read[1]
    if read[0] is not None:
        assert of_any_xml(stanza) == [read[0]]


def each_single_change() -> Iterator[tuple[Family, str, str]]:
    for family in Family:
        parts = re.findall(r"<[^>]*>|[^<]+", spelled(family))
        for at, part in enumerate(parts):
            yield family, part, changed(spelled(family), [(at, 1, "")])
            yield family, part, changed(spelled(family), [(at, 0, part)])


def test_no_left_out_or_doubled_part_is_taken_for_something_else() -> None:
    for family, part, stanza in each_single_change():
        read = PlainItems(StanzaParser()).read(stanza.encode())

        assert read is None or of_any_xml(stanza.encode()) == [read], (family, part)


def test_what_it_remembers_is_bounded() -> None:
    plain = PlainItems(StanzaParser())
    for number in range(SHARED_COUNT_MAX + 2):
        attributes = RouteAttributes(med=number)
        route = Route(IPv4Network("10.0.0.3/32"), (HOP,), attributes)
        stanza = encode(ItemsEvent(Family.INET, "red", (route,)), sender="a", receiver="b")
        assert plain.read(stanza) == ItemsEvent(Family.INET, "red", (route,))

    assert plain.remembered_count <= SHARED_COUNT_MAX + 1
