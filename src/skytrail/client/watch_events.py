"""The events of a watch and their wire form, one JSON object per line; pure.

A watch begins with a snapshot, unless it resumes:
SnapshotBegin, ObjectPut*, SnapshotEnd, then ObjectPut | ObjectDelete ..., RevisionEnd, ...
A SnapshotBegin may come again at any time: drop what an unfinished snapshot brought, collect
anew, and at SnapshotEnd remove whatever was not in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

JsonObject = dict[str, object]


@dataclass(frozen=True, slots=True)
class SnapshotBegin:
    revision: int


@dataclass(frozen=True, slots=True)
class ObjectPut:
    """``object`` is the wire JSON of the whole object as of ``revision``."""

    type: str
    uuid: str
    revision: int
    object: JsonObject


@dataclass(frozen=True, slots=True)
class ObjectDelete:
    type: str
    uuid: str
    fq_name: tuple[str, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    revision: int
    history: str = field(default="", compare=False)
    """Stands for everything up to this revision."""


@dataclass(frozen=True, slots=True)
class RevisionEnd:
    """All changes of this revision, and of every earlier one, have been delivered."""

    revision: int
    history: str = field(default="", compare=False)
    derived_from: int | None = field(default=None, compare=False)
    """The revision that the compiler derived what it wrote here from; None: it wrote nothing."""
    is_mixed: bool = field(default=False, compare=False)
    """Others wrote as well."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Nothing changed up to this revision; the client keeps it to itself."""

    revision: int
    history: str = field(default="", compare=False)


WatchEvent = SnapshotBegin | ObjectPut | ObjectDelete | SnapshotEnd | RevisionEnd


class LineInvalid(Exception):
    """A line of the stream is not an event of the protocol."""


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    revision: int
    history: str = ""
    derived_from: int | None = None
    mixed: bool = False
    type: str = ""
    uuid: str = ""
    fq_name: tuple[str, ...] = ()
    content: JsonObject | None = msgspec.field(default=None, name="object")


_DECODER = msgspec.json.Decoder(_Line)


def decode_line(line: bytes) -> WatchEvent | Bookmark | None:
    """Decode one line; None for a kind a newer server may send. Raises LineInvalid."""
    try:
        found = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LineInvalid(f"{error} in {line[:80]!r}") from error
    match found.kind:
        case "put":
            if found.content is None:
                raise LineInvalid(f"put without object in {line[:80]!r}")
            return ObjectPut(found.type, found.uuid, found.revision, found.content)
        case "delete":
            return ObjectDelete(found.type, found.uuid, found.fq_name, found.revision)
        case "revision_end":
            return RevisionEnd(found.revision, found.history, found.derived_from, found.mixed)
        case "snapshot_begin":
            return SnapshotBegin(found.revision)
        case "snapshot_end":
            return SnapshotEnd(found.revision, found.history)
        case "bookmark":
            return Bookmark(found.revision, found.history)
        case _:
            return None


class ResumePoint:
    """Works out from the events seen which revision to ask for after a disconnect; pure.

    ``from_revision`` None asks for a snapshot: at the start, and while one is unfinished.
    """

    def __init__(self, from_revision: int | None = None) -> None:
        self.from_revision = from_revision
        self.history = ""
        """What led to the revision before; a store that was restored has it with another one."""

    def note(self, event: WatchEvent | Bookmark) -> bool:
        """Take an event into account; tell whether it moved the point forward."""
        match event:
            case SnapshotBegin():
                self.from_revision = None
            case SnapshotEnd() | RevisionEnd() | Bookmark():
                self.from_revision, self.history = event.revision + 1, event.history
                return True
            case ObjectPut() | ObjectDelete():
                pass  # Its revision may be incomplete until RevisionEnd.
        return False


class LineBuffer:
    """Cuts a byte stream into lines; raises LineInvalid for one over the bound."""

    def __init__(self, line_bytes_max: int) -> None:
        self._line_bytes_max = line_bytes_max
        self._rest = bytearray()

    def add(self, chunk: bytes) -> list[bytes]:
        """Return the lines the chunk completes."""
        end = chunk.rfind(b"\n")
        if end < 0:
            self._rest += chunk
            self._check(len(self._rest))
            return []
        lines = (bytes(self._rest) + chunk[:end]).split(b"\n")
        self._rest = bytearray(chunk[end + 1 :])
        self._check(max(len(self._rest), *map(len, lines)))
        return [line for line in lines if line]

    def _check(self, size: int) -> None:
        if size > self._line_bytes_max:
            raise LineInvalid(f"a line exceeds {self._line_bytes_max} bytes")
