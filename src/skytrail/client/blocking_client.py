"""The blocking client, for the command line, scripts and tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Final, Self

import httpx
import structlog

from skytrail.client import messages
from skytrail.client.access import NO_ACCESS, Access
from skytrail.client.errors import ApiError, ApiUnavailable
from skytrail.client.messages import (
    Answer,
    Call,
    JsonObject,
    RefUpdate,
    Standing,
    TransactionReply,
)
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


class ApiClient:
    """Calls of the configuration API; every method may raise ApiError or ApiUnavailable.

    Objects are plain mappings in the API's JSON form. Not for use by several threads at once.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        unix_socket: str | None = None,
        token: str | None = None,
        *,
        access: Access = NO_ACCESS,
        timeout: httpx.Timeout = TIMEOUT,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._place = unix_socket or base_url
        self._sleep = sleep
        verification = False if unix_socket else access.verification(base_url)
        transport = httpx.HTTPTransport(uds=unix_socket, verify=verification)
        self._http = httpx.Client(
            base_url=spoken_url(base_url, unix_socket),
            transport=transport,
            headers=headers_of(token),
            auth=access.authentication(),
            timeout=timeout,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_reason: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def read(
        self, type_name: str, uuid: str, *, fields: Sequence[str] = (), relations: bool = False
    ) -> JsonObject:
        """Return one object; with ``relations`` also its children and back-references."""
        call = messages.read_call(type_name, uuid, fields=fields, relations=relations)
        return messages.object_of(self.call(call), type_name)

    def read_by_name(
        self,
        type_name: str,
        fq_name: Sequence[str],
        *,
        fields: Sequence[str] = (),
        relations: bool = False,
    ) -> JsonObject:
        uuid = self.name_to_id(type_name, fq_name)
        return self.read(type_name, uuid, fields=fields, relations=relations)

    def list(
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
        return messages.objects_of(self.call(call), type_name)

    def create(self, type_name: str, content: Mapping[str, object]) -> str:
        """Create an object; return its uuid."""
        return messages.uuid_of(self.call(messages.create_call(type_name, content)), type_name)

    def update(self, type_name: str, uuid: str, content: Mapping[str, object]) -> None:
        """Change the given fields of an object."""
        self.call(messages.update_call(type_name, uuid, content))

    def delete(self, type_name: str, uuid: str) -> None:
        self.call(messages.delete_call(type_name, uuid))

    def name_to_id(self, type_name: str, fq_name: Sequence[str]) -> str:
        """Return the uuid of a name; ApiError with status 404 when there is none."""
        return messages.uuid_of(self.call(messages.name_to_id_call(type_name, fq_name)))

    def ref_update(
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
        self.call(change.call())

    def transaction(
        self, operations: Sequence[Mapping[str, object]], derived_from: int | None = None
    ) -> TransactionReply:
        """Do all operations as one revision, or none of them."""
        content = self.call(messages.transaction_call(operations, derived_from))
        return messages.decode_reply(content, TransactionReply)

    def stand(self, call: Call) -> Standing:
        """Stand for election (``messages.stand_call``)."""
        return messages.decode_reply(self.call(call), Standing)

    def resign(self, name: str, lease: str) -> None:
        """Give an office and its lease back."""
        self.call(Call("DELETE", f"/api/v1/elections/{name}/{lease}"))

    def call(self, call: Call) -> bytes:
        """Send any request; return the body of a success."""
        return (self.exchange(call)).content

    def exchange(self, call: Call) -> Answer:
        """Send any request; return the body of a success and its entity tag."""
        try:
            reply = self._http.request(
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

    def watch(
        self,
        types: Sequence[str],
        from_revision: int | None = None,
        *,
        selection: Sequence[tuple[str, str]] = (),
        bookmarks: bool = False,
        backoff: Backoff | None = None,
    ) -> Generator[WatchEvent, None, None]:
        """Yield events for ever, as ``AsyncApiClient.watch`` does; close it to stop."""
        log = structlog.get_logger("skytrail.client")
        position = ResumePoint(from_revision)
        delays = backoff if backoff is not None else Backoff(maximum_s=5.0)
        while True:
            call = messages.watch_call(types, position, selection)
            try:
                with closing(self._stream(call)) as events:
                    for event in events:
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
            self._sleep(delay_s)

    def _stream(self, call: Call) -> Generator[WatchEvent | Bookmark, None, None]:
        """Yield the events of one connection until it ends."""
        timeout = httpx.Timeout(SILENCE_S_MAX, connect=5.0)
        buffer = LineBuffer(LINE_BYTES_MAX)
        try:
            with self._http.stream(
                call.method, call.path, params=call.parameters, timeout=timeout
            ) as reply:
                if reply.status_code >= 400:
                    messages.check_status(reply.status_code, reply.read())
                for chunk in reply.iter_bytes():
                    for event in map(decode_line, buffer.add(chunk)):
                        if event is not None:
                            yield event
        except httpx.HTTPError as error:
            raise unavailable(self._place, error) from error
