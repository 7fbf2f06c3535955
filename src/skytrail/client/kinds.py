"""What the typed clients know of one object type: between structs and wire JSON; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar, cast
from uuid import UUID

import msgspec

from skytrail.client import messages
from skytrail.client.errors import ApiUnavailable
from skytrail.client.messages import Call, JsonObject
from skytrail.model.config_object import ConfigObject
from skytrail.model.objects import ModelError, decode_object, encode_object

ObjectT = TypeVar("ObjectT", bound=ConfigObject)
ChangesT = TypeVar("ChangesT", bound=Mapping[str, object])
FiltersT = TypeVar("FiltersT", bound=Mapping[str, object])

Key = str | Sequence[str] | ConfigObject
"""Which object: its uuid, its fully qualified name, or the object itself."""


class Kind(Generic[ObjectT]):
    """Requests and replies of one object type; local mistakes are ValueError or TypeError."""

    def __init__(self, object_class: type[ObjectT]) -> None:
        self._object_class = object_class
        self.type_name = object_class.type_name

    def encode(self, given: ObjectT) -> JsonObject:
        if not isinstance(given, self._object_class):
            raise TypeError(f"{type(given).__name__} is not a {self._object_class.__name__}")
        return encode_object(given)

    def encode_changes(self, changes: Mapping[str, object]) -> JsonObject:
        """Return wire JSON in which None stays, because it clears a property."""
        # Clearing references is sending none of them; null is for properties.
        wire = {
            name: [] if value is None and name.endswith("_refs") else value
            for name, value in self._wire_names(changes).items()
        }
        return cast("JsonObject", msgspec.json.decode(msgspec.json.encode(wire)))

    def decode(self, wire: Mapping[str, object]) -> ObjectT:
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
        names = {f.name: f.encode_name for f in msgspec.structs.fields(self._object_class)}
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(f"{self.type_name} has no {', '.join(unknown)}")
        return {names[name]: value for name, value in given.items()}


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
