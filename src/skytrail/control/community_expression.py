r"""Regular expressions of routing policies, matched in a time that their authors cannot stretch.

Tenants write them and one process judges everybody's routes: an expression such as ``((.+)+)+x``
keeps a backtracking matcher busy for hours on two dozen characters. Here all ways through an
expression are followed at once (Thompson's construction), so that a match costs at most the text's
length times ``STEPS_COUNT_MAX``. What needs memory of what was matched (references, looking ahead)
does not exist. Pure.

Understood: characters, ``.``, ``[...]``, ``( )``, ``(?: )``, ``|``, ``*``, ``+``, ``?``, ``{m,n}``, ``^``,
``$``, and ``\d \w \s`` with their opposites.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

STEPS_COUNT_MAX = 256
_LENGTH_MAX = 256
_DEPTH_MAX = 32
_CACHE_COUNT_MAX = 4096
_SPECIAL = frozenset("\\.[](){}*+?|^$")
_REPEAT = re.compile(r"\{(\d{1,3})?(,(\d{1,3})?)?\}", re.ASCII)
_ESCAPED: dict[str, Callable[[str], bool]] = {
    "d": str.isdecimal,
    "w": lambda character: character.isalnum() or character == "_",
    "s": str.isspace,
}

Taken: TypeAlias = Callable[[str], bool]
"""Whether a step may take a character."""


class ExpressionInvalid(ValueError):
    """The text is no expression, or one that is too large; the message says why."""


@dataclass(frozen=True, slots=True)
class _Step:
    """``taken``: take a character and go on with the next step. ``following``: go on with these.

    With neither, the step holds at one end of the text only: ``^`` or ``$``.
    """

    taken: Taken | None = None
    following: tuple[int, ...] = ()
    """Relative to this step, so that pieces can be put together as they are."""
    place: str = ""


_Piece: TypeAlias = tuple[_Step, ...]


class Expression:
    """A compiled expression; ``ExpressionInvalid`` when it is none."""

    __slots__ = ("_steps",)

    def __init__(self, text: str) -> None:
        if len(text) > _LENGTH_MAX:
            raise ExpressionInvalid(f"more than {_LENGTH_MAX} characters")
        self._steps = _Reader(text).read()

    def matches(self, text: str) -> bool:
        """Tell whether the whole text is what the expression describes."""
        steps = self._steps
        current = self._reached([0], is_start=True, is_end=not text)
        for position, character in enumerate(text, 1):
            taking = [
                at + 1
                for at in current
                if at < len(steps) and (taken := steps[at].taken) is not None and taken(character)
            ]
            current = self._reached(taking, is_start=False, is_end=position == len(text))
            if not current:
                return False
        return len(steps) in current

    def _reached(self, pending: list[int], *, is_start: bool, is_end: bool) -> dict[int, None]:
        """Return all steps that are come to without taking a character."""
        steps = self._steps
        reached: dict[int, None] = {}
        while pending:
            at = pending.pop()
            if at in reached:
                continue
            reached[at] = None
            if at == len(steps):
                continue
            step = steps[at]
            pending += [at + each for each in step.following]
            if (step.place == "^" and is_start) or (step.place == "$" and is_end):
                pending.append(at + 1)
        return reached


@lru_cache(maxsize=_CACHE_COUNT_MAX)
def expression_of(text: str) -> Expression | None:
    """Return the expression, None for a text that is none."""
    try:
        return Expression(text)
    except ExpressionInvalid:
        return None


class _Reader:
    """Reads one expression from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def read(self) -> _Piece:
        piece = self._alternatives()
        if self._at < len(self._text):
            raise ExpressionInvalid(f"unmatched ) at {self._at}")
        return piece

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        if not character:
            raise ExpressionInvalid("it ends too early")
        self._at += 1
        return character

    def _alternatives(self) -> _Piece:
        piece = self._sequence()
        while self._peek() == "|":
            self._at += 1
            piece = _either(piece, self._sequence())
        return piece

    def _sequence(self) -> _Piece:
        piece: _Piece = ()
        while self._peek() not in {"", "|", ")"}:
            is_place = self._peek() in {"^", "$"}
            atom = self._atom()
            if is_place and self._peek() in {"*", "+", "?", "{"}:
                raise ExpressionInvalid(f"nothing to repeat at {self._at}")
            piece = _bounded((*piece, *self._repeated(atom)))
        return piece

    def _repeated(self, piece: _Piece) -> _Piece:
        found = self._bounds()
        if found is None:
            return piece
        if self._peek() == "?":
            # Which of several ways is tried first does not matter for the whole of a text.
            self._at += 1
        if self._peek() in {"*", "+"} or self._bounds() is not None:
            raise ExpressionInvalid(f"repeated twice at {self._at}")
        return _times(piece, *found)

    def _bounds(self) -> tuple[int, int | None] | None:
        match self._peek():
            case "*":
                bounds = (0, None)
            case "+":
                bounds = (1, None)
            case "?":
                bounds = (0, 1)
            case "{":
                return self._counted()
            case _:
                return None
        self._at += 1
        return bounds

    def _counted(self) -> tuple[int, int | None]:
        found = _REPEAT.match(self._text, self._at)
        if found is None or found.group() in {"{}", "{,}"}:
            raise ExpressionInvalid(f"no count at {self._at}")
        self._at = found.end()
        least = int(found.group(1) or 0)
        most = None if found.group(2) == "," else int(found.group(3) or least)
        if most is not None and most < least:
            raise ExpressionInvalid(f"at least {least} and at most {most}")
        return least, most

    def _atom(self) -> _Piece:
        match character := self._next():
            case "(":
                return self._group()
            case "[":
                return (_Step(taken=self._set()),)
            case ".":
                return (_Step(taken=lambda found: found != "\n"),)
            case "\\":
                return (_Step(taken=self._escaped()),)
            case "^" | "$":
                return (_Step(place=character),)
            case _ if character in _SPECIAL - {"]", "}"}:
                raise ExpressionInvalid(f"nothing to repeat at {self._at - 1}")
            case _:
                return (_Step(taken=character.__eq__),)

    def _group(self) -> _Piece:
        if self._text.startswith("?:", self._at):
            self._at += 2
        elif self._peek() == "?":
            raise ExpressionInvalid(f"a kind of group that does not exist here at {self._at}")
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise ExpressionInvalid(f"more than {_DEPTH_MAX} groups inside each other")
        piece = self._alternatives()
        if self._next() != ")":
            raise ExpressionInvalid("a group without its end")
        self._depth -= 1
        return piece

    def _escaped(self) -> Taken:
        character = self._next()
        taken = _ESCAPED.get(character.lower())
        if taken is not None:
            return taken if character.islower() else _not(taken)
        return self._literal(character).__eq__

    def _literal(self, character: str) -> str:
        if character in string.ascii_letters or character.isdigit():
            raise ExpressionInvalid(f"\\{character} does not exist here")
        return character

    def _set(self) -> Taken:
        is_opposite = self._peek() == "^"
        self._at += is_opposite
        members: list[Taken] = []
        while self._peek() != "]" or not members:
            members.append(self._member())
        self._at += 1
        taken = _any_of(members)
        return _not(taken) if is_opposite else taken

    def _is_range(self) -> bool:
        return self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in {"", "]"}

    def _member(self) -> Taken:
        first = self._next()
        if first == "\\":
            if self._peek().lower() in _ESCAPED:
                taken = self._escaped()
                if self._is_range():
                    raise ExpressionInvalid(f"a range from many characters at {self._at}")
                return taken
            first = self._literal(self._next())
        if not self._is_range():
            return first.__eq__
        self._at += 1
        last = self._next()
        if last == "\\":
            last = self._literal(self._next())
        if last < first:
            raise ExpressionInvalid(f"the range {first}-{last} is empty")
        return lambda found: first <= found <= last


def _bounded(piece: _Piece) -> _Piece:
    if len(piece) > STEPS_COUNT_MAX:
        raise ExpressionInvalid(
            f"more than {STEPS_COUNT_MAX} steps once its repeats are written out"
        )
    return piece


def _either(first: _Piece, second: _Piece) -> _Piece:
    fork = _Step(following=(1, len(first) + 2))
    return _bounded((fork, *first, _Step(following=(len(second) + 1,)), *second))


def _optional(piece: _Piece) -> _Piece:
    return (_Step(following=(1, len(piece) + 1)), *piece)


def _times(piece: _Piece, least: int, most: int | None) -> _Piece:
    _bounded(piece * min(least, STEPS_COUNT_MAX + 1))
    repeated = piece * least
    if most is None:
        back = _Step(following=(-len(piece) - 1,))
        skip = _Step(following=(1, len(piece) + 2))
        return _bounded((*repeated, skip, *piece, back))
    for _ in range(most - least):
        repeated = _bounded((*repeated, *_optional(piece)))
    return repeated


def _not(taken: Taken) -> Taken:
    return lambda character: not taken(character)


def _any_of(members: Iterable[Taken]) -> Taken:
    every = tuple(members)
    return lambda character: any(each(character) for each in every)
