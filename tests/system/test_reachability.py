"""What the two-tenants example promises, by packets: A reaches B, C is dropped by POLICY."""

import asyncio
from pathlib import Path

import httpx
import pytest

from skytrail.lab import check, topology

FILE = Path(__file__).parents[2] / "examples" / "two-tenants" / "topology.yaml"
EXPECTED = topology.parse(FILE.read_text(), str(FILE)).expect


def claim(expectation):
    port = f"-{expectation.port}" if expectation.port else ""
    wanted = "reply" if expectation.reply else expectation.reason or "denied"
    protocol = f"{expectation.protocol}{port}"
    return f"{expectation.source}-to-{expectation.destination}-{protocol}-{wanted}"


@pytest.fixture(scope="module")
def cells(lab):
    return {cell.expectation: cell for cell in asyncio.run(check.check(lab))}


@pytest.mark.parametrize("expectation", EXPECTED, ids=claim)
def test_packet_does_what_the_topology_expects(cells, expectation):
    cell = cells[expectation]

    assert cell.ok, f"expected {cell.wanted}, seen {cell.seen}"


def test_every_denial_has_a_name(cells):
    nameless = [
        cell.expectation
        for cell in cells.values()
        if not cell.expectation.reply and not cell.twin and not cell.evidence.denial
    ]

    assert nameless == []


def test_tenants_really_use_the_same_addresses(members):
    assert members["red-web1"].address(version=4) == members["blue-web1"].address(version=4)
    assert members["red-web2"].address(version=4) == members["blue-web2"].address(version=4)


def test_the_api_tells_the_way_of_a_packet_and_the_rule_that_refuses_it(lab):
    ends = {"source": lab.attached("red-web1").uuid, "destination": lab.attached("red-app").uuid}

    def told(port):
        query = {**ends, "protocol": "tcp", "port": str(port)}
        return httpx.get(f"{lab.api_url}/api/v1/trace", params=query, timeout=60).json()

    web, telnet = told(80), told(23)

    assert web["verdict"] == "delivered", web
    assert [leg["host"] for leg in web["legs"]] == [
        web["source"]["host"],
        web["destination"]["host"],
    ]
    assert telnet["verdict"] == "dropped"
    assert telnet["legs"][-1]["deciding_rule"]["text"] == "deny tcp remote red:back port 23"
