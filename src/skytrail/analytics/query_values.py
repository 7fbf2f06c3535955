"""Which tables of numbers there are, what they count, and which values a column has. Pure."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from skytrail.analytics.query import Statement
from skytrail.analytics.query_request import UnknownField
from skytrail.analytics.query_views import view_of

VALUES_COUNT_MAX: Final = 10_000
VALUE_COLUMNS: Final = frozenset(
    {
        *("Source", "ModuleId", "NodeType", "Category", "Messagetype"),
        *("vn", "remote_vn", "vrouter", "application", "tier", "deployment", "site"),
    }
)
"""Columns of few values, which are listed."""
_STATISTICS_SQL: Final = (
    "SELECT DISTINCT t.`Table` FROM skytrail.stat_1h AS t ORDER BY 1 LIMIT 10000"
)
_ATTRIBUTES_SQL: Final = (
    "SELECT DISTINCT arrayJoin(mapKeys(t.`sums`)) FROM skytrail.stat_1h AS t"
    " WHERE t.`Table` = {table:String} ORDER BY 1 LIMIT 1000"
)
_VALUES_SQL: Final = "SELECT DISTINCT {column} FROM skytrail.{table} AS t ORDER BY 1 LIMIT 1000"


class ValuesQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``tables``: of numbers; ``attributes``: of ``table``; ``column``: values that it has in ``table``."""

    kind: Literal["tables", "attributes", "column"]
    table: str = ""
    column: str = ""


def values_statement(question: ValuesQuestion) -> Statement:
    """Return SQL with one column of texts; ``UnknownTable`` or ``UnknownField`` where nothing is listed."""
    match question.kind:
        case "tables":
            return Statement(_STATISTICS_SQL, {})
        case "attributes":
            return Statement(_ATTRIBUTES_SQL, {"table": question.table})
        case "column":
            view = view_of(question.table)
            if question.column not in VALUE_COLUMNS & view.columns.keys():
                raise UnknownField(f"Values of {question.column[:64]} are not listed")
            # The coarsest rollup has each value, and few rows.
            table = view.rollups[-1].name if view.rollups else view.stored.name
            column = view.columns[question.column].expression
            return Statement(_VALUES_SQL.format(column=column, table=table), {})
