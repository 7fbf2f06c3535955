"""Asks the other analytics nodes, each of which keeps a part of history in a store of its own.

```
 ask(what, question) --> every other node, at once --> its part     or: missing, and why
```
What is asked so is answered by each from its own store alone (:mod:`skytrail.analytics.io.parts_http`): nothing goes round.
A node that does not answer in time is not waited for again for a while.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import structlog

from skytrail.analytics.io.slices import SlicesUnusable
from skytrail.client.access import Access
from skytrail.runtime.asgi import encode_json
from skytrail.runtime.clock import Clock
from skytrail.runtime.tenant import PROJECT_HEADER

CONNECT_S: Final = 3.0
ANSWER_S: Final = 25.0
SILENT_S: Final = 15.0
GREET_S: Final = 3.0
GREET_EVERY_S: Final = 10.0
_OWN_NAMES: Final = "start each node with a --name of its own"
CONNECTIONS_COUNT: Final = 8
"""Questions to one node at a time."""
ANSWER_BYTES_MAX: Final = 64 << 20
MISSING_HEADER: Final = "x-skytrail-missing-nodes"
"""Of an answer: nodes whose part is not in it, with commas between."""
_REASON_CHARACTERS: Final = 200

Headers = tuple[tuple[str, str], ...]
PartT = TypeVar("PartT", bound="Part")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What every answer of a node says; those of each question say more."""

    node: str
    instance: str = ""
    """Of the process that answers: a node knows itself by it, and another that has its name."""

    @classmethod
    async def decoded(cls, content: bytes | bytearray) -> Self:
        """Return what JSON says; ``MsgspecError``, ``UnicodeDecodeError``, ``RecursionError`` or ``SlicesUnusable``."""
        return msgspec.json.decode(content, type=cls)

    def unfit(self, question: object) -> str:
        """Return why this is no answer to the question that can be used; "": it is one."""
        del question
        return ""


@dataclass(frozen=True, slots=True)
class Parts(Generic[PartT]):
    """What other nodes answered, and who did not: by place, why."""

    told: list[PartT]
    missing: dict[str, str] = field(default_factory=dict[str, str])


def missing_headers(missing: Mapping[str, str]) -> Headers:
    """Return what tells readers of rows alone whose part is not among them."""
    return ((MISSING_HEADER, ", ".join(missing)),) if missing else ()


class _Missing(Exception):
    """A node's part is missing; the text says why."""


@dataclass(slots=True)
class _Node:
    place: str
    client: httpx.AsyncClient
    is_own: bool = False
    silent_until: float = -1.0
    reason: str = ""


