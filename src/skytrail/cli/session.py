"""How commands reach the API, and how its failures become messages and exit statuses."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import click
import httpx
from rich.console import Console

from skytrail.cli.access import resolved
from skytrail.cli.hints import advice_for, parent_advice, scheme_problem
from skytrail.cli.names import FqName, UnknownType, read_project
from skytrail.cli.place import (
    API_VARIABLE,
    SOCKET_VARIABLE,
    Place,
    complete_lab,
    given_access,
    note_given,
)
from skytrail.client import AccessUnusable, ApiClient, ApiError, ApiUnavailable
from skytrail.client.access import VARIABLES, Access
from skytrail.client.transport import DEFAULT_URL, TIMEOUT
from skytrail.lab import labs

PROJECT_VARIABLE: Final = "SKYTRAIL_PROJECT"

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
            note_given(ctx, {str(parameter.name): value})

    for name, form, text, complete in (
        ("--ca", "FILE", f"Who signs the API's certificate (PEM).  [env {VARIABLES['ca_file']}]", None),
        ("--token", "TOKEN", f"Who asks; `skytrail login` gets one.  [env {VARIABLES['token']}]", None),
        ("--lab", "NAME", f"The API of this lab.  [env {labs.VARIABLE}]", complete_lab),
        ("--api-socket", "PATH", f"API's Unix socket.  [env {SOCKET_VARIABLE}]", None),
        ("--api", "URL", f"API address.  [env {API_VARIABLE}]", None),
    ):  # fmt: skip
        function = click.option(
            name, metavar=form, help=text, expose_value=False, callback=remember,
            shell_complete=complete,
        )(function)  # fmt: skip
    return function


def new_client(ctx: click.Context | None = None, timeout: httpx.Timeout = TIMEOUT) -> ApiClient:
    """Return a client of the API that is meant; ServerUnclear when several could be."""
    return _client(*resolved(given_access(ctx)), timeout)


def _client(place: Place, access: Access, timeout: httpx.Timeout) -> ApiClient:
    problem = scheme_problem(place.url)
    if problem is not None and not place.socket:
        raise click.UsageError(problem)
    return ApiClient(place.url, unix_socket=place.socket, access=access, timeout=timeout)


@contextmanager
def opened(*, writes: bool = False, timeout: httpx.Timeout = TIMEOUT) -> Generator[Session]:
    """Give a session; what the API refuses inside ends the command with a message.

    A command that writes says to which server, where neither its own options nor the default tell:
    a variable set in another hour, a login, or the only lab must not surprise. One that only reads
    says it when it fails.
    """
    ctx = click.get_current_context()
    with reported():
        place, access = resolved(given_access(ctx))
        plain = place.by_option or (
            place.lab is None and (place.socket or place.url) == DEFAULT_URL
        )
        if writes and not plain:
            click.echo(place.told(), err=True)
    try:
        with reported(), _client(place, access, timeout) as client:
            yield Session(client, read_project(os.environ.get(PROJECT_VARIABLE)))
    except (Refused, Unreachable):
        if not (writes or plain):
            click.echo(place.told(), err=True)
        raise


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
