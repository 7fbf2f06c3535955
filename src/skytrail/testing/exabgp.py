"""ExaBGP as a live peer: it announces what commands say, and tells what it hears.

It is of the locked environment in ``build/bgp-decoders`` (``packaging/setup.sh clients``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from skytrail.testing.bgp_routers import EXABGP, OURS, Bench, eventually

PROGRAM = Path(__file__).parents[3] / "build/bgp-decoders/bin/exabgp"
_CONFIG = """
process told {{
  run /bin/sh -c "cat {commands} & exec cat > {heard}";
  encoder json;
}}
neighbor {ours} {{
  router-id {address};
  local-address {address};
  local-as {asn};
  peer-as 64512;
  hold-time 90;
  family {{ {families} }}
  api {{ processes [ told ]; receive {{ parsed; update; }} neighbor-changes; }}
}}
"""

Json = dict[str, object]
Place = tuple[str, str]
"""A family and a route's identity, both as ExaBGP names them."""


class ExaBgp:
    """One process; ``families`` in the words of its configuration."""

    def __init__(self, bench: Bench, families: tuple[str, ...]) -> None:
        folder = bench.folder / "exabgp"
        folder.mkdir()
        self._heard = folder / "heard.json"
        commands = folder / "commands"
        os.mkfifo(commands)
        config = folder / "exabgp.conf"
        config.write_text(
            _CONFIG.format(
                commands=commands, heard=self._heard, ours=OURS, address=EXABGP, asn=64512,
                families=" ".join(f"{family};" for family in families),
            )
        )  # fmt: skip
        settings = ("exabgp_daemon_user=root", "exabgp_api_cli=false", "exabgp_log_level=INFO")
        bench.start("exabgp", "env", *settings, str(PROGRAM), "server", str(config))
        # Opened for both, so that neither side waits for the other and none sees an end.
        self._commands = os.fdopen(os.open(commands, os.O_RDWR), "w")
        eventually(self._heard.exists, "ExaBGP's process")

    def say(self, command: str) -> None:
        """Give a command of its text API, such as ``announce route ...``."""
        self._commands.write(f"{command}\n")
        self._commands.flush()

    def close(self) -> None:
        self._commands.close()

    def routes(self) -> dict[Place, tuple[str, Json, Json]]:
        """Return what it has been told and not told to forget: next hop, route, attributes."""
        found: dict[Place, tuple[str, Json, Json]] = {}
        for update in self._updates():
            attributes = cast("Json", update.get("attribute", {}))
            for family, routes in _items(update.get("withdraw")):
                for route in cast("list[Json]", routes):
                    found.pop((family, _identity(route)), None)
            for family, by_hop in _items(update.get("announce")):
                for hop, routes in _items(by_hop):
                    for route in cast("list[Json]", routes):
                        found[family, _identity(route)] = (hop, route, attributes)
        return found

    def _updates(self) -> Iterator[Json]:
        for line in self._heard.read_text().splitlines():
            try:
                event: Json = json.loads(line)
            except json.JSONDecodeError:
                # The last one, being written.
                continue
            if event["type"] == "update":
                neighbour = cast("dict[str, dict[str, Json]]", event["neighbor"])
                yield neighbour["message"].get("update", {})


def _items(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from cast("dict[str, object]", value).items()


def _identity(route: Json) -> str:
    """Name a route by what its withdrawal names as well."""
    left_out = {"raw", "label", "gateway"} | ({"esi"} if route.get("code") in {2, 5} else set())
    return json.dumps({key: value for key, value in route.items() if key not in left_out})
