"""The walk of the API server over agents: real sockets, agents that answer what a test says."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from skytrail.api.io.path_trace import Question, Unreachable, Untraceable
from skytrail.daemons.api_trace import AgentsWalk
from skytrail.runtime import server
from skytrail.runtime.asgi import AsgiApp, Request, Response, json_reply

A, B, OFF = (f"0b7c3d1e-1111-4222-8333-44445555666{digit}" for digit in "123")
HOSTS = {"192.0.2.1": "rack1", "192.0.2.2": "rack2", "192.0.2.3": "rack3"}


def port(uuid: str, name: str, address: str, **more: object) -> dict[str, object]:
    shown = {"vmi_uuid": uuid, "ifname": name, "active": True, "name": f"default-domain:red:{name}"}
    return {**shown, "addresses": [address], "virtual_network": "default-domain:red:n", **more}


def tunnel(remote: str) -> dict[str, object]:
    return {"outcome": "forwarded", "remote": remote, "encapsulation": "MPLS_UDP", "label": 19}


def sighting(point: str, uuid: str) -> dict[str, object]:
    # The second host's clock is behind.
    time_ns = 9 if point == "sent" else 5
    row = {"point": point, "reason": "", "vmi_uuid": uuid, "port": "", "ifname": "tap", "vrf": "v"}
    return {**row, "time_ns": time_ns}


class Agents:
    """Two agents on a loop of their own thread; ``sent`` is what the first one does."""

    def __init__(self, folder: Path) -> None:
        self.sent: dict[str, object] = tunnel("192.0.2.2")
        off = {"active": False, "reason": "its machine is not running"}
        self.ports = {
            "rack1": [port(A, "a", "10.0.0.3"), port(OFF, "off", "10.0.0.9", **off)],
            "rack2": [port(B, "b", "10.0.0.4")],
        }
        self.sockets = {name: folder / name for name in self.ports}
        self.learnt: list[dict[str, object]] = []
        """What the second one learnt."""
        self.asked: list[dict[str, str]] = []
        self.probed: list[tuple[str, dict[str, str]]] = []
        self.loop = asyncio.new_event_loop()
        listeners = {name: server.listen_unix(path) for name, path in self.sockets.items()}
        self.thread = threading.Thread(target=self._run, args=(listeners,))
        self.thread.start()

    def _run(self, listeners) -> None:
        tasks = [
            self.loop.create_task(server.serve(AsgiApp(self._answers(name)), [listener]))
            for name, listener in listeners.items()
        ]
        self.stop = lambda: [task.cancel() for task in tasks]
        self.loop.run_until_complete(asyncio.wait(tasks))

    def _answers(self, name: str):
        async def answer(request: Request) -> Response:
            table = request.path.rpartition("/")[2]
            if table == "interfaces":
                rows = self.ports[name]
            elif table == "probe":
                self.probed.append((name, dict(request.query)))
                rows = [sighting("sent", A)] if name == "rack1" else [sighting("delivered", B)]
            elif table != "explain":
                learnt = self.learnt if (name, table) == ("rack2", "learnt_addresses") else []
                rows = [
                    row
                    for row in learnt
                    if all(row[key] == text for key, text in request.query.items() if key in row)
                ]
            else:
                self.asked.append(dict(request.query))
                rows = [self.sent if name == "rack1" else {"outcome": "delivered", "vmi_uuid": B}]
            return json_reply({"table": table, "rows": rows, "total": len(rows)})

        return answer


@pytest.fixture
def agents(tmp_path):
    made = Agents(tmp_path)
    yield made
    made.loop.call_soon_threadsafe(made.stop)
    made.thread.join()
    made.loop.close()


def test_a_packet_is_followed_from_host_to_host(agents) -> None:
    found = AgentsWalk(agents.sockets)(Question(A, B, "tcp", 80), HOSTS, {})

    assert found["verdict"] == "delivered"
    assert found["summary"] == "delivered to red:b"
    assert [leg["host"] for leg in found["legs"]] == ["rack1", "rack2"]
    assert agents.asked[1]["label"] == "19"


@pytest.mark.parametrize("to", ["10.0.0.99", "02:00:00:00:65:01"])
def test_a_machine_behind_a_port_is_found_by_address_and_by_mac(agents, to) -> None:
    agents.learnt = [{"port": B, "address": "10.0.0.99", "mac": "02:00:00:00:65:01"}]

    found = AgentsWalk(agents.sockets)(Question(A, to), HOSTS, {})

    assert (found["verdict"], found["summary"]) == ("delivered", f"delivered to {to} behind red:b")
    assert found["destination"]["behind"] == "red:b"
    assert agents.asked[1]["dmac"] == "02:00:00:00:65:01"


def test_a_host_whose_agent_is_not_known_is_named_where_the_way_ends(agents) -> None:
    agents.sent = tunnel("192.0.2.3")

    found = AgentsWalk(agents.sockets)(Question(A, B), HOSTS, {})

    assert found["verdict"] == "leaves"
    assert "rack3, whose agent is not asked" in found["summary"]


def test_a_network_says_which_of_equal_addresses_is_meant_and_nothing_of_ports(agents) -> None:
    agents.ports["rack2"].append(port(OFF, "c", "10.0.0.4", virtual_network="default-domain:x:n"))
    walk = AgentsWalk(agents.sockets)

    with pytest.raises(Untraceable, match="several ports"):
        walk(Question("10.0.0.4", A), HOSTS, {})
    shared = walk(Question(A, "10.0.0.4"), HOSTS, {})
    found = walk(Question(A, "10.0.0.4", network="default-domain:red:n"), HOSTS, {})
    other = walk(Question(A, "10.0.0.4", network="default-domain:x:n"), HOSTS, {})

    assert (found["verdict"], other["verdict"]) == ("delivered", "elsewhere")
    assert (shared["verdict"], shared["destination"]["uuid"]) == ("delivered", B)
    assert shared["summary"] == "delivered to 10.0.0.4 at red:b"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (OFF, "does not forward: its machine is not running"),
        ("default-domain:red:nobody", "on none of the hosts asked: rack1, rack2"),
        ("10.9.9.9", "a trace begins at a port"),
        ("02:00:00:00:00:99", "name the sender's port or address"),
        ("01:00:5e:00:00:01", "MAC of a group"),
    ],
)
def test_a_way_that_cannot_begin_says_why(agents, source, told) -> None:
    with pytest.raises(Untraceable, match=told):
        AgentsWalk(agents.sockets)(Question(source, B), HOSTS, {})


def test_agents_that_are_away_are_told_of(tmp_path) -> None:
    with pytest.raises(Unreachable, match="agent of rack1 does not answer"):
        AgentsWalk({"rack1": tmp_path / "none"})(Question(A, B), HOSTS, {})


def test_a_probe_is_sent_by_its_host_and_looked_for_by_those_on_the_way(agents) -> None:
    found = AgentsWalk(agents.sockets).probe(Question(A, B, "tcp", 80), HOSTS, {})

    probe = found["probe"]
    assert [(hop["host"], hop["point"]) for hop in probe["hops"]] == [
        ("rack1", "sent"), ("rack2", "delivered"),
    ]  # fmt: skip
    assert [hop["port"] for hop in probe["hops"]] == [
        "default-domain:red:a",
        "default-domain:red:b",
    ]
    assert (probe["agrees"], probe["seen"]) == (True, "delivered")
    asked = dict(agents.probed)
    assert asked["rack1"]["token"] == asked["rack2"]["token"]
    assert (asked["rack1"]["send"], asked["rack1"]["destination"]) == (A, "10.0.0.4")
    assert "send" not in asked["rack2"]
    assert int(asked["rack1"]["sport"]) == int(found["source_port"]) > 0


def test_no_probe_is_of_a_protocol_it_cannot_be_made_of(agents) -> None:
    with pytest.raises(Untraceable, match="icmp, tcp"):
        AgentsWalk(agents.sockets).probe(Question(A, B, "sctp", 80), HOSTS, {})
