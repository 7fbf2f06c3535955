"""The typed clients: one collection per object type, structs in and out, typed errors.

    with ApiClient("http://127.0.0.1:8082") as client:
        api = Api(client)
        net = api.virtual_networks.create(VirtualNetwork(fq_name=("dom", "proj", "net")))
        api.virtual_networks.update(net, {"mtu": 1400})

Kept apart from ``skytrail.client``, whose users should not wait for 126 types to be imported.
"""

from skytrail.client.async_native import AsyncChangeSets, AsyncNativeApi
from skytrail.client.async_resources import AsyncResources
from skytrail.client.blocking_native import ChangeSets, NativeApi
from skytrail.client.blocking_resources import Resources
from skytrail.client.generated.async_api import AsyncApi
from skytrail.client.generated.blocking_api import Api
from skytrail.client.kinds import Key, Operation, Versioned
from skytrail.client.native_types import (
    ChangeSet,
    Commit,
    Condition,
    FieldChange,
    HistoryEntry,
    ObjectChange,
    Plan,
    Rehearsal,
    Status,
)
from skytrail.client.selecting import (
    Comparison,
    above,
    absent,
    at_least,
    at_most,
    below,
    containing,
    given,
    one_of,
    other_than,
    starting_with,
)
from skytrail.client.typed_events import Absent, Present, Synced

__all__ = [
    "Absent",
    "Api",
    "AsyncApi",
    "AsyncChangeSets",
    "AsyncNativeApi",
    "AsyncResources",
    "ChangeSet",
    "ChangeSets",
    "Commit",
    "Comparison",
    "Condition",
    "FieldChange",
    "HistoryEntry",
    "Key",
    "NativeApi",
    "ObjectChange",
    "Operation",
    "Plan",
    "Present",
    "Rehearsal",
    "Resources",
    "Status",
    "Synced",
    "Versioned",
    "above",
    "absent",
    "at_least",
    "at_most",
    "below",
    "containing",
    "given",
    "one_of",
    "other_than",
    "starting_with",
]
