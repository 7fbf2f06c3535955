"""DNS against bytes written down independently of the codec."""

from ipaddress import IPv4Address

import pytest

from skytrail.wire.dns import (
    DnsMessage,
    Question,
    RecordType,
    ResourceRecord,
    decode_dns,
    is_encodable_name,
    normalise_name,
)
from skytrail.wire.errors import DecodeError

HEADER = bytes.fromhex("abcd 0100 0001 0000 0000 0000")
QUESTION = b"\3www\7example\3com\0" + bytes.fromhex("00010001")


def test_query_as_a_client_sends_it():
    message = decode_dns(HEADER + QUESTION)

    assert message.questions == (Question("www.example.com", RecordType.A),)
    assert (message.message_id, message.recursion_desired) == (0xABCD, True)


def test_names_are_compared_in_lower_case():
    assert decode_dns(HEADER + QUESTION.replace(b"www", b"WwW")).questions[0].name == (
        "www.example.com"
    )


def test_repeated_names_are_compressed():
    message = DnsMessage(
        message_id=1,
        is_response=True,
        questions=(Question("www.example.com", RecordType.A),),
        answers=(ResourceRecord("www.example.com", RecordType.A, 60, IPv4Address("192.0.2.1")),),
    )

    encoded = message.encode()

    assert encoded[-16:].hex() == "c00c000100010000003c0004c0000201"


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (b"\xc0\x0c\0\1\0\1", "backwards"),
        (b"\xc0\xff\0\1\0\1", "backwards"),
        (b"\x80a\0\0\1\0\1", "label type"),
        (b"\3ab", "too long"),
        (b"\1a\0\0", "question is cut short"),
        (b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 3 + b"\0\0\1\0\1", "too long"),
    ],
)
def test_malformed_name_is_named(tail, reason):
    with pytest.raises(DecodeError, match=reason):
        decode_dns(HEADER + tail)


def test_pointer_loop_over_two_names_ends():
    tail = b"\xc0\x0e\xc0\x0c\0\1\0\1"

    with pytest.raises(DecodeError, match="backwards"):
        decode_dns(HEADER + tail)


def test_claimed_record_count_is_bounded():
    with pytest.raises(DecodeError, match="claims"):
        decode_dns(bytes.fromhex("0001 0100 ffff ffff ffff ffff"))


@pytest.mark.parametrize("name", ["a" * 64, "a..b", "é.com", "a.", ".".join(["abc"] * 70), "a\\9"])
def test_unencodable_names_are_known_before(name):
    assert not is_encodable_name(name)


def test_configuration_text_is_normalised():
    assert normalise_name(" Web.Example.COM. ") == "web.example.com"
