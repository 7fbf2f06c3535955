"""How often what is learnt moves between ports, and what has to stay for a while. Pure.

Of learnt MACs and of learnt addresses alike: each is told by its VRF and itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from typing import Generic, TypeVar

from skytrail.agent.mac_config import MacLearning

HELD_S = 180.0
"""How long what moved too often stays where it is."""
SlotT = TypeVar("SlotT")


class LearntMoves(Generic[SlotT]):
    """The moves of one host within the window that a network sets."""

    def __init__(self) -> None:
        self._moved_at: dict[SlotT, deque[float]] = {}
        self._held: dict[SlotT, float] = {}
        """Until when."""

    def is_held(self, slot: SlotT, now: float) -> bool:
        return self._held.get(slot, now) > now

    def is_too_many(self, slot: SlotT, learning: MacLearning, now: float) -> bool:
        """Count a move; tell whether it is one too many, after which counting begins anew."""
        times = self._moved_at.setdefault(slot, deque())
        while times and times[0] <= now - learning.moves_window_s:
            times.popleft()
        times.append(now)
        if not learning.moves_count or len(times) <= learning.moves_count:
            return False
        times.clear()
        return True

    def hold(self, slot: SlotT, now: float) -> None:
        """Have it stay where it is for a while."""
        self._held[slot] = now + HELD_S

    def release(self, now: float) -> list[SlotT]:
        """Return what may move again from now on."""
        free = [slot for slot, until in self._held.items() if until <= now]
        for slot in free:
            del self._held[slot]
        return free

    def forget_others(self, known: Container[SlotT]) -> None:
        """Forget the moves of what nobody has any more; what is held stays held."""
        for slot in [slot for slot in self._moved_at if slot not in known]:
            del self._moved_at[slot]
