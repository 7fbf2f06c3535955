"""How long queries take over a day of 10 million sessions (SKYTRAIL_BENCH_SESSIONS tells otherwise: 100000000).

The store is filled by itself, with sessions as hosts would tell them: 5,000 ports in 200 networks on 300 hosts, each with
a few services that it talks to, one in fifty denied; a tenth as many messages. Then every question that the console's
presets ask and those of the terminal, through the node's REST, each over an hour and over a day: milliseconds of processor
of node and store together, and of the clock.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent))

from analytics import Node, wait
from figures import Figures, percentile

SESSIONS_COUNT = int(os.environ.get("SKYTRAIL_BENCH_SESSIONS", "10000000"))
PIECE_COUNT = 500_000
ROUNDS_COUNT = 10
WANTED_MS = 300.0
_DAY_US = 86_400_000_000

_PORT = "intHash64(number) % 5000"
_SERVICE = "intHash32(intHash64(number) % 5000 * 5 + intHash64(number + 7) % 5)"
_SESSIONS = f"""
INSERT INTO skytrail.session (T, session_type, vrouter, vrouter_ip, vmi, vn, remote_vn, tier, application,
  remote_tier, remote_application, security_policy_rule, local_ip, remote_ip, server_port, client_port, protocol,
  other_vrouter_ip, forward_action, reverse_action, drop_reason, sample_weight, forward_sampled_bytes,
  forward_sampled_pkts, reverse_sampled_bytes, reverse_sampled_pkts, setup_time, teardown_time)
WITH {_PORT} AS port, {_SERVICE} AS service, intHash64(number + 3) % 50 = 0 AS is_denied,
  fromUnixTimestamp64Micro(toInt64({{start}} + number * {{step}})) AS moment
SELECT moment, if(number % 2 = 0, 'client', 'server'), 'host' || toString(port % 300), '192.0.2.1',
  'default-domain:p:port' || toString(port), 'default-domain:p:net' || toString(port % 200),
  'default-domain:p:net' || toString(service % 200), 'tier=web', 'application=' || toString(port % 40), 'tier=db',
  'application=' || toString(service % 40), 'rule' || toString(service % 500), '10.0.' || toString(port % 250) || '.' ||
  toString(intDiv(port, 250)), '10.1.' || toString(service % 250) || '.' || toString(intDiv(service, 250) % 250),
  [80, 443, 53, 5432, 8080][service % 5 + 1], 32768 + number % 28000, if(service % 5 = 2, 17, 6),
  '192.0.2.' || toString(service % 250), if(is_denied, 'deny', 'pass'), if(is_denied, 'deny', 'pass'),
  if(is_denied, 'POLICY', ''), 1, intHash32(number) % 100000, intHash32(number) % 100, intHash32(number) % 900000,
  intHash32(number) % 900, toUnixTimestamp64Micro(moment) - 5000000, toUnixTimestamp64Micro(moment)
FROM numbers({{first}}, {{count}})
"""
_MESSAGES = """
INSERT INTO skytrail.message (MessageTS, Source, ModuleId, NodeType, InstanceId, Category, Level, Type, Messagetype,
  Xmlmessage, ObjectTables, ObjectIds)
SELECT fromUnixTimestamp64Micro(toInt64({start} + number * {step})), 'host' || toString(intHash32(number) % 300),
  'contrail-vrouter-agent', 'Compute', '0', '', intHash32(number) % 7, 1, 'Event' || toString(intHash32(number) % 50),
  '<Event type="sandesh"><port type="string">default-domain:p:port' || toString(intHash32(number) % 5000) || '</port>' ||
  '<reason type="string">of some length, as reasons have it</reason></Event>', ['ObjectVNTable'],
  ['default-domain:p:net' || toString(intHash32(number) % 200)]
