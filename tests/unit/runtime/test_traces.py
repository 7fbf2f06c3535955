"""Spans on their way to a receiver: bounded, again where the receiver asks for it, counted where it refuses."""

from __future__ import annotations

import asyncio

import pytest

from skytrail.runtime import traces as module
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.otlp_settings import OtlpSettings, OtlpUnusable, read
from skytrail.runtime.traces import Traces
from skytrail.testing.span_sink import running_sink
from skytrail.wire.spans import Span, SpanEvent, context_of, trace_of

TRACE = trace_of(7, "history")


def span(name="api.write", **attributes):
    now = SystemClock().now()
    return Span(name, context_of(TRACE, name), "", now - 1, now, attributes, [SpanEvent("e", now)])


@pytest.fixture
def sink(tmp_path):
    with running_sink(tmp_path / "otlp.sock") as made:
        made.settings = OtlpSettings("http://localhost/v1/traces", str(tmp_path / "otlp.sock"))
        yield made


def send(traces, until):
    async def run():
        task = asyncio.create_task(traces.run())
        async with asyncio.timeout(20):
            while not until():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def counts(traces):
    return {each.name: each.value for each in traces.samples()}


def test_span_arrives_as_it_was_with_who_sent_it(sink):
    traces = Traces(sink.settings, "skytrail-api", "node1", SystemClock())
    traces.add(span(text="a", number=3, share=0.5, is_so=True))
    send(traces, lambda: traces.sent_count)

    (taken,) = sink.spans
    assert (taken.service, taken.trace_id) == ("skytrail-api", TRACE)
    assert taken.attributes == {"text": "a", "number": 3, "share": 0.5, "is_so": True}
    assert 0.99e9 < taken.end - taken.start < 1.01e9
    assert abs(taken.end / 1e9 - SystemClock().wall()) < 60


def test_receiver_that_is_busy_is_asked_again(sink):
    sink.statuses += [503, 429]
    traces = Traces(sink.settings, "s", "i", SystemClock())
    traces.add(span())
    send(traces, lambda: traces.sent_count)

    assert len(sink.spans) == 1
    assert traces.lost == {}


def test_what_the_receiver_refuses_is_counted_and_does_not_hold_up_others(sink):
    sink.statuses += [400]
    traces = Traces(sink.settings, "s", "i", SystemClock())
    traces.add(span("first"))
    send(traces, lambda: traces.lost["refused"])
    traces.add(span("second"))
    send(traces, lambda: traces.sent_count)

    assert [each.name for each in sink.spans] == ["second"]
    assert counts(traces)["skytrail_traces_lost_total"] == 1


def test_spans_that_wait_are_bounded_and_the_oldest_go(sink, monkeypatch):
    monkeypatch.setattr(module, "WAITING_COUNT_MAX", 3)
    traces = Traces(sink.settings, "s", "i", SystemClock())
    for number in range(5):
        traces.add(span(f"n{number}"))
    send(traces, lambda: traces.sent_count == 3)

    assert [each.name for each in sink.spans] == ["n2", "n3", "n4"]
    assert traces.lost == {"no_room": 2}


def test_process_that_ends_sends_what_it_has(sink):
    traces = Traces(sink.settings, "s", "i", SystemClock())

    async def run():
        task = asyncio.create_task(traces.run())
        await asyncio.sleep(0)
        traces.add(span())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert len(sink.spans) == 1


ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}


def test_nothing_is_sent_unless_somebody_says_where():
    assert read("", {}) is None
    assert read("", {**ENDPOINT, "OTEL_SDK_DISABLED": "true"}) is None
    assert read("", {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}) is None
    assert read("", {**ENDPOINT, "OTEL_TRACES_SAMPLER": "always_off"}) is None


def test_places_are_read_as_the_standard_says():
    assert read("", ENDPOINT).url == "http://c:4318/v1/traces"
    whole = {**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/own"}
    assert read("", whole).url == "https://t/own"
    assert read("http://o:1", whole).url == "http://o:1/v1/traces"
    assert read("unix:/run/o.sock", {}).socket == "/run/o.sock"


def test_headers_and_attributes_are_decoded():
    settings = read(
        "",
        {
            **ENDPOINT,
            "OTEL_EXPORTER_OTLP_HEADERS": "a=b%20c, d=e",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "d=f",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=lab",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.25",
        },
    )

    assert settings.headers == {"a": "b c", "d": "f"}
    assert settings.attributes == {"deployment.environment": "lab"}
    assert settings.ratio == 0.25


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://c"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "some"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(variable, value):
    ratio = {"OTEL_TRACES_SAMPLER": "traceidratio"}
    with pytest.raises(OtlpUnusable) as refused:
        read("", {**ENDPOINT, **ratio, variable: value})

    assert variable in str(refused.value) or value in str(refused.value)
