"""Options of daemons that serve HTTP: to which names they answer, how many streams a client may have."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from skytrail.daemons import option_numbers
from skytrail.net.loopback import is_loopback
from skytrail.runtime.asgi import CheckHost
from skytrail.runtime.browsers import AllowedHosts, allowed_host
from skytrail.runtime.stream_limits import PER_CLIENT_DEFAULT, STREAMS_COUNT_MAX


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--allowed-host`` and ``--streams-per-client``."""
    parser.add_argument(
        "--streams-per-client",
        type=option_numbers.number(1, STREAMS_COUNT_MAX),
        default=PER_CLIENT_DEFAULT,
        metavar="COUNT",
        help="watches and other streams that a user, or an address that nobody asked for a user, "
        "may have open (default: %(default)s)",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        type=_name,
        metavar="NAME",
        help="name that clients may use for this server, as in api.example.net, or .example.net for "
        "all below it; again for more. Without one, a server of this machine alone answers to "
        "addresses and localhost, another one to every name",
    )


def check_of(listen: str, names: Sequence[str]) -> CheckHost | None:
    """Return what looks at requests' names; None where whoever connects is asked who it is."""
    return AllowedHosts(names).check if names or is_loopback(listen) else None


def _name(text: str) -> str:
    try:
        return allowed_host(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
