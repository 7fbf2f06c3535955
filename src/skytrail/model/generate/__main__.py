"""`python -m skytrail.model.generate [--check]`: writes, or compares, everything generated."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from skytrail.model.generate.outputs import generated_files, stale_files
from skytrail.model.meta import SCHEMA_DIRECTORY, SchemaError

_ROOT = Path(__file__).parents[4]


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 fresh or written, 1 stale (with --check), 2 the schema is wrong."""
    parser = argparse.ArgumentParser(prog="python -m skytrail.model.generate")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    parser.add_argument("--schema", type=Path, default=SCHEMA_DIRECTORY, help="schema folder")
    parser.add_argument("--root", type=Path, default=_ROOT, help="where src/ and docs/ are")
    options = parser.parse_args(arguments)
    try:
        files = generated_files(options.schema)
    except (SchemaError, ValueError) as error:
        print(f"schema error: {error}", file=sys.stderr)
        return 2
    stale = stale_files(files, options.root)
    if options.check:
        for path in stale:
            print(f"stale: {path} (run `make generate`)", file=sys.stderr)
        return 1 if stale else 0
    write(files, stale, options.root)
    print(f"generated {len(files)} files, {len(stale)} changed")
    return 0


def write(files: Mapping[str, str], stale: list[str], root: Path) -> None:
    """Brings the stale files up to date and removes those nobody generates any more."""
    for name in stale:
        path = root / name
        if name in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[name], encoding="utf-8")
        else:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
