"""The notes clients keep at the server: whose they are, and which belong to the server itself.

Administrators share one set, as existing integrations expect; every project has its own beside it.
Keys under ``skytrail/`` hold the server's own settings and are never shown.
"""

from __future__ import annotations

from collections.abc import Mapping

from skytrail.api import authorize
from skytrail.api.caller import Caller
from skytrail.api.graph import View
from skytrail.api.refusal import Refused

RESERVED = "skytrail/"
_PROJECT_NOTES = RESERVED + "notes/"


def kept_key(view: View, caller: Caller, key: str) -> str:
    """Return the key a client's note is kept under."""
    if authorize.is_restricted(view, caller):
        return f"{_owned_by(caller)}{key}"
    if key.startswith(RESERVED):
        raise Refused(403, f"Keys that begin with {RESERVED} belong to the server")
    return key


def visible(view: View, caller: Caller, memory: Mapping[str, str]) -> dict[str, str]:
    """Return the notes the caller may see, by the key it used."""
    if authorize.is_restricted(view, caller):
        start = _owned_by(caller)
        return {k.removeprefix(start): v for k, v in memory.items() if k.startswith(start)}
    return {key: value for key, value in memory.items() if not key.startswith(RESERVED)}


def _owned_by(caller: Caller) -> str:
    if caller.project is None:
        raise Refused(403, "Permission Denied: notes are kept for projects; the token names none")
    return f"{_PROJECT_NOTES}{caller.project}/"
