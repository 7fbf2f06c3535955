"""Answers agents' questions about names, and keeps the records they say: the DNS channel.

```
 question --> a server the agent sees --> configured records, else agents' --> answer
                  |  knows nothing of the name
                  +--> its next virtual DNS ... --> nobody: NOTAUTH, the agent forwards it itself
 update ----> a server the agent sees that takes updates --> dns_records, until the session ends
```
An ``XmppServer`` of its own drives this as another does the plane; what agents see is asked of the
plane. No sockets, no clock, no randomness.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from skytrail.control.config_filter import visible
from skytrail.control.config_graph import Change
from skytrail.control.dns_records import AgentRecords
from skytrail.control.dns_zones import ConfiguredZones, ServedDns
from skytrail.control.next_servers import domain_of
from skytrail.control.peer import PeerName
from skytrail.control.plane import ControlPlane, PeerRefused
from skytrail.wire.dns import (
    DnsMessage,
    MailExchange,
    Question,
    RecordContent,
    RecordType,
    ResourceRecord,
    ResponseCode,
    StartOfAuthority,
    is_encodable_name,
    normalise_name,
)
from skytrail.wire.dns.ordering import Shuffle, arranged
from skytrail.wire.dns.zones import (
    CHAIN_LENGTH_MAX,
    TTL_S_MAX,
    DnsRecord,
    authoritative,
    is_inside,
    is_reverse,
    record_of,
)
from skytrail.wire.xmpp import ConfigKey, DnsEntry, DnsReply, DnsRequest, DnsVerb, Message
from skytrail.wire.xmpp.codec import encode
from skytrail.wire.xmpp.dns_codec import DNS_JID, ENTRIES_COUNT_MAX

REPLIES_COUNT_MAX = 1024
"""Answers that wait for one agent to read them."""
_SYSTEM = "default-global-system-config"
_CLASS_IN, _CLASS_NONE, _CLASS_ANY = 1, 254, 255
_UPDATABLE = frozenset(
    {
        RecordType.A,
        RecordType.AAAA,
        RecordType.PTR,
        RecordType.CNAME,
        RecordType.MX,
        RecordType.NS,
    }
)

Row: TypeAlias = Mapping[str, object]


@dataclass(slots=True)
class DnsPeer:
    """One agent with a DNS session."""

    name: str
    address: str
    up_since: float
    queries: int = 0
    updates: int = 0
    refused: int = 0
    replies: deque[DnsReply] = field(default_factory=deque[DnsReply])


class _Refusal(Exception):
    """The request gets this code and changes nothing."""

    def __init__(self, code: ResponseCode) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass(slots=True)
class _Update:
    """What a whole request would change."""

    put: list[ResourceRecord] = field(default_factory=list[ResourceRecord])
    removed: list[ResourceRecord] = field(default_factory=list[ResourceRecord])
    removed_named: list[tuple[str, int | None]] = field(
        default_factory=list[tuple[str, int | None]]
    )


class DnsPlane:
    """All state of the DNS channel. Not safe for use from more than one thread."""

    def __init__(self, plane: ControlPlane, shuffle: Shuffle) -> None:
        self.peers: dict[str, DnsPeer] = {}
        self.zones = ConfiguredZones()
        self.records = AgentRecords()
        self.codes: Counter[str] = Counter()
        """Replies by their code's name."""
        self.counts: Counter[DnsVerb] = Counter()
        self._plane = plane
        self._shuffle = shuffle
        self._turns: Counter[str] = Counter()
        """Answers of each server that gives its records in turn."""
        self._ready: dict[str, None] = {}
        self._walks: dict[str, Container[str]] = {}
        """What agents see that have no configuration from this node, until the next commit."""
        plane.followers.append(self._follow)

    # Sessions.

    def session_up(self, name: str, address: str, now: float) -> None:
        """An agent's session stands; one it still had counts as lost first."""
        self.session_down(name, "replaced by a newer session", now)
        self.peers[name] = DnsPeer(name, address, now)

    def session_down(self, name: str, reason: str, now: float) -> None:
        """Take back what the agent said."""
        del reason, now
        if self.peers.pop(name, None) is not None:
            self.records.forget(name)
            self._walks.pop(name, None)

    def receive(self, name: str, message: Message, now: float) -> None:
        """Act on a message of an agent whose session stands; raises ``PeerRefused``."""
        del now
        if not isinstance(message, DnsRequest):
            raise PeerRefused(f"an agent must not send {type(message).__name__} here")
        peer = self.peers[name]
        if len(peer.replies) >= REPLIES_COUNT_MAX:
            raise PeerRefused(f"{REPLIES_COUNT_MAX} answers wait to be read")
        self.counts[message.verb] += 1
        if message.verb is DnsVerb.QUERY:
            peer.queries += 1
            reply = self._query(name, message)
        else:
            peer.updates += 1
            reply = self._update(name, message)
        code = _code_name(reply.code)
        self.codes[code] += 1
        peer.refused += reply.code == ResponseCode.REFUSED
        peer.replies.append(reply)
        self._ready[name] = None

    def tick(self, now: float) -> None:
        """Nothing here is timed."""

    def take_ready(self) -> list[str]:
        """Return agents for whom :meth:`collect` has something."""
        ready, self._ready = self._ready, {}
        return [name for name in ready if name in self.peers]

    def has_more(self, name: str) -> bool:
        """Tell whether :meth:`collect` only stopped so that others have their turn."""
        peer = self.peers.get(name)
        return peer is not None and bool(peer.replies)

    def collect(self, name: str, now: float, bytes_max: int) -> list[bytes]:
        """Return the next answers for an agent, at least one if any, about ``bytes_max``."""
        del now
        replies = self.peers[name].replies
        stanzas: list[bytes] = []
        size = 0
        while replies and size < bytes_max:
            reply = replies.popleft()
            stanzas.append(
                encode(reply, sender=DNS_JID, receiver=f"{name}/dns", identifier=reply.transaction)
            )
            size += len(stanzas[-1])
        return stanzas

    # Introspection.

    def tables(self, now: Callable[[], float]) -> Mapping[str, Callable[[], Iterable[Row]]]:
        """Return the channel's tables by name."""
        return {
            "dns_peers": lambda: [self._peer_row(peer, now()) for peer in self.peers.values()],
            "dns_records": lambda: [
                {
                    "agent": agent,
                    "virtual_dns": server,
                    "name": record.name,
                    "type": RecordType(record.record_type).name,
                    "data": _data(record.content),
                    "ttl_s": record.ttl_s,
                    "unused_because": self._why_unused(agent, server, record.name),
                }
                for agent, server, record in self.records
            ],
        }

    def _peer_row(self, peer: DnsPeer, now: float) -> Row:
        return {
            "name": peer.name,
            "address": peer.address,
            "up_s": round(now - peer.up_since, 1),
            "queries": peer.queries,
            "updates": peer.updates,
            "refused": peer.refused,
            "records": self.records.count(peer.name),
            "waiting": len(peer.replies),
        }

    def _why_unused(self, agent: str, server: str, name: str) -> str:
        if not self._sees(agent, server):
            return "the agent does not see this virtual DNS any more"
        if not self.zones.servers[server].takes_updates:
            return "this virtual DNS takes no records of agents any more"
        if self.zones.find(server, name):
            return "the configuration has records of this name"
        return ""

    # Questions.

    def _query(self, agent: str, request: DnsRequest) -> DnsReply:
        try:
            entries = self._answer(agent, request)
        except _Refusal as refusal:
            return _reply(request, refusal.code)
        code, answers = entries
        return _reply(request, code, [_entry(each) for each in answers[:ENTRIES_COUNT_MAX]])

    def _answer(self, agent: str, request: DnsRequest) -> tuple[ResponseCode, list[ResourceRecord]]:
        if len(request.entries) != 1:
            raise _Refusal(ResponseCode.FORMAT_ERROR)
        entry = request.entries[0]
        name = normalise_name(entry.name)
        if not is_encodable_name(name):
            raise _Refusal(ResponseCode.FORMAT_ERROR)
        if entry.record_class not in {_CLASS_IN, _CLASS_ANY}:
            raise _Refusal(ResponseCode.NOT_IMPLEMENTED)
        self._check_sight(agent, request.virtual_dns)
        query = DnsMessage(message_id=0, questions=(Question(name, entry.record_type),))
        server = request.virtual_dns
        for _ in range(CHAIN_LENGTH_MAX):
            served = self.zones.servers.get(server)
            if served is None:
                break
            answer = self._authoritative(served, query)
            if answer is not None:
                code = ResponseCode(answer.response_code)
                return code, self._arranged(served, list(answer.answers), entry.record_type)
            server = served.server.next_server
            if domain_of(server) != domain_of(request.virtual_dns):
                # Whoever owns a server could else read the names of all others.
                break
        raise _Refusal(ResponseCode.NOT_AUTHORITATIVE)

    def _authoritative(self, served: ServedDns, query: DnsMessage) -> DnsMessage | None:
        if is_reverse(query.questions[0].name) and not served.answers_reverse:
            return None
        return authoritative(served.server, lambda name: self._find(served, name), query)

    def _find(self, served: ServedDns, name: str) -> list[ResourceRecord]:
        """Return a name's records. What the configuration names, no agent adds to."""
        server = served.server.name
        configured = self.zones.find(server, name)
        if configured or not served.takes_updates:
            return configured
        # No reply holds more, and whether an agent sees the server may have to be found out.
        said = (
            record for agent, record in self.records.find(server, name) if self._sees(agent, server)
        )
        return list(islice(said, ENTRIES_COUNT_MAX))

    def _arranged(
        self, served: ServedDns, answers: list[ResourceRecord], asked_type: int
    ) -> list[ResourceRecord]:
        """Bring the records of the answer into the server's order."""
        turn = self._turns[served.server.name]
        if served.order == "round-robin" and answers:
            self._turns[served.server.name] += 1
        return arranged(answers, asked_type, served.order, turn=turn, shuffle=self._shuffle)

    # Updates.

    def _update(self, agent: str, request: DnsRequest) -> DnsReply:
        try:
            self._apply(agent, request)
        except _Refusal as refusal:
            return _reply(request, refusal.code)
        return _reply(request, ResponseCode.NO_ERROR)

    def _apply(self, agent: str, request: DnsRequest) -> None:
        """Take over the whole request or nothing of it."""
        server = request.virtual_dns
        self._check_sight(agent, server)
        served = self.zones.servers[server]
        if not served.takes_updates:
            raise _Refusal(ResponseCode.REFUSED)
        zone = normalise_name(request.zone) or served.domain
        if zone != served.domain and not (is_reverse(zone) and served.answers_reverse):
            raise _Refusal(ResponseCode.NOT_ZONE)
        update = _Update()
        for entry in request.entries:
            _read(entry, served, zone, update)
        if not self.records.has_room(agent, server, update.put):
            raise _Refusal(ResponseCode.REFUSED)
        for record in update.removed:
            self.records.remove(agent, server, record)
        for name, record_type in update.removed_named:
            self.records.remove_named(agent, server, name, record_type)
        for record in update.put:
            self.records.put(agent, server, record)

    # What agents see.

    def _check_sight(self, agent: str, server: str) -> None:
        if not self._plane.is_config_complete:
            raise _Refusal(ResponseCode.SERVER_FAILURE)
        if not self._sees(agent, server):
            raise _Refusal(ResponseCode.REFUSED)

    def _sees(self, agent: str, server: str) -> bool:
        """Whether the server is one of the agent's own, not just one that is asked after them."""
        graph = self._plane.config.graph
        found = graph.by_name("virtual-DNS", server.split(":"))
        if found is None or server not in self.zones.servers:
            return False
        seen = self._seen(agent)
        return any(each.uuid in seen for each in graph.back_refs(found.uuid, "network-ipam"))

    def _seen(self, agent: str) -> Container[str]:
        peer = self._plane.peers.get(PeerName(agent))
        if peer is not None and peer.config.reach.roots:
            return peer.config.reach.seen
        # It has its configuration from another control node: what its virtual-router leads to.
        walk = self._walks.get(agent)
        if walk is None:
            root = ConfigKey("virtual-router", f"{_SYSTEM}:{agent}")
            walk = self._walks[agent] = visible(self._plane.config.graph, [root]).keys()
        return walk

    def _follow(self, changes: list[Change]) -> None:
        self._walks.clear()
        self.zones.follow(changes)


