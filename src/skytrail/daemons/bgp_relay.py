"""The relay of workloads' BGP: ``python -m skytrail.daemons.bgp_relay --socket PATH``.

The agent starts it when a port needs it, and it outlives the agent: sessions go on while the agent
restarts. It ends when the agent has nothing to relay any more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from skytrail.agent.io.bgp_relay import BgpRelay
from skytrail.runtime import logs, tasks


def main(arguments: list[str] | None = None) -> int:
    """Serve until there is nothing to do; return the exit status."""
    parser = argparse.ArgumentParser(prog="skytrail-bgp-relay", description=__doc__)
    parser.add_argument("--socket", required=True, type=Path, help="where the agent speaks")
    parser.add_argument("--log-level", choices=logs.LEVELS, default="info")
    parser.add_argument("--log-json", action="store_true")
    options = parser.parse_args(arguments)
    logs.configure(options.log_level, json=options.log_json)
    return tasks.run_until_signal(lambda: _serve(options.socket))


async def _serve(path: Path) -> None:
    await BgpRelay().serve(path)


if __name__ == "__main__":
    sys.exit(main())
