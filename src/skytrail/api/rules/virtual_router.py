"""Rules of virtual-routers: the pools of addresses they hand out, the address they replicate by."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

from skytrail.api import documents, router_pools
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.refusal import bad_request, conflict
from skytrail.model.annotation_names import REPLICATOR_ADDRESS

_TYPE = "virtual-router"
_FIELD = "network_ipam_refs"
_NOTES = "annotations"
_ADDRESS = "virtual_router_ip_address"


def _create(change: Change, body: Document) -> None:
    router_pools.check(change, body, None)
    _check_tunnel_ends(change, body, None)


def _update(change: Change, old: Record, body: Document) -> None:
    if body.get(_FIELD) is not old.body.get(_FIELD):
        router_pools.check(change, body, old)
    if any(body.get(field) != old.body.get(field) for field in (_NOTES, _ADDRESS)):
        _check_tunnel_ends(change, body, old)


def _check_tunnel_ends(change: Change, body: Document, old: Record | None) -> None:
    """What comes to a replicator's address is copied on: nobody else may be reached by it."""
    given = _replicator(body)
    if not given:
        return
    field = f"annotation {REPLICATOR_ADDRESS}"
    address = _address(given)
    if address is None:
        raise bad_request(f"{field}: {given!r} is not an IP address")
    if (
        address.is_multicast
        or address.is_loopback
        or address.is_unspecified
        or address.is_reserved
        or address.is_link_local
    ):
        raise bad_request(f"{field}: tunnels cannot end at {address}; give a unicast address")
    own = _address(documents.text(body, _ADDRESS))
    if own is not None and own.version != address.version:
        raise bad_request(
            f"{field}: {address} is IPv{address.version}, the host's tunnel address {own} is"
            f" IPv{own.version}; give it a second one of that"
        )
    if own == address:
        raise bad_request(
            f"{field}: {address} is the host's tunnel address already; give it a second one"
        )
    for other in change.view.of_type(_TYPE):
        if old is not None and other.uuid == old.uuid:
            continue
        if address in {
            _address(documents.text(other.body, _ADDRESS)),
            _address(_replicator(other.body)),
        }:
            raise conflict(f"{field}: {address} is an address of virtual-router {other.name}")


def _address(text: str | None) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address(text or "")
    return None


def _replicator(body: Document) -> str:
    pairs = documents.sections(documents.section(body, _NOTES), "key_value_pair")
    found = [pair for pair in pairs if documents.text(pair, "key") == REPLICATOR_ADDRESS]
    return (documents.text(found[0], "value") or "") if found else ""


VIRTUAL_ROUTER = Rule(create=_create, update=_update)
