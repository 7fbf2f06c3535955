"""UVEs that every process tells: its state as a part of its node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skytrail.wire.telemetry.messages import Statistic, Uve

FUNCTIONAL = "Functional"
NON_FUNCTIONAL = "Non-Functional"
PROCESS_STATISTIC = Statistic(name="process_mem_cpu_usage", gauges=["process_mem_cpu_usage"])


def node_status(
    table: str,
    node: str,
    module: str,
    *,
    unmet: Sequence[str],
    connections: Sequence[Mapping[str, object]] = (),
    usage: Mapping[str, float] | None = None,
) -> Uve:
    """Return a process's state; ``unmet`` names what it waits for.

    ``connections`` are rows of type, name, server_addrs, status and description; ``usage`` holds
    ``cpu_seconds`` and ``resident_bytes`` of the process.
    """
    state = {
        "module_id": module,
        "instance_id": "0",
        "state": NON_FUNCTIONAL if unmet else FUNCTIONAL,
        "description": f"{', '.join(unmet)} missing" if unmet else "",
        "connection_infos": [dict(each) for each in connections],
    }
    fields: dict[str, object] = {"process_status": [state]}
    if usage is not None:
        fields["process_mem_cpu_usage"] = {module: dict(usage)}
    return Uve(
        table=table,
        key=node,
        struct="NodeStatus",
        fields=fields,
        rules={"process_status": "union"},
        statistics=[PROCESS_STATISTIC] if usage is not None else [],
    )