def _read(entry: DnsEntry, served: ServedDns, zone: str, update: _Update) -> None:
    """Add what one entry asks for (RFC 2136 section 2.5) to ``update``."""
    if entry.record_class == _CLASS_ANY:
        name = normalise_name(entry.name)
        kind = None if entry.record_type == RecordType.ANY else entry.record_type
        if entry.data or not is_encodable_name(name):
            raise _Refusal(ResponseCode.FORMAT_ERROR)
        if not is_inside(name, zone):
            raise _Refusal(ResponseCode.NOT_ZONE)
        update.removed_named.append((name, kind))
        return
    if entry.record_type not in _UPDATABLE:
        raise _Refusal(ResponseCode.NOT_IMPLEMENTED)
    if entry.record_class not in {_CLASS_IN, _CLASS_NONE} or entry.ttl_s > TTL_S_MAX:
        raise _Refusal(ResponseCode.FORMAT_ERROR)
    written = DnsRecord(
        name=entry.name,
        record_type=RecordType(entry.record_type).name,
        content=entry.data,
        ttl_s=entry.ttl_s,
        preference=entry.priority,
    )
    record = record_of(written, served.domain)
    if record is None:
        raise _Refusal(ResponseCode.FORMAT_ERROR)
    if not is_inside(record.name, zone):
        raise _Refusal(ResponseCode.NOT_ZONE)
    (update.put if entry.record_class == _CLASS_IN else update.removed).append(record)


def _reply(request: DnsRequest, code: ResponseCode, entries: Iterable[DnsEntry] = ()) -> DnsReply:
    return DnsReply(
        request.transaction, request.verb, code, request.virtual_dns, request.zone, tuple(entries)
    )


def _entry(record: ResourceRecord) -> DnsEntry:
    content = record.content
    return DnsEntry(
        record_class=record.record_class,
        record_type=record.record_type,
        name=record.name,
        data=_data(content),
        ttl_s=record.ttl_s,
        priority=content.preference if isinstance(content, MailExchange) else 0,
    )


def _data(content: RecordContent) -> str:
    """Return record data as it is written in zone files (RFC 1035 section 5.1)."""
    match content:
        case MailExchange():
            return content.exchange
        case StartOfAuthority() as soa:
            times = soa.serial, soa.refresh_s, soa.retry_s, soa.expire_s, soa.minimum_s
            return " ".join([soa.primary, soa.mailbox, *map(str, times)])
        case bytes():
            return content.hex()
        case _:
            return str(content)


def _code_name(code: int) -> str:
    return ResponseCode(code).name.lower()
