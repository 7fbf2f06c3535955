"""kill -9 of every daemon, one by one, under traffic: nothing existing stops, all converges again."""

import pytest

from skytrail.lab import show, vrouter
from skytrail.lab.port_timing import PortTimer, Site
from skytrail.net import Mac
from skytrail.runtime.introspection import read_table

EVENT_LOST_MAX = 0


@pytest.fixture
def site(lab, members):
    """Where new ports are made to prove that changes still get through."""

    def make(host="compute1", target="red-web2"):
        network = members[target].network
        return Site(
            host=host,
            project=network[:-1],
            network=network,
            security_group=(*network[:-1], "open"),
            target=target,
            target_mac=Mac.parse(lab.attached(target).mac),
            target_address=members[target].address(version=4),
        )

    return make


@pytest.fixture
def new_port_works(lab, site):
    """Create a port, plug it, and wait until a workload on the other host answers it."""

    def check(host="compute1", target="red-web2"):
        with PortTimer(lab, site(host, target)) as timer:
            timer.prepare(1)
            return timer.measure()

    return check


@pytest.fixture
def healthy(lab, eventually):
    def wait(*names):
        for name in names:
            eventually(
                lambda name=name: show.process_health(lab, name)[0] == "healthy",
                f"{name} is healthy",
                timeout_s=30,
            )

    return wait


@pytest.fixture(autouse=True)
def everything_runs_afterwards(lab, healthy):
    yield
    for name in show.daemon_names(lab):
        if lab.processes.identity(name) is None:
            lab.restart(name)
    healthy(*show.daemon_names(lab))


@pytest.mark.parametrize("daemon", ["api", "compiler", "control1", "compute1", "compute2"])
def test_kill_and_restart_of_one_daemon_loses_no_packet_and_changes_get_through_again(
    lab, ping, new_port_works, healthy, daemon
):
    across, joined = ping("red-web1", "red-web2"), ping("red-web1", "red-app")
    six = ping("red-web2", "red-web1", version=6)

    lab.kill(daemon)
    assert across.wait_replies(50, timeout_s=30)
    lab.restart(daemon)
    healthy(*show.daemon_names(lab))
    new_port_works()
    assert across.wait_replies(50, timeout_s=30)

    for traffic in (across, joined, six):
        outcome = traffic.stop()
        assert outcome.lost <= EVENT_LOST_MAX, outcome


def test_everything_dead_but_the_kernel_still_forwards_old_flows_and_new_ones(lab, ping):
    old = ping("red-web1", "red-web2")
    for daemon in show.daemon_names(lab):
        lab.kill(daemon)

    new = ping("red-web2", "red-web1")
    assert new.wait_replies(100, timeout_s=30)

    assert old.stop().lost == 0
    assert new.stop().lost == 0


def test_changes_made_while_a_control_node_is_dead_go_through_the_other(lab, ping, new_port_works):
    traffic = ping("red-web1", "red-web2")
    lab.kill("control1")

    new_port_works()

    assert traffic.stop().lost == 0


def test_both_control_nodes_dead_agents_keep_what_they_know_and_catch_up_later(
    lab, ping, new_port_works, healthy
):
    traffic = ping("blue-web1", "blue-web2")
    lab.kill("control1")
    lab.kill("control2")

    assert traffic.wait_replies(100, timeout_s=30)
    lab.restart("control1")
    lab.restart("control2")
    healthy("control1", "control2", "compute1", "compute2")
    new_port_works()

    assert traffic.stop().lost == 0


def test_agent_restart_adopts_what_the_kernel_holds_and_rewrites_nothing(
    lab, ping, healthy, eventually
):
    traffic = ping("red-web1", "red-web2")
    socket = lab.paths.introspect_socket("compute1")

    def settled():
        """Nothing of earlier tests is still to be written or deleted."""
        differences = read_table(socket, "difference")
        complete = read_table(socket, "status")[0]["complete"]
        return complete and sum(row["missing"] + row["extra"] for row in differences) == 0

    eventually(settled, "the kernel holds exactly what is wanted", timeout_s=40)
    before = {row.vmi_uuid: row.name for row in vrouter.ports(lab, "compute1")}

    lab.kill("compute1")
    lab.restart("compute1")
    healthy("compute1")

    assert {row.vmi_uuid: row.name for row in vrouter.ports(lab, "compute1")} == before
    eventually(settled, "adoption is finished", timeout_s=40)
    status = read_table(socket, "status")[0]
    assert (status["puts"], status["deletes"], status["failures"]) == (0, 0, 0)
    assert traffic.stop().lost == 0


def test_agent_restart_keeps_labels_so_that_others_need_not_change(lab, healthy):
    before = dict(vrouter.labels(lab, "compute2"))

    lab.kill("compute2")
    lab.restart("compute2")
    healthy("compute2")

    assert dict(vrouter.labels(lab, "compute2")) == before


def test_port_plugged_while_the_api_is_dead_works_once_it_is_back(lab, ping, healthy):
    endpoint = lab.topology.endpoint("red-store")
    port = lab.read_ports()[endpoint.port]
    lab.unplug(endpoint)
    lab.kill("api")

    lab.plug(endpoint, port)
    lab.wait_lease(endpoint)
    lab.restart("api")
    healthy("api")
