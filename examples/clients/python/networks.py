"""Creates, reads, lists, changes, watches and deletes a network: `python networks.py [URL]`."""

import sys

from skytrail.client import ApiClient, Conflict, NotFound
from skytrail.client.typed import Api, Present
from skytrail.model.base import Reference
from skytrail.model.generated.objects import VirtualNetwork
from skytrail.model.generated.types import IpamSubnetType, SubnetType, VnSubnetsType

PROJECT = ("default-domain", "default-project")
IPAM = (*PROJECT, "default-network-ipam")
NAME = (*PROJECT, "example")


def main(url: str) -> None:
    with ApiClient(url) as client:
        networks = Api(client).virtual_networks

        subnet = IpamSubnetType(subnet=SubnetType(ip_prefix="10.9.0.0", ip_prefix_len=24))
        wanted = VirtualNetwork(
            fq_name=NAME,
            mtu=1400,
            network_ipam_refs=(Reference(to=IPAM, attr=VnSubnetsType(ipam_subnets=(subnet,))),),
        )
        made = networks.create(wanted)
        gateway = made.network_ipam_refs[0].attr.ipam_subnets[0].default_gateway
        print(f"created {made.name} with gateway {gateway}")

        try:
            networks.create(wanted)
        except Conflict:
            print("created again: conflict")

        read = networks.read(NAME)
        print(f"read {':'.join(read.object.fq_name)} with mtu {read.object.mtu}")

        shared = networks.list(parent=PROJECT, filters={"mtu": 1400})
        print(f"listed {', '.join(each.name for each in shared)}")

        changed = networks.update(NAME, {"mtu": None, "is_shared": True}, if_match=read.tag)
        print(f"changed mtu to {changed.mtu or 'none'}, shared to {str(changed.is_shared).lower()}")

        for event in networks.watch():
            if isinstance(event, Present) and event.object.fq_name == NAME:
                print(f"watch tells of {event.object.name}")
                break

        networks.delete(made)
        try:
            networks.get(NAME)
        except NotFound:
            print("deleted, not found any more")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8082")
