"""Stanzas of the wire specification, and stanzas that must be refused."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from skytrail.net import Label, Mac, Vni
from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp import (
    BROADCAST_TREE,
    BalancerStanding,
    ConfigDelete,
    ConfigKey,
    ConfigLink,
    ConfigNode,
    ConfigSubscribe,
    ConfigUpdate,
    EndOfConfig,
    EndOfRib,
    EnetKey,
    Family,
    IgnoredRoute,
    ItemsEvent,
    JoinTree,
    LeaveTree,
    Message,
    NextHop,
    PortTrouble,
    Programmed,
    PublishRoute,
    RevisionMark,
    Route,
    RouteAttributes,
    Subscribe,
    TreeBranch,
    TreeEdge,
    TreeItems,
    Unsubscribe,
    WithdrawRoute,
)
from skytrail.wire.xmpp.codec import StanzaDecoder, encode
from skytrail.wire.xmpp.config_codec import STANDINGS_COUNT_MAX
from skytrail.wire.xmpp.route_codec import key_text
from skytrail.wire.xmpp.values import normal_form

HEAD = '<iq type="set" from="compute-7" to="network-control@contrailsystems.com/bgp-peer" id="a">'
PUBSUB = '<pubsub xmlns="http://jabber.org/protocol/pubsub">'
ENTRY = """<entry>
  <nlri><af>1</af><safi>1</safi><address>10.1.1.3/32</address></nlri>
  <next-hops><next-hop><af>1</af><address>172.16.0.7</address><mac>02:aa:00:00:00:07</mac>
    <label>34</label><vni>0</vni>
    <tunnel-encapsulation-list><tunnel-encapsulation>gre</tunnel-encapsulation>
      <tunnel-encapsulation>udp</tunnel-encapsulation></tunnel-encapsulation-list>
    <virtual-network>default-domain:demo:red</virtual-network>
    <tag-list><tag>131073</tag></tag-list></next-hop></next-hops>
  <version>1</version><sequence-number>0</sequence-number>
  <security-group-list><security-group>8000004</security-group></security-group-list>
  <community-tag-list><community-tag>no-reoriginate</community-tag></community-tag-list>
  <local-preference>200</local-preference><med>0</med>
  <load-balance><load-balance-fields/>
    <load-balance-decision>field-hash</load-balance-decision></load-balance>
  <sub-protocol>interface</sub-protocol></entry>"""
NODE = "1/1/default-domain:demo:red:red/10.1.1.3/32"
ROUTE = Route(
    IPv4Network("10.1.1.3/32"),
    (
        NextHop(
            IPv4Address("172.16.0.7"),
            Label(34),
            mac=Mac.parse("02:aa:00:00:00:07"),
            encapsulations=("gre", "udp"),
            virtual_network="default-domain:demo:red",
            tags=(131073,),
        ),
    ),
    RouteAttributes(
        local_preference=200,
        security_groups=(8000004,),
        communities=("no-reoriginate",),
        load_balance_decision="field-hash",
        sub_protocol="interface",
    ),
)


def iq(body: str) -> bytes:
    return f"{HEAD}{PUBSUB}{body}</pubsub></iq>".encode()


def publish(node: str = NODE, entry: str = ENTRY) -> bytes:
    return iq(f'<publish node="{node}"><item>{entry}</item></publish>')


def collection(verb: str = "associate", node: str = NODE) -> bytes:
    return iq(
        f'<collection node="default-domain:demo:red:red"><{verb} node="{node}"/></collection>'
    )


def decode(*stanzas: bytes) -> list[Message]:
    decoder = StanzaDecoder()
    return [message for stanza in stanzas for message in decoder.decode(stanza)]


def test_subscribe_carries_the_instance_id() -> None:
    stanza = iq(
        '<subscribe node="default-domain:demo:red:red"/>'
        "<options><instance-id>5</instance-id></options>"
    )

    assert decode(stanza) == [Subscribe("default-domain:demo:red:red", 5)]


def test_unsubscribe_is_read() -> None:
    assert decode(iq('<unsubscribe node="a:b:c:c"/>')) == [Unsubscribe("a:b:c:c")]


def test_publish_takes_effect_with_its_collection() -> None:
    assert decode(publish()) == []
    assert decode(publish(), collection()) == [PublishRoute("default-domain:demo:red:red", ROUTE)]


def test_dissociate_withdraws() -> None:
    assert decode(publish(), collection("dissociate")) == [
        WithdrawRoute("default-domain:demo:red:red", IPv4Network("10.1.1.3/32"))
    ]


def test_node_may_end_in_the_native_vrf_id() -> None:
    node = NODE + "/7"

    assert decode(publish(node), collection(node=node)) == [
        PublishRoute("default-domain:demo:red:red", ROUTE)
    ]


@pytest.mark.parametrize(
    "stanzas",
    [
        (collection(),),
        (publish(), collection(node=NODE + "9")),
        (publish(), iq('<unsubscribe node="a:b:c:c"/>'), collection()),
    ],
)
def test_collection_must_follow_its_publish(stanzas: tuple[bytes, ...]) -> None:
    with pytest.raises(DecodeError, match="does not follow"):
        decode(*stanzas)


def test_multicast_vpn_publish_is_ignored_not_refused() -> None:
    node = "1/5/default-domain:demo:red:red/255.255.255.255"

    assert decode(publish(node, "<entry/>"), collection(node=node)) == [
        IgnoredRoute("default-domain:demo:red:red", node)
    ]


TREE_NODE = "1/241/default-domain:demo:red:red/255.255.255.255"
MEMBER = """<entry><nlri><af>1</af><safi>241</safi><group>255.255.255.255</group>
  <source>0.0.0.0</source></nlri><next-hops><next-hop><af>1</af><address>172.16.0.7</address>
  <label>5000-5999</label><tunnel-encapsulation-list>
  <tunnel-encapsulation>gre</tunnel-encapsulation><tunnel-encapsulation>udp</tunnel-encapsulation>
  </tunnel-encapsulation-list></next-hop></next-hops></entry>"""


def test_a_member_of_a_tree_offers_a_block_of_labels() -> None:
    assert decode(publish(TREE_NODE, MEMBER), collection(node=TREE_NODE)) == [
        JoinTree(
            "default-domain:demo:red:red",
            BROADCAST_TREE,
            IPv4Address("172.16.0.7"),
            Label(5000),
            Label(5999),
            ("gre", "udp"),
        )
    ]


def test_a_member_that_goes_names_the_tree_only() -> None:
    assert decode(publish(TREE_NODE, MEMBER), collection("dissociate", TREE_NODE)) == [
        LeaveTree("default-domain:demo:red:red", BROADCAST_TREE)
    ]


def test_a_branch_names_the_label_and_the_neighbours() -> None:
    stanza = b"""<message from="c" to="a/bgp-peer"><event xmlns="http://jabber.org/protocol/pubsub">
      <items node="1/241/red"><item id="255.255.255.255,0.0.0.0"><entry><nlri><af>1</af>
      <safi>241</safi><group>255.255.255.255</group><source>0.0.0.0</source>
      <source-label>5001</source-label></nlri><olist><next-hop><af>1</af>
      <address>172.16.0.8</address><label>6000</label><tunnel-encapsulation-list>
      <tunnel-encapsulation>udp</tunnel-encapsulation></tunnel-encapsulation-list></next-hop></olist>
      </entry></item></items></event></message>"""

    edge = TreeEdge(IPv4Address("172.16.0.8"), Label(6000), ("udp",))
    assert decode(stanza) == [TreeItems("red", (TreeBranch(BROADCAST_TREE, Label(5001), (edge,)),))]


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("<address>172.16.0.7</address>", "<address>fd00::zz</address>"),
        ("5000-5999", "5000-99999999"),
        ("5000-5999", "-1-5"),
        ("<safi>241</safi>", "<safi>1</safi>"),
        ("<group>255.255.255.255</group>", "<group>all</group>"),
        ("<next-hops>", "<next-hops><next-hop><address>172.16.0.9</address></next-hop>"),
    ],
)
def test_a_member_that_makes_no_sense_is_refused(part: str, other: str) -> None:
    with pytest.raises(DecodeError):
        decode(publish(TREE_NODE, MEMBER.replace(part, other)), collection(node=TREE_NODE))


def test_enet_publish_names_mac_and_address() -> None:
    entry = ENTRY.replace(
        "<af>1</af><safi>1</safi><address>10.1.1.3/32</address>",
        "<af>25</af><safi>242</safi><ethernet-tag>0</ethernet-tag>"
        "<mac>02:aa:00:00:00:07</mac><address>10.1.1.3/24</address>",
    ).replace("<label>34</label>", "<label>35</label><l3-label>34</l3-label>")
    node = "25/242/02:aa:00:00:00:07,10.1.1.3/32"

    (message,) = decode(publish(node, entry), collection(node=node))

    assert isinstance(message, PublishRoute)
    assert message.route.key == EnetKey(Mac.parse("02:aa:00:00:00:07"), IPv4Network("10.1.1.3/32"))
    assert message.route.next_hops[0].l3_label == 34


GROUP_ENTRY = ENTRY.replace(
    "<af>1</af><safi>1</safi><address>10.1.1.3/32</address>",
    "<af>25</af><safi>242</safi><ethernet-tag>0</ethernet-tag><mac>ff:ff:ff:ff:ff:ff</mac>"
    "<address>172.16.0.7/32</address><source>10.1.1.5</source><group>239.1.2.3</group>"
    "<flags>12</flags>",
)
GROUP_NODE = "25/242/ff:ff:ff:ff:ff:ff,172.16.0.7/32,239.1.2.3,10.1.1.5"


def test_a_listener_is_told_with_group_source_and_flags() -> None:
    (message,) = decode(publish(GROUP_NODE, GROUP_ENTRY), collection(node=GROUP_NODE))

    assert isinstance(message, PublishRoute)
    assert message.route.key == EnetKey(
        Mac(b"\xff" * 6),
        IPv4Network("172.16.0.7/32"),
        0,
        IPv4Address("239.1.2.3"),
        IPv4Address("10.1.1.5"),
    )
    assert message.route.attributes.multicast_flags == 12
    assert key_text(message.route.key) == GROUP_NODE.removeprefix("25/242/")


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("<group>239.1.2.3", "<group>10.1.2.3"),
        ("<source>10.1.1.5", "<source>239.1.1.5"),
        ("<source>10.1.1.5", "<source>fd00::5"),
        ("<group>239.1.2.3", "<group>0.0.0.0"),
        ("<group>239.1.2.3", "<group>everything"),
        ("<address>172.16.0.7/32</address>", "<address>0.0.0.0/32</address>"),
        ("<flags>12</flags>", "<flags>-1</flags>"),
    ],
)
def test_a_listener_that_makes_no_sense_is_refused(part: str, other: str) -> None:
    with pytest.raises(DecodeError):
        decode(publish(GROUP_NODE, GROUP_ENTRY.replace(part, other)), collection(node=GROUP_NODE))


def test_mobility_supersedes_the_sequence_number() -> None:
    entry = ENTRY.replace(
        "<sequence-number>0</sequence-number>",
        "<sequence-number>1</sequence-number>"
        "<mobility><seqno>9</seqno><sticky>true</sticky></mobility>",
    )

    (message,) = decode(publish(entry=entry), collection())

    assert isinstance(message, PublishRoute)
    assert message.route.attributes.sequence_number == 9
    assert message.route.attributes.sticky


def test_items_event_of_the_specification_is_read() -> None:
    stanza = (
        '<message from="network-control@contrailsystems.com" to="compute-9/bgp-peer">'
        '<event xmlns="http://jabber.org/protocol/pubsub">'
        f'<items node="1/1/default-domain:demo:red:red"><item id="10.1.1.3/32">{ENTRY}</item>'
        '<retract id="10.1.1.9/32"/></items></event></message>'
    ).encode()

    assert decode(stanza) == [
        ItemsEvent(
            Family.INET,
            "default-domain:demo:red:red",
            (ROUTE,),
            (IPv4Network("10.1.1.9/32"),),
        )
    ]


@pytest.mark.parametrize(
    "stanza",
    [
        b'<message><event><items node="0/0/EndOfRib"></items></event></message>',
        iq('<publish node="0/0/EndOfRib"/>'),
    ],
)
def test_both_spellings_of_end_of_rib_are_read(stanza: bytes) -> None:
    assert decode(stanza) == [EndOfRib()]


def test_route_is_written_as_the_specification_shows() -> None:
    message = ItemsEvent(Family.INET, "default-domain:demo:red:red", (ROUTE,))

    text = encode(message, sender="network-control@contrailsystems.com", receiver="compute-9")

    assert text.decode() == (
        '<message from="network-control@contrailsystems.com" to="compute-9/bgp-peer">'
        '<event xmlns="http://jabber.org/protocol/pubsub">'
        '<items node="1/1/default-domain:demo:red:red"><item id="10.1.1.3/32"><entry>'
        "<nlri><af>1</af><safi>1</safi><address>10.1.1.3/32</address></nlri>"
        "<next-hops><next-hop><af>1</af><address>172.16.0.7</address>"
        "<mac>02:aa:00:00:00:07</mac><label>34</label><vni>0</vni>"
        "<tunnel-encapsulation-list><tunnel-encapsulation>gre</tunnel-encapsulation>"
        "<tunnel-encapsulation>udp</tunnel-encapsulation></tunnel-encapsulation-list>"
        "<virtual-network>default-domain:demo:red</virtual-network>"
        "<tag-list><tag>131073</tag></tag-list></next-hop></next-hops>"
        "<version>1</version><sequence-number>0</sequence-number>"
        "<security-group-list><security-group>8000004</security-group></security-group-list>"
        "<community-tag-list><community-tag>no-reoriginate</community-tag></community-tag-list>"
        "<local-preference>200</local-preference><med>0</med>"
        "<load-balance><load-balance-fields></load-balance-fields>"
        "<load-balance-decision>field-hash</load-balance-decision></load-balance>"
        "<sub-protocol>interface</sub-protocol></entry></item></items></event></message>"
    )


def test_config_subscribe_is_told_by_its_channel() -> None:
    stanza = iq('<subscribe node="virtual-router:default-global-system-config:compute-7"/>')
    stanza = stanza.replace(b"/bgp-peer", b"/config")

    assert decode(stanza) == [
        ConfigSubscribe(ConfigKey("virtual-router", "default-global-system-config:compute-7"))
    ]


def test_marks_and_their_answers_are_blocks_that_other_readers_skip() -> None:
    asked = ConfigSubscribe(ConfigKey("virtual-router", "g:h"), answers_marks=True)
    standing = BalancerStanding("b", 200, (("b", "ONLINE"), ("m", "ERROR")))
    answer = Programmed(7, "map <full>", (PortTrouble("p", "no instance-ip"),), (standing,))

    texts = [encode(each, sender="a", receiver="c") for each in (asked, RevisionMark(7), answer)]

    assert (
        b'<subscribe node="virtual-router:g:h"/>'
        b"<options><answers-marks>true</answers-marks></options>"
    ) in texts[0]
    assert b'<config><revision-mark revision="7"/></config>' in texts[1]
    assert (
        b'<config><programmed revision="7"><problem>map &lt;full&gt;</problem>'
        b'<port uuid="p">no instance-ip</port><balancer uuid="b" preference="200">'
        b'<part uuid="b">ONLINE</part><part uuid="m">ERROR</part></balancer></programmed></config>'
    ) in texts[2]
    assert [decode(each) for each in texts] == [[asked], [RevisionMark(7)], [answer]]


def test_report_of_too_many_parts_of_load_balancers_is_refused() -> None:
    half = BalancerStanding("b", 1, (("m", "ONLINE"),) * (STANDINGS_COUNT_MAX // 2))
    stanza = encode(Programmed(1, balancers=(half, half)), sender="a", receiver="c")

    with pytest.raises(DecodeError, match="load balancers"):
        decode(stanza)


def test_report_of_too_many_ports_is_refused() -> None:
    ports = "".join(f'<port uuid="{number}"/>' for number in range(65))

    with pytest.raises(DecodeError, match="more than 64 ports"):
        decode(f"<iq type='set'><config><programmed>{ports}</programmed></config></iq>".encode())


def test_config_stanza_gives_its_blocks_in_order() -> None:
    red, instance = (
        ConfigKey("virtual-network", "default-domain:demo:red"),
        ConfigKey("routing-instance", "default-domain:demo:red:red"),
    )
    stanza = b"""<iq type="set" from="network-control@contrailsystems.com" to="compute-7/config">
     <config><update>
      <node type="virtual-network"><name>default-domain:demo:red</name>
       <virtual-network-network-id>4</virtual-network-network-id>
       <route-target-list><route-target>target:1:1</route-target>
        <route-target>target:1:2</route-target></route-target-list></node>
      <link><node type="virtual-network"><name>default-domain:demo:red</name></node>
        <node type="routing-instance"><name>default-domain:demo:red:red</name></node>
        <metadata type="virtual-network-routing-instance"/></link>
     </update>
     <delete><node type="virtual-machine"><name>7c1e</name></node></delete>
     <end-of-config generation="3"/><later-invention/>
    </config></iq>"""

    assert decode(stanza) == [
        ConfigUpdate(
            (
                ConfigNode(
                    red,
                    {
                        "virtual_network_network_id": "4",
                        "route_target_list": {"route_target": ("target:1:1", "target:1:2")},
                    },
                ),
            ),
            (ConfigLink(red, instance, "virtual-network-routing-instance"),),
        ),
        ConfigDelete((), (ConfigKey("virtual-machine", "7c1e"),)),
        EndOfConfig(3),
    ]


def test_link_attribute_stands_in_the_metadata_value() -> None:
    link = ConfigLink(
        ConfigKey("virtual-network", "a:b:red"),
        ConfigKey("network-ipam", "a:b:ipam"),
        "virtual-network-network-ipam",
        {"ipam_subnets": {"subnet": {"ip_prefix": "10.1.1.0", "ip_prefix_len": "24"}}},
    )

    text = encode(ConfigUpdate((), (link,)), sender="c", receiver="a")

    assert (
        b'<metadata type="virtual-network-network-ipam"><value><ipam-subnets><subnet>'
        b"<ip-prefix>10.1.1.0</ip-prefix><ip-prefix-len>24</ip-prefix-len>"
    ) in text
    assert decode(text) == [ConfigUpdate((), (link,))]


def test_normal_form_drops_what_xml_cannot_tell() -> None:
    assert normal_form(
        {"a": None, "b": [], "c": {}, "d": [1], "e": [1, 2], "f": True, "g": "x\0", "h h": 1}
    ) == {"d": "1", "e": ("1", "2"), "f": "true", "g": "x\ufffd"}


BILLION_LAUGHS = (
    b'<!DOCTYPE iq [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><iq>&b;</iq>'
)


@pytest.mark.parametrize(
    "stanza",
    [
        b"",
        b"<iq>",
        b"<iq></message>",
        b"<foreign/>",
        b"<iq><a/></iq>",
        b"<iq type='set'><pubsub/></iq>",
        iq("<subscribe/>"),
        iq("<explode node='x'/>"),
        iq('<subscribe node="a:b"/><options><instance-id>-1</instance-id></options>'),
        iq('<subscribe node="a:b"/><options><instance-id>9999999999</instance-id></options>'),
        iq('<publish node="x"><item><entry/><entry/></item></publish>'),
        BILLION_LAUGHS,
        b"<iq>&undefined;</iq>",
        b"<iq>" * 300 + b"</iq>" * 300,
        b"<message><event><nothing/></event></message>",
        b'<message><event><items node="1/1/x"><item id="1"/></items></event></message>',
        b'<message><event><items node="1/1/x"><retract id="1"/></items></event></message>',
        b'<message><event><items node="1/1/x"><retract id="::/0"/></items></event></message>',
        b'<message><event><items node="2/1/x"><retract id="fe80::%x/64"/></items></event></message>',
        b'<iq><pubsub><subscribe node="' + b"x" * 4097 + b'"/></pubsub></iq>',
        b'<message><event><items node="nonsense"/></event></message>',
        b"<iq><config><update><node><name>x</name></node></update></config></iq>",
        b'<iq><config><update><link><metadata type="x"/></link></update></config></iq>',
        b'<iq><config><end-of-config generation="x"/></config></iq>',
    ],
)
def test_bad_stanza_is_refused_with_the_typed_error(stanza: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(stanza)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("<label>34</label>", "<label>16777216</label>"),
        ("<label>34</label>", "<label>x</label>"),
        ("<address>172.16.0.7</address>", "<address>172.16.0</address>"),
        ("<address>172.16.0.7</address>", ""),
        ("<mac>02:aa:00:00:00:07</mac>", "<mac>02</mac>"),
        ("<address>10.1.1.3/32</address>", "<address>10.1.1.3/33</address>"),
        ("<af>1</af><safi>1</safi>", "<af>2</af><safi>1</safi>"),
        ("<med>0</med>", "<med>4294967296</med>"),
        ("<security-group>8000004<", "<security-group>g<"),
        ("<tag>131073</tag>", "<tag>1</tag>" * 257),
        ("<address>172.16.0.7</address>", "<address>fe80::1%&lt;x></address>"),
        ("<virtual-network>", "<virtual-network>" + "x" * 4096),
        ("<tunnel-encapsulation>gre<", f"<tunnel-encapsulation>{'x' * 65}<"),
        (
            "<tunnel-encapsulation>gre</tunnel-encapsulation>",
            "<tunnel-encapsulation>gre</tunnel-encapsulation>" * 32,
        ),
        ("<community-tag>", "<community-tag>" + "x" * 64),
        ("<sub-protocol>", "<sub-protocol>" + "x" * 64),
        ("field-hash", "x" * 65),
        ("<nlri>", "<nothing>"),
    ],
)
def test_bad_entry_field_is_refused(good: str, bad: str) -> None:
    entry = ENTRY.replace(good, bad).replace(
        "</nlri>", "</nothing>" if bad == "<nothing>" else "</nlri>"
    )
    assert entry != ENTRY

    with pytest.raises(DecodeError):
        decode(publish(entry=entry), collection())


@pytest.mark.parametrize("address", ["fe80::%&lt;x>/64", "fe80::1%eth0/128"])
def test_route_key_with_a_zone_is_refused(address: str) -> None:
    entry = ENTRY.replace(
        "<af>1</af><safi>1</safi><address>10.1.1.3/32",
        f"<af>2</af><safi>1</safi><address>{address}",
    )
    node = NODE.replace("1/1/", "2/1/", 1)
    with pytest.raises(DecodeError, match="zone"):
        decode(publish(entry=entry, node=node), collection(node=node))


def test_next_hops_are_bounded() -> None:
    start, end = ENTRY.index("<next-hop>"), ENTRY.index("</next-hop>") + len("</next-hop>")
    entry = ENTRY[:start] + ENTRY[start:end] * 65 + ENTRY[end:]

    with pytest.raises(DecodeError, match="65 next hops"):
        decode(publish(entry=entry), collection())


def test_vni_may_use_24_bits() -> None:
    (message,) = decode(
        publish(entry=ENTRY.replace("<vni>0</vni>", "<vni>16777215</vni>")), collection()
    )

    assert isinstance(message, PublishRoute)
    assert message.route.next_hops[0].vni == Vni(16777215)
