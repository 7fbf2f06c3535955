"""One lab for each worker, brought up once: the two-tenants example with two control nodes and TLS.

Names start with ``stt`` and a random part, so several runs coexist; everything is taken down at the
end, and a run that was killed leaves a lab that ``skytrail lab down --all`` removes.
"""

import contextlib
import os
import secrets
import subprocess
import time
from pathlib import Path

import pytest

from skytrail.client import ApiClient
from skytrail.lab import check, vrouter
from skytrail.lab.io import processes
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.service import Lab
from skytrail.testing.span_sink import running_sink

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "two-tenants"


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "lab" in item.fixturenames:
            item.add_marker(pytest.mark.root)


def pytest_sessionfinish():
    # Some tests let another process take a lab down; its children are still ours to collect.
    processes.reap_ended()


@pytest.fixture(scope="session")
def lab_of(tmp_path_factory):
    """Bring up the lab of an example, with a second control node; down at the block's end."""

    @contextlib.contextmanager
    def running(example, prefix, more="", *, topology="topology.yaml", version=4):
        if os.geteuid() != 0:
            pytest.skip("needs root: network namespaces and eBPF")
        text = (example / topology).read_text()
        text = text.replace("  - control1\n", "  - control1\n  - control2\n")
        if version == 6:
            text = text.replace("underlay: {", "underlay: {version: 6, ")
        for beside in ("provision.py", "nova-secret"):
            text = text.replace(beside, str(example / beside))
        file = tmp_path_factory.mktemp(example.name) / "topology.yaml"
        file.write_text(text + more)
        created = Lab.create(file, name=f"{prefix}{secrets.token_hex(3)}")
        try:
            created.up()
            yield created
        finally:
            created.down()

    return running


@pytest.fixture(scope="session")
def spans(tmp_path_factory):
    """All spans that the daemons of the lab send."""
    place = tmp_path_factory.mktemp("spans") / "otlp.sock"
    with running_sink(place) as sink, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"unix:{place}")
        yield sink


@pytest.fixture(scope="session")
def lab(lab_of, spans, request):
    if any(item.path.name == "test_console_lab.py" for item in request.session.items):
        # The API takes the console's files as it starts: those of these sources.
        subprocess.run([ROOT / "console/build.sh"], check=True, capture_output=True)
    with lab_of(EXAMPLE, "stt", "\ntls: true\n") as created:
        yield created


@pytest.fixture(scope="session")
def api(lab):
    with ApiClient(lab.api_url) as client:
        yield client


@pytest.fixture(scope="session")
def members(lab):
    """Every endpoint with its addresses, by name."""
    return check.members(lab)


@pytest.fixture
def ping(lab, members):
    """Start steady traffic: ``ping("red-web1", "red-web2")``; stopped at the end of the test."""
    running = []

    def start(source, destination, *, version=4, interval_s=0.01):
        traffic = PingTraffic(
            lab.plan.namespace_of(source),
            members[destination].address(version=version),
            interval_s=interval_s,
        )
        running.append(traffic)
        traffic.__enter__()
        assert traffic.wait_replies(5, timeout_s=30), f"{source} does not reach {destination}"
        return traffic

    yield start
    for traffic in running:
        traffic.stop()


@pytest.fixture
def eventually():
    """Wait for a condition: ``eventually(lambda: ..., "what is waited for")``; a busy machine needs the time."""

    def wait(condition, what, *, timeout_s=30.0):
        deadline = time.monotonic() + timeout_s
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                pytest.fail(f"not within {timeout_s:g} s: {what}; last seen {value!r}")
            time.sleep(0.05)

    return wait


@pytest.fixture
def drop_growth(lab):
    """Count a port's drops from now on: ``grown = drop_growth("red-web1"); ...; grown()``."""

    def start(name):
        host, uuid = lab.topology.endpoint(name).host, lab.attached(name).uuid
        before = vrouter.port_drops(lab, host, uuid)

        def grown():
            after = vrouter.port_drops(lab, host, uuid)
            return {
                reason: count - before.get(reason, 0)
                for reason, count in after.items()
                if count > before.get(reason, 0)
            }

        return grown

    return start
