"""Which analytics nodes a command asks, and how: directly, or by way of an API that passes questions on.

The rule is that of ``place``. Of several nodes the first that answers is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import click
import httpx
import msgspec

from skytrail.cli import output
from skytrail.cli.access import access_of, config_file, read_config
from skytrail.cli.hints import scheme_problem
from skytrail.cli.lab_choice import lab_option, readable_labs
from skytrail.cli.place import given_access, login_place, named_place
from skytrail.cli.session import Refused, Unreachable
from skytrail.cli.values import Json, mapping
from skytrail.lab import labs, state
from skytrail.lab.state import LabError
from skytrail.runtime.terminal import printable

VARIABLE: Final = "SKYTRAIL_ANALYTICS"
DEFAULT_URL: Final = "http://127.0.0.1:8081"
_FORBIDDEN, _UNKNOWN, _AWAY = 403, 404, 503
_MISSING: Final = "x-skytrail-missing-nodes"
_TIMEOUT: Final = httpx.Timeout(70.0, connect=5.0)
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout)
FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


def node_options(function: FunctionT) -> FunctionT:
    """Add the options that say which analytics nodes are asked: ``url`` (with commas between) and ``lab_name``."""

    def joined(_: click.Context, __: click.Parameter, values: Sequence[str]) -> str | None:
        return ",".join(values) or None

    url = click.option(
        "--analytics",
        "url",
        metavar="URL,...",
        multiple=True,
        callback=joined,
        help=f"Nodes to ask, the first that answers; else the API that is named or logged in to.  [env {VARIABLE}]",
    )
    return lab_option(url(function))


class NotShown(Refused):
    """It is not for who asks."""


class NotKnown(Refused):
    """There is no such thing at the node."""


@dataclass(frozen=True, slots=True)
class NodePlace:
    """Where questions go: a node, or an API that passes them on."""

    url: str
    socket: str | None = None
    """Wins over the URL."""
    is_api: bool = False

    def path(self, path: str) -> str:
        """Return where a path of a node is here."""
        if not self.is_api:
            return path
        return f"/api/v1/analytics/{path.removeprefix('/analytics/').removeprefix('/api/v1/')}"

    def __str__(self) -> str:
        return (f"the API at {self.socket or self.url}") if self.is_api else self.url


class Analytics:
    """The analytics nodes as a command asks them: the first that answers."""

    def __init__(self, places: Sequence[NodePlace]) -> None:
        access = access_of(given_access(click.get_current_context(silent=True)))
        self._places = list(places)
        self._clients = [
            httpx.Client(
                base_url="http://api" if place.socket else place.url,
                transport=httpx.HTTPTransport(
                    uds=place.socket, verify=access.verification(place.url), trust_env=False
                ),
                auth=access.authentication(),
                timeout=_TIMEOUT,
            )
            for place in places
        ]
        self._missing: set[str] = set()

    def call(self, method: str, path: str, body: object = None) -> object:
        """Return the answer; click's exceptions say what went wrong and what to do."""
        content = None if body is None else msgspec.json.encode(body)
        # Who acknowledges an alarm and gets no answer does not know whether it is done.
        reasons = _NEVER_SENT if path.endswith("/acknowledge") else httpx.HTTPError
        failures: list[str] = []
        while True:
            place, client = self._places[0], self._clients[0]
            try:
                reply = client.request(method, place.path(path), content=content)
            except httpx.HTTPError as error:
                failures.append(_failure(place, error))
                if len(failures) < len(self._places) and isinstance(error, reasons):
                    self._turn()
                    continue
                raise Unreachable("\n".join(failures)) from error
            if reply.status_code == _AWAY and len(failures) + 1 < len(self._places):
                failures.append(f"{place}: {reply.text} ({reply.status_code})")
                self._turn()
                continue
            if failures:
                output.note(printable("\n".join([*failures, f"asked in its place: {place}"])))
            return self._read(place, reply)

    def _turn(self) -> None:
        """Ask another first from now on."""
        self._places.append(self._places.pop(0))
        self._clients.append(self._clients.pop(0))

    def _read(self, place: NodePlace, reply: httpx.Response) -> object:
        said = f"{reply.text} ({reply.status_code})"
        if reply.status_code == _FORBIDDEN:
            raise NotShown(said)
        if reply.status_code == _UNKNOWN:
            advice = f"\nAsked was {place}; --analytics URL names a node." if place.is_api else ""
            raise NotKnown(f"{said}{advice}")
        if reply.status_code != 200:
            raise Refused(said)
        self._note_missing(reply.headers.get(_MISSING, ""))
        return msgspec.json.decode(reply.content)

    def _note_missing(self, nodes: str) -> None:
        """Say, once, whose part of history is not in an answer."""
        if nodes and nodes not in self._missing:
            self._missing.add(nodes)
            output.note(
                printable(f"Not all of it: what these analytics nodes keep is missing: {nodes}")
            )

    def rows_for_all(self, question: Mapping[str, object]) -> list[Json]:
        """Return rows as :meth:`query`, none where they are not for who asks."""
        try:
            return self.query(question)
        except NotShown:
            return []

    def query(self, question: Mapping[str, object]) -> list[Json]:
        answer = mapping(self.call("POST", "/analytics/query", question))
        rows = answer.get("value")
        return [mapping(row) for row in rows] if isinstance(rows, list) else []


