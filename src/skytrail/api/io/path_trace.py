"""Where a packet between two ports goes, by the tables that hosts really hold.

GET /api/v1/trace?source=UUID&destination=UUID&protocol=tcp&port=80[&source_port=][&network=]

POST /api/v1/trace    the same members as JSON: a real packet is sent after the trace, and where it was seen is told

Each end is a port's uuid or full name, or, for administrators and global readers, an address, of a
port or learnt behind one; the destination may also be a MAC, in the source's network or ``network``.
Others are told of ways between ports of their own project: verdict and rules, but neither hosts nor
tables of the underlay. By GET nothing is sent; the hosts' agents explain what they would do. A probe is a packet of
the source port's own address, one at a time, and of each project of tenants one in ``PROBE_EVERY_S``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from skytrail.api import authorize, documents
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.identity import is_uuid
from skytrail.api.io import bodies
from skytrail.api.io.callers import caller_of
from skytrail.api.io.native import check_parameters
from skytrail.api.refusal import Refused, bad_request, conflict
from skytrail.api.service import ConfigService
from skytrail.net.latest import Latest
from skytrail.runtime.asgi import Request, Response, Router

PORT_TYPE: Final = "virtual-machine-interface"
PROTOCOLS: Final = ("icmp", "icmp6", "tcp", "udp", "sctp")
_WITH_PORTS: Final = ("tcp", "udp", "sctp")
_PARAMETERS: Final = frozenset(
    {"source", "destination", "protocol", "port", "source_port", "network"}
)
_CREDENTIALS: Final = ("x-auth-token", "authorization")
TEXT_LENGTH_MAX: Final = 256
AT_ONCE_COUNT: Final = 4
"""Walks that run; more wait. Each keeps a thread while agents answer."""
OF_ONE_COUNT: Final = 2
"""Walks of one project's members that run or wait: nobody makes all others wait."""
PROBE_EVERY_S: Final = 5.0
"""Between two probes of one project's members."""
PROBES_COUNT_MAX: Final = 10_000
"""Projects that are remembered for that."""
_OPEN_STAGES: Final = ("egress", "ingress", "rate", "marking")
"""What a tenant's own rules and limits do; other stages tell of the provider's network."""


class Untraceable(Exception):
    """The question has no answer now; the text says why."""


