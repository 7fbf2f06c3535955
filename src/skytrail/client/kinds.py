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
from skytrail.model.config_object import ConfigObject
from skytrail.model.objects import ModelError, decode_object, encode_object

ObjectT = TypeVar("ObjectT", bound=ConfigObject)
ChangesT = TypeVar("ChangesT", bound=Mapping[str, object])
FiltersT = TypeVar("FiltersT", bound=Mapping[str, object])

Key = str | Sequence[str] | ConfigObject
"""Which object: its uuid, its fully qualified name, or the object itself."""


@dataclass(frozen=True, slots=True)
class Versioned(Generic[ObjectT]):
    """An object and the entity tag of the version that was read."""

    object: ObjectT
    tag: str


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

    def delete_call(self, uuid: str, if_match: str | None) -> Call:
        path = messages.native_path(self.type_name, uuid)
        return Call("DELETE", path, if_match=if_match)

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

    def list_call(self, parent: Key | None, filters: Mapping[str, object]) -> Call:
        """Return the request for the whole objects below a parent, or for all."""
        wire = self._wire_names(filters)
        for name, value in wire.items():
            if isinstance(value, str) and "," in value:
                raise ValueError(f"the filter {name} cannot hold a comma: {value!r}")
        uuid = None if parent is None else uuid_of(parent)
        name = fq_name_of(parent) if parent is not None and uuid is None else None
        call = messages.list_call(
            self.type_name, parent_uuid=uuid, detail=True, filters=wire, fields=()
        )
        if name is None:
            return call
        return Call(call.method, call.path, query={**call.query, "parent_fq_name_str": name})

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
