"""Typed settings: a TOML file, then the environment, then what the command line says.

A setting is a field of a msgspec struct with a default; nothing reads the environment elsewhere.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)


class SettingsInvalid(Exception):
    """A setting cannot be used; the text names the source, the setting and the reason."""


def load(
    kind: type[SettingsT],
    *,
    file: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    prefix: str = "SKYTRAIL_",
    overrides: Mapping[str, object] | None = None,
) -> SettingsT:
    """Return settings of this kind; a later source wins field by field.

    ``environment`` fields are named prefix + FIELD. ``overrides`` with value None are not given.
    Raises SettingsInvalid, also for a name the file has and the struct has not.
    """
    names = set(kind.__struct_fields__)
    values: dict[str, object] = {}
    if file is not None:
        values |= _read_file(Path(file), names)
    for name in sorted(names):
        text = (environment or {}).get(prefix + name.upper())
        if text is not None:
            values[name] = text
    values |= {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        message = f"setting refused: {error}"
        raise SettingsInvalid(message) from error


def _read_file(path: Path, names: set[str]) -> dict[str, object]:
    try:
        values: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"cannot read settings file {path}: {error}"
        raise SettingsInvalid(message) from error
    unknown = sorted(set(values) - names)
    if unknown:
        message = f"{path}: unknown setting {unknown[0]}; known: {', '.join(sorted(names))}"
        raise SettingsInvalid(message)
    return values
