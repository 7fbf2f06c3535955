"""Fields that choose among equal paths cross BGP between control nodes."""

from __future__ import annotations

import pytest

from skytrail.control.load_balance import field_names, hash_fields
from skytrail.wire.bgp.communities import LoadBalance

EVERY = (
    "l3-source-address",
    "l3-destination-address",
    "l4-protocol",
    "l4-source-port",
    "l4-destination-port",
)


@pytest.mark.parametrize("names", [EVERY, EVERY[:1], EVERY[1::2], ()])
def test_names_come_back_from_the_community(names: tuple[str, ...]) -> None:
    community = LoadBalance.of(LoadBalance(hash_fields(names)).packed)

    assert community is not None
    assert field_names(community.fields) == names


def test_unknown_name_counts_for_nothing() -> None:
    assert hash_fields(["colour", "l4-protocol"]) == hash_fields(["l4-protocol"])
