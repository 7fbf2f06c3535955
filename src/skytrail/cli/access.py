"""Who asks, and the user's file: the command line, the environment, the file, in that order.

Which server is asked is decided in ``place``.

~/.config/skytrail/config.toml     api = "https://..."   ca_file, token_file, user, ...
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from skytrail.cli.place import Place, named_place, place_of
from skytrail.client.access import VARIABLES, Access, AccessUnusable
from skytrail.client.transport import DEFAULT_URL

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
) -> tuple[Place, Access]:
    """Return the API that is meant and who asks: what was given over the environment over the file.

    ServerUnclear when several servers could be meant.
    """
    settings = read_config(config_file(environment))
    place = place_of(given, environment, settings)
    return place, _access(given, environment, settings, place)


def access_of(
    given: Mapping[str, str | None], environment: Mapping[str, str] = os.environ
) -> Access:
    """Return who asks a server that is no API; where the API is need not be clear."""
    settings = read_config(config_file(environment))
    return _access(given, environment, settings, named_place(given, environment))


def _access(
    given: Mapping[str, str | None],
    environment: Mapping[str, str],
    settings: Mapping[str, str],
    place: Place | None,
) -> Access:
    """A place that was given decides alone: the file's token is not shown to another server."""
    kept = {name: value for name, value in settings.items() if name not in _PLACES}
    if place is not None and not _is_home(place, settings):
        kept = {}
    texts: dict[str, str | None] = dict(kept)
    texts.update({n: environment[v] for n, v in VARIABLES.items() if environment.get(v)})
    texts.update({name: given[name] for name in VARIABLES if given.get(name)})
    if given.get("token"):
        texts.pop("token_file", None)
    return Access.of(texts)


def _is_home(place: Place, settings: Mapping[str, str]) -> bool:
    """Whether the user's file is about this place; one without a place is about the default."""
    if place.socket or settings.get("api_socket"):
        return place.socket == settings.get("api_socket")
    return place.url == (settings.get("api") or DEFAULT_URL)


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
