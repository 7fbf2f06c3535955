"""Rules of virtual-routers: the pools of addresses they hand out themselves."""

from __future__ import annotations

from skytrail.api import router_pools
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record

_FIELD = "network_ipam_refs"


def _create(change: Change, body: Document) -> None:
    router_pools.check(change, body, None)


def _update(change: Change, old: Record, body: Document) -> None:
    if body.get(_FIELD) is not old.body.get(_FIELD):
        router_pools.check(change, body, old)


VIRTUAL_ROUTER = Rule(create=_create, update=_update)
