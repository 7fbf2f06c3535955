"""Which of a destination's paths are used, and why the others are not.

The steps are compared in order, the smaller value wins. Paths that are equal in all preference
steps are used together (ECMP) for IP prefixes; a MAC goes to one place, so enet takes the first.
The order is that of the original control node, which agrees with RFC 4271 section 9.1; deviations:
a sticky MAC wins (RFC 7432 section 15.2), and a network's own paths win over imported ones. Those of
its workloads win over imported ones of any local preference, AS path and MED: whoever may be in a
network that is connected to ours could set these, and have the workload's traffic (ADR 0043).

A stale path loses to fresh ones, for a workload may have been started elsewhere. Copies of a service
share an address, so another one's fresh path says nothing of that: theirs go on sharing, unless the
same port is announced elsewhere (ADR 0200).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from skytrail.control.path import (
    DUPLICATE_MAC,
    FABRIC_INSTANCE,
    InstanceName,
    Path,
    Rank,
    effective_med,
)
from skytrail.wire.xmpp import EnetKey, Family

ECMP_COUNT_MAX = 16
"""As many members as a datapath next hop holds."""

SERVICE_INTERFACE = "service-interface"
"""The sub-protocol of routes to a port of a service."""

_Step = tuple[str, Callable[[Path], int]]
_PREFERENCE: tuple[_Step, ...] = (
    ("not feasible", lambda path: not path.is_feasible),
    ("long-lived stale", lambda path: bool(path.learned and path.learned.is_long_lived)),
    ("lower local preference", lambda path: -path.attributes.local_preference),
    ("etree leaf", lambda path: path.attributes.etree_leaf),
    ("not sticky", lambda path: not path.attributes.sticky),
    ("older mobility sequence", lambda path: -path.attributes.sequence_number),
    ("stale", lambda path: path.is_stale),
    ("longer AS path", lambda path: path.learned.as_path_length if path.learned else 0),
    ("worse origin", lambda path: path.learned.attributes.origin if path.learned else 0),
    ("higher MED", lambda path: effective_med(path.attributes)),
)


_SOURCE: tuple[_Step, ...] = (
    ("learned by BGP", lambda path: path.learned is not None),
    ("learned from the own AS", lambda path: bool(path.learned and not path.learned.is_external)),
    ("EVPN prefix route", lambda path: bool(path.learned and path.learned.is_prefix_route)),
    ("higher router id", lambda path: int(path.learned.router_id) if path.learned else 0),
    (
        "longer cluster list",
        lambda path: len(path.learned.attributes.cluster_list) if path.learned else 0,
    ),
)
"""What decides between equally preferred paths where only one can be used or told."""


_LOCAL_PREFERENCE, _STALE = 2, 6
"""Where these steps are."""


def preference(path: Path, own: InstanceName, ceiling: int | None = None) -> tuple[int, ...]:
    """Return what decides between paths in the table of instance ``own``; smaller is better.

    ``ceiling``: what :func:`own_ceiling` says of the destination.
    """
    steps = _preference(path)
    is_foreign = not _is_own(path, own)
    beside_own = ceiling is not None and is_foreign
    local_preference = steps[_LOCAL_PREFERENCE]
    if ceiling is not None and is_foreign:
        local_preference = max(local_preference, -ceiling)
    return (
        *steps[:_LOCAL_PREFERENCE],
        local_preference,
        *steps[_LOCAL_PREFERENCE + 1 : _STALE],
        int(_is_doubted(path)),
        int(beside_own),
        *steps[_STALE + 1 :],
        int(is_foreign),
    )


def own_ceiling(paths: Iterable[Path], own: InstanceName) -> int | None:
    """Return the best local preference of a network's own workloads at a destination, if it is one's.

    Imported paths count as not better; mobility and staleness still decide, for workloads move.
    """
    found: int | None = None
    for path in paths:
        if path.made is None and _is_own(path, own) and _is_host(path):
            preferred = path.attributes.local_preference
            found = preferred if found is None else max(found, preferred)
    return found


def _is_host(path: Path) -> bool:
    key = path.key
    return isinstance(key, EnetKey) or key.prefixlen == key.max_prefixlen


def _is_doubted(path: Path) -> bool:
    return path.is_stale and not _shares_load(path)


def _shares_load(path: Path) -> bool:
    # A MAC is at one place: there, somebody else's fresh path does mean a move.
    is_service = path.attributes.sub_protocol == SERVICE_INTERFACE
    return is_service and not isinstance(path.key, EnetKey)


def _is_replaced(path: Path, candidates: Iterable[Path]) -> bool:
    """Tell whether a stale path that might go on sharing is announced afresh by somebody.

    The same port on another host, or the same route as another control node hears it.
    """
    if not (path.is_stale and _shares_load(path)):
        return False
    macs = {hop.mac for hop in path.next_hops if hop.mac is not None}
    entry = path.slot.entry
    return any(
        (entry is not None and other.slot.entry is entry)
        or any(hop.mac in macs for hop in other.next_hops)
        for other in candidates
        if not other.is_stale
    )


def tie_break(path: Path) -> tuple[tuple[int, ...], str, str]:
    """Order paths of equal preference."""
    return (tuple([int(step(path)) for _, step in _SOURCE]), path.source, path.instance)


def select(paths: Iterable[Path], family: Family, own: InstanceName) -> tuple[Path, ...]:
    """Return the paths to use, best first; empty when none is feasible."""
    candidates = [path for path in paths if path.is_feasible]
    if len(candidates) <= 1:
        return tuple(candidates)
    if any(path.is_stale for path in candidates):
        candidates = [path for path in candidates if not _is_replaced(path, candidates)]
    ceiling = own_ceiling(candidates, own)
    ranked = sorted(((preference(path, own, ceiling), tie_break(path), path)
                     for path in candidates), key=lambda row: row[:2])  # fmt: skip
    best = ranked[0][0]
    count = 1 if family is Family.ENET else ECMP_COUNT_MAX
    return tuple([path for rank, _, path in ranked if rank == best][:count])


def select_one(paths: Iterable[Path]) -> Path | None:
    """Return the best of paths that are copies of one route, infeasible ones last."""
    candidates = list(paths)
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    best = min(candidates, key=_rank)
    if best.learned is None or best.is_stale:
        return best
    return next((path for path in candidates if _is_confirmed(path, best)), best)


def _is_confirmed(own: Path, copy: Path) -> bool:
    """Tell whether an agent's stale path is what another control node says of the route afresh.

    Then it stays the best. Two nodes that lost the same agent would else both take the other's copy
    for better than their own, take theirs back for that, and then the other way round, over and over.
    """
    if own.learned is not None or not own.is_stale or not own.is_feasible:
        return False
    ours, theirs = own.attributes, copy.attributes
    return (
        ours.local_preference == theirs.local_preference
        and ours.sequence_number == theirs.sequence_number
        and ours.sticky == theirs.sticky
        and effective_med(ours) == effective_med(theirs)
        and set(ours.security_groups) == set(theirs.security_groups)
        # BGP tells one of several next hops.
        and {(hop.address, hop.label) for hop in own.next_hops}
        >= {(hop.address, hop.label) for hop in copy.next_hops}
    )


def _rank(path: Path) -> Rank:
    """Return what decides between copies; worked out once for paths that have most in common."""
    shared = path.shared
    if shared is None:
        return _preference(path), tie_break(path)
    rank = shared.ranks.get(path.is_stale)
    if rank is None:
        rank = shared.ranks[path.is_stale] = _preference(path), tie_break(path)
    return rank


def why_not_told(path: Path, best: Path | None) -> str:
    """Name the first step at which a copy of a VPN route loses; empty text when it is the best."""
    if best is None or path is best:
        return ""
    steps = (*_PREFERENCE, *_SOURCE)
    return next((name for name, step in steps if step(path) > step(best)), "later name")


def _is_own(path: Path, own: InstanceName) -> bool:
    """Tell whether a path was born in an instance, wherever its host is.

    What another control node says of the same network counts as what agents say here: tables must
    not depend on which control node a host talks to. Agents' routes are in a network's own
    instance; into those of its services both are imported.
    """
    if path.learned is None:
        return path.instance == own
    network, _, name = own.rpartition(":")
    is_primary = name == network.rpartition(":")[2] or own == FABRIC_INSTANCE
    return is_primary and path.virtual_network == network


def _preference(path: Path) -> tuple[int, ...]:
    return tuple([int(step(path)) for _, step in _PREFERENCE])


def why_not_best(path: Path, best: tuple[Path, ...], own: InstanceName) -> str:
    """Name the first step at which ``path`` loses; empty text when it is used."""
    if path in best:
        return ""
    if path.rejected_by == DUPLICATE_MAC:
        return "its MAC moved too often and is held elsewhere"
    if path.rejected_by:
        return f"rejected by routing policy {path.rejected_by}"
    if not best or not path.is_feasible:
        return "not feasible"
    if _is_replaced(path, best):
        return "stale"
    winner = best[0]
    is_imported = _is_own(winner, own) and not _is_own(path, own)
    for name, step in _PREFERENCE:
        if step(path) > step(winner) and (name != "stale" or _is_doubted(path)):
            return name
        if is_imported and step(path) < step(winner):
            break
    if is_imported:
        return "imported from another network"
    if len(best) >= ECMP_COUNT_MAX:
        return "beyond the ECMP bound"
    return next((name for name, step in _SOURCE if step(path) > step(winner)), "later name")


ONLY = "the only path"


def why_best(path: Path, best: tuple[Path, ...], paths: Iterable[Path], own: InstanceName) -> str:
    """Say what a used path wins by: the steps at which the others lose; empty text when it is not used.

    ``paths`` are all of the destination.
    """
    if path not in best:
        return ""
    candidates = list(paths)
    if len(candidates) <= 1:
        return ONLY
    losses = dict.fromkeys(why_not_best(each, best, own) for each in candidates if each not in best)
    shared = f"shares with {len(best) - 1}" if len(best) > 1 else ""
    return "; ".join(filter(None, (shared, f"the others: {', '.join(losses)}" if losses else "")))
