"""What a project's member sees of history: his condition holds whatever a query asks for."""

from __future__ import annotations

import msgspec
import pytest

from skytrail.analytics.io.tenants import (
    RUNNING_COUNT_MAX,
    Sender,
    Turns,
    admit_tenant,
    admit_told,
    sender_of,
    tenant_of,
)
from skytrail.analytics.query import statement_of
from skytrail.analytics.query_request import QueryRequest, UnknownField, not_before
from skytrail.analytics.query_views import views
from skytrail.analytics.tags import COLUMNS as TAG_COLUMNS
from skytrail.analytics.tenant_view import NotForTenants, Tenant, seen_by
from skytrail.runtime.asgi import HttpError, Peer, Request
from skytrail.runtime.tenant import PROJECT_HEADER, SINCE_HEADER

NOW_US = 1_790_000_000_000_000
RED = Tenant("d:re'd")
OF_SESSIONS = ("SessionSeriesTable", "SessionRecordTable", "FlowSeriesTable", "FlowRecordTable")
NUMBERS = ("StatTable.UveVMInterfaceAgent.if_stats", "StatTable.UveVirtualNetworkAgent.vn_stats")


def statement(table, fields, **members):
    asked = {"table": table, "start_time": "now-10m", "end_time": "now", "select_fields": fields}
    return statement_of(msgspec.convert({**asked, **members}, QueryRequest), NOW_US, tenant=RED)


@pytest.mark.parametrize(
    ("table", "column"),
    [*((table, "vmi") for table in OF_SESSIONS), *((table, "name") for table in NUMBERS)],
)
@pytest.mark.parametrize("start", ["now-10m", "now-30d"])
def test_own_condition_is_anded_and_its_value_bound(table, column, start) -> None:
    either = [[{"name": column, "value": "a", "op": 1}], [{"name": column, "value": "b", "op": 2}]]

    made = statement(table, ["COUNT(T)"], start_time=start, where=either, filter=either)

    _, _, condition = made.sql.rpartition(" WHERE ")
    top = condition.partition(" LIMIT ")[0].split(" AND ")
    assert f"startsWith(t.`{column}`, {{owner:String}})" in top
    assert made.parameters["owner"] == "d:re'd:"
    assert "re'd" not in made.sql
    alternatives = f"((t.`{column}` = "
    assert condition.count(alternatives) == 2


def test_own_condition_holds_for_sums_of_hours_too() -> None:
    table, sums = NUMBERS[0], ["T=3600", "SUM(if_stats.in_bytes)"]

    made = statement(table, sums, start_time="now-30d")

    assert "skytrail.stat_1h" in made.sql
    assert "startsWith(t.`name`, {owner:String})" in made.sql


@pytest.mark.parametrize("table", OF_SESSIONS)
def test_what_tells_of_far_ends_is_shown_of_own_networks_only(table) -> None:
    told = ("remote_prefix", *(f"remote_{name}" for name in TAG_COLUMNS))
    # The name of a network that another project shares is no secret to a port in it.
    named = (
        "if(startsWith(t.`remote_vn`, {owner:String}) OR t.`remote_vn` = t.`vn`, t.`remote_vn`, '')"
    )
    for column in seen_by(RED, views()[table]).columns.values():
        rest = column.expression.replace(named, "hidden")
        for each in told:
            shown = f"t.`{each}`"
            rest = rest.replace(
                f"if(startsWith(t.`remote_vn`, {{owner:String}}), {shown}, '')", "hidden"
            )
        assert "t.`remote_" not in rest.replace("t.`remote_ip`", "")
        assert "vrouter" not in rest


def test_tables_of_all_projects_are_not_for_tenants() -> None:
    for name in views().keys() - set(OF_SESSIONS):
        with pytest.raises(NotForTenants, match="administrators"):
            statement(name, ["Source"])
    with pytest.raises(NotForTenants):
        statement("StatTable.NodeStatus.process_mem_cpu_usage", ["name"])


def test_names_that_would_end_the_condition_are_no_columns() -> None:
    for name in ("vmi`) OR (1", "owner", "{owner:String}", "1) OR (1"):
        with pytest.raises(UnknownField):
            statement("SessionRecordTable", [name])
        with pytest.raises(UnknownField):
            statement("SessionRecordTable", ["T"], where=[[{"name": name, "value": 1, "op": 1}]])


