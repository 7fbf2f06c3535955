"""What the compiler costs beside 100,000 interfaces: start, memory, one more of each thing.

Networks of 100 interfaces, each with machine, address and security group; each is joined to its
neighbour by a policy, every tenth by a logical router too. The configuration is settled
first (as the store is when a compiler restarts), then loaded as a restart does and compared in
full, then changed one thing at a time: evaluate, plan the write, take its echo. CPU time of one
fresh process.
``SKYTRAIL_BENCH_PORTS`` sets another number of interfaces.
"""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
from bench.figures import Figures, percentile

from skytrail.compiler.emit import Create, Delete, Update, Write, all_keys, plan
from skytrail.compiler.engine import Change, Engine, Put, Remove
from skytrail.compiler.passes import ALL_PASSES
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import (
    LogicalRouter,
    NetworkPolicy,
    SecurityGroup,
    VirtualNetwork,
)
from skytrail.model.objects import decode_object
from skytrail.testing import configuration as build
from skytrail.testing import routing

INTERFACES_COUNT = 100_000
PER_NETWORK = 100
CHANGES_COUNT = 20
WANTED_CHANGE_MS = 20.0
IPAM = build.network_ipam("ipam")
GROUP = build.security_group(
    "web",
    8_000_000,
    build.rule("group=any", "group=local", ethertype="IPv4"),
    build.rule("group=local", "0.0.0.0/0", ethertype="IPv4"),
)


def run() -> None:
    count = int(os.environ.get("SKYTRAIL_BENCH_PORTS") or INTERFACES_COUNT)
    figures = Figures("compiler_scale")
    stored = settled(configuration(count))
    wire = [(item.type_name, msgspec.json.encode(item)) for item in stored]
    objects_count = len(stored)
    del stored
    gc.collect()
    before = resident_mb()
    start = time.process_time()
    items = [decode_object(name, msgspec.json.decode(body)) for name, body in wire]
    decoded = time.process_time()
    engine = Engine(ALL_PASSES)
    engine.load(items)
    loaded = time.process_time()
    writes = plan(engine, all_keys(engine))
    planned = time.process_time()
    del items
    gc.collect()
    assert not writes, f"{len(writes)} writes although everything is settled, {writes[0]}"
    figures.add("objects", objects_count, "objects")
    figures.add("decode_snapshot", decoded - start, "CPU s")
    figures.add("full_recompute", loaded - decoded, "CPU s")
    figures.add("compare_everything", planned - loaded, "CPU s")
    figures.add("memory_of_restart", resident_mb() - before, "MB")
    for name, make in CHANGES.items():
        samples = [cost_ms(engine, make(number, engine)) for number in range(CHANGES_COUNT)]
        figures.add(
            f"one_change_{name}",
            percentile(samples, 50),
            "CPU ms",
            wanted=WANTED_CHANGE_MS,
            samples=samples,
        )
    figures.write()


