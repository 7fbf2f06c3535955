"""Where spans end in tests: an HTTP server that decodes OTLP by its own definitions, on a Unix socket or on TCP."""

from __future__ import annotations

import gzip
import socketserver
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


@dataclass(frozen=True, slots=True)
class TakenSpan:
    """A span as it came; ids in hexadecimal, times in nanoseconds since 1970."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: Mapping[str, object]


class SpanSink:
    """All spans that came."""

    def __init__(self) -> None:
        self.spans: list[TakenSpan] = []
        self.heads: list[Mapping[str, str]] = []
        """Of each request."""
        self.statuses: list[int] = []
        """Answered to the next requests in place of 200; their spans are not taken."""

    def named(self, name: str, **attributes: object) -> list[TakenSpan]:
        """Return spans of a name with these attributes; ``host=`` is ``skytrail.host``."""
        wanted = {f"skytrail.{key}": value for key, value in attributes.items()}
        return [
            span
            for span in self.spans
            if span.name == name and wanted.items() <= dict(span.attributes).items()
        ]

    def of_trace(self, trace_id: str) -> list[TakenSpan]:
        return [span for span in self.spans if span.trace_id == trace_id]

    def take(self, path: str, head: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Take a request over; returns status and body of the answer."""
        self.heads.append(head)
        if self.statuses:
            return self.statuses.pop(0), b""
        if path != "/v1/traces" or head.get("content-type") != "application/x-protobuf":
            return 415, b""
        content = gzip.decompress(body) if head.get("content-encoding") == "gzip" else body
        for resource in ExportTraceServiceRequest.FromString(content).resource_spans:
            service = str(_plain(resource.resource.attributes).get("service.name", ""))
            for scope in resource.scope_spans:
                self.spans += [
                    TakenSpan(
                        service,
                        each.name,
                        each.trace_id.hex(),
                        each.span_id.hex(),
                        each.parent_span_id.hex(),
                        each.start_time_unix_nano,
                        each.end_time_unix_nano,
                        _plain(each.attributes),
                    )
                    for each in scope.spans
                ]
        return 200, ExportTraceServiceResponse().SerializeToString()


def _plain(attributes: object) -> dict[str, object]:
    found: dict[str, object] = {}
    for each in attributes if isinstance(attributes, list) else list(attributes):  # type: ignore[call-overload] # a repeated field
        if isinstance(each, KeyValue):
            kind = each.value.WhichOneof("value")
            found[each.key] = None if kind is None else getattr(each.value, kind)
    return found


@contextmanager
def running_sink(place: Path | int) -> Generator[SpanSink]:
    """Give a sink that serves a Unix socket, or a port of loopback."""
    sink = SpanSink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            head = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(head.get("content-length", "0")))
            status, answer = sink.take(self.path, head, body)
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            if answer:
                # A client that has read "length 0" may be gone, and even nothing is not sent to it.
                self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name there
            """Say nothing."""

    server: socketserver.BaseServer
    if isinstance(place, Path):
        server = socketserver.ThreadingUnixStreamServer(str(place), Handler)
    else:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", place), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
