"""Plans: what a transaction would change, and what would be derived from it, before it is made.

POST /api/v1/plan    the body of a transaction

The deriver works in one thread of its own, fed with every committed change before it is asked; the
first plan loads it. A plan holds the event loop only for the intent part.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from skytrail.api import plan, transaction
from skytrail.api.documents import Document, sections
from skytrail.api.feed import Batch, Subscription
from skytrail.api.graph import Overlay
from skytrail.api.io import bodies
from skytrail.api.io.callers import caller_of
from skytrail.api.io.native import TRANSACTION_BYTES_MAX, NativeApi, check_parameters
from skytrail.api.plugin import Deriver, StoredChange
from skytrail.api.service import ConfigService
from skytrail.api.status import StatusBoard
from skytrail.api.transaction import TransactionRequest
from skytrail.runtime.asgi import Request, Response, Router


class Planner:
    """Plans transactions; None for a deriver shows the intent alone.

    The board knows of machines that run where configuration does not say.
    """

    def __init__(self, service: ConfigService, deriver: Deriver | None, board: StatusBoard) -> None:
        self._service = service
        self._board = board
        self._deriver = deriver
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="plan")
        self._subscription: Subscription | None = None

    async def of(self, overlay: Overlay) -> Document:
        """Return the plan of an overlay that was just made on the committed objects."""
        found: Document = {
            "revision": self._service.revision,
            "changes": plan.intent_changes(overlay),
        }
        if self._deriver is None:
            found["derived_unknown"] = "this server has no compiler at hand"
        else:
            found |= await self._derive(self._deriver, overlay)
        machines = self._board.hosts_by_machine(time.monotonic())
        return {**found, **plan.concerned_hosts(overlay, sections(found, "derived"), machines)}

    async def _derive(self, deriver: Deriver, overlay: Overlay) -> Document:
        # Everything up to the hand-over is one step of the loop: overlay, objects and batches
        # belong to the same revision.
        kinds = deriver.kinds
        planned = _planned(overlay, kinds)
        load: list[StoredChange] | None = None
        missed: list[StoredChange] = []
        if self._subscription is None or self._subscription.overrun:
            self._subscribe()
            load = [
                (record.type_name, record.uuid, record.encode())
                for kind in kinds
                for record in self._service.graph.of_type(kind)
            ]
        else:
            missed = _committed(self._subscription.take(), kinds)

        def work() -> Document:
            if load is not None:
                deriver.load(load)
            deriver.follow(missed)
            return deriver.preview(planned)

        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._worker, work)
        except asyncio.CancelledError:
            # The thread finishes this step whatever becomes of its reader.
            raise
        except BaseException:
            # What the deriver knows is in doubt: the next plan loads it anew.
            self._unsubscribe()
            raise

    def _subscribe(self) -> None:
        self._unsubscribe()
        self._subscription = self._service.feed.subscribe(lambda: None)

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self._service.feed.unsubscribe(self._subscription)
            self._subscription = None


def _planned(overlay: Overlay, kinds: frozenset[str]) -> list[StoredChange]:
    changes: list[StoredChange] = []
    for uuid, record in overlay.changed.items():
        before = overlay.base.get(uuid)
        if record is not None and record.type_name in kinds:
            changes.append((record.type_name, uuid, record.encode()))
        elif record is None and before is not None and before.type_name in kinds:
            changes.append((before.type_name, uuid, None))
    return changes


def _committed(batches: list[Batch], kinds: frozenset[str]) -> list[StoredChange]:
    return [
        (
            event.type_name,
            event.record.uuid,
            None if event.kind == "delete" else event.record.encode(),
        )
        for batch in batches
        for event in batch.events
        if event.type_name in kinds
    ]


class PlanApi:
    """The plan endpoint."""

    def __init__(self, service: ConfigService, native: NativeApi, planner: Planner) -> None:
        self._service = service
        self._native = native
        self._planner = planner

    def add_routes(self, router: Router) -> None:
        router.add("POST", "/api/v1/plan", self._plan)

    async def _plan(self, request: Request) -> Response:
        check_parameters(request, frozenset())
        asked = bodies.read_json(request, TransactionRequest, limit=TRANSACTION_BYTES_MAX)
        ground = self._native.ground(request)
        _, overlay = self._service.rehearse(
            lambda change: transaction.carry_out(change, asked, ground), caller=caller_of(request)
        )
        return bodies.reply(await self._planner.of(overlay))
