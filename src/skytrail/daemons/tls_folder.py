"""The setting of agents and control nodes that turns TLS between them on."""

from __future__ import annotations

from pathlib import Path

from skytrail.runtime.mutual_tls import TlsFolder

TLS_FOLDER_HELP = (
    "encrypt and authenticate the sessions of agents: a folder with ca.pem, certificate.pem, "
    "key.pem. Both ends need it"
)


def checked_folder(path: Path | None, *, is_server: bool) -> TlsFolder | None:
    """Return the folder once its files were found usable; ``TlsUnusable`` when they are not."""
    if path is None:
        return None
    folder = TlsFolder(path)
    _ = folder.server() if is_server else folder.client()
    return folder
