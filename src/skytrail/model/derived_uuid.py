"""Uuids by which everybody tells what a compiler made. Pure."""

from __future__ import annotations

import uuid
from typing import Final

_NAMESPACE: Final = uuid.UUID("5b1f7a0e-9c55-5d4e-8f0b-6d0f5a3c2e11")


def derived_uuid(type_name: str, fq_name: tuple[str, ...]) -> str:
    """Return the uuid every compiler gives to the derived object of this name.

    Everybody can compute it: it proves who made an object because the API lets no tenant choose it.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{type_name} {':'.join(fq_name)}"))