class OtherNodes:
    """The other nodes. One that turns out to be this one is passed over, so that all may have the same list.

    Of two nodes of one name nobody knows which kept what: the other's part is missing, and it is said why.
    """

    def __init__(
        self,
        places: Sequence[str],
        access: Access,
        own_name: str,
        clock: Clock,
        *,
        answer_s: float = ANSWER_S,
    ) -> None:
        """``places`` are URLs or ``unix:PATH``. Raises ``AccessUnusable``."""
        self._answer_s = answer_s
        self._own_name = own_name
        self.instance = secrets.token_hex(8)
        """What this process is known by to the others."""
        self.namesakes: set[str] = set()
        """Places where a node has a name that is another's."""
        self._log = structlog.get_logger("skytrail.analytics.nodes")
        self._clock = clock
        self._nodes = [_Node(place, _client(place, access)) for place in dict.fromkeys(places)]
        self.asked_count = 0
        self.missing_count = 0

    async def close(self) -> None:
        for node in self._nodes:
            await node.client.aclose()

    async def ask(
        self,
        what: str,
        question: object,
        kind: type[PartT],
        project: str | None = None,
        within_s: float | None = None,
    ) -> Parts[PartT]:
        """Return every node's part; ``project`` is the only one whose rows are wanted.

        Who has no time for the usual wait says ``within_s``: nobody is taken for silent by it.
        """
        headers = {} if project is None else {PROJECT_HEADER: quote(project, safe=":")}
        nodes = [node for node in self._nodes if not node.is_own]
        replies = await asyncio.gather(
            *(self._part(node, what, question, headers, kind, within_s) for node in nodes)
        )
        told: dict[str, PartT] = {}
        missing: dict[str, str] = {}
        for node, reply in zip(nodes, replies, strict=True):
            if isinstance(reply, str):
                missing[node.place] = reply
                continue
            node.is_own = reply.node == self._own_name and reply.instance in {"", self.instance}
            if node.is_own:
                continue
            former = told.setdefault(reply.node, reply)
            if self._note_name(node.place, reply, former):
                missing[node.place] = f"it is called {reply.node} as another node is; {_OWN_NAMES}"
                told = {name: each for name, each in told.items() if each is not reply}
        self.missing_count += len(missing)
        return Parts(list(told.values()), missing)

    def _note_name(self, place: str, reply: Part, former: Part) -> bool:
        """Tell whether a node has another's name; it is logged when that is new."""
        is_namesake = reply.node == self._own_name or reply.instance != former.instance
        if is_namesake and place not in self.namesakes:
            self.namesakes.add(place)
            self._log.error("node_name_taken", place=place, node=reply.node, remedy=_OWN_NAMES)
        elif not is_namesake:
            self.namesakes.discard(place)
        return is_namesake

    async def run(self) -> None:
        """Look who the others are, until cancelled: mistakes of names are found before anybody asks."""
        while True:
            await self.ask("name", {}, Part, within_s=GREET_S)
            await asyncio.sleep(GREET_EVERY_S)

    async def _part(
        self,
        node: _Node,
        what: str,
        question: object,
        headers: dict[str, str],
        kind: type[PartT],
        within_s: float | None,
    ) -> PartT | str:
        """Return a node's part, or why it is missing."""
        wait_s = self._answer_s if within_s is None else within_s
        if self._clock.now() < node.silent_until:
            return node.reason
        self.asked_count += 1
        body = encode_json(question)
        try:
            async with asyncio.timeout(wait_s):
                part = await _asked(node.client, f"/api/v1/parts/{what}", body, headers, kind)
                reason = await asyncio.to_thread(part.unfit, question)
                return f"its answer is unusable: {reason}" if reason else part
        except (TimeoutError, httpx.TimeoutException):
            reason = f"no answer within {wait_s:g} s"
            if within_s is None:
                node.reason, node.silent_until = reason, self._clock.now() + SILENT_S
            return reason
        except httpx.HTTPError as error:
            return f"it cannot be reached: {error or type(error).__name__}"
        except _Missing as error:
            return str(error)


def _client(place: str, access: Access) -> httpx.AsyncClient:
    is_socket = place.startswith("unix:")
    limits = httpx.Limits(max_connections=CONNECTIONS_COUNT)
    return httpx.AsyncClient(
        base_url="http://analytics" if is_socket else place,
        # What is packed has no bound until it is unpacked.
        headers={"accept-encoding": "identity"},
        transport=httpx.AsyncHTTPTransport(
            uds=place.removeprefix("unix:") if is_socket else None,
            verify=access.verification(place),
            trust_env=False,
            limits=limits,
        ),
        auth=None if is_socket else access.authentication(),
        timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
    )


async def _asked(
    client: httpx.AsyncClient, path: str, body: bytes, headers: dict[str, str], kind: type[PartT]
) -> PartT:
    async with client.stream("POST", path, content=body, headers=headers) as reply:
        content = bytearray()
        if "content-encoding" in reply.headers:
            raise _Missing("its answer is packed, which it was not asked for")
        async for chunk in reply.aiter_raw():
            content += chunk
            if len(content) > ANSWER_BYTES_MAX:
                raise _Missing(f"its answer is over {ANSWER_BYTES_MAX >> 20} MiB; choose less")
    if reply.status_code != 200:
        text = content[:_REASON_CHARACTERS].decode(errors="replace")
        text = "".join(each if each.isprintable() else " " for each in text)
        raise _Missing(f"it answers {reply.status_code}: {text}")
    try:
        return await kind.decoded(content)
    except (msgspec.MsgspecError, SlicesUnusable, UnicodeDecodeError, RecursionError) as error:
        raise _Missing(f"its answer is unreadable: {error}") from error
