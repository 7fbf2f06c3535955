"""Which Kafka brokers are told what, read from an option or a file. Pure.

brokers = ["kafka1.example:9093", "kafka2.example:9093"]
prefix = "skytrail"                  # topics skytrail-uve-topic-0 ..., skytrail-alarms, skytrail-sessions
uve_topics = 15
streams = ["uves", "alarms", "sessions"]
compression = "lz4"                  # or none, gzip, snappy, zstd
tls = true
ca_file = "/etc/skytrail/kafka-ca.pem"
certificate_file = "/etc/skytrail/kafka.pem"
key_file = "/etc/skytrail/kafka.key"
sasl = "SCRAM-SHA-512"               # or SCRAM-SHA-256, PLAIN
user = "skytrail"
password_file = "/etc/skytrail/kafka.password"
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from skytrail.net.decimal_text import decimal

UVES: Final = "uves"
ALARMS: Final = "alarms"
SESSIONS: Final = "sessions"
STREAMS: Final = (UVES, ALARMS, SESSIONS)
UVE_TOPICS_MAX: Final = 1_000
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,200}\Z")
"""Of what Kafka names topics, with room for what follows the prefix."""


class KafkaUnusable(Exception):
    """The settings cannot be used; the text names the field and the fix."""


class KafkaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Brokers, and what they are told."""

    brokers: list[str]
    prefix: str = "skytrail"
    uve_topics: Annotated[int, msgspec.Meta(ge=1, le=UVE_TOPICS_MAX)] = 15
    """UVEs are spread over so many topics by a hash of the entity's key."""
    streams: list[Literal["uves", "alarms", "sessions"]] = msgspec.field(
        default_factory=lambda: ["uves", "alarms", "sessions"]
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "lz4"
    tls: bool = False
    ca_file: str = ""
    """Who signed the brokers' certificates; empty: an authority the machine trusts."""
    certificate_file: str = ""
    key_file: str = ""
    sasl: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = ""
    user: str = ""
    password_file: str = ""

    def topics(self) -> list[str]:
        """Return the names of all topics that are written to."""
        uves = [self.uve_topic(number) for number in range(self.uve_topics)]
        named = {UVES: uves, ALARMS: [self.alarms_topic], SESSIONS: [self.sessions_topic]}
        return [topic for stream in self.streams for topic in named[stream]]

    def uve_topic(self, number: int) -> str:
        """Return the topic of a share of the UVEs."""
        return f"{self.prefix}-uve-topic-{number}"

    @property
    def alarms_topic(self) -> str:
        return f"{self.prefix}-alarms"

    @property
    def sessions_topic(self) -> str:
        return f"{self.prefix}-sessions"


def settings_of_brokers(text: str) -> KafkaSettings:
    """Read ``HOST:PORT``, several with commas; everything else is as if it were not said."""
    return _checked(KafkaSettings(brokers=text.split(",")))


def settings_of_file(text: bytes) -> KafkaSettings:
    """Read the file; :class:`KafkaUnusable` says what does not fit, and where."""
    try:
        return _checked(msgspec.toml.decode(text, type=KafkaSettings))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise KafkaUnusable(str(error)) from error


def _checked(settings: KafkaSettings) -> KafkaSettings:
    problem = (
        _brokers_problem(settings.brokers) or _topics_problem(settings) or _login_problem(settings)
    )
    if problem:
        raise KafkaUnusable(problem)
    return settings


def _brokers_problem(brokers: Sequence[str]) -> str:
    if not brokers:
        return "brokers: at least one HOST:PORT is needed"
    for broker in brokers:
        host, _, port = broker.rpartition(":")
        is_host = (
            bool(host) and host.isascii() and host.isprintable() and not set(host) & set(" ,/@")
        )
        if not is_host or decimal(port, 1, 65_535) is None:
            return f"brokers: {broker[:64]!r} is not HOST:PORT"
    return ""


def _topics_problem(settings: KafkaSettings) -> str:
    if not _TOPIC.match(settings.prefix):
        return f"prefix {settings.prefix[:64]!r}: up to 200 letters, digits, '.', '_' and '-' are needed"
    if not settings.streams or len(set(settings.streams)) < len(settings.streams):
        return f"streams: each of {', '.join(STREAMS)} at most once, and at least one, is needed"
    return ""


def _login_problem(settings: KafkaSettings) -> str:
    files = settings.ca_file or settings.certificate_file or settings.key_file
    if files and not settings.tls:
        return "ca_file, certificate_file and key_file need tls = true"
    if bool(settings.certificate_file) != bool(settings.key_file):
        return "certificate_file and key_file are given together"
    if len({bool(settings.sasl), bool(settings.user), bool(settings.password_file)}) > 1:
        return "sasl, user and password_file are given together"
    if settings.sasl == "PLAIN" and not settings.tls:
        return "sasl PLAIN needs tls: passwords are not sent in the clear"
    return ""
