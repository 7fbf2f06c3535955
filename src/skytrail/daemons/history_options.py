"""Options of analytics about a ClickHouse cluster that keeps history."""

from __future__ import annotations

import argparse
import ssl
from pathlib import Path

from skytrail.analytics.io.history import Login


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add who we are there, and what it has to have."""
    parser.add_argument("--history-user", default="", metavar="NAME", help="user at the cluster")
    parser.add_argument(
        "--history-password-file", type=Path, metavar="FILE", help="file with the user's password"
    )
    parser.add_argument(
        "--history-ca",
        type=Path,
        metavar="FILE",
        help="who signed the cluster's certificate (PEM); without, whom the machine trusts",
    )
    parser.add_argument(
        "--show-tables",
        action="store_true",
        help="print the statements that make what history needs, and end",
    )


def login_of(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Login:
    """Return what the options say; the parser ends the process where they cannot be used."""
    user: str = options.history_user
    file: Path | None = options.history_password_file
    ca_file: Path | None = options.history_ca
    is_url = options.history.startswith(("http://", "https://"))
    if (user or file or ca_file) and not is_url:
        parser.error("--history-user and --history-ca need --history http://... or https://...")
    if file is not None and not user:
        parser.error("--history-password-file needs --history-user")
    try:
        if ca_file is not None:
            ssl.create_default_context(cafile=ca_file)
        password = "" if file is None else file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"{ca_file if file is None else file}: {error}")
    return Login(user, password, ca_file)
