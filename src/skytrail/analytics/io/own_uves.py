"""UVEs, alarms and their streams for members of projects: of their project's networks, ports and machines only.

The same paths as everybody's. Values are always plain: the typed form names who said them, which are hosts. A stream ends
when its reader is no longer who it was, before it tells anything more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

from skytrail.analytics import uve_json, uve_types
from skytrail.analytics.collector import Collector
from skytrail.analytics.io.fan_out import event
from skytrail.analytics.io.other_nodes import Headers, missing_headers
from skytrail.analytics.io.past import Past
from skytrail.analytics.io.tenants import Turns, tenant_of
from skytrail.analytics.io.uve_requests import (
    filter_of_body,
    filter_of_query,
    link,
    no_type,
    tables_of,
)
from skytrail.analytics.tenant_uves import (
    BALANCERS,
    MACHINES,
    NAMED_TABLES,
    NETWORKS,
    PORTS,
    TABLES,
    Entity,
    Fields,
    State,
    is_whole,
    machines_of,
    may_use,
    own_part,
    seen,
    with_machine,
)
from skytrail.analytics.tenant_view import NOT_SHOWN, Tenant
from skytrail.analytics.uve_filter import ALARMS, UveFilter
from skytrail.analytics.uve_past import chosen_fields
from skytrail.runtime.asgi import HttpError, Reply, Request, StreamResponse, encode_json, json_reply
from skytrail.runtime.clock import Clock

STREAMS_COUNT_MAX: Final = 16
"""Of one project."""
EVERY_S: Final = 1.0
STANDING_S: Final = 5.0
"""How often a stream's reader is asked for anew, and before it is told anything."""
HEARTBEAT_S: Final = 15.0
CHUNK_COUNT: Final = 200
"""Entities looked at before other requests have their turn."""
_EVENTS: Final = "text/event-stream"
_EVERYTHING: Final = UveFilter()
_PORTS_NETWORK: Final = UveFilter(parts=(("UveVMInterfaceAgent", "virtual_network"),))

Shown = dict[str, Fields]
Stands = Callable[[Request], Awaitable[bool]]
"""Tells whether the sender of a request may still do the same."""


@dataclass(slots=True)
class _Follower:
    """A stream, and what its reader was told: a digest of each struct, by entity."""

    tenant: Tenant
    chosen: UveFilter
    tables: Sequence[str]
    with_alarms: bool = False
    """Of entities of the other tables, what alarms stand."""
    told: dict[Entity, dict[str, int]] = field(default_factory=dict[Entity, dict[str, int]])


