"""A service chain as a value: which traffic goes through which services, and the names it makes.

Everything a chain derives is named after its identity, and the identity is a function of what the
rule says. No counter and no store of its own: two compilers, or one after a restart, name the same
things alike, and a chain whose last rule goes takes exactly its own objects with it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Final

from skytrail.compiler.derived import FqName
from skytrail.model.generated.types import PortType

_NAMESPACE: Final = uuid.UUID("c1a3e3d2-0d5e-5c0b-9a54-2f6f6f1f9d07")
_PREFIX: Final = "service-"
_ID_LENGTH: Final = 36


@dataclass(frozen=True, slots=True)
class Chain:
    """Traffic of one rule between two networks, led through services in order from the left."""

    left: str
    right: str
    services: tuple[str, ...]
    both_ways: bool
    protocol: str
    source_ports: tuple[PortType, ...]
    destination_ports: tuple[PortType, ...]
    retain_as_path: bool = False
    """Not part of the identity."""
    id: str = field(init=False, compare=False)
    """The identity. Kept, because passes ask for it far more often than chains are made."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self._identity())

    def _identity(self) -> str:
        ranges = [
            ",".join(f"{port.start_port}-{port.end_port}" for port in listed)
            for listed in (self.source_ports, self.destination_ports)
        ]
        direction = "<>" if self.both_ways else ">"
        parts = (self.left, self.right, direction, self.protocol, *ranges, *self.services)
        # Names cannot contain control characters, so the parts cannot run into each other.
        return str(uuid.uuid5(_NAMESPACE, "\n".join(parts)))

    def left_instance(self, service: str) -> FqName:
        """Name the routing instance in front of a service, on the chain's left."""
        return (*self.left.split(":"), instance_name(self.id, service))

    def right_instance(self, service: str) -> FqName:
        """Name the routing instance behind a service; services that hide the left have none."""
        return (*self.right.split(":"), instance_name(self.id, service))


def instance_name(chain_id: str, service: str) -> str:
    return f"{_PREFIX}{chain_id}{instance_suffix(service)}"


def instance_suffix(service: str) -> str:
    """Return how the names of a service's routing instances end."""
    return f"-{service.replace(':', '_')}"


def chain_id_of(instance: FqName) -> str | None:
    """Return the chain that a routing instance belongs to, by its name; None for all others."""
    last = instance[-1] if instance else ""
    text = last.removeprefix(_PREFIX)
    if text == last or text[_ID_LENGTH : _ID_LENGTH + 1] != "-":
        return None
    try:
        return str(uuid.UUID(text[:_ID_LENGTH]))
    except ValueError:
        return None


def is_service_instance_name(name: FqName) -> bool:
    """Whether a routing instance's name is one that only chains give."""
    return chain_id_of(name) is not None
