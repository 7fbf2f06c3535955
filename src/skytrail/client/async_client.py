"""The asyncio client: the same calls, and a watch that outlives the API's restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final, Self

import httpx
import structlog

from skytrail.client import messages
from skytrail.client.access import NO_ACCESS, Access
from skytrail.client.errors import ApiError, ApiUnavailable
from skytrail.client.messages import Answer, Call, JsonObject, RefUpdate, Standing, TransactionReply
from skytrail.client.transport import (
    DEFAULT_URL,
    LINE_BYTES_MAX,
    SILENCE_S_MAX,
    TIMEOUT,
    headers_of,
    spoken_url,
    unavailable,
)
from skytrail.client.watch_events import (
    Bookmark,
    LineBuffer,
    LineInvalid,
    ResumePoint,
    RevisionEnd,
    WatchEvent,
    decode_line,
)
from skytrail.runtime.backoff import Backoff

_GONE: Final = 410


class AsyncApiClient:
    """Calls of the configuration API; every method may raise ApiError or ApiUnavailable."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        unix_socket: str | None = None,
        token: str | None = None,
        *,
        access: Access = NO_ACCESS,
        timeout: httpx.Timeout = TIMEOUT,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._place = unix_socket or base_url
        self._sleep = sleep
        self._streams_count = 0
        verification = False if unix_socket else access.verification(base_url)
        transport = httpx.AsyncHTTPTransport(uds=unix_socket, verify=verification)
        self._http = httpx.AsyncClient(
            base_url=spoken_url(base_url, unix_socket),
            transport=transport,
            headers=headers_of(token),
            auth=access.authentication(),
            timeout=timeout,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_reason: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    @property
    def watching(self) -> bool:
        """Tell whether a watch of this client is connected now; for health pages."""
        return self._streams_count > 0

    async def read(
        self, type_name: str, uuid: str, *, fields: Sequence[str] = (), relations: bool = False
    ) -> JsonObject:
        """Return one object; with ``relations`` also its children and back-references."""
        call = messages.read_call(type_name, uuid, fields=fields, relations=relations)
        return messages.object_of(await self.call(call), type_name)

    async def read_by_name(
        self,
        type_name: str,
        fq_name: Sequence[str],
        *,
        fields: Sequence[str] = (),
        relations: bool = False,
    ) -> JsonObject:
        uuid = await self.name_to_id(type_name, fq_name)
        return await self.read(type_name, uuid, fields=fields, relations=relations)

    async def list(
        self,
        type_name: str,
        *,
        parent_uuid: str | None = None,
        detail: bool = False,
        filters: Mapping[str, object] | None = None,
        fields: Sequence[str] = (),
    ) -> list[JsonObject]:
        """Return objects of a type: uuid and fq_name, with ``detail`` or ``fields`` more."""
        call = messages.list_call(
            type_name, parent_uuid=parent_uuid, detail=detail, filters=filters or {}, fields=fields
        )
        return messages.objects_of(await self.call(call), type_name)

    async def create(self, type_name: str, content: Mapping[str, object]) -> str:
        """Create an object; return its uuid."""
        call = messages.create_call(type_name, content)
        return messages.uuid_of(await self.call(call), type_name)

    async def update(self, type_name: str, uuid: str, content: Mapping[str, object]) -> None:
        """Change the given fields of an object."""
        await self.call(messages.update_call(type_name, uuid, content))

    async def delete(self, type_name: str, uuid: str) -> None:
        await self.call(messages.delete_call(type_name, uuid))

    async def name_to_id(self, type_name: str, fq_name: Sequence[str]) -> str:
        """Return the uuid of a name; ApiError with status 404 when there is none."""
        return messages.uuid_of(await self.call(messages.name_to_id_call(type_name, fq_name)))

    async def ref_update(
        self,
        type_name: str,
        uuid: str,
        *,
        ref_type: str,
        ref_uuid: str | None = None,
        ref_fq_name: Sequence[str] | None = None,
        operation: messages.RefOperation = "ADD",
        attr: Mapping[str, object] | None = None,
    ) -> None:
        """Add or delete one reference, leaving the others alone."""
        change = RefUpdate(
            type=type_name,
            uuid=uuid,
            ref_type=ref_type,
            ref_uuid=ref_uuid,
            ref_fq_name=ref_fq_name,
            operation=operation,
            attr=attr,
        )
        await self.call(change.call())

    async def transaction(
        self, operations: Sequence[Mapping[str, object]], derived_from: int | None = None
    ) -> TransactionReply:
        """Do all operations as one revision, or none of them."""
        content = await self.call(messages.transaction_call(operations, derived_from))
        return messages.decode_reply(content, TransactionReply)

    async def stand(self, call: Call) -> Standing:
        """Stand for election (``messages.stand_call``)."""
        return messages.decode_reply(await self.call(call), Standing)

    async def resign(self, name: str, lease: str) -> None:
        """Give an office and its lease back."""
        await self.call(Call("DELETE", f"/api/v1/elections/{name}/{lease}"))

    async def call(self, call: Call) -> bytes:
        """Send any request; return the body of a success."""
        return (await self.exchange(call)).content

    async def exchange(self, call: Call) -> Answer:
        """Send any request; return the body of a success and its entity tag."""
        try:
            reply = await self._http.request(
                call.method,
                call.path,
                params=call.parameters or None,
                content=call.encoded(),
                headers=call.headers,
            )
        except httpx.HTTPError as error:
            raise unavailable(self._place, error) from error
        except httpx.InvalidURL as error:
            raise ApiUnavailable(f"{self._place} is not an address: {error}") from error
        messages.check_status(reply.status_code, reply.content)
        return Answer(reply.content, reply.headers.get("etag"))

    async def watch(
        self,
        types: Sequence[str],
        from_revision: int | None = None,
        *,
        selection: Sequence[tuple[str, str]] = (),
        bookmarks: bool = False,
        backoff: Backoff | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yield events for ever: a snapshot (or from a revision on), then every change.

        Reconnects by itself with growing, jittered delays and resumes after the last complete
        revision, so events of an incomplete one may come twice; a position the API has
        discarded leads to a new snapshot. Raises ApiError only for a refusal (4xx): an unknown
        type, missing rights. Nothing is buffered beyond one line: a slow consumer slows the
        stream, and the API may cut it off, which is a reconnect.
        """
        log = structlog.get_logger("skytrail.client")
        position = ResumePoint(from_revision)
        delays = backoff if backoff is not None else Backoff(maximum_s=5.0)
        while True:
            call = messages.watch_call(types, position, selection)
            try:
                async with aclosing(self._stream(call)) as events:
                    async for event in events:
                        if position.note(event):
                            delays.reset()
                        if not isinstance(event, Bookmark):
                            yield event
                        elif bookmarks:
                            yield RevisionEnd(event.revision, event.history)
                reason = "the API ended the stream"
            except (ApiUnavailable, LineInvalid) as error:
                reason = str(error)
            except ApiError as error:
                if error.status == _GONE:
                    position = ResumePoint()
                elif error.status < 500:
                    raise
                reason = str(error)
            delay_s = delays.next_delay_s()
            log.warning("watch_reconnecting", reason=reason, delay_s=round(delay_s, 2))
            await self._sleep(delay_s)

    async def _stream(self, call: Call) -> AsyncGenerator[WatchEvent | Bookmark, None]:
        """Yield the events of one connection until it ends."""
        timeout = httpx.Timeout(SILENCE_S_MAX, connect=5.0)
        try:
            async with self._http.stream(
                call.method, call.path, params=call.parameters, timeout=timeout
            ) as reply:
                if reply.status_code >= 400:
                    messages.check_status(reply.status_code, await reply.aread())
                self._streams_count += 1
                try:
                    async for event in _events(reply.aiter_bytes()):
                        yield event
                finally:
                    self._streams_count -= 1
        except httpx.HTTPError as error:
            raise unavailable(self._place, error) from error


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[WatchEvent | Bookmark]:
    buffer = LineBuffer(LINE_BYTES_MAX)
    async for chunk in chunks:
        for line in buffer.add(chunk):
            event = decode_line(line)
            if event is not None:
                yield event
