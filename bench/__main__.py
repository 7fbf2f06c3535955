"""`make bench [NAME=…]`: runs one benchmark, or all of them one after the other.

Each module in this folder with a ``run()`` function is a benchmark. It prints one line for each
figure and leaves all of them in ``build/bench/<name>.json``.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NOT_BENCHMARKS = {"__main__", "__init__", "figures"}


def names() -> list[str]:
    """Every benchmark there is, in alphabetical order."""
    folder = Path(__file__).parent
    return sorted(
        path.stem
        for path in folder.glob("*.py")
        if path.stem not in NOT_BENCHMARKS and "\ndef run(" in path.read_text()
    )


def main(arguments: list[str]) -> int:
    known = names()
    wanted = arguments or known
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        print(
            f"bench: no benchmark named {', '.join(unknown)}; there are: {', '.join(known)}",
            file=sys.stderr,
        )
        return 2
    for name in wanted:
        print(f"== {name}", flush=True)
        importlib.import_module(f"bench.{name}").run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
