"""Labels that an agent receives trees by, from the blocks it offers."""

from __future__ import annotations

import hashlib

from skytrail.net import Label

LABEL_MIN = 16
"""Lower ones are reserved (RFC 3032 section 2.1)."""
LABEL_MAX = (1 << 20) - 1


class AgentLabels:
    """One agent's labels in use. No two trees of an agent have the same one."""

    def __init__(self) -> None:
        self._uses: dict[int, str] = {}

    def take(self, use: str, first: int, last: int) -> Label | None:
        """Return a free label of a block for a tree; None when there is none.

        The block's size and the tree's name say where the search begins, so that a control node
        that starts anew mostly finds what it gave before. An agent that wants to be sure offers a
        block of one label for each tree.
        """
        size = last - first + 1
        if first < LABEL_MIN or last > LABEL_MAX or size < 1:
            return None
        start = int.from_bytes(hashlib.blake2b(use.encode(), digest_size=4).digest())
        for step in range(min(size, len(self._uses) + 1)):
            label = first + (start + step) % size
            if label not in self._uses:
                self._uses[label] = use
                return Label(label)
        return None

    def give_back(self, label: Label) -> None:
        self._uses.pop(label, None)
