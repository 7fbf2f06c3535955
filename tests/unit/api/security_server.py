"""An API in process behind a real gate, with cheap password hashes and a clock of its own."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from argon2 import PasswordHasher

from skytrail.api.io.auth_local import LocalUsers
from skytrail.api.io.gate import Gate
from skytrail.api.io.http import HttpApi
from skytrail.api.plugin import Authenticator, Directory
from skytrail.api.security_settings import SecuritySettings
from skytrail.daemons.api_security import ServerSecurity, prepare
from skytrail.runtime.asgi import PEER_EXTENSION, Peer

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
NETWORK_CLIENT = ("198.51.100.7", 1)


class Secured:
    """Requests with headers; ``now`` is the gate's and the users' clock."""

    def __init__(
        self,
        api,
        settings: SecuritySettings,
        *authenticators: Callable[..., Authenticator],
        is_public: bool = False,
        directory: Callable[[], Directory] | None = None,
    ) -> None:
        self.api, self.settings = api, settings
        self.now = 1_000_000.0
        made = [make(api.service, settings, clock=lambda: self.now) for make in authenticators] or [
            LocalUsers(api.service, settings, hasher=CHEAP, clock=lambda: self.now)
        ]
        self.gate = Gate(
            api.service,
            settings,
            made,
            directory=None if directory is None else directory(),
            is_public=is_public,
            clock=lambda: self.now,
        )
        self.app = HttpApi(api.service, gate=self.gate)
        self.run(prepare(api.service, ServerSecurity(settings, None), self.gate))

    def run(self, waiting):
        return self.api.loop.run_until_complete(waiting)

    def call(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        peer: Peer | None = None,
        client: tuple[str, int] = NETWORK_CLIENT,
        **headers: str,
    ):
        """Send a request; header names with underscores."""
        sent: list[dict] = []
        raw = b"" if body is None else json.dumps(body).encode()
        path, _, query = target.partition("?")
        given = {"content_type": "application/json", **headers}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in given.items()],
            "client": client,
            "extensions": {} if peer is None else {PEER_EXTENSION: peer},
        }

        async def receive():
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message):
            sent.append(message)

        self.run(self.app(scope, receive, send))
        return Answer(sent)

    def as_root(self, method: str, target: str, body: object = None):
        """Send as a trusted process at the Unix socket."""
        return self.call(method, target, body, peer=Peer(uid=0))

    def user(self, name: str, password: str = "correct horse", **members: object) -> None:
        reply = self.as_root("PUT", f"/api/v1/users/{name}", {"password": password, **members})
        assert reply.status == 200, reply.text

    def login(self, name: str, password: str = "correct horse") -> str:
        reply = self.call("POST", "/api/v1/login", {"user": name, "password": password})
        assert reply.status == 200, reply.text
        return reply.json["token"]


class Answer:
    def __init__(self, sent: list[dict]) -> None:
        self.status = sent[0]["status"]
        self.header_list = [(k.decode(), v.decode()) for k, v in sent[0]["headers"]]
        self.headers = dict(self.header_list)
        self.body = b"".join(message.get("body", b"") for message in sent[1:])

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
