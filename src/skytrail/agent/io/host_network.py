"""What workloads use of the host and the underlay: the host's side, names, metadata, relays.

```
 run  <- configuration changed, or each INTERVAL_S
      -> links to the host's stack, reserved ports, names of services -> changed()
      -> 1x metadata proxy for each IP version, while the service is configured
      -> 1x relay for each service that no translation leads to
```
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import structlog

from skytrail.agent.fabric import Names, own_address, relayed
from skytrail.agent.fabric_config import FabricConfig, LinkServicePlace
from skytrail.agent.io.host_side import (
    HOST_IFNAME,
    HostSideRefused,
    ensure_host_side,
    reserve_ports,
    speaks_ipv6,
)
from skytrail.agent.io.metadata import MetadataProxy, Servers
from skytrail.agent.io.service_relay import ServiceRelay
from skytrail.agent.metadata import Asker
from skytrail.agent.nexthop import HostSide
from skytrail.agent.tables import LINK_SERVICE_TARGETS_COUNT_MAX
from skytrail.net import IpAddress
from skytrail.runtime.tasks import supervise

INTERVAL_S = 30.0
RESOLVE_TIMEOUT_S = 5.0
_HAS_NONE = (socket.EAI_NODATA, socket.EAI_NONAME, socket.EAI_ADDRFAMILY)
"""The name is known to have no address of this IP version."""


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
        self.relay = ServiceRelay(self._relayed_to, lambda: self._address)
        self._config = FabricConfig()
        self._address: IpAddress | None = None
        self._servers: Mapping[LinkServicePlace, Servers] = {}
        self._reserved = ""
        self._changed = changed
        self._wake = asyncio.Event()
        self._problem = ""
        self._is_told = False
        self._log = structlog.get_logger("skytrail.agent.host_network")

    def follow(self, config: FabricConfig, address: IpAddress) -> None:
        """Take over what is configured now; ``address``: the host's in the underlay."""
        if (config, address) != (self._config, self._address):
            self._config, self._address = config, address
            self._wake.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            proxies: dict[int, asyncio.Task[None]] = {}
            relays: dict[tuple[LinkServicePlace, IpAddress], asyncio.Task[None]] = {}
            while True:
                self._wake.clear()
                await self._look()
                for family in (socket.AF_INET, socket.AF_INET6):
                    self._keep_proxy(group, proxies, family)
                self._keep_relays(group, relays)
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

    def _keep_relays(
        self,
        group: asyncio.TaskGroup,
        relays: dict[tuple[LinkServicePlace, IpAddress], asyncio.Task[None]],
    ) -> None:
        """Have a relay for each service that needs one; the open connections of others end."""
        side, address4 = self.side, self._address4
        found = {} if side is None else relayed(self._config, self.names, address4)
        self._servers = {
            place: tuple([(str(server), port) for server, port in servers])
            for place, servers in found.items()
            if side is not None and (side.has_ipv6 or isinstance(place[0], IPv4Address))
        }
        wanted = {(place, own_address(place[0], address4)) for place in self._servers}
        for each in relays.keys() - wanted:
            relays.pop(each).cancel()
            self._relay_listening(each[0], 0)
        for place, own in sorted(wanted - relays.keys(), key=str):
            listening = partial(self._relay_listening, place)
            serve = partial(self.relay.serve, place, HOST_IFNAME, own, listening)
            relays[place, own] = group.create_task(supervise("service_relay", serve))

    def _relay_listening(self, place: LinkServicePlace, port: int) -> None:
        if self.side is None:
            return
        ports = {at: each for at, each in self.side.relay_ports.items() if at != place}
        if port:
            ports[place] = port
        if ports != self.side.relay_ports:
            self.side = replace(self.side, relay_ports=ports)
            self._changed()

    @property
    def _address4(self) -> IPv4Address | None:
        return self._address if isinstance(self._address, IPv4Address) else None

    def _relayed_to(self, place: LinkServicePlace) -> Servers:
        return self._servers.get(place, ())

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

    async def _resolve(self, name: str) -> tuple[IpAddress, ...]:
        """Return what a name means now, or meant as long as nobody answers; IPv4 first."""
        found = await asyncio.gather(
            self._addresses(name, socket.AF_INET), self._addresses(name, socket.AF_INET6)
        )
        before = self.names.get(name, ())
        if not any(found):
            self._log.warning("service_unresolved", name=name)
            return before
        kept = [
            tuple([each for each in before if each.version == version]) if now is None else now
            for version, now in zip((4, 6), found, strict=True)
        ]
        return (*kept[0], *kept[1])

    async def _addresses(
        self, name: str, family: socket.AddressFamily
    ) -> tuple[IpAddress, ...] | None:
        """Return a name's addresses of one IP version; None: nobody says."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                found = await loop.getaddrinfo(name, None, family=family)
        except socket.gaierror as error:
            return () if error.errno in _HAS_NONE else None
        except (OSError, UnicodeError, TimeoutError):
            return None
        texts = {str(address[0]).partition("%")[0] for *_, address in found}
        ordered = sorted(texts, key=lambda text: ip_address(text).packed)
        return tuple([ip_address(text) for text in ordered[:LINK_SERVICE_TARGETS_COUNT_MAX]])

    def _nova(self) -> Servers:
        service = self._config.metadata
        if service is None:
            return ()
        targets = service.targets or self.names.get(service.dns_name) or (service.dns_name,)
        return tuple([(str(target), service.to_port) for target in targets])
