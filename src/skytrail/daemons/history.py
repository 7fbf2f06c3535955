"""``python -m skytrail.daemons.history``: the embedded store of analytics, one owning process."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from skytrail.analytics.io.engine import serve_engine
from skytrail.runtime import logs
from skytrail.runtime.processes import print_ready
from skytrail.runtime.tasks import run_until_signal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; return its exit status."""
    parser = argparse.ArgumentParser(prog="skytrail-history", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the store")
    parser.add_argument("--socket", type=Path, required=True, help="where statements are taken")
    parser.add_argument("--log-level", default="info", choices=logs.LEVELS)
    parser.add_argument("--log-json", action="store_true")
    options = parser.parse_args(arguments)
    logs.configure(level=options.log_level, json=options.log_json)
    return run_until_signal(
        lambda: serve_engine(
            options.data,
            options.socket,
            lambda: print_ready("history", data=options.data, socket=options.socket),
        ),
        expected=(RuntimeError,),
    )


if __name__ == "__main__":
    sys.exit(main())
