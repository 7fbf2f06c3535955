"""The part of history that a project's member sees: rows of his project's own ports and networks. Pure.

```
 View + Tenant --> View   restricted to rows whose port (sessions) or entity (numbers) is of the project,
                          with nothing in them of hosts, or of networks and workloads of others
```
The restriction is ANDed to whatever a query asks for, and the project's name is a bound value of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from skytrail.analytics.history_tables import SESSION
from skytrail.analytics.query_views import Column, View, view_of, views
from skytrail.analytics.tags import COLUMNS as TAG_COLUMNS

_BOUND: Final = "owner"
_OWNER: Final = f"{{{_BOUND}:String}}"
_IS_REMOTE_OWN: Final = f"startsWith(t.`remote_vn`, {_OWNER})"
_IS_SAME_NETWORK: Final = "t.`remote_vn` = t.`vn`"
"""A network that another project shares: its name is the port's own network's."""
_OF_REMOTE: Final = (
    "remote_prefix",
    *(f"remote_{name}" for name in TAG_COLUMNS),
)
"""Columns of sessions that tell of the far end's owner: empty where that is another project."""
_OF_HOSTS: Final = ("vrouter", "vrouter_ip", "other_vrouter_ip")
_STATISTICS: Final = frozenset(
    {
        "StatTable.UveVMInterfaceAgent.if_stats",
        "StatTable.UveVirtualNetworkAgent.vn_stats",
    }
)
"""Tables of numbers whose entities are named with their project in front."""
NOT_SHOWN: Final = (
    "Members of a project see sessions, flows, and the numbers of its ports and networks (Session*, Flow*, "
    + ", ".join(sorted(_STATISTICS))
    + "), its networks, ports and machines (UVEs virtual-network, virtual-machine-interface, virtual-machine) and"
    " their alarms; all else in analytics is for administrators and global readers"
)


class NotForTenants(Exception):
    """A table that tells of all projects at once."""

    def __init__(self) -> None:
        super().__init__(NOT_SHOWN)


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who asks. ``project`` is ``domain:project``; no part of a name holds a colon."""

    project: str
    since_us: int = 0
    """Since when there is the project; what is older is of one that had its name before."""

    @property
    def prefix(self) -> str:
        """What the full name of everything of the project begins with."""
        return f"{self.project}:"

    @property
    def bound(self) -> Mapping[str, str]:
        """Values that the restriction binds, by name; no name is one of a query's own."""
        return MappingProxyType({_BOUND: self.prefix})


def shown_tables() -> list[View]:
    """Return the tables of which a tenant sees a part."""
    sessions = [view for view in views().values() if view.stored is SESSION]
    return [*sessions, *map(view_of, sorted(_STATISTICS))]


def seen_by(tenant: Tenant | None, view: View) -> View:
    """Return what a tenant sees of a table, None: everything; :class:`NotForTenants`."""
    if tenant is None:
        return view
    if view.stored is SESSION:
        columns = {name: _of_session(name, column) for name, column in view.columns.items()}
        # Sums do not keep ports, and so cannot tell whose a session is on a shared network.
        return replace(
            view,
            columns=columns,
            rollups=(),
            restriction=_both(view.restriction, f"startsWith(t.`vmi`, {_OWNER})"),
        )
    if view.name in _STATISTICS:
        return replace(
            view,
            columns={**view.columns, "Source": Column("''")},
            restriction=_both(view.restriction, f"startsWith(t.`name`, {_OWNER})"),
        )
    raise NotForTenants


def _both(one: str, other: str) -> str:
    return f"({one}) AND {other}" if one else other


def _of_session(name: str, column: Column) -> Column:
    if name in _OF_HOSTS:
        return Column("''")
    shown = f"if({_IS_REMOTE_OWN} OR {_IS_SAME_NETWORK}, t.`remote_vn`, '')"
    expression = column.expression.replace("t.`remote_vn`", shown)
    for each in _OF_REMOTE:
        stored = f"t.`{each}`"
        expression = expression.replace(stored, f"if({_IS_REMOTE_OWN}, {stored}, '')")
    return replace(column, expression=expression)
