"""What a store's answer means for what it was asked."""

import pytest

from skytrail.analytics.io.engine import code_of
from skytrail.analytics.store_errors import Verdict, are_rows, verdict


@pytest.mark.parametrize(
    ("status", "code", "rows", "reading"),
    [
        (200, "", Verdict.DONE, Verdict.DONE),
        (200, "241", Verdict.LATER, Verdict.REFUSED),  # it failed after its status was sent
        (500, "252", Verdict.LATER, Verdict.REFUSED),  # too many parts
        (500, "242", Verdict.LATER, Verdict.REFUSED),  # a replica without its keeper
        (500, "202", Verdict.LATER, Verdict.LATER),
        (500, "999", Verdict.LATER, Verdict.LATER),
        (403, "516", Verdict.LATER, Verdict.LATER),
        (401, "", Verdict.LATER, Verdict.LATER),
        (429, "", Verdict.LATER, Verdict.LATER),
        (502, "", Verdict.LATER, Verdict.LATER),
        (400, "62", Verdict.REFUSED, Verdict.REFUSED),  # a syntax error
        (404, "60", Verdict.REFUSED, Verdict.REFUSED),
        (500, "117", Verdict.REFUSED, Verdict.REFUSED),  # rows that do not fit
        (400, "", Verdict.REFUSED, Verdict.REFUSED),
        (500, "x", Verdict.LATER, Verdict.LATER),
    ],
)
def test_answers_are_judged_by_status_and_code(status, code, rows, reading):
    assert verdict(status, code, brings_rows=True) is rows
    assert verdict(status, code, brings_rows=False) is reading


@pytest.mark.parametrize(
    ("lines", "are"),
    [
        (b'{"a":1}\n', True),
        (b'{"a":"x\\n{"}\n{"a":2}\n', True),
        (b'{"a":1}\nCode: 395, e.displayText() = DB::Exception: no\n', False),
        (b"Code: 395\n", False),
        (b'{"a":1}\n\r\n__exception__\r\nabc\n', False),
    ],
)
def test_what_is_no_row_is_seen(lines, are):
    assert are_rows(lines) is are


@pytest.mark.parametrize(
    ("reason", "meaning"),
    [
        (
            "Code: 243. DB::Exception: Cannot reserve 3.82 MiB, not enough space. (NOT_ENOUGH_SPACE)",
            Verdict.LATER,
        ),
        ("Code: 1001. DB::Exception: std::exception: No space left on device", Verdict.LATER),
        ("Code: 117. DB::Exception: Cannot parse input", Verdict.REFUSED),
        ("the answer has 99 bytes, over 9", Verdict.REFUSED),
    ],
)
def test_rows_wait_for_an_embedded_store_whose_disk_is_full(reason, meaning):
    assert verdict(400, code_of(reason), brings_rows=True) is meaning
