"""The controller alone: API, compiler, control node, analytics, on loopback unless told otherwise.

    python -m skytrail.daemons.up --data DIR [--api-port 8082] [--control-port 5269]
                                  [--secure [--listen ADDRESS]] [--control-listen ADDRESS]
                                  [--analytics-port 8081]

```
 main task --> keep_running(api) --ready--> keep_running(compiler)
                                       |--> keep_running(control)
                                       |--> keep_running(analytics)   all ready --> one ready line
                                       `--> keep_running(history)     whenever it is there
```

Needs no root. A child that ends is started again; SIGTERM and SIGINT end all of them. The children
die with this process, so nothing is left behind even after SIGKILL.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import fcntl
import re
import signal
import socket
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from skytrail.analytics.exporters import DeviceSettings
from skytrail.daemons import (
    allowed_hosts,
    collectors,
    device_options,
    kafka_options,
    option_numbers,
    peer_options,
)
from skytrail.daemons.port_holder import holder_of
from skytrail.daemons.secure import WILDCARDS, SecureFiles, ensure, local_addresses
from skytrail.runtime import logs
from skytrail.runtime.processes import Child, Command, ProcessFailed, keep_running, print_ready
from skytrail.runtime.stream_limits import PER_CLIENT_DEFAULT

LOOPBACK = "127.0.0.1"
TELEMETRY = "telemetry"
HISTORY = "history"
SOCKET_PATH_BYTES_MAX = 107
"""Of a Unix socket on Linux, without the closing zero."""
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


class CannotStart(Exception):
    """The controller cannot start here; the text says what to change."""


def bracketed(host: str) -> str:
    """Return an address as it stands before a colon and a port."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class Settings:
    data: Path
    api_port: int
    control_port: int
    node_name: str
    log_level: str = "info"
    store: str | None = None
    """A cluster in place of the embedded store."""
    listen: str = LOOPBACK
    """Where the API serves; other addresses than loopback need ``secure``."""
    control_listen: str = LOOPBACK
    """Where agents connect. With ``secure`` they need a certificate; without, a trusted wire."""
    placed_only: bool = False
    """Hosts use only what the configuration places there."""
    wants_secure: bool = False
    analytics_port: int = 8081
    """Of analytics on loopback; 0: there is none."""
    has_history: bool = True
    """Whether analytics keeps logs, in a store of its own."""
    telemetry_port: int = 0
    """Of hosts that tell analytics what they do, beside ``control_listen``; only with ``secure``. 0: none."""
    sandesh_port: int = 0
    """Of generators of the original system; 0: they are not listened to."""
    devices: DeviceSettings = DeviceSettings()  # noqa: RUF009 # frozen
    """Where analytics listens to devices."""
    kafka: str = ""
    """Brokers, or a file about them, that analytics streams to; empty: nowhere."""
    analytics_peers: tuple[str, ...] = ()
    """Where other nodes are whose history is in answers too."""
    has_snmp: bool = False
    """Whether switches that configuration says so of are polled by SNMP."""
    allowed_hosts: tuple[str, ...] = ()
    """Names of API and analytics beside addresses and localhost."""
    streams_per_client: int = PER_CLIENT_DEFAULT
    """Of API and analytics each."""
    secure: SecureFiles | None = None
    """The files of a secure API, once they are there."""

    @property
    def api_url(self) -> str:
        """Where clients on this machine reach the API."""
        host = LOOPBACK if self.listen in WILDCARDS else self.listen
        return f"{'https' if self.secure else 'http'}://{bracketed(host)}:{self.api_port}"

    def shown_files(self) -> dict[str, Path]:
        """Return the files a user needs to log in."""
        if self.secure is None:
            return {}
        return {"ca": self.secure.ca, "admin_password": self.secure.password}

    def shown_analytics(self) -> dict[str, str]:
        """Return where analytics is."""
        if not self.analytics_port:
            return {}
        scheme = "https" if self.secure else "http"
        return {"analytics": f"{scheme}://{LOOPBACK}:{self.analytics_port}"}

    def socket_path(self, name: str) -> Path:
        return self.data / f"{name}.sock"


