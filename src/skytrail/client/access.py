"""What a client shows the API of itself, and whom it believes to be the API.

token | token_file | user + password      who asks
certificate + key                         who asks, by TLS
ca_file                                   which authority signs the API's certificate
"""

from __future__ import annotations

import ssl
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

VARIABLES: Final = {
    "token": "SKYTRAIL_TOKEN",
    "token_file": "SKYTRAIL_TOKEN_FILE",
    "user": "SKYTRAIL_USER",
    "password_file": "SKYTRAIL_PASSWORD_FILE",
    "ca_file": "SKYTRAIL_CA",
    "certificate": "SKYTRAIL_CERTIFICATE",
    "key": "SKYTRAIL_KEY",
}
"""The environment variable of each field."""


class AccessUnusable(Exception):
    """A file or a combination cannot be used; the text names it."""


@dataclass(frozen=True, slots=True)
class Access:
    """All optional; the token wins over the password."""

    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    """Read again for every request, so that a renewed token is used at once."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def of(cls, given: Mapping[str, str | None]) -> Access:
        """Return the access of texts by field name; empty ones are not given."""
        texts = {name: value for name, value in given.items() if value}
        unknown = sorted(set(texts) - set(VARIABLES))
        if unknown:
            raise AccessUnusable(f"unknown setting {unknown[0]}; known: {', '.join(VARIABLES)}")

        def path(name: str) -> Path | None:
            return Path(texts[name]).expanduser() if name in texts else None

        return cls(
            token=texts.get("token"),
            token_file=path("token_file"),
            user=texts.get("user"),
            password_file=path("password_file"),
            ca_file=path("ca_file"),
            certificate=path("certificate"),
            key=path("key"),
        )

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Access:
        """Return what the SKYTRAIL_ variables say."""
        return cls.of({name: environment.get(variable) for name, variable in VARIABLES.items()})

    def verification(self, base_url: str) -> ssl.SSLContext | bool:
        """Return how to verify the API's certificate; False where there is no TLS."""
        if not base_url.startswith("https"):
            return False
        if (self.certificate is None) != (self.key is None):
            raise AccessUnusable("a client certificate and its key are given together")
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            files = ", ".join(str(f) for f in (self.ca_file, self.certificate, self.key) if f)
            raise AccessUnusable(f"cannot use {files}: {error}") from error
        return context

    def authentication(self) -> httpx.Auth | None:
        """Return what adds the identity to each request; None without one."""
        if self.token is not None:
            return _Token(self.token)
        if self.token_file is not None:
            return _TokenFile(self.token_file)
        if self.user is None:
            return None
        password = self.password
        if password is None and self.password_file is not None:
            password = _secret_of(self.password_file)
        if password is None:
            raise AccessUnusable(f"user {self.user} needs a password or a password file")
        return httpx.BasicAuth(self.user.encode(), password.encode())


class _Token(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["x-auth-token"] = self._token
        yield request


class _TokenFile(httpx.Auth):
    def __init__(self, path: Path) -> None:
        self._path = path

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["x-auth-token"] = _secret_of(self._path)
        yield request


def _secret_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessUnusable(f"cannot read {path}: {error}") from error


NO_ACCESS: Final = Access()
"""Shows nothing: for Unix sockets and servers that ask nobody."""
