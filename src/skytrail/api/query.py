"""Lists: which objects, in which order, which page. Pure; rendering is elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec

from skytrail.api import documents, identity
from skytrail.api.caller import NOBODY_ASKED, Caller
from skytrail.api.documents import Document
from skytrail.api.graph import Record, View, children, find, referrers
from skytrail.api.heads import PartReader, part_reader
from skytrail.api.refusal import bad_request
from skytrail.model.catalog_types import ObjectType
from skytrail.model.validate import shown

PAGE_LIMIT_DEFAULT = 256
FILTERS_COUNT_MAX = 100
_PAGE_LIMIT_MAX = 100_000


@dataclass(frozen=True, slots=True)
class ListQuery:
    """One list request, whatever way it came in."""

    detail: bool = False
    count: bool = False
    fields: frozenset[str] = frozenset()
    parent_uuids: frozenset[str] | None = None
    parent_name: tuple[str, ...] | None = None
    parent_type: str | None = None
    back_reference_uuids: frozenset[str] | None = None
    uuids: frozenset[str] | None = None
    names: frozenset[tuple[str, ...]] | None = None
    filters: Mapping[str, Sequence[object]] = field(default_factory=dict[str, Sequence[object]])
    marker: str | None = None
    """None when no paging is asked; empty for the first page."""
    limit: int | None = None
    links: bool = True
    shared: bool = False
    """Whether objects shared with the caller join those below the asked parents."""


def _split(value: object) -> frozenset[str] | None:
    """Return the distinct parts of a comma-joined list, None when it is not given."""
    if value is None or value == "":
        return None
    if isinstance(value, list):
        return frozenset(str(part) for part in documents.as_list(cast("object", value)))
    return frozenset(part.strip() for part in str(value).split(",") if part.strip())


def _is_true(value: object) -> bool:
    return value is True or (isinstance(value, str) and "true" in value.lower())


def parse(given: Mapping[str, object]) -> ListQuery:
    """Return the query of the parameters of a GET or the members of a bulk body."""
    names = _split(given.get("fq_names"))
    parent_name = given.get("parent_fq_name_str")
    parent_type = given.get("parent_type")
    paging = "page_marker" in given or "page_limit" in given
    return ListQuery(
        detail=_is_true(given.get("detail")),
        count=_is_true(given.get("count")),
        fields=_split(given.get("fields")) or frozenset(),
        parent_uuids=_split(given.get("parent_id")),
        parent_name=tuple(str(parent_name).split(":")) if parent_name else None,
        parent_type=str(parent_type) if parent_type else None,
        back_reference_uuids=_split(given.get("back_ref_id")),
        uuids=_split(given.get("obj_uuids")),
        names=None if names is None else frozenset(tuple(name.split(":")) for name in names),
        filters=parse_filters(given.get("filters")),
        marker=_marker(given.get("page_marker")) if paging else None,
        limit=_limit(given.get("page_limit")) if paging else None,
        links="exclude_hrefs" not in given,
        shared=_is_true(given.get("shared")),
    )


def _marker(value: object) -> str:
    if value is None or value in ("", "None"):
        return ""
    if not isinstance(value, str):
        raise bad_request(f"Invalid page_marker {shown(value)}")
    last = value.rsplit(":", 1)[-1]
    if not identity.is_uuid(last):
        raise bad_request(f"Invalid page_marker {shown(value)}")
    return value


def _limit(value: object) -> int:
    if value is None or value in ("", "None"):
        return PAGE_LIMIT_DEFAULT
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise bad_request(f"Invalid page_limit {shown(value)}")
    return min(int(text), _PAGE_LIMIT_MAX)


def parse_filters(value: object) -> dict[str, list[object]]:
    """Return wanted values by property; refuse what is not ``name==value`` comma-joined."""
    found: dict[str, list[object]] = {}
    if value is None or value == "":
        return found
    if not isinstance(value, str):
        raise bad_request(f"Invalid filter {shown(value)}")
    if value.count(",") >= FILTERS_COUNT_MAX:
        # Each is tried on each object: their number is what a list may cost.
        raise bad_request(f"filters: at most {FILTERS_COUNT_MAX} name==value pairs")
    for part in value.split(","):
        name, separator, wanted = part.partition("==")
        if not separator or not name.strip():
            raise bad_request(f"Invalid filter {shown(value)}")
        found.setdefault(name.strip(), []).append(_filter_value(wanted.strip()))
    return found


def _filter_value(text: str) -> object:
    try:
        return cast("object", msgspec.json.decode(text.encode("utf-8", "replace")))
    except (msgspec.DecodeError, RecursionError):
        return text


def select(
    view: View, resource: ObjectType, query: ListQuery, caller: Caller = NOBODY_ASKED
) -> list[Record]:
    """Return the matching objects: by age below a parent, by name otherwise."""
    anchored = query.parent_uuids is not None or query.parent_name is not None
    found: list[Record]
    if anchored:
        found = _below_parents(view, resource, query)
        if query.shared:
            found += _shared_with(view, resource, caller)
    elif query.back_reference_uuids is not None:
        found = _referring(view, resource, query.back_reference_uuids)
    elif query.uuids is not None:
        found = _by_uuid(view, resource, query.uuids)
    else:
        found = list(view.of_type(resource.name))
    asked = {
        name: values
        for name, values in query.filters.items()
        if name in resource.properties or name in ("uuid", "fq_name", "parent_uuid")
    }
    parts = part_reader(frozenset(asked))
    distinct = {record.uuid: record for record in found}.values()
    chosen = [
        record for record in distinct if _passes(record, query) and _fits(asked, parts, record)
    ]
    if anchored:
        # Children come oldest first, so those of one revision stay in order.
        return sorted(chosen, key=lambda record: record.create_revision)
    return sorted(chosen, key=lambda record: (record.fq_name, record.uuid))


def _below_parents(view: View, resource: ObjectType, query: ListQuery) -> list[Record]:
    parents = set(query.parent_uuids or ())
    if query.parent_name is not None:
        kinds = (
            (query.parent_type.replace("_", "-"),) if query.parent_type else resource.parent_types
        )
        for kind in kinds:
            parent = find(view, kind, query.parent_name)
            if parent is not None:
                parents.add(parent.uuid)
    # In one order whatever the order of asking: those of one revision stay in it between pages.
    return [record for uuid in sorted(parents) for record in children(view, uuid, resource.name)]


def _shared_with(view: View, resource: ObjectType, caller: Caller) -> list[Record]:
    parts = part_reader(frozenset({"perms2"}))
    return [
        record
        for record in view.of_type(resource.name)
        if _is_shared(documents.section(parts.read(record), "perms2"), caller)
    ]


def _is_shared(permissions: Document, caller: Caller) -> bool:
    """Whether everybody, the caller's project or the caller's domain may do something."""
    if documents.number(permissions, "global_access"):
        return True
    names = {
        f"{kind}:{uuid.replace('-', '')}"
        for kind, uuid in (("tenant", caller.project), ("domain", caller.domain))
        if uuid is not None
    }
    for entry in documents.sections(permissions, "share"):
        kind, _, uuid = (documents.text(entry, "tenant") or "").rpartition(":")
        name = f"{kind or 'tenant'}:{uuid.replace('-', '')}"
        if name in names and documents.number(entry, "tenant_access"):
            return True
    return False


def _referring(view: View, resource: ObjectType, targets: Iterable[str]) -> list[Record]:
    return [record for uuid in targets for record in referrers(view, uuid, resource.name)]


def _by_uuid(view: View, resource: ObjectType, uuids: Iterable[str]) -> list[Record]:
    found = (view.get(uuid) for uuid in uuids)
    return [r for r in found if r is not None and r.type_name == resource.name]


def _passes(record: Record, query: ListQuery) -> bool:
    if query.uuids is not None and record.uuid not in query.uuids:
        return False
    if query.names is not None and record.fq_name not in query.names:
        return False
    wanted = query.back_reference_uuids
    return wanted is None or any(target in wanted for _, target in record.targets)


def _fits(asked: Mapping[str, Sequence[object]], reader: PartReader, record: Record) -> bool:
    if not asked:
        return True
    parts = reader.read(record)
    return all(
        any(matches(parts.get(name), value) for value in values) for name, values in asked.items()
    )


def matches(present: object, wanted: object) -> bool:
    """Whether a property fits one filter value; of an object, a subset is enough."""
    if present is None:
        return False
    if documents.is_document(present):
        if isinstance(wanted, str):
            wanted = _filter_value(wanted)
        if not documents.is_document(wanted):
            return False
        return all(name in present and present[name] == part for name, part in wanted.items())
    if isinstance(present, bool) or isinstance(wanted, bool):
        return present is wanted
    return present == wanted or (not isinstance(present, list) and str(present) == str(wanted))


def page(records: list[Record], query: ListQuery) -> tuple[list[Record], str | None]:
    """Return the page after the marker and the marker of the next page, None at the end."""
    if query.marker is None:
        return records, None
    ordered = records
    if query.marker:
        ordered = _after(records, query)
    limit = query.limit or PAGE_LIMIT_DEFAULT
    chosen = ordered[:limit]
    more = len(ordered) > limit
    return chosen, marker_of(chosen[-1], query) if more and chosen else None


def marker_of(record: Record, query: ListQuery) -> str:
    """Return the marker that continues after a record."""
    if query.parent_uuids is not None or query.parent_name is not None:
        return record.uuid
    return ":".join((*record.fq_name, record.uuid))


def _after(records: list[Record], query: ListQuery) -> list[Record]:
    uuid = (query.marker or "").rsplit(":", 1)[-1]
    for index, record in enumerate(records):
        if record.uuid == uuid:
            return records[index + 1 :]
    if query.parent_uuids is not None or query.parent_name is not None:
        return []
    # The marked object is gone: continue at its place in the order of names.
    name = tuple((query.marker or "").rsplit(":", 1)[0].split(":"))
    return [record for record in records if (record.fq_name, record.uuid) > (name, uuid)]
