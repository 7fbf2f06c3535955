"""Type and object names as people write them; pure."""

from __future__ import annotations

import difflib
import uuid as uuids
from collections.abc import Iterable
from typing import Final

from skytrail.model.catalog import CATALOG, ObjectType

DEFAULT_PROJECT: Final = ("default-domain", "default-project")

FqName = tuple[str, ...]


class UnknownType(Exception):
    """No object type has this name; the text suggests some."""


def resolve_type(word: str) -> ObjectType:
    """Return the type meant by a name, plural, short name or class name, in any case."""
    name = _type_words().get(_key(word))
    if name is None:
        suggestion = did_you_mean(_key(word), type_names())
        raise UnknownType(
            f"No object type {word!r}.{suggestion} `skytrail types` lists all of them."
        )
    return CATALOG.objects[name]


def type_names() -> list[str]:
    """Return full and short names of all types, full ones first."""
    full = sorted(CATALOG.objects, key=str.lower)
    short = sorted(name for each in CATALOG.objects.values() for name in each.short_names)
    return [*full, *short]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean X or Y?" for close names, else nothing."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=3, cutoff=0.63)
    if not close:
        ends = [lower for lower in by_lower if word and word.lower() in lower]
        close = sorted(ends, key=len)[:3]
    return f" Did you mean {' or '.join(by_lower[each] for each in close)}?" if close else ""


def split_name(text: str, kind: ObjectType) -> FqName:
    """Return the parts of a written name; a route target keeps its colons."""
    if kind.is_root and not kind.parent_types:
        return (text,)
    return tuple(text.split(":"))


def full_names(parts: FqName, kind: ObjectType, project: FqName) -> list[FqName]:
    """Return the full names a written one may stand for, the likeliest first.

    A name as long as the type's names is taken as it is; a shorter one gets the missing front of
    the default project, if that makes it long enough.
    """
    found = [parts]
    for length in kind.fq_name_lengths:
        missing = length - len(parts)
        if 0 < missing <= len(project):
            found.append((*project[:missing], *parts))
    if len(parts) in kind.fq_name_lengths:
        return found
    return found[1:] or found


def own_name(parts: FqName, kind: ObjectType, project: FqName) -> FqName:
    """Return the full name of an object that is about to be created under a written one.

    A name as long as the type's names is taken as it is; of several parents that would fit a
    shorter one it is the project.
    """
    missing = len(project) + 1 - len(parts)
    if "project" in kind.parent_types and missing > 0 and not fits_length(parts, kind):
        return (*project[:missing], *parts)
    return full_names(parts, kind, project)[0]


def fits_length(parts: FqName, kind: ObjectType) -> bool:
    return not kind.fq_name_lengths or len(parts) in kind.fq_name_lengths


def is_uuid(text: str) -> bool:
    try:
        uuids.UUID(text)
    except ValueError:
        return False
    return len(text) == len("00000000-0000-0000-0000-000000000000")


def read_project(text: str | None) -> FqName:
    """Return the default project from DOMAIN:PROJECT or PROJECT."""
    parts = tuple(part for part in (text or "").split(":") if part)
    if not parts:
        return DEFAULT_PROJECT
    return parts if len(parts) > 1 else (DEFAULT_PROJECT[0], *parts)


def _type_words() -> dict[str, str]:
    words: dict[str, str] = {}
    for name, kind in CATALOG.objects.items():
        plurals = [f"{name}s", f"{name[:-1]}ies"] if name.endswith("y") else [f"{name}s"]
        for word in (*plurals, kind.class_name, *(f"{s}s" for s in kind.short_names)):
            words.setdefault(_key(word), name)
    # Exact names win over a plural that happens to look the same.
    words |= {_key(short): name for name, k in CATALOG.objects.items() for short in k.short_names}
    return words | {_key(name): name for name in CATALOG.objects}


def _key(word: str) -> str:
    return word.strip().lower().replace("_", "-")
