"""Agents and a control node together: a workload that moves takes its traffic along at once."""

from ipaddress import IPv4Address, ip_address, ip_network

from skytrail.agent.mobility import claim
from skytrail.agent.trace import FORWARDED, TracePacket
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.testing.control_plane import Bench, build
from skytrail.testing.fake_datapath import FakeDatapath
from skytrail.wire.xmpp import ItemsEvent, PublishRoute, Subscribe, Unsubscribe, WithdrawRoute

VRF = f"{PROJECT}:red:red"
MOVING, WATCHING = "10.1.1.3", "10.1.1.4"
TOLD = PublishRoute | WithdrawRoute | Subscribe | Unsubscribe


class Cluster:
    """Hosts whose messages go to one control node and back until nobody says anything."""

    def __init__(self) -> None:
        target = ("route-target", ["target:64512:1"], {"import_export": None})
        self.bench = Bench(build("routing-instance", VRF.split(":"), refs=[target]))
        self.hosts: dict[str, AgentHost] = {}

    def host(self, name: str, address: str) -> AgentHost:
        made = self.hosts[name] = AgentHost(address, datapath=FakeDatapath())
        self.bench.up(name)
        made.connect()
        config = ConfigBuilder()
        red = config.network("red", 5, [subnet("10.1.1.0/24")])
        config.port("moving", red, [MOVING])
        config.port("watching", red, [WATCHING])
        made.configure(config.update())
        for other in self.hosts.values():
            other.resolve(*(str(each.address) for each in self.hosts.values()))
        self.settle()
        return made

    def settle(self) -> None:
        while any(self._turn(name, host) for name, host in self.hosts.items()):
            pass

    def _turn(self, name: str, host: AgentHost) -> bool:
        host.reconcile()
        said, host.sent = host.sent, []
        for _, message in said:
            if isinstance(message, TOLD):
                self.bench.say(name, message)
        heard = [each for each in self.bench.hear(name) if isinstance(each, ItemsEvent)]
        for event in heard:
            host.sessions.received("control", event, host.now)
        return bool(heard) or any(isinstance(message, TOLD) for _, message in said)

    def plug(self, name: str, ifindex: int = 10) -> None:
        """Plug the workload here, and let the port claim what it must."""
        host = self.hosts[name]
        host.plug("moving", ifindex)
        self.settle()
        heard = (host.sessions.learnt, IPv4Address(host.address))
        for port in claim([uuid_of("moving")], host.plugged, host.view, heard):
            host.plugged[port.vmi_uuid] = port
        self.settle()

    def unplug(self, name: str) -> None:
        del self.hosts[name].plugged[uuid_of("moving")]
        self.settle()

    def reached_at(self) -> str:
        """The tunnel end point the watcher's packets to the workload go to."""
        watcher = self.hosts["watcher"]
        packet = TracePacket(ip_address(WATCHING), ip_address(MOVING), 6, 40000, 80)
        trace = watcher.datapath.send(watcher.vif("watching"), packet)
        assert trace.outcome == FORWARDED, trace
        return trace.remote


def started() -> Cluster:
    cluster = Cluster()
    watcher = cluster.host("watcher", "192.0.2.9")
    watcher.plug("watching", 11)
    # Names decide between equals; the later host must win by its number, whatever it is called.
    cluster.host("z-first", "192.0.2.1")
    cluster.host("a-second", "192.0.2.2")
    cluster.settle()
    return cluster


def ways(cluster: Cluster) -> set[str]:
    """Next hops of the workload's address in the control node's table that are in use."""
    rib = next(iter(cluster.bench.plane.replicator.vrfs.values())).ribs
    best = [table.best(ip_network(MOVING)) for table in rib.values()]
    return {str(hop.address) for paths in best for path in paths for hop in path.next_hops}


def test_traffic_follows_a_move_before_the_former_host_lets_go_and_back_again() -> None:
    for first, second in (("z-first", "a-second"), ("a-second", "z-first")):
        cluster = started()
        address = {name: str(host.address) for name, host in cluster.hosts.items()}
        cluster.plug(first)
        assert cluster.reached_at() == address[first]

        cluster.plug(second)
        assert cluster.reached_at() == address[second], "the former host still has it plugged"
        assert ways(cluster) == {address[second]}

        cluster.unplug(first)
        assert cluster.reached_at() == address[second]

        cluster.plug(first, 12)
        cluster.unplug(second)
        assert cluster.reached_at() == address[first], "and back, with a higher number"


def test_former_host_sends_its_own_workloads_traffic_to_the_new_one() -> None:
    cluster = started()
    cluster.plug("z-first")
    cluster.hosts["z-first"].plug("watching", 13)
    cluster.settle()
    cluster.plug("a-second")

    former = cluster.hosts["z-first"]
    packet = TracePacket(ip_address(WATCHING), ip_address(MOVING), 6, 40000, 80)
    trace = former.datapath.send(former.vif("watching"), packet)

    assert (trace.outcome, trace.remote) == (FORWARDED, "192.0.2.2")
