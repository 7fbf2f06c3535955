"""The keeper of load balancers' copies: ``python -m skytrail.daemons.balancers --socket PATH``.

The agent starts it when configuration has a copy on this host, and it outlives the agent: HAProxy
goes on while the agent restarts. It ends when the host has no copy any more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from skytrail.agent.io.balancer_keeper import BalancerKeeper
from skytrail.runtime import logs, tasks


def main(arguments: list[str] | None = None) -> int:
    """Serve until there is nothing to do; return the exit status."""
    parser = argparse.ArgumentParser(prog="skytrail-balancers", description=__doc__)
    parser.add_argument("--socket", required=True, type=Path, help="where the agent speaks")
    parser.add_argument("--folder", required=True, type=Path, help="for configurations")
    parser.add_argument("--log-level", choices=logs.LEVELS, default="info")
    parser.add_argument("--log-json", action="store_true")
    options = parser.parse_args(arguments)
    logs.configure(options.log_level, json=options.log_json)
    return tasks.run_until_signal(lambda: _serve(options.socket, options.folder))


async def _serve(path: Path, folder: Path) -> None:
    await BalancerKeeper(folder).serve(path)


if __name__ == "__main__":
    sys.exit(main())
