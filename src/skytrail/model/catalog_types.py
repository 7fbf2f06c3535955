"""Metadata of the data model: what exists, how it is named on the wire, which values it accepts.

The structs are filled once by generated literals (`skytrail.model.generated`) and never change.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Base = Literal["string", "integer", "boolean", "compound"]
Kind = Literal["simple", "list", "map"]
Origin = Literal["user", "compiled"]
Presence = Literal["optional", "required", "system-only", "admin-only", "exclusive"]
Scalar = str | int | bool


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hints for a form renderer: `group` heading, `order` inside it, `widget` name."""

    group: str = ""
    order: int = 0
    widget: str = ""


class Guard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value that reaches beyond the project of its object, so that its owner alone does not say it.

    `by` administrators: they alone set, change and drop it. `by` network: whoever may not write the
    networks of the ports it is about adds nothing.
    """

    by: Literal["administrators", "network"]
    keys: tuple[str, ...] = ()
    """Of a map: the keys it is about; none: all of it."""
    beside: str = ""
    """A sibling field; where that is given, this one is anybody's."""


class SimpleType(msgspec.Struct, frozen=True, kw_only=True):
    """A named scalar: `minimum` and `maximum` are inclusive; `pattern` is advisory, not enforced."""

    name: str
    base: Base
    wire_base: str
    enum: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    pattern: str = ""
    source: str = ""
    family: str = ""
    description: str = ""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One member of a complex type; `type` names a primitive, a simple or a complex type."""

    name: str
    type: str
    base: Base
    is_list: bool = False
    max_items: int | None = None
    presence: Presence = "optional"
    operations: str = "CRUD"
    default: Scalar | None = None
    enum: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    pattern: str = ""
    source: str = ""
    since: str = ""
    deprecated: str = ""
    secret: bool = False
    """Shown to administrators and components of the system only; masked for everybody else."""
    form: Form | None = None
    guard: Guard | None = None
    description: str = ""

    @property
    def is_compound(self) -> bool:
        """Whether the value is an object of another complex type."""
        return self.base == "compound"


class Property(Field, frozen=True, kw_only=True):
    """One property of an object type.

    `list` and `map` properties carry a wrapper object whose single list field is
    `wrapper_field` with elements of `element_type`; a map's elements are keyed by `map_key`.
    """

    kind: Kind = "simple"
    wrapper_field: str = ""
    element_type: str = ""
    map_key: str = ""


class ComplexType(msgspec.Struct, frozen=True, kw_only=True):
    """A structured value: its fields by wire name, in schema order."""

    name: str
    fields: dict[str, Field]
    source: str = ""
    family: str = ""
    description: str = ""


class ReferenceField(msgspec.Struct, frozen=True, kw_only=True):
    """An outgoing reference kind; a `weak` one never blocks deletion of its target."""

    name: str
    target: str
    link: str
    attr_type: str = ""
    weak: bool = False
    presence: Presence = "optional"
    operations: str = "CRUD"
    guard: Guard | None = None
    description: str = ""


class BackReferenceField(msgspec.Struct, frozen=True, kw_only=True):
    """The computed inverse of a reference: `source` is the type that refers."""

    name: str
    source: str
    attr_type: str = ""
    weak: bool = False


class ParentLink(msgspec.Struct, frozen=True, kw_only=True):
    """An allowed parent; `config-root` means none on the wire (fq_name of length one)."""

    type: str
    link: str
    weak: bool = False
    implicit: bool = False
    presence: Presence = "optional"
    operations: str = "CRUD"


class ChildField(msgspec.Struct, frozen=True, kw_only=True):
    """The computed inverse of a parent link; `weak` children never block deletion."""

    name: str
    type: str
    weak: bool = False


class ObjectType(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about one object type; mappings are keyed by wire field name.

    `parents` is keyed by the parent's type name. `properties` and `references` include the ones
    that every type has (id_perms, perms2, display_name, annotations, tag_refs).
    """

    name: str
    json_name: str
    class_name: str
    collection: str
    family: str = ""
    short_names: tuple[str, ...] = ()
    origin: Origin = "user"
    guard: Guard | None = None
    """By administrators: the compiler and they alone write such objects, wherever these lie."""
    parents: dict[str, ParentLink] = {}
    children: dict[str, ChildField] = {}
    references: dict[str, ReferenceField] = {}
    back_references: dict[str, BackReferenceField] = {}
    properties: dict[str, Property] = {}
    fq_name_lengths: tuple[int, ...] = ()
    source: str = ""
    description: str = ""

    @property
    def is_root(self) -> bool:
        """Whether objects may live directly below the root, with an fq_name of one item."""
        return "config-root" in self.parents

    @property
    def parent_types(self) -> tuple[str, ...]:
        """Allowed parent types without `config-root`, in schema order."""
        return tuple(name for name in self.parents if name != "config-root")


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A group of related types, kept in one schema file and one page of the reference."""

    name: str
    title: str
    description: str = ""


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """The whole data model by name."""

    families: dict[str, Family]
    objects: dict[str, ObjectType]
    types: dict[str, ComplexType]
    simple_types: dict[str, SimpleType]
