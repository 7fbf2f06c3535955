"""``GET /introspect/probe``: a probe from a port of this host, and where frames with its token pass here.

```
 question --> capture on --> frame into the port's link, if it is asked for --> some seconds --> rows
```
The sender waits a moment before it sends: other hosts are asked at the same time to look.
"""

from __future__ import annotations

import asyncio
from typing import Final

from skytrail.agent.capture import CaptureRefused
from skytrail.agent.io.capture import CapturePages
from skytrail.agent.io.inject import send_as_workload
from skytrail.agent.probe import frame_of, read_probe, sightings
from skytrail.agent.service import AgentService
from skytrail.runtime.asgi import HttpError, Request, Response, json_reply

SEND_AFTER_S: Final = 0.7
"""The others look by then."""
BETWEEN_S: Final = 0.5
"""Two probes from ports of this host."""


class ProbePage:
    """Probes of one agent."""

    def __init__(self, agent: AgentService, captures: CapturePages) -> None:
        self._agent = agent
        self._captures = captures
        self._sent_at = float("-inf")

    async def answer(self, request: Request) -> Response:
        agent = self._agent
        query = {key: value for key, value in request.query.items() if key != "limit"}
        try:
            wanted = read_probe(query)
            way = frame_of(wanted, agent.desired.ports.get(wanted.send)) if wanted.send else None
        except CaptureRefused as refused:
            raise HttpError(400, str(refused)) from refused
        if way is not None:
            self._take_turn()
        async with self._captures.on(wanted.capture) as frames:
            if way is not None:
                await asyncio.sleep(SEND_AFTER_S)
                await self._send(*way)
            seen = [each async for each in frames if wanted.token in each.frame]
        rows = sightings(wanted, seen, agent.desired)
        return json_reply({"table": "probe", "rows": rows, "total": len(rows)})

    def _take_turn(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._sent_at + BETWEEN_S:
            raise HttpError(429, "a probe was sent from this host just now: ask again in a second")
        self._sent_at = now

    async def _send(self, ifindex: int, frame: bytes) -> None:
        try:
            await self._agent.in_datapath_thread(lambda: send_as_workload(ifindex, frame))
        except OSError as error:
            raise HttpError(503, f"the kernel does not send the probe: {error}") from error
