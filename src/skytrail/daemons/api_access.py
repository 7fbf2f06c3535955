"""The options by which a daemon that is a client of the API says who it is."""

from __future__ import annotations

import argparse
from typing import cast

from skytrail.client.access import Access

_OPTIONS = (
    ("ca-file", "--api-ca", "who signs the API's certificate (PEM)"),
    ("token-file", "--api-token-file", "file with a token for the API, read for every request"),
    ("user", "--api-user", "user at the API, with --api-password-file"),
    ("password-file", "--api-password-file", "file with the user's password"),
    ("certificate", "--api-certificate", "client certificate for the API (PEM)"),
    ("key", "--api-key", "key of the client certificate (PEM)"),
)


REPORT_TO = "--report-to"
REPORT_TO_HELP = (
    "another API server to tell how far this component is; repeat it for each one beside its own"
)


def add_access_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`access_of_options` reads."""
    group = parser.add_argument_group("identity at the API, where it is not reached by a socket")
    for name, option, text in _OPTIONS:
        group.add_argument(option, dest=f"api_access_{name.replace('-', '_')}", help=text)


def access_of_options(options: argparse.Namespace) -> Access:
    """Return the access the options say; AccessUnusable names a file that cannot be used."""
    given = cast("dict[str, str | None]", vars(options))
    start = "api_access_"
    texts = {n.removeprefix(start): v for n, v in given.items() if n.startswith(start)}
    return checked(Access.of(texts), str(options.api_url))


def checked(access: Access, base_url: str) -> Access:
    """Return the access once everything it names has been found usable."""
    access.verification(base_url)
    access.authentication()
    return access
