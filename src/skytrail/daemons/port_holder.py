"""Who listens on a TCP port of this machine, as an operator asks when it is not free."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_LISTENING: Final = "0A"
_COMMAND_LENGTH_MAX: Final = 120
_DAEMON: Final = re.compile(r"skytrail\.daemons\.(\w+)")
_DATA: Final = re.compile(r"--data (\S+)")


def holder_of(port: int, proc: Path = Path("/proc")) -> str:
    """Return a clause that names who has the port, and how to use or end it; may be empty.

    Other users' processes are known to root alone.
    """
    inodes = set(_listeners(port, proc))
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        if inodes & set(_sockets(process)):
            command = _command(process)
            return f": process {process.name} has it, {_advice(command, port)}"
    return ""


def _advice(command: str, port: int) -> str:
    daemon = _DAEMON.search(command)
    if daemon is None:
        return command[:_COMMAND_LENGTH_MAX]
    from skytrail.lab import labs

    lab = next((name for name in labs.names() if f"/{name}/" in command), None)
    data = _DATA.search(command)
    what = f"the {daemon[1]} of lab {lab}" if lab else f"the {daemon[1]} of another Skytrail"
    if lab is None and data is not None:
        what += f", data in {data[1]}"
    use = f" (use it: --api http://127.0.0.1:{port}" if daemon[1] == "api" else ""
    end = f"{', or ' if use else ' ('}end it: skytrail lab down {lab}" if lab else ""
    return what + use + end + (")" if use or end else "")


def _listeners(port: int, proc: Path) -> Iterator[str]:
    """Yield the inodes of sockets that listen on the port."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue  # A kernel without IPv6 has no second table.
        for fields in map(str.split, lines):
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"


def _sockets(process: Path) -> Iterator[str]:
    try:
        links = list((process / "fd").iterdir())
    except OSError:
        return  # Gone meanwhile, or not ours to look into.
    for link in links:
        with contextlib.suppress(OSError):
            yield str(link.readlink())


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "which has ended meanwhile"
