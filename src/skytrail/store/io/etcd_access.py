"""Who we are to an etcd cluster, and who it is to us: TLS, a user's token, and what refusals mean.

The token is asked for once and shared by all members; etcd forgets it after some idle minutes, and
when users change, so a refusal of it leads to one new log-in. The password is read from its file
each time: a new one needs no restart.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import structlog
from aetcd import rpc
from grpc import ChannelCredentials, ssl_channel_credentials

from skytrail.store.location import EtcdLocation, EtcdTls, EtcdUser
from skytrail.store.plugin import StoreUnavailable

LOGIN_TIMEOUT_S: Final = 5.0
"""Checking a password is slow on purpose."""

_TOKEN_IS_OVER: Final = (
    "etcdserver: invalid auth token",
    "etcdserver: user name is empty",
    "etcdserver: revision of auth store is old",
)
_NOT_ENABLED: Final = "etcdserver: authentication is not enabled"


class Refused(StoreUnavailable):
    """The cluster knows us and says no, or cannot be believed: other members would say the same."""


class Login:
    """The token of one user; without a user nothing is asked for."""

    def __init__(self, user: EtcdUser | None) -> None:
        self._user = user
        self._token: str | None = None
        self._renewing = asyncio.Lock()
        self._log = structlog.get_logger("skytrail.store")

    @property
    def is_needed(self) -> bool:
        return self._user is not None

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a request carries of it."""
        return (("token", self._token),) if self._token else ()

    async def ensure(self, auth: rpc.AuthStub) -> str | None:
        """Return the present token, after the first log-in."""
        if self._user is not None and self._token is None:
            await self.renew(auth, None)
        return self._token

    async def renew(self, auth: rpc.AuthStub, refused: str | None) -> None:
        """Log in, unless another request has already replaced the refused token."""
        user = self._user
        if user is None:
            return
        async with self._renewing:
            if self._token != refused:
                return
            request = rpc.AuthenticateRequest(name=user.name, password=_password(user))
            try:
                reply = await auth.Authenticate(request, timeout=LOGIN_TIMEOUT_S)
            except rpc.AioRpcError as error:
                if error.details() != _NOT_ENABLED:
                    raise
                # The cluster lets everybody in; a token will be asked for when that ends.
                self._log.warning("store_asks_for_no_user", user=user.name)
                self._token = ""
                return
            self._token = reply.token

    def is_over(self, error: rpc.AioRpcError) -> bool:
        """Whether a refused request may succeed after a new log-in."""
        return self._user is not None and (error.details() or "").startswith(_TOKEN_IS_OVER)


def _password(user: EtcdUser) -> str:
    try:
        return user.password_file.read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"cannot read the etcd password file {user.password_file}: {error}"
        ) from error


def credentials(tls: EtcdTls) -> ChannelCredentials:
    """Return what a channel needs; Refused names the file that cannot be used."""
    # The channel itself would only say that it cannot connect.
    try:
        context = ssl.create_default_context(cafile=str(tls.ca))
    except (OSError, ssl.SSLError) as error:
        raise Refused(f"cannot use ca={tls.ca} for etcd: {_reason(error)}") from error
    if tls.cert is not None and tls.key is not None:
        try:
            context.load_cert_chain(tls.cert, tls.key)
        except (OSError, ssl.SSLError) as error:
            text = f"cannot use cert={tls.cert} with key={tls.key} for etcd: {_reason(error)}"
            raise Refused(text) from error
    return ssl_channel_credentials(
        tls.ca.read_bytes(),
        None if tls.key is None else tls.key.read_bytes(),
        None if tls.cert is None else tls.cert.read_bytes(),
    )


def stamp_of(tls: EtcdTls | None) -> tuple[int, ...]:
    """Return what changes when one of the files is replaced."""
    if tls is None:
        return ()
    stamps: list[int] = []
    for path in (tls.ca, tls.cert, tls.key):
        try:
            stamps.append(0 if path is None else path.stat().st_mtime_ns)
        except OSError:
            stamps.append(-1)  # Opening a channel says what is wrong with it.
    return tuple(stamps)


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def refusal(location: EtcdLocation, details: str) -> str:
    """Return what a refused request or handshake tells the operator to do; empty for other texts."""
    tls, user = location.tls, location.user
    if "authentication failed" in details and user is not None:
        return f"it does not know user={user.name} with the password in {user.password_file}"
    if "user name is empty" in details:
        return "it asks for a user: add user=NAME&password-file=FILE to the store's address"
    if "permission denied" in details:
        who = "our certificate's user" if user is None else f"user={user.name}"
        return f"{who} needs a role that may read and write all keys"
    if "CERTIFICATE_VERIFY_FAILED" in details and tls is not None:
        return f"its certificate is not by the authority in ca={tls.ca}"
    if "Hostname Verification" in details:
        return "its certificate does not name the host it is reached by"
    if "Unwrap failed" in details and tls is not None:
        given = "gave none" if tls.cert is None else f"gave {tls.cert}"
        return f"it wants a client certificate by an authority it trusts; we {given} (cert=, key=)"
    if "Handshake read failed" in details:
        return "it does not speak TLS there: leave out ca=, cert= and key=, or turn on its TLS"
    if "Socket closed" in details and tls is None:
        return "it may ask for TLS: add ca=FILE (and cert=FILE&key=FILE) to the store's address"
    return ""
