"""Wire names as identifiers of Java and Go: one rule, collisions are errors."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence

_CAPITALS = re.compile(r"^[A-Z]+(?=[A-Z][a-z]|$)|^[A-Z]")


def capitalised(wire_name: str) -> str:
    """`virtual_DNS_data` -> `VirtualDNSData`, `dscpListIPv4` -> `DscpListIPv4`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[_-]", wire_name))


def camel_case(wire_name: str) -> str:
    """`virtual_DNS_data` -> `virtualDNSData`, `LANSegmentList` -> `lanSegmentList`."""
    return _CAPITALS.sub(lambda found: found[0].lower(), capitalised(wire_name))


def check_unique(
    owner: str, wire_names: Iterable[str], identifier: Callable[[str], str], *, taken: Sequence[str]
) -> None:
    """Raise ValueError when two members would have one identifier."""
    seen = dict.fromkeys(taken, "what every object has")
    for name in wire_names:
        found = identifier(name)
        if found in seen:
            raise ValueError(f"{owner}: {name!r} and {seen[found]!r} are both called {found!r}")
        seen[found] = name


def comment_lines(text: str, width: int) -> list[str]:
    """The text wrapped for a comment, words whole."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
