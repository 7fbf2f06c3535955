"""Fields of structured syslog whose types are known, by element: what security devices tell of sessions and paths. Pure.

Elements ``junos@2636.<platform>`` (2636 is the maker's enterprise number) of messages ``APPTRACK_SESSION_CREATE``, ``..._CLOSE``,
``..._VOL_UPDATE``, ``RT_FLOW_SESSION_...`` and, of paths chosen by their quality, ``APPQOE_PASSIVE_SLA_METRIC_REPORT``,
``APPQOE_ACTIVE_SLA_METRIC_REPORT``, ``APPQOE_SLA_METRIC_VIOLATION``, ``APPQOE_BEST_PATH_SELECTED``. What is not named here is text in them: a
policy may be called ``7``. Of other elements a field is what it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import Final

from skytrail.wire.errors import DecodeError

_ELEMENT: Final = re.compile(r"junos@2636(?:\.[0-9]{1,10}){1,8}")
_NOT_SAID: Final = frozenset({"", "N/A", "None", "UNKNOWN"})
_DIGITS: Final = re.compile(r"[0-9]{1,19}")
_I64: Final = (1 << 63) - 1
_MOST: Final[Mapping[str, int]] = MappingProxyType(
    {
        **{f"{nat}{end}-port": 65_535 for nat in ("", "nat-") for end in ("source", "destination")},
        "protocol-id": 255,
        "ip-dscp": 63,
        "pkt-loss": 100,
        "target-pkt-loss": 100,
        "session-id-32": (1 << 32) - 1,
        **{
            f"{unit}-from-{end}": _I64
            for unit in ("bytes", "packets")
            for end in ("client", "server")
        },
        **dict.fromkeys(
            (
                *("elapsed-time", "monitoring-time", "violation-duration", "rtt", "target-rtt"),
                *("ingress-jitter", "egress-jitter", "rtt-jitter", "target-jitter"),
                *("target-jitter-type", "violation-reason", "jitter-violation-count"),
                *("rtt-violation-count", "pkt-loss-violation-count"),
            ),
            _I64,
        ),
    }
)
"""Whole numbers from 0 on, with the largest. Times are those of the device: milliseconds, seconds or microseconds by field."""
_ADDRESSES: Final = frozenset(
    f"{nat}{end}-address" for nat in ("", "nat-") for end in ("source", "destination")
)


def is_typed(element: str) -> bool:
    """Tell whether the types of an element's fields are known."""
    return _ELEMENT.fullmatch(element) is not None


def value_of(name: str, value: str) -> str | float | None:
    """Return what a field of such an element says, None: nothing. ``DecodeError`` for what it cannot."""
    most = _MOST.get(name)
    if most is None and name not in _ADDRESSES:
        return value
    if value in _NOT_SAID:
        return None
    if most is None:
        try:
            return str(ip_address(value))
        except ValueError as error:
            raise DecodeError(f"{name}: {value[:64]!r} is no address") from error
    if not _DIGITS.fullmatch(value) or int(value) > most:
        raise DecodeError(f"{name}: {value[:32]!r} is no number from 0 to {most}")
    return float(value)
