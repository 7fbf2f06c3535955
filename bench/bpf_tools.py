"""Programs of tools/, compiled for benchmarks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from bench.figures import BUILD_FOLDER

TOOLS = Path(__file__).parent / "tools"


def compile_bpf(name: str) -> Path:
    """Compile tools/<name>.bpf.c; return build/bench/<name>.bpf.o."""
    BUILD_FOLDER.mkdir(parents=True, exist_ok=True)
    compiler = os.environ.get("CLANG", "clang-14")
    machine = os.uname().machine
    compiled = BUILD_FOLDER / f"{name}.bpf.o"
    subprocess.run(
        [
            *(compiler, "-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall"),
            *(f"-I/usr/include/{machine}-linux-gnu", "-c", str(TOOLS / f"{name}.bpf.c")),
            *("-o", str(compiled)),
        ],
        check=True,
    )
    return compiled
