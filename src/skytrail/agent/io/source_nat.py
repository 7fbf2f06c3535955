"""The links of addresses by which workloads leave: one for each, that nobody is at.

Such a link only gives the port an interface index; packets of workloads and their answers never pass
it. It is one end of a veth pair, because every kernel that hosts run on has that kind.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

import structlog

from skytrail.agent.config import ConfigGraph
from skytrail.agent.interface import PluggedPort
from skytrail.agent.source_nat import DEVICE_START, device_of, ports_here
from skytrail.agent.tables import InterfaceKind


class SourceNatLinks:
    """Keeps the links as configuration has the ports."""

    def __init__(self) -> None:
        self._version = -1
        self._wanted: set[str] = set()
        self._log = structlog.get_logger("skytrail.agent.source_nat")

    def plugs(
        self, graph: ConfigGraph, plugged: Mapping[str, PluggedPort]
    ) -> tuple[list[PluggedPort], list[str]]:
        """Return the ports to plug, whose links are there now, and those to unplug."""
        if graph.version != self._version:
            self._version = graph.version
            # What somebody else plugged is a workload, whatever is said of its machine.
            self._wanted = {
                uuid
                for uuid in ports_here(graph)
                if uuid not in plugged or plugged[uuid].kind is InterfaceKind.SNAT
            }
        new = [
            PluggedPort(uuid, "", device_of(uuid), InterfaceKind.SNAT)
            for uuid in sorted(self._wanted)
            if (uuid not in plugged or not plugged[uuid].ifindex) and self._make(device_of(uuid))
        ]
        old = [
            uuid
            for uuid, port in plugged.items()
            if port.kind is InterfaceKind.SNAT and uuid not in self._wanted
        ]
        for uuid in old:
            if plugged[uuid].ifname.startswith(DEVICE_START):
                _ip("del", "dev", plugged[uuid].ifname)
        return new, old

    def _make(self, name: str) -> bool:
        """Make a link unless it is there."""
        refusal = _ip("add", "name", name, "type", "veth", "peer", "name", f"{name}x")
        if "exists" in refusal:
            refusal = ""
        refusal = refusal or _ip("set", "dev", name, "up")
        if refusal:
            self._log.warning("link_refused", ifname=name, error=refusal)
        return not refusal


def _ip(*arguments: str) -> str:
    """Return what is wrong; empty: nothing."""
    done = subprocess.run(["ip", "link", *arguments], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""
