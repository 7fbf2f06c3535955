"""Where a store is, as its operator writes it; pure.

/var/lib/skytrail/store             the folder of an SQLite file
etcd://h1:2379,h2:2379,h3:2379      a cluster; after a ? and joined by &:
    ca=FILE                         TLS: who signs the members' certificates
    cert=FILE, key=FILE             our certificate, where the members want one
    user=NAME, password-file=FILE   etcd's own users
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from skytrail.net.decimal_text import decimal
from skytrail.net.loopback import is_loopback

DATABASE: Final = "config.db"
_PORT: Final = 2379
_OPTIONS: Final = ("ca", "cert", "key", "user", "password-file")


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
class EtcdUser:
    """One of etcd's own users. The password is in a file: command lines are read by everybody."""

    name: str
    password_file: Path


@dataclass(frozen=True, slots=True)
class EtcdLocation:
    endpoints: tuple[str, ...]
    """``host:port`` of the members, in the order they are tried."""
    tls: EtcdTls | None = None
    user: EtcdUser | None = None

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
    # Not as any URL: of several members, libraries take what precedes a bracket for an error.
    address, _, options = text.removeprefix("etcd://").partition("?")
    members, _, rest = address.partition("/")
    if rest or "#" in text:
        raise LocationInvalid(f"{text!r}: nothing may follow the members but ?ca=FILE...")
    endpoints = tuple(_endpoint(each) for each in members.split(",") if each)
    if not endpoints:
        raise LocationInvalid(f"{text!r} names no member: etcd://HOST:PORT[,HOST:PORT...]")
    if len(set(endpoints)) != len(endpoints):
        raise LocationInvalid(f"{text!r} names a member twice")
    asked = parse_qs(options, keep_blank_values=True)
    given = {name: values[-1] for name, values in asked.items()}
    for name, value in given.items():
        if name not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            raise LocationInvalid(f"{_shown(text)!r}: unknown option {name}; there are {known}")
        if not value:
            raise LocationInvalid(f"{_shown(text)!r}: {name}= says nothing")
    tls = _tls(text, given)
    return EtcdLocation(endpoints, tls, _user(text, given, endpoints, encrypted=tls is not None))


def _shown(text: str) -> str:
    """Return the address as errors print it: what follows the ? may hold a misplaced password."""
    return text.partition("?")[0]


def _endpoint(text: str) -> str:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else str(_PORT)
        host = f"[{host}]"
    else:
        host, _, port = text.partition(":")
        port = port or str(_PORT)
    number = decimal(port, 1, 65_535)
    if not host or number is None:
        raise LocationInvalid(f"{text!r} is not HOST:PORT")
    return f"{host}:{number}"


def _tls(text: str, given: dict[str, str]) -> EtcdTls | None:
    if not {"ca", "cert", "key"} & set(given):
        return None
    if "ca" not in given or ("cert" in given) != ("key" in given):
        raise LocationInvalid(
            f"{_shown(text)!r}: TLS needs ca=FILE, and cert=FILE with key=FILE or neither"
        )
    cert, key = given.get("cert"), given.get("key")
    return EtcdTls(Path(given["ca"]), Path(cert) if cert else None, Path(key) if key else None)


def _user(
    text: str, given: dict[str, str], endpoints: tuple[str, ...], *, encrypted: bool
) -> EtcdUser | None:
    if "user" not in given and "password-file" not in given:
        return None
    if "user" not in given or "password-file" not in given:
        raise LocationInvalid(f"{_shown(text)!r}: user=NAME and password-file=FILE go together")
    if not encrypted and not all(is_loopback(_host(each)) for each in endpoints):
        raise LocationInvalid(
            f"{_shown(text)!r}: a password goes to other machines only over TLS: add ca=FILE"
        )
    return EtcdUser(given["user"], Path(given["password-file"]))


def _host(endpoint: str) -> str:
    return endpoint.rpartition(":")[0].strip("[]")
