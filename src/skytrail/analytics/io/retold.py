"""What a process told another node and that one keeps is not told again: a process that changes nodes is counted once.

```
 hello of a process --> here --heard?--> every other node: keeps what it heard of that run, says up to which number
                         `--> Known(kept=N): the process forgets what is kept, and tells the rest here
 rows set aside -----> here --copies?--> every other node: says what of these it keeps, and what it has set aside itself
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Final, Protocol

import msgspec

from skytrail.analytics.copies import RANGES_COUNT_MAX, Copies, common
from skytrail.analytics.io.other_nodes import OtherNodes, Part
from skytrail.analytics.pieces import Heard, Range

ASK_S: Final = 2.0
"""A process waits for so long at its hello: less than it takes to try another node."""
SETTLE_S: Final = 2.0
"""What was heard is on disk within a second, where the disk takes it."""
JUDGED_S: Final = 8.0
"""What was heard is judged within three seconds, where the store takes it."""
_LOOK_S: Final = 0.05


class HeardQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to which number a process is kept, which is known by its run."""

    generator: str
    run: int


class HeardPart(Part, frozen=True):
    """The number; 0: nothing of that run."""

    kept: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


Ranges = Annotated[list[Range], msgspec.Meta(max_length=RANGES_COUNT_MAX)]


class CopiesQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which of these messages another node has as well."""

    ranges: Ranges


class CopiesPart(Part, frozen=True):
    """Which of them stay on a node, and which it has set aside itself."""

    kept: list[Range]
    aside: list[Range]


class Unsettled(Exception):
    """It will be known in a moment."""


class Aside(Protocol):
    """What is set aside: by bundle, its size and which messages it comes from."""

    @property
    def aside(self) -> dict[int, tuple[int, list[Range]]]: ...


class Retold:
    """Asks other nodes, and answers them."""

    def __init__(
        self,
        heard: Heard,
        copies: Copies,
        spool: Aside,
        others: OtherNodes | None,
        is_connected: Callable[[str], bool],
    ) -> None:
        """``is_connected`` tells whether a generator tells this node now."""
        self._copies = copies
        self._spool = spool
        self._heard = heard
        self._others = others
        self._is_connected = is_connected

    async def elsewhere(self, generator: str, run: int) -> int:
        """Return the number up to which other nodes keep what a process told; 0 where none answers."""
        if self._others is None:
            return 0
        question = HeardQuestion(generator, run)
        parts = await self._others.ask("heard", question, HeardPart, within_s=ASK_S)
        return max((part.kept for part in parts.told), default=0)

    async def kept(self, question: HeardQuestion) -> int:
        """Return the number up to which it is kept here, once what was heard is, or :data:`SETTLE_S` later."""
        generator, run = question.generator, question.run
        until = asyncio.get_running_loop().time() + SETTLE_S
        while True:
            heard, kept = self._heard.of(generator, run)
            is_settled = kept >= heard and not self._is_connected(generator)
            if not heard or is_settled or asyncio.get_running_loop().time() >= until:
                return kept
            await asyncio.sleep(_LOOK_S)

    async def copies(self, question: CopiesQuestion) -> tuple[list[Range], list[Range]]:
        """Return what of these messages stays here, and what is set aside here as well.

        That is known once all that was heard until now is on disk and judged; ``Unsettled`` where it takes longer.
        """
        until = asyncio.get_running_loop().time() + JUDGED_S
        last_bundle = self._copies.made + 1
        while self._copies.judged < last_bundle or self._is_retelling(question):
            if asyncio.get_running_loop().time() >= until:
                raise Unsettled
            await asyncio.sleep(_LOOK_S)
        aside = [each for _, ranges in self._spool.aside.values() for each in ranges]
        return self._copies.kept(question.ranges, aside), common(question.ranges, aside)

    def _is_retelling(self, question: CopiesQuestion) -> bool:
        return any(self._copies.is_retelling(each.generator, each.run) for each in question.ranges)
