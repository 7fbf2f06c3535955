"""Lets the test fixtures generated inside the client library live on a server, one of every type.

Runs in the environment of the old clients (build/contrail-api-cli), which has the library the
fixtures are made with: ``generated_fixtures.py PORT`` prints a JSON object of type to outcome,
"ok" or what went wrong. For each type: set up (create and read back), list, update, clean up
(delete), and the object is gone. Parents are fixtures too.
"""

from __future__ import annotations

import json
import sys

from vnc_api import vnc_api
from vnc_api.gen import resource_test
from vnc_api.gen.vnc_api_client_gen import all_resource_types

# Types a fixture cannot be made of with a name alone.
NAMES = {"route-target": "target:64512:4711"}
STANDING = {"global-system-config": "default-global-system-config"}
PREFERRED_PARENTS = ("project", "domain", "global-system-config")


def words(type_name: str) -> str:
    return "".join(part.capitalize() for part in type_name.split("-"))


class Fixtures:
    """The fixtures that are set up, in order."""

    def __init__(self, port: str) -> None:
        self.api = vnc_api.VncApi("u", "p", "t", "127.0.0.1", port, auth_type="noauth")
        self.alive = []

    def parent_of(self, type_name: str, serial: str):
        kinds = getattr(vnc_api, words(type_name)).parent_types
        kinds = [kind for kind in kinds if kind != "config-root"]
        if not kinds:
            return None
        chosen = min(
            kinds,
            key=lambda k: PREFERRED_PARENTS.index(k) if k in PREFERRED_PARENTS else 9,
        )
        return self.made(chosen, serial)

    def made(self, type_name: str, serial: str):
        """Set up a fixture of the type, its parents and what it cannot be without."""
        members = {}
        name = STANDING.get(type_name) or NAMES.get(type_name) or f"fixture-{type_name}-{serial}"
        if "parent_fixt" in self.fixture(type_name).__init__.__code__.co_varnames:
            parent = self.parent_of(type_name, serial)
            if parent is not None:
                members["parent_fixt"] = parent
        if type_name == "tag":
            members |= {"tag_type_name": "tier", "tag_value": f"fixture-{serial}"}
            name = f"tier=fixture-{serial}"
        if type_name == "firewall-rule":
            members |= self.firewall_rule()
        if type_name in ("virtual-machine-interface", "instance-ip"):
            network = self.made("virtual-network", f"{serial}-for-{type_name}")
            members["virtual_network_refs"] = [network.getObj()]
            self.give_subnet(network.getObj())
        if type_name == "alias-ip":
            self.give_subnet(self.network_above(members["parent_fixt"]))
        if type_name == "floating-ip":
            self.give_subnet(self.network_above(members["parent_fixt"]))
        fixture = self.fixture(type_name)(
            self.api, **{f"{type_name.replace('-', '_')}_name": name}, **members
        )
        fixture.setUp()
        if type_name not in STANDING:
            self.alive.append(fixture)
        return fixture

    @staticmethod
    def firewall_rule():
        any_end = vnc_api.FirewallRuleEndpointType(any=True)
        return {
            "action_list": vnc_api.ActionListType(simple_action="pass"),
            "service": vnc_api.FirewallServiceType(protocol="any"),
            "endpoint_1": any_end,
            "endpoint_2": any_end,
            "direction": "<>",
        }

    def network_above(self, pool):
        return self.api.virtual_network_read(id=pool.getObj().parent_uuid)

    def give_subnet(self, network):
        manager = self.api.network_ipam_read(
            fq_name=["default-domain", "default-project", "default-network-ipam"]
        )
        subnet = vnc_api.IpamSubnetType(vnc_api.SubnetType("192.0.2.0", 24))
        network.add_network_ipam(manager, vnc_api.VnSubnetsType([subnet]))
        self.api.virtual_network_update(network)

    @staticmethod
    def fixture(type_name: str):
        return getattr(resource_test, f"{words(type_name)}TestFixtureGen")

    def clean_up(self) -> None:
        for fixture in reversed(self.alive):
            fixture.cleanUp()
        self.alive.clear()

    def live_and_die(self, type_name: str) -> str:
        kind = type_name.replace("-", "_")
        made = self.made(type_name, "it").getObj()
        read = getattr(self.api, f"{kind}_read")
        listed = self.api.resource_list(type_name)[f"{type_name}s"]
        assert made.uuid in {item["uuid"] for item in listed}, "not listed"
        if type_name != "tag-type":
            made.set_display_name("renamed")
            getattr(self.api, f"{kind}_update")(made)
            assert read(id=made.uuid).display_name == "renamed", "not updated"
        left = [fixture.getObj() for fixture in self.alive]
        self.clean_up()
        if type_name in STANDING:
            return "ok"
        for each in left:
            try:
                getattr(self.api, f"{each.object_type}_read")(id=each.uuid)
            except vnc_api.NoIdError:
                continue
            return f"{each.object_type} is still there"
        return "ok"


def main(port: str) -> None:
    outcomes = {}
    fixtures = Fixtures(port)
    for type_name in sorted(all_resource_types - {"config-root"}):
        try:
            outcomes[type_name] = fixtures.live_and_die(type_name)
        except Exception as error:
            outcomes[type_name] = f"{type(error).__name__}: {error}"
            fixtures.alive.clear()
    json.dump(outcomes, sys.stdout)


main(sys.argv[1])
