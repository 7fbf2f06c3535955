"""What the typed clients know of one object type: between structs and wire JSON; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar, cast
from uuid import UUID

import msgspec

from skytrail.client import messages
from skytrail.client.errors import ApiUnavailable
from skytrail.client.messages import Answer, Call, JsonObject
from skytrail.client.selecting import PAGE_SIZE, Selection, filter_text
from skytrail.model.config_object import ConfigObject
from skytrail.model.objects import ModelError, decode_object, encode_object

ObjectT = TypeVar("ObjectT", bound=ConfigObject)
ChangesT = TypeVar("ChangesT", bound=Mapping[str, object])
FiltersT = TypeVar("FiltersT", bound=Mapping[str, object])

Key = str | Sequence[str] | ConfigObject
"""Which object: its uuid, its fully qualified name, or the object itself."""


Operation = JsonObject
"""One operation of a transaction, a plan or a change set."""


@dataclass(frozen=True, slots=True)
class Versioned(Generic[ObjectT]):
    """An object and the entity tag of the version that was read."""

    object: ObjectT
    tag: str


@dataclass(frozen=True, slots=True)
class Page(Generic[ObjectT]):
    """Part of a list. All pages of one list show the configuration as of ``revision``."""

    items: list[ObjectT]
    revision: int
    count: int
    """Of all pages."""
    next: str | None
    """The cursor of the next page, None for the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a list is shown."""

    sort: str | None = None
    """A field, ``-`` before it for downwards; by name when absent."""
    revision: int | None = None
    """As of which revision; now when absent."""
    page_size: int = PAGE_SIZE
    cursor: str | None = None
    count_only: bool = False

    @property
    def query(self) -> dict[str, str]:
        given = {
            "sort": self.sort,
            "revision": self.revision if self.cursor is None else None,
            "limit": None if self.count_only else self.page_size,
            "cursor": self.cursor,
            "count": "true" if self.count_only else None,
        }
        return {name: str(value) for name, value in given.items() if value is not None}


class _WirePage(msgspec.Struct, frozen=True):
    revision: int
    count: int
    next: str | None = None
    items: tuple[msgspec.Raw, ...] = ()


class Kind(Generic[ObjectT]):
    """Requests and replies of one object type; local mistakes are ValueError or TypeError."""

    def __init__(self, object_class: type[ObjectT]) -> None:
        self._object_class = object_class
        self.type_name = object_class.type_name

    def create_call(self, new: ObjectT) -> Call:
        if not isinstance(new, self._object_class):
            raise TypeError(f"{type(new).__name__} is not a {self._object_class.__name__}")
        return Call("POST", messages.native_path(self.type_name), encode_object(new))

    def read_call(self, uuid: str) -> Call:
        return Call("GET", messages.native_path(self.type_name, uuid))

    def update_call(self, uuid: str, changes: Mapping[str, object], if_match: str | None) -> Call:
        """Return the merge patch in which every given property is replaced whole."""
        patch = {name: _replacing(value) for name, value in self._wire_names(changes).items()}
        path = messages.native_path(self.type_name, uuid)
        return Call("PATCH", path, patch, if_match=if_match)

    def delete_call(self, uuid: str, if_match: str | None, *, cascade: bool = False) -> Call:
        path = messages.native_path(self.type_name, uuid)
        query = {"cascade": "true"} if cascade else {}
        return Call("DELETE", path, query=query, if_match=if_match)

    def versioned(self, answer: Answer) -> Versioned[ObjectT]:
        """Return the object of an answer with its tag."""
        if answer.tag is None:
            raise ApiUnavailable("the answer has no entity tag")
        return Versioned(self.decode(answer.content), answer.tag)

    def decode(self, wire: Mapping[str, object] | bytes) -> ObjectT:
        try:
            return cast("ObjectT", decode_object(self.type_name, wire))
        except ModelError as error:
            raise ApiUnavailable(f"the answer is not one of this API: {error}") from error

    def past_call(self, uuid: str, revision: int) -> Call:
        """Return the request for an object as of a revision."""
        path = messages.native_path(self.type_name, uuid)
        return Call("GET", path, query={"revision": str(revision)})

    def apply_call(self, wanted: ObjectT, field_owner: str | None, *, force: bool) -> Call:
        """Return the request that makes the object of this name say what is given."""
        query = {} if field_owner is None else {"field_owner": field_owner}
        if force:
            query["force"] = "true"
        path = messages.named_path(self.type_name, wanted.fq_name)
        return Call("PUT", path, encode_object(wanted), query=query)

    def status_call(self, uuid: str) -> Call:
        return Call("GET", f"{messages.native_path(self.type_name, uuid)}/status")

    def selection(
        self,
        *,
        parent: Key | None,
        filters: Mapping[str, object] | None,
        where: Sequence[str],
        tags: Mapping[str, str] | None,
        labels: Mapping[str, str | None] | None,
    ) -> list[tuple[str, str]]:
        """Return the query parameters that select objects; ValueError for what cannot be sent."""
        wire = self._wire_names(filters or {})
        texts = [filter_text(name, value) for name, value in wire.items()]
        place = None if parent is None else uuid_of(parent) or fq_name_of(parent)
        return Selection((*texts, *where), tags or {}, labels or {}, place).query()

    def list_call(self, selection: Sequence[tuple[str, str]], view: View) -> Call:
        """Return the request for a list's first page, or for the number of objects."""
        return Call(
            "GET", messages.native_path(self.type_name), query=view.query, selection=selection
        )

    def page(self, content: bytes) -> Page[ObjectT]:
        """Return the objects of a page."""
        found = messages.decode_reply(content, _WirePage)
        return Page(
            items=[self.decode(bytes(each)) for each in found.items],
            revision=found.revision,
            count=found.count,
            next=found.next,
        )

    def create_operation(self, new: ObjectT) -> Operation:
        return {"op": "create", "type": self.type_name, "object": encode_object(new)}

    def apply_operation(
        self, wanted: ObjectT, field_owner: str | None, *, force: bool
    ) -> Operation:
        operation: Operation = {
            "op": "apply",
            "type": self.type_name,
            "name": list(wanted.fq_name),
            "object": encode_object(wanted),
        }
        if field_owner is not None:
            operation["field_owner"] = field_owner
        return operation | ({"force": True} if force else {})

    def update_operation(
        self, key: Key, changes: Mapping[str, object], if_match: str | None
    ) -> Operation:
        patch = self.update_call("", changes, None).body
        return self._addressed("patch", key, if_match) | {"object": patch}

    def delete_operation(self, key: Key, if_match: str | None, *, cascade: bool) -> Operation:
        operation = self._addressed("delete", key, if_match)
        return operation | ({"cascade": True} if cascade else {})

    def _addressed(self, verb: str, key: Key, if_match: str | None) -> Operation:
        operation: Operation = {"op": verb, "type": self.type_name}
        uuid = uuid_of(key)
        operation |= {"name": list(name_of(key))} if uuid is None else {"uuid": uuid}
        return operation | ({} if if_match is None else {"if_match": if_match})

    def _wire_names(self, given: Mapping[str, object]) -> JsonObject:
        names = _wire_names(self._object_class)
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(f"{self.type_name} has no {', '.join(unknown)}")
        return {names[name]: value for name, value in given.items()}


