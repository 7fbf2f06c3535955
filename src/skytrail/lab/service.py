"""A lab as a whole: bring it up, look at it, break it, take it down.

```
 up:   state file -> underlay namespaces -> api -> compiler, control nodes -> virtual-router objects
       -> agents -> provisioning program -> gateways, routers -> workloads and guests -> leases
       -> routes to and from the outside
 down: processes (recorded, then any left in our namespaces) -> guests' taps, namespaces -> eBPF pins
       -> folder
```

Every step of ``down`` works on whatever is left, so it can follow a ``kill -9`` of anything, the
lab's own program included, and may be repeated.

:class:`Lab` is made of layers, each a topic: ``io/running.py`` (record, processes, API),
``io/endpoints.py`` (workloads, guests), ``io/outside.py`` (gateways, routers); here: the whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import msgspec

from skytrail.client.messages import JsonObject
from skytrail.lab import commands, labs, state
from skytrail.lab import switch as switch_config
from skytrail.lab import topology as topology_file
from skytrail.lab.io import frr, netns, processes, underlay, workload
from skytrail.lab.io.machine import free_port, remove_pins
from skytrail.lab.io.outside import LabOutside
from skytrail.lab.io.processes import ProcessError
from skytrail.lab.io.running import BGP_ROUTERS, READY_TIMEOUT_S
from skytrail.lab.plan import SECOND_ROUTER, Node, Paths
from skytrail.lab.state import LabError, LabState
from skytrail.lab.topology import Workload
from skytrail.runtime.certificates import Authority

API_PORT_DEFAULT = 8082
ANALYTICS_PORT = 8081
BPF_DIRECTORY = Path("/run/skytrail/bpf")

Progress = Callable[[str], AbstractContextManager[object]]
"""Called with a sentence at the start of each step; the step runs inside the context."""


def silent(_: str) -> AbstractContextManager[object]:
    """Report nothing."""
    return contextlib.nullcontext()


class Lab(LabOutside):
    """One lab. Not for use by several threads at once."""

    @classmethod
    def load(cls, name: str) -> Lab:
        """Return a lab that is up; :class:`LabError` otherwise."""
        return cls(state.read(name))

    @classmethod
    def create(cls, file: Path, *, name: str | None = None, api_port: int | None = None) -> Lab:
        """Record a new lab from its topology file; nothing else exists until :meth:`up`."""
        _require_root()
        text = _read(file)
        topology = topology_file.parse(text, str(file))
        speakers = [*topology.gateways, *(r for r in topology.routers if r.autonomous_system)]
        speakers += [topology.underlay.switch] if topology.underlay.switch else []
        if speakers and not frr.is_installed():
            names = ", ".join(each.name for each in speakers)
            raise LabError(
                f"{names} of {file} need FRR: install it with packaging/setup.sh packages"
                f" (missing: {frr.PROGRAMS}/bgpd), or take them out of the file"
            )
        name = name or topology.name
        if not topology_file.NAME.fullmatch(name):
            raise LabError(f"{name!r} is not a lab name: 1-24 of a-z, 0-9 and -")
        if name in labs.names():
            raise LabError(
                f"lab {name!r} is already up; take it down first: skytrail lab down {name}"
            )
        lab_state = LabState(
            name=name,
            source=str(file.resolve()),
            topology_text=text,
            api_port=api_port or _port(name, API_PORT_DEFAULT),
            api_port_fixed=bool(api_port),
        )
        lab = cls(lab_state)
        taken = [namespace for namespace in lab.namespaces() if netns.exists(namespace)]
        if taken:
            raise LabError(
                f"namespaces of that name exist already: {', '.join(taken)}; "
                "choose another lab name or delete them"
            )
        state.write(lab_state)
        return lab

    def namespaces(self) -> list[str]:
        """Every namespace the topology asks for, and the scratch ones that exist."""
        nodes = (*self.plan.nodes, *self.plan.gateways)
        names = [*self.plan.routers, *(node.namespace for node in nodes)]
        names += [self.plan.namespace_of(item.name) for item in self.topology.workloads]
        names += [self.plan.namespace_of(router.name) for router in self.topology.routers]
        names += [self.plan.namespace_of(name) for name in self.topology.outside_hosts]
        return names + netns.names(self.scratch_namespace(""))

    # Bringing up

    def up(self, progress: Progress = silent) -> None:
        """Create everything and wait until every endpoint has its address."""
        with self._locked():
            with progress("underlay: router, hosts, controllers"):
                underlay.create(self.plan)
            if self.topology.tls:
                with progress("certificates of hosts and control nodes"):
                    self.issue_certificates()
            with progress("controller: API, compiler, control nodes"):
                self.start_controller()
            with progress("vRouter agents"):
                self.set_autonomous_system()
                self.register_controllers()
                self.register_hosts()
                self.start_agents()
            if self.topology.provision:
                with progress(f"provisioning: {self.topology.provision}"):
                    self.provision()
            if self.topology.gateways:
                with progress("gateways: FRR joins virtual networks to the outside"):
                    self.start_gateways()
            if self.topology.underlay.switch:
                with progress("underlay switch: BGP with the control nodes"):
                    self.start_switch(self.topology.underlay.switch)
            if self.topology.routers:
                with progress("physical routers: link, addresses, BGP"):
                    self.start_routers()
            if self.topology.endpoints:
                with progress("workloads and guests: plug, boot, DHCP"):
                    self.attach(
                        each
                        for each in self.topology.endpoints
                        if not isinstance(each, Workload) or each.plugged
                    )
            if self.topology.outside_hosts:
                with progress("routes to and from the outside"):
                    self.wait_outside()

    def start_controller(self) -> None:
        """Start API, compiler and control nodes and wait until all serve."""
        self._start_api()
        self._start_analytics()
        self._start(commands.COMPILER, commands.compiler(self.paths, self._told()))
        for node in self.plan.controllers:
            record = ("--record", str(self.paths.recordings)) if self.topology.record else ()
            command = commands.control(self.paths, node, (*self._tls(node), *record, *self._told()))
            self._start(node.name, command, node.namespace)
        for name in (commands.COMPILER, *(node.name for node in self.plan.controllers)):
            self.processes.wait_ready(name, READY_TIMEOUT_S)

    def issue_certificates(self) -> None:
        """Make the lab's own authority, and a certificate for each host and control node."""
        authority = Authority(self.paths.hosts_authority(), f"Lab {self.name} hosts")
        for node in self.plan.controllers:
            folder, address = self.paths.certificate(node.name), str(node.place)
            authority.issue_folder(folder, node.namespace, hosts=[address])
        for node in self.plan.hosts:
            name = commands.agent_name(node)
            authority.issue_folder(
                self.paths.certificate(node.name), name, hosts=[name], is_client=True
            )

    def _start_analytics(self) -> None:
        """Start the analytics node and its store, of which nobody needs to wait for the second."""
        if self.topology.analytics:
            port = _port(self.name, ANALYTICS_PORT)
            self.state = msgspec.structs.replace(self.state, analytics_port=port)
            self._start(commands.HISTORY, commands.history(self.paths))
            self._start_on_port(commands.ANALYTICS, "analytics_port", commands.analytics)

    def _told(self) -> tuple[str, ...]:
        return commands.told(self.paths, is_on=self.topology.analytics)

    def _tls(self, node: Node) -> tuple[str, ...]:
        return commands.tls(self.paths, node, is_on=self.topology.tls)

    def _start_api(self) -> None:
        fixed = self.state.api_port_fixed
        command = partial(commands.api, hosts=self.plan.hosts, extra=self._told())
        self._start_on_port(commands.API, "api_port", command, attempts=1 if fixed else 5)

    def _start_on_port(
        self, name: str, field: str, command: Callable[[Paths, int], list[str]], attempts: int = 5
    ) -> None:
        """Start a daemon; a port that was ours to choose and got taken meanwhile is replaced."""
        for left in range(attempts, 0, -1):
            state.write(self.state)
            self._start(name, command(self.paths, getattr(self.state, field)))
            try:
                self.processes.wait_ready(name, READY_TIMEOUT_S)
                return
            except ProcessError:
                if "ddress already in use" not in self.processes.tail(name) or left == 1:
                    raise
                self.state = msgspec.structs.replace(self.state, **{field: _port(self.name)})

    def set_autonomous_system(self) -> None:
        """Tell the installation its AS number, which route targets are made with as well."""
        kind, name = "global-system-config", ["default-global-system-config"]
        with self.api() as api:
            number = self.topology.autonomous_system
            uuid = api.name_to_id(kind, name)
            if api.read(kind, uuid).get("autonomous_system") != number:
                api.update(kind, uuid, {"autonomous_system": number})

    def add_external_peers(self, other: Lab) -> None:
        """Have every control node peer with those of another lab; :mod:`.interconnect` joins."""
        for node in other.plan.controllers:
            self._create_bgp_router(
                node.namespace,
                node.address,
                vendor="contrail",
                router_type="external-control-node",
                autonomous_system=other.topology.autonomous_system,
                port=179,
            )
            with self.api() as api:
                for own in self.plan.controllers:
                    api.ref_update(
                        "bgp-router",
                        api.name_to_id("bgp-router", (*BGP_ROUTERS, own.namespace)),
                        ref_type="bgp-router",
                        ref_fq_name=(*BGP_ROUTERS, node.namespace),
                        attr={"session": []},
                    )

    def register_controllers(self) -> None:
        """Create the bgp-router object of every controller, as an installer does."""
        families: JsonObject = {"address_families": {"family": switch_config.FAMILIES}}
        for node in self.plan.controllers:
            self._create_bgp_router(
                node.namespace,
                node.place,
                identifier=str(node.address),
                vendor="contrail",
                router_type="control-node",
                port=179,
                **(families if self.topology.underlay.switch else {}),
            )

    def register_hosts(self) -> None:
        """Create the virtual-router object of every host, as an installer does."""
        for node in self.plan.hosts:
            self._create(
                "virtual-router",
                {
                    "fq_name": ["default-global-system-config", commands.agent_name(node)],
                    "parent_type": "global-system-config",
                    "virtual_router_ip_address": str(node.place),
                },
            )

    def start_agents(self) -> None:
        for node in self.plan.hosts:
            chosen = next(h.controllers for h in self.topology.hosts if h.name == node.name)
            secret = commands.metadata(self.topology, self.state.source)
            extra = (*self._tls(node), *self._told(), *secret)
            command = commands.agent(self.paths, self.plan, node, chosen, extra)
            self._start(node.name, command, node.namespace)
        for node in self.plan.hosts:
            self.processes.wait_ready(node.name, READY_TIMEOUT_S)

    def provision(self) -> None:
        """Run the topology's program against this lab's API; :class:`LabError` when it fails."""
        program = Path(self.state.source).parent / str(self.topology.provision)
        log = self.paths.logs / "provision.log"
        command = [
            sys.executable, str(program), "--host", "127.0.0.1", "--port", str(self.state.api_port),
        ]  # fmt: skip
        with log.open("wb") as output:
            finished = subprocess.run(command, stdout=output, stderr=output, check=False)
        if finished.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise LabError(f"{program} failed (status {finished.returncode}):\n{tail}")

    # Looking at it

    def command_in(self, name: str, command: Sequence[str]) -> list[str]:
        """Return the command line that runs ``command`` in a workload, host, or controller."""
        if name in {item.name for item in self.topology.workloads}:
            folder = self.paths.endpoint(name)
            return workload.inside(name, self.plan.namespace_of(name), folder, command)
        if name == "underlay":
            return netns.inside(self.plan.router_namespace, command)
        if name == SECOND_ROUTER and self.plan.second_router:
            return netns.inside(self.plan.second_router, command)
        places = {node.name: node.namespace for node in (*self.plan.nodes, *self.plan.gateways)}
        for host in self.topology.outside_hosts:
            place = self.outside_place(host)
            places |= {host: self.plan.namespace_of(host)}
            places |= {place.router_exec: place.router_namespace}
        if name not in places:
            known = ", ".join([*(item.name for item in self.topology.endpoints), *places])
            raise LabError(f"nothing is called {name!r} in lab {self.name}; known: {known}")
        return netns.inside(places[name], command)

    # Breaking and repairing it

    def kill(self, process: str) -> None:
        """End a daemon as a crash would (SIGKILL); :class:`LabError` when it does not run."""
        if not self.processes.signal(process, signal.SIGKILL):
            raise LabError(f"{process} does not run in lab {self.name}")
        self.processes.stop(process, graceful=False)

    def restart(self, process: str) -> None:
        """Start a recorded process again, ending it first if it runs, and wait until it serves."""
        specification = self.processes.specification(process)
        self.processes.stop(process)
        self.processes.start(specification)
        self.processes.wait_ready(process, READY_TIMEOUT_S)

    # Taking down

    def down(self, progress: Progress = silent) -> None:
        """Remove everything that belongs to the lab, whatever state it is in."""
        _require_root()
        with self._locked():
            with progress("stopping processes"):
                self._end_processes()
            with progress("removing namespaces, pins and files"):
                for namespace in self.namespaces():
                    netns.delete(namespace)
                for node in self.plan.hosts:
                    remove_pins(BPF_DIRECTORY / commands.agent_name(node))
            shutil.rmtree(self.paths.root, ignore_errors=True)
            self._lock_file.unlink(missing_ok=True)

    def _end_processes(self) -> None:
        running = [(name, self.processes.identity(name)) for name in self.processes.names()]
        for name, _ in running:
            self.processes.signal(name, signal.SIGTERM)
        for name, identity in running:
            if identity is not None:
                processes.end(identity, graceful_s=3.0)
            self.processes.stop(name, graceful=False)
        # Whatever else runs inside our namespaces was started there by somebody's exec.
        for namespace in filter(netns.exists, self.namespaces()):
            for pid in netns.processes(namespace):
                identity = processes.identify(pid)
                if identity is not None and pid != os.getpid():
                    processes.end(identity, graceful_s=0.5)

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        """Keep two programs from working on the same lab; :class:`LabError` when one does."""
        self._lock_file.parent.mkdir(parents=True, exist_ok=True)
        with self._lock_file.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LabError(f"another program is working on lab {self.name!r}") from error
            yield


def _port(name: str, wanted: int = 0) -> int:
    """Return the wanted port, or another one, for a lab; none that another lab has."""
    return free_port(wanted, taken=state.ports_taken(but_of=name))


def _require_root() -> None:
    if os.geteuid() != 0:
        raise LabError("a lab needs root: network namespaces and eBPF")


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as error:
        raise LabError(f"cannot read topology {file}: {error.strerror}") from error
