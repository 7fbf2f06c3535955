"""Rules of alarm rules: times and counts that can be kept, tables that can be asked for, so many of a project."""

from __future__ import annotations

from typing import Final

from skytrail.api import documents, texts
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.refusal import Refused, bad_request
from skytrail.model.alarm_pages import PagesUnusable, pages_of
from skytrail.model.alarm_timing import TimingUnusable, check_names, timing_of

_OF_PROJECT_COUNT_MAX: Final = 100
"""Analytics looks at every change of a project's ports, networks and machines by each."""


def _create(change: Change, body: Document) -> None:
    _check(body)
    project = change.view.get(documents.text(body, "parent_uuid") or "")
    if project is None or project.type_name != "project" or change.by_system:
        return
    if len(set(change.view.child_uuids(project.uuid, "alarm"))) >= _OF_PROJECT_COUNT_MAX:
        raise Refused(412, texts.quota_exceeded(_OF_PROJECT_COUNT_MAX, "alarm"))


def _update(change: Change, old: Record, body: Document) -> None:
    del change
    # Of before there were rules: whoever changes something else about it is not held up.
    if body.get("annotations") != old.body.get("annotations"):
        _check(body)


def _check(body: Document) -> None:
    try:
        check_names(body)
        timing_of(body)
        pages_of(body)
    except (TimingUnusable, PagesUnusable) as error:
        raise bad_request(str(error)) from error


ALARM = Rule(create=_create, update=_update)
