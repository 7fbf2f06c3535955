"""The option that says which Kafka brokers analytics streams to."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from skytrail.analytics.kafka_settings import (
    KafkaSettings,
    KafkaUnusable,
    settings_of_brokers,
    settings_of_file,
)

OPTION: Final = "--kafka"
_METAVAR: Final = "BROKERS"
_HELP: Final = (
    "stream UVEs, alarms and sessions to Kafka: HOST:PORT, several with commas, or a file NAME.toml "
    "that also says topics, TLS and SASL"
)


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add where UVEs, alarms and sessions are streamed to."""
    parser.add_argument(OPTION, type=_settings, metavar=_METAVAR, help=_HELP)


def add_checked_option(parser: argparse.ArgumentParser) -> None:
    """Add the same for whoever passes it on: what is said is checked, and kept as it is."""
    parser.add_argument(OPTION, type=_checked, metavar=_METAVAR, help=_HELP)


def _checked(text: str) -> str:
    _settings(text)
    return text


def _settings(text: str) -> KafkaSettings:
    """Read the option; files that it names must be readable."""
    from skytrail.analytics.io.kafka_stream import producer_of

    try:
        is_file = text.endswith(".toml")
        settings = (
            settings_of_file(Path(text).read_bytes()) if is_file else settings_of_brokers(text)
        )
        producer_of(settings, "check").close()
    except (OSError, KafkaUnusable) as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error
    return settings
