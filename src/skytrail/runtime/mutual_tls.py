"""TLS in which both ends show a certificate of one authority: agents and control nodes.

    FOLDER/ca.pem  certificate.pem  key.pem

Contexts are made of the files as they are when a connection needs one: whoever renews a
certificate replaces the files, and sessions that stand keep theirs. Files that do not fit together
leave the last context that did in use.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import structlog

from skytrail.runtime.tls import TlsFiles, TlsUnusable, no_password

HANDSHAKE_S = 10.0


def files_in(folder: Path) -> TlsFiles:
    """Name the files of a folder; they need not be there."""
    return TlsFiles(folder / "certificate.pem", folder / "key.pem", folder / "ca.pem")


class MutualTls:
    """One end's certificate and authority, read again when the files have changed."""

    def __init__(self, files: TlsFiles, *, is_server: bool) -> None:
        """Raise ``TlsUnusable`` when the files cannot be used now."""
        self._files = files
        self._is_server = is_server
        # Read before the files, so that a change in between is seen as one.
        self._stamp = files.stamp()
        self._context = _context(files, is_server=is_server)
        self._log = structlog.get_logger("skytrail.tls")

    def context(self) -> ssl.SSLContext:
        """Return the context for the next handshake."""
        stamp = self._files.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._context = _context(self._files, is_server=self._is_server)
            except TlsUnusable as error:
                self._log.error("certificate_refused", reason=str(error))
            else:
                self._log.info("certificate_loaded", file=str(self._files.certificate))
        return self._context


@dataclass(frozen=True, slots=True)
class TlsFolder:
    """The one setting of a daemon: where its files are."""

    path: Path

    def server(self) -> MutualTls:
        return MutualTls(files_in(self.path), is_server=True)

    def client(self) -> MutualTls:
        return MutualTls(files_in(self.path), is_server=False)


def _context(files: TlsFiles, *, is_server: bool) -> ssl.SSLContext:
    if files.client_ca is None:
        raise TlsUnusable("no authority is named: anybody's certificate would do")
    protocol = ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    # Beside the authority, the purpose of a certificate is checked: one of a host is no server's.
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(files.certificate, files.key, password=no_password)
        context.load_verify_locations(files.client_ca)
    except (OSError, ValueError) as error:
        names = f"{files.certificate}, {files.key}, {files.client_ca}"
        raise TlsUnusable(f"cannot use TLS with {names}: {error}") from error
    return context


def certified_names(certificate: Mapping[str, object] | None) -> tuple[str, ...]:
    """Return whom a verified certificate names: its DNS names, else its common name.

    ``certificate`` is what ``ssl`` tells of the peer's.
    """
    if not certificate:
        return ()
    alternative = [value for kind, value in _pairs(certificate, "subjectAltName") if kind == "DNS"]
    if alternative:
        return tuple(alternative)
    subject = cast("tuple[tuple[tuple[str, str], ...], ...]", certificate.get("subject", ()))
    return tuple(value for part in subject for kind, value in part if kind == "commonName")


def _pairs(certificate: Mapping[str, object], field: str) -> Iterator[tuple[str, str]]:
    yield from cast("tuple[tuple[str, str], ...]", certificate.get(field, ()))


def failure_text(error: Exception) -> str:
    """Say why a handshake failed, for a log line; never what was in a certificate's key."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"TLS handshake failed: {error.reason.lower().replace('_', ' ')}"
    return f"TLS handshake failed: {error or type(error).__name__}"
