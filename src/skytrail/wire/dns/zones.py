"""What an authority answers: records as users write them, made wire records; one server's answer.

Agents answer workloads with this, control nodes agents: the same question gets the same answer.
Which server is asked first, and who is asked when one does not know, is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from skytrail.net import IpAddress, IpPrefix
from skytrail.wire.dns.message import (
    DnsMessage,
    MailExchange,
    RecordType,
    ResourceRecord,
    ResponseCode,
    StartOfAuthority,
)
from skytrail.wire.dns.name import is_encodable_name, normalise_name
from skytrail.wire.dns.ordering import ORDER_DEFAULT

CHAIN_LENGTH_MAX = 5
"""Servers asked one after the other: a circle of them ends."""
TTL_S_MAX = 0x7FFF_FFFF
"""RFC 2181 section 8."""
REVERSE_ZONES = ("in-addr.arpa", "ip6.arpa")
_CNAME_CHAIN_MAX = 8
_NEGATIVE_S = 60

FindRecords = Callable[[str], Sequence[ResourceRecord]]
"""Return the records of a name; empty when there are none."""


@dataclass(frozen=True, slots=True)
class DnsRecord:
    name: str
    record_type: str
    content: str
    ttl_s: int
    preference: int = 0


@dataclass(frozen=True, slots=True)
class VirtualDns:
    name: str
    domain: str
    ttl_s: int
    next_server: str
    """Another virtual DNS (fully qualified) or an address; empty = the agent's forwarder."""
    records: tuple[DnsRecord, ...]
    order: str = ORDER_DEFAULT
    """``fixed``, ``random`` or ``round-robin``."""
    negative_ttl_s: int | None = None
    """How long resolvers may remember that something does not exist; None: not said."""


def authoritative(
    server: VirtualDns,
    find: FindRecords,
    query: DnsMessage,
    own_prefixes: Iterable[IpPrefix] = (),
) -> DnsMessage | None:
    """Return the server's answer, or None when the name is outside what it knows.

    ``query`` has one question. Reverse names of ``own_prefixes`` are inside, whoever has them.
    """
    domain = normalise_name(server.domain)
    question = query.questions[0]
    name = question.name
    if not is_inside(name, domain) and not find(name) and not _is_own_reverse(name, own_prefixes):
        return None
    answers: list[ResourceRecord] = []
    if domain and name == domain and question.record_type in {RecordType.SOA, RecordType.ANY}:
        answers.append(start_of_authority(server, domain))
    for _ in range(_CNAME_CHAIN_MAX):
        found = find(name)
        wanted = [r for r in found if question.record_type in {r.record_type, RecordType.ANY}]
        answers += wanted
        alias = next((r for r in found if r.record_type == RecordType.CNAME), None)
        if wanted or alias is None or not isinstance(alias.content, str):
            break
        answers.append(alias)
        name = alias.content
    known = bool(find(question.name)) or question.name == domain or bool(answers)
    code = ResponseCode.NO_ERROR if known else ResponseCode.NAME_ERROR
    authority = () if answers else (start_of_authority(server, domain),)
    return DnsMessage(
        message_id=query.message_id,
        is_response=True,
        authoritative=True,
        recursion_desired=query.recursion_desired,
        recursion_available=True,
        response_code=code,
        questions=query.questions,
        answers=tuple(answers),
        authorities=authority,
    )


def is_inside(name: str, domain: str) -> bool:
    """True for the domain itself and names below it; nothing is inside an empty domain."""
    return bool(domain) and (name == domain or name.endswith("." + domain))


def is_reverse(name: str) -> bool:
    """True for the name of an address (RFC 1035 section 3.5, RFC 3596 section 2.5)."""
    return any(is_inside(name, zone) for zone in REVERSE_ZONES)


def record_of(record: DnsRecord, domain: str) -> ResourceRecord | None:
    """Turn a record as users write it into a wire record; None when it is unusable."""
    name = _qualified(record.name, domain, record.record_type)
    content: IPv4Address | IPv6Address | str | MailExchange
    try:
        match record.record_type:
            case "A":
                kind, content = RecordType.A, IPv4Address(record.content)
            case "AAAA":
                kind, content = RecordType.AAAA, IPv6Address(record.content)
            case "PTR":
                kind, content = RecordType.PTR, _qualified(record.content, domain, "")
            case "CNAME":
                kind, content = RecordType.CNAME, _qualified(record.content, domain, "")
            case "NS":
                kind, content = RecordType.NS, normalise_name(record.content)
            case "MX":
                exchange = normalise_name(record.content)
                kind, content = RecordType.MX, MailExchange(record.preference & 0xFFFF, exchange)
            case _:
                return None
    except ValueError:
        return None
    target = content.exchange if isinstance(content, MailExchange) else content
    if not is_encodable_name(name) or (isinstance(target, str) and not is_encodable_name(target)):
        return None
    return ResourceRecord(name, kind, min(record.ttl_s, TTL_S_MAX), content)


def start_of_authority(server: VirtualDns, domain: str) -> ResourceRecord:
    """Return the SOA record of a server."""
    zone = domain if is_encodable_name(domain) else ""
    host = f"ns.{zone}" if zone else "ns"
    mailbox = f"hostmaster.{zone}" if zone else "hostmaster"
    said = server.negative_ttl_s
    negative = min(server.ttl_s, _NEGATIVE_S) if said is None else min(max(said, 0), TTL_S_MAX)
    content = StartOfAuthority(host, mailbox, 1, 3600, 600, 86400, negative)
    return ResourceRecord(zone, RecordType.SOA, _NEGATIVE_S if said is None else negative, content)


def address_of(text: str) -> IpAddress | None:
    """Return the address a text is, if it is one."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_own_reverse(name: str, own_prefixes: Iterable[IpPrefix]) -> bool:
    """True for the reverse name of an address of the port's own subnets."""
    if not is_reverse(name):
        return False
    return any(
        prefix.version == 4
        and (address := _reverse_address4(name)) is not None
        and address in prefix
        for prefix in own_prefixes
    )


def _reverse_address4(name: str) -> IPv4Address | None:
    parts = name.removesuffix(".in-addr.arpa").split(".")
    try:
        return IPv4Address(".".join(reversed(parts))) if len(parts) == 4 else None
    except ValueError:
        return None


def _qualified(text: str, domain: str, record_type: str) -> str:
    """Complete a relative name with the domain; reverse names are given as address or name."""
    name = normalise_name(text)
    if record_type == "PTR":
        address = address_of(name)
        if address is not None:
            return address.reverse_pointer
        if name.endswith(REVERSE_ZONES):
            return name
    if not name or not domain or name == domain or name.endswith("." + domain):
        return name or domain
    return f"{name}.{domain}" if "." not in name else name
