"""Calls to an etcd cluster: one member is used until it fails, then the next.

The client library's own client knows one address and no TLS, so its generated stubs are used over
channels of our own. What matters is what a failure means:

    refused connection, "no leader" ...   the member did nothing: the next member is asked
    cut connection, time-out ...          it may have: a read is repeated, a write is not
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from aetcd import rpc

from skytrail.store.io.etcd_access import Login, Refused, credentials, refusal, stamp_of
from skytrail.store.location import EtcdLocation
from skytrail.store.plugin import StoreUnavailable

CALL_TIMEOUT_S: Final = 0.5
"""Of a small request; a member that is silent for longer is left for the next one."""
SLOW_TIMEOUT_S: Final = 10.0
"""Of a request that moves megabytes."""
READ_ATTEMPTS: Final = 5
_BIG_BYTES: Final = 256 * 1024

NEED_LEADER: Final = (("hasleader", "true"),)
"""A member cut off from the others then refuses at once instead of keeping us waiting."""

CONNECT_SHARE: Final = 0.8
"""Of a request's time, what connecting may take: then it fails as such, and surely did nothing."""

_CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
)
_NOTHING_DONE: Final = (
    "failed to connect",
    "etcdserver: no leader",
    "etcdserver: not capable",
    "etcdserver: too many requests",
    "etcdserver: mvcc: database space exceeded",
    "etcdserver: server stopped",
)
_NOT_TRUSTED: Final = (
    "etcdserver: authentication failed",
    "etcdserver: permission denied",
    "etcdserver: user name",
    "etcdserver: invalid auth token",
    "etcdserver: revision of auth store is old",
)
_TOO_LARGE: Final = (
    "too many operations in txn request",
    "request is too large",
    "received message larger than max",
)
T = TypeVar("T")


class RevisionGone(Exception):
    """The asked revision has been compacted; a watch tells up to which (etcd's number)."""

    def __init__(self, revision: int = 0) -> None:
        super().__init__(f"discarded up to etcd revision {revision}")
        self.revision = revision


class RevisionToCome(Exception):
    """The asked revision does not exist yet."""


class LeaseUnknown(Exception):
    """The lease has run out or was revoked."""


