"""Which devices are polled by SNMP, and by which words: what ``physical-router`` objects say of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from skytrail.analytics.exporters import canonical

PORT: Final = 161
TIMEOUT_S: Final = 3
RETRIES: Final = 1
_TIMEOUT_S_MAX: Final = 30
_RETRIES_MAX: Final = 5
LEVELS: Final = ("noauthnopriv", "authnopriv", "authpriv")
AUTHENTICATION: Final = ("md5", "sha", "sha224", "sha256", "sha384", "sha512")
PRIVACY: Final = ("des", "aes", "aes192", "aes256")

Document = Mapping[str, object]


class CredentialsUnusable(ValueError):
    """What a device's object says of SNMP is of no use; the text names the field and never its value."""


@dataclass(frozen=True, slots=True)
class Community:
    """Version 2c."""

    name: str


@dataclass(frozen=True, slots=True)
class User:
    """Version 3 (RFC 3414). Keys are empty where the level is without."""

    name: str
    authentication: str = ""
    authentication_key: str = ""
    privacy: str = ""
    privacy_key: str = ""
    context: str = ""


@dataclass(frozen=True, slots=True)
class SnmpDevice:
    """A device that is polled."""

    name: str
    address: str
    who: Community | User
    timeout_s: int = TIMEOUT_S
    retries: int = RETRIES
    reads_neighbours: bool = True


def device_of(document: Document) -> SnmpDevice | None:
    """Return what to poll of a ``physical-router``, None when nothing is; :class:`CredentialsUnusable`."""
    if document.get("physical_router_snmp") is not True:
        return None
    address = document.get("physical_router_management_ip")
    if not isinstance(address, str) or not address:
        raise CredentialsUnusable("physical_router_management_ip is missing")
    said = document.get("physical_router_snmp_credentials")
    words = cast("Document", said) if isinstance(said, dict) else {}
    name = document.get("fq_name")
    return SnmpDevice(
        name=str(cast("list[object]", name)[-1]) if isinstance(name, list) and name else address,
        address=canonical(address),
        who=_user(words) if words.get("version") == 3 else _community(words),
        timeout_s=_number(words, "timeout", TIMEOUT_S, 1, _TIMEOUT_S_MAX),
        retries=_number(words, "retries", RETRIES, 0, _RETRIES_MAX),
        reads_neighbours=document.get("physical_router_lldp") is not False,
    )


def _community(words: Document) -> Community:
    version = words.get("version", 2)
    if version != 2:
        raise CredentialsUnusable("physical_router_snmp_credentials.version is neither 2 nor 3")
    name = _text(words, "v2_community")
    if not name:
        raise CredentialsUnusable("physical_router_snmp_credentials.v2_community is missing")
    return Community(name)


def _user(words: Document) -> User:
    name = _text(words, "v3_security_name")
    if not name:
        raise CredentialsUnusable("physical_router_snmp_credentials.v3_security_name is missing")
    level = _text(words, "v3_security_level").lower() or "authpriv"
    if level not in LEVELS:
        raise CredentialsUnusable(f"v3_security_level is none of {', '.join(LEVELS)}")
    authentication, authentication_key, privacy, privacy_key = "", "", "", ""
    if level != "noauthnopriv":
        authentication, authentication_key = _keyed(words, "authentication", AUTHENTICATION)
    if level == "authpriv":
        privacy, privacy_key = _keyed(words, "privacy", PRIVACY)
    return User(
        name, authentication, authentication_key, privacy, privacy_key, _text(words, "v3_context")
    )


def _keyed(words: Document, what: str, known: tuple[str, ...]) -> tuple[str, str]:
    protocol = _text(words, f"v3_{what}_protocol").lower().replace("-", "") or known[1]
    if protocol not in known:
        raise CredentialsUnusable(f"v3_{what}_protocol is none of {', '.join(known)}")
    key = _text(words, f"v3_{what}_password")
    if len(key) < 8:
        # RFC 3414, 11.2: shorter ones are refused by devices.
        raise CredentialsUnusable(f"v3_{what}_password has fewer than 8 characters")
    return protocol, key


def _text(words: Document, name: str) -> str:
    value = words.get(name)
    return value if isinstance(value, str) else ""


def _number(words: Document, name: str, default: int, low: int, high: int) -> int:
    value = words.get(name)
    return min(high, max(low, value)) if isinstance(value, int) else default
