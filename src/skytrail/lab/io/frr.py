"""FRR's daemons as labs run them: one folder each, nothing of the machine's own FRR."""

from __future__ import annotations

import shutil
from pathlib import Path

PROGRAMS = Path("/usr/lib/frr")
DAEMONS = ("zebra", "bgpd")


def is_installed() -> bool:
    return (PROGRAMS / "bgpd").exists()


def prepare(folder: Path) -> None:
    """Make the folder a router's daemons work in."""
    folder.mkdir(parents=True, exist_ok=True)
    # FRR gives up root and must still write its sockets and process numbers.
    shutil.chown(folder, "frr", "frr")


def configure(folder: Path, daemon: str, text: str) -> None:
    (folder / f"{daemon}.conf").write_text(text)


def command(folder: Path, daemon: str) -> list[str]:
    """Return a daemon's command, to be run in the router's namespace; zebra goes first."""
    return [
        str(PROGRAMS / daemon),
        *("-u", "frr", "-g", "frr", "-P", "0", "--log", "stdout"),
        *("--vty_socket", str(folder), "-z", str(folder / "zserv.api")),
        *("-i", str(folder / f"{daemon}.pid"), "-f", str(folder / f"{daemon}.conf")),
    ]


def serves(folder: Path, daemon: str) -> bool:
    return (folder / f"{daemon}.vty").exists()