class OwnUves:
    """Answers members of projects; a request's tenant is never None here."""

    def __init__(
        self,
        collector: Collector,
        past: Past | None,
        clock: Clock,
        turns: Turns,
        stands: Stands,
    ) -> None:
        self._collector = collector
        self._past = past
        self._clock = clock
        self._turns = turns
        self._stands = stands
        self._streams: Counter[str] = Counter()

    async def list_types(self, request: Request) -> Reply:
        words = (uve_types.plural(uve_types.TYPES[table]) for table in TABLES)
        return json_reply([link(request, f"/analytics/uves/{word}", word) for word in words])

    async def list_keys(self, request: Request) -> Reply:
        word = uve_types.singular(request.params["type"])
        if word is None:
            return await self._many(request, request.params["type"], filter_of_query(request))
        found, headers = await self._found(request, [_table(word)], filter_of_query(request))
        base = f"/{'/'.join(request.segments[:-2])}/uves/{word}"
        at = f"&at={quote(request.query['at'], safe='')}" if "at" in request.query else ""
        return json_reply(
            [link(request, f"{base}/{quote(key, safe=':')}?flat{at}", key) for _, key in found],
            headers=headers,
        )

    async def show(self, request: Request) -> Reply:
        word, name = request.params["type"], request.params["name"]
        chosen = filter_of_query(request)
        if name.endswith("*"):
            if not chosen.keys:
                chosen = replace(chosen, keys=(name,))
            return await self._many(request, word, chosen)
        one = replace(chosen, keys=(name,))
        found, headers = await self._found(request, [_table(word)], one)
        return json_reply(next(iter(found.values()), {}), headers=headers)

    async def post(self, request: Request) -> Reply:
        return await self._many(request, request.params["type"], filter_of_body(request))

    async def alarms(self, request: Request) -> Reply:
        chosen = replace(filter_of_query(request), parts=((ALARMS, ""),))
        # Whose a machine was is not asked of the past: that would be to read all machines.
        tables = NAMED_TABLES if "at" in request.query else TABLES
        shown: dict[str, list[object]] = {}
        found, headers = await self._found(request, tables, chosen)
        for (table, key), value in found.items():
            shown.setdefault(uve_types.TYPES[table], []).append({"name": key, "value": value})
        return json_reply(shown, headers=headers)

    async def stream(self, request: Request) -> Reply:
        alarms = request.query.get("alarms", "")
        if alarms not in {"", "all"}:
            raise HttpError(400, f"alarms={alarms[:40]} is not all")
        return self._streamed(request, filter_of_query(request), with_alarms=bool(alarms))

    async def alarm_stream(self, request: Request) -> Reply:
        return self._streamed(request, replace(filter_of_query(request), parts=((ALARMS, ""),)))

    def may_acknowledge(self, tenant: Tenant, entity: Entity) -> bool:
        """Tell whether an entity's alarms are the project's to have seen: it is nobody else's."""
        return is_whole(tenant, entity, self._state(entity) or {})

    async def _many(self, request: Request, word: str, chosen: UveFilter) -> Reply:
        found, headers = await self._found(request, [_table(word)], chosen)
        rows = [{"name": key, "value": value} for (_, key), value in found.items()]
        return json_reply({"value": rows}, headers=headers)

    async def _found(
        self, request: Request, tables: Sequence[str], chosen: UveFilter
    ) -> tuple[dict[Entity, Shown], Headers]:
        """Return what of these tables is the project's and wanted, and whose part is missing."""
        tenant = _sender(request)
        _check(chosen)
        self._turns.take(tenant)
        try:
            if "at" in request.query:
                return await self._then(tenant, tables, chosen, request.query["at"])
            found: dict[Entity, Shown] = {}
            for table in tables:
                for count, entity in enumerate(self._candidates(tenant, table, chosen)):
                    if shown := self._now(tenant, entity, chosen):
                        found[entity] = shown
                    if count % CHUNK_COUNT == CHUNK_COUNT - 1:
                        await asyncio.sleep(0)
            return found, ()
        finally:
            self._turns.give_back(tenant)

    async def _then(
        self, tenant: Tenant, tables: Sequence[str], chosen: UveFilter, at: str
    ) -> tuple[dict[Entity, Shown], Headers]:
        if self._past is None:
            raise HttpError(404, "at: no history is kept here, so nothing is known of the past")
        at_us = self._past.moment(at)
        found: dict[Entity, Shown] = {}
        missing: dict[str, str] = {}
        for table in tables:
            part = _part_then(tenant, replace(chosen, parts=()), table)
            if part is None:
                continue
            if table == BALANCERS:
                raise HttpError(400, "at: load balancers are shown as they are now; leave at out")
            if table == MACHINES and (not part.keys or any(key.endswith("*") for key in part.keys)):
                raise HttpError(
                    400, "at: machines of the past are shown by their uuid; name one, or kfilt"
                )
            states, absent = await self._past.entities([table], part, at_us, tenant.since_us)
            missing.update(absent)
            for entity, state in states.items():
                if shown := _chosen(seen(tenant, entity, state), chosen):
                    found[entity] = shown
        return found, missing_headers(missing)

    def _candidates(self, tenant: Tenant, table: str, chosen: UveFilter) -> Iterator[Entity]:
        """Yield entities that may be the project's and wanted, by their names."""
        part = own_part(tenant, chosen, table)
        used = self._used_networks(tenant) if table == NETWORKS else frozenset[str]()
        for key in self._collector.uves.keys(table):
            is_own = part is not None and part.has_key(key)
            if is_own or (key in used and chosen.has_key(key)):
                yield table, key

    def _used_networks(self, tenant: Tenant) -> frozenset[str]:
        """Return the networks that own ports say they are in: whether they are is seen of the network."""
        uves, found = self._collector.uves, set[str]()
        for key in uves.keys(PORTS):
            if key.startswith(tenant.prefix) and (held := uves.get(PORTS, key)) is not None:
                said = uve_json.flat(_PORTS_NETWORK.part_of(held)).get("UveVMInterfaceAgent")
                network = said.get("virtual_network") if isinstance(said, dict) else None
                found.add(str(network))
        return frozenset(found)

    def _now(self, tenant: Tenant, entity: Entity, chosen: UveFilter) -> Shown:
        state = self._state(entity)
        return {} if state is None else _chosen(seen(tenant, entity, state), chosen)

    def _state(self, entity: Entity) -> State | None:
        """Return what is said of an entity now; of a balancer, with the machine that tells whose it is."""
        uves, (table, key) = self._collector.uves, entity
        held = uves.get(table, key)
        if held is None:
            return None
        state = uve_json.flat(_EVERYTHING.part_of(held))
        if table != BALANCERS:
            return state
        machine = next((found for each in machines_of(key) if (found := uves.get(*each))), None)
        told = {} if machine is None else uve_json.flat(_EVERYTHING.part_of(machine))
        return with_machine(state, told)

    def _streamed(self, request: Request, chosen: UveFilter, *, with_alarms: bool = False) -> Reply:
        tenant = _sender(request)
        _check(chosen)
        wanted = tables_of(request)
        hidden = sorted(wanted - set(TABLES))
        if hidden:
            raise HttpError(403, NOT_SHOWN)
        if self._streams[tenant.project] >= STREAMS_COUNT_MAX:
            raise HttpError(503, f"Your project has {STREAMS_COUNT_MAX} streams already")
        tables = [table for table in TABLES if not wanted or table in wanted]
        follower = _Follower(tenant, chosen, tables, with_alarms)
        return StreamResponse(self._events(request, follower), content_type=_EVENTS)

    async def _events(self, request: Request, follower: _Follower) -> AsyncIterator[bytes]:
        """Yield everything there is, then what changes, while the reader is who it was."""
        project = follower.tenant.project
        self._streams[project] += 1
        try:
            position, asked_at, told_at = -1, self._clock.now(), self._clock.now()
            while True:
                news = None if position < 0 else self._collector.changes.after(position)
                if news is None:
                    position = self._collector.changes.position
                    # What the reader knew before is void.
                    follower.told.clear()
                    yield event("init", None)
                    entities = list(self._everything(follower))
                else:
                    places, position = news
                    entities = [(table, key) for table, key, _ in places]
                now = self._clock.now()
                if now - asked_at >= STANDING_S:
                    if not await self._stands(request):
                        return
                    asked_at = now
                for count, entity in enumerate(dict.fromkeys(entities)):
                    for news_of_it in self._updates(follower, entity):
                        yield news_of_it
                        told_at = now
                    if count % CHUNK_COUNT == CHUNK_COUNT - 1:
                        await asyncio.sleep(0)
                if news is None:
                    yield event("synced", None)
                if now - told_at >= HEARTBEAT_S:
                    # A comment: it finds out whether anybody still reads.
                    yield b":\n\n"
                    told_at = now
                if not entities:
                    await asyncio.sleep(EVERY_S)
        finally:
            self._streams[project] -= 1
            if not self._streams[project]:
                del self._streams[project]

    def _everything(self, follower: _Follower) -> Iterator[Entity]:
        for table in TABLES if follower.with_alarms else follower.tables:
            yield from self._candidates(follower.tenant, table, follower.chosen)

    def _updates(self, follower: _Follower, entity: Entity) -> Iterator[bytes]:
        """Yield what is news of an entity to a follower: of what is hidden from it, nothing."""
        table, key = entity
        chosen = follower.chosen
        if table not in follower.tables:
            if not follower.with_alarms or table not in TABLES:
                return
            chosen = replace(chosen, parts=((ALARMS, ""),))
        part = own_part(follower.tenant, chosen, table)
        is_own = part is not None and part.has_key(key)
        if not is_own and not may_use(follower.tenant, chosen, entity):
            return
        shown = self._now(follower.tenant, entity, chosen)
        if shown and not is_own and key not in self._used_networks(follower.tenant):
            shown = {}
        told, name = follower.told.pop(entity, {}), f"{table}:{key}"
        if not shown:
            if told:
                yield event("update", {"key": name, "type": None, "value": None})
            return
        digests = {struct: hash(encode_json(fields)) for struct, fields in shown.items()}
        follower.told[entity] = digests
        for struct, fields in shown.items():
            if told.get(struct) != digests[struct]:
                yield event("update", {"key": name, "type": struct, "value": fields})
        for struct in told.keys() - shown.keys():
            yield event("update", {"key": name, "type": struct, "value": None})


