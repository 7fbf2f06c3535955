"""Gathers what a control node tells the analytics node."""

from __future__ import annotations

from collections.abc import Iterator

from skytrail.control.service import ControlService
from skytrail.control.uves import CONTROL_NODES, uves
from skytrail.runtime.telemetry import usage_of_this_process
from skytrail.wire.telemetry import Uve, node_status

MODULE = "contrail-control"
NODE_TYPE = "Control"


async def uves_of(service: ControlService) -> list[Uve]:
    """Return all that a control node tells."""
    return list(_uves(service))


def _uves(service: ControlService) -> Iterator[Uve]:
    name, unmet = service.settings.name, service.unmet()
    yield node_status(
        CONTROL_NODES,
        name,
        MODULE,
        unmet=unmet,
        connections=[
            {
                "type": "Config",
                "name": "api",
                "server_addrs": [service.settings.api_socket or service.settings.api_url],
                "status": "Down" if "api watch" in unmet else "Up",
                "description": "",
            }
        ],
        usage=usage_of_this_process(),
    )
    yield from uves(name, service.plane)
