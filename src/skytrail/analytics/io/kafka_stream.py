"""Tells Kafka what waits in a :class:`KafkaFeed`, by librdkafka, whose threads do the network's part.

```
 KafkaFeed --take, as far as there is room--> producer (bounded) --> brokers
     ^---- UVEs that were refused, later ------ delivery reports <--'
```
Nothing here waits for a broker: while none answers, the producer is full, and the feed coalesces and sheds. Messages are told at
least once, in order for each key.

A producer believes brokers about where the others are. One that reached nobody for long may have been misled: another takes its
place and what it had not told, and begins with the brokers of the settings.
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
_ANSWER_BYTES_MAX: Final = 1 << 20
"""Of a broker: what it says of the topics written to, and acknowledgements; those who read take more."""
_ANSWER_MS: Final = 20_000
"""How long a broker may take to answer; then it is asked again, by another connection."""
AT_ONCE_COUNT: Final = 200
"""Messages of a stream before the rest of the process has its turn."""
AGAIN_S: Final = 30.0
"""After this what a broker refused of UVEs is told again."""
RENEW_S: Final = 60.0
"""For so long a producer may tell nothing before another takes its place; each in vain doubles it."""
RENEW_S_MAX: Final = 600.0
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
        "receive.message.max.bytes": _ANSWER_BYTES_MAX,
        "socket.timeout.ms": _ANSWER_MS,
        "request.timeout.ms": _ANSWER_MS - 5_000,
        # Brokers could have this process's own numbers told them, and each that is named would cost 0.1 MB.
        "enable.metrics.push": False,
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


def _close(producer: Producer) -> None:
    """End a producer and its threads; what it has not told is another's."""
    producer.purge()
    producer.close()


class KafkaStream:
    """One node's stream."""

    def __init__(self, feed: KafkaFeed, node: str, clock: Clock) -> None:
        self._feed = feed
        self._node = node
        self._clock = clock
        self._log = structlog.get_logger("skytrail.analytics.kafka")
        self.renewed_count = 0
        self._producer = producer_of(feed.settings, node, partial(self._on_error, 0))
        self._flight: Counter[str] = Counter()
        self._untold: dict[int, Message] = {}
        """What the producer has, by number, in order."""
        self._number = 0
        self._held: deque[Message] = deque()
        """Taken, but the producer has them not, or no more."""
        self._in_vain_since: float | None = None
        """Since then something was to be told, and nothing was."""
        self._renew_s = RENEW_S
        self._closing: set[asyncio.Task[None]] = set()
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
                self._renew_if_in_vain()
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
        for _ in range(min(len(self._held), AT_ONCE_COUNT)):
            if not self._produce(self._held[0]):
                return False
            self._held.popleft()
        if self._held:
            return True
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
        report = partial(self._delivered, self._number + 1)
        try:
            self._producer.produce(message.topic, message.value, message.key, on_delivery=report)
        except BufferError:
            return False
        except KafkaException as error:
            self._lose(message.stream, error.args[0], message.topic)
            return True
        self._number += 1
        self._untold[self._number] = message
        self._flight[message.stream] += 1
        if self._in_vain_since is None:
            self._in_vain_since = self._clock.now()
        return True

    def _delivered(self, number: int, error: KafkaError | None, told: Delivered) -> None:
        message = self._untold.pop(number, None)
        if message is None:
            return  # The report of a producer that was replaced.
        self._flight[message.stream] -= 1
        if error is None:
            self.sent[message.stream] += 1
            self._in_vain_since = self._clock.now() if self._untold else None
            self._renew_s = RENEW_S
            if self.is_away:
                self.is_away = False
                self._log.info("kafka_there")
            return
        self._lose(message.stream, error, told.topic() or "")
        if message.place is not None:
            self._again.append((self._clock.now() + AGAIN_S, message.place))

    def _renew_if_in_vain(self) -> None:
        """Put another producer in the place of one that has reached nobody for long."""
        since, now = self._in_vain_since, self._clock.now()
        if since is None or now - since < self._renew_s:
            return
        self._renew_s = min(self._renew_s * 2, RENEW_S_MAX)
        self._in_vain_since = now
        try:
            hear = partial(self._on_error, self.renewed_count + 1)
            producer = producer_of(self._feed.settings, self._node, hear)
        except KafkaUnusable as error:
            self._log.error("kafka_unusable", reason=str(error))
            return
        former, self._producer = self._producer, producer
        self._held.extendleft(reversed(self._untold.values()))
        self._untold.clear()
        self._flight.clear()
        self.renewed_count += 1
        self.is_away = True
        self._log.warning("kafka_renewed", untold=len(self._held))
        closing = asyncio.create_task(asyncio.to_thread(_close, former))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _lose(self, stream: str, error: KafkaError, topic: str) -> None:
        reason = error.name().strip("_").lower()
        self._feed.lost[stream, reason] += 1
        if topic not in self._reported:
            self._reported.add(topic)
            self._log.error("kafka_refused", topic=topic, reason=error.str())

    def _on_error(self, renewed_count: int, error: KafkaError) -> None:
        """Note that no broker answers; a single one that does not is librdkafka's to go around."""
        everywhere = (KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION)
        if renewed_count != self.renewed_count:
            return  # The word of a producer that was replaced.
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
        found.append(Sample("skytrail_analytics_kafka_renewed_total", self.renewed_count))
        found += [
            Sample(
                "skytrail_analytics_kafka_lost_total", count, {"stream": stream, "reason": reason}
            )
            for (stream, reason), count in feed.lost.items()
        ]
        return found
