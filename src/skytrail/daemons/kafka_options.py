"""The option that says which Kafka brokers analytics streams to."""

from __future__ import annotations

import argparse
from pathlib import Path

from skytrail.analytics.kafka_settings import (
    KafkaSettings,
    KafkaUnusable,
    settings_of_brokers,
    settings_of_file,
)


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add where UVEs, alarms and sessions are streamed to."""
    parser.add_argument(
        "--kafka",
        type=_settings,
        metavar="BROKERS",
        help="stream UVEs, alarms and sessions to Kafka: HOST:PORT, several with commas, or a file "
        "NAME.toml that also says topics, TLS and SASL",
    )


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
