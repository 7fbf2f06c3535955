"""What ``skytrail up --secure`` makes on its first start: an authority, a certificate, a password.

    DATA/security/ca.pem ca.key  server.pem server.key  api.toml  admin-password
    DATA/security/hosts/ca.pem ca.key  control/{ca,certificate,key}.pem

Hosts have an authority of their own: their certificates open no door of the API, and those of the
API's users none of the control nodes.

Nothing that is there is made again, but the certificate when it does not name the address served.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

from cryptography import x509

from skytrail.runtime.certificates import Authority, write_secret

LOOPBACK = "127.0.0.1"
WILDCARDS = ("0.0.0.0", "::")
_SETTINGS = b"""\
# Security of this controller's API; docs/security.md tells of every setting.
authentication = ["local"]
aaa_mode = "rbac"
"""


@dataclass(frozen=True, slots=True)
class SecureFiles:
    """The files of one data folder."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"

    @property
    def settings(self) -> Path:
        return self.folder / "api.toml"

    @property
    def password(self) -> Path:
        return self.folder / "admin-password"

    @property
    def hosts(self) -> Path:
        """The authority of agents and control nodes."""
        return self.folder / "hosts"

    @property
    def control(self) -> Path:
        """What the control node shows to agents."""
        return self.hosts / "control"

    def api_arguments(self) -> tuple[str, ...]:
        """Return the options that have the API use the files."""
        return (
            *("--security", str(self.settings), "--first-password", str(self.password)),
            *("--tls-certificate", str(self.certificate), "--tls-key", str(self.key)),
            *("--tls-client-ca", str(self.ca)),
        )


def ensure(data: Path, listen: str, control_names: Sequence[str] = ()) -> SecureFiles:
    """Make what is missing; OSError when the folder cannot be used.

    ``control_names`` are addresses and names under which agents call the control node.
    """
    files = SecureFiles(data / "security")
    files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.folder.chmod(0o700)
    authority = Authority(files.folder)
    hosts = _hosts(listen)
    if not files.certificate.exists() or not set(hosts) <= _named(files.certificate):
        authority.issue(files.certificate, files.key, socket.gethostname(), hosts=hosts)
    if not files.settings.exists():
        write_secret(files.settings, _SETTINGS)
    if not files.password.exists():
        write_secret(files.password, f"{secrets.token_urlsafe(18)}\n".encode())
    hosts_authority = Authority(files.hosts, "Skytrail hosts")
    wanted = list(dict.fromkeys((LOOPBACK, *control_names)))
    shown = files.control / "certificate.pem"
    if not shown.exists() or not set(wanted) <= _named(shown):
        hosts_authority.issue_folder(files.control, socket.gethostname(), hosts=wanted)
    return files


def _hosts(listen: str) -> list[str]:
    """Return the names and addresses under which clients may reach the API."""
    found = ["localhost", "127.0.0.1", "::1", socket.gethostname()]
    found += local_addresses() if listen in WILDCARDS else [listen]
    return list(dict.fromkeys(found))


def local_addresses() -> list[str]:
    """Return the addresses of this machine's interfaces, for who listens on all of them."""
    found: list[str] = []
    above = ""
    for line in _lines("/proc/net/fib_trie"):
        words = line.split()
        if words[:1] == ["|--"]:
            above = words[1]
        elif words == ["/32", "host", "LOCAL"]:
            found.append(above)
    for line in _lines("/proc/net/if_inet6"):
        address = IPv6Address(bytes.fromhex(line.split()[0]))
        if not address.is_link_local:
            found.append(str(address))
    return list(dict.fromkeys(found))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except FileNotFoundError:
        # A kernel without that version of IP.
        return []


def _named(certificate: Path) -> set[str]:
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    try:
        names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return addresses | set(names.get_values_for_type(x509.DNSName))
