"""Which of a destination's paths are used, and why the others are not.

The steps are compared in order, the smaller value wins. Paths that are equal in all preference
steps are used together (ECMP) for IP prefixes; a MAC goes to one place, so enet takes the first.
The order is that of the original control node where it applies to paths of agents; deviations:
a sticky MAC wins (RFC 7432 section 15.2), and a network's own paths win over imported ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from skytrail.control.path import InstanceName, Path, effective_med
from skytrail.wire.xmpp import Family

ECMP_COUNT_MAX = 16
"""As many members as a datapath next hop holds."""

_PREFERENCE: tuple[tuple[str, Callable[[Path, InstanceName], int]], ...] = (
    ("not feasible", lambda path, _: not path.is_feasible),
    ("lower local preference", lambda path, _: -path.attributes.local_preference),
    ("etree leaf", lambda path, _: path.attributes.etree_leaf),
    ("not sticky", lambda path, _: not path.attributes.sticky),
    ("older mobility sequence", lambda path, _: -path.attributes.sequence_number),
    ("stale", lambda path, _: path.is_stale),
    ("higher MED", lambda path, _: effective_med(path.attributes)),
    ("imported from another network", lambda path, own: path.instance != own),
)


def preference(path: Path, own: InstanceName) -> tuple[int, ...]:
    """Return what decides between paths in the table of instance ``own``; smaller is better."""
    return tuple([int(step(path, own)) for _, step in _PREFERENCE])


def tie_break(path: Path) -> tuple[str, str]:
    """Order paths of equal preference, the same on every control node."""
    return (path.source, path.instance)


def select(paths: Iterable[Path], family: Family, own: InstanceName) -> tuple[Path, ...]:
    """Return the paths to use, best first; empty when none is feasible."""
    candidates = [path for path in paths if path.is_feasible]
    if len(candidates) <= 1:
        return tuple(candidates)
    ranked = sorted(((preference(path, own), tie_break(path), path) for path in candidates),
                    key=lambda row: row[:2])  # fmt: skip
    best = ranked[0][0]
    count = 1 if family is Family.ENET else ECMP_COUNT_MAX
    return tuple([path for rank, _, path in ranked if rank == best][:count])


def why_not_best(path: Path, best: tuple[Path, ...], own: InstanceName) -> str:
    """Name the first step at which ``path`` loses; empty text when it is used."""
    if path in best:
        return ""
    if not best or not path.is_feasible:
        return "not feasible"
    winner = best[0]
    for name, step in _PREFERENCE:
        if step(path, own) > step(winner, own):
            return name
    return "later name" if len(best) < ECMP_COUNT_MAX else "beyond the ECMP bound"