def commands(settings: Settings) -> tuple[Command, ...]:
    """Command lines of API, compiler, control node and analytics, in start order."""
    told = ("--collector", f"unix:{settings.socket_path(TELEMETRY)}")
    told = told if settings.analytics_port else ()
    api_socket = str(settings.socket_path("api"))
    web = [part for each in settings.allowed_hosts for part in ("--allowed-host", each)]
    web += ["--streams-per-client", str(settings.streams_per_client)]
    api = _command(
        "api",
        *(
            ("--store", settings.store)
            if settings.store
            else ("--data", str(settings.data / "store"))
        ),
        *("--host", settings.listen),
        *("--port", str(settings.api_port), "--socket", api_socket),
        *(
            ("--analytics", f"unix:{settings.socket_path('analytics')}")
            if settings.analytics_port
            else ()
        ),
        *(settings.secure.api_arguments() if settings.secure else ()),
        *web,
        *told,
    )
    compiler = _command(
        "compiler",
        *("--api-socket", api_socket, "--socket", str(settings.socket_path("compiler"))),
        *(("--elect",) if settings.store else ()),
        *told,
    )
    control = _command(
        "control",
        *("--api-socket", api_socket, "--name", settings.node_name),
        *("--listen", settings.control_listen),
        *(("--xmpp-tls", str(settings.secure.control)) if settings.secure else ()),
        *(("--placed-only",) if settings.placed_only else ()),
        *("--port", str(settings.control_port), "--socket", str(settings.socket_path("control"))),
        *told,
    )
    analytics = _command(
        "analytics",
        *("--name", settings.node_name, "--port", str(settings.analytics_port)),
        *("--socket", str(settings.socket_path("analytics")), "--api-socket", api_socket),
        *("--telemetry-socket", str(settings.socket_path(TELEMETRY))),
        *_telemetry_of_hosts(settings),
        *("--sandesh-port", str(settings.sandesh_port)),
        *device_options.arguments_of(settings.devices),
        *((kafka_options.OPTION, settings.kafka) if settings.kafka else ()),
        *(("--history", str(settings.socket_path(HISTORY))) if settings.has_history else ()),
        *(("--spool", str(settings.data / "spool")) if settings.has_history else ()),
        *(part for each in settings.analytics_peers for part in (peer_options.OPTION, each)),
        *(_analytics_security(settings.secure, settings.api_url) if settings.secure else ()),
        *web,
    )
    beside = _beside_analytics(settings, api_socket, told) if told else ()
    return (api, compiler, control, *((analytics,) if told else ()), *beside)


def _beside_analytics(
    settings: Settings, api_socket: str, told: Sequence[str]
) -> Iterator[Command]:
    """Yield the processes that analytics is not whole without, where they are wanted."""
    if settings.has_snmp:
        yield _command(
            "snmp",
            *("--name", settings.node_name, "--api-socket", api_socket),
            *("--socket", str(settings.socket_path("snmp"))),
            *told,
        )
    if settings.has_history:
        yield _command(
            HISTORY,
            *("--data", str(settings.data / HISTORY)),
            *("--socket", str(settings.socket_path(HISTORY))),
        )


def _telemetry_of_hosts(settings: Settings) -> tuple[str, ...]:
    """Hosts tell beside the port by which they are controlled, with the same certificates."""
    if settings.secure is None:
        return ("--telemetry-port", "0")
    return (
        *("--telemetry-listen", settings.control_listen, "--tls", str(settings.secure.control)),
        *("--telemetry-port", str(settings.telemetry_port)),
        *(("--placed-only",) if settings.placed_only else ()),
    )


def _analytics_security(files: SecureFiles, api_url: str) -> tuple[str, ...]:
    return (
        *("--tls-certificate", str(files.certificate), "--tls-key", str(files.key)),
        *("--authenticate-at", api_url, "--api-ca", str(files.ca)),
    )


