"""What an administrator decides about security, as a settings file says it. Pure.

authentication = ["local"]          # also keystone, oidc, certificates; none of them = off
aaa_mode = "rbac"                   # of a new installation; later PUT /aaa-mode changes it
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from skytrail.api.caller import Caller
from skytrail.net.loopback import is_loopback

Method = Literal["local", "keystone", "oidc", "certificates"]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""Signatures of bearer tokens that can be asked for: none with a shared secret."""
Signature = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]


class KeystoneSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tokens of OpenStack are validated; the service user needs the right to do that."""

    url: Text
    """With the version: https://keystone:5000/v3."""
    user: Text
    password_file: Text
    user_domain: str = "Default"
    project: Text = "service"
    project_domain: str = "Default"
    ca_file: str = ""
    cache_s: Seconds = 300.0
    """A token revoked in Keystone is accepted for at most this long."""
    timeout_s: Seconds = 10.0
    poll_s: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    """How often projects and domains that are gone in Keystone are looked for; 0 never."""


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which bearer tokens are accepted."""

    issuer: Text
    audience: Text
    algorithms: tuple[Signature, ...] = ("RS256", "ES256")
    key_set_url: str = ""
    """Empty: from the issuer's discovery document."""
    ca_file: str = ""
    user_claim: str = "preferred_username"
    roles_claim: str = "roles"
    """Dots go into objects: realm_access.roles."""
    project_claim: str = "project_id"
    domain_claim: str = "domain_id"
    leeway_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 10.0
    timeout_s: Seconds = 10.0


class CertificateRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who the holder of a client certificate is; exactly one of subject and alternative name."""

    subject: str = ""
    """Common name of the subject."""
    alternative_name: str = ""
    """DNS:..., URI:... or email:... of the certificate."""
    user: Text
    roles: list[str] = []
    project: str | None = None
    domain: str | None = None


class SecuritySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything; the defaults are the safest that work."""

    authentication: list[Method] = []
    aaa_mode: Literal["no-auth", "cloud-admin", "rbac"] = "rbac"
    cloud_admin_role: Text = "admin"
    read_only_role: str = ""
    system_role: Text = "skytrail-system"
    """Holders are components: they may send derived_from."""
    trusted_uids: list[int] = []
    """Users, beside root and the server's own, that the Unix socket trusts as components."""
    token_lifetime_s: Annotated[float, msgspec.Meta(ge=60, le=86_400)] = 3600.0
    plain_http: bool = False
    """Serve other addresses than loopback without TLS; for tests and for networks of one's own."""
    requests_per_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Of one caller; 0 is without limit."""
    requests_burst: Annotated[float, msgspec.Meta(ge=1)] = 100.0
    failures_per_s: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """Failed authentications of one address before it has to wait."""
    failures_burst: Annotated[float, msgspec.Meta(ge=1)] = 30.0
    keystone: KeystoneSettings | None = None
    oidc: OidcSettings | None = None
    certificates: list[CertificateRule] = []

    @property
    def is_off(self) -> bool:
        return not self.authentication

    def problems(self) -> list[str]:
        """Return what does not fit together."""
        found: list[str] = []
        if "keystone" in self.authentication and self.keystone is None:
            found.append("authentication names keystone: a [keystone] section is needed")
        if "oidc" in self.authentication and self.oidc is None:
            found.append("authentication names oidc: an [oidc] section is needed")
        if self.oidc is not None and not _is_trustworthy(self.oidc.issuer):
            found.append("oidc.issuer: its keys are believed, so it needs https:// (or loopback)")
        if "certificates" in self.authentication and not self.certificates:
            found.append("authentication names certificates: [[certificates]] are needed")
        found += [
            f"certificates[{place}]: give either subject or alternative_name"
            for place, rule in enumerate(self.certificates)
            if bool(rule.subject) == bool(rule.alternative_name)
        ]
        return found


def _is_trustworthy(url: str) -> bool:
    """Whether what is read from there cannot be replaced on the way."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return bool(host) if parts.scheme == "https" else parts.scheme == "http" and is_loopback(host)


def caller_with_roles(
    settings: SecuritySettings,
    user: str,
    roles: Iterable[str],
    *,
    project: str | None = None,
    domain: str | None = None,
    expires_at: float | None = None,
) -> Caller:
    """Return the caller with these roles and what they mean here."""
    held = frozenset(role.lower() for role in roles)
    return Caller(
        user=user,
        project=project,
        domain=domain,
        roles=held,
        is_admin=settings.cloud_admin_role.lower() in held,
        is_system=settings.system_role.lower() in held,
        is_reader=bool(settings.read_only_role) and settings.read_only_role.lower() in held,
        expires_at=expires_at,
    )
