"""Where commands take a password from: a file, or a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import click


def read_password(file: Path) -> str:
    """Return what a file holds; a usage error names a file that cannot be read."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read the password from {file}: {error}") from error


def ask_password(*, confirm: bool = False) -> str:
    """Ask for a password; a usage error says what to do where nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError(
            "There is no terminal to ask for the password at; use --password-file FILE."
        )
    asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=confirm)
    return asked