def configuration(count: int) -> Iterator[ConfigObject]:
    """Yield what users create, and the instances the API makes."""
    yield from (IPAM, GROUP)
    ports: list[ConfigObject] = []
    for number in range(-(-count // PER_NETWORK)):
        network = network_of(number)
        yield from (policy_of(number), network, build.routing_instance(network))
        for index in range(PER_NETWORK):
            yield from workload(network, f"{number}-{index}")
        if number % 10 == 0:
            first, second = (
                build.port(f"gw-{number}-{each}", network_of(each)) for each in (number, number + 1)
            )
            ports += [first, second]
            yield from (first, second, routing.logical_router(f"router-{number}", first, second))


def network_of(number: int) -> VirtualNetwork:
    prefix = f"10.{number // 250 % 250}.{number % 250}.0/24"
    return build.virtual_network(f"net-{number}", policy_of(number), ipams=[(IPAM, prefix)])


def policy_of(number: int) -> NetworkPolicy:
    """Return the policy that networks 2n and 2n + 1 share."""
    pair = number // 2 * 2
    here, there = (":".join((*build.PROJECT, f"net-{each}")) for each in (pair, pair + 1))
    return build.network_policy(
        f"pair-{pair}", build.rule(here, there, protocol="tcp", port=(443, 443))
    )


def workload(network: VirtualNetwork, name: str) -> tuple[ConfigObject, ...]:
    machine = build.virtual_machine(f"vm-{name}")
    port = msgspec.structs.replace(
        build.port(f"port-{name}", network, machine), security_group_refs=(build.link(GROUP),)
    )
    address = f"10.9.{len(name) % 250}.{hash_byte(name)}"
    return machine, port, build.instance_ip(f"ip-{name}", address, network, port)


def hash_byte(name: str) -> int:
    return sum(name.encode()) % 250 + 1


def settled(items: Iterator[ConfigObject]) -> list[ConfigObject]:
    """Return the configuration with everything derived written into it."""
    engine = Engine(ALL_PASSES)
    engine.load(items)
    while writes := plan(engine, all_keys(engine)):
        engine.apply(change_of(engine, write) for write in writes)
    kinds = sorted(engine.intent.counts())
    return [item for kind in kinds for item in engine.intent.objects(kind)]


def change_of(engine: Engine, write: Write) -> Change:
    match write:
        case Create(key, _, wire):
            return Put(decode_object(key.type_name, dict(wire)))
        case Delete(key, uuid):
            return Remove(key.type_name, uuid)
        case Update(key, uuid, wire):
            known = engine.intent.item(key.type_name, uuid)
            assert known is not None
            whole = {**msgspec.json.decode(msgspec.json.encode(known)), **wire}
            return Put(decode_object(key.type_name, whole))


def cost_ms(engine: Engine, changes: Sequence[Change]) -> float:
    """Return the CPU time of taking one revision over, deciding what to write, and of the echo."""
    start = time.process_time()
    writes = plan(engine, engine.apply(changes))
    decided = time.process_time()
    echo = [change_of(engine, write) for write in writes]
    before_echo = time.process_time()
    rest = plan(engine, engine.apply(echo))
    end = time.process_time()
    assert not rest, rest
    return (decided - start + end - before_echo) * 1000


def new_port(number: int, _: Engine) -> list[Change]:
    return [Put(item) for item in workload(network_of(number), f"more-{number}")]


def new_network(number: int, _: Engine) -> list[Change]:
    network = network_of(900_000 + number)
    return [Put(network), Put(build.routing_instance(network))]


def gone_network(number: int, _: Engine) -> list[Change]:
    network = network_of(900_000 + number)
    instance = build.routing_instance(network)
    return [Remove(each.type_name, each.uuid) for each in (instance, network)]


def rule_changed(number: int, _: Engine) -> list[Change]:
    policy = policy_of(2 * number)
    here, there = (build.text_of(network_of(2 * number + each)) for each in (0, 1))
    return [Put(build.network_policy(policy.name, build.rule(here, there)))]


def router_moved(number: int, engine: Engine) -> list[Change]:
    router = engine.intent.find("logical-router", (*build.PROJECT, f"router-{number * 10}"))
    assert isinstance(router, LogicalRouter)
    ports = router.virtual_machine_interface_refs[:1]
    return [Put(msgspec.structs.replace(router, virtual_machine_interface_refs=ports))]


def new_rule_in_group(number: int, _: Engine) -> list[Change]:
    rules = GROUP.security_group_entries
    assert rules is not None
    added = build.rule("group=any", "group=local", protocol="tcp", port=(number, number))
    group = build.security_group("web", 8_000_000, *rules.policy_rule, added)
    assert isinstance(group, SecurityGroup)
    return [Put(group)]


CHANGES: dict[str, Callable[[int, Engine], list[Change]]] = {
    "new_port": new_port,
    "new_network": new_network,
    "network_deleted": gone_network,
    "rule_changed_between_two_networks": rule_changed,
    "router_loses_a_network": router_moved,
    "rule_added_to_the_group_of_all": new_rule_in_group,
}


def resident_mb() -> float:
    """Return the resident memory now."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a line of /proc
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6
