"""Syslog over all inputs: what RFC 5424 can say survives, arbitrary octets raise one error, any cut of a stream is the same."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.exporters import Exporters
from skytrail.analytics.syslog_rows import row_of, statistics_of
from skytrail.wire.errors import DecodeError
from skytrail.wire.syslog import SyslogFramer, decode_message

WORD = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
SAID = WORD.filter(lambda word: word != "-") | st.just("")
NAME = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='"=]'),
    min_size=1,
    max_size=12,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ELEMENTS = st.dictionaries(NAME, st.dictionaries(NAME, TEXT, max_size=3), max_size=3)
HOSTILE = st.binary(max_size=200) | st.builds(
    lambda head, tail: head + tail,
    st.sampled_from([b"<14>", b"<14>1 - - - - - ", b"<14>1 - - - - - [a ", b"<1>Nov 28 02:40:00 "]),
    st.binary(max_size=100),
)


def written(priority, words, elements, text):
    """Write a message as RFC 5424 section 6 has it."""
    shown = "".join(
        f"[{name}"
        + "".join(
            f' {key}="{value.translate({34: chr(92) + chr(34), 92: chr(92) * 2, 93: chr(92) + "]"})}"'
            for key, value in parameters.items()
        )
        + "]"
        for name, parameters in elements.items()
    )
    host, application, process, message_id = (word or "-" for word in words)
    return (
        f"<{priority}>1 - {host} {application} {process} {message_id} {shown or '-'} {text}"
    ).encode()


@given(st.integers(0, 191), st.tuples(SAID, SAID, SAID, SAID), ELEMENTS, TEXT)
def test_message_survives_the_wire(priority, words, elements, text):
    message = decode_message(written(priority, words, elements, text))

    assert message.facility * 8 + message.severity == priority
    assert (message.host, message.application, message.process, message.message_id) == words
    assert message.elements == elements
    assert message.text == text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")


@given(HOSTILE)
def test_any_octets_become_rows_or_one_error(data):
    exporter = Exporters().known("syslog", "127.0.0.1", 0.0)
    with contextlib.suppress(DecodeError):
        message = decode_message(data)
        row_of(message, exporter, 0)
        list(statistics_of(message, exporter, 0))


TYPED = st.dictionaries(
    st.sampled_from(
        ["source-port", "protocol-id", "pkt-loss", "rtt", "source-address", "application", "rule"]
    ),
    st.integers(-9, 1 << 65).map(str) | st.sampled_from(["N/A", "", "::1", "1.5", "1e9"]) | TEXT,
    max_size=4,
)


@given(TYPED)
def test_typed_fields_are_of_their_type_or_their_element_is_no_row(parameters):
    exporter = Exporters().known("syslog", "127.0.0.1", 0.0)
    words = ("h", "RT_FLOW", "", "APPTRACK_SESSION_CLOSE")
    message = decode_message(written(14, words, {"junos@2636.1.1.1.2.129": parameters}, ""))

    for row in statistics_of(message, exporter, 0):
        if row is None:
            continue
        assert set(row["numbers"]) <= {
            "data.source-port",
            "data.protocol-id",
            "data.pkt-loss",
            "data.rtt",
        }
        assert all(0 <= number < 1 << 63 or number == 1 << 63 for number in row["numbers"].values())
        assert row["numbers"].get("data.source-port", 0) <= 65_535
        if address := row["texts"].get("data.source-address"):
            assert str(ip_address(address)) == address


@given(st.lists(st.binary(max_size=30)), st.lists(st.integers(0, 200)))
def test_counted_messages_are_cut_alike_however_they_come(messages, cuts):
    stream = b"".join(b"%d <1>%s" % (len(each) + 3, each) for each in messages)
    framer, found, start = SyslogFramer(), [], 0
    for end in [*sorted(cuts), len(stream)]:
        framer.feed(stream[start:end])
        start = max(start, end)
        while (message := framer.next_message()) is not None:
            found.append(message)

    assert found == [b"<1>" + each for each in messages]


@given(st.binary(max_size=200))
def test_any_stream_is_cut_or_refused(stream):
    framer = SyslogFramer()
    framer.feed(stream)
    with contextlib.suppress(DecodeError):
        while framer.next_message() is not None:
            pass
