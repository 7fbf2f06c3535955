"""Open streams: as many as one client, and all together, may have."""

from __future__ import annotations

import contextlib

import pytest

from skytrail.runtime.asgi import HttpError
from skytrail.runtime.stream_limits import StreamLimits


def test_client_has_its_number_and_gets_room_back() -> None:
    limits = StreamLimits(per_client=2, total=10)
    with limits.held("a"):
        with limits.held("a"):
            with pytest.raises(HttpError, match="--streams-per-client") as refused:
                limits.check("a")
            limits.check("b")
        limits.check("a")

    assert refused.value.status == 429
    assert ("retry-after", "5") in refused.value.headers


def test_all_clients_together_have_an_end() -> None:
    limits = StreamLimits(per_client=2, total=3)
    with contextlib.ExitStack() as held:
        for client in "abc":
            limits.check(client)
            held.enter_context(limits.held(client))

        with pytest.raises(HttpError) as refused:
            limits.check("d")

    assert refused.value.status == 503
    limits.check("d")
