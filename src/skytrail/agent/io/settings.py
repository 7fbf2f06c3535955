"""What an agent is told on its command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from skytrail.net import IpAddress
from skytrail.runtime.mutual_tls import TlsFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    name: str
    controls: tuple[tuple[str, int], ...]
    underlay: tuple[str, ...]
    """Links into the underlay. Of several the kernel's routes choose, and ``address`` is on lo."""
    address: IpAddress
    state: Path
    plug_socket: Path
    dns_forwarder: IpAddress | None = None
    priority_tags: bool = False
    uplink_mbps: int = 0
    """Speed of the underlay's link, for queues; 0: what it says of itself."""
    certificates: Path = Path("/etc/skytrail/certificates")
    """What load balancers show to clients, by name."""
    tls: TlsFolder | None = None
    """Say and believe nothing without TLS; None: none is used."""
    metadata_secret: Path | None = None
    """File of what Nova shares with its proxies; None: questions to it are not signed."""
    further_ends: tuple[IpAddress, ...] = ()
    """Tunnels may come from these as well (``tunnel_ends``)."""
    takes_any_end: bool = False
    """They may come from anywhere."""
    sessions_per_second: int | None = None
    """Told to the analytics node at most; None: as configured for all hosts."""
