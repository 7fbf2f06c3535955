"""DNS messages and names."""

from skytrail.wire.dns.message import (
    DNS_PORT,
    UDP_BYTES_MAX,
    DnsMessage,
    MailExchange,
    Question,
    RecordContent,
    RecordType,
    ResourceRecord,
    ResponseCode,
    StartOfAuthority,
    decode_dns,
)
from skytrail.wire.dns.name import is_encodable_name, normalise_name

__all__ = [
    "DNS_PORT",
    "UDP_BYTES_MAX",
    "DnsMessage",
    "MailExchange",
    "Question",
    "RecordContent",
    "RecordType",
    "ResourceRecord",
    "ResponseCode",
    "StartOfAuthority",
    "decode_dns",
    "is_encodable_name",
    "normalise_name",
]
