"""The XMPP codec over all inputs: round trips, arbitrary bytes, arbitrary splits."""

from __future__ import annotations

import contextlib
import itertools
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from skytrail.net import BROADCAST_MAC, Label, Mac, Vni
from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp import (
    Close,
    ConfigDelete,
    ConfigKey,
    ConfigLink,
    ConfigNode,
    ConfigSubscribe,
    ConfigUnsubscribe,
    ConfigUpdate,
    ConfigValue,
    Connected,
    DnsEntry,
    DnsReply,
    DnsRequest,
    DnsVerb,
    EndOfConfig,
    EndOfRib,
    EnetKey,
    Family,
    ItemsEvent,
    JoinTree,
    LeaveTree,
    Message,
    NextHop,
    PortTrouble,
    Programmed,
    PublishRoute,
    Received,
    RevisionMark,
    Route,
    RouteAttributes,
    Session,
    Subscribe,
    TreeBranch,
    TreeEdge,
    TreeItems,
    TreeKey,
    Unsubscribe,
    WithdrawRoute,
    server_settings,
)
from skytrail.wire.xmpp.codec import StanzaDecoder, encode
from skytrail.wire.xmpp.stream import Frame, Stanza, StreamFramer
from skytrail.wire.xmpp.values import Json, normal_form
from skytrail.wire.xmpp.xml import representable

TEXT = st.text(max_size=12).map(representable)
NAME = TEXT.filter(bool)
# Leaves are read with their white space; the lists of short words are trimmed by their reader.
WORDS = st.lists(st.text("abcz-", min_size=1, max_size=8), max_size=3).map(tuple)
U32 = st.integers(0, (1 << 32) - 1)
U24 = st.integers(0, (1 << 24) - 1)
MACS = st.binary(min_size=6, max_size=6).map(Mac)
V4 = st.integers(0, (1 << 32) - 1).map(IPv4Address)
V6 = st.integers(0, (1 << 128) - 1).map(IPv6Address)
INET_KEYS = st.builds(lambda a, n: IPv4Network((a, n), strict=False), V4, st.integers(0, 32))
INET6_KEYS = st.builds(lambda a, n: IPv6Network((a, n), strict=False), V6, st.integers(0, 128))
HOSTS = st.one_of(V4.map(IPv4Network), V6.map(IPv6Network)).filter(
    lambda host: int(host.network_address) != 0
)
GROUPS4 = st.integers(0xE0000000, 0xEFFFFFFF).map(IPv4Address)
GROUPS6 = st.integers(0, (1 << 120) - 1).map(lambda n: IPv6Address((0xFF << 120) | n))
SOURCES4 = st.integers(1, 0xDFFFFFFF).map(IPv4Address)
SOURCES6 = st.integers(1, (0xFF << 120) - 1).map(IPv6Address)
ENET_KEYS = st.builds(EnetKey, MACS, st.none() | HOSTS, U32) | st.one_of(
    *(
        st.builds(EnetKey, st.just(BROADCAST_MAC), HOSTS, U32, groups, st.none() | sources)
        for groups, sources in ((GROUPS4, SOURCES4), (GROUPS6, SOURCES6))
    )
)
U20 = st.integers(0, (1 << 20) - 1).map(Label)
TREE_KEYS = st.builds(TreeKey, V4, V4)
TREE_EDGES = st.builds(TreeEdge, V4 | V6, U20, WORDS)
KEYS = st.one_of(INET_KEYS, INET6_KEYS, ENET_KEYS)
NEXT_HOPS = st.builds(
    NextHop,
    st.one_of(V4, V6),
    label=U24.map(Label),
    vni=U24.map(Vni),
    l3_label=U24.map(Label),
    mac=st.none() | MACS,
    encapsulations=WORDS,
    virtual_network=TEXT,
    tags=st.lists(U32, max_size=3).map(tuple),
)
ATTRIBUTES = st.builds(
    RouteAttributes,
    sequence_number=U32,
    sticky=st.booleans(),
    local_preference=U32,
    med=U32,
    security_groups=st.lists(U32, max_size=3).map(tuple),
    communities=WORDS,
    load_balance_fields=WORDS,
    load_balance_decision=TEXT,
    sub_protocol=TEXT,
    etree_leaf=st.booleans(),
    replicates=st.booleans(),
    replication_leaf=st.booleans(),
)


