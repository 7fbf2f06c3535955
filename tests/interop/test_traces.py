"""Traces of changes: real daemons tell a real collector (Rotel), which passes on what it understood."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import rotel

from skytrail.lab.io.machine import free_port
from skytrail.testing.controller import Controller, wait_until
from skytrail.testing.span_sink import running_sink


class Collector:
    """An OpenTelemetry collector that sends everything on to a sink."""

    def __init__(self, folder, sink_port):
        self.port = free_port()
        own, other = f"127.0.0.1:{self.port}", f"127.0.0.1:{free_port(taken={self.port})}"
        binary = str(Path(rotel.__file__).with_name("rotel-agent"))
        self._command = [
            binary, "start", "--otlp-http-endpoint", own, "--otlp-grpc-endpoint", other,
            "--exporter", "otlp", "--otlp-exporter-protocol", "http", "--disable-batching",
            "--otlp-exporter-endpoint", f"http://127.0.0.1:{sink_port}",
        ]  # fmt: skip
        self._log = folder / "collector.log"
        self._process = None

    def start(self):
        with self._log.open("a") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(self._answers, "the collector answers")

    def _answers(self):
        try:
            httpx.get(f"http://127.0.0.1:{self.port}/", timeout=2)
        except httpx.HTTPError:
            return False
        return True

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def sink():
    port = free_port()
    with running_sink(port) as made:
        made.port = port
        yield made


@pytest.fixture
def collector(tmp_path, sink):
    made = Collector(tmp_path, sink.port)
    yield made
    made.kill()


@pytest.fixture
def controller(tmp_path, collector, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
    made = Controller(tmp_path)
    made.start_api()
    made.start_compiler()
    yield made
    made.stop()


def network(api, name):
    content = {"fq_name": ["default-domain", "default-project", name], "parent_type": "project"}
    api.create("virtual-network", content)


def derived(sink, least=1):
    return [
        span
        for span in sink.named("compiler.derive")
        if span.attributes["skytrail.writes"] >= least
    ]


def traces(sink, name):
    return {span.trace_id for span in sink.named(name)}


def test_change_is_one_trace_from_the_request_to_what_is_derived(controller, collector, sink):
    collector.start()
    with controller.client() as api:
        network(api, "red")
    wait_until(lambda: derived(sink), "what was derived is told")
    wait_until(lambda: sink.named("api.write"), "the write is told")

    derive = derived(sink)[0]
    trace = {span.name: span for span in sink.of_trace(derive.trace_id)}
    write = trace["api.write"]
    assert (write.service, derive.service) == ("skytrail-api", "skytrail-compiler")
    assert (write.parent_id, derive.parent_id) == ("", write.span_id)
    assert write.attributes["skytrail.revision"] == derive.attributes["skytrail.revision"]
    assert derive.attributes["skytrail.derived_revision"] > write.attributes["skytrail.revision"]
    assert write.start <= derive.start <= derive.end


def test_collector_that_is_away_holds_up_nothing(controller, collector, sink):
    with controller.client() as api:
        network(api, "red")
        wait_until(lambda: "traces_not_sent" in controller.log("api"), "the API says so")
        network(api, "blue")
        collector.start()
        wait_until(lambda: len(sink.named("api.write")) >= 2, "both are told later")
        collector.kill()
        network(api, "green")
        collector.start()
        wait_until(lambda: len(sink.named("api.write")) >= 3, "so is what a killed one missed")


def test_traces_that_are_not_sampled_are_told_by_nobody(tmp_path, sink, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{sink.port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    controller = Controller(tmp_path)
    controller.start_api()
    controller.start_compiler()
    try:
        with controller.client() as api:
            for number in range(24):
                network(api, f"n{number}")
        wait_until(
            lambda: set() < traces(sink, "compiler.derive") <= traces(sink, "api.write"),
            "all tell of the same traces",
        )
    finally:
        controller.stop()

    writes = traces(sink, "api.write")
    assert 0 < len(writes) < 24
    assert all(int(trace[16:], 16) >= 2**63 for trace in writes)
    assert {head["authorization"] for head in sink.heads} == {"Bearer abc"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
    ],
)
@pytest.mark.parametrize("daemon", ["api", "compiler"])
def test_settings_that_cannot_be_used_are_named(tmp_path, daemon, variable, value):
    known = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    arguments = {
        "api": ["--data", tmp_path / "data", "--port", "0"],
        "compiler": ["--socket", tmp_path / "compiler.sock"],
    }
    done = subprocess.run(
        [sys.executable, "-m", f"skytrail.daemons.{daemon}", *arguments[daemon]],
        env={**os.environ, **known, variable: value},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert value in done.stderr or variable in done.stderr
