"""Clients of the configuration API: one blocking, one for asyncio with a resumable watch."""

from skytrail.client.access import Access, AccessUnusable
from skytrail.client.async_client import AsyncApiClient
from skytrail.client.blocking_client import ApiClient
from skytrail.client.election import Candidate
from skytrail.client.errors import (
    ApiError,
    ApiFailure,
    ApiUnavailable,
    Conflict,
    Denied,
    Invalid,
    NotAvailable,
    NotFound,
    PreconditionFailed,
    Unauthenticated,
)
from skytrail.client.messages import (
    TransactionReply,
    TransactionResult,
    create_operation,
    delete_operation,
    update_operation,
)
from skytrail.client.watch_events import (
    ObjectDelete,
    ObjectPut,
    RevisionEnd,
    SnapshotBegin,
    SnapshotEnd,
    WatchEvent,
)

__all__ = [
    "Access",
    "AccessUnusable",
    "ApiClient",
    "ApiError",
    "ApiFailure",
    "ApiUnavailable",
    "AsyncApiClient",
    "Candidate",
    "Conflict",
    "Denied",
    "Invalid",
    "NotAvailable",
    "NotFound",
    "ObjectDelete",
    "ObjectPut",
    "PreconditionFailed",
    "RevisionEnd",
    "SnapshotBegin",
    "SnapshotEnd",
    "TransactionReply",
    "TransactionResult",
    "Unauthenticated",
    "WatchEvent",
    "create_operation",
    "delete_operation",
    "update_operation",
]