def _part_then(tenant: Tenant, chosen: UveFilter, table: str) -> UveFilter | None:
    """Return what is read of the past: own names, and networks of others that are asked for by name."""
    part = own_part(tenant, chosen, table)
    used = tuple(
        key
        for key in chosen.keys
        if not key.endswith("*") and may_use(tenant, chosen, (table, key))
    )
    if not used:
        return part
    return replace(chosen, keys=(*(() if part is None else part.keys), *used))


def _sender(request: Request) -> Tenant:
    tenant = tenant_of(request)
    if tenant is None:
        raise HttpError(403, NOT_SHOWN)
    return tenant


def _check(chosen: UveFilter) -> None:
    if chosen.source or chosen.module is not None:
        # They would tell which host has something to say of an entity.
        raise HttpError(
            403, "sfilt, mfilt: who says something is shown to administrators; leave them out"
        )


def _table(word: str) -> str:
    table = uve_types.TABLES.get(word)
    if table is None:
        raise no_type(word)
    if table not in TABLES:
        raise HttpError(403, NOT_SHOWN)
    return table


def _chosen(shown: Shown, chosen: UveFilter) -> Shown:
    found = {struct: chosen_fields(struct, fields, chosen) for struct, fields in shown.items()}
    return {struct: fields for struct, fields in found.items() if fields}
