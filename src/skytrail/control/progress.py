"""How far one agent is, as far as it says: which revision of its configuration is in its kernel.

```
 work for the agent (commit, subscription) --> touched
 all of it sent                            --> mark of the revision --> agent
 agent's answer                            --> done, unless touched again meanwhile
```
An agent for whom nothing is on the way has the newest revision: what a revision changes elsewhere
needs no message to it and none from it. One mark is on the way at a time, and two are at least
``MARK_INTERVAL_S`` apart, so steady change costs two small messages per agent and interval.
"""

from __future__ import annotations

from skytrail.control.distribution import Touched
from skytrail.wire.xmpp import BalancerStanding, PortTrouble, Programmed

MARK_INTERVAL_S = 0.5


class Progress:
    """Of one agent in one session. Agents that never said they answer marks are not asked."""

    def __init__(self) -> None:
        self.answers_marks = False
        self.problem = ""
        """Why the agent cannot go on, in its words."""
        self.troubles: tuple[PortTrouble, ...] = ()
        self.balancers: tuple[BalancerStanding, ...] = ()
        """How the copies of load balancers stand that run there."""
        self.traced = Touched()
        self._done = 0
        """Every revision up to this one is in the kernel, whatever is on the way."""
        self._touched: int | None = None
        """Not None: no mark has followed yet on something of revisions above this one."""
        self._mark: int | None = None
        """The revision of the mark that is not answered yet."""
        self._next_mark_at = float("-inf")

    @property
    def is_current(self) -> bool:
        """Nothing is on the way to the agent."""
        return self._mark is None and self._touched is None

    def revision(self, current: int) -> int | None:
        """Return what the agent has when the node is at ``current``; None when it never says."""
        if not self.answers_marks:
            return None
        return current if self.is_current else self._done

    def asked(self, *, answers_marks: bool) -> None:
        """The agent wants more objects, which may be of any age: none counts as done."""
        self.answers_marks = self.answers_marks or answers_marks
        self._done = 0
        self._touch(0)

    def committed(self, before: int) -> None:
        """A commit on top of revision ``before`` brought something for the agent."""
        self._touch(before)

    def subscribed(self) -> None:
        """The agent joined a table: if that follows from what is on the way, routes belong to it."""
        if not self.is_current:
            self._touch(self._done)

    def wants_mark(self, now: float) -> bool:
        """Tell whether a mark should go out once everything else has."""
        return (
            self.answers_marks
            and self._touched is not None
            and self._mark is None
            and now >= self._next_mark_at
        )

    def marked(self, revision: int, now: float) -> None:
        """A mark went out behind all there was to send."""
        self._mark, self._touched = revision, None
        self._next_mark_at = now + MARK_INTERVAL_S

    def answered(self, message: Programmed) -> None:
        """Take over what the agent says; an answer to anything but the mark confirms nothing."""
        self.problem, self.troubles = message.problem, message.troubles
        self.balancers = message.balancers
        if self._mark is not None and message.revision == self._mark:
            self._done = self._mark if self._touched is None else self._touched
            self._mark = None

    def _touch(self, sound: int) -> None:
        """Something is on the way that revisions above ``sound`` speak of."""
        if self.is_current:
            self._done = sound
        self._touched = sound if self._touched is None else min(self._touched, sound)
