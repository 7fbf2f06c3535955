"""Requests and replies of the API as values, shared by both clients; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar, cast
from urllib.parse import quote

import msgspec

from skytrail.client.errors import ApiUnavailable, refusal
from skytrail.client.watch_events import ResumePoint

JsonObject = dict[str, object]
RefOperation = Literal["ADD", "DELETE"]
T = TypeVar("T")

_LATER_STATUSES = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request."""

    method: str
    path: str
    body: object = None
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    selection: Sequence[tuple[str, str]] = ()
    """Query parameters that may come several times."""
    if_match: str | None = None
    """An entity tag: carry the write out only if the object still has it."""

    @property
    def headers(self) -> dict[str, str]:
        """What this request sends beyond the connection's own headers."""
        return {} if self.if_match is None else {"if-match": self.if_match}

    @property
    def parameters(self) -> list[tuple[str, str | int | float | bool | None]]:
        """Return the whole query."""
        return [*self.query.items(), *self.selection]

    def encoded(self) -> bytes | None:
        return None if self.body is None else msgspec.json.encode(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of a success, and the entity tag of the object in it."""

    content: bytes
    tag: str | None = None


class TransactionResult(msgspec.Struct, frozen=True, kw_only=True):
    uuid: str = ""
    result: str = ""
    """created, changed, unchanged or deleted."""


class TransactionReply(msgspec.Struct, frozen=True, kw_only=True):
    """The one revision of all operations, and what each came to in request order."""

    revision: int
    change: str = ""
    """The name of the change in the history."""
    results: tuple[TransactionResult, ...] = ()


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate's lease, and whether it holds the office."""

    lease: str
    leading: bool
    ttl_s: float


def stand_call(name: str, lease: str | None, ttl_s: float) -> Call:
    """Return the request to stand for election, or to go on doing so."""
    body = {"ttl_s": ttl_s} if lease is None else {"ttl_s": ttl_s, "lease": lease}
    return Call("POST", f"/api/v1/elections/{quote(name, safe='')}", body)


class _ProblemPart(msgspec.Struct, frozen=True):
    pointer: str
    detail: str


class _ProblemDocument(msgspec.Struct, frozen=True):
    """A refusal of the native API (RFC 9457)."""

    detail: str
    errors: tuple[_ProblemPart, ...] = ()


def create_operation(type_name: str, content: Mapping[str, object]) -> JsonObject:
    return {"op": "create", "type": type_name, "object": content}


def update_operation(type_name: str, uuid: str, content: Mapping[str, object]) -> JsonObject:
    return {"op": "update", "type": type_name, "uuid": uuid, "object": content}


def delete_operation(type_name: str, uuid: str) -> JsonObject:
    return {"op": "delete", "type": type_name, "uuid": uuid}


def read_call(type_name: str, uuid: str, *, fields: Sequence[str], relations: bool) -> Call:
    query = {"fields": ",".join(fields)} if fields else {}
    if not relations:
        query |= {"exclude_back_refs": "true", "exclude_children": "true"}
    return Call("GET", object_path(type_name, uuid), query=query)


def list_call(
    type_name: str,
    *,
    parent_uuid: str | None,
    detail: bool,
    filters: Mapping[str, object],
    fields: Sequence[str],
) -> Call:
    query: dict[str, str] = {}
    if parent_uuid is not None:
        query["parent_id"] = parent_uuid
    if detail:
        query["detail"] = "true"
    if filters:
        query["filters"] = ",".join(
            f"{name}=={msgspec.json.encode(value).decode()}" for name, value in filters.items()
        )
    if fields:
        query["fields"] = ",".join(fields)
    return Call("GET", f"/{quote(type_name, safe='')}s", query=query)


def create_call(type_name: str, content: Mapping[str, object]) -> Call:
    return Call("POST", f"/{quote(type_name, safe='')}s", {type_name: content})


def update_call(type_name: str, uuid: str, content: Mapping[str, object]) -> Call:
    return Call("PUT", object_path(type_name, uuid), {type_name: content})


def delete_call(type_name: str, uuid: str) -> Call:
    return Call("DELETE", object_path(type_name, uuid))


def name_to_id_call(type_name: str, fq_name: Sequence[str]) -> Call:
    return Call("POST", "/fqname-to-id", {"type": type_name, "fq_name": list(fq_name)})


def transaction_call(operations: Sequence[Mapping[str, object]], derived_from: int | None) -> Call:
    body = {"operations": operations, "derived_from": derived_from}
    return Call("POST", "/api/v1/transaction", body)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefUpdate:
    """A change of one reference; the target by uuid or by name."""

    type: str
    uuid: str
    ref_type: str
    ref_uuid: str | None = None
    ref_fq_name: Sequence[str] | None = None
    operation: RefOperation = "ADD"
    attr: Mapping[str, object] | None = None

    def call(self) -> Call:
        body = {
            "type": self.type,
            "uuid": self.uuid,
            "ref-type": self.ref_type,
            "ref-uuid": self.ref_uuid,
            "ref-fq-name": None if self.ref_fq_name is None else list(self.ref_fq_name),
            "operation": self.operation,
            "attr": self.attr,
        }
        return Call("POST", "/ref-update", body)


def object_path(type_name: str, uuid: str) -> str:
    return f"/{quote(type_name, safe='')}/{quote(uuid, safe='')}"


def native_path(type_name: str, uuid: str | None = None) -> str:
    """Return where the native API has a collection or one of its objects."""
    below = "" if uuid is None else f"/{quote(uuid, safe='')}"
    return f"/api/v1/{quote(type_name, safe='')}{below}"


def named_path(type_name: str, fq_name: Sequence[str]) -> str:
    """Return where the native API has the object of a name."""
    return f"{native_path(type_name)}/by-name/{quote(':'.join(fq_name), safe=':')}"


def check_status(status: int, content: bytes) -> None:
    """Raise ApiUnavailable or the ApiError of its kind unless the status is a success."""
    if status < 400:
        return
    text = _text_of(content)
    if status in _LATER_STATUSES:
        raise ApiUnavailable(f"the API cannot serve now: {text} (status {status})")
    raise refusal(status, text)


def _text_of(content: bytes) -> str:
    """Return what an error says: a problem document's parts, one per line, or the plain text."""
    if content.startswith(b'{"type":"about:blank"'):
        problem = decode_reply(content, _ProblemDocument)
        if len(problem.errors) > 1:
            return "\n".join(f"{each.pointer}: {each.detail}" for each in problem.errors)
        return problem.detail
    return content[:4096].decode(errors="replace").strip() or "no text"


def decode_reply(content: bytes, kind: type[T]) -> T:
    """Decode a reply's JSON; ApiUnavailable when whoever answered does not speak this API."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiUnavailable(f"the answer is not one of this API: {error}") from error


def object_of(content: bytes, type_name: str) -> JsonObject:
    """Return the object inside its type's wrapper."""
    return _inside(decode_reply(content, dict[str, object]), type_name)


def objects_of(content: bytes, type_name: str) -> list[JsonObject]:
    """Return a list reply's objects, without the wrapper each has in a detailed list."""
    items = decode_reply(content, dict[str, list[JsonObject]]).get(f"{type_name}s", [])
    return [
        cast("JsonObject", item[type_name]) if isinstance(item.get(type_name), dict) else item
        for item in items
    ]


def uuid_of(content: bytes, type_name: str | None = None) -> str:
    """Return the uuid of a reply, inside its type's wrapper if one is named."""
    reply = decode_reply(content, dict[str, object])
    found = (_inside(reply, type_name) if type_name is not None else reply).get("uuid")
    if not isinstance(found, str):
        raise ApiUnavailable("the answer has no uuid")
    return found


def watch_call(
    types: Sequence[str], position: ResumePoint, selection: Sequence[tuple[str, str]] = ()
) -> Call:
    """Return the request for the stream of changes."""
    query = {"types": ",".join(types)}
    if position.from_revision is not None:
        query["from_revision"] = str(position.from_revision)
        if position.history:
            query["history"] = position.history
    return Call("GET", "/api/v1/watch", query=query, selection=selection)


def _inside(reply: JsonObject, type_name: str) -> JsonObject:
    found = reply.get(type_name)
    if not isinstance(found, dict):
        raise ApiUnavailable(f"the answer has no {type_name}")
    return cast("JsonObject", found)
