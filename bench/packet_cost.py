"""What an established flow's packet costs, and the first packet of one, by all there is around it.

Cases: policies of 1, 100 and 10,000 rules, a table of 1,000,000 other flows, 100,000 other routes, a
floating address and translation to the underlay by the host's address, each sent and received, beside
the same packet with none of these and beside the least a datapath can do; and a packet refused because
its interface has its share of the host's ports (``refused_snat``), which floods are made of. Frames are run by
BPF_PROG_RUN one at a time, as they come from a device, so that figures hold on a busy machine; what
the harness takes itself (``floor``) is taken off.

``PACKET_COST_ROUNDS`` sets the number of rounds.
"""

from __future__ import annotations

import os
import secrets
import statistics
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count, cycle, islice

from bench import datapath_minimal
from bench.figures import BUILD_FOLDER, Figures, interleaved_samples
from bench.packet_cases import (
    FAR_PORT,
    NEAR_PORT,
    Fabric,
    end_rows,
    floating_rows,
    from_floating_client,
    policy_rows,
    received,
    route_rows,
    sent,
    to_floating_client,
)
from bench.program_time import TC_PASS, TC_SHOT, Frames
from conftest import VIF, Box, base_rows, interface_row

from skytrail.agent.io import libbpf
from skytrail.agent.tables import Row

ROUNDS = int(os.environ.get("PACKET_COST_ROUNDS", "9"))
PACKETS = 500
RULES = (1, 100, 10_000)
FLOWS = 1_000_000
FLOWS_SPREAD = 100_000
"""Those of them that packets belong to in turn: more than caches hold."""
ROUTES = 100_000
ENDS = 1_000
"""Known tunnel ends, of which the sender is one."""
FLAT = 1.25
"""Wanted: no case that only has more in its tables costs more than this, of the plain one."""
PORTS = 60_000
TRANSLATED = 20_000
"""Flows asked for until an interface has its share of the host's ports: many times as many."""


@dataclass
class Case:
    """Frames of one kind; each call of ``measure`` is a round."""

    run: Frames
    frames: Iterator[bytes]

    def measure(self) -> float:
        return statistics.median(self.run.costs_ns(list(islice(self.frames, PACKETS))))


