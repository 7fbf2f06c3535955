"""What workloads use of the host and the underlay, at work: the host's side, names, metadata.

```
 run  <- configuration changed, or each INTERVAL_S
      -> links to the host's stack, reserved ports, names of services -> changed()
      -> 1x metadata proxy for each IP version, while the service is configured
```
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import structlog

from skytrail.agent.fabric import Names
from skytrail.agent.fabric_config import FabricConfig
from skytrail.agent.io.host_side import (
    HOST_IFNAME,
    HostSideRefused,
    ensure_host_side,
    reserve_ports,
    speaks_ipv6,
)
from skytrail.agent.io.metadata import MetadataProxy, Servers
from skytrail.agent.metadata import Asker
from skytrail.agent.nexthop import HostSide
from skytrail.agent.tables import LINK_SERVICE_TARGETS_COUNT_MAX
from skytrail.net import IpAddress
from skytrail.runtime.tasks import supervise

INTERVAL_S = 30.0
RESOLVE_TIMEOUT_S = 5.0


class HostNetwork:
    """``side`` and ``names`` are inputs of the desired state; ``changed`` is called when they do."""

    def __init__(
        self,
        asker: Callable[[IpAddress], Asker | None],
        secret: Path | None,
        changed: Callable[[], None],
    ) -> None:
        self.side: HostSide | None = None
        self.names: Names = {}
        self.proxy = MetadataProxy(asker, self._nova, secret)
        self._config = FabricConfig()
        self._reserved = ""
        self._changed = changed
        self._wake = asyncio.Event()
        self._problem = ""
        self._is_told = False
        self._log = structlog.get_logger("skytrail.agent.host_network")

    def follow(self, config: FabricConfig) -> None:
        """Take over what is configured now."""
        if config != self._config:
            self._config = config
            self._wake.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            proxies: dict[int, asyncio.Task[None]] = {}
            while True:
                self._wake.clear()
                await self._look()
                for family in (socket.AF_INET, socket.AF_INET6):
                    self._keep_proxy(group, proxies, family)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(INTERVAL_S):
                        await self._wake.wait()

    def _keep_proxy(
        self, group: asyncio.TaskGroup, proxies: dict[int, asyncio.Task[None]], family: int
    ) -> None:
        side = self.side
        wanted = self._config.metadata is not None and side is not None
        if family == socket.AF_INET6:
            wanted = wanted and side is not None and side.has_ipv6
        if wanted and family not in proxies:
            serve = partial(self._serve, family)
            proxies[family] = group.create_task(supervise("metadata_proxy", serve))
        elif not wanted and family in proxies:
            proxies.pop(family).cancel()
            self._listening(family, 0)

    async def _look(self) -> None:
        config = self._config
        if config.takes_ports:
            self._reserve(config)
        if config.services:
            await self._make_side()
        names = {name: await self._resolve(name) for name in sorted(config.dns_names)}
        if names != self.names:
            self.names = names
            self._changed()

    async def _make_side(self) -> None:
        try:
            has_ipv6 = self._config.has_ipv6 and speaks_ipv6()
            if has_ipv6 != self._config.has_ipv6 and not self._is_told:
                self._is_told = True
                self._log.warning("services_unserved", reason="the kernel has no IPv6")
            link = await asyncio.to_thread(
                ensure_host_side, is_apart=self._config.is_apart, has_ipv6=has_ipv6
            )
        except HostSideRefused as refused:
            if str(refused) != self._problem:
                self._log.warning("host_side_refused", error=str(refused))
            self._problem = str(refused)
            return
        self._problem = ""
        before = self.side or HostSide(0, 0)
        side = replace(before, ifindex=link.ifindex, mtu_bytes=link.mtu_bytes, has_ipv6=has_ipv6)
        if side != self.side:
            self.side = side
            self._changed()

    async def _serve(self, family: int) -> None:
        await self.proxy.serve(HOST_IFNAME, family, partial(self._listening, family))

    def _listening(self, family: int, port: int) -> None:
        if self.side is None:
            return
        if family == socket.AF_INET6:
            side = replace(self.side, metadata_port6=port)
        else:
            side = replace(self.side, metadata_port=port)
        if side != self.side:
            self.side = side
            self._changed()

    def _reserve(self, config: FabricConfig) -> None:
        ranges = {each for _, pool in config.pools for each in pool}
        text = ",".join(f"{first}-{last}" for first, last in sorted(ranges))
        if text != self._reserved:
            self._reserved = text
            reserve_ports(text)

    async def _resolve(self, name: str) -> tuple[IPv4Address, ...]:
        """Return what a name means now, or meant as long as nobody answers."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                found = await loop.getaddrinfo(name, None, family=socket.AF_INET)
        except (OSError, UnicodeError, TimeoutError) as error:
            self._log.warning("service_unresolved", name=name, error=str(error))
            return self.names.get(name, ())
        return _addresses(str(address[0]) for *_, address in found)

    def _nova(self) -> Servers:
        service = self._config.metadata
        if service is None:
            return ()
        targets = service.targets or self.names.get(service.dns_name) or (service.dns_name,)
        return tuple([(str(target), service.to_port) for target in targets])


def _addresses(texts: Iterable[str]) -> tuple[IPv4Address, ...]:
    ordered = sorted({IPv4Address(text) for text in texts})
    return tuple(ordered[:LINK_SERVICE_TARGETS_COUNT_MAX])