def request(method: str, *segments: str, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, "/" + "/".join(segments), segments, {}, named)


@pytest.mark.parametrize(
    "asked",
    [
        ("GET", "analytics", "query"), ("GET", "analytics", "query", "an-id"), ("GET", "api", "v1", "logs"),
        ("POST", "analytics", "uve-stream"), ("GET", "metrics"), ("POST", "api", "v1", "flows"),
        ("GET", "analytics", "alarms", "acknowledge"), ("GET", "api", "v1", "uves"), ("POST", "analytics", "uves"),
        ("GET", "api", "v1", "alarms", "vrouter", "h", "collected"), ("GET", "introspect", "uves"),
    ],
)  # fmt: skip
def test_paths_that_know_no_tenants_are_closed_to_them(asked) -> None:
    with pytest.raises(HttpError) as refusal:
        admit_tenant(request(*asked), RED, "eve")
    assert refusal.value.status == 403


@pytest.mark.parametrize("place", [("analytics",), ("api", "v1")])
def test_paths_of_uves_are_open_to_tenants(place) -> None:
    asked = request("GET", *place, "uves", "virtual-network", "d:red:net")

    admit_tenant(asked, RED, "eve")

    assert asked.identity == Sender("eve", RED)


def test_a_sender_that_may_ask_everything_narrows_it_to_a_project() -> None:
    said = {"x_skytrail_project": "d:r%C3%A9d", "x_skytrail_user": "%C3%A9ve"}
    narrowed = request("GET", "api", "v1", "flows", **said)
    whole, local = request("GET", "api", "v1", "logs"), request("GET", "api", "v1", "logs")
    local.peer = Peer(uid=7)
    # Who was found out counts, whatever is said.
    known = request("GET", "api", "v1", "logs", x_skytrail_user="else")

    for each in (narrowed, whole, local):
        admit_told(each)
    admit_told(known, "ann")

    assert [tenant_of(each) for each in (narrowed, whole, known)] == [Tenant("d:réd"), None, None]
    users = [sender_of(each).user for each in (narrowed, whole, local, known)]
    assert users == ["éve", "", "uid 7", "ann"]


def test_a_project_has_so_many_questions_running_and_others_theirs() -> None:
    turns = Turns()
    for _ in range(RUNNING_COUNT_MAX):
        turns.take(RED)
    with pytest.raises(HttpError) as refusal:
        turns.take(RED)
    assert refusal.value.status == 503
    turns.take(Tenant("d:blue"))
    turns.take(None)

    turns.give_back(RED)
    turns.take(RED)


def test_a_project_asks_for_nothing_older_than_itself():
    since = 1_700_000_000_000_000
    request = QueryRequest("SessionRecordTable", "now-1h", "now", ["vmi"])

    young = not_before(request, since, since + 5_000_000)
    old = not_before(request, since, since + 7_200_000_000)
    before = not_before(msgspec.structs.replace(request, end_time="now-30m"), since, since + 1)

    assert (young.start_time, young.end_time) == (since, since + 5_000_000)
    assert (old.start_time, old.end_time) == (since + 3_600_000_000, since + 7_200_000_000)
    assert (before.start_time, before.end_time) == (since, since)


@pytest.mark.parametrize(
    ("said", "since_us"), [(None, 0), ("0", 0), ("1700000000000000", 17 * 10**14)]
)
def test_who_asks_for_a_project_says_since_when_there_is_one(said, since_us):
    headers = {PROJECT_HEADER: "d:red"} | ({} if said is None else {SINCE_HEADER: said})
    request = Request("GET", "/analytics/alarms", ("analytics", "alarms"), {}, headers)

    admit_told(request)

    assert sender_of(request).tenant == Tenant("d:red", since_us)


@pytest.mark.parametrize("said", ["-1", "x", "", "1e9", "9" * 17])
def test_a_beginning_that_is_no_time_is_refused(said):
    headers = {PROJECT_HEADER: "d:red", SINCE_HEADER: said}

    with pytest.raises(HttpError, match=SINCE_HEADER):
        admit_told(Request("GET", "/analytics/alarms", ("analytics", "alarms"), {}, headers))
