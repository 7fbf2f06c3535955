"""Introspection over a real Unix socket, read by the same function the command line uses."""

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address

import msgspec
import pytest

from skytrail.runtime.introspection import (
    Introspection,
    IntrospectionFailed,
    Sliced,
    read_page,
    read_table,
    serve_unix,
)
from skytrail.runtime.metrics import Sample
from skytrail.runtime.server import AddressInUse, listen_tcp, listen_unix


@dataclass(frozen=True)
class Row:
    vrf: str
    address: IPv4Address


ROWS = [Row("red", IPv4Address("10.0.0.1")), Row("blue", IPv4Address("10.0.0.1"))]


@contextlib.asynccontextmanager
async def served(path, introspection):
    ready = asyncio.Event()
    server = asyncio.create_task(serve_unix(path, introspection, when_ready=ready.set))
    try:
        async with asyncio.timeout(10):
            await ready.wait()
            yield
    finally:
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server


def read_from(path, introspection, read):
    async def scenario():
        async with served(path, introspection):
            return await asyncio.to_thread(read)

    return asyncio.run(scenario())


def test_table_rows_come_back_as_json(tmp_path):
    path = tmp_path / "s"

    rows = read_from(path, Introspection({"fib": lambda: ROWS}), lambda: read_table(path, "fib"))

    assert rows == [
        {"vrf": "red", "address": "10.0.0.1"},
        {"vrf": "blue", "address": "10.0.0.1"},
    ]


def test_columns_filter_and_limit_bounds_the_rows(tmp_path):
    path = tmp_path / "s"
    pages = Introspection({"fib": lambda: ROWS})

    def read():
        return (
            read_table(path, "fib", where={"vrf": "blue"}),
            read_table(path, "fib", limit=1),
            msgspec.json.decode(read_page(path, "/introspect/fib?limit=1"))["total"],
        )

    blue, limited, total = read_from(path, pages, read)

    assert [row["vrf"] for row in blue] == ["blue"]
    assert [row["vrf"] for row in limited] == ["red"]
    assert total == 2


ROUTES = [
    {"prefix": f"10.0.{number}.0/24", "vrf": "red" if number % 2 else "blue", "best": number < 5,
     "hops": [{"address": f"192.0.2.{number}"}]}
    for number in range(10)
]  # fmt: skip


def page_of(tmp_path, query, tables=None):
    path = tmp_path / "s"
    pages = Introspection(tables or {"fib": lambda: ROUTES})
    found = msgspec.json.decode(
        read_from(path, pages, lambda: read_page(path, f"/introspect/fib?{query}"))
    )
    return [row["prefix"] for row in found["rows"]], found["total"]


@pytest.mark.parametrize(
    ("query", "numbers", "total"),
    [
        ("offset=3&limit=2", [3, 4], 10),
        ("offset=9&limit=5", [9], 10),
        ("offset=10", [], 10),
        ("vrf=red&offset=1&limit=2", [3, 5], 5),
        ("match=192.0.2.7", [7], 1),
        ("match=RED&limit=1", [1], 5),
        ("match=address", [], 0),
        ("match=%22", [], 0),
        ("match=0.3&vrf=red", [3], 1),
        ("best=true&vrf=blue", [0, 2, 4], 3),
        ("prefix=10.0.1", [], 0),
        ("nothing=null&limit=1", [0], 10),
        ("hops=[{%22address%22:%22192.0.2.4%22}]", [4], 1),
    ],
)
def test_page_holds_the_rows_that_are_asked_for(tmp_path, query, numbers, total):
    shown, counted = page_of(tmp_path, query)

    assert shown == [f"10.0.{number}.0/24" for number in numbers]
    assert counted == total


def test_text_is_found_whatever_json_makes_of_it(tmp_path):
    odd = [{"prefix": "a", "name": 'say "hi" \\ Ünïcode'}, {"prefix": "b", "name": "plain"}]
    for text in ("say %22HI", "%5C", "%C3%BCN%C3%AF"):
        assert page_of(tmp_path, f"match={text}", {"fib": lambda: odd}) == (["a"], 1)


