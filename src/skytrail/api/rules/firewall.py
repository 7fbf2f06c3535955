"""Rules of tag-based firewall objects: what a rule matches, whom it may name, what the server adds.

A firewall rule names tags, address groups and networks inside its endpoints; the references of the
rule are computed from there, so that nothing a rule names can be deleted; to name needs the right
to refer, as to refer does. Objects of a project may name global ones, never the other way round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from skytrail.api import documents, ipam, rights
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record, find
from skytrail.api.references import find_or_draft, reference_to
from skytrail.api.refusal import bad_request, not_found
from skytrail.api.rules import draft, transport
from skytrail.api.rules.scope import check_global_references, project_above
from skytrail.model.validate import shown

_ENDPOINTS = ("endpoint_1", "endpoint_2")
_GLOBAL = "global:"
_DEFAULT_MATCH = ("application",)
PROTOCOLS = {
    "any": 0, "icmp": 1, "igmp": 2, "ggp": 3, "ipencap": 4, "st": 5, "tcp": 6, "egp": 8, "igp": 9,
    "pup": 12, "udp": 17, "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29, "dccp": 33,
    "xtp": 36, "ddp": 37, "idpr-cmtp": 38, "ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44,
    "idrp": 45, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "skip": 57, "icmp6": 58,
    "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "rspf": 73, "vmtp": 81, "eigrp": 88,
    "ospf": 89, "ax.25": 93, "ipip": 94, "etherip": 97, "encap": 98, "pim": 103, "ipcomp": 108,
    "vrrp": 112, "l2tp": 115, "isis": 124, "sctp": 132, "fc": 133, "udplite": 136,
    "mpls-in-ip": 137, "manet": 138, "shim6": 139, "wesp": 141, "rohc": 142,
}  # fmt: skip
"""IANA protocol numbers by name; any is the number 0."""


def _create_rule(change: Change, body: Document) -> None:
    for field, text in (("tag_refs", _NO_TAGS), ("address_group_refs", _NO_GROUPS)):
        if documents.sections(body, field):
            raise bad_request(text)
    _complete_rule(change, body, {})


def _update_rule(change: Change, old: Record, body: Document) -> None:
    for field, text in (("tag_refs", _NO_TAGS), ("address_group_refs", _NO_GROUPS)):
        if _targets(body, field) != _targets(old.body, field):
            raise bad_request(text)
    _complete_rule(change, body, old.body)


_NO_TAGS = (
    "Cannot directly define Tags reference from a Firewall Rule. Use 'tags' endpoints property in "
    "the Firewall Rule"
)
_NO_GROUPS = (
    "Cannot directly define Address Group reference from a Firewall Rule. Use 'address_group' "
    "endpoints property in the Firewall Rule"
)


def _targets(body: Document, field: str) -> set[str | None]:
    return {documents.text(item, "uuid") for item in documents.sections(body, field)}


def _complete_rule(change: Change, body: Document, before: Document) -> None:
    named = _Named({}, {}, {}, _held(before))
    for name in _ENDPOINTS:
        if documents.section(body, name):
            body[name] = _endpoint(change, body, documents.section(body, name), named)
    _complete_service(body)
    _complete_match(change, body)
    _set_references(body, "tag_refs", named.tags)
    _set_references(body, "address_group_refs", named.groups)
    _set_networks(change, body, before, named.networks)
    check_global_references(change, body, ("service_group_refs", "address_group_refs"))


class _Named(NamedTuple):
    """What the endpoints of a rule name, by uuid."""

    tags: dict[str, Record]
    groups: dict[str, Record]
    networks: dict[str, Record]
    held: frozenset[str | None]
    """What the rule refers to already: that needs no right to do so again."""

    def linkable(self, change: Change, record: Record | None) -> Record | None:
        """Return what the rule may name, None where the caller may not know of it."""
        if record is not None and record.uuid in self.held:
            return record
        return rights.linkable(change, record)


def _held(before: Document) -> frozenset[str | None]:
    fields = ("tag_refs", "address_group_refs", "virtual_network_refs")
    return frozenset[str | None]().union(*(_targets(before, field) for field in fields))


def _endpoint(change: Change, body: Document, given: Document, named: _Named) -> Document:
    """Return the completed endpoint and note what it names."""
    endpoint = {name: value for name, value in given.items() if name != "tag_ids"}
    used = [name for name, value in endpoint.items() if value not in (None, [], {}, False, "")]
    if len(used) > 1:
        raise bad_request("Endpoint is limited to only one endpoint type at a time")
    numbers: list[object] = []
    for text in dict.fromkeys(documents.texts(endpoint, "tags")):
        tag = _tag(change, body, text, named)
        named.tags[tag.uuid] = tag
        numbers.append(int(documents.text(tag.body, "tag_id") or "0", 16))
    if numbers:
        endpoint["tag_ids"] = numbers
    for type_name, field, found in (
        ("address-group", "address_group", named.groups),
        ("virtual-network", "virtual_network", named.networks),
    ):
        record = _named_by(change, type_name, documents.text(endpoint, field), named)
        if record is not None:
            found[record.uuid] = record
    subnet = documents.section(endpoint, "subnet")
    if subnet:
        ipam.network_of({"subnet": subnet})
    return endpoint


def _tag(change: Change, body: Document, text: str, named: _Named) -> Record:
    """Return the tag an endpoint names as ``global:type=value`` or ``type=value``."""
    project = project_above(change, body)
    if text.startswith(_GLOBAL):
        name: tuple[str, ...] = (text.removeprefix(_GLOBAL),)
    elif project is None:
        raise bad_request(
            f"A global firewall rule may only use global tags: write {_GLOBAL}{shown(text)}"
        )
    else:
        name = (*project.fq_name, text)
    tag = named.linkable(change, find(change.view, "tag", name))
    if tag is None:
        raise not_found(f"Tag with FQName {shown(list(name))} not found")
    return tag


def _named_by(change: Change, type_name: str, text: str | None, named: _Named) -> Record | None:
    """Return what an endpoint names, None if it names nothing of that type."""
    if not text or text == "any":
        return None
    record = named.linkable(change, find_or_draft(change, type_name, tuple(text.split(":"))))
    if record is None:
        raise not_found(f"{type_name} {shown(text)} of the endpoint not found")
    return record


def _set_references(body: Document, field: str, targets: dict[str, Record]) -> None:
    if targets:
        body[field] = [reference_to(target) for target in targets.values()]
    else:
        body.pop(field, None)


def _set_networks(
    change: Change, body: Document, before: Document, named: dict[str, Record]
) -> None:
    """Refer to the networks of the endpoints besides what the client refers to itself."""
    field, former = "virtual_network_refs", set[tuple[str, ...]]()
    for name in _ENDPOINTS:
        text = documents.text(documents.section(before, name), "virtual_network")
        former.add(tuple(text.split(":")) if text else ())
    kept = [
        item
        for item in documents.sections(body, field)
        if item.get("uuid") not in named and tuple(documents.texts(item, "to")) not in former
    ]
    references = [*kept, *(reference_to(network) for network in named.values())]
    if references:
        body[field] = references
    else:
        body.pop(field, None)


def _complete_service(body: Document) -> None:
    service, groups = documents.section(body, "service"), body.get("service_group_refs")
    if service and groups:
        raise bad_request("Firewall Rule cannot have both defined Service Group and Service")
    if not service and not groups:
        raise bad_request("Firewall Rule requires at least Service or Service Group references(s)")
    if service:
        body["service"] = _service(service)


def _service(given: Document) -> Document:
    """Return a service with the number of its protocol; refuse ports that cannot be."""
    service = dict(given)
    protocol = documents.text(service, "protocol")
    if protocol is not None:
        service["protocol_id"] = _protocol_number(protocol)
    for name in ("src_ports", "dst_ports"):
        transport.check_ports(documents.section(service, name), "Service")
    return service


def _protocol_number(text: str) -> int:
    number = PROTOCOLS.get(text.lower(), transport.protocol_number(text))
    if number is None:
        raise bad_request(f"Rule with invalid protocol : {shown(text)}")
    return number


def _complete_match(change: Change, body: Document) -> None:
    """Write the numbers of the tag types that have to be equal on both sides."""
    given = documents.section(body, "match_tags")
    names = documents.texts(given, "tag_list") if given else list(_DEFAULT_MATCH)
    numbers: list[object] = []
    for name in dict.fromkeys(names):
        kind = find(change.view, "tag-type", (name,)) or find(
            change.view, "tag-type", (name.lower(),)
        )
        if kind is None:
            raise not_found(f"Tag type {shown(name)} of match_tags not found")
        if kind.name == "label":
            raise bad_request("labels not allowed as match-tags")
        numbers.append(int(documents.text(kind.body, "tag_type_id") or "0", 16))
    body["match_tag_types"] = {"tag_type": numbers}


def _complete_service_group(change: Change, body: Document) -> None:
    field = "service_group_firewall_service_list"
    holder = documents.section(body, field)
    services = documents.sections(holder, "firewall_service")
    if services:
        body[field] = {**holder, "firewall_service": [_service(each) for each in services]}


def _check_address_group(change: Change, body: Document) -> None:
    for prefix in documents.sections(documents.section(body, "address_group_prefix"), "subnet"):
        ipam.network_of({"subnet": prefix})


def _check_policy(change: Change, body: Document) -> None:
    check_global_references(change, body, ("firewall_rule_refs",))


def _check_policy_set(change: Change, body: Document) -> None:
    check_global_references(change, body, ("firewall_policy_refs",))


_Body = Callable[[Change, Document], None]


def _secured(
    type_name: str,
    create: _Body,
    update: Callable[[Change, Record, Document], None] | None = None,
) -> Rule:
    """Return the rule of a security type: its own checks between those of drafts."""

    def prepare(change: Change, request: Document) -> None:
        draft.redirect(type_name, change, request)

    def create_any(change: Change, body: Document) -> None:
        draft.check_state(change, body, None)
        create(change, body)

    def update_any(change: Change, old: Record, body: Document) -> None:
        draft.check_state(change, body, old)
        if update is None:
            create(change, body)
        else:
            update(change, old, body)

    return Rule(
        prepare=prepare, create=create_any, update=update_any, delete=draft.refuse_past_draft
    )


ADDRESS_GROUP = _secured("address-group", _check_address_group)
FIREWALL_POLICY = _secured("firewall-policy", _check_policy)
FIREWALL_RULE = _secured("firewall-rule", _create_rule, _update_rule)
POLICY_SET_CHECKS = _secured("application-policy-set", _check_policy_set)
SERVICE_GROUP = _secured("service-group", _complete_service_group)
