"""Rules of alarm rules: times and counts that can be kept, live tables that can be asked for."""

from __future__ import annotations

from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.refusal import bad_request
from skytrail.model.alarm_pages import PagesUnusable, pages_of
from skytrail.model.alarm_timing import TimingUnusable, timing_of


def _create(change: Change, body: Document) -> None:
    del change
    _check(body)


def _update(change: Change, old: Record, body: Document) -> None:
    del change
    # Of before there were rules: whoever changes something else about it is not held up.
    if body.get("annotations") != old.body.get("annotations"):
        _check(body)


def _check(body: Document) -> None:
    try:
        timing_of(body)
        pages_of(body)
    except (TimingUnusable, PagesUnusable) as error:
        raise bad_request(str(error)) from error


ALARM = Rule(create=_create, update=_update)
