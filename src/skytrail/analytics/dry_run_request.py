"""The body of ``POST /api/v1/alarms/dry-run``: which rule, over what, and what makes it unusable. Pure.

{"name": "default-global-system-config:much-traffic", "last": "2h"}
{"rule": {"uve_keys": ..., "alarm_severity": 1, "alarm_rules": ...}, "from": "2026-11-28T04:00:00Z", "entity": "default-domain:red:*"}
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import msgspec

from skytrail.analytics.alarm_rule import AlarmRule, RuleUnusable
from skytrail.analytics.configured import alarm_rule_of
from skytrail.analytics.native_query import LAST, moment_of
from skytrail.analytics.query_request import QueryUnusable
from skytrail.analytics.tenant_uves import NAMED_TABLES
from skytrail.analytics.tenant_view import Tenant
from skytrail.analytics.uve_filter import UveFilter
from skytrail.analytics.uve_types import TABLES, TYPES
from skytrail.model.alarm_timing import TimingUnusable, timing_of

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LAST_DEFAULT: Final = "2h"
_NAME_CHARACTERS_MAX: Final = 1024
OWN_NAME: Final = "dry-run"
"""Of a rule whose object has no name yet."""


_OF_TENANTS: Final = frozenset(TYPES[table] for table in NAMED_TABLES)


class RuleUnknown(Exception):
    """No rule has this name; the text says how to find those there are."""


class DryRunRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from"}
):
    """Times are ISO 8601; ``last`` is as in 30s, 10m, 2h, 7d."""

    rule: dict[str, Any] | None = None
    """As an ``alarm`` object has it."""
    name: str = ""
    """Of a rule that there is, in place of one."""
    last: str = ""
    since: str = ""
    to: str = ""
    entity: str = ""
    """Only this one, or with a trailing ``*`` those whose names begin so; empty: all."""


def rule_of(asked: DryRunRequest, rules: Iterable[AlarmRule]) -> AlarmRule:
    """Return the rule that is meant; :class:`QueryUnusable` names the field, :class:`RuleUnknown`."""
    if (asked.rule is None) == (not asked.name):
        raise QueryUnusable("rule or name: give one of them, an alarm object or the name of a rule")
    if asked.rule is None:
        found = next((each for each in rules if each.name == asked.name), None)
        if found is None:
            raise RuleUnknown(
                f"name={asked.name[:64]}: no rule in force is called so;"
                " it is the full name of an alarm object, or of one of the system's rules"
            )
        return found
    document = asked.rule if asked.rule.get("fq_name") else {**asked.rule, "fq_name": [OWN_NAME]}
    try:
        rule = alarm_rule_of(document, timing_of(document))
    except (RuleUnusable, TimingUnusable) as error:
        raise QueryUnusable(f"rule: {error}") from error
    unknown = sorted(set(rule.types) - TABLES.keys())
    if unknown or not rule.types:
        what = f"{unknown[0][:64]!r} is no type of UVE" if unknown else "no type of UVE is named"
        raise QueryUnusable(f"rule: uve_keys: {what}; GET /analytics/uve-types lists them")
    return rule


def narrowed(rule: AlarmRule, tenant: Tenant) -> AlarmRule:
    """Return a rule as a project's member tries it: over what he sees; :class:`QueryUnusable` names the field."""
    hidden = sorted(set(rule.types) - _OF_TENANTS) or (() if rule.types else ("*",))
    if hidden:
        raise QueryUnusable(
            f"rule: uve_keys: {hidden[0][:64]!r}: members of a project try rules over"
            f" {', '.join(sorted(_OF_TENANTS))}"
        )
    return replace(rule, project=tenant.project)


def span_of(asked: DryRunRequest, now_us: int) -> tuple[int, int]:
    """Return from when to when in microseconds; :class:`QueryUnusable` names the field."""
    end_us = moment_of("to", asked.to) if asked.to else now_us
    if asked.since and asked.last:
        raise QueryUnusable("last is not given with from")
    if asked.since:
        start_us = moment_of("from", asked.since)
    else:
        last = asked.last or _LAST_DEFAULT
        if not LAST.fullmatch(last):
            raise QueryUnusable(f"last={last[:32]} is no time; it is as in 30s, 10m, 2h, 7d")
        start_us = end_us - int(last[:-1]) * _UNITS_S[last[-1]] * 1_000_000
    if not 0 <= start_us < end_us <= now_us:
        raise QueryUnusable("from, to: the time begins before it ends, and is over by now")
    return start_us, end_us


def chosen_of(asked: DryRunRequest, rule: AlarmRule) -> UveFilter:
    """Return which entities are looked at, and which structs the rule reads of them: none, all."""
    if len(asked.entity) > _NAME_CHARACTERS_MAX:
        raise QueryUnusable(f"entity: over {_NAME_CHARACTERS_MAX} characters")
    paths = [
        path
        for both in rule.alternatives
        for each in both
        for path in (each.path, each.other, *each.variables)
        if path
    ]
    structs = {path.partition(".")[0] for path in paths}
    return UveFilter(
        keys=(asked.entity,) if asked.entity else (),
        parts=() if "*" in structs else tuple((struct, "") for struct in sorted(structs)),
    )
