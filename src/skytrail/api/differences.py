"""What differs between two versions of a document, losslessly: it can be undone and done again.

Objects are compared member by member, at any depth; lists as a whole. An absent side means that
the member was not there, which is not the same as null.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from skytrail.api.documents import Document, is_document
from skytrail.api.problem import pointer


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One member that changed; in JSON ``from`` and ``to``, each absent where the member was."""

    path: tuple[str, ...]
    before: object | UnsetType = msgspec.field(name="from", default=UNSET)
    after: object | UnsetType = msgspec.field(name="to", default=UNSET)

    def shown(self) -> Document:
        """Return the difference as replies have it, the path as a JSON pointer."""
        found: Document = {"path": pointer(*self.path)}
        if self.before is not UNSET:
            found["from"] = self.before
        if self.after is not UNSET:
            found["to"] = self.after
        return found


class NotAsExpected(Exception):
    """A difference does not fit the document it shall be undone in."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(pointer(*difference.path))
        self.difference = difference


def differences(before: Document, after: Document) -> list[Difference]:
    """Return what changed, in the order of the members."""
    found: list[Difference] = []
    _compare((), before, after, found)
    return found


def _compare(
    place: tuple[str, ...], before: Document, after: Document, found: list[Difference]
) -> None:
    for name, old in before.items():
        if name not in after:
            found.append(Difference((*place, name), before=old))
            continue
        new = after[name]
        if new is old:
            continue
        if is_document(old) and is_document(new):
            _compare((*place, name), old, new, found)
        elif not _is_same(old, new):
            found.append(Difference((*place, name), before=old, after=new))
    found.extend(
        Difference((*place, name), after=new) for name, new in after.items() if name not in before
    )


def _is_same(old: object, new: object) -> bool:
    """Whether two values are written alike: in Python true equals 1, at any depth."""
    if type(new) is not type(old) or new != old:
        return False
    if is_document(old) and is_document(new):
        return all(_is_same(part, new[name]) for name, part in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return all(_is_same(*pair) for pair in zip(old, new, strict=True))
    return True


def undone(document: Document, changes: Iterable[Difference], *, force: bool = False) -> Document:
    """Return the document as it was before; NotAsExpected where it has changed again since."""
    result = dict(document)
    for change in changes:
        if not force and value_at(result, change.path) != change.after:
            raise NotAsExpected(change)
        _set(result, change.path, change.before)
    return result


def value_at(document: Document, path: Sequence[str]) -> object:
    """Return the value at a path, UNSET when there is none."""
    here: object = document
    for key in path:
        if not is_document(here) or key not in here:
            return UNSET
        here = here[key]
    return here


def _set(document: Document, path: tuple[str, ...], value: object) -> None:
    """Set or, for UNSET, remove a member of a document whose top level is ours to change."""
    here = document
    for key in path[:-1]:
        inner = here.get(key)
        inner = dict(inner) if is_document(inner) else {}
        here[key] = inner
        here = inner
    if value is UNSET:
        here.pop(path[-1], None)
    else:
        here[path[-1]] = value


def merged(target: object, patch: object) -> object:
    """Return the result of a JSON merge patch (RFC 7396)."""
    if not is_document(patch):
        return patch
    result = dict(target) if is_document(target) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def covers(present: object, wanted: object) -> bool:
    """Whether the present value says everything the wanted one says, and maybe more."""
    if is_document(wanted):
        return is_document(present) and all(
            part is None or covers(present.get(name), part) for name, part in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(present, list)
            and len(present) == len(wanted)
            and all(covers(*pair) for pair in zip(present, wanted, strict=True))
        )
    return type(present) is type(wanted) and present == wanted
