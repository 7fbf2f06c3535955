"""How a command reaches the API: the command line, the environment, the user's file, in that order.

~/.config/skytrail/config.toml     api = "https://..."   ca_file, token_file, user, ...
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from skytrail.client.access import VARIABLES, Access, AccessUnusable

API_VARIABLE: Final = "SKYTRAIL_API"
SOCKET_VARIABLE: Final = "SKYTRAIL_API_SOCKET"
CONFIG_VARIABLE: Final = "SKYTRAIL_CONFIG"
_PLACES = ("api", "api_socket")


def config_file(environment: Mapping[str, str]) -> Path:
    """Return where the user's settings are."""
    given = environment.get(CONFIG_VARIABLE)
    if given:
        return Path(given)
    base = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "skytrail" / "config.toml"


def read_config(path: Path) -> dict[str, str]:
    """Return the settings of the user's file; none when it is not there."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AccessUnusable(f"cannot read {path}: {error}") from error
    known = (*_PLACES, *VARIABLES)
    for name, value in values.items():
        if name not in known or not isinstance(value, str):
            raise AccessUnusable(f"{path}: {name} is not a text setting; known: {', '.join(known)}")
    return values


def resolved(
    given: Mapping[str, str | None], environment: Mapping[str, str] = os.environ
) -> tuple[str | None, str | None, Access]:
    """Return URL, Unix socket and access: what was given over the environment over the file.

    A place that was given decides alone: the file's token is not shown to another server.
    """
    settings = read_config(config_file(environment))
    url, socket = given.get("api"), given.get("api_socket")
    if url is None and socket is None:
        url, socket = environment.get(API_VARIABLE), environment.get(SOCKET_VARIABLE)
    kept = {name: value for name, value in settings.items() if name not in _PLACES}
    if not url and not socket:
        url, socket = settings.get("api"), settings.get("api_socket")
    elif url != settings.get("api"):
        kept = {}
    texts: dict[str, str | None] = dict(kept)
    texts.update({n: environment[v] for n, v in VARIABLES.items() if environment.get(v)})
    texts.update({name: given[name] for name in VARIABLES if given.get(name)})
    if given.get("token"):
        texts.pop("token_file", None)
    return url or None, socket or None, Access.of(texts)


def remember(path: Path, settings: Mapping[str, str]) -> None:
    """Write the user's file, readable by the user alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = [f"{name} = {_quoted(value)}\n" for name, value in settings.items()]
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(lines)
    beside.replace(path)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
