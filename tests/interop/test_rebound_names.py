"""A page whose name leads to this machine (DNS rebinding) gets nothing of API and analytics."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import subprocess

import pytest

from skytrail.testing.controller import Daemons


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    options = ("--data", folder / "data", "--allowed-host", "api.example")
    with Daemons(folder) as daemons:
        yield int(daemons.start("api", "--port", 0, *options)["port"])


def ask(port, host, *, method="GET", path="/", **headers):
    """(status, body) of a request to that name."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, path, headers={"Host": host, **headers})
        reply = connection.getresponse()
        # Of a stream, the head is enough.
        body = "" if reply.length is None else reply.read().decode()
        return reply.status, body


@pytest.mark.parametrize(
    "path",
    ["/", "/virtual-networks", "/api/v1/virtual-network", "/api/v1/watch", "/console/", "/nothing",
     "/introspect/tasks", "/metrics", "/openapi.json"],
)  # fmt: skip
def test_no_part_of_the_api_answers_to_another_name(api, path):
    status, text = ask(api, "evil.example:8082", path=path)

    assert status == 421
    assert "allowed hosts" in text


def test_addresses_localhost_and_the_allowed_name_are_answered(api):
    found = {host: ask(api, host)[0] for host in ("127.0.0.1", f"localhost:{api}", "api.example")}

    assert set(found.values()) == {200}


def test_analytics_answers_to_no_other_name_and_to_no_other_page(tmp_path):
    with Daemons(tmp_path) as daemons:
        port = int(daemons.start("analytics", "--port", 0)["rest"])
        other = ask(port, "evil.example", path="/analytics/uves")
        own = ask(port, "localhost", path="/analytics/uves")
        page = ask(port, "localhost", method="POST", path="/analytics/query", Origin="http://evil")

    assert other[0] == 421
    assert own[0] == 200
    assert page[0] == 403


@pytest.mark.skipif(shutil.which("chromium") is None, reason="make clients installs the browser")
def test_browser_that_takes_a_name_for_this_machine_reads_the_refusal_alone(api, tmp_path):
    def page(host):
        command = [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
            f"--user-data-dir={tmp_path / host}", "--host-resolver-rules=MAP evil.example 127.0.0.1",
            f"http://{host}:{api}/virtual-networks",
        ]  # fmt: skip
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=True
        ).stdout

    rebound, own = page("evil.example"), page("localhost")

    assert "allowed hosts" in rebound
    assert "virtual-networks" not in rebound
    assert "virtual-networks" in own
