"""Framing of the XMPP byte stream."""

from __future__ import annotations

import pytest

from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp.stream import (
    START_TAG_BYTES_MAX,
    Frame,
    Stanza,
    StreamClose,
    StreamFramer,
    StreamOpen,
)

OPEN = (
    b"<?xml version='1.0'?><stream:stream from='compute-7' to='control' version='1.0' "
    b"xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
)
KEEPALIVE = "\u0200".encode()


def frames(framer: StreamFramer, chunk: bytes) -> list[Frame]:
    framer.feed(chunk)
    found: list[Frame] = []
    while frame := framer.next_frame():
        found.append(frame)
    return found


def opened(stanza_bytes_max: int = 1 << 20) -> StreamFramer:
    framer = StreamFramer(stanza_bytes_max)
    assert frames(framer, OPEN) == [StreamOpen("compute-7", "control")]
    return framer


def test_header_without_declaration_is_accepted() -> None:
    assert frames(StreamFramer(), OPEN.partition(b"?>")[2]) == [StreamOpen("compute-7", "control")]


def test_one_byte_chunks_give_the_same_frames() -> None:
    text = OPEN + b"\n<iq id='1'><a/></iq> " + KEEPALIVE + b"<message/><iq></iq>\n</stream:stream>"
    framer = StreamFramer()

    found = [frame for byte in text for frame in frames(framer, bytes([byte]))]

    assert found == [
        StreamOpen("compute-7", "control"),
        Stanza(b"<iq id='1'><a/></iq>"),
        Stanza(b"<message/>"),
        Stanza(b"<iq></iq>"),
        StreamClose(),
    ]


def test_keepalives_alone_use_no_memory() -> None:
    framer = opened()

    for _ in range(1000):
        assert frames(framer, KEEPALIVE + b" \n") == []

    framer.feed(b"")
    assert len(framer._buffer) == 0


def test_close_tag_may_hold_space() -> None:
    assert frames(opened(), b"<iq>\n</iq \n>") == [Stanza(b"<iq>\n</iq \n>")]


def test_longer_tag_name_does_not_end_a_stanza() -> None:
    assert frames(opened(), b"<iq><iqx></iqx></iq>") == [Stanza(b"<iq><iqx></iqx></iq>")]


def test_greater_than_inside_attribute_does_not_end_the_tag() -> None:
    assert frames(opened(), b"<iq a='>'/>") == [Stanza(b"<iq a='>'/>")]


def test_nothing_is_read_after_the_stream_ended() -> None:
    assert frames(opened(), b"</stream:stream><iq/>") == [StreamClose()]


@pytest.mark.parametrize(
    "chunk",
    [
        b"hello",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]>",
        b"<!-- x -->",
        b"<?php ?>",
        b"<iq><!-- x --></iq>",
        b"<iq><![CDATA[x]]></iq>",
        b"<iq><?x ?></iq>",
        b"\x00",
    ],
)
def test_what_xmpp_forbids_is_refused(chunk: bytes) -> None:
    with pytest.raises(DecodeError):
        frames(opened(), chunk + b"<iq></iq>" + b" " * START_TAG_BYTES_MAX)


@pytest.mark.parametrize(
    "chunk", [b"GET / HTTP/1.1\r\n", b"<iq></iq>", b"<stream:stream/>", b"<?xml " + b"x" * 9999]
)
def test_what_is_no_stream_header_is_refused(chunk: bytes) -> None:
    with pytest.raises(DecodeError):
        frames(StreamFramer(), chunk)


def test_endless_stanza_is_refused_at_its_bound() -> None:
    framer = opened(stanza_bytes_max=10_000)
    assert frames(framer, b"<iq>") == []

    for _ in range(9):
        assert frames(framer, b"x" * 1000) == []

    with pytest.raises(DecodeError, match="longer than 10000") as caught:
        frames(framer, b"x" * 1000)
    assert caught.value.offset == len(OPEN)


def test_whole_stanza_beyond_the_bound_is_refused() -> None:
    with pytest.raises(DecodeError, match="longer than 100"):
        frames(opened(stanza_bytes_max=100), b"<iq>" + b"x" * 100 + b"</iq>")


def test_endless_start_tag_is_refused() -> None:
    with pytest.raises(DecodeError, match="tag is longer"):
        frames(opened(), b"<iq a='" + b"x" * START_TAG_BYTES_MAX)
