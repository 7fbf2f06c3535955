"""A real API process believes bearer tokens of a real issuer, and certificates of real handshakes."""

from __future__ import annotations

import datetime as dt
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from skytrail.runtime.asgi import AsgiApp, Request, Router, json_reply
from skytrail.runtime.certificates import Authority
from skytrail.testing.controller import Daemons, wait_until
from skytrail.testing.keystone import FakeKeystone
from skytrail.testing.served import served

PROJECT = "11111111-1111-4111-8111-111111111111"


class Issuer:
    """Serves discovery and keys over HTTP, and signs tokens, as an OpenID provider does."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, object] = {}
        self.fetches_count = 0
        router = Router()
        router.add("GET", "/realm/.well-known/openid-configuration", self._discovery)
        router.add("GET", "/realm/keys", self._key_set)
        self.app = AsgiApp(router)

    async def _discovery(self, request: Request):
        return json_reply({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    async def _key_set(self, request: Request):
        self.fetches_count += 1
        listed = []
        for name, key in self.keys.items():
            is_rsa = isinstance(key, rsa.RSAPrivateKey)
            kind = jwt.algorithms.RSAAlgorithm if is_rsa else jwt.algorithms.ECAlgorithm
            described = json.loads(kind.to_jwk(key.public_key()))
            listed.append({**described, "kid": name, "use": "sig"})
        return json_reply({"keys": listed})

    def token(self, kid: str, key: object = None, **more: object) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": "skytrail", "sub": "u-1", "iat": now, "exp": now + 300,
            "preferred_username": "ann", "roles": ["admin"], "project_id": PROJECT, **more,
        }  # fmt: skip
        signing = self.keys[kid] if key is None else key
        algorithm = "RS256" if isinstance(signing, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(claims, signing, algorithm=algorithm, headers={"kid": kid})


@contextmanager
def api(folder: Path, settings: str, *more: str) -> Iterator[int]:
    """A server with these security settings; gives its port."""
    (folder / "api.toml").write_text(settings)
    fixed = ("--data", str(folder / "store"), "--port", "0", "--security", str(folder / "api.toml"))
    with Daemons(folder) as daemons:
        yield int(daemons.start("api", *fixed, *more)["port"])


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    made.keys = {
        "first": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }
    with served(made.app) as url:
        made.url = f"{url}/realm"
        yield made


@pytest.fixture(scope="module")
def server(issuer, tmp_path_factory) -> Iterator[httpx.Client]:
    settings = f"""
        authentication = ["oidc"]
        [oidc]
        issuer = "{issuer.url}"
        audience = "skytrail"
        leeway_s = 0
    """
    folder = tmp_path_factory.mktemp("oidc")
    with (
        api(folder, settings) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        client.log = folder / "api.log"
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_token_of_the_issuer_is_its_user_with_roles_and_project(server, issuer) -> None:
    for kid in ("first", "rsa"):
        found = server.get("/api/v1/whoami", headers=bearer(issuer.token(kid))).json()
        assert (found["user"], found["roles"], found["project"]) == ("ann", ["admin"], PROJECT)

    body = {"virtual-network": {"fq_name": ["default-domain", "default-project", "red"]}}
    made = server.post("/virtual-networks", json=body, headers=bearer(issuer.token("first")))
    assert made.status_code == 200, made.text


def test_tokens_that_are_not_for_us_or_not_now_are_refused(server, issuer) -> None:
    now = int(time.time())
    stranger = ec.generate_private_key(ec.SECP256R1())
    refused = {
        "expired": issuer.token("first", exp=now - 1),
        "wrong audience": issuer.token("first", aud="another"),
        "wrong issuer": issuer.token("first", iss="http://127.0.0.1/other"),
        "not yet": issuer.token("first", nbf=now + 600),
        "foreign key": issuer.token("first", stranger),
        "unknown key": issuer.token("third", stranger),
        "unsigned": jwt.encode({"iss": issuer.url, "sub": "u", "aud": "skytrail"}, None, "none"),
    }
    for why, token in refused.items():
        reply = server.get("/virtual-networks", headers=bearer(token))
        assert reply.status_code == 401, why
        assert reply.headers["www-authenticate"].startswith("Bearer"), why
    assert server.get("/virtual-networks").status_code == 401
    log = server.log.read_text()
    assert not [why for why, token in refused.items() if token in log]


def test_a_token_ends_when_its_time_is_over(server, issuer) -> None:
    token = issuer.token("first", exp=int(time.time()) + 2)
    assert server.get("/api/v1/whoami", headers=bearer(token)).status_code == 200

    deadline = time.monotonic() + 20
    while server.get("/api/v1/whoami", headers=bearer(token)).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_new_keys_of_the_issuer_are_found_and_old_ones_forgotten(issuer, tmp_path) -> None:
    settings = f'authentication = ["oidc"]\n[oidc]\nissuer = "{issuer.url}"\naudience = "skytrail"'
    with api(tmp_path, settings) as port:

        def status(token: str) -> int:
            url = f"http://127.0.0.1:{port}/api/v1/whoami"
            return httpx.get(url, headers=bearer(token), trust_env=False).status_code

        old_key = issuer.keys["first"]
        old = issuer.token("first")
        assert status(old) == 200
        issuer.keys = {"second": ec.generate_private_key(ec.SECP256R1())}
        try:
            assert status(issuer.token("second")) == 200
            assert status(old) == 401
            assert status(issuer.token("first", old_key)) == 401
        finally:
            issuer.keys["first"] = old_key


# Client certificates.

CERTIFICATES = """
    authentication = ["certificates"]
    [[certificates]]
    subject = "boss"
    user = "boss"
    roles = ["admin"]
    [[certificates]]
    alternative_name = "DNS:reader.example"
    user = "reader"
    roles = ["member"]
