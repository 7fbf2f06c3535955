"""What every topic of a lab stands on: its record, its processes, its API."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from skytrail.client import ApiClient, ApiError
from skytrail.client.messages import JsonObject
from skytrail.lab import labs, state
from skytrail.lab.io import netns
from skytrail.lab.io.processes import ProcessTable, Specification
from skytrail.lab.plan import Paths, Plan
from skytrail.lab.state import LabError, LabState
from skytrail.lab.topology import Topology
from skytrail.net import IpAddress

BGP_ROUTERS = ("default-domain", "default-project", "ip-fabric", "__default__")
"""The routing instance BGP speakers belong to."""
READY_TIMEOUT_S = 60.0

T = TypeVar("T")


class RunningLab:
    """A lab's record and what reads and starts things by it."""

    def __init__(self, lab_state: LabState) -> None:
        self.state = lab_state
        self.topology: Topology = lab_state.topology()
        self.plan: Plan = lab_state.plan()
        self.paths: Paths = state.paths_of(lab_state.name)
        self.processes = ProcessTable(self.paths.processes, self.paths.logs)
        self._lock_file = labs.directory() / f".{lab_state.name}.lock"

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.state.api_port}"

    @property
    def analytics_url(self) -> str:
        """Where analytics answers; empty when the lab has none."""
        return f"http://127.0.0.1:{port}" if (port := self.state.analytics_port) else ""

    def scratch_namespace(self, purpose: str) -> str:
        """Name for a namespace of a measurement; what is left of them goes with the lab.

        The dot, which no name of a lab has, keeps them apart from another lab's nodes.
        """
        return f"{self.name}.{purpose}"

    def api(self) -> ApiClient:
        """Return a client of this lab's API; close it after use."""
        return ApiClient(self.api_url)

    def _create(self, type_name: str, content: JsonObject) -> None:
        """Create an object unless it exists."""
        with self.api() as api:
            try:
                api.create(type_name, content)
            except ApiError as error:
                if error.status != 409:
                    raise

    def _create_bgp_router(self, name: str, address: IpAddress, **parameters: object) -> None:
        own = {"address": str(address), "identifier": str(address)}
        content: JsonObject = {
            "fq_name": [*BGP_ROUTERS, name],
            "parent_type": "routing-instance",
            "bgp_router_parameters": {**own, **parameters},
        }
        self._create("bgp-router", content)

    def _start(
        self,
        name: str,
        command: Sequence[str],
        namespace: str | None = None,
        *,
        ready: str | None = "skytrail-",
    ) -> None:
        line = netns.inside(namespace, command) if namespace else command
        specification = Specification(
            name=name, command=tuple(line), ready=ready, environment={"PYTHONUNBUFFERED": "1"}
        )
        self.processes.start(specification)

    def _wait_for(self, look: Callable[[], T | None], complaint: str) -> T:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > deadline:
                raise LabError(complaint)
            time.sleep(0.1)
