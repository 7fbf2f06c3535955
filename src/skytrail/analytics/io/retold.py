"""What a process told another node and that one keeps is not told again: a process that changes nodes is counted once.

```
 hello of a process --> here --heard?--> every other node: keeps what it heard of that run, says up to which number
                         `--> Known(kept=N): the process forgets what is kept, and tells the rest here
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from skytrail.analytics.io.other_nodes import OtherNodes, Part
from skytrail.analytics.pieces import Heard

ASK_S: Final = 2.0
"""A process waits for so long at its hello: less than it takes to try another node."""
SETTLE_S: Final = 2.0
"""What was heard is on disk within a second, where the disk takes it."""
_LOOK_S: Final = 0.05


class HeardQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to which number a process is kept, which is known by its run."""

    generator: str
    run: int


class HeardPart(Part, frozen=True):
    """The number; 0: nothing of that run."""

    kept: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Retold:
    """Asks other nodes, and answers them."""

    def __init__(
        self, heard: Heard, others: OtherNodes | None, is_connected: Callable[[str], bool]
    ) -> None:
        """``is_connected`` tells whether a generator tells this node now."""
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
