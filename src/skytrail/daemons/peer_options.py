"""The options that name other analytics nodes with embedded stores: of the node, and of ``skytrail up``."""

from __future__ import annotations

import argparse
from typing import Final
from urllib.parse import urlsplit

from skytrail.net.loopback import is_loopback

OPTION: Final = "--peer"
OPTION_OF_UP: Final = "--analytics-peer"
_UNIX: Final = "unix:"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add the node's option; ``options.peer`` is then a list of places."""
    parser.add_argument(
        OPTION,
        type=place,
        action="append",
        default=[],
        metavar="PLACE",
        help="another node with an embedded store, https://HOST:PORT or unix:PATH; repeat it for each one: "
        "questions of history are answered from all. It is shown the identity at the API "
        "(--api-user, --api-token-file), of an administrator or global reader; all nodes may have the same list",
    )


def check(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuse what does not go together; the parser ends the process."""
    if options.peer and not options.history:
        parser.error("--peer needs --history: each node answers for what it keeps itself")
    if options.peer and options.history.startswith(("http:", "https:")):
        parser.error(
            "--peer is for embedded stores: nodes of one ClickHouse cluster share their tables"
        )


def add_option_of_up(parser: argparse.ArgumentParser) -> None:
    """Add the same for a controller, which hands it to its node; ``options.analytics_peer`` is a list of places."""
    parser.add_argument(
        OPTION_OF_UP,
        type=place,
        action="append",
        default=[],
        metavar="PLACE",
        help="analytics of another controller of this machine, unix:ITS_DATA/analytics.sock or, without "
        "--secure, http://127.0.0.1:PORT; repeat it for each one: questions of history are answered "
        "from all. Each controller needs a --name of its own",
    )


def check_of_up(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuse places that a controller's node cannot ask: it has no account at an API to show there."""
    places: list[str] = options.analytics_peer
    if places and not options.analytics_port:
        parser.error(f"{OPTION_OF_UP} needs analytics: leave --analytics-port 0 away")
    if places and options.no_history:
        parser.error(f"{OPTION_OF_UP} needs history, which --no-history does without")
    for each in places:
        if each.startswith("https:") or (options.secure and not each.startswith(_UNIX)):
            parser.error(
                f"{OPTION_OF_UP} {each}: analytics of skytrail up has no account that a node could "
                "ask for over https. On this machine name its socket, unix:DATA/analytics.sock; for "
                "another machine's start the daemons by themselves, with --peer and --api-user or "
                "--api-token-file (docs/cluster.md)"
            )


def place(text: str) -> str:
    """Read where another node is; what is shown to it crosses no network in the clear."""
    if not (text.isascii() and text.isprintable()):
        # It is named in headers of answers.
        raise argparse.ArgumentTypeError(f"{text!r}: only printable ASCII characters")
    if text.startswith(_UNIX) and len(text) > len(_UNIX):
        return text
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error
    if "@" in parts.netloc:
        # Readers are told which node is missing, by this name.
        raise argparse.ArgumentTypeError(
            "a node's place holds no name or password: give --api-user and --api-password-file"
        )
    rest = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in {"http", "https"} or not host or rest:
        raise argparse.ArgumentTypeError(f"{text} is not https://HOST:PORT or unix:PATH")
    if parts.scheme == "http" and not is_loopback(host):
        raise argparse.ArgumentTypeError(f"{text}: another machine is asked over https")
    return text.rstrip("/")
