"""The agent's side of the relay: what is to be relayed, and how that goes.

What the relay was told it keeps in memory; keys are on no disk because of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from pathlib import Path

import msgspec

from skytrail.agent.bgp_relay import PROTOCOL, RelaySpec, relay_specs
from skytrail.agent.interface import PluggedPort, PortState
from skytrail.agent.io.bgp_relay import RelayReport, RelayRequest, RelayState
from skytrail.agent.io.companion import Companion
from skytrail.agent.io.netlink import link_index
from skytrail.net import IpAddress


class BgpRelays:
    """What is to be relayed, and how that goes."""

    def __init__(self, path: Path) -> None:
        self._wanted: dict[str, RelaySpec] | None = None
        """None: not known yet, and whatever a former agent said holds."""
        self._states: dict[str, RelayState] = {}
        self._process = Companion("skytrail.daemons.bgp_relay", path, (), self._heard)

    def follow(
        self,
        ports: Iterable[PortState],
        controls: tuple[IpAddress, ...],
        source: IpAddress,
    ) -> None:
        """Take over what the ports need now."""
        wanted = relay_specs(ports, controls, source)
        if wanted != self._wanted:
            self._wanted = wanted
            request = RelayRequest(PROTOCOL, tuple(wanted.values()))
            self._process.tell(msgspec.json.encode(request), has_work=bool(wanted))

    def run(self) -> Awaitable[None]:
        """Keep the relay running as long as a port needs it, until cancelled."""
        return self._process.run()

    def _heard(self, line: bytes | None) -> None:
        report = RelayReport() if line is None else msgspec.json.decode(line, type=RelayReport)
        self._states = {state.port: state for state in report.relays}

    def ifindex_of(self, port: PluggedPort) -> int:
        """Return the index of what joins a port to the relay now, or 0."""
        spec = (self._wanted or {}).get(port.vmi_uuid)
        if spec is None:
            # Not known yet after a start: what was there goes on.
            return port.relay_ifindex if self._wanted is None else 0
        return link_index(spec.device)

    def rows(self) -> Iterable[Mapping[str, object]]:
        """Yield every port that is relayed, without keys."""
        for port, spec in sorted((self._wanted or {}).items()):
            state = self._states.get(port)
            yield {
                "vmi_uuid": port,
                "device": spec.device,
                "signed": spec.is_signed,
                "gates": {gate.address: gate.control for gate in spec.gates},
                "state": "starting" if state is None else "failed" if state.problem else "running",
                "problem": "" if state is None else state.problem,
                "sessions": 0 if state is None else state.sessions,
                "accepted": 0 if state is None else state.accepted,
            }
