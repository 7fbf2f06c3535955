"""Sandesh as generators write it, byte for byte."""

from __future__ import annotations

import pytest

from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import (
    ClientHello,
    Hint,
    SandeshFramer,
    SandeshType,
    Struct,
    StructMap,
    decode_client_hello,
    decode_message,
    encode_body,
    encode_client_hello,
    frame_of,
    plain,
)
from skytrail.wire.sandesh.control import control_header

HEADER = (
    '<SandeshHeader><Namespace type="string" identifier="1"></Namespace>'
    '<Timestamp type="i64" identifier="2">1790000040000000</Timestamp>'
    '<Module type="string" identifier="3">contrail-control</Module>'
    '<Source type="string" identifier="4">node1</Source>'
    '<SequenceNum type="i32" identifier="6">7</SequenceNum>'
    '<Type type="i32" identifier="8">6</Type><Hints type="i32" identifier="9">1</Hints>'
    '<Level type="i32" identifier="10">-100</Level>'
    '<NodeType type="string" identifier="12">Control</NodeType>'
    '<InstanceId type="string" identifier="13">0</InstanceId></SandeshHeader>'
)
BODY = (
    '<BgpPeerUve type="sandesh"><data type="struct" identifier="1"><BgpPeerData>'
    '<name type="string" identifier="1" key="ObjectBgpPeer">a:b&amp;c</name>'
    '<flaps type="u32" identifier="2" aggtype="counter">3</flaps>'
    '<up type="bool" identifier="3">true</up>'
    '<families type="list" identifier="4"><list type="string" size="2">'
    "<element>inet-vpn</element><element>e-vpn</element></list></families>"
    '<tables type="list" identifier="5"><list type="struct" size="1"><Table>'
    '<prefixes type="u64" identifier="1">9</prefixes></Table></list></tables>'
    '<load type="map" identifier="6"><map key="string" value="double" size="1">'
    "<element>cpu</element><element>0.5</element></map></load>"
    "</BgpPeerData></data></BgpPeerUve>"
)
SESSIONS = (
    '<Sessions type="sandesh"><by_port type="map" identifier="1">'
    '<map key="struct" value="struct" size="2">'
    '<IpPort><ip type="ipaddr" identifier="1">192.0.2.1</ip>'
    '<port type="u16" identifier="2">80</port></IpPort>'
    '<Info><bytes type="i64" identifier="1">5</bytes></Info>'
    '<IpPort><ip type="ipaddr" identifier="1">192.0.2.1</ip>'
    '<port type="u16" identifier="2">81</port></IpPort>'
    '<Info><bytes type="i64" identifier="1">6</bytes></Info>'
    "</map></by_port></Sessions>"
)


def message(body=BODY, header=HEADER):
    return decode_message((header + body).encode())


def test_header_says_who_and_when():
    header = message().header

    assert header.generator == "node1:Control:contrail-control:0"
    assert (header.timestamp_us, header.sequence, header.level) == (1790000040000000, 7, -100)
    assert (header.type, header.hints) == (SandeshType.UVE, Hint.KEY)


def test_struct_of_every_kind_of_field_is_read():
    data = message().fields["data"].value
    assert isinstance(data, Struct)

    assert data.name == "BgpPeerData"
    assert plain(data) == {
        "name": "a:b&c",
        "flaps": 3,
        "up": True,
        "families": ["inet-vpn", "e-vpn"],
        "tables": [{"prefixes": 9}],
        "load": {"cpu": 0.5},
    }


def test_annotations_of_fields_are_kept():
    data = message().fields["data"].value
    assert isinstance(data, Struct)

    assert data.fields["name"].annotations == {"key": "ObjectBgpPeer"}
    assert data.fields["flaps"].annotations == {"aggtype": "counter"}


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (">3<", ">-3<", "out of its type's range"),
        (">3<", ">4294967296<", "out of its type's range"),
        (">3<", ">three<", "is not a number"),
        (">3<", f">{'9' * 4000}<", "is not a number"),
        (">0.5<", ">nan<", "not a finite number"),
        (">true<", ">yes<", "is not a bool"),
        ('"u32"', '"u128"', "unknown type"),
        ("</BgpPeerData>", "", "not well-formed"),
        ("<element>0.5</element>", "", "a key and no value"),
        ('type="map" identifier="6"', 'type="list" identifier="6"', "map where a list should be"),
        ('type="sandesh"', 'type="struct"', "not of type sandesh"),
    ],
)
def test_body_that_is_not_what_it_says_is_an_error(before, after, reason):
    with pytest.raises(DecodeError, match=reason):
        message(BODY.replace(before, after, 1))


def test_map_keyed_by_structs_keeps_each_entry():
    read = message(SESSIONS)

    by_port = read.fields["by_port"].value
    assert isinstance(by_port, StructMap)
    assert [key.name for key, _ in by_port.entries] == ["IpPort", "IpPort"]
    assert plain(by_port) == [
        {"key": {"ip": "192.0.2.1", "port": 80}, "value": {"bytes": 5}},
        {"key": {"ip": "192.0.2.1", "port": 81}, "value": {"bytes": 6}},
    ]
    assert encode_body(read) == SESSIONS


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (">81<", ">80<", "same key twice"),
        ('key="struct"', 'key="string"', "a map's key is one value"),
        (">80<", ">65536<", "out of its type's range"),
        ('<Info><bytes type="i64" identifier="1">6</bytes></Info>', "", "a key and no value"),
        ("<port ", "<ip ", "not well-formed"),
        ('type="u16" identifier="2">80</port>', 'type="u16">80</port><port type="u16">9</port>',
         "has a field twice"),
    ],
)  # fmt: skip
def test_map_keyed_by_structs_that_is_none_is_an_error(before, after, reason):
    with pytest.raises(DecodeError, match=reason):
        message(SESSIONS.replace(before, after, 1))


def test_map_keyed_by_text_has_no_key_twice():
    one = "<element>cpu</element><element>0.5</element>"

    with pytest.raises(DecodeError, match="same key twice"):
        message(BODY.replace(one, one + one))


def test_entities_are_not_expanded():
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaa">]>'

    with pytest.raises(DecodeError, match="not allowed"):
        message(header=bomb + HEADER)


def test_header_without_a_source_is_an_error():
    with pytest.raises(DecodeError, match="Source"):
        message(header=HEADER.replace(">node1<", "><"))


def test_frames_are_found_however_the_bytes_are_split():
    stream = frame_of(b"one") + frame_of(b"<two/>") + frame_of(b"")
    framer, found = SandeshFramer(), []

    for index in range(len(stream)):
        framer.feed(stream[index : index + 1])
        while (content := framer.next_frame()) is not None:
            found.append(content)

    assert found == [b"one", b"<two/>", b""]


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.1\r\n",
        b'<sandesh length="000000004x">abc</sandesh>',
        b'<sandesh length="0000000001"></sandesh>',
        b'<sandesh length="9999999999"></sandesh>',
        b'<sandesh length="0000000050">' + b"x" * 60,
    ],
)
def test_what_is_no_frame_ends_the_stream(stream):
    framer = SandeshFramer()
    framer.feed(stream)

    with pytest.raises(DecodeError):
        framer.next_frame()


def test_generators_hello_is_read():
    hello = ClientHello("h", "m", "Compute", "0", ("A", "B"), 2, 33, 8085)

    content = encode_client_hello(hello, control_header("h", "m", "Compute", "0"))

    assert decode_client_hello(decode_message(content)) == hello


def test_anything_else_is_no_hello():
    with pytest.raises(DecodeError, match="begins with"):
        decode_client_hello(message())