class Boxes:
    """Datapaths with the base rows and some more, taken away at the end."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def add(self, *rows: Row, flow_pairs_max: int = 65_536) -> Box:
        box = Box(f"std{secrets.token_hex(3)}", flow_pairs_max)
        self._stack.callback(box.close)
        box.apply(*base_rows(), *rows)
        return box


def program(box: Box, name: str) -> int:
    return box.datapath._loaded.programs[name]


def outward(box: Box, frame: bytes) -> Case:
    return Case(Frames(program(box, "workload_ingress")), cycle([frame]))


def inward(box: Box, frame: bytes) -> Case:
    return Case(Frames(program(box, "underlay_ingress")), cycle([frame]))


def first_packets(box: Box) -> Case:
    """Each a new flow; what came before is forgotten in time by the bench."""
    ports = (sent(1024 + n % PORTS, FAR_PORT) for n in count())
    return Case(Frames(program(box, "workload_ingress")), ports)


def many_flows(box: Box) -> tuple[Case, Case]:
    """One flow's packets, and those of many in turn, in a table that is nearly full."""
    run = Frames(program(box, "workload_ingress"))
    template = bytearray(sent(0, 0))
    spread: list[bytes] = []
    for number in range(FLOWS):
        struct.pack_into("!HH", template, 34, 1024 + number % PORTS, 1 + number // PORTS)
        frame = bytes(template)
        run.cost_ns(frame)
        if number % (FLOWS // FLOWS_SPREAD) == 0:
            spread.append(frame)
    # Neighbours in time shall not be neighbours in memory.
    order = [number * 7919 % len(spread) for number in range(len(spread))]
    hot = Case(run, cycle([spread[0]]))
    return hot, Case(run, cycle([spread[number] for number in order]))


def measured_boxes(boxes: Boxes) -> dict[str, Box]:
    """What flows begin and go on in: nothing special, so many rules, so many routes."""
    made = {"plain": boxes.add()}
    for rules in RULES:
        made[f"rules_{rules}"] = boxes.add(*policy_rows(rules), interface_row(egress=1, ingress=1))
    made[f"routes_{ROUTES}"] = boxes.add(*route_rows(ROUTES))
    made[f"ends_{ENDS}"] = boxes.add(*end_rows(ENDS))
    return made


def established(made: dict[str, Box], boxes: Boxes, fabric: Fabric) -> dict[str, Case]:
    """Every case of a flow that exists, by name; ``in`` is what comes from the underlay."""
    cases: dict[str, Case] = {}
    for name, box in made.items():
        cases[f"{name}_out"] = outward(box, sent(NEAR_PORT, FAR_PORT))
        cases[f"{name}_in"] = inward(box, received(FAR_PORT, NEAR_PORT))
    translating = boxes.add(*floating_rows(), *fabric.rows())
    cases["floating_in"] = inward(translating, from_floating_client())
    cases["floating_out"] = outward(translating, to_floating_client())
    cases["snat_out"] = outward(translating, fabric.sent())
    cases["snat_out"].run.cost_ns(fabric.sent())
    back = Frames(program(translating, "underlay_ingress"), ifindex=fabric.ifindex)
    cases["snat_in"] = Case(back, cycle([fabric.answered(translating.datapath.flows())]))
    full = boxes.add(interface_row(flow_count_max=FLOWS), flow_pairs_max=FLOWS * 5 // 4)
    cases[f"flows_{FLOWS}_out"], cases[f"flows_{FLOWS}_in_turn_out"] = many_flows(full)
    return cases


def first(made: dict[str, Box]) -> tuple[dict[str, Case], Callable[[], None]]:
    """Cases of flows that begin, and what forgets them."""

    def forget() -> None:
        for box in made.values():
            box.datapath._scan(purge_vif=VIF)

    return {f"first_{name}": first_packets(box) for name, box in made.items()}, forget


def translated(boxes: Boxes, fabric: Fabric) -> tuple[Case, Case, Box]:
    """Flows that begin and get a port of the host, and those of who has all it may have."""
    box, spent = (boxes.add(*fabric.rows()) for _ in range(2))
    begun = Frames(program(box, "workload_ingress"))
    spent.run_only(
        "workload_ingress", [fabric.sent(port) for port in range(1024, 1024 + TRANSLATED)]
    )
    refused = Frames(program(spent, "workload_ingress"), wanted=TC_SHOT)
    fresh = (fabric.sent(1024 + n % PORTS) for n in count())
    others = (fabric.sent(1024 + TRANSLATED + n % (PORTS - TRANSLATED)) for n in count())
    return Case(begun, fresh), Case(refused, others), box


def minimal(stack: ExitStack) -> tuple[Case, Case]:
    """The harness alone, and the least datapath."""
    datapath_minimal.build()
    loaded = libbpf.load_object(
        BUILD_FOLDER / "minimal.bpf.o", pins=None, entries={}, constants=b""
    )
    stack.callback(loaded.close)
    datapath_minimal.fill_one_route(loaded, "10.1.1.12")
    run = Frames(loaded.programs["min_workload"])
    other = bytearray(sent(NEAR_PORT, FAR_PORT))
    other[12:14] = b"\x88\xcc"
    harness = Frames(loaded.programs["min_workload"], wanted=TC_PASS)
    return Case(harness, cycle([bytes(other)])), Case(run, cycle([sent(NEAR_PORT, FAR_PORT)]))


def add_all(
    figures: Figures, samples: dict[str, list[float]], floor: float, base: Callable[[str], str]
) -> None:
    """Each case without the harness, beside the one it is to be as cheap as."""
    for name, values in samples.items():
        if name == "floor":
            continue
        value, other = (statistics.median(samples[each]) - floor for each in (name, base(name)))
        is_alone = name == base(name)
        figures.add(
            name, value, "ns",
            yardstick=None if is_alone else other, yardstick_name=base(name),
            wanted=None if is_alone or "floating" in name or "snat" in name else FLAT,
            samples=[each - floor for each in values],
        )  # fmt: skip


def run() -> None:
    """Print nanoseconds a packet, each beside those of a plain one."""
    figures = Figures("packet_cost")
    with ExitStack() as stack:
        boxes, fabric = Boxes(stack), stack.enter_context(Fabric())
        floor, least = minimal(stack)
        made = measured_boxes(boxes)
        cases = {"floor": floor, "least_out": least, **established(made, boxes, fabric)}
        samples = interleaved_samples(
            ROUNDS, {name: each.measure for name, each in cases.items()}, warm_up=2
        )
        harness = statistics.median(samples["floor"])
        figures.add("floor", harness, "ns")
        add_all(
            figures, samples, harness,
            lambda name: "plain_in" if name.endswith("_in") else "plain_out",
        )  # fmt: skip
        begun, forget = first(made)
        begun["first_snat"], refused, made["snat"] = translated(boxes, fabric)
        samples = interleaved_samples(
            ROUNDS,
            {
                **{name: partial(_fresh, each, forget) for name, each in begun.items()},
                "refused_snat": refused.measure,
            },
            warm_up=2,
        )
        add_all(
            figures, samples, harness,
            lambda name: "first_snat" if name == "refused_snat" else "first_plain",
        )  # fmt: skip
    figures.write()


def _fresh(case: Case, forget: Callable[[], None]) -> float:
    forget()
    return case.measure()
