"""Two tenants of an API that knows roles, and what one of them has."""

from __future__ import annotations

from skytrail.api.caller import Caller

SYSTEM = "default-global-system-config"
LIST = {"api_access_list_entries": {"rbac_rule": [
    {"rule_object": "*", "rule_field": "", "rule_perms": [
        {"role_name": "member", "role_crud": "CRUD"}]}]}}  # fmt: skip


class Tenants:
    """Two projects of one domain, red (the victim) and blue (the attacker)."""

    def __init__(self, api) -> None:
        self.api = api
        api.create("api-access-list", fq_name=[SYSTEM, "default-api-access-list"],
                   parent_type="global-system-config", **LIST)  # fmt: skip
        self.red, self.blue = (self._project(name) for name in ("red", "blue"))
        with api.as_caller(self.red):
            self.policy = self.make("network-policy", "red", "secret-policy")
            self.network = self.make("virtual-network", "red", "secret-net")
            self.port = self.make(
                "virtual-machine-interface",
                "red",
                "secret-port",
                virtual_network_refs=[{"uuid": self.network}],
            )

    def _project(self, name: str) -> Caller:
        uuid = self.api.create("project", fq_name=["default-domain", name])
        domain = self.api.service.graph.uuid_of("domain", ("default-domain",))
        return Caller(user=name, project=uuid, domain=domain, roles=frozenset({"member"}))

    def make(self, type_name: str, project: str, name: str, **members: object) -> str:
        fq_name = ["default-domain", project, name]
        return self.api.create(type_name, fq_name=fq_name, parent_type="project", **members)

    def share(self, type_name: str, uuid: str, access: int) -> None:
        body = {"perms2": {"owner": self.red.owner, "global_access": access}}
        reply = self.api.call("PUT", f"/{type_name}/{uuid}", {type_name: body})
        assert reply.status == 200, reply.text
