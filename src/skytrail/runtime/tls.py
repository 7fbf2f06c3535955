"""TLS of listening sockets: contexts from files, and when the files have changed.

A context is never changed; when a file is replaced a new one serves the connections to come, and
those that are open keep theirs. Files that do not fit together leave the old context in place.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


class TlsUnusable(Exception):
    """The files do not make a TLS server; the text names the file and the reason."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the chain with the server's certificate first, its key, who signs clients."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    """Clients may show certificates of these authorities; none has to."""

    def stamp(self) -> tuple[object, ...]:
        """Return something that differs once any file has been replaced or written."""
        return tuple(_stamp(path) for path in (self.certificate, self.key, self.client_ca) if path)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context for the server side: TLS 1.2 or later; TlsUnusable says what is wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(files.certificate, files.key, password=no_password)
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ValueError) as error:
        names = ", ".join(
            str(path) for path in (files.certificate, files.key, files.client_ca) if path
        )
        raise TlsUnusable(f"cannot serve TLS with {names}: {error}") from error
    return context


def no_password() -> str:
    """Refuse encrypted keys instead of waiting for somebody at the terminal."""
    raise ValueError("the key is encrypted")