class Unreachable(Exception):
    """An agent that is needed does not answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """One packet; ends as uuids of ports, as addresses or as MACs."""

    source: str
    destination: str
    protocol: str = "icmp"
    port: int = 0
    source_port: int = 0
    network: str | None = None


class Walk(Protocol):
    """Asks the agents; blocks, so it runs in a thread. ``hosts``: underlay address to name.

    ``credentials`` are the headers by which the caller shows who he is, for a node that wants to know.
    """

    def __call__(
        self, question: Question, hosts: Mapping[str, str], credentials: Mapping[str, str]
    ) -> Document: ...

    def probe(
        self, question: Question, hosts: Mapping[str, str], credentials: Mapping[str, str]
    ) -> Document:
        """Return the same with ``probe``: where a packet that was really sent was seen."""
        ...


class PathTrace:
    """The way of a packet, for whoever may know it."""

    def __init__(self, service: ConfigService, walk: Walk) -> None:
        self._service = service
        self._walk = walk
        self._running = asyncio.Semaphore(AT_ONCE_COUNT)
        self._asking: Counter[str] = Counter()
        """Walks of those who are no administrators, by whom objects they make belong to."""
        self._probing = asyncio.Lock()
        self._probed: Latest[str, float] = Latest(PROBES_COUNT_MAX)
        """When members of a project last sent a probe, by the loop's clock."""

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/trace", self._trace)
        router.add("POST", "/api/v1/trace", self._probe)

    async def _trace(self, request: Request) -> Response:
        check_parameters(request, _PARAMETERS)
        return await self._walked(request, request.query, is_probe=False)

    async def _probe(self, request: Request) -> Response:
        check_parameters(request, frozenset())
        return await self._walked(request, _members(request), is_probe=True)

    async def _walked(
        self, request: Request, asked: Mapping[str, str], *, is_probe: bool
    ) -> Response:
        graph, caller = self._service.graph, caller_of(request)
        is_limited = authorize.is_restricted(graph, caller) and not caller.is_reader
        question = _question(asked)
        ends = [
            self._end(request, asked, name, is_limited=is_limited)
            for name in ("source", "destination")
        ]
        question = Question(
            ends[0],
            ends[1],
            question.protocol,
            question.port,
            question.source_port,
            question.network,
        )
        with self._counted(caller.owner) if is_limited else contextlib.nullcontext():
            if not is_probe:
                found = await self._answer(self._walk, question, _credentials(request))
            else:
                if is_limited:
                    self._take_turn(caller.owner)
                async with self._probing:
                    found = await self._answer(self._walk.probe, question, _credentials(request))
        return bodies.reply(_without_underlay(found) if is_limited else found)

    def _take_turn(self, owner: str) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._probed.get(owner, float("-inf")) + PROBE_EVERY_S:
            raise Refused(
                429, f"A probe of your project was sent less than {PROBE_EVERY_S:g} s ago: wait"
            )
        self._probed.put(owner, now)

    @contextlib.contextmanager
    def _counted(self, owner: str) -> Generator[None]:
        if self._asking[owner] >= OF_ONE_COUNT:
            raise Refused(
                429, f"{OF_ONE_COUNT} traces of your project are not answered yet: ask again then"
            )
        self._asking[owner] += 1
        try:
            yield
        finally:
            self._asking[owner] -= 1
            if not self._asking[owner]:
                del self._asking[owner]

    async def _answer(
        self,
        ask: Callable[[Question, Mapping[str, str], Mapping[str, str]], Document],
        question: Question,
        credentials: Mapping[str, str],
    ) -> Document:
        async with self._running:
            try:
                return await asyncio.to_thread(ask, question, self._hosts(), credentials)
            except Untraceable as error:
                raise conflict(str(error)) from error
            except Unreachable as error:
                raise Refused(503, str(error)) from error

    def _end(
        self, request: Request, asked: Mapping[str, str], name: str, *, is_limited: bool
    ) -> str:
        """Return a port's uuid, an address or a MAC; refuse what the caller may not ask about."""
        text = asked.get(name, "").strip()
        if not text or len(text) > TEXT_LENGTH_MAX:
            raise bad_request(f"{name}: the uuid or full name of a port, an address or a MAC")
        record = self._port(text)
        if not is_limited:
            return text if record is None else record.uuid
        graph, caller = self._service.graph, caller_of(request)
        is_own = (
            record is not None
            and authorize.judge_rule(graph, caller, PORT_TYPE, "R").allowed
            and authorize.sees(graph, caller, record)
            and authorize.is_owner(caller, record)
        )
        if record is None or not is_own:
            raise Refused(
                403,
                f"{name}: you may trace between ports of your own project, by uuid or full name",
            )
        return record.uuid

    def _port(self, text: str) -> Record | None:
        graph = self._service.graph
        uuid = text.lower() if is_uuid(text) else graph.uuid_of(PORT_TYPE, tuple(text.split(":")))
        record = None if uuid is None else graph.get(uuid)
        return record if record is not None and record.type_name == PORT_TYPE else None

    def _hosts(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for record in self._service.graph.of_type("virtual-router"):
            address = documents.text(record.body, "virtual_router_ip_address")
            if address:
                found[address] = record.fq_name[-1]
        return found


def _credentials(request: Request) -> dict[str, str]:
    return {name: request.headers[name] for name in _CREDENTIALS if name in request.headers}


def _members(request: Request) -> dict[str, str]:
    """Return the members of a probe's body as a query has them."""
    body = bodies.read_document(request)
    unknown = sorted(body.keys() - _PARAMETERS)
    if unknown:
        raise bad_request(f"{unknown[0][:64]} is none of {', '.join(sorted(_PARAMETERS))}")
    for name, value in body.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise bad_request(f"{name}: a text or a number")
    return {name: str(value) for name, value in body.items()}


def _question(asked: Mapping[str, str]) -> Question:
    protocol = asked.get("protocol", "icmp")
    if protocol not in PROTOCOLS:
        raise bad_request(f"protocol: one of {', '.join(PROTOCOLS)}")
    port = _number(asked, "port")
    if protocol in _WITH_PORTS and not port:
        raise bad_request(f"port: {protocol} needs one, 1 to 65535")
    if protocol not in _WITH_PORTS and port:
        raise bad_request(f"port: {protocol} has none")
    network = asked.get("network") or None
    return Question("", "", protocol, port, _number(asked, "source_port"), network)


def _number(asked: Mapping[str, str], name: str) -> int:
    text = asked.get(name) or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= 65535):
        raise bad_request(f"{name}: a number, 0 to 65535")
    return int(text)


def _without_underlay(found: Document) -> Document:
    """Return what a tenant may know: hosts by number, and of the steps what rules did."""
    legs = documents.sections(found, "legs")
    numbers = {str(leg.get("host")): f"host {at}" for at, leg in enumerate(legs, 1)}
    shown: list[Document] = []
    for leg in legs:
        steps = [
            step
            for step in documents.sections(leg, "steps")
            if str(step.get("stage")).partition(" ")[0] in _OPEN_STAGES
        ]
        kept = {name: leg.get(name) for name in ("outcome", "drop_reason", "deciding_rule")}
        shown.append({**kept, "host": numbers[str(leg.get("host"))], "steps": steps})
    ends = {
        name: {**documents.section(found, name), "host": ""} for name in ("source", "destination")
    }
    kept = {name: found.get(name) for name in ("protocol", "port", "source_port", "verdict")}
    told = {**ends, **kept, "summary": str(found.get("verdict")), "legs": shown, "services": []}
    if "probe" in found:
        told["probe"] = _probe_without_underlay(found, numbers)
    return told


def _probe_without_underlay(found: Document, numbers: Mapping[str, str]) -> Document:
    """Return where a probe was seen, with names of the two ports that were asked about alone."""
    probe = documents.section(found, "probe")
    own = {str(documents.section(found, end).get("name")) for end in ("source", "destination")}
    hops = [
        {
            "host": numbers.get(str(hop.get("host")), "another host"),
            **{name: hop.get(name) for name in ("point", "drop_reason", "time_ns")},
            "port": hop.get("port") if str(hop.get("port")) in own else "",
        }
        for hop in documents.sections(probe, "hops")
    ]
    return {"agrees": probe.get("agrees"), "seen": probe.get("seen"), "summary": "", "hops": hops}