def routes(keys: st.SearchStrategy[object]) -> st.SearchStrategy[Route]:
    hops = st.lists(NEXT_HOPS, min_size=1, max_size=3).map(tuple)
    return st.builds(Route, keys, hops, ATTRIBUTES)


def items(family: Family, keys: st.SearchStrategy[object]) -> st.SearchStrategy[ItemsEvent]:
    return st.builds(
        ItemsEvent,
        st.just(family),
        TEXT,
        st.lists(routes(keys), max_size=3).map(tuple),
        st.lists(keys, max_size=3).map(tuple),
    )


CONFIG_KEYS = st.builds(ConfigKey, st.text("abc-", min_size=1, max_size=8), NAME)
JSON: st.SearchStrategy[Json] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.from_regex("[a-c][a-c_]{0,5}", fullmatch=True), inner, max_size=3),
    ),
    max_leaves=12,
)


def as_properties(value: Json) -> dict[str, ConfigValue]:
    normal = normal_form({"part": value})
    return dict(normal) if isinstance(normal, dict) else {}


NODES = st.builds(ConfigNode, CONFIG_KEYS, JSON.map(as_properties))
LINK_VALUES = JSON.map(lambda value: as_properties(value) or None)
LINKS = st.builds(ConfigLink, CONFIG_KEYS, CONFIG_KEYS, TEXT, LINK_VALUES)
U16 = st.integers(0, (1 << 16) - 1)
DNS_ENTRIES = st.lists(st.builds(DnsEntry, U16, U16, TEXT, TEXT, U32, U16), max_size=3).map(tuple)
VERBS = st.sampled_from(DnsVerb)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Subscribe, NAME, U32, st.booleans()),
    st.builds(Unsubscribe, NAME),
    st.builds(PublishRoute, NAME, routes(KEYS)),
    st.builds(WithdrawRoute, NAME, KEYS),
    items(Family.INET, INET_KEYS),
    items(Family.INET6, INET6_KEYS),
    items(Family.ENET, ENET_KEYS),
    st.builds(JoinTree, NAME, TREE_KEYS, V4 | V6, U20, U20, WORDS),
    st.builds(LeaveTree, NAME, TREE_KEYS),
    st.builds(
        TreeItems,
        TEXT,
        st.lists(
            st.builds(TreeBranch, TREE_KEYS, U20, st.lists(TREE_EDGES, max_size=3).map(tuple)),
            max_size=3,
        ).map(tuple),
        st.lists(TREE_KEYS, max_size=3).map(tuple),
    ),
    st.just(EndOfRib()),
    st.builds(ConfigSubscribe, CONFIG_KEYS, st.booleans()),
    st.builds(ConfigUnsubscribe, CONFIG_KEYS),
    st.builds(
        ConfigUpdate,
        st.lists(NODES, max_size=3).map(tuple),
        st.lists(LINKS, max_size=3).map(tuple),
    ),
    st.builds(
        ConfigDelete,
        st.lists(LINKS, max_size=3).map(tuple),
        st.lists(CONFIG_KEYS, max_size=3).map(tuple),
    ),
    st.builds(EndOfConfig, st.integers(0, (1 << 63) - 1)),
    st.builds(RevisionMark, st.integers(0, (1 << 63) - 1)),
    st.builds(
        Programmed,
        st.none() | st.integers(0, (1 << 63) - 1),
        TEXT,
        st.lists(st.builds(PortTrouble, TEXT, TEXT), max_size=3).map(tuple),
    ),
    st.builds(DnsRequest, U32, VERBS, TEXT, TEXT, DNS_ENTRIES),
    st.builds(DnsReply, U32, VERBS, U16, TEXT, TEXT, DNS_ENTRIES),
)
OPEN = b"<stream:stream xmlns:stream='s' from='a' to='b'>"
# Bytes that resemble the protocol reach deeper than random ones.
FRAGMENTS = st.sampled_from(
    [
        b"<iq>", b"</iq>", b"<iq type='set' to='x/config'>", b"<message>", b"</message>", b"<event>",
        b"</event>", b"<pubsub>", b"</pubsub>", b"<items node='1/1/x'>", b"</items>", b"<retract id='",
        b"1.2.3.4/32'/>", b"<subscribe node='a:b'/>", b"<publish node='1/1/x/1.1.1.1/32'>", b"<item>",
        b"<entry>", b"</entry></item></publish>", b"<collection node='x'>", b"</collection>", b"<config>",
        b"<associate node='1/1/x/1.1.1.1/32'/>", b"<update>", b"</update>", b"</config>", b"<nlri>",
        b"<af>1</af><safi>1</safi>", b"<address>1.1.1.1/32</address>", b"</nlri>", b"<!DOCTYPE a>", b"<?",
        b"&amp;", b"&lol;", b"\xc8\x80", b"\xff", b"'", b'"', b">", b"</stream:stream>", b"<node type='a'>",
        b"<name>b</name></node>", b"<link>", b"</link>", b"<metadata type='c'/>", OPEN,
        b"<iq type='get'>", b"<iq type='result'>", b"<dns transid='1'>", b"</dns>", b"<query>", b"</query>",
        b"<response code='3'>", b"</response>", b"<virtual-dns>a:b</virtual-dns>", b"<zone>c</zone>",
        b"<class>1</class>", b"<type>x</type>", b"<ttl>99999999999</ttl>", b"</entry>",
    ]
)  # fmt: skip
NOISE = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(FRAGMENTS, st.binary(max_size=4)), max_size=30).map(b"".join),
)


