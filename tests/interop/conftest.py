"""What most tests with BGP daemons begin with; those that share daemons make their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skytrail.testing.bgp_node import Node
from skytrail.testing.bgp_routers import Bench, bench


@pytest.fixture
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A namespace in which no daemon runs yet."""
    with bench(tmp_path_factory.mktemp("routers")) as made:
        yield made


@pytest.fixture
def node(routers: Bench) -> Iterator[Node]:
    """Our control node, without configuration, beside the daemons of ``routers``."""
    with Node(routers) as made:
        yield made
