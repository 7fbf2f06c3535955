"""The DNS channel's requests and replies as XML.

```
 <iq type="get|set"><dns transid="7"><query|update> BODY </query|update></dns></iq>
 <iq type="result"><dns transid="7"><response code="0"><query|update> BODY </..></response></dns></iq>
 BODY: <virtual-dns/><zone/> and <entry><class/><type/><name/><data/><ttl/><priority/></entry> each
```
Class and type are the numbers of RFC 1035; in updates class 254 takes one record back and 255 all of
a name and type (RFC 2136 section 2.5). What is inside an entry is text that only an authority judges.
"""

from __future__ import annotations

from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp.messages import DnsEntry, DnsReply, DnsRequest, DnsVerb
from skytrail.wire.xmpp.route_codec import bounded_name, bounded_number
from skytrail.wire.xmpp.xml import XmlElement, children_by_name, escape, local_name

DNS_JID = "network-dns@contrailsystems.com"
DNS_CHANNEL = "/dns-peer"
ENTRIES_COUNT_MAX = 64
"""Entries in one request or reply."""
TEXT_LENGTH_MAX = 1020
"""Of names and data: a name of 255 bytes, each of them escaped."""
_U16_MAX = 0xFFFF
_U32_MAX = 0xFFFF_FFFF
_VERBS = {verb.value: verb for verb in DnsVerb}


def decode_dns_channel(dns: XmlElement, *, is_result: bool) -> DnsRequest | DnsReply:
    """Return what a ``<dns>`` element says; raises ``DecodeError``."""
    transaction = bounded_number(dns.get("transid", ""), _U32_MAX)
    child = _only_child(dns)
    if not is_result:
        verb, virtual_dns, zone, entries = _decode_body(child)
        return DnsRequest(transaction, verb, virtual_dns, zone, entries)
    if local_name(child) != "response":
        raise DecodeError("a dns result without response")
    code = bounded_number(child.get("code", ""), _U16_MAX)
    verb, virtual_dns, zone, entries = _decode_body(_only_child(child))
    return DnsReply(transaction, verb, code, virtual_dns, zone, entries)


def encode_dns_channel(message: DnsRequest | DnsReply) -> str:
    """Return the ``<dns>`` element."""
    entries = "".join([_encode_entry(entry) for entry in message.entries])
    verb = message.verb.value
    body = (
        f"<{verb}><virtual-dns>{escape(message.virtual_dns)}</virtual-dns>"
        f"<zone>{escape(message.zone)}</zone>{entries}</{verb}>"
    )
    if isinstance(message, DnsReply):
        body = f'<response code="{message.code}">{body}</response>'
    return f'<dns transid="{message.transaction}">{body}</dns>'


def iq_type(message: DnsRequest | DnsReply) -> str:
    """Return the ``type`` of the iq around a message."""
    if isinstance(message, DnsReply):
        return "result"
    return "get" if message.verb is DnsVerb.QUERY else "set"


def _only_child(element: XmlElement) -> XmlElement:
    children = list(element)
    if len(children) != 1:
        raise DecodeError(f"{local_name(element)} needs exactly one element")
    return children[0]


def _decode_body(body: XmlElement) -> tuple[DnsVerb, str, str, tuple[DnsEntry, ...]]:
    verb = _VERBS.get(local_name(body))
    if verb is None:
        raise DecodeError(f"unexpected {local_name(body)[:40]!r} in dns")
    if len(body) > ENTRIES_COUNT_MAX + 2:
        raise DecodeError(f"more than {ENTRIES_COUNT_MAX} entries")
    virtual_dns = zone = ""
    entries: list[DnsEntry] = []
    for child in body:
        match local_name(child):
            case "virtual-dns":
                virtual_dns = bounded_name(child.text or "")
            case "zone":
                zone = _text(child)
            case "entry":
                entries.append(_decode_entry(child))
            case name:
                raise DecodeError(f"unexpected {name[:40]!r} in a dns {verb.value}")
    if len(entries) > ENTRIES_COUNT_MAX:
        raise DecodeError(f"more than {ENTRIES_COUNT_MAX} entries")
    return verb, virtual_dns, zone, tuple(entries)


def _decode_entry(entry: XmlElement) -> DnsEntry:
    parts = children_by_name(entry)

    def number(name: str, maximum: int) -> int:
        part = parts.get(name)
        return 0 if part is None else bounded_number(part.text, maximum)

    return DnsEntry(
        record_class=number("class", _U16_MAX),
        record_type=number("type", _U16_MAX),
        name=_text(parts.get("name")),
        data=_text(parts.get("data")),
        ttl_s=number("ttl", _U32_MAX),
        priority=number("priority", _U16_MAX),
    )


def _encode_entry(entry: DnsEntry) -> str:
    return (
        f"<entry><class>{entry.record_class}</class><type>{entry.record_type}</type>"
        f"<name>{escape(entry.name)}</name><data>{escape(entry.data)}</data>"
        f"<ttl>{entry.ttl_s}</ttl><priority>{entry.priority}</priority></entry>"
    )


def _text(element: XmlElement | None) -> str:
    text = "" if element is None else element.text or ""
    if len(text) > TEXT_LENGTH_MAX:
        raise DecodeError(f"{text[:40]!r}... is longer than {TEXT_LENGTH_MAX} characters")
    return text
