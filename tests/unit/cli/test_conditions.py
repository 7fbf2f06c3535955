"""What ``--wait`` waits for, and when it gives up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from skytrail.cli import conditions
from skytrail.cli.session import Refused

RED = [("virtual-network", ("d", "p", "red"))]
DONE = {"derived": "true", "distributed": "true", "programmed": "true"}


@dataclass
class Client:
    """Answers with one state of the conditions after the other; the last one stays."""

    states: list[dict[str, str]]
    reasons: dict[str, str] = field(default_factory=dict)
    asked: int = 0

    def name_to_id(self, type_name: str, fq_name: tuple[str, ...]) -> str:
        return "uuid"

    def call(self, call: object) -> bytes:
        state = self.states[min(self.asked, len(self.states) - 1)]
        self.asked += 1
        told = [
            {"type": kind, "status": status, "reason": self.reasons.get(kind, "pending"),
             "detail": f"{kind} detail"}
            for kind, status in state.items()
        ]  # fmt: skip
        return json.dumps({"conditions": told}).encode()


class Session:
    def __init__(self, client: Client) -> None:
        self.client = client


def wait(client: Client, until: str, limit_s: float = 30.0) -> None:
    conditions.wait(Session(client), RED, until=until, limit_s=limit_s, sleep=lambda _: None)


def test_hosts_are_waited_for_only_on_request() -> None:
    states = [{**DONE, "programmed": "false"}, DONE]
    distributed, programmed = Client(states), Client(states)

    wait(distributed, conditions.DISTRIBUTED)
    wait(programmed, conditions.PROGRAMMED)

    assert (distributed.asked, programmed.asked) == (1, 2)


def test_what_cannot_be_derived_is_given_up_at_once() -> None:
    client = Client([{**DONE, "derived": "false"}], {"derived": "too_many_rules"})

    with pytest.raises(Refused, match="refused: derived detail"):
        wait(client, conditions.PROGRAMMED)
    assert client.asked == 1


def test_host_that_is_away_is_waited_for_until_the_limit() -> None:
    client = Client([{**DONE, "programmed": "false"}], {"programmed": "not_connected"})

    with pytest.raises(Refused, match="not programmed after 0 s: programmed detail"):
        wait(client, conditions.PROGRAMMED, limit_s=0.0)


def test_hosts_that_the_sentence_names_are_not_repeated_below_it() -> None:
    hosts = [
        {"host": "one", "state": "pending", "detail": "later"},
        {"host": "two", "state": "not_connected", "detail": "away"},
        {"host": "three", "state": "programmed", "detail": "at revision 7"},
    ]
    told = {
        "type": "programmed", "status": "false", "detail": "1 of 3 hosts; one: later",
        "hosts": hosts,
    }  # fmt: skip

    assert list(conditions.lines([told])) == [
        "programmed: false (1 of 3 hosts; one: later)",
        "  two: not connected, away",
    ]


def test_what_nobody_is_there_to_do_is_given_up_soon(monkeypatch) -> None:
    times = iter(float(second) for second in range(100))
    monkeypatch.setattr(conditions.time, "monotonic", lambda: next(times))
    client = Client([{**DONE, "distributed": "unknown"}], {"distributed": "no_control_node"})

    with pytest.raises(Refused, match=r"not distributed after 3 s: distributed detail"):
        wait(client, conditions.DISTRIBUTED)

    assert client.asked <= 5
