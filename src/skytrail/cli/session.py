"""How commands reach the API, and how its failures become messages and exit statuses."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import click
import httpx
from rich.console import Console

from skytrail.cli.access import API_VARIABLE, SOCKET_VARIABLE, resolved
from skytrail.cli.hints import advice_for, parent_advice, scheme_problem
from skytrail.cli.names import FqName, UnknownType, read_project
from skytrail.client import AccessUnusable, ApiClient, ApiError, ApiUnavailable
from skytrail.client.access import VARIABLES
from skytrail.client.transport import DEFAULT_URL, TIMEOUT

PROJECT_VARIABLE: Final = "SKYTRAIL_PROJECT"

_ACCESS = "skytrail.cli.access"
FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


class Refused(click.ClickException):
    """The request cannot be done: exit status 1."""

    exit_code = 1


class Unreachable(click.ClickException):
    """The API does not answer: exit status 3."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Session:
    """One command's connection and settings."""

    client: ApiClient
    project: FqName


def api_options(function: FunctionT) -> FunctionT:
    """Add the options that say where the API is and who asks; they win over the group's."""

    def remember(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            note_access(ctx, {str(parameter.name): value})

    for name, form, text in (
        ("--ca", "FILE", f"Who signs the API's certificate (PEM).  [env {VARIABLES['ca_file']}]"),
        ("--token", "TOKEN", f"Who asks; `skytrail login` gets one.  [env {VARIABLES['token']}]"),
        ("--api-socket", "PATH", f"API's Unix socket.  [env {SOCKET_VARIABLE}]"),
        ("--api", "URL", f"API address.  [env {API_VARIABLE}]"),
    ):
        function = click.option(
            name, metavar=form, help=text, expose_value=False, callback=remember
        )(function)
    return function


def note_access(ctx: click.Context, given: Mapping[str, str | None]) -> None:
    """Keep what an option said for :func:`opened`; of URL and socket the last given counts."""
    said = {name: value for name, value in given.items() if value is not None}
    kept = given_access(ctx)
    if {"api", "api_socket"} & said.keys():
        kept = {name: value for name, value in kept.items() if name not in ("api", "api_socket")}
    ctx.meta[_ACCESS] = {**kept, **said}


def given_access(ctx: click.Context | None) -> dict[str, str | None]:
    """Return what options of the command line said."""
    if ctx is None:
        return {}
    found: dict[str, str | None] = dict(ctx.meta.get(_ACCESS, {}))
    if "ca" in found:
        found["ca_file"] = found.pop("ca")
    return found


def new_client(ctx: click.Context | None = None, timeout: httpx.Timeout = TIMEOUT) -> ApiClient:
    """Return a client as the command line says, else the environment, else the user's file."""
    url, socket, access = resolved(given_access(ctx))
    problem = scheme_problem(url)
    if problem is not None and not socket:
        raise click.UsageError(problem)
    return ApiClient(url or DEFAULT_URL, unix_socket=socket or None, access=access, timeout=timeout)


@contextmanager
def opened(*, writes: bool = False, timeout: httpx.Timeout = TIMEOUT) -> Generator[Session]:
    """Give a session; what the API refuses inside ends the command with a message.

    A command that writes says to which server, where neither its own options nor the default tell:
    a variable set in another hour, or a login, must not surprise.
    """
    ctx = click.get_current_context()
    with reported(), new_client(ctx, timeout) as client:
        if writes:
            _tell_server(ctx)
        yield Session(client, read_project(os.environ.get(PROJECT_VARIABLE)))


def _tell_server(ctx: click.Context) -> None:
    given = given_access(ctx)
    url, socket, _ = resolved(given)
    if given.get("api") or given.get("api_socket") or (socket or url or DEFAULT_URL) == DEFAULT_URL:
        return
    variable = SOCKET_VARIABLE if socket else API_VARIABLE
    source = f"${variable}" if os.environ.get(variable) else "skytrail login"
    click.echo(f"server: {socket or url} (by {source})", err=True)


@contextmanager
def reported() -> Generator[None]:
    try:
        yield
    except UnknownType as error:
        raise click.UsageError(str(error)) from error
    except AccessUnusable as error:
        raise click.UsageError(str(error)) from error
    except ApiUnavailable as error:
        raise Unreachable(f"{error}\n{advice_for(str(error))}") from error
    except ApiError as error:
        raise Refused(explain(error)) from error


def explain(error: ApiError) -> str:
    """Return the API's text and what to do about it."""
    advice = {
        401: "The API wants to know who asks: `skytrail login USER`, --token or SKYTRAIL_TOKEN.",
        403: "Ask an administrator for the right to do this.",
        412: "Ask an administrator for more quota, or delete what is not needed.",
        501: "This part is not built yet.",
    }.get(error.status)
    advice = advice or parent_advice(error.text)
    return error.text if advice is None else f"{error.text}\n{advice}"


def console() -> Console:
    """Return a console for tables; as wide as needed when the output is not a terminal."""
    found = Console(highlight=False, soft_wrap=False)
    return found if found.is_terminal else Console(highlight=False, width=400, color_system=None)
