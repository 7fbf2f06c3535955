"""The BGP codec: VPNv4 routes per CPU-second, packed and one route in each UPDATE.

100,000 routes with a label each and 1,000 sets of attributes, as a route reflector meets them. Some
peers pack (FRR, 100 routes to a message here), some send every route in a message of its own (BIRD,
GoBGP). Yardstick: os-ken on the same bytes, in a process of its own (``packaging/setup.sh clients``);
it reads a tenth of them, being slow. Memory is what decoded routes hold, labels and keys included.
"""

from __future__ import annotations

import gc
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from bench.figures import Figures, interleaved_samples

from skytrail.net import RouteDistinguisher, RouteTarget
from skytrail.testing.bgp import INTERNAL, messages_of
from skytrail.wire.bgp import (
    AttributeCache,
    Attributes,
    BgpFamily,
    VpnNlri,
    decode_update,
    encode_attributes,
    encode_nlri,
    encode_update,
    encode_withdraw,
    pack_update,
)
from skytrail.wire.bgp.communities import Encapsulation

ROUNDS = 5
SETS_COUNT = 1000
ROUTES_PER_SET = 100
ROUTES_COUNT = SETS_COUNT * ROUTES_PER_SET
OS_KEN_SHARE = 10
FAMILY = BgpFamily.INET_VPN
NEXT_HOP = IPv4Address("10.255.0.1")
OS_KEN = Path(__file__).resolve().parents[1] / "build/bgp-decoders/bin/python"
OS_KEN_CODEC = Path(__file__).with_name("tools") / "bgp_peer_codec.py"


def run() -> None:
    """Print every figure and write them to build/bench/bgp_codec.json."""
    figures = Figures("bgp_codec")
    table = Table()
    forms = {"packed": table.packed(), "single": table.single()}
    bodies = {
        name: [body for _, body in messages_of(b"".join(messages))]
        for name, messages in forms.items()
    }
    cases: dict[str, Callable[[], float]] = {
        "decode_packed": lambda: rate(lambda: decode(bodies["packed"])),
        "decode_single": lambda: rate(lambda: decode(bodies["single"])),
        "encode_packed": lambda: rate(table.packed),
        "encode_single": lambda: rate(table.single),
        "encode_withdraw": lambda: rate(table.withdrawn),
    }
    gc.collect()
    gc.disable()
    samples = interleaved_samples(ROUNDS, cases, warm_up=1)
    gc.enable()
    yardsticks = os_ken_rates(forms) if OS_KEN.exists() else {}
    for name, values in samples.items():
        middle = sorted(values)[len(values) // 2]
        figures.add(
            name,
            middle,
            "routes/CPU-s",
            yardstick=yardsticks.get(name),
            yardstick_name="os-ken",
            samples=values,
        )
    figures.add("decoded_route_memory", bytes_per_route(bodies["packed"]), "bytes")
    figures.write()


class Table:
    """Routes in sets that share attributes."""

    def __init__(self, sets_count: int = SETS_COUNT) -> None:
        self.sets = [attributes_of(number) for number in range(sets_count)]
        self.routes = [
            [route(number * ROUTES_PER_SET + each) for each in range(ROUTES_PER_SET)]
            for number in range(sets_count)
        ]

    def packed(self) -> list[bytes]:
        messages: list[bytes] = []
        for attributes, routes in zip(self.sets, self.routes, strict=True):
            messages += encode_update(FAMILY, NEXT_HOP, attributes, routes, INTERNAL)
        return messages

    def single(self) -> list[bytes]:
        messages: list[bytes] = []
        for attributes, routes in zip(self.sets, self.routes, strict=True):
            encoded = encode_attributes(attributes, INTERNAL)
            for each in routes:
                nlri = encode_nlri(FAMILY, each)
                messages += pack_update(FAMILY, NEXT_HOP, encoded, [nlri], INTERNAL)
        return messages

    def withdrawn(self) -> list[bytes]:
        routes = [each for group in self.routes for each in group]
        return encode_withdraw(FAMILY, routes, INTERNAL)


def attributes_of(number: int) -> Attributes:
    communities = (
        RouteTarget.parse(f"target:64512:{8_000_000 + number}").packed,
        Encapsulation(2).packed,
        Encapsulation(13).packed,
    )
    return Attributes(local_preference=200, med=100, extended_communities=communities)


def route(number: int) -> VpnNlri:
    distinguisher = RouteDistinguisher.of_address(IPv4Address((10 << 24) + number % 500), 7)
    return VpnNlri(distinguisher, IPv4Network(((20 << 24) + number, 32)), (16 + number,))


def decode(bodies: list[bytes]) -> None:
    cache = AttributeCache()
    count = 0
    for body in bodies:
        for reach in decode_update(body, INTERNAL, cache).reach:
            count += len(reach.nlri)
    assert count == ROUTES_COUNT


def rate(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return ROUTES_COUNT / (time.process_time() - started)


def bytes_per_route(bodies: list[bytes]) -> float:
    cache = AttributeCache()
    tracemalloc.start()
    kept = [decode_update(body, INTERNAL, cache).reach for body in bodies]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept) == SETS_COUNT
    return size / ROUTES_COUNT


def os_ken_rates(forms: dict[str, list[bytes]]) -> dict[str, float]:
    rates: dict[str, float] = {}
    for name, messages in forms.items():
        part = messages[: len(messages) // OS_KEN_SHARE]
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(b"".join(part))
            done = subprocess.run(
                [OS_KEN, "-W", "ignore", OS_KEN_CODEC, file.name],
                check=True, capture_output=True, text=True, env={"PYTHONPATH": ""},
            )  # fmt: skip
        decoding, encoding = map(float, done.stdout.split())
        routes = ROUTES_COUNT / OS_KEN_SHARE
        rates[f"decode_{name}"] = routes / decoding
        rates[f"encode_{name}"] = routes / encoding
    return rates
