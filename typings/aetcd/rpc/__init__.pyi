"""The messages and stubs of etcd's gRPC services, as far as the store uses them."""

from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol, TypeAlias

from grpc import ChannelCredentials
from grpc.aio import AioRpcError as AioRpcError
from grpc.aio import Channel as Channel

_Metadata: TypeAlias = Sequence[tuple[str, str]]
_Options: TypeAlias = Sequence[tuple[str, int]]

def insecure_channel(target: str, options: _Options = ...) -> Channel: ...
def secure_channel(
    target: str, credentials: ChannelCredentials, options: _Options = ...
) -> Channel: ...

class ResponseHeader:
    revision: int

class KeyValue:
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int

class Event:
    type: int
    kv: KeyValue

class Compare:
    EQUAL: Final = 0
    MOD: Final = 2
    VALUE: Final = 3
    def __init__(
        self, *, result: int, target: int, key: bytes, mod_revision: int = ..., value: bytes = ...
    ) -> None: ...

class PutRequest:
    def __init__(self, *, key: bytes, value: bytes, lease: int = ...) -> None: ...

class RangeRequest:
    range_end: bytes
    limit: int
    keys_only: bool
    def __init__(
        self, *, key: bytes, range_end: bytes = ..., revision: int = ..., count_only: bool = ...
    ) -> None: ...

class RangeResponse:
    header: ResponseHeader
    kvs: Sequence[KeyValue]
    more: bool

class DeleteRangeRequest:
    def __init__(self, *, key: bytes, range_end: bytes = ...) -> None: ...

class DeleteRangeResponse:
    header: ResponseHeader

class RequestOp:
    def __init__(
        self,
        *,
        request_put: PutRequest = ...,
        request_range: RangeRequest = ...,
        request_delete_range: DeleteRangeRequest = ...,
    ) -> None: ...

class ResponseOp:
    response_range: RangeResponse

class TxnRequest:
    def __init__(
        self,
        *,
        compare: Sequence[Compare] = ...,
        success: Sequence[RequestOp] = ...,
        failure: Sequence[RequestOp] = ...,
    ) -> None: ...
    def ByteSize(self) -> int: ...

class TxnResponse:
    header: ResponseHeader
    succeeded: bool
    responses: Sequence[ResponseOp]

class CompactionRequest:
    def __init__(self, *, revision: int) -> None: ...

class CompactionResponse: ...

class WatchCreateRequest:
    def __init__(self, *, key: bytes, range_end: bytes, start_revision: int) -> None: ...

class WatchRequest:
    def __init__(self, *, create_request: WatchCreateRequest) -> None: ...

class WatchResponse:
    compact_revision: int
    canceled: bool
    cancel_reason: str
    events: Sequence[Event]

class LeaseGrantRequest:
    def __init__(self, *, TTL: int, ID: int) -> None: ...

class LeaseGrantResponse: ...

class LeaseRevokeRequest:
    def __init__(self, *, ID: int) -> None: ...

class LeaseRevokeResponse: ...

class LeaseKeepAliveRequest:
    def __init__(self, *, ID: int) -> None: ...

class LeaseKeepAliveResponse:
    TTL: int

class _WatchCall(Protocol):
    async def read(self) -> object: ...
    async def code(self) -> object: ...
    def cancel(self) -> bool: ...

class KVStub:
    def __init__(self, channel: Channel) -> None: ...
    async def Range(
        self, request: RangeRequest, *, timeout: float, metadata: _Metadata
    ) -> RangeResponse: ...
    async def Txn(
        self, request: TxnRequest, *, timeout: float, metadata: _Metadata
    ) -> TxnResponse: ...
    async def Compact(
        self, request: CompactionRequest, *, timeout: float, metadata: _Metadata
    ) -> CompactionResponse: ...
    async def DeleteRange(self, request: DeleteRangeRequest) -> DeleteRangeResponse: ...

class WatchStub:
    def __init__(self, channel: Channel) -> None: ...
    def Watch(
        self, requests: AsyncIterator[WatchRequest], *, metadata: _Metadata
    ) -> _WatchCall: ...

class AuthenticateRequest:
    def __init__(self, *, name: str, password: str) -> None: ...

class AuthenticateResponse:
    token: str

class AuthStub:
    def __init__(self, channel: Channel) -> None: ...
    async def Authenticate(
        self, request: AuthenticateRequest, *, timeout: float
    ) -> AuthenticateResponse: ...

class LeaseStub:
    def __init__(self, channel: Channel) -> None: ...
    async def LeaseGrant(
        self, request: LeaseGrantRequest, *, timeout: float, metadata: _Metadata
    ) -> LeaseGrantResponse: ...
    async def LeaseRevoke(
        self, request: LeaseRevokeRequest, *, timeout: float, metadata: _Metadata
    ) -> LeaseRevokeResponse: ...
    def LeaseKeepAlive(
        self, requests: AsyncIterator[LeaseKeepAliveRequest], *, timeout: float, metadata: _Metadata
    ) -> AsyncIterator[LeaseKeepAliveResponse]: ...
