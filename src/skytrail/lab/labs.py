"""Which labs there are and where they answer; loads none of what builds labs."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

LABS_DIRECTORY = Path("/run/skytrail/lab")
VARIABLE = "SKYTRAIL_LAB"
"""Of the environment: the lab that commands mean which name none."""
FILE_NAME = "lab.json"


class _Ports(msgspec.Struct, frozen=True):
    api_port: int


def directory() -> Path:
    """Where labs live; ``$SKYTRAIL_LAB_ROOT`` moves it."""
    return Path(os.environ.get("SKYTRAIL_LAB_ROOT") or LABS_DIRECTORY)


def names() -> list[str]:
    """Labs that exist, sorted; none where the caller may not look."""
    try:
        return sorted(path.parent.name for path in directory().glob(f"*/{FILE_NAME}"))
    except PermissionError:
        return []


def api_url(name: str) -> str:
    """Return where a lab's API answers.

    Raises:
        FileNotFoundError: there is no such lab.
        OSError: its file cannot be read.
        msgspec.DecodeError: what it remembers of itself is not readable.
    """
    content = (directory() / name / FILE_NAME).read_bytes()
    return f"http://127.0.0.1:{msgspec.json.decode(content, type=_Ports).api_port}"
