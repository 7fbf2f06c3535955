"""Which interfaces share a machine's part of the flow table."""

import pytest

from skytrail.agent.table_use import EXHAUSTIONS, RefusedFlows
from skytrail.agent.tables import FlowShareRow
from skytrail.agent.uves import HostState, uves
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, subnet, uuid_of


class Machines:
    """Three ports; the last two are plugged for one machine."""

    def __init__(self):
        self.config = ConfigBuilder()
        network = self.config.network("front", 5, [subnet("10.1.1.0/24")])
        self.host = AgentHost()
        for index, name in enumerate(("web", "left", "right")):
            self.config.port(name, network, [f"10.1.1.{index + 3}"])
            self.plug(name, name if name == "web" else "firewall")
        self.host.connect()
        self.apply()

    def plug(self, name, machine):
        uuid = self.host.plug(name, 10 + len(self.host.plugged))
        plugged = self.host.plugged[uuid]
        self.host.plugged[uuid] = type(plugged)(
            vmi_uuid=uuid,
            vm_uuid=uuid_of(machine),
            ifname=plugged.ifname,
            kind=plugged.kind,
            ifindex=plugged.ifindex,
            link_mtu_bytes=1500,
        )

    def limit(self, name, count):
        key = next(k for k in self.config.nodes if k.name.endswith(f":{name}"))
        properties = dict(self.config.nodes[key].properties)
        properties["virtual_machine_interface_properties"] = {"max_flows": count}
        self.config.node(key.type_name, key.name, **properties)
        self.apply()

    def apply(self):
        self.host.configure(self.config.update())
        self.host.reconcile()

    def rows(self):
        return list(self.host.datapath.rows[FlowShareRow].values())


@pytest.fixture
def machines():
    return Machines()


def test_only_interfaces_of_one_machine_share(machines):
    both = tuple(sorted(machines.host.vif(name) for name in ("left", "right")))

    assert machines.rows() == [FlowShareRow(vif, both) for vif in both]


def test_limit_of_one_interface_is_the_least_of_them_all(machines):
    machines.limit("right", 90_000)

    assert {row.count_max for row in machines.rows()} == {90_000}


def test_interfaces_by_the_dozen_have_no_more_together_than_a_few(machines):
    network = next(key for key in machines.config.nodes if key.name.endswith(":front"))
    for index in range(98):
        machines.config.port(f"more{index}", network, [f"10.1.1.{index + 10}"])
        machines.plug(f"more{index}", "firewall")
    machines.apply()

    rows = {row.vif_id: row for row in machines.rows()}
    parts = {row.members for row in rows.values()}

    assert len(rows) == 100
    assert {row.parts_count for row in rows.values()} == {len(parts)} == {4}
    assert sorted(vif for part in parts for vif in part) == sorted(rows)
    assert {len(part) for part in parts} == {25}
    assert all(vif in row.members for vif, row in rows.items())


def test_machine_of_one_interface_left_shares_nothing(machines):
    machines.host.plugged.pop(uuid_of("left"))
    machines.host.reconcile()

    assert machines.rows() == []


def test_interface_of_another_machine_changes_sides(machines):
    machines.plug("web", "firewall")
    machines.host.reconcile()

    assert {len(row.members) for row in machines.rows()} == {3}


def test_refusals_are_told_while_they_go_on():
    refused = RefusedFlows()
    seen = []
    for count in (5, 7, 7):
        refused.update({3: {"FLOW_LIMIT": count, "NO_ROUTE": 9}, 4: {"FLOW_LIMIT_MACHINE": 1}})
        seen.append(dict(refused.now))

    # What was before the agent's start is no news.
    assert seen == [{}, {3: 2}, {}]


def test_ports_of_the_host_that_ran_out_are_told_apart_from_refused_flows():
    exhausted = RefusedFlows(EXHAUSTIONS)
    for count in (1, 4):
        exhausted.update({3: {"FLOW_LIMIT": count, "PORTS_EXHAUSTED": 10 * count}})

    assert exhausted.now == {3: 30}


def test_analytics_is_told_the_ports_that_are_refused_flows(machines):
    uuid = uuid_of("left")
    host = HostState("h1", "192.0.2.1", [], {}, {}, flow_limited=[uuid], out_of_ports=[uuid])

    told = next(e for e in uves(host, machines.host.desired) if e.struct == "VrouterAgent")

    for field in ("flow_limited_ports", "translation_limited_ports"):
        assert told.fields[field] == [machines.host.active("left").port.name]
