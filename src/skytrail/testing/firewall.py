"""Builders and strategies of tags and of tag-based firewall objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import msgspec
from hypothesis import strategies as st

from skytrail.model.generated.objects import (
    AddressGroup,
    ApplicationPolicySet,
    FirewallPolicy,
    FirewallRule,
    GlobalVrouterConfig,
    Project,
    ServiceGroup,
    Tag,
    VirtualMachine,
    VirtualMachineInterface,
    VirtualNetwork,
)
from skytrail.model.generated.types import (
    ActionListType,
    FirewallRuleEndpointType,
    FirewallRuleMatchTagsTypeIdList,
    FirewallSequence,
    FirewallServiceGroupType,
    FirewallServiceType,
    PortType,
    SubnetListType,
)
from skytrail.model.objects import ConfigObject
from skytrail.testing import configuration as build

ItemT = TypeVar("ItemT", bound=ConfigObject)

KINDS: Final = {"label": 0, "application": 1, "tier": 2, "deployment": 3, "site": 4}
GLOBAL: Final = ("default-policy-management",)
ANYBODY: Final = FirewallRuleEndpointType(any=True)
WEB: Final = FirewallServiceType(
    protocol="tcp", protocol_id=6, dst_ports=PortType(start_port=443, end_port=443)
)


def tag(text: str, number: int | None = 1, *, is_global: bool = False) -> Tag:
    """``text`` is type=value; ``number`` counts values of the type, None: it has no number yet."""
    kind, _, value = text.partition("=")
    fq_name = (text,) if is_global else (*build.PROJECT, text)
    return Tag(
        uuid=build.uuid_of("tag", fq_name),
        fq_name=fq_name,
        parent_type=None if is_global else "project",
        tag_type_name=kind,
        tag_value=value,
        tag_id=None if number is None else f"0x{KINDS[kind]:04x}{number:04x}",
    )


def project(*, tags: Sequence[Tag] = (), sets: Sequence[ApplicationPolicySet] = ()) -> Project:
    return Project(
        uuid=build.uuid_of("project", build.PROJECT),
        fq_name=build.PROJECT,
        parent_type="domain",
        tag_refs=tuple(map(build.link, tags)),
        application_policy_set_refs=tuple(map(build.link, sets)),
    )


def tagged(item: ItemT, *tags: Tag) -> ItemT:
    return msgspec.structs.replace(item, tag_refs=tuple(map(build.link, tags)))


def project_port(
    name: str, network: VirtualNetwork, machine: VirtualMachine | None = None
) -> VirtualMachineInterface:
    """A port that knows its project, as stored ones do."""
    return msgspec.structs.replace(build.port(name, network, machine), parent_uuid=project().uuid)


def end(*tags: str) -> FirewallRuleEndpointType:
    """An endpoint by tags; ``global:type=value`` for global ones."""
    return FirewallRuleEndpointType(tags=tags)


def address_group(name: str, *prefixes: str) -> AddressGroup:
    fq_name = (*build.PROJECT, name)
    return AddressGroup(
        uuid=build.uuid_of("address-group", fq_name),
        fq_name=fq_name,
        parent_type="project",
        address_group_prefix=SubnetListType(subnet=tuple(map(build.subnet, prefixes))),
    )


def service_group(name: str, *services: FirewallServiceType) -> ServiceGroup:
    fq_name = (*build.PROJECT, name)
    return ServiceGroup(
        uuid=build.uuid_of("service-group", fq_name),
        fq_name=fq_name,
        parent_type="project",
        service_group_firewall_service_list=FirewallServiceGroupType(firewall_service=services),
    )


def firewall_rule(
    name: str,
    one: FirewallRuleEndpointType | None = ANYBODY,
    two: FirewallRuleEndpointType | None = ANYBODY,
    *,
    action: str = "pass",
    direction: str | None = "<>",
    service: FirewallServiceType | ServiceGroup | None = WEB,
    match: Sequence[str] = (),
) -> FirewallRule:
    """``match``: names of tag types both ends must have alike."""
    fq_name = (*build.PROJECT, name)
    group = service if isinstance(service, ServiceGroup) else None
    return FirewallRule(
        uuid=build.uuid_of("firewall-rule", fq_name),
        fq_name=fq_name,
        parent_type="project",
        action_list=ActionListType(simple_action=action),
        endpoint_1=one,
        endpoint_2=two,
        direction=direction,
        service=None if isinstance(service, ServiceGroup) else service,
        service_group_refs=() if group is None else (build.link(group),),
        match_tag_types=FirewallRuleMatchTagsTypeIdList(
            tag_type=tuple(KINDS[kind] for kind in match)
        ),
    )


def firewall_policy(name: str, rules: Mapping[str, FirewallRule]) -> FirewallPolicy:
    """``rules`` by sequence."""
    fq_name = (*build.PROJECT, name)
    return FirewallPolicy(
        uuid=build.uuid_of("firewall-policy", fq_name),
        fq_name=fq_name,
        parent_type="project",
        firewall_rule_refs=tuple(
            build.link_with(rule, FirewallSequence(sequence=sequence))
            for sequence, rule in rules.items()
        ),
    )


def vrouter_config() -> GlobalVrouterConfig:
    fq_name = ("default-global-system-config", "default-global-vrouter-config")
    return GlobalVrouterConfig(
        uuid=build.uuid_of("global-vrouter-config", fq_name), fq_name=fq_name
    )


def policy_set(
    name: str,
    policies: Mapping[str, FirewallPolicy],
    *,
    tags: Sequence[Tag] = (),
    is_for_all: bool = False,
) -> ApplicationPolicySet:
    """``policies`` by sequence; a set for all belongs to the global policy management."""
    fq_name = (*(GLOBAL if is_for_all else build.PROJECT), name)
    return ApplicationPolicySet(
        uuid=build.uuid_of("application-policy-set", fq_name),
        fq_name=fq_name,
        parent_type="policy-management" if is_for_all else "project",
        all_applications=is_for_all,
        global_vrouter_config_refs=(build.link(vrouter_config()),) if is_for_all else (),
        tag_refs=tuple(map(build.link, tags)),
        firewall_policy_refs=tuple(
            build.link_with(policy, FirewallSequence(sequence=sequence))
            for sequence, policy in policies.items()
        ),
    )


@st.composite
def items(draw: st.DrawFn, names: Sequence[str]) -> ConfigObject:
    """Any of the objects above, of few names, so that they meet; drafts among them."""
    kinds = ("application=shop", "application=bank", "tier=web", "label=a", "label=b")
    tags = [tag(text, number) for number, text in enumerate(kinds)]
    some = st.lists(st.sampled_from(tags), max_size=2, unique=True)
    endpoint = st.sampled_from(
        (
            ANYBODY,
            end("tier=web"),
            end("tier=nowhere"),
            FirewallRuleEndpointType(address_group="default-domain:demo:office"),
            FirewallRuleEndpointType(virtual_network="default-domain:demo:red"),
            None,
        )
    )
    group = service_group("http", *draw(st.lists(st.just(WEB), max_size=1)))
    rule = firewall_rule(
        draw(st.sampled_from(("r1", "r2"))),
        draw(endpoint),
        draw(endpoint),
        action=draw(st.sampled_from(("pass", "deny"))),
        direction=draw(st.sampled_from((">", "<>", None))),
        service=draw(st.sampled_from((WEB, group, None))),
        match=draw(st.sampled_from(((), ("deployment",)))),
    )
    policy = firewall_policy("fp", {draw(st.sampled_from(("1", "0.5", "x"))): rule})
    everyone = draw(st.booleans())
    applied = policy_set("aps", {"1": policy}, tags=draw(some), is_for_all=everyone)
    network = build.virtual_network(draw(st.sampled_from(names)))
    machine = build.virtual_machine("m")
    port = project_port(draw(st.sampled_from(("port1", "port2"))), network, machine)
    found: ConfigObject = draw(
        st.sampled_from(
            (
                *(draw(some) or tags[:1]),
                rule,
                policy,
                applied,
                group,
                address_group("office", "192.0.2.0/24"),
                project(tags=draw(some), sets=[applied]),
                vrouter_config(),
                tagged(port, *draw(some)),
                tagged(machine, *draw(some)),
            )
        )
    )
    if isinstance(found, FirewallRule | FirewallPolicy | ApplicationPolicySet):
        state = draw(st.sampled_from((None, None, "updated")))
        return msgspec.structs.replace(found, draft_mode_state=state)
    return found
