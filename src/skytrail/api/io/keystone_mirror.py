"""Projects and domains of Keystone, mirrored: made when they are first heard of, removed when gone.

    token of an unknown project ---------------------------> made from the token
    fqname-to-id, read by uuid of an unknown one --Keystone--> made from its answer
    every poll_s: ours that Keystone no longer has (404) ---> removed, unless something is in them

What is made here carries ``keystone`` as the creator in its ``id_perms``; nothing else is ever
removed. The list alone removes nothing either: each missing one is asked for by its id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import httpx
import msgspec
import structlog

from skytrail.api import admission, documents
from skytrail.api.admission import Links
from skytrail.api.bounded import BoundedCache
from skytrail.api.caller import THE_SERVER
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import Record, find
from skytrail.api.io.keystone_client import KeystoneClient, decoded
from skytrail.api.plugin import IdentityUnavailable, NotAuthentic
from skytrail.api.refusal import Refused
from skytrail.api.service import ConfigService
from skytrail.model.validate import without_misleading

CREATOR = "keystone"
ABSENT_S = 30.0
"""How long what Keystone did not have is not asked for again."""
ASKED_AT_ONCE = 4
NAME_LENGTH_MAX = 255
DEFAULT_DOMAIN = ("default-domain",)
_DEFAULT_ID = "default"
KINDS = ("domain", "project")


class Named(msgspec.Struct):
    id: str = ""
    name: str = ""


class _Project(msgspec.Struct):
    id: str
    name: str
    domain_id: str = _DEFAULT_ID
    is_domain: bool = False


class _OneProject(msgspec.Struct):
    project: _Project


class _Projects(msgspec.Struct):
    projects: list[_Project]


class _OneDomain(msgspec.Struct):
    domain: Named


class _Domains(msgspec.Struct):
    domains: list[Named]


class KeystoneMirror:
    """A ``plugin.Directory`` of one Keystone."""

    def __init__(
        self,
        service: ConfigService,
        client: KeystoneClient,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._client = client
        self._clock = clock
        self._absent: BoundedCache[tuple[str, ...], float] = BoundedCache(10_000)
        self._slots = asyncio.Semaphore(ASKED_AT_ONCE)
        self._kept: set[str] = set()
        self._log = structlog.get_logger("skytrail.api")

    # On demand.

    async def bring_name(self, kind: str, fq_name: tuple[str, ...]) -> None:
        """Make a domain or project of that name if Keystone has it and we do not."""
        if find(self._service.graph, kind, fq_name) is not None or not _is_name(fq_name):
            return
        key = (kind, *fq_name)
        if self._is_absent(key):
            return
        async with self._slots:
            if kind == "domain" and len(fq_name) == 1:
                found = await self._domain_named(fq_name[0])
            elif kind == "project" and len(fq_name) == 2:
                found = await self._project_named(*fq_name)
            else:
                found = False
        self._note(key, found=found)

    async def bring_uuid(self, kind: str, uuid: str) -> None:
        """Make the domain or project with that uuid if Keystone has it and we do not."""
        if self._service.graph.get(uuid) is not None:
            return
        key = (kind, uuid)
        if self._is_absent(key):
            return
        async with self._slots:
            hexadecimal = uuid.replace("-", "")
            if kind == "domain":
                domain = await self._domain(hexadecimal)
                if domain is not None:
                    await self.make_domain(domain)
                found = domain is not None
            else:
                reply = await self._get(f"/projects/{hexadecimal}")
                found = reply is not None and await self._take(decoded(reply, _OneProject).project)
        self._note(key, found=found)

    async def _domain_named(self, name: str) -> bool:
        reply = await self._get("/domains", name=name)
        listed = [] if reply is None else decoded(reply, _Domains).domains
        for domain in listed:
            if domain.name == name and domain.id != _DEFAULT_ID:
                await self.make_domain(domain)
                return True
        return False

    async def _project_named(self, domain_name: str, name: str) -> bool:
        graph = self._service.graph
        if (domain_name,) == DEFAULT_DOMAIN:
            domain_id = _DEFAULT_ID
        else:
            if graph.uuid_of("domain", (domain_name,)) is None:
                await self._domain_named(domain_name)
            domain_uuid = graph.uuid_of("domain", (domain_name,))
            if domain_uuid is None:
                return False
            domain_id = domain_uuid.replace("-", "")
        reply = await self._get("/projects", name=name, domain_id=domain_id)
        listed = [] if reply is None else decoded(reply, _Projects).projects
        for project in listed:
            if (project.name, project.domain_id) == (name, domain_id):
                return await self._take(project)
        return False

    async def _take(self, project: _Project) -> bool:
        """Make a project Keystone told of; tell whether it was one."""
        if project.is_domain:
            return False
        domain = Named(_DEFAULT_ID)
        if project.domain_id != _DEFAULT_ID:
            known = await self._domain(project.domain_id)
            if known is None:
                return False
            domain = known
        await self.make_project(Named(project.id, project.name), domain)
        return True

    async def _domain(self, keystone_id: str) -> Named | None:
        reply = await self._get(f"/domains/{keystone_id}")
        return None if reply is None else decoded(reply, _OneDomain).domain

    async def _get(self, path: str, **params: str) -> httpx.Response | None:
        """Return Keystone's answer, None for 404; raises IdentityUnavailable for all others."""
        reply = await self._client.get(path, params=params)
        if reply.status_code == httpx.codes.NOT_FOUND:
            return None
        if reply.status_code != httpx.codes.OK:
            where = path.split("/")[1]
            raise IdentityUnavailable(f"Keystone answered {reply.status_code} about {where}")
        return reply

    def _is_absent(self, key: tuple[str, ...]) -> bool:
        return (self._absent.get(key) or 0.0) > self._clock()

    def _note(self, key: tuple[str, ...], *, found: bool) -> None:
        if not found:
            self._absent.put(key, self._clock() + ABSENT_S)

    # Making.

    async def make_domain(self, domain: Named) -> None:
        """Make a domain; raises IdentityUnavailable when that is refused."""
        await self._write(
            lambda change: _ensure(change, "domain", dashed(domain.id), (), domain.name)
        )

    async def make_project(self, project: Named, domain: Named) -> tuple[str, str]:
        """Make a project and its domain where they are missing; return domain's and its uuid."""
        await self._write(lambda change: ensure_project(change, project, domain))
        found = self.domain_uuid(domain.id)
        return found, dashed(project.id)

    def domain_uuid(self, keystone_id: str) -> str:
        """Return the uuid of a domain here."""
        if keystone_id == _DEFAULT_ID:
            return self._service.graph.uuid_of("domain", DEFAULT_DOMAIN) or ""
        return dashed(keystone_id)

    async def _write(self, plan: Callable[[Change], object]) -> None:
        try:
            await self._service.write(plan, caller=THE_SERVER)
        except Refused as refusal:
            raise IdentityUnavailable(f"it cannot be made: {refusal.text}") from refusal

    # Removing.

    async def keep_in_step(self) -> None:
        """Remove what Keystone no longer has, from time to time, until cancelled."""
        poll_s = self._client.settings.poll_s
        while poll_s > 0:
            await asyncio.sleep(poll_s)
            try:
                await self.sweep()
            except IdentityUnavailable as error:
                # Nothing is removed on a guess; the next round asks again.
                self._log.warning("keystone_not_followed", reason=str(error))

    async def sweep(self) -> None:
        """Remove projects, then domains, that came from Keystone and are gone there."""
        for kind in ("project", "domain"):
            ours = [r for r in self._service.graph.of_type(kind) if _is_mirrored(r)]
            if not ours:
                continue
            there = await self._listed(kind)
            for record in ours:
                if record.uuid not in there and await self._is_gone(kind, record.uuid):
                    await self._remove(record)

    async def _listed(self, kind: str) -> set[str]:
        reply = await self._get(f"/{kind}s")
        if reply is None:
            raise IdentityUnavailable(f"Keystone has no list of {kind}s")
        listed: list[str]
        if kind == "domain":
            listed = [each.id for each in decoded(reply, _Domains).domains]
        else:
            listed = [each.id for each in decoded(reply, _Projects).projects]
        return {str(UUID(hex=each)) for each in listed if _is_uuid(each)}

    async def _is_gone(self, kind: str, uuid: str) -> bool:
        return await self._get(f"/{kind}s/{uuid.replace('-', '')}") is None

    async def _remove(self, record: Record) -> None:
        def plan(change: Change) -> None:
            present = change.view.get(record.uuid)
            if present is not None and _is_mirrored(present):
                admission.delete(change, present, Links(""))

        name = ":".join(record.fq_name)
        try:
            await self._service.write(plan, caller=THE_SERVER)
        except Refused as refusal:
            if record.uuid not in self._kept:
                self._kept.add(record.uuid)
                self._log.warning(
                    "keystone_leftover_kept", type=record.type_name, name=name,
                    reason=refusal.text[:300],
                )  # fmt: skip
            return
        self._kept.discard(record.uuid)
        self._log.info("keystone_leftover_removed", type=record.type_name, name=name)


