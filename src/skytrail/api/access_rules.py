"""The rules of api-access-lists: which apply to a caller, and which one decides. Pure.

Lists of the global system configuration, of the caller's domain and of its project are merged:
permissions for one object and field add up over the lists, so a narrower scope can only add. Then
the most specific rule decides, and only that: for each field in the body the field's rule, else
the object's rule, else the rule for ``*``. Nothing that fits means no.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skytrail.api import documents
from skytrail.api.caller import Caller
from skytrail.api.documents import Document
from skytrail.api.graph import View, children

ANY = "*"
GLOBAL_NAME = ("default-global-system-config",)
LIST = "api-access-list"
LIST_NAME = (*GLOBAL_NAME, "default-api-access-list")


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One line: who (role) may do what (letters of CRUD) to which object and field."""

    subject: str
    field: str
    role: str
    operations: str
    where: str
    """The full name of the list it stands in."""

    @property
    def key(self) -> str:
        return f"{self.subject}.{self.field}" if self.field else self.subject


@dataclass(frozen=True, slots=True)
class Decision:
    allowed: bool
    text: str
    where: str = ""


def _default(subject: str, operations: str, field: str = "") -> AccessRule:
    return AccessRule(subject, field, ANY, operations, ":".join(LIST_NAME))


DEFAULT_RULES = (
    _default("fqname-to-id", "CRUD"),
    _default("id-to-fqname", "CRUD"),
    _default("useragent-kv", "CRUD"),
    _default("documentation", "R"),
    _default("/", "R"),
    _default("watch", "R"),
    _default("logical-router", "R", "logical_router_gateway_external"),
)
"""What holds while there is no list in the global system configuration."""


def default_entries() -> Document:
    """Return the default rules as the entries of an access list."""
    return {
        "rbac_rule": [
            {
                "rule_object": rule.subject,
                "rule_field": rule.field,
                "rule_perms": [{"role_name": rule.role, "role_crud": rule.operations}],
            }
            for rule in DEFAULT_RULES
        ]
    }


def rules_for(view: View, caller: Caller) -> list[AccessRule]:
    """Return the rules that apply to the caller: global, then its domain's, then its project's."""
    system = view.uuid_of("global-system-config", GLOBAL_NAME)
    found = _rules_below(view, system) or list(DEFAULT_RULES)
    found += _rules_below(view, caller.domain)
    found += _rules_below(view, caller.project)
    return found


def _rules_below(view: View, parent: str | None) -> list[AccessRule]:
    if parent is None:
        return []
    return [
        rule
        for each in children(view, parent, LIST)
        for entry in documents.sections(
            documents.section(each.body, "api_access_list_entries"), "rbac_rule"
        )
        for rule in _rules_of(entry, ":".join(each.fq_name))
    ]


def _rules_of(entry: Document, where: str) -> Iterable[AccessRule]:
    subject = (documents.text(entry, "rule_object") or "").replace("_", "-").lower()
    field = documents.text(entry, "rule_field") or ""
    if field == ANY:
        field = ""
    for permission in documents.sections(entry, "rule_perms"):
        role = (documents.text(permission, "role_name") or "").lower()
        operations = (documents.text(permission, "role_crud") or "").upper()
        yield AccessRule(subject, field, role, operations, where)


def decide(
    rules: Sequence[AccessRule],
    subject: str,
    operation: str,
    roles: Iterable[str],
    fields: Iterable[str] = (),
) -> Decision:
    """Judge one operation; of several fields each has to be allowed."""
    wanted = subject.replace("_", "-").lower()
    mine = {role.lower() for role in roles} | {ANY}
    undecided = not fields
    last = Decision(False, "")
    for name in fields:
        ruled = [r for r in rules if r.field == name and r.subject in (wanted, ANY)]
        exact = [rule for rule in ruled if rule.subject == wanted] or ruled
        if not exact:
            undecided = True
            continue
        last = _among(exact, operation, mine)
        if not last.allowed:
            return last
    if not undecided:
        return last
    for key in (wanted, ANY):
        ruled = [rule for rule in rules if rule.subject == key and not rule.field]
        if ruled:
            return _among(ruled, operation, mine)
    return Decision(False, f"no rule for {wanted} or *")


def _among(rules: Sequence[AccessRule], operation: str, roles: set[str]) -> Decision:
    """Judge by all rules for one object and field; what they allow adds up."""
    for rule in rules:
        if rule.role in roles and operation in rule.operations:
            return Decision(True, f"rule {rule.key} {rule.role}:{rule.operations}", rule.where)
    said = ", ".join(dict.fromkeys(f"{rule.role}:{rule.operations or '-'}" for rule in rules))
    where = ", ".join(dict.fromkeys(rule.where for rule in rules))
    return Decision(False, f"rule {rules[0].key} has only {said}", where)
