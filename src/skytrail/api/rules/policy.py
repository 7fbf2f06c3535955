"""Rules of network policies and security groups: their entries, rule uuids, numeric ids."""

from __future__ import annotations

from skytrail.api import documents, ipam
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.quota import check_rules
from skytrail.api.refusal import Refused, bad_request, conflict
from skytrail.api.rules import transport
from skytrail.model.validate import shown

SG_ID_POOL = "security-group-id"
SG_ID_RANGE = ((8_000_000, (1 << 32) - 1),)
_SG_ID_CONFIGURED = range(1, 8_000_000)
_PROTOCOLS = frozenset({"any", "icmp", "tcp", "udp", "icmp6", "ipv6-icmp", "sctp", "gre", "esp"})
_IDENTITY_FREE = ("rule_uuid", "created", "last_modified")


def _complete_rules(
    change: Change, body: Document, field: str, *, is_group: bool, old: Document | None = None
) -> None:
    """Check rules and give each its uuid: an unchanged one given without keeps what it had."""
    entries = documents.section(body, field)
    if not entries:
        return
    complete: list[Document] = []
    listed = documents.sections(entries, "policy_rule")
    claimed = {documents.text(rule, "rule_uuid") for rule in listed}
    former = {
        _identity_of(rule): documents.text(rule, "rule_uuid")
        for rule in documents.sections(documents.section(old or {}, field) or {}, "policy_rule")
        if documents.text(rule, "rule_uuid") not in claimed
    }
    seen: dict[str, str] = {}
    uuids: set[str] = set()
    for given in listed:
        rule = dict(given)
        _check_protocol(rule)
        _check_ports(rule)
        if is_group:
            _check_group_rule(rule)
        else:
            _check_policy_rule(rule)
        identity = _identity_of(rule)
        uuid = documents.text(rule, "rule_uuid") or former.get(identity) or change.new_uuid()
        if identity in seen:
            raise conflict(f"Rule already exists : {seen[identity]}")
        if uuid in uuids:
            raise conflict(f"Rule already exists : {uuid}")
        seen[identity] = uuid
        uuids.add(uuid)
        rule["rule_uuid"] = uuid
        complete.append(rule)
    body[field] = {**entries, "policy_rule": complete}


def _identity_of(rule: Document) -> str:
    """Return what a rule says, however it is written: members in any order, unset ones or none."""
    return str(_said({name: v for name, v in rule.items() if name not in _IDENTITY_FREE}))


def _said(value: object) -> object:
    if isinstance(value, list):
        return [_said(each) for each in documents.as_list(value)]
    if not documents.is_document(value):
        return value
    said = {name: _said(value[name]) for name in sorted(value)}
    # Zero says something: a port, a protocol's number.
    return {name: v for name, v in said.items() if v is not False and v not in (None, "", [], {})}


def _check_protocol(rule: Document) -> None:
    protocol = documents.text(rule, "protocol")
    if protocol is None:
        raise bad_request(f"Rule with invalid protocol : {protocol}")
    if protocol.lower() not in _PROTOCOLS and transport.protocol_number(protocol) is None:
        raise bad_request(f"Rule with invalid protocol : {shown(protocol)}")


def _check_ports(rule: Document) -> None:
    for name in ("src_ports", "dst_ports"):
        for ports in documents.sections(rule, name):
            transport.check_ports(ports, "Rule")


def _addresses(rule: Document, name: str) -> list[Document]:
    return documents.sections(rule, name)


def _check_policy_rule(rule: Document) -> None:
    actions = documents.section(rule, "action_list")
    if not actions:
        raise bad_request("Action is required")
    for address in _addresses(rule, "src_addresses") + _addresses(rule, "dst_addresses"):
        if documents.text(address, "security_group"):
            raise bad_request(
                "Config Error: policy rule can not have security group as source or destination"
            )
        _check_prefixes(rule, address, None)


def _check_group_rule(rule: Document) -> None:
    sources, targets = _addresses(rule, "src_addresses"), _addresses(rule, "dst_addresses")
    local = [a for a in sources + targets if documents.text(a, "security_group") == "local"]
    if not local:
        raise bad_request("At least one of source or destination addresses must be 'local'")
    for address in sources + targets:
        _check_prefixes(rule, address, documents.text(rule, "ethertype"))


def _check_prefixes(rule: Document, address: Document, ethertype: str | None) -> None:
    prefixes = documents.sections(address, "subnet_list")
    single = documents.section(address, "subnet")
    for prefix in [*prefixes, single] if single else prefixes:
        network = ipam.prefix_in(prefix, "Rule with invalid subnet ")
        if network is None or ethertype is None:
            continue
        if ethertype != f"IPv{network.version}":
            raise bad_request("Rule subnet doesn't match ethertype")


def _check_policy(change: Change, body: Document, old: Document | None = None) -> None:
    _complete_rules(change, body, "network_policy_entries", is_group=False, old=old)


def _update_policy(change: Change, old: Record, body: Document) -> None:
    if body.get("network_policy_entries") is not old.body.get("network_policy_entries"):
        _check_policy(change, body, old.body)


def _create_group(change: Change, body: Document) -> None:
    if body.get("security_group_id") is not None and not change.by_system:
        raise Refused(403, "Cannot set the security group ID")
    check_rules(change, body, None)
    _complete_rules(change, body, "security_group_entries", is_group=True)
    body["security_group_id"] = _group_id(change, body)


def _configured(body: Document) -> int | None:
    return documents.number(body, "configured_security_group_id") or None


def _group_id(change: Change, body: Document) -> int:
    owner = documents.text(body, "uuid") or ""
    configured = _configured(body)
    if configured is not None:
        if configured not in _SG_ID_CONFIGURED:
            raise bad_request(f"Configured security group id must be below {SG_ID_RANGE[0][0]}")
        if not change.view.numbers.take(SG_ID_POOL, configured, owner):
            raise bad_request(f"Configured security group id {configured} is in use")
        return configured
    taken = change.view.numbers.take_first(SG_ID_POOL, SG_ID_RANGE, owner)
    if taken is None:
        raise conflict("No security group ID is left")
    return taken


def _update_group(change: Change, old: Record, body: Document) -> None:
    number = old.body.get("security_group_id")
    if body.get("security_group_id") != number:
        if not change.by_system and body.get("security_group_id") is not None:
            raise Refused(403, "Cannot set the security group ID")
        body["security_group_id"] = number
    if _configured(body) != _configured(old.body):
        if isinstance(number, int):
            change.view.numbers.release(SG_ID_POOL, number)
        body["security_group_id"] = _group_id(change, body)
    if body.get("security_group_entries") is not old.body.get("security_group_entries"):
        check_rules(change, body, old)
        _complete_rules(change, body, "security_group_entries", is_group=True, old=old.body)


NETWORK_POLICY = Rule(create=_check_policy, update=_update_policy)
SECURITY_GROUP = Rule(create=_create_group, update=_update_group)
