"""Client certificates: the TLS layer has verified them, the settings say whose they are.

A token or a password in the request wins over the certificate, which then only secured the channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from skytrail.api.caller import Caller
from skytrail.api.plugin import Credentials
from skytrail.api.security_settings import CertificateRule, SecuritySettings, caller_with_roles

_Names = Sequence[Sequence[Sequence[str]]]


class ClientCertificates:
    """Maps subjects and alternative names to callers; the first rule that fits decides."""

    challenge = ""

    def __init__(self, settings: SecuritySettings) -> None:
        self._settings = settings

    async def identify(self, credentials: Credentials) -> Caller | None:
        certificate = credentials.certificate
        if certificate is None or credentials.token or credentials.user:
            return None
        subjects = set(_subjects(certificate))
        names = set(_alternative_names(certificate))
        for rule in self._settings.certificates:
            if _fits(rule, subjects, names):
                return caller_with_roles(
                    self._settings, rule.user, rule.roles, project=rule.project, domain=rule.domain
                )
        return None


def _fits(rule: CertificateRule, subjects: set[str], names: set[str]) -> bool:
    if rule.subject:
        # Of a certificate with several common names nobody can say which one is meant.
        return subjects == {rule.subject}
    return rule.alternative_name in names


def _subjects(certificate: Mapping[str, object]) -> Iterator[str]:
    for part in cast("_Names", certificate.get("subject", ())):
        for name, value in part:
            if name == "commonName":
                yield value


def _alternative_names(certificate: Mapping[str, object]) -> Iterator[str]:
    for kind, value in cast("Sequence[tuple[str, str]]", certificate.get("subjectAltName", ())):
        yield f"{kind}:{value}"
