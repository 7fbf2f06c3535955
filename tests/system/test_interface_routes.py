"""A prefix behind a workload is reached through its interface route table, and no longer."""

from ipaddress import ip_address

import pytest

from skytrail.lab.io import netns
from skytrail.lab.io.traffic import PingTraffic

PROJECT = ["default-domain", "red"]
BEHIND = "172.16.5.1"


@pytest.fixture
def table(api, lab):
    """An interface route table for what is behind red-web2: one more address of its own."""
    namespace = lab.plan.namespace_of("red-web2")
    netns.configure(namespace, [f"address add {BEHIND}/32 dev lo", "link set lo up"])
    content = {
        "fq_name": [*PROJECT, "behind-web2"],
        "parent_type": "project",
        "interface_route_table_routes": {"route": [{"prefix": "172.16.0.0/16"}]},
    }
    uuid = api.create("interface-route-table", content)
    yield content["fq_name"]
    api.delete("interface-route-table", uuid)
    netns.configure(namespace, [f"address del {BEHIND}/32 dev lo"])


def test_prefix_behind_a_workload_is_reached_while_its_port_refers_to_the_table(
    api, lab, table, eventually
):
    port = lab.attached("red-web2").uuid
    reference = {"ref_type": "interface-route-table", "ref_fq_name": table}
    traffic = PingTraffic(lab.plan.namespace_of("red-web1"), ip_address(BEHIND))
    with traffic:
        assert not traffic.wait_replies(1, timeout_s=0.5), "nobody knows the prefix yet"

        api.ref_update("virtual-machine-interface", port, operation="ADD", **reference)
        assert traffic.wait_replies(20, timeout_s=30), "the prefix is reached"

        api.ref_update("virtual-machine-interface", port, operation="DELETE", **reference)
        eventually(lambda: not traffic.wait_replies(5, timeout_s=0.3), "and no longer")
