"""Whether hosts learn which MACs are behind the ports of a network, and within what limits. Pure.

A network's own limits count, or else those of the global-system-config, or else these defaults.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import flag_of, mapping_of, number_of, text_of
from skytrail.wire.xmpp import ConfigNode, ConfigValue

PORT_COUNT_MAX = 1024
"""MACs of one port, whatever is configured."""
AGE_S = 300
LEARNT_PREFERENCE = 50
"""Local preference of learnt addresses: below that of any port, standing by or not."""


class MacAction(enum.Enum):
    """What becomes of too many MACs or moves; values are those of the configuration."""

    LOG = "log"
    ALARM = "alarm"
    SHUTDOWN = "shutdown"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class MacLearning:
    """Within what limits the ports of a network learn."""

    limit_count: int = PORT_COUNT_MAX
    """MACs of each port, beside its own."""
    limit_action: MacAction = MacAction.LOG
    moves_count: int = 4
    """More moves of a MAC between ports of this host within the window are too many; 0: none are."""
    moves_window_s: int = 180
    moves_action: MacAction = MacAction.DROP
    age_s: int = AGE_S
    """Silence after which a MAC is forgotten; 0: it never is."""


def learning_of(network: ConfigNode, default: MacLearning) -> MacLearning | None:
    """Return the limits of a network that learns; None: it does not."""
    if not flag_of(network.properties.get("mac_learning_enabled")):
        return None
    return _read(network.properties, default)


def address_learning_of(network: ConfigNode, default: MacLearning) -> MacLearning | None:
    """Return the limits within which addresses behind ports are learnt; None: they are not."""
    if not flag_of(network.properties.get("mac_ip_learning_enable")):
        return None
    return _read(network.properties, default)


def default_learning(graph: ConfigGraph) -> MacLearning:
    """Return the limits of networks that name none."""
    for node in graph.nodes("global-system-config"):
        return _read(node.properties, MacLearning())
    return MacLearning()


def _read(properties: Mapping[str, ConfigValue], default: MacLearning) -> MacLearning:
    found = default
    limit = mapping_of(properties.get("mac_limit_control"))
    count = number_of(limit.get("mac_limit"))
    if count is not None:
        found = replace(
            found,
            limit_count=min(count, PORT_COUNT_MAX) if count > 0 else PORT_COUNT_MAX,
            limit_action=_action(limit.get("mac_limit_action")),
        )
    moves = mapping_of(properties.get("mac_move_control"))
    count = number_of(moves.get("mac_move_limit"))
    if count is not None:
        found = replace(
            found,
            moves_count=max(count, 0),
            moves_window_s=max(number_of(moves.get("mac_move_time_window")) or 10, 1),
            moves_action=_action(moves.get("mac_move_limit_action")),
        )
    age_s = number_of(properties.get("mac_aging_time"))
    return found if age_s is None else replace(found, age_s=max(age_s, 0))


def _action(value: ConfigValue | None) -> MacAction:
    text = text_of(value)
    return next((each for each in MacAction if each.value == text), MacAction.LOG)
