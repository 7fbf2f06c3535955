"""The analytics nodes, behind one HTTP client each way: the first that can be reached is asked.

A node that could not be reached is asked last for a while. Only what was never sent is sent to another.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import httpx

SILENT_S: Final = 10.0
TURN: Final = "skytrail_turn"
"""Extension of a response: which of the nodes gave it."""
_UNREACHED: Final = (httpx.ConnectError, httpx.ConnectTimeout)


def base_url(place: str) -> str:
    """Return where requests to a node go; ``place`` is ``unix:PATH`` or a URL."""
    return "http://analytics" if place.startswith("unix:") else place


def _socket_of(place: str) -> str | None:
    return place.removeprefix("unix:") if place.startswith("unix:") else None


def _verification(place: str, ca_file: Path | None) -> ssl.SSLContext | bool:
    return ssl.create_default_context(cafile=ca_file) if place.startswith("https") else False


class _Turns:
    """In which order nodes are tried."""

    def __init__(self, places: Sequence[str]) -> None:
        self._bases = [httpx.URL(base_url(place)) for place in places]
        self._silent_until = [0.0 for _ in places]

    def order(self) -> list[int]:
        now = time.monotonic()
        return sorted(range(len(self._bases)), key=lambda turn: self._silent_until[turn] > now)

    def note_silent(self, turn: int) -> None:
        self._silent_until[turn] = time.monotonic() + SILENT_S

    def requests(self, request: httpx.Request) -> Iterator[tuple[int, httpx.Request]]:
        """Yield the request as each node gets it."""
        for turn in self.order():
            base = self._bases[turn]
            url = request.url.copy_with(scheme=base.scheme, host=base.host, port=base.port)
            headers = httpx.Headers(request.headers)
            headers["host"] = url.netloc.decode("ascii")
            yield turn, httpx.Request(
                request.method, url, headers=headers, stream=request.stream,
                extensions=request.extensions,
            )  # fmt: skip


class AsyncNodes(httpx.AsyncBaseTransport):
    """For what is passed on. Raises ``OSError`` for the authority's file."""

    def __init__(self, places: Sequence[str], ca_file: Path | None, limits: httpx.Limits) -> None:
        self._turns = _Turns(places)
        self._nodes = [
            httpx.AsyncHTTPTransport(
                uds=_socket_of(place), verify=_verification(place, ca_file), trust_env=False,
                limits=limits,
            )
            for place in places
        ]  # fmt: skip

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the first answer; the last node's failure when there is none."""
        failure: httpx.TransportError | None = None
        for turn, asked in self._turns.requests(request):
            try:
                reply = await self._nodes[turn].handle_async_request(asked)
            except _UNREACHED as error:
                self._turns.note_silent(turn)
                failure = error
            else:
                reply.extensions = {**reply.extensions, TURN: turn}
                return reply
        raise failure or httpx.ConnectError("no analytics node is named")

    async def aclose(self) -> None:
        for node in self._nodes:
            await node.aclose()


class Nodes(httpx.BaseTransport):
    """For threads that wait. Raises ``OSError`` for the authority's file."""

    def __init__(self, places: Sequence[str], ca_file: Path | None) -> None:
        self._turns = _Turns(places)
        self._nodes = [
            httpx.HTTPTransport(
                uds=_socket_of(place), verify=_verification(place, ca_file), trust_env=False
            )
            for place in places
        ]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the first answer; the last node's failure when there is none."""
        failure: httpx.TransportError | None = None
        for turn, asked in self._turns.requests(request):
            try:
                return self._nodes[turn].handle_request(asked)
            except _UNREACHED as error:
                self._turns.note_silent(turn)
                failure = error
        raise failure or httpx.ConnectError("no analytics node is named")

    def close(self) -> None:
        for node in self._nodes:
            node.close()