@cache
def _wire_names(struct: type[msgspec.Struct]) -> Mapping[str, str]:
    """Return attribute -> name on the wire; cached, because it evaluates every annotation."""
    return {each.name: each.encode_name for each in msgspec.structs.fields(struct)}


def _replacing(value: object) -> object:
    """Return a merge patch that leaves nothing of the former value: absent fields are null."""
    if isinstance(value, msgspec.Struct):
        names = _wire_names(type(value))
        return {wire: _replacing(getattr(value, name)) for name, wire in names.items()}
    # An empty list is the same as none, and elements of lists are not merged but replaced.
    return None if isinstance(value, list | tuple) and not value else value


def uuid_of(key: Key) -> str | None:
    """Return the uuid a key holds, None when it is a name; ValueError for other text."""
    if isinstance(key, ConfigObject):
        return key.uuid or None
    if not isinstance(key, str):
        return None
    try:
        return str(UUID(key))
    except ValueError:
        raise ValueError(f"{key!r} is not a uuid; a name is a sequence of its parts") from None


def name_of(key: Key) -> tuple[str, ...]:
    """Return the fully qualified name a key without a uuid holds."""
    return key.fq_name if isinstance(key, ConfigObject) else tuple(key)


def fq_name_of(key: Key) -> str:
    return ":".join(name_of(key))
