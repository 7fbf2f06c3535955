"""What the indexes need of a document, read without decoding the rest of it.

Reading a hundred thousand objects whole costs most of a server's start and of its memory. A head
is the identity and the references; strings and attributes that many objects share are kept once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from sys import intern
from typing import NamedTuple, Protocol, cast

import msgspec

from skytrail.api import documents
from skytrail.api.documents import Document

FqName = tuple[str, ...]
_REFERENCES = "_refs"
_NULL = msgspec.Raw(b"null")


class Head(NamedTuple):
    """Identity and references of one object."""

    uuid: str
    fq_name: FqName
    parent_type: str | None
    parent_uuid: str | None
    targets: tuple[tuple[str, str], ...]
    """(reference field, target uuid) of every reference."""
    attributes: tuple[object, ...]
    """Attribute of each reference; empty when none has one."""
    created: str = ""


class _Reference(msgspec.Struct, frozen=True, gc=False):
    uuid: str | None = None
    attr: msgspec.Raw = _NULL


class _Permissions(msgspec.Struct, frozen=True, gc=False):
    created: str | None = None


class _Standing(msgspec.Struct, frozen=True):
    uuid: str
    fq_name: tuple[str, ...]
    parent_type: str | None = None
    parent_uuid: str | None = None
    id_perms: _Permissions | None = None


def head_of(body: Document) -> Head:
    """Return the head of a decoded document."""
    targets: list[tuple[str, str]] = []
    attributes: list[object] = []
    for name, items in body.items():
        if items and name.endswith(_REFERENCES):
            for reference in documents.sections(body, name):
                target = reference.get("uuid")
                if isinstance(target, str):
                    targets.append((name, target))
                    attributes.append(reference.get("attr"))
    return Head(
        uuid=documents.text(body, "uuid") or "",
        fq_name=tuple(documents.texts(body, "fq_name")),
        parent_type=documents.text(body, "parent_type"),
        parent_uuid=documents.text(body, "parent_uuid"),
        targets=tuple(targets),
        attributes=_sparse(attributes),
        created=documents.text(documents.section(body, "id_perms"), "created") or "",
    )


def _sparse(attributes: list[object]) -> tuple[object, ...]:
    return () if attributes.count(None) == len(attributes) else tuple(attributes)


class Stored(Protocol):
    """What parts are read of."""

    @property
    def body(self) -> Document: ...
    @property
    def has_body(self) -> bool: ...
    @property
    def stored(self) -> bytes: ...


class PartReader:
    """Reads a few members of many objects without decoding, and keeping, all of each."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        fields = [(f"p{place}", object, None) for place in range(len(self._names))]
        renamed = {f"p{place}": name for place, name in enumerate(self._names)}
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Parts", fields, rename=renamed))

    def read(self, record: Stored) -> Document:
        """Return the members the object has; null ones count as absent."""
        if record.has_body:
            body = record.body
            found = [(name, body.get(name)) for name in self._names]
        else:
            decoded = self._decoder.decode(record.stored)
            values = (getattr(decoded, f"p{place}") for place in range(len(self._names)))
            found = list(zip(self._names, values, strict=True))
        return {name: value for name, value in found if value is not None}


@lru_cache(maxsize=256)
def part_reader(names: frozenset[str]) -> PartReader:
    """Return a reader of these members; making one costs more than many reads."""
    return PartReader(names)


_References = Sequence[_Reference] | None
_Reading = tuple[Callable[[bytes], _Standing], Callable[[_Standing], Sequence[_References]]]
"""Decodes the bytes; takes the references of all fields out of what comes of it."""


def _values_of(names: tuple[str, ...]) -> Callable[[_Standing], Sequence[_References]]:
    if len(names) > 1:
        return cast("Callable[[_Standing], Sequence[_References]]", attrgetter(*names))
    return lambda decoded: [cast("_References", getattr(decoded, name)) for name in names]


class HeadReader:
    """Reads heads out of stored bytes; one decoder per object type."""

    def __init__(self, references: Mapping[str, tuple[str, ...]]) -> None:
        """``references``: the names of the reference fields by object type."""
        self._references = references
        self._readings: dict[str, _Reading] = {}
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}
        self._attributes: dict[bytes, object] = {}

    def read(self, type_name: str, stored: bytes) -> Head:
        """Return the head; raises msgspec.DecodeError for bytes that are no such document."""
        names = self._references.get(type_name)
        if names is None:
            return head_of(msgspec.json.decode(stored, type=Document))
        decode, values_of = self._reading(type_name, names)
        decoded = decode(stored)
        targets: list[tuple[str, str]] = []
        attributes: list[object] = []
        for name, given in zip(names, values_of(decoded), strict=True):
            for reference in given or ():
                if reference.uuid is not None:
                    pair = (name, reference.uuid)
                    targets.append(self._pairs.setdefault(pair, pair))
                    attributes.append(self._attribute(reference.attr))
        prefix, last = decoded.fq_name[:-1], decoded.fq_name[-1:]
        parent_type, parent_uuid = decoded.parent_type, decoded.parent_uuid
        return Head(
            uuid=decoded.uuid,
            fq_name=(*map(intern, prefix), *last),
            parent_type=None if parent_type is None else intern(parent_type),
            parent_uuid=None if parent_uuid is None else intern(parent_uuid),
            targets=tuple(targets),
            attributes=_sparse(attributes),
            created=(decoded.id_perms.created or "") if decoded.id_perms is not None else "",
        )

    def forget_shared(self) -> None:
        """Drop what was kept to share it, at the end of a long read."""
        self._pairs.clear()
        self._attributes.clear()

    def _reading(self, type_name: str, names: tuple[str, ...]) -> _Reading:
        reading = self._readings.get(type_name)
        if reading is None:
            kind = msgspec.defstruct(
                "StoredHead",
                [(name, list[_Reference] | None, None) for name in names],
                bases=(_Standing,),
                frozen=True,
            )
            decoder = msgspec.json.Decoder(cast("type[_Standing]", kind))
            reading = self._readings[type_name] = decoder.decode, _values_of(names)
        return reading

    def _attribute(self, raw: msgspec.Raw) -> object:
        encoded = bytes(raw)
        if encoded == b"null":
            return None
        if encoded not in self._attributes:
            self._attributes[encoded] = msgspec.json.decode(encoded)
        return self._attributes[encoded]
