"""Requests to a Keystone v3 with the credentials of a service user, whose token renews itself."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import httpx
import msgspec

from skytrail.api.plugin import IdentityUnavailable
from skytrail.api.security_settings import KeystoneSettings

T = TypeVar("T")


class KeystoneClient:
    """One service user at one Keystone."""

    def __init__(
        self, keystone: KeystoneSettings, password: str, *, http: httpx.AsyncClient
    ) -> None:
        self.settings = keystone
        self._password = password
        self._http = http
        self._token = ""
        self._renewing = asyncio.Lock()

    async def get(
        self,
        path: str,
        *,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Return Keystone's answer; raises IdentityUnavailable when there is none."""
        mine = self._token or await self._renewed("")
        reply = await self._send("GET", path, {**(headers or {}), "x-auth-token": mine}, params)
        if reply.status_code == httpx.codes.UNAUTHORIZED:
            mine = await self._renewed(mine)
            reply = await self._send("GET", path, {**(headers or {}), "x-auth-token": mine}, params)
        return reply

    async def _renewed(self, stale: str) -> str:
        """Return a token of the service user that is not the stale one."""
        async with self._renewing:
            if self._token and self._token != stale:
                return self._token
            keystone = self.settings
            who = {
                "name": keystone.user,
                "domain": {"name": keystone.user_domain},
                "password": self._password,
            }
            where = {"name": keystone.project, "domain": {"name": keystone.project_domain}}
            body = {
                "auth": {
                    "identity": {"methods": ["password"], "password": {"user": who}},
                    "scope": {"project": where},
                }
            }
            reply = await self._send("POST", "/auth/tokens", {}, json=body)
            token = reply.headers.get("x-subject-token", "")
            if reply.status_code != httpx.codes.CREATED or not token:
                raise IdentityUnavailable(
                    f"Keystone answered {reply.status_code} to the service user's login"
                )
            self._token = token
            return token

    async def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        params: dict[str, str] | None = None,
        *,
        json: object = None,
    ) -> httpx.Response:
        url = self.settings.url.removesuffix("/") + path
        try:
            return await self._http.request(
                method, url, headers=headers, json=json, params=params,
                timeout=self.settings.timeout_s,
            )  # fmt: skip
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise IdentityUnavailable(f"Keystone does not answer: {reason}") from error


def decoded(reply: httpx.Response, kind: type[T]) -> T:
    """Return what an answer says; raises IdentityUnavailable when it does not fit."""
    try:
        return msgspec.json.decode(reply.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IdentityUnavailable(f"Keystone's answer does not fit: {error}") from error
