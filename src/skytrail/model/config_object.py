"""The base of all object types: identity, permissions and what every object carries."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from skytrail.model.base import Reference
from skytrail.model.generated.types import IdPermsType, KeyValuePairs, PermType2


class ConfigObject(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An object of the configuration: immutable, compared and hashed by content.

    `fq_name` is the full path of names and unique per type; `uuid` is unique over all types
    (empty only for an object that was not stored yet). Root objects have no parent fields.
    """

    type_name: ClassVar[str] = ""

    uuid: str = ""
    fq_name: tuple[str, ...]
    parent_type: str | None = None
    parent_uuid: str | None = None
    id_perms: IdPermsType | None = None
    perms2: PermType2 | None = None
    display_name: str | None = None
    annotations: KeyValuePairs | None = None
    tag_refs: tuple[Reference[None], ...] = ()

    @property
    def name(self) -> str:
        """The last item of the fully qualified name."""
        return self.fq_name[-1]
