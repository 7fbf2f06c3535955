"""Puts the security of an API server together from its settings file and its command line.

settings file (TOML) --> SecuritySettings --> authenticators --> Gate
TLS files            --> TlsFiles         --> runtime.server
"""

from __future__ import annotations

import argparse
import secrets
import ssl
import tomllib
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from skytrail.api import authorize, users
from skytrail.api.caller import THE_SERVER
from skytrail.api.change import Change
from skytrail.api.io.auth_certificates import ClientCertificates
from skytrail.api.io.auth_keystone import Keystone
from skytrail.api.io.auth_local import LocalUsers
from skytrail.api.io.auth_none import UnsafeSettings, check_listener
from skytrail.api.io.auth_oidc import OpenIdConnect
from skytrail.api.io.gate import Gate
from skytrail.api.io.keystone_client import KeystoneClient
from skytrail.api.io.keystone_mirror import KeystoneMirror
from skytrail.api.io.security import set_mode
from skytrail.api.plugin import Authenticator
from skytrail.api.security_settings import SecuritySettings
from skytrail.api.service import ConfigService
from skytrail.net.loopback import is_loopback
from skytrail.runtime.settings import SettingsInvalid
from skytrail.runtime.tls import TlsFiles

FIRST_USER = "admin"


@dataclass(frozen=True, slots=True)
class ServerSecurity:
    """What the command line of an API server says about security."""

    settings: SecuritySettings
    tls: TlsFiles | None
    first_password_file: Path | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`read` understands."""
    group = parser.add_argument_group("security")
    group.add_argument("--security", type=Path, metavar="FILE", help="security settings (TOML)")
    group.add_argument(
        "--tls-certificate", type=Path, metavar="FILE", help="PEM chain; turns on TLS"
    )
    group.add_argument("--tls-key", type=Path, metavar="FILE", help="PEM key of the certificate")
    group.add_argument(
        "--tls-client-ca", type=Path, metavar="FILE", help="who signs certificates of clients"
    )
    group.add_argument(
        "--first-password", type=Path, metavar="FILE",
        help=f"file with the password of the user {FIRST_USER}, made when there are no users",
    )  # fmt: skip


def read(options: argparse.Namespace) -> ServerSecurity:
    """Return the security of these options; SettingsInvalid or UnsafeSettings when refused."""
    path: Path | None = options.security
    settings = SecuritySettings() if path is None else load_settings(path)
    certificate: Path | None = options.tls_certificate
    key: Path | None = options.tls_key
    client_ca: Path | None = options.tls_client_ca
    if (certificate is None) != (key is None):
        raise SettingsInvalid("--tls-certificate and --tls-key are given together")
    tls = None
    if certificate is not None and key is not None:
        tls = TlsFiles(certificate, key, client_ca)
    elif client_ca is not None:
        raise SettingsInvalid("--tls-client-ca needs --tls-certificate and --tls-key")
    if "certificates" in settings.authentication and client_ca is None:
        raise SettingsInvalid("authentication by certificates needs --tls-client-ca")
    check_listener(
        options.host,
        authenticated=not settings.is_off,
        encrypted=tls is not None,
        plain_http=settings.plain_http,
    )
    return ServerSecurity(settings, tls, options.first_password)


def load_settings(path: Path) -> SecuritySettings:
    """Return the settings of a file; SettingsInvalid names the setting and what is wrong."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        settings = msgspec.convert(values, SecuritySettings)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsInvalid(f"cannot read security settings {path}: {error}") from error
    except msgspec.ValidationError as error:
        raise SettingsInvalid(f"{path}: {error}") from error
    problems = settings.problems()
    if problems:
        raise SettingsInvalid(f"{path}: {'; '.join(problems)}")
    return settings


def build_gate(service: ConfigService, security: ServerSecurity, host: str) -> Gate | None:
    """Return what asks requests who sends them; None while authentication is off."""
    settings = security.settings
    if settings.is_off:
        return None
    authenticators: list[Authenticator] = []
    directory: KeystoneMirror | None = None
    for method in settings.authentication:
        match method:
            case "local":
                authenticators.append(LocalUsers(service, settings))
            case "certificates":
                authenticators.append(ClientCertificates(settings))
            case "keystone":
                client = _keystone(settings)
                directory = KeystoneMirror(service, client)
                authenticators.append(Keystone(service, settings, client, directory))
            case "oidc":
                authenticators.append(_oidc(service, settings))
    public = not is_loopback(host)
    return Gate(service, settings, authenticators, directory=directory, is_public=public)


def _keystone(settings: SecuritySettings) -> KeystoneClient:
    keystone = settings.keystone
    if keystone is None:
        raise SettingsInvalid("a [keystone] section is needed")
    try:
        password = Path(keystone.password_file).read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"keystone.password_file: {error}") from error
    return KeystoneClient(keystone, password, http=_http(keystone.ca_file))


def _oidc(service: ConfigService, settings: SecuritySettings) -> OpenIdConnect:
    if settings.oidc is None:
        raise SettingsInvalid("an [oidc] section is needed")
    return OpenIdConnect(service, settings, settings.oidc, http=_http(settings.oidc.ca_file))


def _http(ca_file: str) -> httpx.AsyncClient:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise SettingsInvalid(f"ca_file {ca_file}: {error}") from error
    return httpx.AsyncClient(verify=context, trust_env=False, follow_redirects=False)


async def prepare(service: ConfigService, security: ServerSecurity, gate: Gate | None) -> None:
    """Make sure of what authentication needs in the store: key, mode, first user."""
    if gate is None:
        return
    graph = service.graph
    if gate.is_public and authorize.mode_of(graph) == authorize.NO_AUTH:
        raise UnsafeSettings(
            "aaa-mode is no-auth in the store, which this address would open to everybody: start"
            " on 127.0.0.1 and PUT /aaa-mode first"
        )
    first: users.User | None = None
    if gate.local is not None and security.first_password_file and not users.all_users(graph):
        password = _first_password(security.first_password_file)
        first = users.User(
            name=FIRST_USER,
            password_hash=await gate.local.hash(password),
            roles=(security.settings.cloud_admin_role,),
        )
    await service.write(
        lambda change: _plan_needed(change, security.settings, first), caller=THE_SERVER
    )


def _first_password(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"--first-password {path}: {error}") from error


def _plan_needed(change: Change, settings: SecuritySettings, first: users.User | None) -> None:
    if change.view.remembered(users.TOKEN_KEY) is None:
        change.view.remember(users.TOKEN_KEY, secrets.token_hex(32))
    mode = change.view.remembered(authorize.MODE_NOTE)
    set_mode(change, settings.aaa_mode if mode is None else mode)
    if first is not None:
        users.put(change, first)
