"""``GET /capture``: frames of ports as they pass, as a pcapng file that grows.

Each capture has a bounded queue; what does not fit is left out of the file and counted in its last
block, as is what the kernel's ring had no room for. A capture ends with its count, its time, or its
reader; while none is on, nothing of this costs anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from skytrail.agent import abi
from skytrail.agent.capture import (
    SLOTS_COUNT_MAX,
    Captured,
    CaptureFile,
    CaptureRefused,
    CaptureRequest,
    Point,
    read_request,
)
from skytrail.agent.service import AgentService
from skytrail.runtime.asgi import HttpError, Request, Router, StreamResponse

PCAPNG = "application/x-pcapng"
QUEUE_FRAMES_MAX = 4096
_DRAIN_FRAMES_MAX = 512
"""Read in one go: then the loop may do other things."""
_REASONS = frozenset(reason.name for reason in abi.DropReason if reason)
APPLY_TIMEOUT_S = 10.0


@dataclass(slots=True)
class _Running:
    request: CaptureRequest
    file: CaptureFile
    queue: asyncio.Queue[Captured] = field(
        default_factory=lambda: asyncio.Queue(maxsize=QUEUE_FRAMES_MAX)
    )
    left_out: int = 0


class CapturePages:
    """The captures of one agent."""

    def __init__(self, agent: AgentService) -> None:
        self._agent = agent
        self._running: dict[int, _Running] = {}

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/capture", self._capture)

    async def _capture(self, request: Request) -> StreamResponse:
        agent = self._agent
        try:
            wanted = read_request(request.query, agent.plugged, agent.desired.vifs, _REASONS)
        except CaptureRefused as refused:
            raise HttpError(400, str(refused)) from refused
        self._require_slot()
        return StreamResponse(self._frames(wanted), content_type=PCAPNG)

    def _free_slot(self) -> int | None:
        return next((slot for slot in range(SLOTS_COUNT_MAX) if slot not in self._running), None)

    def _require_slot(self) -> int:
        slot = self._free_slot()
        if slot is None:
            raise HttpError(409, f"{SLOTS_COUNT_MAX} captures are on already: end one of them")
        return slot

    @asynccontextmanager
    async def on(self, wanted: CaptureRequest) -> AsyncGenerator[AsyncIterator[Captured]]:
        """Capture while the block runs; yields the frames, until they are as many or it is as late as asked.

        ``HttpError`` 409 when as many captures as can be are on.
        """
        async with self._started(self._require_slot(), wanted) as running:
            yield self._until_done(running)

    @asynccontextmanager
    async def _started(self, slot: int, wanted: CaptureRequest) -> AsyncGenerator[_Running]:
        loop, source = asyncio.get_running_loop(), self._agent.datapath.captures()
        running = self._running[slot] = _Running(wanted, CaptureFile(wanted.filter.snap_bytes))
        try:
            self._watch()
            async with asyncio.timeout(APPLY_TIMEOUT_S):
                await self._agent.wait_applied()
            source.start(slot, running.request.filter)
            loop.add_reader(source.fd, self._readable)
            yield running
        finally:
            source.stop(slot)
            del self._running[slot]
            if not self._running:
                loop.remove_reader(source.fd)
            self._watch()

    async def _frames(self, wanted: CaptureRequest) -> AsyncIterator[bytes]:
        # Only here: who went away before the first frame was asked for has nothing to give back.
        slot = self._free_slot()
        if slot is None:
            return  # Somebody else was faster; the file is empty.
        async with self._started(slot, wanted) as running:
            yield b"".join(running.file.begin(wanted.filter.vif_id, self._agent.desired))
            async for captured in self._until_done(running):
                yield b"".join(running.file.parts(captured, self._agent.desired))
            matched, lost = self._agent.datapath.captures().counts(slot)
            lost += running.left_out
            for part in running.file.end(time.time_ns(), received=matched, dropped=lost):
                yield part

    async def _until_done(self, running: _Running) -> AsyncIterator[Captured]:
        loop = asyncio.get_running_loop()
        end = loop.time() + running.request.seconds
        for _ in range(running.request.count):
            try:
                async with asyncio.timeout_at(end):
                    captured = await running.queue.get()
            except TimeoutError:
                return
            yield captured

    def _watch(self) -> None:
        """Tell the agent whose frames are looked at. Drops are seen without that."""
        found: set[str] = set()
        for each in self._running.values():
            if each.request.filter.points != Point.DROPPED:
                everybody = self._agent.plugged
                found.update((each.request.vmi_uuid,) if each.request.vmi_uuid else everybody)
        self._agent.set_captured(frozenset(found))

    def _readable(self) -> None:
        self._agent.datapath.captures().drain(self._take, _DRAIN_FRAMES_MAX)

    def _take(self, captured: Captured) -> None:
        for slot, running in self._running.items():
            if captured.slots >> slot & 1:
                try:
                    running.queue.put_nowait(captured)
                except asyncio.QueueFull:
                    running.left_out += 1
