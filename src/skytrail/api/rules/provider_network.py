"""Networks refer to provider networks: to ip-fabric, and the underlay routes them.

Provider networks refer to none: what hosts are told of the configuration follows these references.
"""

from __future__ import annotations

from skytrail.api import documents
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.references import referred
from skytrail.api.refusal import bad_request, conflict

PROVIDER = "is_provider_network"
_REFERENCES = "virtual_network_refs"


def check_provider(change: Change, body: Document, old: Record | None) -> None:
    """Refuse references between networks that mean nothing, or would go round in a circle."""
    is_provider = documents.flag(body, PROVIDER) is True
    targets = referred(change, body, _REFERENCES)
    if is_provider and targets:
        raise bad_request(
            f"{_REFERENCES}: a provider network (is_provider_network) cannot refer to others: "
            f"take {':'.join(targets[0].fq_name)} out"
        )
    for target in targets:
        if documents.flag(target.body, PROVIDER) is not True:
            raise bad_request(
                f"{_REFERENCES}: {':'.join(target.fq_name)} is no provider network; refer to "
                "default-domain:default-project:ip-fabric to have the underlay route this network"
            )
    was_provider = old is not None and documents.flag(old.body, PROVIDER) is True
    if old is not None and was_provider and not is_provider:
        for uuid in change.view.referrer_uuids(old.uuid, old.type_name):
            other = change.view.get(uuid)
            name = ":".join(other.fq_name) if other else uuid
            raise conflict(f"{PROVIDER} cannot be taken away: {name} refers to this network")
