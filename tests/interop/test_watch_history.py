"""A watch that resumes while the store behind it has become another one, by real processes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx

from skytrail.testing.controller import Controller

WATCH = "/api/v1/watch"


def lines_until(controller: Controller, kind: str, **query: object) -> list[dict[str, Any]]:
    """Return the first lines of a watch, up to one of that kind."""
    found: list[dict[str, Any]] = []
    transport = httpx.HTTPTransport(uds=str(controller.api_socket))
    with (
        httpx.Client(transport=transport, base_url="http://api", timeout=20) as client,
        client.stream("GET", WATCH, params={"types": "project", **query}) as reply,
    ):
        for line in reply.iter_lines():
            found.append(json.loads(line))
            if found[-1]["kind"] == kind:
                return found
    raise AssertionError(f"no {kind} in {found}")


def create_projects(controller: Controller, names: list[str]) -> None:
    with controller.client() as api:
        for name in names:
            api.create("project", {"fq_name": ["default-domain", name]})


def test_a_store_restored_to_an_older_state_gives_its_watchers_a_snapshot(tmp_path: Path) -> None:
    controller = Controller(tmp_path)
    controller.start_api()
    try:
        create_projects(controller, ["kept"])
        controller.kill("api")
        shutil.copytree(tmp_path / "data", tmp_path / "backup")
        controller.start_api()
        create_projects(controller, ["lost-1", "lost-2"])
        seen = lines_until(controller, "snapshot_end")[-1]
        controller.kill("api")
        shutil.rmtree(tmp_path / "data")
        shutil.copytree(tmp_path / "backup", tmp_path / "data")
        controller.start_api()
        # Its revisions have passed the watcher's when the watcher comes back.
        create_projects(controller, [f"other-{number}" for number in range(6)])
        position = {"from_revision": seen["revision"] + 1}

        alone = lines_until(controller, "revision_end", **position)
        whole = lines_until(controller, "snapshot_end", **position, history=seen["history"])

        assert alone[0]["kind"] == "put"
        assert whole[0]["kind"] == "snapshot_begin"
        names = [line["object"]["fq_name"][-1] for line in whole if line["kind"] == "put"]
        assert "kept" in names
        assert not [name for name in names if name.startswith("lost")]
    finally:
        controller.stop()
