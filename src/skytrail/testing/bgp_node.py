"""Our control node in a thread of the test, inside the routers' namespace."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self, TypeVar

from skytrail.control.bgp_peer import BgpPeer
from skytrail.control.io.bgp import BgpServer
from skytrail.control.io.xmpp import XmppServer
from skytrail.control.limits import Limits
from skytrail.control.path import PeerName
from skytrail.control.plane import ControlPlane
from skytrail.control.show import tables
from skytrail.model.config_object import ConfigObject
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.recording import Recorder
from skytrail.testing.bgp_routers import OURS, Bench
from skytrail.testing.control_plane import BGP_PLACE
from skytrail.testing.namespaces import enter_namespace
from skytrail.wire.xmpp import EndOfRib, PublishRoute, Route, Subscribe, WithdrawRoute
from skytrail.wire.xmpp.messages import RouteKey

NODE = "control1"

T = TypeVar("T")


class Node:
    """Plane and servers of one control node on their own loop; ``do`` runs there.

    A context that starts it and closes it.
    """

    def __init__(
        self,
        bench: Bench,
        address: str = OURS,
        name: str = NODE,
        *,
        restart_time_s: float = 30,
        deferral_time_s: float = 0.5,
        record: Path | None = None,
    ) -> None:
        self._bench, self._address = bench, address
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: BaseException | None = None
        clock = SystemClock()
        self.clock = clock
        limits = Limits(restart_time_s=restart_time_s, deferral_time_s=deferral_time_s)
        self.plane = ControlPlane(limits, name)
        self.agents = XmppServer(self.plane, clock, 90)
        self.bgp = BgpServer(
            self.plane.bgp, clock, self.agents.schedule_flush, restart_time_s=restart_time_s
        )
        self.agents.on_flush = self.bgp.flush
        self.bgp.recorder = None if record is None else Recorder(record, name)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10), "the node did not start"
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def do(self, action: Callable[[ControlPlane], T]) -> T:
        """Run ``action`` with the plane on its loop; then everybody is told."""

        async def act() -> T:
            result = action(self.plane)
            self.agents.schedule_flush()
            return result

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)

    def configure(self, *objects: ConfigObject) -> None:
        def act(plane: ControlPlane) -> None:
            plane.config_replace(objects)
            plane.commit(plane.revision + 1, self.clock.now())

        self.do(act)

    def publish(self, agent: str, instance: str, *routes: Route, number: int = 1) -> None:
        """As an agent whose session stands."""

        def act(plane: ControlPlane) -> None:
            now = self.clock.now()
            if agent not in plane.peers or not plane.peers[agent].is_up:  # type: ignore[index]
                plane.session_up(agent, "127.0.0.1", now)
            plane.receive(agent, Subscribe(instance, number), now)
            for route in routes:
                plane.receive(agent, PublishRoute(instance, route), now)

        self.do(act)

    def end_rib(self, agent: str) -> None:
        """The agent has published everything."""
        now = self.clock.now()
        self.do(lambda plane: plane.receive(agent, EndOfRib(), now))

    def withdraw(self, agent: str, instance: str, key: RouteKey) -> None:
        now = self.clock.now()
        self.do(lambda plane: plane.receive(agent, WithdrawRoute(instance, key), now))

    def peer(self, name: str) -> BgpPeer:
        """Return what the plane holds of a peer, by its short name; to be read only."""
        return self.plane.bgp.peers[PeerName(":".join((*BGP_PLACE, name)))]

    def table(self, name: str) -> list[Mapping[str, object]]:
        """Return a table of the introspection."""
        return self.do(lambda plane: list(tables(plane, self.clock.now)[name]()))

    def state(self, peer: str) -> str:
        """Return the state of a session, by the peer's short name."""
        name = ":".join((*BGP_PLACE, peer))
        return self.do(
            lambda _: next(
                (link.session.state.value for key, link in self.bgp.links.items() if key == name),
                "absent",
            )
        )

    def _run(self) -> None:
        try:
            enter_namespace(self._bench.namespace)
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._failure = error
            self._ready.set()
            raise
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        await self.bgp.listen(self._address.split(), 179)
        self._ready.set()
        while not self._stop.is_set():
            self.agents.tick()
            self.bgp.tick()
            try:
                await asyncio.wait_for(self._stop.wait(), 0.1)
            except TimeoutError:
                continue
        self.bgp.close()
        await asyncio.sleep(0.05)
