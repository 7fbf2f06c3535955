"""The API server's command line: where the analytics node is."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from skytrail.daemons.api import _analytics_place, _authority


@pytest.mark.parametrize(
    "text", ["", "unix:/run/analytics", "unix:build/a", "http://127.0.0.1:8081", "https://[::1]"]
)
def test_a_place_of_analytics_is_a_socket_or_a_url(text: str) -> None:
    assert _analytics_place(text) == text


@pytest.mark.parametrize(
    "text",
    ["unix:", "ftp://x", "http://", "https://:1", "nonsense", "http://a:x", "http://[::", "/run/a"],
)
def test_what_is_no_place_of_analytics_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="neither unix:PATH nor"):
        _analytics_place(text)


def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pem", tmp_path):
        with pytest.raises(argparse.ArgumentTypeError, match=str(path)):
            _authority(str(path))
