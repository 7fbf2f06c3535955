"""Where a packet that enters a service goes on: the other side of its copy. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skytrail.agent.interface import ActivePort, PortState
from skytrail.agent.port_config import Port
from skytrail.agent.share import COPY_SIDES
from skytrail.net import IpAddress


@dataclass(frozen=True, slots=True)
class Passage:
    """What a packet that is not for the port itself enters there."""

    copy: str
    side: str
    other: Port | None
    """Its other side, if that is plugged on this host as well."""
    translates: bool

    def source(self, version: int) -> IpAddress | None:
        """Return who sends the packet on, of a service that does so in its own name."""
        if not self.translates or self.side != COPY_SIDES[0] or self.other is None:
            return None
        own = self.other.addresses
        return next((each for each in own if each.version == version), None)


def passage(ports: Mapping[str, PortState], uuid: str, destination: IpAddress) -> Passage | None:
    """Return the service a packet delivered to a port passes; None: it ends there."""
    state = ports.get(uuid)
    if not isinstance(state, ActivePort):
        return None
    port = state.port
    if not (port.copy and port.chains and port.side in COPY_SIDES) or (
        port.tag is None and destination in port.addresses
    ):
        return None
    others = (each.port for each in ports.values() if isinstance(each, ActivePort))
    other = next(
        (
            each
            for each in others
            if each.copy == port.copy and each.side in COPY_SIDES and each.side != port.side
        ),
        None,
    )
    return Passage(port.copy.partition(" ")[0], port.side, other, port.translates)
