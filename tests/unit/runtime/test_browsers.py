"""Names under which a server answers: a page that has its name lead here reads nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.runtime.asgi import HttpError, Request
from skytrail.runtime.browsers import AllowedHosts, allowed_host


def asked(host: str | None, *names: str, client: str = "127.0.0.1") -> bool:
    """Whether a request with this Host header is let in."""
    headers = {} if host is None else {"host": host}
    request = Request("GET", "/", (), {}, headers, client=client)
    try:
        AllowedHosts(map(allowed_host, names)).check(request)
    except HttpError:
        return False
    return True


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.0.0.1:8082", "127.8.9.1:1", "[::1]", "[::1]:8082", "[2001:db8::1]:80",
        "localhost", "LocalHost:8082", "localhost.", "console.localhost:8082", "192.0.2.1",
        "api.example.net:8082", "API.example.net.", "deep.in.cloud.example",
    ],
)  # fmt: skip
def test_addresses_localhost_and_names_that_were_said_are_answered(host: str) -> None:
    assert asked(host, "api.example.net", ".cloud.example")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8082", "127.0.0.1.evil.example", "localhost.evil.example",
        "api.example.net.evil.example", "notapi.example.net", "xlocalhost", "cloud.example",
        "evilcloud.example", "", ":8082", "[::1].evil.example", "[::1", "[evil.example]",
        "[localhost]", "127.0.0.1@evil.example", "evil.example/127.0.0.1", "0x7f.1", "::1",
        "127.0.0.1:80:80", "127.0.0.1:x",
    ],
)  # fmt: skip
def test_other_names_are_refused(host: str) -> None:
    assert not asked(host, "api.example.net", ".cloud.example")


def test_refusal_names_the_setting() -> None:
    request = Request("GET", "/", (), {}, {"host": "evil.example"}, client="127.0.0.1")

    with pytest.raises(HttpError, match=r"allowed hosts: setting --allowed-host NAME") as refusal:
        AllowedHosts().check(request)

    assert refusal.value.status == 421


def test_unix_socket_and_programs_without_a_host_are_let_in() -> None:
    assert asked("evil.example", client="")
    assert asked(None)


@pytest.mark.parametrize(
    "name", ["", ".", "a b", "x:80", "http://x", "*.example", "-x", "x" * 300, "..x", "ü"]
)
def test_what_is_no_name_cannot_be_allowed(name: str) -> None:
    with pytest.raises(ValueError, match="is no host name"):
        allowed_host(name)


@given(st.text(max_size=60))
def test_any_header_is_let_in_or_refused(host: str) -> None:
    asked(host, "api.example.net")
