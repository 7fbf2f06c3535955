"""Which server a command means: one rule for all that ask an API (ADR 0410).

    --api, --api-socket, --lab  >  $SKYTRAIL_API_SOCKET, $SKYTRAIL_API  >  $SKYTRAIL_LAB
        >  the user's file  >  the only server that runs here  >  http://127.0.0.1:8082

Where several run here and none is named, none is asked: a change must not land in a lab that
nobody meant.

Which analytics node is asked follows from it (``analytics_node``): where an API is named, by an option, a variable or a
login, that API passes questions on; a lab has its own node.

    --analytics, --lab  >  $SKYTRAIL_ANALYTICS  >  --api, --api-socket, $SKYTRAIL_API_SOCKET, $SKYTRAIL_API  >  $SKYTRAIL_LAB
        >  the user's file  >  the only lab that has a node  >  http://127.0.0.1:8081
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import click
import msgspec

from skytrail.client.transport import DEFAULT_URL
from skytrail.lab import labs

API_VARIABLE: Final = "SKYTRAIL_API"
SOCKET_VARIABLE: Final = "SKYTRAIL_API_SOCKET"
PLACES: Final = ("api", "api_socket", "lab")
"""What options call a place; of one command at most one of them may be a lab."""

_GIVEN: Final = "skytrail.cli.given"
_PROBE_TIMEOUT_S: Final = 0.5


class ServerUnclear(click.ClickException):
    """No server can be chosen; the text says how to name one."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where the API is, and who said so."""

    url: str = DEFAULT_URL
    socket: str | None = None
    """Wins over the URL."""
    lab: str | None = None
    by: str = ""
    """What chose it, as people write it; empty for the default."""
    by_option: bool = False

    def told(self) -> str:
        """Return the server and what chose it, in one line."""
        reasons = [f"lab {self.lab}"] if self.lab else []
        reasons += [self.by] if self.by else []
        because = f" ({', '.join(reasons)})" if reasons else ""
        return f"server: {self.socket or self.url}{because}"


def note_given(ctx: click.Context, given: Mapping[str, str | None]) -> None:
    """Keep what options said; of places, the command's own one counts, not its group's.

    UsageError when one command names a lab and another place.
    """
    said = {name: value for name, value in given.items() if value is not None}
    kept: dict[str, tuple[str, str]] = dict(ctx.meta.get(_GIVEN, {}))
    own = [name for name in PLACES if name in kept and kept[name][0] == ctx.command_path]
    own += [name for name in PLACES if name in said]
    if "lab" in own and len(set(own)) > 1:
        other = next(name for name in own if name != "lab").replace("_", "-")
        raise click.UsageError(f"--{other} and --lab both say where the API is; give one of them.")
    if any(name in said for name in PLACES):
        kept = {name: value for name, value in kept.items() if name not in PLACES}
    for name, value in said.items():
        kept[name] = (ctx.command_path, value)
    ctx.meta[_GIVEN] = kept


def given_access(ctx: click.Context | None) -> dict[str, str | None]:
    """Return what options of the command line said."""
    if ctx is None:
        return {}
    found: dict[str, str | None] = {n: value for n, (_, value) in ctx.meta.get(_GIVEN, {}).items()}
    if "ca" in found:
        found["ca_file"] = found.pop("ca")
    return found


def complete_lab(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of lab names."""
    return [name for name in labs.names() if name.startswith(incomplete)]


def answers(url: str) -> bool:
    """Whether something listens at an address of this machine."""
    address = urlsplit(url)
    try:
        with socket.create_connection(
            (str(address.hostname), address.port or 80), timeout=_PROBE_TIMEOUT_S
        ):
            return True
    except OSError:
        return False


def named_place(given: Mapping[str, str | None], environment: Mapping[str, str]) -> Place | None:
    """Return the place that options or the environment name, None when they name none.

    ServerUnclear when the lab that is named is not up.
    """
    if given.get("lab"):
        return _of_lab(str(given["lab"]), by="by --lab", by_option=True)
    if given.get("api") or given.get("api_socket"):
        url = given.get("api") or DEFAULT_URL
        name = "--api" if given.get("api") else "--api-socket"
        return Place(url, given.get("api_socket"), by=f"by {name}", by_option=True)
    url, path = environment.get(API_VARIABLE), environment.get(SOCKET_VARIABLE)
    lab = environment.get(labs.VARIABLE)
    if url or path:
        by = f"by ${SOCKET_VARIABLE if path else API_VARIABLE}"
        if lab and not _is_of(lab, url):
            by += f", which wins over ${labs.VARIABLE}={lab}"
        return Place(url or DEFAULT_URL, path or None, by=by)
    return _of_lab(lab, by=f"by ${labs.VARIABLE}") if lab else None


def login_place(settings: Mapping[str, str]) -> Place | None:
    """Return the place of the user's file, None when it names none."""
    if settings.get("api") or settings.get("api_socket"):
        return Place(
            settings.get("api") or DEFAULT_URL, settings.get("api_socket"), by="by skytrail login"
        )
    return None


def place_of(
    given: Mapping[str, str | None],
    environment: Mapping[str, str] = os.environ,
    settings: Mapping[str, str] | None = None,
    *,
    listens: Callable[[str], bool] = answers,
) -> Place:
    """Return the server that is meant; ``settings`` are those of the user's file.

    ServerUnclear when several run here and nothing names one, or a lab that is named is not up.
    """
    named = named_place(given, environment)
    if named is not None:
        return named
    return login_place(settings or {}) or _only_one(listens)


def _only_one(listens: Callable[[str], bool]) -> Place:
    names = labs.names()
    if not names:
        return Place()
    how = f"--lab NAME, {labs.VARIABLE}=NAME or --api URL"
    if len(names) > 1:
        raise ServerUnclear(f"several labs are up: {', '.join(names)}; name one: {how}")
    only = _of_lab(names[0], by="the only one that is up")
    if only.url != DEFAULT_URL and listens(DEFAULT_URL):
        raise ServerUnclear(
            f"lab {only.lab} is up ({only.url}), and something else answers at {DEFAULT_URL};"
            f" name the server: {how}"
        )
    return only


def _of_lab(name: str, *, by: str, by_option: bool = False) -> Place:
    try:
        url = labs.api_url(name)
    except FileNotFoundError as error:
        known = ", ".join(labs.names()) or "none"
        raise ServerUnclear(f"no lab {name!r} is up ({by}); labs that are: {known}") from error
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServerUnclear(
            f"lab {name} cannot be read: {error}; say where the API is: --api URL"
        ) from error
    return Place(url, lab=name, by=by, by_option=by_option)


def _is_of(lab: str, url: str | None) -> bool:
    try:
        return labs.api_url(lab) == url
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False
