"""Where a store is, as its operator writes it; pure.

/var/lib/skytrail/store             the folder of an SQLite file
etcd://h1:2379,h2:2379,h3:2379      a cluster; ?ca=FILE&cert=FILE&key=FILE for TLS
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

DATABASE: Final = "config.db"
_PORT: Final = 2379
_TLS: Final = ("ca", "cert", "key")


class LocationInvalid(ValueError):
    """The text names no store; it says what would."""


@dataclass(frozen=True, slots=True)
class SqliteLocation:
    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class EtcdTls:
    """Files in PEM form. Without ``cert`` and ``key`` only the members prove who they are."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class EtcdLocation:
    endpoints: tuple[str, ...]
    """``host:port`` of the members, in the order they are tried."""
    tls: EtcdTls | None = None

    def __str__(self) -> str:
        return "etcd://" + ",".join(self.endpoints)


Location = SqliteLocation | EtcdLocation


def parse_location(text: str) -> Location:
    """Return where the store is; raises LocationInvalid."""
    if text.startswith("etcd://"):
        return _etcd(text)
    if "://" in text:
        raise LocationInvalid(f"{text!r} is neither a folder nor etcd://HOST:PORT[,HOST:PORT...]")
    if not text:
        raise LocationInvalid("an empty text names no store: give a folder or etcd://HOST:PORT")
    path = Path(text)
    return SqliteLocation(path if path.suffix == ".db" else path / DATABASE)


def _etcd(text: str) -> EtcdLocation:
    parts = urlsplit(text)
    if parts.path not in ("", "/") or parts.fragment:
        raise LocationInvalid(f"{text!r}: nothing may follow the members but ?ca=...&cert=...&key=")
    endpoints = tuple(_endpoint(each) for each in parts.netloc.split(",") if each)
    if not endpoints:
        raise LocationInvalid(f"{text!r} names no member: etcd://HOST:PORT[,HOST:PORT...]")
    if len(set(endpoints)) != len(endpoints):
        raise LocationInvalid(f"{text!r} names a member twice")
    given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    unknown = sorted(set(given) - set(_TLS))
    if unknown:
        raise LocationInvalid(f"{text!r}: unknown option {unknown[0]}; there are ca, cert, key")
    return EtcdLocation(endpoints, _tls(text, given))


def _endpoint(text: str) -> str:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else str(_PORT)
        host = f"[{host}]"
    else:
        host, _, port = text.partition(":")
        port = port or str(_PORT)
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise LocationInvalid(f"{text!r} is not HOST:PORT")
    return f"{host}:{port}"


def _tls(text: str, given: dict[str, str]) -> EtcdTls | None:
    if not given:
        return None
    if "ca" not in given or ("cert" in given) != ("key" in given):
        raise LocationInvalid(
            f"{text!r}: TLS needs ca=FILE, and cert=FILE with key=FILE or neither"
        )
    cert, key = given.get("cert"), given.get("key")
    return EtcdTls(Path(given["ca"]), Path(cert) if cert else None, Path(key) if key else None)