def _failure(place: NodePlace, error: httpx.HTTPError) -> str:
    speaks_tls = place.url.startswith("http:") and "disconnected" in str(error)
    advice = (
        f"it may speak TLS, as that of `skytrail up --secure`: --analytics https{place.url[4:]}"
        if speaks_tls
        else f"`skytrail up` runs one; --analytics URL or {VARIABLE} says where"
    )
    what = "nobody" if place.is_api else "no analytics node"
    where = place.socket or place.url
    return f"{what} answers at {where}: {error or type(error).__name__}\n{advice}"


def opened_node(given: str | None, lab_name: str | None) -> Analytics:
    """Return the nodes that are meant, as one."""
    return Analytics(node_places(given, lab_name))


def node_places(given: str | None, lab_name: str | None) -> list[NodePlace]:
    """Return where to ask, in order: as told, an API that is named, or a lab's node.

    Says on standard error which lab is asked when nobody chose it; refused when several could be.
    """
    if given and lab_name:
        raise click.UsageError("--analytics and --lab both say where to ask; give one of them.")
    told = given or (None if lab_name else os.environ.get(VARIABLE))
    if told:
        return [_told(each.strip()) for each in told.split(",") if each.strip()]
    if not lab_name:
        passage = _passage()
        if passage is not None:
            return [passage]
    return [NodePlace(_of_labs(lab_name))]


def _told(url: str) -> NodePlace:
    problem = scheme_problem(url)
    if problem is not None:
        raise click.UsageError(problem.replace("of the API", "of an analytics node"))
    return NodePlace(url)


def _passage() -> NodePlace | None:
    """Return the API that options, variables or a login name; None where a lab is named, or nothing."""
    given = given_access(click.get_current_context(silent=True))
    options = {name: value for name, value in given.items() if name != "lab"}
    environment = {name: value for name, value in os.environ.items() if name != labs.VARIABLE}
    named = named_place(options, environment)
    if named is None and not os.environ.get(labs.VARIABLE):
        named = login_place(read_config(config_file(os.environ)))
    return None if named is None else NodePlace(named.url, named.socket, is_api=True)


def _of_labs(lab_name: str | None) -> str:
    try:
        if lab_name or os.environ.get(labs.VARIABLE):
            return _url_of(lab_name or state.chosen_name())
    except LabError as error:
        raise Refused(str(error)) from error
    nodes = {lab.name: lab.analytics_port for lab in readable_labs() if lab.analytics_port}
    if len(nodes) > 1:
        raise Refused(
            f"several labs have an analytics node: {', '.join(nodes)}; choose one: --lab NAME or"
            f" {labs.VARIABLE}=NAME (another node: --analytics URL)"
        )
    for name, port in nodes.items():
        output.note(f"analytics node of lab {name}: {_local(port)}")
        return _local(port)
    return DEFAULT_URL


def _url_of(lab_name: str) -> str:
    try:
        port = state.read(lab_name).analytics_port
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(f"lab {lab_name} cannot be read: {error}") from error
    if not port:
        raise Refused(
            f"lab {lab_name} has no analytics node; `analytics: true` in its topology file makes one"
        )
    return _local(port)


def _local(port: int) -> str:
    return f"http://127.0.0.1:{port}"
