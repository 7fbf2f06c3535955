"""Which kernel tables have a size of the operator's choice, and how it is written. Pure.

The others are as large as the numbers in their keys can be: interfaces, next hops, labels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

FORGETFUL: Final = frozenset({"fragments"})
"""What they hold is of no use a moment later."""
SIZABLE: Final = FORGETFUL | {
    "bgp_services",
    "bridges",
    "fat_flows",
    "floating_ports",
    "floatings",
    "floods",
    "policy_identities",
    "policy_prefixes4",
    "policy_prefixes6",
    "routes4",
    "routes6",
    "source_ports",
    "sources4",
    "sources6",
    "verdicts",
    "vnis",
}
COUNT_MIN: Final = 1_024
COUNT_MAX: Final = 16_777_216
_DIGITS_MAX: Final = len(str(COUNT_MAX))


def read_sizes(texts: Iterable[str]) -> dict[str, int]:
    """Read ``NAME=COUNT`` each; ``ValueError`` says what is wrong with one."""
    found: dict[str, int] = {}
    for text in texts:
        name, _, count = text.partition("=")
        if name not in SIZABLE:
            known = ", ".join(sorted(SIZABLE))
            raise ValueError(
                f"{name[:64]!r} is not a table with a size of choice; these are: {known}"
            )
        is_number = count.isascii() and count.isdigit() and len(count) <= _DIGITS_MAX
        if not (is_number and COUNT_MIN <= int(count) <= COUNT_MAX):
            raise ValueError(
                f"{text[:64]!r}: the size is a number of entries from {COUNT_MIN} to {COUNT_MAX}"
            )
        found[name] = int(count)
    return found
