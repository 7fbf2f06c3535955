"""HTTP load by a small C program, so that the client leaves the processors to the server.

`tools/requests.c` keeps 16 connections busy and checks every answer; here it is built and its one
line is read. A bad answer raises: a rate of refusals is no figure.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from figures import BUILD_FOLDER

CONNECTIONS = 16
TOOL = BUILD_FOLDER / "requests"


@dataclass(frozen=True)
class Load:
    """What came of it; a round is one GET, or one port with both its requests."""

    rounds: int
    seconds: float
    p50_s: float
    p99_s: float
    body_bytes: int

    @property
    def rate(self) -> float:
        return self.rounds / self.seconds


def build_tool() -> None:
    TOOL.parent.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).parent / "tools/requests.c"
    subprocess.run(["clang", "-O2", "-Wall", "-o", str(TOOL), str(source)], check=True)


def gets(ports: list[int], path: str, duration_s: float) -> Load:
    """GET the path over and over."""
    return _load("get", ports, duration_s, path)


def creates(ports: list[int], network: str, duration_s: float) -> Load:
    """Create interfaces with an instance IP each, all of them new."""
    return _load("ports", ports, duration_s, network, uuid4().hex[:8])


def _load(verb: str, ports: list[int], duration_s: float, *rest: str) -> Load:
    where = ",".join(map(str, ports))
    command = [str(TOOL), verb, where, str(duration_s), str(CONNECTIONS), *rest]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    rounds, failures, seconds, p50, p99, body_bytes = map(float, printed.split())
    if failures or not rounds:
        raise RuntimeError(f"{failures:.0f} answers were bad, {rounds:.0f} rounds were good")
    return Load(int(rounds), seconds, p50 / 1e9, p99 / 1e9, int(body_bytes))
