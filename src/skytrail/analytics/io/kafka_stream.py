"""Tells Kafka what waits in a :class:`KafkaFeed`, by librdkafka, whose threads do the network's part.

```
 KafkaFeed --take, as far as there is room--> producer (bounded) --> brokers
     ^---- UVEs that were refused, later ------ delivery reports <--'
```
Nothing here waits for a broker: while none answers, the producer is full, and the feed coalesces and sheds. Messages are told at
least once, in order for each key.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Delivered

from skytrail.analytics.kafka_feed import KafkaFeed
from skytrail.analytics.kafka_messages import Message, UvePlace
from skytrail.analytics.kafka_settings import ALARMS, SESSIONS, UVES, KafkaSettings, KafkaUnusable
from skytrail.runtime.clock import Clock
from skytrail.runtime.metrics import Sample

FLIGHT_COUNT_MAX: Final[Mapping[str, int]] = {ALARMS: 1_000, UVES: 5_000, SESSIONS: 10_000}
"""Messages that are not acknowledged, by stream: one whose topic is stuck holds up no other."""
_FLIGHT_KILOBYTES_MAX: Final = 65_536
AT_ONCE_COUNT: Final = 200
"""Messages of a stream before the rest of the process has its turn."""
AGAIN_S: Final = 30.0
"""After this what a broker refused of UVEs is told again."""
_BUSY_S: Final = 0.02
_IDLE_S: Final = 0.2
_LAST_S: Final = 2.0
"""How long a process that ends waits for what is under way."""


def producer_of(settings: KafkaSettings, node: str, on_error: object = None) -> Producer:
    """Return a producer; :class:`KafkaUnusable` when librdkafka refuses settings. It connects by itself."""
    config: dict[str, object] = {
        "bootstrap.servers": ",".join(settings.brokers),
        "client.id": f"skytrail-{node}",
        "acks": "all",
        # One request at a time keeps the order over repetitions, with any broker.
        "max.in.flight.requests.per.connection": 1,
        # What waits is bounded by count, not by time: while brokers are away nothing expires.
        "message.timeout.ms": 0,
        "linger.ms": 20,
        "compression.type": settings.compression,
        "queue.buffering.max.messages": sum(FLIGHT_COUNT_MAX.values()),
        "queue.buffering.max.kbytes": _FLIGHT_KILOBYTES_MAX,
        "reconnect.backoff.max.ms": 5_000,
        "log.connection.close": False,
    }
    if settings.tls:
        config["ssl.ca.location"] = settings.ca_file or "probe"
        if settings.certificate_file:
            config["ssl.certificate.location"] = settings.certificate_file
            config["ssl.key.location"] = settings.key_file
    if settings.sasl:
        config["sasl.mechanism"] = settings.sasl
        config["sasl.username"] = settings.user
        config["sasl.password"] = _password(settings.password_file)
    kinds = {
        (False, False): "plaintext",
        (True, False): "ssl",
        (False, True): "sasl_plaintext",
        (True, True): "sasl_ssl",
    }
    config["security.protocol"] = kinds[settings.tls, bool(settings.sasl)]
    if on_error is not None:
        config["error_cb"] = on_error
    try:
        # What it logs itself tells of each attempt; what matters comes as an error.
        return Producer(config, logger=_silent())
    except KafkaException as error:
        raise KafkaUnusable(str(error.args[0])) from error


def _password(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KafkaUnusable(f"password_file: {error}") from error


def _silent() -> logging.Logger:
    logger = logging.getLogger("skytrail.analytics.librdkafka")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


class KafkaStream:
    """One node's stream."""

    def __init__(self, feed: KafkaFeed, node: str, clock: Clock) -> None:
        self._feed = feed
        self._clock = clock
        self._log = structlog.get_logger("skytrail.analytics.kafka")
        self._producer = producer_of(feed.settings, node, self._on_error)
        self._flight: Counter[str] = Counter()
        self._held: deque[Message] = deque()
        """Taken, but the producer had no room for their bytes."""
        self._again: deque[tuple[float, UvePlace]] = deque()
        self._reported: set[str] = set()
        """Topics whose refusal was logged."""
        self.sent: Counter[str] = Counter()
        """Acknowledged messages, by stream."""
        self.is_away = False

    async def run(self) -> None:
        """Tell until cancelled; then wait a moment for what is under way."""
        try:
            while True:
                is_busy = self._turn()
                await asyncio.sleep(0 if is_busy else _BUSY_S if len(self._producer) else _IDLE_S)
        finally:
            await asyncio.to_thread(self._producer.flush, _LAST_S)
            self._producer.purge()

    def _turn(self) -> bool:
        """Give the producer what it has room for; tell whether more could follow at once."""
        self._producer.poll(0)
        now = self._clock.now()
        while self._again and self._again[0][0] <= now:
            self._feed.uve(self._again.popleft()[1])
        while self._held:
            if not self._produce(self._held[0]):
                return False
            self._held.popleft()
        now_us = round(self._clock.wall() * 1e6)
        is_busy = False
        for stream, count_max in FLIGHT_COUNT_MAX.items():
            room = min(count_max - self._flight[stream], AT_ONCE_COUNT)
            messages = self._feed.take(stream, room, now_us) if room > 0 else []
            is_busy = is_busy or len(messages) == AT_ONCE_COUNT
            for number, message in enumerate(messages):
                if not self._produce(message):
                    self._held.extend(messages[number:])
                    return False
        return is_busy

    def _produce(self, message: Message) -> bool:
        """Hand a message over; False when there is no room for it now."""
        report = partial(self._delivered, message.stream, message.place)
        try:
            self._producer.produce(message.topic, message.value, message.key, on_delivery=report)
        except BufferError:
            return False
        except KafkaException as error:
            self._lose(message.stream, error.args[0], message.topic)
            return True
        self._flight[message.stream] += 1
        return True

    def _delivered(
        self, stream: str, place: UvePlace | None, error: KafkaError | None, told: Delivered
    ) -> None:
        self._flight[stream] -= 1
        if error is None:
            self.sent[stream] += 1
            if self.is_away:
                self.is_away = False
                self._log.info("kafka_there")
            return
        self._lose(stream, error, told.topic() or "")
        if place is not None:
            self._again.append((self._clock.now() + AGAIN_S, place))

    def _lose(self, stream: str, error: KafkaError, topic: str) -> None:
        reason = error.name().strip("_").lower()
        self._feed.lost[stream, reason] += 1
        if topic not in self._reported:
            self._reported.add(topic)
            self._log.error("kafka_refused", topic=topic, reason=error.str())

    def _on_error(self, error: KafkaError) -> None:
        """Note that no broker answers; a single one that does not is librdkafka's to go around."""
        everywhere = (KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION)
        if error.code() in everywhere and not self.is_away:
            self.is_away = True
            self._log.warning("kafka_away", reason=error.str())

    def samples(self) -> list[Sample]:
        """Return the metrics."""
        feed = self._feed
        found = [Sample("skytrail_analytics_kafka_up", 0 if self.is_away else 1)]
        for stream, waiting in feed.waiting().items():
            labels = {"stream": stream}
            found += [
                Sample("skytrail_analytics_kafka_sent_total", self.sent[stream], labels),
                Sample("skytrail_analytics_kafka_waiting", waiting, labels),
                Sample("skytrail_analytics_kafka_in_flight", self._flight[stream], labels),
            ]
        found.append(Sample("skytrail_analytics_kafka_rounds_total", feed.rounds_count))
        found += [
            Sample(
                "skytrail_analytics_kafka_lost_total", count, {"stream": stream, "reason": reason}
            )
            for (stream, reason), count in feed.lost.items()
        ]
        return found
