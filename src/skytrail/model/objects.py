"""Objects between the wire form and typed structs.

The wire form is the mapping of the compatible API without links, back references and children.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from skytrail.model.base import Compound, Reference
from skytrail.model.catalog import CATALOG
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import OBJECT_CLASSES

__all__ = [
    "Compound",
    "ConfigObject",
    "ModelError",
    "Reference",
    "decode_object",
    "encode_object",
    "prune",
]


class ModelError(ValueError):
    """A mapping does not fit its object type; the text says where and why."""


def decode_object(type_name: str, wire: Mapping[str, object] | bytes) -> ConfigObject:
    """The typed object of a wire mapping or its JSON; raises `ModelError`.

    Nulls and empty lists count as absent at every depth, unknown keys are ignored, and numbers
    given as text ("24") are accepted, as clients of the compatible API send all of these.
    Whatever `validate` finds nothing wrong with can be decoded.
    """
    object_class = OBJECT_CLASSES.get(type_name)
    if object_class is None:
        raise ModelError(f"unknown object type {type_name!r}")
    try:
        mapping = _parse(wire)
        try:
            return msgspec.convert(mapping, object_class, strict=False)
        except msgspec.ValidationError:
            # Stored objects rarely hold nulls in the place of lists, so pruning comes second.
            return msgspec.convert(_tidied(mapping, type_name), object_class, strict=False)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise ModelError(f"{type_name}: {error}") from error


def encode_object(config_object: ConfigObject) -> dict[str, object]:
    """The wire mapping of an object; None and empty values are left out."""
    # Through JSON, because to_builtins would keep tuples where the wire has lists.
    return cast("dict[str, object]", msgspec.json.decode(msgspec.json.encode(config_object)))


def prune(value: object) -> object:
    """A copy without nulls and without empty lists in other values, at every depth.

    Both mean "not given" to clients of the compatible API, whatever the field's type.
    """
    if isinstance(value, Mapping):
        mapping = cast("Mapping[object, object]", value)
        return {key: prune(item) for key, item in mapping.items() if not _is_absent(item)}
    if isinstance(value, list | tuple):
        items = cast("list[object]", value)
        return [prune(item) for item in items if not _is_absent(item)]
    return value


def _tidied(value: object, type_name: str) -> object:
    """The pruned mapping, without attributes on references that have none in the model."""
    pruned = prune(value)
    if not isinstance(pruned, dict):
        return pruned
    mapping = cast("dict[str, object]", pruned)
    for field in CATALOG.objects[type_name].references.values():
        items = mapping.get(field.name)
        if not field.attr_type and isinstance(items, list):
            for item in cast("list[object]", items):
                if isinstance(item, dict):
                    cast("dict[str, object]", item).pop("attr", None)
    return mapping


def _is_absent(value: object) -> bool:
    return value is None or (isinstance(value, list | tuple) and not value)


def _parse(wire: Mapping[str, object] | bytes) -> object:
    return cast("object", msgspec.json.decode(wire)) if isinstance(wire, bytes) else wire
