"""Where a packet between two ports goes, by the tables that hosts really hold.

GET /api/v1/trace?source=UUID&destination=UUID&protocol=tcp&port=80[&source_port=][&network=]

Each end is a port's uuid or full name, or, for administrators and global readers, an address, of a
port or learnt behind one; the destination may also be a MAC, in the source's network or ``network``.
Others are told of ways between ports of their own project: verdict and rules, but neither hosts nor
tables of the underlay. Nothing is sent; the hosts' agents explain what they would do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Generator, Mapping
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


class PathTrace:
    """The way of a packet, for whoever may know it."""

    def __init__(self, service: ConfigService, walk: Walk) -> None:
        self._service = service
        self._walk = walk
        self._running = asyncio.Semaphore(AT_ONCE_COUNT)
        self._asking: Counter[str] = Counter()
        """Walks of those who are no administrators, by whom objects they make belong to."""

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/trace", self._trace)

    async def _trace(self, request: Request) -> Response:
        check_parameters(request, _PARAMETERS)
        graph, caller = self._service.graph, caller_of(request)
        is_limited = authorize.is_restricted(graph, caller) and not caller.is_reader
        question = _question(request)
        ends = [
            self._end(request, name, is_limited=is_limited) for name in ("source", "destination")
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
            found = await self._answer(question, _credentials(request))
        return bodies.reply(_without_underlay(found) if is_limited else found)

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

    async def _answer(self, question: Question, credentials: Mapping[str, str]) -> Document:
        async with self._running:
            try:
                return await asyncio.to_thread(self._walk, question, self._hosts(), credentials)
            except Untraceable as error:
                raise conflict(str(error)) from error
            except Unreachable as error:
                raise Refused(503, str(error)) from error

    def _end(self, request: Request, name: str, *, is_limited: bool) -> str:
        """Return a port's uuid, an address or a MAC; refuse what the caller may not ask about."""
        text = request.query.get(name, "").strip()
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


def _question(request: Request) -> Question:
    protocol = request.query.get("protocol", "icmp")
    if protocol not in PROTOCOLS:
        raise bad_request(f"protocol: one of {', '.join(PROTOCOLS)}")
    port = _number(request, "port")
    if protocol in _WITH_PORTS and not port:
        raise bad_request(f"port: {protocol} needs one, 1 to 65535")
    if protocol not in _WITH_PORTS and port:
        raise bad_request(f"port: {protocol} has none")
    network = request.query.get("network") or None
    return Question("", "", protocol, port, _number(request, "source_port"), network)


def _number(request: Request, name: str) -> int:
    text = request.query.get(name) or "0"
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
    return {**ends, **kept, "summary": str(found.get("verdict")), "legs": shown, "services": []}
