"""One syslog message: RFC 5424 where it says so by its version, else what RFC 3164 describes.

```
 <165>1 2026-11-28T02:40:00.003Z leaf1 ifmgr 711 LINK [port@32473 name="et-0/0/1" speed="100"] text     RFC 5424
 <165>Nov 28 02:40:00 leaf1 ifmgr[711]: text                                                            RFC 3164
```
RFC 3164 collects what was seen, and binds nobody: of what has another form everything is text. Its times have neither
year nor zone, so they say nothing that could be compared, and are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from skytrail.wire.errors import DecodeError

MESSAGE_BYTES_MAX: Final = 65_536
"""Of one message, over any transport."""
ELEMENTS_COUNT_MAX: Final = 64
PARAMETERS_COUNT_MAX: Final = 512
"""Of all elements of one message."""
FACILITIES: Final = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"),
    *("authpriv", "ftp", "ntp", "audit", "alert", "clock"),
    *(f"local{index}" for index in range(8)),
)
"""By number (RFC 5424 section 6.2.1)."""

_PRIORITY: Final = re.compile(rb"<(0|[1-9][0-9]{0,2})>")
_PRIORITY_MAX: Final = 191
_HEADER: Final = re.compile(
    rb"1 (?P<time>[!-~]{1,64}) (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) "
    rb"(?P<pid>[!-~]{1,128}) (?P<id>[!-~]{1,32}) "
)
_NAME: Final = re.compile(rb"[!#-<>-\\^-~]{1,32}")
"""SD-NAME: printable, without quote, equals sign and closing bracket."""
_VALUE: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
"""A closing bracket should be escaped, but between quotes it means one thing only."""
_ESCAPED: Final = re.compile(rb'\\(["\\\]])')
_OLD_TIME: Final = re.compile(
    rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-3][0-9] "
    rb"(?:[0-9]{4} )?[0-2][0-9]:[0-5][0-9]:[0-6][0-9](?:\.[0-9]{1,9})? "
)
_OLD_HOST: Final = re.compile(rb"([A-Za-z0-9][A-Za-z0-9_.:\-]{0,254}) ")
_OLD_TAG: Final = re.compile(rb"([A-Za-z0-9_./\-]{1,48})(?:\[([^\]\s]{1,128})\])?: ?")
_NIL: Final = b"-"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_RFC: Final = "RFC 5424 section 6"

Elements = Mapping[str, Mapping[str, str]]
"""SD-ID to parameters."""


@dataclass(frozen=True, slots=True)
class SyslogMessage:
    """What is not said is empty. Octets that are no UTF-8 are shown as ``0xNN``."""

    facility: int
    severity: int
    """0 (emergency) to 7 (debug)."""
    timestamp_us: int | None = None
    """UTC since 1970, where the message says it in a form that is one moment."""
    host: str = ""
    application: str = ""
    process: str = ""
    message_id: str = ""
    elements: Elements = field(default_factory=dict[str, Mapping[str, str]])
    text: str = ""


def decode_message(data: bytes) -> SyslogMessage:
    """Read one message; ``DecodeError`` when it is none."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise DecodeError(f"a message of over {MESSAGE_BYTES_MAX} octets")
    priority = _PRIORITY.match(data)
    if priority is None or int(priority[1]) > _PRIORITY_MAX:
        raise DecodeError("no priority between < and >", 0, _RFC)
    facility, severity = divmod(int(priority[1]), 8)
    start = priority.end()
    if data.startswith(b"1 ", start):
        return _new(data, start, facility, severity)
    return _old(data, start, facility, severity)


def _new(data: bytes, start: int, facility: int, severity: int) -> SyslogMessage:
    header = _HEADER.match(data, start)
    if header is None:
        raise DecodeError("a header without its five words", start, _RFC)
    elements, end = _elements(data, header.end())
    if end < len(data) and data[end : end + 1] != b" ":
        raise DecodeError("no space before the text", end, _RFC)
    text = data[end + 1 :].removeprefix(_BYTE_ORDER_MARK)
    return SyslogMessage(
        facility,
        severity,
        _timestamp(header["time"], header.start("time")),
        _word(header["host"]),
        _word(header["app"]),
        _word(header["pid"]),
        _word(header["id"]),
        elements,
        _text(text),
    )


def _old(data: bytes, start: int, facility: int, severity: int) -> SyslogMessage:
    time = _OLD_TIME.match(data, start)
    if time is None:
        return SyslogMessage(facility, severity, text=_text(data[start:]))
    at, host = time.end(), b""
    # What programs write for the daemon of their own machine has no host: the word is the tag already.
    named = _OLD_HOST.match(data, at)
    if named is not None and not named[1].endswith(b":"):
        at, host = named.end(), named[1]
    tag = _OLD_TAG.match(data, at)
    at = tag.end() if tag is not None else at
    return SyslogMessage(
        facility,
        severity,
        host=_text(host),
        application=_text(tag[1]) if tag is not None else "",
        process=_text(tag[2] or b"") if tag is not None else "",
        text=_text(data[at:]),
    )


def _elements(data: bytes, at: int) -> tuple[Elements, int]:
    """Read STRUCTURED-DATA; return its elements and where it ends."""
    if data.startswith(_NIL, at):
        return {}, at + 1
    elements: dict[str, Mapping[str, str]] = {}
    parameters_count = 0
    while data.startswith(b"[", at):
        name, at = _name(data, at + 1)
        parameters: dict[str, str] = {}
        while data.startswith(b" ", at):
            key, at = _name(data, at + 1)
            value = _VALUE.match(data, at + 1) if data.startswith(b"=", at) else None
            if value is None:
                raise DecodeError(f"parameter {key[:32]} has no value in quotes", at, _RFC)
            # The same name may come several times: the last one counts.
            parameters[key] = _text(_ESCAPED.sub(rb"\1", value[1]))
            at = value.end()
            parameters_count += 1
        if not data.startswith(b"]", at):
            raise DecodeError(f"element {name[:32]} is not closed", at, _RFC)
        elements[name], at = parameters, at + 1
        if len(elements) > ELEMENTS_COUNT_MAX or parameters_count > PARAMETERS_COUNT_MAX:
            raise DecodeError("more elements or parameters than anybody needs", at)
    if not elements:
        raise DecodeError("neither structured data nor the word for none", at, _RFC)
    return elements, at


def _name(data: bytes, at: int) -> tuple[str, int]:
    name = _NAME.match(data, at)
    if name is None:
        raise DecodeError("structured data without a name", at, _RFC)
    return name[0].decode("ascii"), name.end()


def _timestamp(word: bytes, at: int) -> int | None:
    if word == _NIL:
        return None
    try:
        moment = datetime.fromisoformat(word.decode("ascii"))
        if moment.tzinfo is None:
            raise DecodeError("a time without its zone", at, _RFC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise DecodeError("no time", at, _RFC) from error
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _word(word: bytes) -> str:
    return "" if word == _NIL else word.decode("ascii")


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "backslashreplace")
