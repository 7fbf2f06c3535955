"""Objects the server makes sure of at start; each is created only if it is absent."""

from __future__ import annotations

from skytrail.api import admission
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import find
from skytrail.api.references import reference_to

SYSTEM = "default-global-system-config"
DOMAIN = "default-domain"
PROJECT = (DOMAIN, "default-project")
_SHARED_WITH_ALL: Document = {"perms2": {"owner": "cloud-admin", "global_access": 5}}
_TAG_TYPES = (
    "label", "application", "tier", "deployment", "site", "neutron_fwaas", "neutron_tag",
)  # fmt: skip

_Default = tuple[str, tuple[str, ...], str | None, Document]


def _wanted() -> list[_Default]:
    """Return (type, name, parent type, more members), parents first."""
    system = "global-system-config"
    wanted: list[_Default] = [
        (system, (SYSTEM,), None, {"autonomous_system": 64512, "config_version": "1.0"}),
        ("global-vrouter-config", (SYSTEM, "default-global-vrouter-config"), system, {}),
        ("domain", (DOMAIN,), None, {}),
        ("project", PROJECT, "domain", {}),
        ("fabric", (SYSTEM, "default-fabric"), system, {}),
        ("policy-management", ("default-policy-management",), None, {}),
        (
            "application-policy-set",
            ("default-policy-management", "default-application-policy-set"),
            "policy-management",
            {"all_applications": True},
        ),
        ("virtual-network", (*PROJECT, "ip-fabric"), "project", {"is_provider_network": True}),
        ("virtual-network", (*PROJECT, "__link_local__"), "project", {}),
        ("virtual-network", (*PROJECT, "dci-network"), "project", {}),
        ("namespace", (DOMAIN, "default-namespace"), "domain", {}),
        ("virtual-network", (*PROJECT, "default-virtual-network"), "project", {}),
        ("network-ipam", (*PROJECT, "default-network-ipam"), "project", _SHARED_WITH_ALL),
        ("alarm", (SYSTEM, "system-defined-bottle-request-size-limit"), system, _SIZE_ALARM),
        (
            "security-group",
            (*PROJECT, "__no_rule__"),
            "project",
            {"security_group_entries": {"policy_rule": []}, **_SHARED_WITH_ALL},
        ),
        ("discovery-service-assignment", ("default-discovery-service-assignment",), None, {}),
        ("global-qos-config", (SYSTEM, "default-global-qos-config"), system, {}),
        ("network-ipam", (*PROJECT, "service-chain-flat-ipam"), "project", _CHAIN_SUBNETS),
    ]
    wanted += [
        ("tag-type", (name,), None, {"tag_type_id": f"0x{number:04x}", **_HIDDEN})
        for number, name in enumerate(_TAG_TYPES)
    ]
    return wanted


_HIDDEN: Document = {"id_perms": {"enable": True, "user_visible": False}}
_SIZE_ALARM: Document = {
    "uve_keys": {"uve_key": ["config-node"]},
    "alarm_severity": 1,
    "alarm_rules": {
        "or_list": [
            {
                "and_list": [
                    {
                        "operand1": "NodeStatus.process_info.process_state",
                        "operation": "==",
                        "operand2": {"json_value": '"REQUEST_SIZE_LIMIT"'},
                    }
                ]
            }
        ]
    },
}
_CHAIN_SUBNETS: Document = {
    "ipam_subnet_method": "flat-subnet",
    "ipam_subnets": {
        "subnets": [
            {"subnet": {"ip_prefix": "0.0.0.0", "ip_prefix_len": 8}},
            {"subnet": {"ip_prefix": "::ffff", "ip_prefix_len": 104}},
        ]
    },
}


def ensure(change: Change) -> None:
    """Plan every default object that is missing."""
    for type_name, name, parent_type, members in _wanted():
        if change.view.uuid_of(type_name, name) is not None:
            continue
        body: Document = {"fq_name": list(name), **members}
        if parent_type is not None:
            body["parent_type"] = parent_type
        admission.create(change, change.schema.resources[type_name], body)
    _link_policy_set(change)


def _link_policy_set(change: Change) -> None:
    """Have the global policy set refer to the vrouter configuration."""
    policy_set = find(
        change.view,
        "application-policy-set",
        ("default-policy-management", "default-application-policy-set"),
    )
    config = find(change.view, "global-vrouter-config", (SYSTEM, "default-global-vrouter-config"))
    if policy_set is None or config is None or policy_set.targets:
        return
    body = dict(policy_set.body)
    body["global_vrouter_config_refs"] = [reference_to(config)]
    admission.replace_body(change, policy_set, body)
