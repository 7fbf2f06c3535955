"""Where spans are sent, by an option or the environment variables of OpenTelemetry. Pure but for the files it checks.

| variable | |
| --- | --- |
| ``OTEL_EXPORTER_OTLP_ENDPOINT`` | URL, ``/v1/traces`` is added; ``unix:PATH`` for a socket of this machine |
| ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` | URL as it is |
| ``OTEL_EXPORTER_OTLP_HEADERS``, ``_TRACES_HEADERS`` | ``name=value,...``, percent-encoded |
| ``OTEL_EXPORTER_OTLP_CERTIFICATE``, ``_TRACES_CERTIFICATE`` | who signed the receiver's certificate |
| ``OTEL_EXPORTER_OTLP_PROTOCOL``, ``_TRACES_PROTOCOL`` | ``http/protobuf`` |
| ``OTEL_RESOURCE_ATTRIBUTES`` | ``name=value,...`` told with every span |
| ``OTEL_TRACES_SAMPLER``, ``_SAMPLER_ARG`` | ``always_on``, ``always_off``, ``traceidratio`` (or ``parentbased_...``) and the ratio |
| ``OTEL_SDK_DISABLED``, ``OTEL_TRACES_EXPORTER`` | ``true``, ``none``: nothing is sent |
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

PATH: Final = "/v1/traces"
_UNIX: Final = "unix:"
_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_ALL: Final = 1.0
_SAMPLERS: Final = {"always_on": _ALL, "always_off": 0.0, "traceidratio": None}


class OtlpUnusable(Exception):
    """The settings cannot be used; the text names the setting and the fix."""


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """Where spans go."""

    url: str
    socket: str = ""
    """Unix socket in place of the URL's host."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    ca_file: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of the resource, beside the process's own."""
    ratio: float = _ALL
    """How many of the traces are told; the same ones by all processes."""


def read(option: str, environment: Mapping[str, str]) -> OtlpSettings | None:
    """Return the settings, None where nothing is to be sent; raises :class:`OtlpUnusable`."""
    is_disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if is_disabled or environment.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return None
    named = option or _of(environment, "TRACES_ENDPOINT") or _of(environment, "ENDPOINT")
    ratio = _ratio(environment)
    if not named or not ratio:
        return None
    protocol = _of(environment, "TRACES_PROTOCOL") or _of(environment, "PROTOCOL")
    if protocol not in {"", "http/protobuf"}:
        raise OtlpUnusable(f"{_PREFIX}PROTOCOL={protocol}: http/protobuf is what is spoken here")
    is_whole = not option and bool(_of(environment, "TRACES_ENDPOINT"))
    url, socket = _place(named, is_whole=is_whole)
    return OtlpSettings(
        url,
        socket,
        _pairs(f"{_PREFIX}HEADERS", _of(environment, "HEADERS"))
        | _pairs(f"{_PREFIX}TRACES_HEADERS", _of(environment, "TRACES_HEADERS")),
        _authority(_of(environment, "TRACES_CERTIFICATE") or _of(environment, "CERTIFICATE")),
        _pairs("OTEL_RESOURCE_ATTRIBUTES", environment.get("OTEL_RESOURCE_ATTRIBUTES", "")),
        ratio,
    )


def _of(environment: Mapping[str, str], name: str) -> str:
    return environment.get(_PREFIX + name, "")


def _place(text: str, *, is_whole: bool) -> tuple[str, str]:
    """Return URL and socket."""
    if text.startswith(_UNIX) and text != _UNIX:
        return f"http://localhost{PATH}", text.removeprefix(_UNIX)
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise OtlpUnusable(
            f"{text[:100]!r} is neither http://HOST:4318 nor https://HOST:4318 nor unix:PATH"
        )
    return (text if is_whole else text.rstrip("/") + PATH), ""


def _pairs(variable: str, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise OtlpUnusable(f"{variable}: name=value,name=value is needed")
        found[name.strip()] = unquote(value.strip())
    return found


def _authority(file: str) -> str:
    if file:
        try:
            ssl.create_default_context(cafile=Path(file))
        except OSError as error:
            raise OtlpUnusable(f"{_PREFIX}CERTIFICATE: {file}: {error}") from error
    return file


def _ratio(environment: Mapping[str, str]) -> float:
    sampler = environment.get("OTEL_TRACES_SAMPLER", "always_on").removeprefix("parentbased_")
    if sampler not in _SAMPLERS:
        raise OtlpUnusable(f"OTEL_TRACES_SAMPLER: one of {', '.join(_SAMPLERS)} is needed")
    ratio = _SAMPLERS[sampler]
    if ratio is not None:
        return ratio
    text = environment.get("OTEL_TRACES_SAMPLER_ARG", "") or "1"
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise OtlpUnusable("OTEL_TRACES_SAMPLER_ARG: a number from 0 to 1 is needed")
    return ratio