def decode_all(stream: bytes) -> list[Message]:
    framer, decoder = StreamFramer(), StanzaDecoder()
    framer.feed(OPEN + stream)
    framer.next_frame()
    messages: list[Message] = []
    while frame := framer.next_frame():
        assert isinstance(frame, Stanza)
        messages += decoder.decode(frame.content)
    return messages


@given(st.lists(MESSAGES, max_size=4))
def test_what_is_encoded_is_decoded(messages: list[Message]) -> None:
    stream = b"".join(encode(message, sender="a", receiver="b") for message in messages)

    assert decode_all(stream) == messages


@given(NOISE)
def test_decoder_raises_nothing_but_its_error(stanza: bytes) -> None:
    with contextlib.suppress(DecodeError):
        StanzaDecoder().decode(stanza)


@given(NOISE, st.booleans())
def test_session_survives_any_bytes(noise: bytes, opened: bool) -> None:
    session = Session(server_settings())
    session.step(Connected(), 0.0)

    actions = session.step(Received((OPEN if opened else b"") + noise), 1.0)

    closes = [action for action in actions if isinstance(action, Close)]
    assert len(closes) <= 1
    assert not closes or closes[0] is actions[-1]


@given(st.lists(MESSAGES, max_size=3), NOISE, st.lists(st.integers(0, 5000), max_size=12))
def test_splits_do_not_change_the_frames(
    messages: list[Message], noise: bytes, cuts: list[int]
) -> None:
    stream = OPEN + b"".join(encode(message, sender="a", receiver="b") for message in messages)
    stream += noise
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    chunks = [stream[start:end] for start, end in itertools.pairwise(edges)]

    assert frames_of(chunks) == frames_of([stream])


def frames_of(chunks: list[bytes]) -> tuple[list[Frame], bool]:
    framer = StreamFramer()
    found: list[Frame] = []
    try:
        for chunk in chunks:
            framer.feed(chunk)
            while frame := framer.next_frame():
                found.append(frame)
    except DecodeError:
        return found, False
    return found, True
