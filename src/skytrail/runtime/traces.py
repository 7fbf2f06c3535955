"""Sends spans to an OpenTelemetry receiver (OTLP over HTTP), in bundles, from a bounded queue.

```
 add(span) --> queue (the oldest go, counted) --every second--> POST, again later while nobody answers
```
Nothing waits for the receiver. What it refuses is counted; which answers mean "again" the protocol says (OTLP 1.x,
"Retryable Response Codes").
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import httpx
import structlog

from skytrail.net.decimal_text import decimal
from skytrail.runtime.backoff import Backoff
from skytrail.runtime.clock import Clock
from skytrail.runtime.metrics import Sample
from skytrail.runtime.otlp_settings import OtlpSettings
from skytrail.wire.spans import Attribute, Span

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

WAITING_COUNT_MAX: Final = 8_192
TOGETHER_COUNT: Final = 512
EVERY_S: Final = 1.0
SEND_S: Final = 10.0
LAST_S: Final = 2.0
"""How long a process that ends tries to send what waits."""
AGAIN_S_MAX: Final = 60.0
_AGAIN: Final = frozenset({429, 502, 503, 504})
_SCOPE: Final = "skytrail"
_TYPE: Final = "application/x-protobuf"
_NANOSECONDS: Final = 1e9


class _Later(Exception):
    """The receiver cannot take it now; ``after_s`` is what it asks for, 0 for nothing."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Traces:
    """The spans of one process; ``service`` and ``instance`` are what receivers call it."""

    def __init__(self, settings: OtlpSettings, service: str, instance: str, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._own = {
            "service.name": service,
            "service.instance.id": instance,
            "host.name": socket.gethostname(),
            "process.pid": os.getpid(),
        }
        self._waiting: deque[Span] = deque()
        self._floor = round((1 - settings.ratio) * 2**64)
        self._log = structlog.get_logger("skytrail.traces")
        self.sent_count = 0
        self.lost: Counter[str] = Counter()
        """Spans by reason."""
        self._is_away = False

    def wants(self, trace_id: str) -> bool:
        """Tell whether a trace is sampled; all processes with one ratio agree."""
        return int(trace_id[-16:], 16) >= self._floor

    def add(self, span: Span) -> None:
        """Have a span sent."""
        if len(self._waiting) >= WAITING_COUNT_MAX:
            self._waiting.popleft()
            self.lost["no_room"] += 1
        self._waiting.append(span)

    async def run(self) -> None:
        """Send until cancelled, then once more."""
        delays = Backoff(first_s=EVERY_S, maximum_s=AGAIN_S_MAX)
        async with self._client() as client:
            try:
                while True:
                    await asyncio.sleep(EVERY_S)
                    while self._waiting:
                        await self._send_some(client, delays)
            finally:
                if self._waiting and not self._is_away:
                    await asyncio.shield(self._send_last(client))

    def _client(self) -> httpx.AsyncClient:
        settings = self._settings
        verify = ssl.create_default_context(cafile=settings.ca_file or None)
        transport = httpx.AsyncHTTPTransport(uds=settings.socket) if settings.socket else None
        return httpx.AsyncClient(
            timeout=SEND_S, trust_env=False, verify=verify, transport=transport,
            headers={**settings.headers, "content-type": _TYPE},
        )  # fmt: skip

    async def _send_some(self, client: httpx.AsyncClient, delays: Backoff) -> None:
        some = [self._waiting[place] for place in range(min(len(self._waiting), TOGETHER_COUNT))]
        before = self.lost["no_room"]
        try:
            await self._send(client, some)
        except (_Later, httpx.HTTPError, OSError) as error:
            if not self._is_away:
                self._is_away = True
                self._log.warning("traces_not_sent", url=self._settings.url, reason=str(error) or type(error).__name__)  # fmt: skip
            asked = error.after_s if isinstance(error, _Later) else 0.0
            await asyncio.sleep(max(delays.next_delay_s(), asked))
            return
        delays.reset()
        if self._is_away:
            self._is_away = False
            self._log.info("traces_sent")
        # What found no room meanwhile stood in front.
        for _ in range(len(some) - (self.lost["no_room"] - before)):
            self._waiting.popleft()

    async def _send_last(self, client: httpx.AsyncClient) -> None:
        some = list(self._waiting)
        try:
            async with asyncio.timeout(LAST_S):
                await self._send(client, some)
        except (_Later, httpx.HTTPError, OSError) as error:
            self._log.warning("last_traces_lost", count=len(some), reason=str(error))

    async def _send(self, client: httpx.AsyncClient, spans: Sequence[Span]) -> None:
        body = self._encoded(spans)
        reply = await client.post(self._settings.url, content=body)
        if reply.status_code in _AGAIN:
            asked = decimal(reply.headers.get("retry-after", ""), 0, int(AGAIN_S_MAX)) or 0
            raise _Later(f"the receiver answers {reply.status_code}", float(asked))
        if not reply.is_success:
            self._refused(len(spans), f"the receiver answers {reply.status_code}")
            return
        rejected = _rejected(reply.content)
        if rejected:
            self._refused(min(rejected, len(spans)), "the receiver rejects some")
        self.sent_count += len(spans) - min(rejected, len(spans))

    def _refused(self, count: int, reason: str) -> None:
        if not self.lost["refused"]:
            self._log.error("traces_refused", url=self._settings.url, reason=reason)
        self.lost["refused"] += count

    def _encoded(self, spans: Sequence[Span]) -> bytes:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.extend(_attributes({**self._settings.attributes, **self._own}))
        scope = resource.scope_spans.add()
        scope.scope.name = _SCOPE
        offset = self._clock.wall() - self._clock.now()
        scope.spans.extend(_wire_span(span, lambda at: _nanoseconds(offset + at)) for span in spans)
        return request.SerializeToString()

    def samples(self) -> list[Sample]:
        """Return the metrics."""
        return [
            Sample("skytrail_traces_sent_total", self.sent_count),
            Sample("skytrail_traces_waiting", len(self._waiting)),
            *(Sample("skytrail_traces_lost_total", n, {"reason": r}) for r, n in self.lost.items()),
        ]


def _nanoseconds(seconds: float) -> int:
    return round(seconds * _NANOSECONDS)


def _wire_span(span: Span, when: Callable[[float], int]) -> WireSpan:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

    made = WireSpan(
        trace_id=bytes.fromhex(span.context.trace_id),
        span_id=bytes.fromhex(span.context.span_id),
        parent_span_id=bytes.fromhex(span.parent_id),
        name=span.name,
        kind=WireSpan.SPAN_KIND_INTERNAL,
        start_time_unix_nano=when(span.start),
        end_time_unix_nano=when(max(span.end, span.start)),
        attributes=_attributes(span.attributes),
    )
    for event in span.events:
        made.events.add(
            name=event.name,
            time_unix_nano=when(event.at),
            attributes=_attributes(event.attributes),
        )
    return made


def _attributes(values: Mapping[str, Attribute]) -> list[KeyValue]:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

    found: list[KeyValue] = []
    for name, value in values.items():
        match value:
            case bool():
                said = AnyValue(bool_value=value)
            case int():
                said = AnyValue(int_value=value)
            case float():
                said = AnyValue(double_value=value)
            case _:
                said = AnyValue(string_value=value)
        found.append(KeyValue(key=name, value=said))
    return found


def _rejected(content: bytes) -> int:
    """Return how many spans an answer says were not taken; one that cannot be read took all."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceResponse,
    )

    try:
        return max(0, ExportTraceServiceResponse.FromString(content).partial_success.rejected_spans)
    except DecodeError:
        return 0