async def run(settings: Settings) -> None:
    """Serve until cancelled; :class:`ProcessFailed` when a first start fails."""
    api, *others = commands(settings)
    api_ready = asyncio.Event()
    # History takes seconds to open, and everything else works without it.
    waiting = {command.name for command in others} - {HISTORY}
    announced = False

    def other_ready(child: Child) -> None:
        nonlocal announced
        waiting.discard(child.command.name)
        if not waiting and not announced:
            announced = True
            print_ready(
                "controller",
                api=settings.api_url,
                console=f"{settings.api_url}/console/",
                **settings.shown_files(),
                control=f"{bracketed(settings.control_listen)}:{settings.control_port}",
                **settings.shown_analytics(),
                data=settings.data,
            )

    async with asyncio.TaskGroup() as group:
        group.create_task(keep_running(api, when_ready=lambda _: api_ready.set()))
        await api_ready.wait()
        for command in others:
            group.create_task(keep_running(command, when_ready=other_ready))


def check(settings: Settings) -> None:
    """Find out what would keep a child from starting; :class:`CannotStart`."""
    loopback = [
        (LOOPBACK, port, ("", option))
        for port, option in (
            (settings.analytics_port, "--analytics-port"),
            (settings.sandesh_port, "--sandesh-port"),
        )
        if port
    ]
    of_hosts = (
        [
            (
                settings.control_listen,
                settings.telemetry_port,
                ("--control-listen", "--telemetry-port"),
            )
        ]
        if settings.wants_secure and settings.analytics_port and settings.telemetry_port
        else []
    )
    for host, port, name in (
        *loopback,
        *of_hosts,
        (settings.listen, settings.api_port, ("--listen", "--api-port")),
        (settings.control_listen, settings.control_port, ("--control-listen", "--control-port")),
    ):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                    holder = holder_of(port) if error.errno == errno.EADDRINUSE else ""
                    raise CannotStart(
                        f"port {port} on {host} is not free ({error.strerror}){holder}; "
                        f"choose another with {name[1]}"
                    ) from error
                raise CannotStart(
                    f"{host} is no address of this machine ({error.strerror}); "
                    f"choose another with {name[0]}"
                ) from error
    longest = settings.socket_path("analytics")
    if len(str(longest).encode()) > SOCKET_PATH_BYTES_MAX:
        raise CannotStart(
            f"the path {longest} is too long for a Unix socket; choose a shorter --data"
        )


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold the data folder; :class:`CannotStart` when another controller has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "controller.lock").open("w")
    except OSError as error:
        raise CannotStart(f"cannot use {folder} for data: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CannotStart(f"another controller runs on {folder}") from error
        yield


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(run(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main(arguments: Sequence[str] | None = None) -> int:
    settings = _settings(arguments)
    logs.configure(settings.log_level)
    status = 0
    try:
        with locked(settings.data):
            check(settings)
            asyncio.run(serve(secured(settings) if settings.wants_secure else settings))
    except* (CannotStart, ProcessFailed) as errors:
        for error in _leaves(errors):
            print(f"skytrail up: {error}", file=sys.stderr)
        status = 1
    return status


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _command(name: str, *arguments: str) -> Command:
    return Command(name, (sys.executable, "-P", "-m", f"skytrail.daemons.{name}", *arguments))


def secured(settings: Settings) -> Settings:
    """Return the settings with the files of a secure API, made where they are missing."""
    try:
        called = (
            local_addresses() if settings.control_listen in WILDCARDS else [settings.control_listen]
        )
        files = ensure(settings.data, settings.listen, called)
    except (OSError, ValueError, TypeError) as error:
        raise CannotStart(f"cannot use {settings.data / 'security'}: {error}") from error
    return replace(settings, secure=files)


def _parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="skytrail up", description="Run the controller alone.")
    options.add_argument("--data", type=Path, required=True, help="folder of the embedded store")
    options.add_argument("--store", help="etcd://HOST:PORT,... in place of the embedded store")
    options.add_argument("--api-port", type=option_numbers.port, default=8082)
    options.add_argument("--control-port", type=option_numbers.port, default=5269)
    options.add_argument(
        "--control-listen",
        default=LOOPBACK,
        help="address for agents; without --secure the underlay's, not 0.0.0.0",
    )
    options.add_argument(
        "--analytics-port",
        type=option_numbers.port_or_none,
        default=8081,
        help="of analytics; 0: do without",
    )
    options.add_argument(
        "--no-history", action="store_true", help="keep no logs: analytics knows the present only"
    )
    options.add_argument(
        "--sandesh-port",
        type=option_numbers.port_or_none,
        default=0,
        help="of generators that speak Sandesh",
    )
    device_options.add_options(options)
    kafka_options.add_checked_option(options)
    peer_options.add_option_of_up(options)
    options.add_argument(
        "--snmp",
        action="store_true",
        help="poll physical-routers whose physical_router_snmp is true, and show how they are cabled",
    )
    options.add_argument(
        "--telemetry-port",
        type=option_numbers.port_or_none,
        help="where hosts tell analytics what they do, at --control-listen; needs --secure; 0: nowhere "
        f"(default: {collectors.PORT}, on loopback nowhere)",
    )
    options.add_argument(
        "--name",
        type=_node_name,
        default=socket.gethostname(),
        help="name of control node and analytics, for a second controller of one machine (default: "
        "the host's)",
    )
    options.add_argument(
        "--secure",
        action="store_true",
        help="serve TLS, have everybody log in and hosts show certificates",
    )
    options.add_argument(
        "--placed-only",
        action="store_true",
        help="let hosts use only networks and machines that the configuration places there",
    )
    options.add_argument("--listen", default=LOOPBACK, help="address of the API; needs --secure")
    allowed_hosts.add_option(options)
    options.add_argument("--log-level", default="info", choices=logs.LEVELS)
    return options


def _node_name(text: str) -> str:
    """Read a name as those of hosts are; it becomes a part of qualified names, with colons between."""
    if not _NODE_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text[:64]!r} is no name of a node: letters, digits, '.', '_' and '-', at most 253"
        )
    return text


