"""Asks connected processes for pages they show of themselves, by the connections that they opened.

```
 ask(process, page) --> Ask(id) --> its telemetry connection --> Answer(id), in parts --> heard() --> reply
```
No process is asked two things at once, and the others do not wait for it. What does not come in time, or whose process goes
away, is :class:`Unanswered`; parts that nobody waits for any more are passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from skytrail.wire.telemetry import Answer, Ask, Hello, encode

REPLY_BYTES_MAX: Final = 8 << 20
"""Of one process."""
_IDS: Final = 1 << 32


class Unanswered(Exception):
    """A process that did not answer; the text says why."""


@dataclass(frozen=True, slots=True)
class PageReply:
    status: int
    """As of HTTP."""
    body: bytes


@dataclass(slots=True)
class _Process:
    hello: Hello
    writer: asyncio.StreamWriter
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class _Open:
    """A question that waits."""

    generator: str
    reply: asyncio.Future[PageReply]
    parts: list[bytes] = field(default_factory=list[bytes])
    size: int = 0


class Processes:
    """The processes that are connected now, by generator."""

    def __init__(self) -> None:
        self._processes: dict[str, _Process] = {}
        self._open: dict[int, _Open] = {}
        self._ids = count(1)
        self.asked_count = 0
        self.unanswered_count = 0

    def connected(self, hello: Hello, writer: asyncio.StreamWriter) -> None:
        """Note a process that was admitted; its former connection is asked nothing more."""
        self._fail(hello.generator, "it connected anew")
        self._processes[hello.generator] = _Process(hello, writer)

    def gone(self, generator: str, writer: asyncio.StreamWriter) -> None:
        """Note that a connection ended."""
        known = self._processes.get(generator)
        if known is not None and known.writer is writer:
            del self._processes[generator]
            self._fail(generator, "its connection ended")

    def known(self) -> Sequence[Hello]:
        """Return who is connected, in order of names."""
        return [self._processes[name].hello for name in sorted(self._processes)]

    def heard(self, generator: str, answer: Answer) -> bool:
        """Take a part of an answer over; False when nobody waits for it."""
        waiting = self._open.get(answer.id)
        if waiting is None or waiting.generator != generator or waiting.reply.done():
            return False
        waiting.parts.append(answer.part)
        waiting.size += len(answer.part)
        if waiting.size > REPLY_BYTES_MAX:
            waiting.reply.set_exception(
                Unanswered(f"its answer is over {REPLY_BYTES_MAX >> 20} MiB; ask with a limit")
            )
        elif answer.is_last:
            waiting.reply.set_result(PageReply(answer.status, b"".join(waiting.parts)))
        return True

    async def ask(
        self, generator: str, page: str, query: Mapping[str, str], timeout_s: float
    ) -> PageReply:
        """Return what a process shows; :class:`Unanswered`."""
        process = self._processes.get(generator)
        if process is None:
            raise Unanswered("it is not connected")
        number = next(self._ids) % _IDS
        try:
            async with asyncio.timeout(timeout_s), process.turn:
                if self._processes.get(generator) is not process:
                    raise Unanswered("its connection ended")
                reply: asyncio.Future[PageReply] = asyncio.get_running_loop().create_future()
                self._open[number] = _Open(generator, reply)
                self.asked_count += 1
                process.writer.write(encode(Ask(id=number, page=page, query=dict(query))))
                await process.writer.drain()
                return await reply
        except TimeoutError as error:
            self.unanswered_count += 1
            raise Unanswered(f"no answer within {timeout_s:g} s") from error
        except (OSError, ValueError) as error:
            self.unanswered_count += 1
            raise Unanswered(str(error)) from error
        except Unanswered:
            self.unanswered_count += 1
            raise
        finally:
            self._open.pop(number, None)

    def _fail(self, generator: str, reason: str) -> None:
        for waiting in self._open.values():
            if waiting.generator == generator and not waiting.reply.done():
                waiting.reply.set_exception(Unanswered(reason))