class MaybeDone(StoreUnavailable):
    """Nobody answered: the request may or may not have been carried out."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member's services."""

    endpoint: str
    channel: rpc.Channel
    kv: rpc.KVStub
    watch: rpc.WatchStub
    lease: rpc.LeaseStub
    auth: rpc.AuthStub
    login: Login
    stamp: tuple[int, ...]
    """Of the files its connection was made with."""

    @classmethod
    def at(cls, endpoint: str, location: EtcdLocation, login: Login, timeout_s: float) -> Member:
        # By its name the time between attempts; what it bounds is one attempt, greeting included.
        connect_ms = ("grpc.min_reconnect_backoff_ms", round(1000 * CONNECT_SHARE * timeout_s))
        options = (*_CHANNEL_OPTIONS, connect_ms)
        stamp = stamp_of(location.tls)
        if location.tls is None:
            channel = rpc.insecure_channel(endpoint, options=options)
        else:
            channel = rpc.secure_channel(endpoint, credentials(location.tls), options=options)
        return cls(
            endpoint, channel, rpc.KVStub(channel), rpc.WatchStub(channel),
            rpc.LeaseStub(channel), rpc.AuthStub(channel), login, stamp,
        )  # fmt: skip

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every request carries."""
        return (*NEED_LEADER, *self.login.metadata)


class Members:
    """The cluster as one thing to call; turns to the next member by itself."""

    def __init__(self, location: EtcdLocation, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._location = location
        self._timeout_s = timeout_s
        self._open: dict[str, Member] = {}
        self._outdated: list[Member] = []
        """Opened with files that were replaced since; streams may still run on them."""
        self._login = Login(location.user)
        self._turn = 0
        self._log = structlog.get_logger("skytrail.store")

    @property
    def current(self) -> Member:
        """The member that is asked next."""
        endpoint = self._location.endpoints[self._turn % len(self._location.endpoints)]
        member = self._open.get(endpoint)
        if member is None:
            member = self._open[endpoint] = Member.at(
                endpoint, self._location, self._login, self._timeout_s
            )
        return member

    def leave(self, member: Member, reason: str) -> None:
        """Turn to the next member, unless somebody did already."""
        self._reopen_with_new_files(member)
        if self._is_current(member) and len(self._location.endpoints) > 1:
            self._turn += 1
            self._log.warning(
                "store_member_left", member=member.endpoint, following=self.current.endpoint,
                reason=reason[:200],
            )  # fmt: skip

    def _is_current(self, member: Member) -> bool:
        endpoints = self._location.endpoints
        return member.endpoint == endpoints[self._turn % len(endpoints)]

    def _reopen_with_new_files(self, member: Member) -> None:
        """Have a failed member connected to anew when certificates have been replaced meanwhile."""
        if member.stamp == stamp_of(self._location.tls):
            return
        if self._open.get(member.endpoint) is member:
            self._outdated.append(self._open.pop(member.endpoint))
            self._log.info("store_certificates_renewed", member=member.endpoint)

    async def present(self) -> int:
        """Return etcd's revision, agreed on by a majority."""
        request = rpc.RangeRequest(key=b"/", count_only=True)
        reply = await self.read(
            lambda member, wait_s: member.kv.Range(
                request, timeout=wait_s, metadata=member.metadata
            )
        )
        return reply.header.revision

    async def ready(self) -> Member:
        """Return the member that is asked next, with a token that holds.

        A watch is refused like one without rights, whatever is wrong with the token.
        """
        if self._login.is_needed:
            await self.present()
        return self.current

    async def read(
        self, ask: Callable[[Member, float], Awaitable[T]], *, timeout_s: float | None = None
    ) -> T:
        """Ask until a member answers; for requests that may be repeated."""
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        failure: StoreUnavailable | None = None
        for _ in range(max(READ_ATTEMPTS, len(self._location.endpoints))):
            member = self.current
            try:
                return await self._ask(ask, member, wait_s)
            except rpc.AioRpcError as error:
                failure = _failure(error, member, self._location)
                self.leave(member, str(failure))
                wait_s = min(wait_s * 1.5, SLOW_TIMEOUT_S)
        raise failure or StoreUnavailable("the store has no members")

    async def write(
        self, ask: Callable[[Member, float], Awaitable[T]], *, size_bytes: int = 0
    ) -> T:
        """Ask the next members only while it is certain that nothing was done.

        Raises MaybeDone when it is not.
        """
        wait_s = self._timeout_s + SLOW_TIMEOUT_S * (size_bytes > _BIG_BYTES)
        failure: StoreUnavailable | None = None
        for _ in self._location.endpoints:
            member = self.current
            try:
                return await self._ask(ask, member, wait_s)
            except rpc.AioRpcError as error:
                failure = _failure(error, member, self._location)
                self.leave(member, str(failure))
                if isinstance(failure, MaybeDone):
                    raise failure from error
        raise failure or StoreUnavailable("the store has no members")

    async def _ask(
        self, ask: Callable[[Member, float], Awaitable[T]], member: Member, wait_s: float
    ) -> T:
        """Ask one member, logged in; once more when it was only the token that it refused."""
        if not self._login.is_needed:
            return await ask(member, wait_s)
        token = await self._login.ensure(member.auth)
        try:
            return await ask(member, wait_s)
        except rpc.AioRpcError as error:
            if not self._login.is_over(error):
                raise
        # A refused token means that nothing was done.
        await self._login.renew(member.auth, token)
        return await ask(member, wait_s)

    async def close(self) -> None:
        for member in (*self._open.values(), *self._outdated):
            await member.channel.close()


def _failure(error: rpc.AioRpcError, member: Member, location: EtcdLocation) -> StoreUnavailable:
    """Return what a failed call means for the caller; raise what is no failure of the member."""
    code, text = error.code(), error.details() or ""
    if "has been compacted" in text:
        raise RevisionGone from error
    if "is a future revision" in text:
        raise RevisionToCome(text) from error
    if "requested lease not found" in text:
        raise LeaseUnknown(text) from error
    if any(part in text for part in _TOO_LARGE):
        raise ValueError(
            f"{text}: start etcd with --max-txn-ops=100000 --max-request-bytes=33554432"
        ) from error
    hint, said = refusal(location, text), text or code.name
    where = f"etcd member {member.endpoint}: " + (f"{hint} ({said})" if hint else said)
    if text.startswith(_NOT_TRUSTED):
        raise Refused(where) from error
    if any(part in text for part in _NOTHING_DONE):
        return StoreUnavailable(where)
    return MaybeDone(where)
