"""Syslog as devices write it: RFC 5424's own examples, RFC 3164's, and what programs make of them."""

from __future__ import annotations

import pytest

from skytrail.wire.errors import DecodeError
from skytrail.wire.syslog import SyslogFramer, SyslogMessage, decode_message

NEW = (
    b'<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" '
    b'eventSource="Application" eventID="1011"][examplePriority@32473 class="high"] '
    b"\xef\xbb\xbfAn application event log entry..."
)


def test_message_of_rfc_5424_is_read_whole():
    assert decode_message(NEW) == SyslogMessage(
        20, 5, 1_065_910_455_003_000, "mymachine.example.com", "evntslog", "", "ID47",
        {
            "exampleSDID@32473": {"iut": "3", "eventSource": "Application", "eventID": "1011"},
            "examplePriority@32473": {"class": "high"},
        },
        "An application event log entry...",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "host", "application", "process", "text"),
    [
        (b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
         "mymachine", "su", "", "'su root' failed for lonvick on /dev/pts/8"),
        (b"<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!", "10.0.0.99", "", "", "Use the BFG!"),
        (b"<165>Nov 28 02:40:00 leaf1 rpd[711]: bgp_recv: peer down", "leaf1", "rpd", "711",
         "bgp_recv: peer down"),
        (b"<38>Nov 28 02:40:00 sshd[12]: session opened", "", "sshd", "12", "session opened"),
        (b"<189>45: *Nov 28 02:40:00.123: %LINK-3-UPDOWN: Interface up", "", "", "",
         "45: *Nov 28 02:40:00.123: %LINK-3-UPDOWN: Interface up"),
        (b"<0>", "", "", "", ""),
    ],
)  # fmt: skip
def test_message_of_rfc_3164_is_read_as_far_as_it_has_a_form(
    data, host, application, process, text
):
    message = decode_message(data)

    assert (message.host, message.application) == (host, application)
    assert (message.process, message.text) == (process, text)
    assert message.timestamp_us is None


def test_escapes_in_values_are_undone_and_others_stay():
    message = decode_message(rb'<14>1 - - - - - [a x="\"\\\]\n" y="]"] t')

    assert message.elements == {"a": {"x": '"\\]\\n', "y": "]"}}
    assert message.text == "t"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"text", b"<>1 - - - - - -", b"<192>x", b"<007>x", b"<14>1 - - - - -",
        b"<14>1 yesterday - - - - -", b"<14>1 2003-10-11T22:14:15 - - - - -",
        b"<14>1 - - - - - [a", b'<14>1 - - - - - [a x="1]', b"<14>1 - - - - - [a]text",
        b"<14>1 - - - - - text", b"<14>" + bytes(65_536),
        b"<14>1 - - - - - " + b"".join(b"[e%d]" % index for index in range(65)),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(data):
    with pytest.raises(DecodeError):
        decode_message(data)


def test_time_with_an_offset_is_utc():
    message = decode_message(b"<14>1 2003-08-24T05:14:15.000003-07:00 - - - - -")

    assert message.timestamp_us == 1_061_727_255_000_003


def cut(stream, size):
    framer, found = SyslogFramer(), []
    for start in range(0, len(stream), size):
        framer.feed(stream[start : start + size])
        while (message := framer.next_message()) is not None:
            found.append(message)
    return found, framer.end()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_both_framings_of_one_stream_are_cut_alike(size):
    stream = b"6 <14>ab5 <14>\n\n<14>line\r\n7 <14>a\nb<14>last"

    assert cut(stream, size) == ([b"<14>ab", b"<14>\n", b"<14>line", b"<14>a\nb"], b"<14>last")


@pytest.mark.parametrize(
    "stream", [b"text\n", b"0 <14>", b"65537 <14>", b"123456 ", b"<" + bytes(70_000), b" <14>"]
)
def test_stream_of_neither_framing_is_refused(stream):
    with pytest.raises(DecodeError):
        cut(stream, 100_000)
