"""Limits of rate that a port's annotations name."""

from __future__ import annotations

from skytrail.api import documents
from skytrail.api.documents import Document
from skytrail.api.refusal import bad_request
from skytrail.model.annotation_names import RATE_KBPS_MAX, RATE_LIMITS


def check_rates(body: Document, old: Document | None) -> None:
    """Refuse a limit that is none. One of before there were rules is no hindrance to others."""
    if old is not None and body.get("annotations") == old.get("annotations"):
        return
    for pair in documents.sections(documents.section(body, "annotations"), "key_value_pair"):
        name, value = documents.text(pair, "key"), documents.text(pair, "value") or ""
        if name not in RATE_LIMITS:
            continue
        is_number = value.isascii() and value.isdigit() and len(value) <= len(str(RATE_KBPS_MAX))
        if not is_number or not 0 < int(value) <= RATE_KBPS_MAX:
            raise bad_request(
                f"annotation {name} is {value[:60]!r}: it must be 1 to {RATE_KBPS_MAX} kilobits a"
                " second; take it away to lift the limit"
            )
