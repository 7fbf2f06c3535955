"""Throughput through service chains of 1, 2 and 3 hops, beside no chain, in a lab of namespaces.

The lab is examples/service-chain/row.yaml: two ends on two hosts, three routing services on two. One
policy leads a port of its own through none, one, two and three of them, so that rounds interleave and
nothing else differs. Each hop is a Linux router in a namespace, with two more tunnels where it is on
another host: what falls is mostly theirs. Which services packets crossed is checked.

``CHAINS_ROUNDS`` sets the number of rounds.
"""

from __future__ import annotations

import copy
import json
import os
import secrets
import statistics
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.datapath import FLOOD_SECONDS, TOOL, background, build_tool, output, ready
from bench.figures import Figures, interleaved_samples

from skytrail.client import ApiClient
from skytrail.lab import check
from skytrail.lab.service import Lab
from skytrail.testing.appliances import counted

ROUNDS = int(os.environ.get("CHAINS_ROUNDS", "5"))
TOPOLOGY = Path(__file__).parent.parent / "examples/service-chain/row.yaml"
SERVICES = ("alpha", "beta", "gamma")
POLICY = ["default-domain", "row", "services"]
TCP_SECONDS = 1.0
READY_TIMEOUT_S = 120
SMALL_PAYLOAD_BYTES = 18


def port_of(hops: int) -> int:
    """The tool's sink listens at the next one as well."""
    return 5200 + 10 * hops


def lead_by_port(api: ApiClient) -> None:
    """One rule for each number of hops, instead of those of the example."""
    uuid = api.name_to_id("network-policy", POLICY)
    entries = api.read("network-policy", uuid)["network_policy_entries"]
    longest = max(
        entries["policy_rule"], key=lambda rule: len(rule["action_list"]["apply_service"])
    )
    rules = []
    for hops in range(len(SERVICES) + 1):
        rule = copy.deepcopy(longest)
        rule["rule_uuid"] = None
        rule["protocol"] = "any"
        rule["dst_ports"] = [{"start_port": port_of(hops), "end_port": port_of(hops) + 1}]
        rule["action_list"]["apply_service"] = longest["action_list"]["apply_service"][:hops]
        rules.append(rule)
    api.update("network-policy", uuid, {"network_policy_entries": {"policy_rule": rules}})


class Ends:
    """The two workloads of the lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.client, self.server = (lab.plan.namespace_of(name) for name in ("left", "right"))
        self.address = str(check.members(lab)["right"].address(version=4))

    def tcp_gbits(self, hops: int) -> float:
        port = port_of(hops)
        with background(self.server, f"iperf3 -s -1 -p {port} -J --forceflush"):
            deadline = time.monotonic() + READY_TIMEOUT_S
            while not output(self.server, f"ss -Hltn sport = :{port}").strip():
                if time.monotonic() > deadline:
                    raise RuntimeError("iperf3 does not listen")
            command = f"iperf3 -c {self.address} -p {port} -t {TCP_SECONDS:g} -J"
            text = output(self.client, command)
        return json.loads(text)["end"]["sum_received"]["bits_per_second"] / 1e9

    def pps(self, hops: int) -> float:
        port = port_of(hops)
        with background(self.server, f"{TOOL} sink {port} {FLOOD_SECONDS * 0.9}") as sink:
            ready(sink)
            output(
                self.client,
                f"{TOOL} flood {self.address} {port} {FLOOD_SECONDS} {SMALL_PAYLOAD_BYTES}",
            )
            return float(sink.communicate(timeout=10)[0])

    def wait_ready(self, hops: int) -> None:
        """Until packets pass exactly the services they are to pass."""
        deadline, crossed = time.monotonic() + READY_TIMEOUT_S, {}
        while time.monotonic() < deadline:
            with counted(self.lab) as grown:
                try:
                    self.tcp_gbits(hops)
                except (RuntimeError, subprocess.TimeoutExpired):
                    time.sleep(0.5)
                    continue
                # Neighbour discovery of its own is all that the others may see.
                crossed = {name: grown()[name].onward > 50 for name in SERVICES}
            if crossed == {name: place < hops for place, name in enumerate(SERVICES)}:
                return
        message = f"{hops} hops: after {READY_TIMEOUT_S} s packets crossed {crossed}"
        raise RuntimeError(message)


def compare(figures: Figures, ends: Ends) -> None:
    kinds: dict[str, tuple[Callable[[int], float], str]] = {
        "tcp_1": (ends.tcp_gbits, "Gbit/s"),
        "udp64": (ends.pps, "packets/s"),
    }
    for kind, (measure, unit) in kinds.items():
        samples = interleaved_samples(
            ROUNDS,
            {str(hops): partial(measure, hops) for hops in range(len(SERVICES) + 1)},
            warm_up=1,
        )
        for hops, values in samples.items():
            value = statistics.median(values)
            ratios = [a / b for a, b in zip(values, samples["0"], strict=True)]
            is_plain = hops == "0"
            figures.add(
                f"{kind}_hops_{hops}", value, unit,
                yardstick=None if is_plain else value / statistics.median(ratios),
                yardstick_name="no chain", samples=values,
            )  # fmt: skip


def run() -> None:
    """Print throughput by number of hops, each beside no chain."""
    build_tool()
    figures = Figures("chains")
    lab = Lab.create(TOPOLOGY, name=f"stb{secrets.token_hex(3)}")
    try:
        lab.up()
        with ApiClient(lab.api_url) as api:
            lead_by_port(api)
        ends = Ends(lab)
        for hops in range(len(SERVICES) + 1):
            ends.wait_ready(hops)
        compare(figures, ends)
    finally:
        lab.down()
    figures.write()
