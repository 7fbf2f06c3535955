"""Puts the parts of the native API together and on the router."""

from __future__ import annotations

from skytrail.api.io.change_sets import ChangeSetApi
from skytrail.api.io.description import DescriptionApi
from skytrail.api.io.elections import Elections
from skytrail.api.io.history import HistoryApi
from skytrail.api.io.lists import ListApi
from skytrail.api.io.native import NativeApi
from skytrail.api.io.planning import PlanApi, Planner
from skytrail.api.io.search import SearchApi
from skytrail.api.io.status import StatusApi
from skytrail.api.io.subnet_use import SubnetUseApi
from skytrail.api.plugin import Deriver
from skytrail.api.service import ConfigService
from skytrail.api.status import StatusBoard
from skytrail.runtime.asgi import Router


def add_native_routes(
    router: Router, service: ConfigService, deriver: Deriver | None, board: StatusBoard
) -> None:
    """Add every native endpoint that has a module of its own; ``board`` is what components report."""
    Elections(service).add_routes(router)
    history = HistoryApi(service)
    native = NativeApi(service, history)
    planner = Planner(service, deriver, board)
    native.add_routes(router)
    history.add_routes(router, native)
    ListApi(service, native, history, board).add_routes(router)
    ChangeSetApi(service, native, planner).add_routes(router)
    StatusApi(service, native, board).add_routes(router)
    DescriptionApi(service, native).add_routes(router)
    PlanApi(service, native, planner).add_routes(router)
    SearchApi(service, history).add_routes(router)
    SubnetUseApi(service).add_routes(router)