def test_source_that_can_look_up_is_not_read_whole(tmp_path):
    def whole():
        raise AssertionError

    table = Sliced(whole, {"vrf": lambda name: (row for row in ROUTES if row["vrf"] == name)})

    assert page_of(tmp_path, "vrf=red&match=0.9", {"fib": table}) == (["10.0.9.0/24"], 1)


def test_every_process_tells_what_it_is_and_uses(tmp_path):
    path = tmp_path / "s"
    pages = Introspection({}, health=lambda: ["config-api"])

    (row,) = read_from(path, pages, lambda: read_table(path, "process"))

    assert (row["healthy"], row["unmet"]) == (False, ["config-api"])
    assert row["version"][0].isdigit()
    assert row["resident_bytes"] > 1 << 20
    assert 0 < row["uptime_s"] < 1e6


@pytest.mark.parametrize("limit", ["9" * 5000, "-1", "x", ""])
def test_a_limit_that_is_no_number_of_rows_is_the_askers_mistake(tmp_path, limit):
    pages = Introspection({"fib": lambda: ROWS})
    path = tmp_path / "s"

    with pytest.raises(IntrospectionFailed, match="is not a number of up to 18 digits"):
        read_from(path, pages, lambda: read_page(path, f"/introspect/fib?limit={limit}"))


def test_unknown_table_names_the_known_ones(tmp_path):
    path = tmp_path / "s"

    with pytest.raises(IntrospectionFailed, match="known tables: fib, process"):
        read_from(path, Introspection({"fib": lambda: ROWS}), lambda: read_table(path, "rib"))


def test_health_is_503_and_names_what_is_unmet(tmp_path):
    path = tmp_path / "s"
    pages = Introspection({}, health=lambda: ["config-api"])

    body = read_from(path, pages, lambda: read_page(path, "/healthz"))

    assert msgspec.json.decode(body) == {"healthy": False, "unmet": ["config-api"]}


def test_metrics_are_prometheus_text(tmp_path):
    path = tmp_path / "s"
    pages = Introspection({}, metrics=lambda: [Sample("drops_total", 3, {"reason": 'a"b'})])

    text = read_from(path, pages, lambda: read_page(path, "/metrics")).decode()

    assert '# TYPE drops_total counter\ndrops_total{reason="a\\"b"} 3\n' in text
    assert "process_resident_memory_bytes" in text


def test_missing_daemon_is_one_clear_error(tmp_path):
    with pytest.raises(IntrospectionFailed, match="is the daemon running"):
        read_table(tmp_path / "none", "fib")


def test_socket_file_is_removed_at_the_end(tmp_path):
    path = tmp_path / "s"

    read_from(path, Introspection({}), lambda: read_page(path, "/healthz"))

    assert not path.exists()


def test_leftover_socket_of_a_dead_process_is_replaced(tmp_path):
    path = tmp_path / "s"
    listen_unix(path).close()
    assert path.exists()

    listener = listen_unix(path)

    listener.close()


def test_living_listener_is_not_replaced(tmp_path):
    path = tmp_path / "s"

    with listen_unix(path), pytest.raises(AddressInUse, match="another process listens"):
        listen_unix(path)


def test_ordinary_file_is_never_removed(tmp_path):
    path = tmp_path / "s"
    path.write_text("precious", encoding="utf-8")

    with pytest.raises(OSError, match="not a socket"):
        listen_unix(path)
    assert path.read_text(encoding="utf-8") == "precious"


def test_taken_tcp_port_is_named():
    with listen_tcp("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]

        with pytest.raises(AddressInUse, match=f"127.0.0.1 port {port}"):
            listen_tcp("127.0.0.1", port)
    assert listener.family == socket.AF_INET


def test_table_that_is_read_in_slices_lets_the_daemon_work_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr("skytrail.runtime.introspection.SLICE_S", 0.0)
    path, turns = tmp_path / "s", []

    def rows():
        for number in range(100):
            yield {"number": number, "turns": len(turns)}

    async def scenario():
        async with served(path, Introspection({"fib": Sliced(rows)})):
            reading = asyncio.ensure_future(
                asyncio.to_thread(lambda: read_table(path, "fib", where={"number": "99"}))
            )
            while not reading.done():
                turns.append(None)
                await asyncio.sleep(0)
            return await reading

    before = len(turns)
    (last,) = asyncio.run(scenario())

    assert last["turns"] - before >= 99
