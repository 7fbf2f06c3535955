"""Policy follows the configuration while flows live."""

import asyncio
import copy
import socket

import pytest

from skytrail.lab import vrouter
from skytrail.lab.io import netns
from skytrail.lab.io.probe import Probe, Prober

GROUP = ["default-domain", "red", "open"]


@pytest.fixture
def group(api):
    """The security group of red's workloads: change its rules, restored afterwards."""
    uuid = api.name_to_id("security-group", GROUP)
    original = api.read("security-group", uuid)["security_group_entries"]

    def change(keep):
        rules = [rule for rule in copy.deepcopy(original["policy_rule"]) if keep(rule)]
        api.update("security-group", uuid, {"security_group_entries": {"policy_rule": rules}})

    yield change
    api.update("security-group", uuid, {"security_group_entries": original})


def is_ingress(rule):
    return rule["dst_addresses"][0].get("security_group") == "local"


def test_removing_a_rule_stops_a_live_flow_by_policy_and_restoring_it_resumes(
    ping, group, eventually, drop_growth, lab
):
    traffic = ping("red-web1", "red-web2")
    grown = drop_growth("red-web2")

    group(lambda rule: not is_ingress(rule))
    eventually(lambda: not traffic.wait_replies(10, timeout_s=0.3), "the flow stops")
    assert grown().get("POLICY", 0) > 5

    group(lambda _: True)
    assert traffic.wait_replies(50, timeout_s=30), "the flow resumes"


def test_live_tcp_connection_is_cut_when_its_rule_goes(lab, members, group, eventually):
    listener = netns.open_socket(
        lab.plan.namespace_of("red-web2"), socket.AF_INET, socket.SOCK_STREAM
    )
    client = netns.open_socket(
        lab.plan.namespace_of("red-web1"), socket.AF_INET, socket.SOCK_STREAM
    )
    with listener, client:
        listener.bind(("", 7001))
        listener.listen(1)
        client.settimeout(5)
        client.connect((str(members["red-web2"].address(version=4)), 7001))
        server, _ = listener.accept()
        with server:
            server.settimeout(0.5)
            client.sendall(b"before")
            assert server.recv(100) == b"before"

            group(lambda rule: not is_ingress(rule))

            def silent():
                client.send(b"x")
                try:
                    server.recv(100)
                except TimeoutError:
                    return True
                return False

            eventually(silent, "the connection is cut")


def test_removing_the_network_policy_separates_the_networks_and_restoring_joins_them(
    api, ping, eventually
):
    traffic = ping("red-web1", "red-app")
    network = api.name_to_id("virtual-network", ["default-domain", "red", "back"])
    policy = ["default-domain", "red", "front-back"]
    attr = api.read("virtual-network", network)["network_policy_refs"][0]["attr"]
    reference = {"ref_type": "network-policy", "ref_fq_name": policy}

    api.ref_update("virtual-network", network, operation="DELETE", **reference)
    eventually(lambda: not traffic.wait_replies(5, timeout_s=0.3), "the networks separate")

    api.ref_update("virtual-network", network, operation="ADD", attr=attr, **reference)
    assert traffic.wait_replies(20, timeout_s=30), "the networks join again"


def test_return_traffic_is_admitted_by_the_flow_and_not_by_a_rule(lab, members, group):
    """With no ingress rule at all on either side's group, answers still come to who asked."""
    group(lambda rule: not is_ingress(rule))
    probe = Probe(
        source="red-web1",
        destination="red-app",
        address=members["red-app"].address(version=4),
        protocol="tcp",
        port=80,
    )
    namespaces = {name: lab.plan.namespace_of(name) for name in ("red-web1", "red-app")}

    async def send():
        async with Prober(namespaces) as prober:
            for _ in range(20):
                seen = await prober.send(probe, timeout_s=1)
                if seen.replied:
                    return seen
        return seen

    assert asyncio.run(send()).replied


def test_connections_to_many_addresses_share_a_flow_and_policy_still_decides_each(
    lab, api, members, group, eventually
):
    """As a server's clients or a scan may have it: one entry, answers come, a rule taken away holds."""
    uuid = lab.attached("red-web1").uuid
    rule = {"protocol": "udp", "port": 7, "ignore_address": "destination"}

    def asked(**rules):
        return api.update(
            "virtual-machine-interface",
            uuid,
            {"virtual_machine_interface_fat_flow_protocols": rules},
        )

    def shared():
        flows = vrouter.flows(lab, "compute1")
        return [flow for flow in flows if flow.destination_port == 7 and "/" in flow.destination]

    targets = [members["red-web2"].address(version=version) for version in (4, 6)]
    server = netns.open_socket(
        lab.plan.namespace_of("red-web2"), socket.AF_INET6, socket.SOCK_DGRAM
    )
    with server:
        server.bind(("::", 7))
        server.settimeout(0.3)

        def echoed(target):
            """By a socket of its own: a connection that has a flow keeps it."""
            client = netns.open_socket(
                lab.plan.namespace_of("red-web1"), socket.AF_INET6, socket.SOCK_DGRAM
            )
            with client:
                client.settimeout(0.3)
                text = f"::ffff:{target}" if target.version == 4 else str(target)
                client.sendto(b"ask", (text, 7))
                try:
                    _, sender = server.recvfrom(64)
                    server.sendto(b"told", sender)
                    return client.recv(64) == b"told"
                except TimeoutError:
                    return False

        asked(fat_flow_protocol=[rule])
        try:
            eventually(lambda: echoed(targets[0]) and shared(), "a shared flow")
            assert all(eventually(lambda t=target: echoed(t), "an answer") for target in targets)
            assert {flow.destination for flow in shared()} == {"0.0.0.0/0", "::/0"}
            assert all(flow.packets and not flow.is_reverse for flow in shared())

            group(is_ingress)
            eventually(lambda: not echoed(targets[0]), "policy lets no question by")
            assert not echoed(targets[0])
        finally:
            group(lambda _: True)
            asked(fat_flow_protocol=[])


def test_flow_table_names_the_rule_that_refused(lab, members, eventually):
    address = members["red-app"].address(version=4)
    with netns.open_socket(
        lab.plan.namespace_of("red-web1"), socket.AF_INET, socket.SOCK_DGRAM
    ) as sender:

        def refused():
            # Again and again: what an earlier test took from the group may be on its way back.
            sender.sendto(b"refused", (str(address), 9999))
            return [
                flow
                for flow in vrouter.flows(lab, "compute2")
                if flow.destination_port == 9999 and not flow.allowed
            ]

        flow = eventually(refused, "a deny flow")[0]

    assert flow.drop_reason == "POLICY"
    assert "web-only" in flow.rule
