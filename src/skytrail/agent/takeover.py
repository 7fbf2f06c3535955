"""When fresh tables are whole enough to take over from another version's. Pure.

Routes are all there when control nodes have said so, but the next hops among them may still lack the
way through the underlay, which the old tables know.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from skytrail.agent.nexthop import UnderlayPath
from skytrail.net import IpAddress

WAIT_S = 5.0
"""A host that is gone never answers; the others must not wait for it."""


class Takeover:
    """Waits for ways to other hosts, but not forever."""

    def __init__(self) -> None:
        self._until: float | None = None

    def waits(
        self,
        remotes: Collection[IpAddress],
        paths: Mapping[IpAddress, UnderlayPath],
        now: float,
    ) -> bool:
        """Tell whether to leave interfaces to the other version for now; routes are complete."""
        if self._until is None:
            self._until = now + WAIT_S
        known = {remote for remote, path in paths.items() if path.destination_mac is not None}
        return now < self._until and not known.issuperset(remotes)
