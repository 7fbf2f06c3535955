"""The daemon's collector looks at young objects alone: what is large must be in no cycle."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from skytrail.testing.agent_world import AgentHost, ConfigBuilder, subnet


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_what_a_full_recompute_replaces_goes_without_the_collector() -> None:
    host, config = AgentHost(), ConfigBuilder()
    network = config.network("red", 5, [subnet("10.1.1.0/24")], igmp_enable=True)
    config.port("a", network, ["10.1.1.3"])
    host.connect()
    host.configure(config.update())
    host.plug("a", 10)
    host.reconcile()
    units = host.planner._units
    assert units is not None
    kept = [weakref.ref(each) for each in (units, units._world, units._ports, units._routes)]
    del units

    host.planner.compute(host.inputs(), full=True)

    assert [each() for each in kept] == [None] * len(kept)