def _is_name(fq_name: tuple[str, ...]) -> bool:
    return all(0 < len(part) <= NAME_LENGTH_MAX and part.isprintable() for part in fq_name)


def _is_mirrored(record: Record) -> bool:
    return documents.text(documents.section(record.body, "id_perms"), "creator") == CREATOR


def ensure_project(change: Change, project: Named, domain: Named) -> None:
    """Plan a Keystone project and its domain where they are missing."""
    domain_uuid = change.view.uuid_of("domain", DEFAULT_DOMAIN)
    if domain.id != _DEFAULT_ID or domain_uuid is None:
        domain_uuid = dashed(domain.id)
        _ensure(change, "domain", domain_uuid, (), domain.name)
    above = change.view.get(domain_uuid)
    fq_name = () if above is None else above.fq_name
    _ensure(change, "project", dashed(project.id), fq_name, project.name)


def _ensure(change: Change, kind: str, uuid: str, above: tuple[str, ...], name: str) -> None:
    if change.view.get(uuid) is not None:
        return
    name = without_misleading(name)
    usable = name.replace(":", "_")
    if find(change.view, kind, (*above, usable)) is not None:
        # The name is taken by an object that is not Keystone's, or by a deleted project's.
        usable = f"{usable}-{uuid}"
    body: Document = {
        "uuid": uuid,
        "fq_name": [*above, usable],
        "display_name": name,
        "id_perms": {"enable": True, "creator": CREATOR},
    }
    admission.create(change, change.schema.resources[kind], body)


def dashed(keystone_id: str) -> str:
    """Return the uuid of a Keystone id; raises NotAuthentic for one that is none."""
    try:
        return str(UUID(hex=keystone_id))
    except ValueError as error:
        raise NotAuthentic(f"Keystone id {keystone_id[:64]!r} is not a uuid") from error


def _is_uuid(text: str) -> bool:
    try:
        UUID(hex=text)
    except ValueError:
        return False
    return True
