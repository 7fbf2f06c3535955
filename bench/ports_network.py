"""Fills a lab's controller for ``bench/ports.py``: one large network and the answering port."""

from __future__ import annotations

import argparse
import uuid

from skytrail.client import ApiClient

PROJECT = ["default-domain", "bench"]
NETWORK = [*PROJECT, "large"]
GROUP = [*PROJECT, "open"]
TARGET = [*PROJECT, "target"]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--host", required=True)
    options.add_argument("--port", required=True)
    chosen = options.parse_args()
    with ApiClient(f"http://{chosen.host}:{chosen.port}") as api:
        api.create("project", {"fq_name": PROJECT, "parent_type": "domain"})
        api.create("network-ipam", {"fq_name": [*PROJECT, "ipam"], "parent_type": "project"})
        subnet = {
            "subnet": {"ip_prefix": "10.50.0.0", "ip_prefix_len": 16},
            "addr_from_start": True,
        }
        ipam = {"to": [*PROJECT, "ipam"], "attr": {"ipam_subnets": [subnet]}}
        api.create(
            "virtual-network",
            {"fq_name": NETWORK, "parent_type": "project", "network_ipam_refs": [ipam]},
        )
        api.create(
            "security-group",
            {
                "fq_name": GROUP,
                "parent_type": "project",
                "security_group_entries": {"policy_rule": [rule(True), rule(False)]},
            },
        )
        port(api)


def rule(egress: bool) -> dict[str, object]:
    here = [{"security_group": "local"}]
    anywhere = [{"subnet": {"ip_prefix": "0.0.0.0", "ip_prefix_len": 0}}]
    ports = [{"start_port": 0, "end_port": 65535}]
    return {
        "direction": ">",
        "protocol": "any",
        "ethertype": "IPv4",
        "src_addresses": here if egress else anywhere,
        "dst_addresses": anywhere if egress else here,
        "src_ports": ports,
        "dst_ports": ports,
    }


def port(api: ApiClient) -> None:
    machine = str(uuid.uuid4())
    api.create("virtual-machine", {"fq_name": [machine], "uuid": machine})
    api.create(
        "virtual-machine-interface",
        {
            "fq_name": TARGET,
            "parent_type": "project",
            "virtual_machine_refs": [{"to": [machine]}],
            "virtual_network_refs": [{"to": NETWORK}],
            "security_group_refs": [{"to": GROUP}],
        },
    )
    api.create(
        "instance-ip",
        {
            "fq_name": ["bench-target"],
            "instance_ip_family": "v4",
            "virtual_network_refs": [{"to": NETWORK}],
            "virtual_machine_interface_refs": [{"to": TARGET}],
        },
    )


if __name__ == "__main__":
    main()
