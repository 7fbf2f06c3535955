"""The plug socket: orchestrators tell the agent which link belongs to which port.

One JSON object per line in, one per line out; see ``PlugServer`` for the operations. A line
beyond 64 KiB or anything that is not an understood request gets one error line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import structlog

from skytrail.runtime.server import listen_unix

LINE_BYTES_MAX = 65536
CLIENTS_COUNT_MAX = 64


LinkName = Annotated[str, msgspec.Meta(pattern=r"\A(?!\.{1,2}\Z)[^\s/:\x00]{1,15}\Z")]
"""What the kernel takes as a name of a link."""


class PlugRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="plug"):
    vmi_uuid: str
    vm_uuid: str = ""
    ifname: LinkName
    kind: Literal["veth", "tap"]


class UnplugRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="unplug"):
    vmi_uuid: str


class ListRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="list"):
    pass


Request = PlugRequest | UnplugRequest | ListRequest
_DECODER = msgspec.json.Decoder(Request)


class PlugRefused(Exception):
    """The request makes no sense; the text is the reply's error."""


class PlugServer:
    """Serves the socket; every request is handed to ``handle``, which returns the reply's fields.

    plug: {"op":"plug","vmi_uuid","vm_uuid","ifname","kind":"veth"|"tap"} -> {"ok":true}
    unplug: {"op":"unplug","vmi_uuid"} -> {"ok":true}, also when it was not plugged
    list: {"op":"list"} -> {"ok":true,"ports":[...]}
    """

    def __init__(
        self, path: Path, handle: Callable[[Request], Awaitable[dict[str, object]]]
    ) -> None:
        self._path = path
        self._handle = handle
        self._clients = 0
        self._log = structlog.get_logger("skytrail.agent.plug")

    async def serve(self) -> None:
        """Run until cancelled; raises ``OSError`` when the path cannot be bound."""
        server = await asyncio.start_unix_server(
            self._serve_client, sock=listen_unix(self._path), limit=LINE_BYTES_MAX
        )
        try:
            async with server:
                await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)

    async def _serve_client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._clients >= CLIENTS_COUNT_MAX:
            writer.close()
            return
        self._clients += 1
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:
                    writer.write(_error("request line is too long"))
                    break
                if not line:
                    break
                writer.write(await self._reply(line))
                await writer.drain()
        except OSError:
            pass  # The client left in the middle; it knows.
        finally:
            self._clients -= 1
            writer.close()

    async def _reply(self, line: bytes) -> bytes:
        try:
            fields = await self._handle(_DECODER.decode(line))
        except msgspec.MsgspecError as error:
            return _error(f"not a request: {error}")
        except PlugRefused as error:
            return _error(str(error))
        except Exception as error:  # The task boundary of one request.
            self._log.exception("plug_request_failed")
            return _error(f"internal error: {type(error).__name__}")
        return msgspec.json.encode({"ok": True, **fields}) + b"\n"


def _error(text: str) -> bytes:
    return msgspec.json.encode({"ok": False, "error": text}) + b"\n"