FROM numbers({first}, {count})
"""

_ENDS = ["vn", "local_ip", "remote_vn", "remote_ip", "protocol", "server_port"]
_SUMS = ["SUM(forward_sampled_bytes)", "SUM(reverse_sampled_bytes)", "SUM(sample_count)"]


def _match(name: str, value: str | int, op: int = 1) -> dict[str, object]:
    return {"name": name, "value": value, "op": op}


def _questions() -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield questions by name: the console's presets (question.ts), then the terminal's."""
    record, series = "SessionRecordTable", "SessionSeriesTable"
    log = ["MessageTS", "Level", "Source", "ModuleId", "Messagetype", "Xmlmessage"]
    newest = {"sort": 2, "limit": 1000}
    shown = ["T", "session_type", "vmi", *_ENDS]
    yield (
        "logs",
        {"table": "MessageTable", "select_fields": log, "sort_fields": ["MessageTS"]} | newest,
    )
    yield (
        "sessions",
        {
            "table": record, "sort_fields": ["T"],
            "select_fields": [*shown, "client_port", "forward_action", "security_policy_rule"],
        } | newest,
    )  # fmt: skip
    yield (
        "denied",
        {
            "table": record, "where": [[_match("forward_action", "pass", 2)]], "sort_fields": ["T"],
            "select_fields": [*shown, "drop_reason", "security_policy_rule", "vrouter"],
        } | newest,
    )  # fmt: skip
    client = {"table": series, "session_type": "client"}
    yield (
        "between_networks",
        {
            **client,
            "select_fields": ["vn", "remote_vn", *_SUMS],
            "sort_fields": [_SUMS[0]],
            **newest,
        },
    )
    by_minute = ["T=60", "vn", "remote_vn", "protocol", "server_port", _SUMS[2], _SUMS[0]]
    yield "by_minute", {**client, "select_fields": by_minute, "sort_fields": ["T=60"], **newest}
    of_one = [[_match("vn", "default-domain:p:net7")]]
    yield "series_of_one_network", {**client, "select_fields": ["T=60", *_SUMS], "where": of_one}
    yield (
        "sessions_of_one_network",
        {
            "table": record,
            "select_fields": shown,
            "where": of_one,
            "sort_fields": ["T"],
            "sort": 2,
            "limit": 100,
        },
    )
    by_port = {**client, "select_fields": ["server_port", *_SUMS], "where": of_one}
    yield "ports_of_one_network", by_port | {"sort_fields": [_SUMS[0]], "sort": 2, "limit": 100}
    by_application = ["application", "remote_application", *_SUMS]
    yield "between_applications", {**client, "select_fields": by_application, "limit": 10_000}
    object_log = {
        "table": "ObjectVNTable",
        "where": [[_match("ObjectId", "default-domain:p:net7")]],
    }
    yield (
        "log_of_one_network",
        {
            **object_log,
            "select_fields": ["MessageTS", "ObjectLog"],
            "sort_fields": ["MessageTS"],
            "sort": 2,
            "limit": 100,
        },
    )
    severe = {"table": "MessageTable", "select_fields": log, "where": [[_match("Level", 2, 5)]]}
    yield "severe_logs", severe | {"sort_fields": ["MessageTS"], "sort": 2, "limit": 100}


def _fill(store: httpx.Client) -> None:
    end_us = time.time_ns() // 1000
    for statement, count in ((_SESSIONS, SESSIONS_COUNT), (_MESSAGES, SESSIONS_COUNT // 10)):
        step = max(1, _DAY_US // count)
        for first in range(0, count, PIECE_COUNT):
            sql = statement.format(
                start=end_us - step * count,
                step=step,
                first=first,
                count=min(PIECE_COUNT, count - first),
            )
            reply = store.post("/", params={"query": sql})
            if reply.status_code != 200:
                raise RuntimeError(reply.text)


def _ask(node: Node, question: Mapping[str, object], start: str) -> float:
    started = time.perf_counter()
    body = {"start_time": start, "end_time": "now", **question}
    reply = node.client.post("/analytics/query", json=body)
    reply.raise_for_status()
    if not reply.json()["value"]:
        raise RuntimeError(f"nothing is found by {body}")
    return (time.perf_counter() - started) * 1000


def run() -> None:
    figures = Figures("analytics_queries")
    with tempfile.TemporaryDirectory() as folder:
        node = Node(Path(folder))
        transport = httpx.HTTPTransport(uds=str(Path(folder) / "history.sock"))
        try:
            wait(lambda: node.client.get("/healthz").status_code == 200)
            with httpx.Client(transport=transport, base_url="http://history", timeout=600) as store:
                started = time.perf_counter()
                _fill(store)
                figures.add("fill", SESSIONS_COUNT / (time.perf_counter() - started), "sessions/s")
            for name, question in _questions():
                for span in ("1h", "1d"):
                    cpu_s = node.cpu_s()
                    took = [_ask(node, question, f"now-{span}") for _ in range(ROUNDS_COUNT)]
                    used_ms = (node.cpu_s() - cpu_s) / ROUNDS_COUNT * 1000
                    figures.add(f"{name}_{span}_cpu", used_ms, "ms")
                    figures.add(f"{name}_{span}_p95", percentile(took, 95), "ms", wanted=WANTED_MS)
        finally:
            node.stop()
    figures.write()
