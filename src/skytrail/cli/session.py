"""How commands reach the API, and how its failures become messages and exit statuses."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import click
from rich.console import Console

from skytrail.cli.names import FqName, UnknownType, read_project
from skytrail.client import ApiClient, ApiError, ApiUnavailable

DEFAULT_URL: Final = "http://127.0.0.1:8082"
API_VARIABLE: Final = "SKYTRAIL_API"
SOCKET_VARIABLE: Final = "SKYTRAIL_API_SOCKET"
PROJECT_VARIABLE: Final = "SKYTRAIL_PROJECT"

_ADDRESS = "skytrail.cli.address"
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
    """Add ``--api`` and ``--api-socket`` to a command; they win over the group's."""

    def remember(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            is_socket = parameter.name == "api_socket"
            note_address(ctx, None if is_socket else value, value if is_socket else None)

    for name, form, text in (
        ("--api-socket", "PATH", f"API's Unix socket.  [env {SOCKET_VARIABLE}]"),
        ("--api", "URL", f"API address.  [env {API_VARIABLE}]"),
    ):
        function = click.option(
            name, metavar=form, help=text, expose_value=False, callback=remember
        )(function)
    return function


def note_address(ctx: click.Context, url: str | None, socket: str | None) -> None:
    """Keep where the API is for :func:`opened`; the last given of the two kinds wins."""
    if url is not None or socket is not None:
        ctx.meta[_ADDRESS] = (url, socket)


def new_client(ctx: click.Context | None = None) -> ApiClient:
    """Return a client for the address of the command line, else of the environment."""
    url, socket = (None, None) if ctx is None else ctx.meta.get(_ADDRESS, (None, None))
    if url is None and socket is None:
        url, socket = os.environ.get(API_VARIABLE), os.environ.get(SOCKET_VARIABLE)
    return ApiClient(url or DEFAULT_URL, unix_socket=socket or None)


@contextmanager
def opened() -> Generator[Session]:
    """Give a session; what the API refuses inside ends the command with a message."""
    with new_client(click.get_current_context()) as client, reported():
        yield Session(client, read_project(os.environ.get(PROJECT_VARIABLE)))


@contextmanager
def reported() -> Generator[None]:
    try:
        yield
    except UnknownType as error:
        raise click.UsageError(str(error)) from error
    except ApiUnavailable as error:
        raise Unreachable(
            f"{error}\nStart a controller with `skytrail up --data DIR`, or say where it is with"
            f" --api URL, --api-socket PATH, {API_VARIABLE} or {SOCKET_VARIABLE}."
        ) from error
    except ApiError as error:
        raise Refused(explain(error)) from error


def explain(error: ApiError) -> str:
    """Return the API's text and what to do about it."""
    advice = {
        401: "The API wants a token.",
        403: "Ask an administrator for the right to do this.",
        412: "Ask an administrator for more quota, or delete what is not needed.",
        501: "This part is not built yet.",
    }.get(error.status)
    return error.text if advice is None else f"{error.text}\n{advice}"


def console() -> Console:
    """Return a console for tables; as wide as needed when the output is not a terminal."""
    found = Console(highlight=False, soft_wrap=False)
    return found if found.is_terminal else Console(highlight=False, width=400, color_system=None)
