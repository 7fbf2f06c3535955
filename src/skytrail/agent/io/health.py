"""Health checks at work: the board's clock, its frames, its log, and what is kept on disk."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping

import structlog

from skytrail.agent.health.board import Frame, HealthBoard
from skytrail.agent.health.run import Run
from skytrail.agent.interface import Failing, PluggedPort
from skytrail.agent.io.state import StateFolder
from skytrail.agent.view import View
from skytrail.runtime.clock import Clock
from skytrail.runtime.metrics import Sample

_WAIT_S_MAX = 60.0


class HealthChecks:
    """``changed`` is called when another port's routes are to be withdrawn, or are no more."""

    def __init__(
        self,
        clock: Clock,
        state: StateFolder,
        send: Callable[[str, bytes], None],
        changed: Callable[[], object],
    ) -> None:
        self.board = HealthBoard(random.Random().random)
        self._clock = clock
        self._state = state
        self._send_frame = send
        self._changed = changed
        self._wake = asyncio.Event()
        self._log = structlog.get_logger("skytrail.agent.health")

    @property
    def failing(self) -> Mapping[str, Failing]:
        return self.board.failing

    def restore(self, plugged: Mapping[str, PluggedPort]) -> None:
        """Take up where the process before this one ended."""
        self.board.restore(plugged, self._state.load_failed_checks())

    def follow(self, plugged: Mapping[str, PluggedPort], view: View) -> None:
        """Take over ports and configuration, before the desired state is computed from them."""
        self._send(self.board.follow(plugged, view.ports, self._clock.now()))
        self._told()

    def receive(self, uuid: str, frame: bytes) -> None:
        """Take a frame of a workload that is for an address of the vRouter."""
        self._send(self.board.receive(uuid, frame, self._clock.now()))
        if self._told():
            self._changed()

    def receive_tagged(self, uuid: str, vlan: int, frame: bytes) -> None:
        """Take a frame that came out of a transparent service, for an end of such a check."""
        self._send(self.board.receive_tagged(uuid, vlan, frame, self._clock.now()))
        if self._told():
            self._changed()

    async def run(self) -> None:
        """Ask when it is time, until cancelled."""
        while True:
            self._wake.clear()
            wait_s = min(self.board.next_deadline - self._clock.now(), _WAIT_S_MAX)
            try:
                async with asyncio.timeout(max(wait_s, 0.0)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._send(self.board.tick(self._clock.now()))
            if self._told():
                self._changed()

    def rows(self) -> Iterator[Mapping[str, object]]:
        now = self._clock.now()
        for uuid, run in self.board.runs():
            yield _row(uuid, run, now)

    def samples(self) -> Iterator[Sample]:
        runs = [run for _, run in self.board.runs()]
        states = [_state(run) for run in runs]
        for state in ("up", "down", "idle", "not_run"):
            yield Sample("agent_health_checks", float(states.count(state)), {"state": state})
        for name, count in (
            ("asked", sum(run.asked_count for run in runs)),
            ("passed", sum(run.passed_count for run in runs)),
            ("failed", sum(run.failed_count for run in runs)),
            ("changed", sum(run.standing.changes_count for run in runs)),
            ("late", self.board.late_count),
            ("malformed", self.board.malformed_count),
        ):
            yield Sample(f"agent_health_{name}", float(count))

    def _send(self, frames: list[Frame]) -> None:
        for ifname, frame in frames:
            self._send_frame(ifname, frame)

    def _told(self) -> bool:
        """Log and keep what passed or failed; True when anything did."""
        self._wake.set()
        changes = self.board.take_changes()
        for change in changes:
            port, check = change.key
            if change.is_up:
                self._log.info("health_check_passed", port=port, check=check)
            else:
                self._log.warning(
                    "health_check_failed", port=port, check=check, reason=change.reason
                )
        if changes:
            self._state.save_failed_checks(self.board.failed_checks())
        return bool(changes)


def _state(run: Run) -> str:
    if run.problem:
        return "not_run"
    if run.standing.is_up:
        return "up"
    return "idle" if run.check.is_answered_only else "down"


def _row(uuid: str, run: Run, now: float) -> Mapping[str, object]:
    check, way, standing = run.check, run.subject.way, run.standing
    return {
        "vmi_uuid": uuid,
        "ifname": run.subject.ifname,
        "check": check.name,
        "type": check.scope.value,
        "monitor": check.monitor.value,
        "source": str(way.source) if way else "",
        "target": str(way.destination) if way else "",
        "interval_s": run.interval_s,
        "timeout_s": check.timeout_us / 1_000_000,
        "retries": check.retries_count,
        "state": _state(run),
        "proven": standing.is_proven,
        "since_s": round(now - standing.since, 3),
        "detail": run.detail,
        "asked": run.asked_count,
        "passed": run.passed_count,
        "failed": run.failed_count,
        "failures_row": standing.failures_row,
        "changes": standing.changes_count,
    }
