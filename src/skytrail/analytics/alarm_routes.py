"""Who is told of which alarms, read from a file, and what they are told. Pure.

[[route]]
name = "operations"
severity = 1                        # at most: 0 critical, 1 major, 2 minor; all without
types = ["vrouter", "control-node"] # types of UVE; all without
rules = ["system-defined-*"]        # patterns of the rule's own name; all without
webhook = "https://chat.example/hooks/1"
secret_file = "/etc/skytrail/hook.key"

[[route]]
name = "night"
email = ["noc@example.net"]
sender = "skytrail@example.net"
smtp = "mail.example.net:587"
smtp_tls = "starttls"               # or "tls", or "none"
smtp_user = "skytrail"
smtp_password_file = "/etc/skytrail/smtp.password"
smtp_ca_file = "/etc/skytrail/mail-ca.pem"
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from fnmatch import fnmatchcase
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from skytrail.analytics.alarms import Transition
from skytrail.analytics.uve_types import TABLES, TYPES
from skytrail.net.decimal_text import decimal

SEVERITIES: Final = ("critical", "major", "minor")
SIGNATURE_HEADER: Final = "X-Skytrail-Signature"


class RoutesUnusable(Exception):
    """The file cannot be used; the text names the place in it and the fix."""


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One addressee: a webhook, or people by e-mail."""

    name: str
    severity: int = 2
    types: list[str] = msgspec.field(default_factory=list)
    rules: list[str] = msgspec.field(default_factory=list)
    webhook: str = ""
    secret_file: str = ""
    email: list[str] = msgspec.field(default_factory=list)
    sender: str = ""
    smtp: str = ""
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str = ""
    smtp_password_file: str = ""
    smtp_ca_file: str = ""
    """Who signed the mail server's certificate; empty: an authority the machine trusts."""

    def wants(self, notice: Notice) -> bool:
        """Return whether an alarm is told here."""
        own_name = notice.rule.rpartition(":")[2]
        return (
            notice.severity <= self.severity
            and (not self.types or notice.type in self.types)
            and (not self.rules or any(fnmatchcase(own_name, each) for each in self.rules))
        )

    def smtp_place(self) -> tuple[str, int]:
        """Return host and port of the mail server."""
        host, _, port = self.smtp.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    route: list[Route]


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told: an alarm was raised, or is gone."""

    is_raised: bool
    type: str
    """Word of the UVE's type."""
    name: str
    rule: str
    severity: int
    description: str
    at_us: int
    matched: object = None
    following: int = 0
    """Alarms that follow from it, of which nobody is told by themselves."""

    def shown(self) -> dict[str, object]:
        return {
            "event": "raised" if self.is_raised else "gone",
            "type": self.type,
            "name": self.name,
            "rule": self.rule,
            "severity": SEVERITIES[min(self.severity, 2)],
            "description": self.description,
            "time": datetime.fromtimestamp(self.at_us / 1e6, UTC).isoformat(timespec="seconds"),
            "matched": self.matched,
            "following": self.following,
        }

    def line(self) -> str:
        what = SEVERITIES[min(self.severity, 2)].upper() if self.is_raised else "GONE"
        own_name = self.rule.rpartition(":")[2]
        text = f"{what} {self.type} {self.name}: {self.description or own_name} ({own_name})"
        return f"{text}, and {self.following} that follow from it" if self.following else text


def notice_of(transition: Transition, now_us: int, following: int = 0) -> Notice:
    """Return what is told of a change of an alarm, and of so many that follow from it."""
    table, key = transition.entity
    rule = transition.alarm.rule
    return Notice(
        transition.is_raised,
        TYPES.get(table, table),
        key,
        rule.name,
        rule.severity,
        rule.description,
        now_us,
        transition.alarm.matched,
        following if transition.is_raised else 0,
    )


def routes_of(text: bytes) -> tuple[Route, ...]:
    """Read the file; :class:`RoutesUnusable` says what does not fit, and where."""
    try:
        routes = msgspec.toml.decode(text, type=_File).route
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RoutesUnusable(str(error)) from error
    names = [route.name for route in routes]
    for route in routes:
        if not route.name or names.count(route.name) > 1:
            raise RoutesUnusable(f"route {route.name!r}: every route has a name of its own")
        problem = _problem(route)
        if problem:
            raise RoutesUnusable(f"route {route.name!r}: {problem}")
    return tuple(routes)


def _problem(route: Route) -> str:
    unknown = [each for each in route.types if each not in TABLES]
    if unknown:
        return f"types: {unknown[0]!r} is no type of UVE; GET /analytics/uve-types lists them"
    if not 0 <= route.severity < len(SEVERITIES):
        return f"severity {route.severity} is not 0 (critical), 1 (major) or 2 (minor)"
    if bool(route.webhook) == bool(route.email):
        return "either webhook or email is needed"
    return _webhook_problem(route.webhook) if route.webhook else _email_problem(route)


def _webhook_problem(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    return "" if is_url else f"webhook {url!r} is neither http://HOST/... nor https://HOST/..."


def _email_problem(route: Route) -> str:
    for address in (*route.email, route.sender):
        name, at, place = address.rpartition("@")
        is_plain = address.isascii() and address.isprintable() and not set(address) & set(" ,;<>")
        if not (name and at and place and is_plain):
            return f"email and sender need addresses like noc@example.net, not {address!r}"
    host, _, port = route.smtp.rpartition(":")
    if not host or decimal(port, 1, 65_535) is None:
        return f"smtp {route.smtp!r} is not HOST:PORT"
    if route.smtp_password_file and route.smtp_tls == "none":
        return "smtp_password_file needs smtp_tls: passwords are not sent in the clear"
    if bool(route.smtp_user) != bool(route.smtp_password_file):
        return "smtp_user and smtp_password_file are given together"
    return ""


def webhook_body(notices: Sequence[Notice], node: str) -> bytes:
    """Return the body of a POST: JSON with the alarms, oldest first, and a text for chats."""
    text = "\n".join(each.line() for each in notices)
    return msgspec.json.encode(
        {"source": node, "text": text, "alarms": [each.shown() for each in notices]}
    )


def signature(body: bytes, secret: bytes) -> str:
    """Return what proves that a body is ours: ``sha256=`` and the HMAC in hexadecimal."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def mail_of(route: Route, notices: Sequence[Notice], node: str) -> EmailMessage:
    """Return one mail about all of the alarms."""
    mail = EmailMessage()
    raised = sum(each.is_raised for each in notices)
    first = (
        notices[0].line() if len(notices) == 1 else f"{raised} alarms, {len(notices) - raised} gone"
    )
    # A name out of the network must not end the header.
    mail["Subject"] = " ".join(f"[skytrail {node}] {first}".split())[:200]
    mail["From"] = route.sender
    mail["To"] = ", ".join(route.email)
    mail.set_content("\n".join(f"{each.shown()['time']} {each.line()}" for each in notices) + "\n")
    return mail
