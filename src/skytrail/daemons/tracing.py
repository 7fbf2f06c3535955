"""The option of the daemons that a change passes through: where spans of traces are sent."""

from __future__ import annotations

import argparse
import os
import socket
from typing import Final

from skytrail.runtime import otlp_settings
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.otlp_settings import OtlpUnusable
from skytrail.runtime.traces import Traces

OPTION: Final = "--otlp"
METAVAR: Final = "URL"
HELP: Final = (
    "send spans of changes to this OpenTelemetry receiver: http://HOST:4318, https://... or "
    "unix:PATH (default: OTEL_EXPORTER_OTLP_ENDPOINT of the environment, else nowhere)"
)


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(OPTION, default="", metavar=METAVAR, help=HELP)


def traces_of(option: str, service: str, instance: str = "") -> Traces | None:
    """Return the process's traces, None where nothing is to be sent; raises ``OtlpUnusable``."""
    settings = otlp_settings.read(option, os.environ)
    if settings is None:
        return None
    return Traces(settings, f"skytrail-{service}", instance or socket.gethostname(), SystemClock())


def checked(
    parser: argparse.ArgumentParser, option: str, service: str, name: str = ""
) -> Traces | None:
    """Return the same; the parser ends the process where it cannot be used."""
    try:
        return traces_of(option, service, name)
    except OtlpUnusable as error:
        parser.error(f"argument {OPTION}: {error}")