def _telemetry_port(chosen: argparse.Namespace) -> int:
    told: int | None = chosen.telemetry_port
    if told is not None:
        return told
    return collectors.PORT if chosen.secure and chosen.control_listen != LOOPBACK else 0


def _settings(arguments: Sequence[str] | None) -> Settings:
    options = _parser()
    chosen = options.parse_args(arguments)
    if chosen.listen != LOOPBACK and not chosen.secure:
        options.error("--listen needs --secure: without it everybody would be the administrator")
    if chosen.control_listen in WILDCARDS and not chosen.secure:
        options.error(
            "--control-listen needs --secure, or the one address that hosts reach over the "
            "underlay: without --secure whoever connects there is taken for a host"
        )
    if chosen.telemetry_port and not chosen.secure:
        options.error("--telemetry-port needs --secure: hosts show certificates there")
    peer_options.check_of_up(chosen, options)
    return Settings(
        data=chosen.data.resolve(),
        api_port=chosen.api_port,
        control_port=chosen.control_port,
        node_name=chosen.name,
        log_level=chosen.log_level,
        listen=chosen.listen,
        control_listen=chosen.control_listen,
        placed_only=chosen.placed_only,
        wants_secure=chosen.secure,
        store=chosen.store,
        analytics_port=chosen.analytics_port,
        telemetry_port=_telemetry_port(chosen),
        sandesh_port=chosen.sandesh_port,
        devices=device_options.settings_of(chosen),
        kafka=chosen.kafka or "",
        has_history=not chosen.no_history,
        analytics_peers=tuple(chosen.analytics_peer),
        has_snmp=chosen.snmp,
        allowed_hosts=tuple(chosen.allowed_host),
        streams_per_client=chosen.streams_per_client,
    )


if __name__ == "__main__":
    sys.exit(main())
