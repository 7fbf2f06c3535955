"""Command lines of the daemons a lab runs. Pure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from skytrail.lab.plan import Node, Paths, Plan
from skytrail.lab.topology import Topology

API = "api"
COMPILER = "compiler"
ANALYTICS = "analytics"
HISTORY = "history"
CONTROL_PORT = 5269


def agent_name(node: Node) -> str:
    """The name an agent goes by on the control plane: unique on the machine, so labs coexist."""
    return node.namespace


def api(
    paths: Paths, port: int, hosts: Sequence[Node] = (), extra: Sequence[str] = ()
) -> list[str]:
    agents = (f"{agent_name(node)}={paths.introspect_socket(node.name)}" for node in hosts)
    return _daemon(
        "api",
        *("--data", str(paths.store), "--host", "127.0.0.1", "--port", str(port)),
        *("--socket", str(paths.api_socket)),
        *("--analytics", f"unix:{paths.introspect_socket(ANALYTICS)}"),
        *(text for agent in agents for text in ("--agent", agent)),
        *extra,
    )


def compiler(paths: Paths, extra: Sequence[str] = ()) -> list[str]:
    return _daemon(
        "compiler",
        *("--api-socket", str(paths.api_socket)),
        *("--socket", str(paths.introspect_socket(COMPILER)), *extra),
    )


def analytics(paths: Paths, port: int) -> list[str]:
    return _daemon(
        "analytics",
        *("--name", "analytics", "--port", str(port)),
        *("--socket", str(paths.introspect_socket(ANALYTICS))),
        *("--api-socket", str(paths.api_socket)),
        *("--telemetry-socket", str(paths.telemetry_socket)),
        *("--history", str(paths.history_socket), "--spool", str(paths.spool)),
    )


def history(paths: Paths) -> list[str]:
    return _daemon(
        "history", *("--data", str(paths.history), "--socket", str(paths.history_socket))
    )


def told(paths: Paths, *, is_on: bool) -> tuple[str, ...]:
    """Return the setting of a daemon that tells the analytics node of itself."""
    return ("--collector", f"unix:{paths.telemetry_socket}") if is_on else ()


def tls(paths: Paths, node: Node, *, is_on: bool) -> tuple[str, ...]:
    """Return the one setting of a daemon whose sessions shall be encrypted."""
    return ("--xmpp-tls", str(paths.certificate(node.name))) if is_on else ()


def metadata(topology: Topology, source: str) -> tuple[str, ...]:
    """Return the setting of an agent that signs questions to the metadata service."""
    if topology.metadata_secret is None:
        return ()
    return ("--metadata-secret", str(Path(source).parent.absolute() / topology.metadata_secret))


def control(paths: Paths, node: Node, extra: Sequence[str] = ()) -> list[str]:
    return _daemon(
        "control",
        *("--api-socket", str(paths.api_socket), "--name", node.namespace),
        *("--listen", str(node.place), "--port", str(CONTROL_PORT)),
        *("--bgp-listen", str(node.place)),
        *("--socket", str(paths.introspect_socket(node.name)), *extra),
    )


def agent(
    paths: Paths, plan: Plan, node: Node, controllers: Sequence[str], extra: Sequence[str] = ()
) -> list[str]:
    """``controllers`` names those it connects to; none: all."""
    controls = [
        word
        for controller in plan.controllers
        if not controllers or controller.name in controllers
        for word in ("--control", _endpoint(controller))
    ]
    return _daemon(
        "agent",
        *("--name", agent_name(node), *controls),
        *("--underlay", ",".join(node.ifnames), "--address", str(node.place)),
        *("--state", str(paths.agent_state(node.name))),
        *("--certificates", str(paths.agent_state(node.name) / "certificates")),
        *("--socket", str(paths.introspect_socket(node.name))),
        *("--plug-socket", str(paths.plug_socket(node.name)), *extra),
    )


def _endpoint(controller: Node) -> str:
    host = str(controller.place)
    return f"[{host}]:{CONTROL_PORT}" if ":" in host else f"{host}:{CONTROL_PORT}"


def _daemon(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"skytrail.daemons.{name}", *arguments]