"""


@pytest.fixture(scope="module")
def mutual(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("mtls")
    authority = Authority(folder)
    authority.issue(folder / "api.pem", folder / "api.key", "api", hosts=["127.0.0.1"])
    options = ("--tls-certificate", str(folder / "api.pem"), "--tls-key", str(folder / "api.key"))
    options += ("--tls-client-ca", str(folder / "ca.pem"))
    with api(folder, CERTIFICATES, *options) as port:
        yield f"https://127.0.0.1:{port}", folder


def whoami(url: str, ca: Path, holder: Path | None = None) -> httpx.Response:
    context = ssl.create_default_context(cafile=ca)
    if holder is not None:
        context.load_cert_chain(holder.with_suffix(".pem"), holder.with_suffix(".key"))
    return httpx.get(f"{url}/api/v1/whoami", verify=context, trust_env=False)


def test_the_holder_of_a_named_certificate_is_that_user(mutual) -> None:
    url, folder = mutual
    Authority(folder).issue(folder / "boss.pem", folder / "boss.key", "boss")
    handmade(folder, folder / "r", "somebody", days=1, host="reader.example")

    boss = whoami(url, folder / "ca.pem", folder / "boss").json()

    assert (boss["user"], boss["is_admin"]) == ("boss", True)
    reader = whoami(url, folder / "ca.pem", folder / "r").json()
    assert (reader["user"], reader["roles"], reader["is_admin"]) == ("reader", ["member"], False)


def test_a_certificate_nobody_is_named_by_is_nobody(mutual) -> None:
    url, folder = mutual
    Authority(folder).issue(folder / "eve.pem", folder / "eve.key", "eve")

    assert whoami(url, folder / "ca.pem", folder / "eve").status_code == 401
    assert whoami(url, folder / "ca.pem").status_code == 401


def test_certificates_of_others_and_expired_ones_end_the_handshake(mutual, tmp_path) -> None:
    url, folder = mutual
    Authority(tmp_path, "Other").issue(tmp_path / "boss.pem", tmp_path / "boss.key", "boss")
    handmade(folder, tmp_path / "old", "boss", days=-1)

    for holder in (tmp_path / "boss", tmp_path / "old"):
        with pytest.raises(httpx.TransportError):
            whoami(url, folder / "ca.pem", holder)


def handmade(
    authority: Path, holder: Path, name: str, *, days: int, host: str = "other.example"
) -> None:
    """A certificate by an authority, good for so many days from now."""
    signer = serialization.load_pem_private_key((authority / "ca.key").read_bytes(), None)
    issuer = x509.load_pem_x509_certificate((authority / "ca.pem").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=9))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    holder.with_suffix(".pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    holder.with_suffix(".key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def test_a_foreign_server_is_not_believed_by_a_client(mutual, tmp_path) -> None:
    url, _ = mutual
    with pytest.raises(httpx.ConnectError):
        whoami(url, Authority(tmp_path, "Other").certificate_file)


# Keystone.


def test_projects_follow_keystone_into_a_running_server_and_out_of_it(tmp_path) -> None:
    keystone = FakeKeystone()
    keystone.add("svc", "service pw", "service", "service")
    boss = keystone.add("boss", "pw", "admin", "admin")
    blue = keystone.add_project("blue")
    (tmp_path / "password").write_text("service pw\n")
    with served(keystone.app) as url:
        settings = f"""
            authentication = ["keystone"]
            [keystone]
            url = "{url}/v3"
            user = "svc"
            password_file = "{tmp_path / "password"}"
            poll_s = 0.2
        """
        with (
            api(tmp_path, settings) as port,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        ):
            client.headers["x-auth-token"] = keystone.issue(boss)
            asked = {"type": "project", "fq_name": ["default-domain", "blue"]}
            found = client.post("/fqname-to-id", json=asked)
            assert found.status_code == 200, found.text
            uuid = found.json()["uuid"]
            assert uuid.replace("-", "") == blue
            assert client.get(f"/project/{uuid}").status_code == 200

            keystone.remove_project("blue")

            wait_until(lambda: client.get(f"/project/{uuid}").status_code == 404, "its removal")
            assert "keystone_leftover_removed" in (tmp_path / "api.log").read_text()
