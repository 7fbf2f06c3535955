"""DNS messages (RFC 1035): one question, records with raw or typed data.

Only what a stub authority and forwarder needs; record data of types that may hold compressed
names (NS, CNAME, PTR, MX, SOA) is expanded when decoded, everything else stays raw.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from skytrail.wire.dns.name import decode_name, encode_name
from skytrail.wire.errors import DecodeError

DNS_PORT = 53
UDP_BYTES_MAX = 512
"""Without EDNS (RFC 1035 section 4.2.1)."""
RECORDS_COUNT_MAX = 512
_HEADER_BYTES = 12
_CLASS_IN = 1
_RFC = "RFC 1035 section 4.1"
_FLAG_RESPONSE = 0x8000
_FLAG_AUTHORITATIVE = 0x0400
_FLAG_TRUNCATED = 0x0200
_FLAG_RECURSION_DESIRED = 0x0100
_FLAG_RECURSION_AVAILABLE = 0x0080


class RecordType(enum.IntEnum):
    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    MX = 15
    TXT = 16
    AAAA = 28
    OPT = 41
    ANY = 255


class ResponseCode(enum.IntEnum):
    NO_ERROR = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NAME_ERROR = 3
    NOT_IMPLEMENTED = 4
    REFUSED = 5
    NOT_AUTHORITATIVE = 9
    """RFC 2136 section 2.2, as the next."""
    NOT_ZONE = 10


@dataclass(frozen=True, slots=True)
class Question:
    name: str
    record_type: int
    record_class: int = _CLASS_IN


@dataclass(frozen=True, slots=True)
class MailExchange:
    preference: int
    exchange: str


@dataclass(frozen=True, slots=True)
class StartOfAuthority:
    """Times in seconds (RFC 1035 section 3.3.13)."""

    primary: str
    mailbox: str
    serial: int
    refresh_s: int
    retry_s: int
    expire_s: int
    minimum_s: int


RecordContent = IPv4Address | IPv6Address | str | MailExchange | StartOfAuthority | bytes
"""``str`` is a name (NS, CNAME, PTR); ``bytes`` everything without a type of its own."""


@dataclass(frozen=True, slots=True)
class ResourceRecord:
    name: str
    record_type: int
    ttl_s: int
    content: RecordContent
    record_class: int = _CLASS_IN


@dataclass(frozen=True, slots=True)
class DnsMessage:
    """A query or response; several questions are legal to decode but never sent in practice."""

    message_id: int
    is_response: bool = False
    opcode: int = 0
    authoritative: bool = False
    truncated: bool = False
    recursion_desired: bool = False
    recursion_available: bool = False
    response_code: int = 0
    questions: tuple[Question, ...] = ()
    answers: tuple[ResourceRecord, ...] = ()
    authorities: tuple[ResourceRecord, ...] = ()
    additionals: tuple[ResourceRecord, ...] = ()

    def encode(self, bytes_max: int = 65535) -> bytes:
        """Return the message; records that do not fit ``bytes_max`` are left out and the
        truncation bit set. ``ValueError`` for names that cannot be encoded.
        """
        message = bytearray(_HEADER_BYTES)
        offsets: dict[str, int] = {}
        for question in self.questions:
            encode_name(question.name, message, offsets)
            message += question.record_type.to_bytes(2) + question.record_class.to_bytes(2)
        counts = [len(self.questions), 0, 0, 0]
        truncated = self.truncated
        sections = (self.answers, self.authorities, self.additionals)
        for index, section in enumerate(sections, start=1):
            for record in section:
                before = len(message)
                _encode_record(record, message, offsets)
                if len(message) > bytes_max:
                    del message[before:]
                    truncated = True
                    break
                counts[index] += 1
            if truncated:
                break
        message[:_HEADER_BYTES] = self._encode_header(counts, truncated=truncated)
        return bytes(message)

    def _encode_header(self, counts: list[int], *, truncated: bool) -> bytes:
        flags = (
            (_FLAG_RESPONSE if self.is_response else 0)
            | (self.opcode << 11)
            | (_FLAG_AUTHORITATIVE if self.authoritative else 0)
            | (_FLAG_TRUNCATED if truncated else 0)
            | (_FLAG_RECURSION_DESIRED if self.recursion_desired else 0)
            | (_FLAG_RECURSION_AVAILABLE if self.recursion_available else 0)
            | self.response_code
        )
        words = [self.message_id, flags, *counts]
        return b"".join(word.to_bytes(2) for word in words)


def decode_dns(message: bytes) -> DnsMessage:
    """Decode a whole message; bytes behind the last record are ignored."""
    if len(message) < _HEADER_BYTES:
        raise DecodeError("DNS header is cut short", len(message), _RFC)
    flags = int.from_bytes(message[2:4])
    counts = [int.from_bytes(message[start : start + 2]) for start in range(4, 12, 2)]
    if sum(counts) > RECORDS_COUNT_MAX:
        raise DecodeError(f"DNS message claims {sum(counts)} records", 4, _RFC)
    offset = _HEADER_BYTES
    questions: list[Question] = []
    for _ in range(counts[0]):
        question, offset = _decode_question(message, offset)
        questions.append(question)
    sections: list[tuple[ResourceRecord, ...]] = []
    for count in counts[1:]:
        section: list[ResourceRecord] = []
        for _ in range(count):
            record, offset = _decode_record(message, offset)
            section.append(record)
        sections.append(tuple(section))
    return DnsMessage(
        message_id=int.from_bytes(message[0:2]),
        is_response=bool(flags & _FLAG_RESPONSE),
        opcode=flags >> 11 & 0xF,
        authoritative=bool(flags & _FLAG_AUTHORITATIVE),
        truncated=bool(flags & _FLAG_TRUNCATED),
        recursion_desired=bool(flags & _FLAG_RECURSION_DESIRED),
        recursion_available=bool(flags & _FLAG_RECURSION_AVAILABLE),
        response_code=flags & 0xF,
        questions=tuple(questions),
        answers=sections[0],
        authorities=sections[1],
        additionals=sections[2],
    )


def _decode_question(message: bytes, offset: int) -> tuple[Question, int]:
    name, offset = decode_name(message, offset)
    if offset + 4 > len(message):
        raise DecodeError("DNS question is cut short", offset, _RFC)
    record_type = int.from_bytes(message[offset : offset + 2])
    return Question(name, record_type, int.from_bytes(message[offset + 2 : offset + 4])), offset + 4


def _decode_record(message: bytes, offset: int) -> tuple[ResourceRecord, int]:
    name, offset = decode_name(message, offset)
    if offset + 10 > len(message):
        raise DecodeError("DNS record is cut short", offset, _RFC)
    record_type = int.from_bytes(message[offset : offset + 2])
    end = offset + 10 + int.from_bytes(message[offset + 8 : offset + 10])
    if end > len(message):
        raise DecodeError("DNS record leaves the message", offset, _RFC)
    record = ResourceRecord(
        name=name,
        record_type=record_type,
        record_class=int.from_bytes(message[offset + 2 : offset + 4]),
        ttl_s=int.from_bytes(message[offset + 4 : offset + 8]),
        content=_decode_content(message[:end], offset + 10, record_type),
    )
    return record, end


def _decode_content(message: bytes, offset: int, record_type: int) -> RecordContent:
    """Decode the data from ``offset`` to the end of ``message``."""
    content = message[offset:]
    match record_type:
        case RecordType.A:
            if len(content) != 4:
                raise DecodeError("A record is not 4 bytes", offset, _RFC)
            return IPv4Address(content)
        case RecordType.AAAA:
            if len(content) != 16:
                raise DecodeError("AAAA record is not 16 bytes", offset, "RFC 3596")
            return IPv6Address(content)
        case RecordType.NS | RecordType.CNAME | RecordType.PTR:
            return decode_name(message, offset)[0]
        case RecordType.MX:
            if len(content) < 3:
                raise DecodeError("MX record is cut short", offset, _RFC)
            return MailExchange(int.from_bytes(content[:2]), decode_name(message, offset + 2)[0])
        case RecordType.SOA:
            return _decode_authority(message, offset)
        case _:
            return content


def _decode_authority(message: bytes, offset: int) -> StartOfAuthority:
    primary, offset = decode_name(message, offset)
    mailbox, offset = decode_name(message, offset)
    if offset + 20 > len(message):
        raise DecodeError("SOA record is cut short", offset, _RFC)
    numbers = [int.from_bytes(message[at : at + 4]) for at in range(offset, offset + 20, 4)]
    return StartOfAuthority(primary, mailbox, *numbers)


def _encode_record(record: ResourceRecord, message: bytearray, offsets: dict[str, int]) -> None:
    encode_name(record.name, message, offsets)
    message += record.record_type.to_bytes(2) + record.record_class.to_bytes(2)
    message += record.ttl_s.to_bytes(4)
    length_at = len(message)
    message += b"\0\0"
    match record.content:
        case IPv4Address() | IPv6Address():
            message += record.content.packed
        case str():
            encode_name(record.content, message, offsets)
        case MailExchange():
            message += record.content.preference.to_bytes(2)
            encode_name(record.content.exchange, message, offsets)
        case StartOfAuthority() as soa:
            encode_name(soa.primary, message, offsets)
            encode_name(soa.mailbox, message, offsets)
            for number in (soa.serial, soa.refresh_s, soa.retry_s, soa.expire_s, soa.minimum_s):
                message += number.to_bytes(4)
        case bytes():
            message += record.content
    message[length_at : length_at + 2] = (len(message) - length_at - 2).to_bytes(2)
