"""What a host is told of an address by which workloads leave for an external network.

The compiler writes it into an annotation of the machine that stands for the address on that host;
the agent reads it (ADR 0360).
"""

from __future__ import annotations

from typing import Final

import msgspec

NAME_START: Final = "source-nat-"
"""Of the machines, ports and addresses that the compiler makes."""


class SourceNat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose sources the address stands for."""

    instances: tuple[str, ...]
    """Default routing instances of the networks that are led out by it."""
    inside: tuple[str, ...] = ()
    """Prefixes of these networks: whom nobody has there is not looked for outside."""


def name_of(network: str, host: str) -> str:
    """Return the name of what stands on a host for an address of a network; both by uuid."""
    return f"{NAME_START}{network}-{host}"
