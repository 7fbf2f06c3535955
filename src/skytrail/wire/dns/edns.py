"""EDNS(0): how much a client takes by UDP, and what an answer says back (RFC 6891).

The OPT record of an answer is written behind everything else, so that a truncated answer has it, too.
"""

from __future__ import annotations

from dataclasses import replace

from skytrail.wire.dns.message import (
    UDP_BYTES_MAX,
    DnsMessage,
    RecordType,
    ResourceRecord,
)

UDP_BYTES_OFFERED = 1232
"""What passes every IPv6 path without fragments."""
_OPT_BYTES = 11
_VERSION = 0
_BAD_VERSION = 1
"""The upper bits of response code 16."""
_COUNT_OFFSET = 10


def option_of(query: DnsMessage) -> ResourceRecord | None:
    """Return the OPT record of a query, if it has one."""
    found = (each for each in query.additionals if each.record_type == RecordType.OPT)
    return next(found, None)


def udp_bytes_max(query: DnsMessage) -> int:
    """Return how long an answer by UDP may be."""
    option = option_of(query)
    if option is None:
        return UDP_BYTES_MAX
    return min(max(option.record_class, UDP_BYTES_MAX), UDP_BYTES_OFFERED)


def version_is_known(query: DnsMessage) -> bool:
    """Whether a query is of no EDNS, or of a version that is served."""
    option = option_of(query)
    return option is None or option.ttl_s >> 16 & 0xFF == _VERSION


def encode_answer(answer: DnsMessage, query: DnsMessage, bytes_max: int) -> bytes:
    """Return the answer within ``bytes_max``, with an OPT record if the query has one."""
    if option_of(query) is None:
        return answer.encode(bytes_max)
    plain = replace(
        answer,
        additionals=tuple(
            each for each in answer.additionals if each.record_type != RecordType.OPT
        ),
    )
    message = bytearray(plain.encode(bytes_max - _OPT_BYTES))
    count = int.from_bytes(message[_COUNT_OFFSET : _COUNT_OFFSET + 2]) + 1
    message[_COUNT_OFFSET : _COUNT_OFFSET + 2] = count.to_bytes(2)
    upper = 0 if version_is_known(query) else _BAD_VERSION
    message += b"\0" + int(RecordType.OPT).to_bytes(2) + UDP_BYTES_OFFERED.to_bytes(2)
    message += bytes((upper, _VERSION, 0, 0)) + b"\0\0"
    return bytes(message)
