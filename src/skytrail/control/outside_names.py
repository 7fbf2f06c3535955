"""What of the virtual DNS servers is answered outside of the overlay: those that are externally visible.

An authority and nothing else: no recursion, no next server, no records of agents, REFUSED for the rest.
Who asks may be anybody, so nothing is kept of a question. No sockets, no clock, no randomness.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from skytrail.control.dns_zones import ConfiguredZones, ServedDns
from skytrail.control.plane import ControlPlane
from skytrail.wire.dns import DnsMessage, ResponseCode, decode_dns
from skytrail.wire.dns.edns import encode_answer, udp_bytes_max, version_is_known
from skytrail.wire.dns.ordering import Shuffle, arranged
from skytrail.wire.dns.zones import authoritative, is_inside, is_reverse
from skytrail.wire.errors import DecodeError

STREAM_BYTES_MAX = 65535
_CLASSES = frozenset({1, 255})


class OutsideNames:
    """Answers messages; ``counts`` has them by response code."""

    def __init__(self, plane: ControlPlane, shuffle: Shuffle) -> None:
        self.counts: Counter[str] = Counter()
        self._plane = plane
        self._shuffle = shuffle
        self._turns: Counter[str] = Counter()
        self._zones = ConfiguredZones()
        plane.followers.append(self._zones.follow)

    def answer(self, message: bytes, *, is_stream: bool) -> bytes | None:
        """Return the answer; None to what is no question."""
        try:
            query = decode_dns(message)
        except DecodeError:
            self.counts["malformed"] += 1
            return None
        if query.is_response:
            self.counts["malformed"] += 1
            return None
        reply = self._reply(query)
        self.counts[ResponseCode(reply.response_code).name.lower()] += 1
        bytes_max = STREAM_BYTES_MAX if is_stream else udp_bytes_max(query)
        return encode_answer(reply, query, bytes_max)

    def _reply(self, query: DnsMessage) -> DnsMessage:
        if query.opcode != 0:
            return _code(query, ResponseCode.NOT_IMPLEMENTED)
        if len(query.questions) != 1:
            return _code(query, ResponseCode.FORMAT_ERROR)
        if not version_is_known(query):
            return _code(query, ResponseCode.NO_ERROR)  # Its OPT record says BADVERS.
        if not self._plane.is_config_complete:
            return _code(query, ResponseCode.SERVER_FAILURE)
        question = query.questions[0]
        served = self._server_of(question.name)
        if served is None or question.record_class not in _CLASSES:
            return _code(query, ResponseCode.REFUSED)
        server = served.server
        found = authoritative(server, lambda name: self._zones.find(server.name, name), query)
        if found is None:
            return _code(query, ResponseCode.REFUSED)
        turn = self._turns[server.name]
        if served.order == "round-robin" and found.answers:
            self._turns[server.name] += 1
        kind = question.record_type
        records = arranged(found.answers, kind, served.order, turn=turn, shuffle=self._shuffle)
        return replace(found, answers=tuple(records), recursion_available=False)

    def _server_of(self, name: str) -> ServedDns | None:
        """Return who answers for a name: of several the one with the longest domain, then by name."""
        fitting = [
            (-len(served.domain), served.server.name, served)
            for served in self._zones.servers.values()
            if served.is_outside and self._fits(served, name)
        ]
        return min(fitting, key=lambda each: each[:2])[2] if fitting else None

    def _fits(self, served: ServedDns, name: str) -> bool:
        if is_reverse(name):
            return served.answers_reverse and bool(self._zones.find(served.server.name, name))
        return is_inside(name, served.domain)


def _code(query: DnsMessage, code: ResponseCode) -> DnsMessage:
    return DnsMessage(
        message_id=query.message_id,
        is_response=True,
        opcode=query.opcode,
        recursion_desired=query.recursion_desired,
        response_code=code,
        questions=query.questions[:1],
    )
