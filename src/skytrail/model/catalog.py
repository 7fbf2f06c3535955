"""The data model as metadata: `CATALOG` and the structs it is made of.

For code that treats all types alike (REST routes, validation, indexes, command line, forms).
Code about one type uses the generated structs instead.
"""

from __future__ import annotations

from skytrail.model.catalog_types import (
    BackReferenceField,
    Base,
    Catalog,
    ChildField,
    ComplexType,
    Family,
    Field,
    Form,
    Kind,
    ObjectType,
    Origin,
    ParentLink,
    Presence,
    Property,
    ReferenceField,
    Scalar,
    SimpleType,
)
from skytrail.model.generated.catalog import CATALOG
from skytrail.model.generated.names import TYPE_NAMES

__all__ = [
    "CATALOG",
    "BackReferenceField",
    "Base",
    "Catalog",
    "ChildField",
    "ComplexType",
    "Family",
    "Field",
    "Form",
    "Kind",
    "ObjectType",
    "Origin",
    "ParentLink",
    "Presence",
    "Property",
    "ReferenceField",
    "Scalar",
    "SimpleType",
    "resolve_type_name",
]


def resolve_type_name(text: str) -> str | None:
    """The object type meant by a wire, JSON, plural, class or short name; None if unknown.

    Compared without case; a trailing plural "s" is dropped only when nothing else matches.
    """
    key = text.lower().replace("_", "-")
    return TYPE_NAMES.get(key) or TYPE_NAMES.get(key.removesuffix("s"))
