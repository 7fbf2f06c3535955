"""What policy by tags costs an agent: CPU time of the pure core, by number of rules.

A host with 100 ports of 50 tiers obeys one set of 1, 100 and 10,000 rules from tier to tier. Counted:
everything from nothing, a change of one rule and of one port's tag; ``rows`` are those of verdicts.
The datapath is the fake one; no process, socket or file is used.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

from bench.figures import Figures

from skytrail.agent.plugin import Datapath
from skytrail.agent.tables import VerdictRow
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet
from skytrail.wire.xmpp import ConfigKey, ConfigLink

RULES_COUNTS = (1, 100, 10_000)
PORTS_COUNT = 100
TIERS_COUNT = 50
CHANGES_COUNT = 5
APPLIES = "project-default-application-policy-set"


class Host:
    """An agent's core, and what may change."""

    def __init__(self, rules_count: int, datapath: Datapath | None = None) -> None:
        self.core = AgentHost(datapath=datapath)
        self.core.connect()
        config = ConfigBuilder()
        network = config.network("red", 5, [subnet("10.0.0.0/8")])
        self.project = config.node("project", PROJECT)
        applied = config.node("application-policy-set", f"{PROJECT}:set")
        config.links[self.project, applied] = ConfigLink(self.project, applied, APPLIES, None)
        policy = config.node("firewall-policy", f"{PROJECT}:policy")
        config.link(applied, policy, {"sequence": "1"})
        self.tiers = [tier(config, number) for number in range(TIERS_COUNT)]
        for number in range(PORTS_COUNT):
            port = config.port(f"p{number}", network, [f"10.1.{number}.3"])
            config.link(self.project, port)
            config.link(port, self.tiers[number % TIERS_COUNT])
            self.core.plug(f"p{number}", 10 + number)
        for number in range(rules_count):
            rule = firewall_rule(config, number, 1000 + number % 60_000)
            config.link(policy, rule, {"sequence": str(number)})
        self.config = config

    def start(self) -> None:
        self.core.configure(self.config.update())
        self.core.reconcile()

    def rule_changed(self, turn: int) -> None:
        config = ConfigBuilder()
        firewall_rule(config, 0, 61_000 + turn)
        self.core.configure(config.update(), end=False)
        self.core.reconcile()

    def tag_changed(self, turn: int) -> None:
        config = ConfigBuilder()
        label = config.node("tag", f"{PROJECT}:label={turn}", tag_id=hex(turn + 1))
        config.link(ConfigKey("virtual-machine-interface", f"{PROJECT}:p0"), label)
        self.core.configure(config.update(), end=False)
        self.core.reconcile()


def tier(config: ConfigBuilder, number: int) -> ConfigKey:
    return config.node("tag", f"{PROJECT}:tier={number}", tag_id=hex(0x20001 + number))


def firewall_rule(config: ConfigBuilder, number: int, port: int) -> ConfigKey:
    """From one tier to another, by tcp to a port."""
    ends = [(number * step) % TIERS_COUNT for step in (1, 7)]
    one, two = ({"tags": [f"tier={end}"], "tag_ids": [0x20001 + end]} for end in ends)
    ports = {"start_port": port, "end_port": port}
    return config.node(
        "firewall-rule",
        f"{PROJECT}:rule{number}",
        action_list={"simple_action": "pass"},
        endpoint_1=one,
        endpoint_2=two,
        direction="<>",
        service={"protocol": "tcp", "protocol_id": 6, "dst_ports": ports},
    )


def cpu_ms(change: Callable[[], None]) -> float:
    started = time.process_time()
    change()
    return (time.process_time() - started) * 1e3


def run() -> None:
    figures = Figures("agent_policy")
    for count in RULES_COUNTS:
        host = Host(count)
        gc.collect()
        figures.add(f"start_{count}", cpu_ms(host.start), "ms")
        for name, change in (("rule", host.rule_changed), ("tag", host.tag_changed)):
            samples = [cpu_ms(lambda t=turn, c=change: c(t)) for turn in range(CHANGES_COUNT)]
            figures.add(f"{name}_{count}", statistics.median(samples), "ms", samples=samples)
        figures.add(f"rows_{count}", len(host.core.desired.rows[VerdictRow]), "rows")
    figures.write()
