"""An authority of one's own and certificates by it, for installations that have none yet.

Keys are written readable by their owner only, and never overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS: Final = 3650
CERTIFICATE_DAYS: Final = 825
_CLOCK_SKEW = timedelta(minutes=5)


class Authority:
    """A certificate authority in a folder: ``ca.pem`` and ``ca.key``; made when it is not there."""

    def __init__(self, folder: Path, name: str = "Skytrail") -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.certificate_file = folder / "ca.pem"
        key_file = folder / "ca.key"
        if not key_file.exists():
            self._make(key_file, name)
        self._key = _read_key(key_file)
        self._certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())

    def _make(self, key_file: Path, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} authority")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        write_secret(key_file, _encoded(key))
        self.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        certificate_file: Path,
        key_file: Path,
        name: str,
        *,
        hosts: Sequence[str] = (),
        is_client: bool = False,
    ) -> None:
        """Write a certificate and its key: for a server at these hosts, without any for a client.

        A client may have a name of its own there too, which is not cut to 64 characters.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        serves = bool(hosts) and not is_client
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if serves else ExtendedKeyUsageOID.CLIENT_AUTH
        now = datetime.now(UTC)
        authority_key = self._certificate.extensions.get_extension_for_class(
            x509.SubjectKeyIdentifier
        ).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_key),
                critical=False,
            )
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        replacing_secret(key_file, _encoded(key))
        replacing_secret(
            certificate_file, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644
        )

    def issue_folder(
        self, folder: Path, name: str, *, hosts: Sequence[str] = (), is_client: bool = False
    ) -> None:
        """Write what one end of a mutually authenticated session needs: ``MutualTls`` reads it."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.issue(
            folder / "certificate.pem",
            folder / "key.pem",
            name,
            hosts=hosts,
            is_client=is_client,
        )
        replacing_secret(folder / "ca.pem", self.certificate_file.read_bytes(), mode=0o644)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _encoded(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        message = f"{path} does not hold the key of an elliptic curve"
        raise TypeError(message)
    return key


def write_secret(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a new file that only its owner reads; FileExistsError when it is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def replacing_secret(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file in one step, so that readers see the old or the new one."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    write_secret(beside, content, mode=mode)
    beside.replace(path)
