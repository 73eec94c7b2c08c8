import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from rejoinder.v1 import operation_pb2 as _operation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Fence(_message.Message):
    __slots__ = ("namespace", "operation_id", "uid", "attempt", "nonce")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    operation_id: str
    uid: str
    attempt: int
    nonce: str
    def __init__(self, namespace: _Optional[str] = ..., operation_id: _Optional[str] = ..., uid: _Optional[str] = ..., attempt: _Optional[int] = ..., nonce: _Optional[str] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("queue", "type")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    type: str
    def __init__(self, queue: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class Claim(_message.Message):
    __slots__ = ("claim_id", "worker", "connection_id", "queue", "types", "free_slots", "idle")
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    FREE_SLOTS_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    claim_id: str
    worker: str
    connection_id: str
    queue: str
    types: _containers.RepeatedScalarFieldContainer[str]
    free_slots: int
    idle: bool
    def __init__(self, claim_id: _Optional[str] = ..., worker: _Optional[str] = ..., connection_id: _Optional[str] = ..., queue: _Optional[str] = ..., types: _Optional[_Iterable[str]] = ..., free_slots: _Optional[int] = ..., idle: _Optional[bool] = ...) -> None: ...

class WorkerMessage(_message.Message):
    __slots__ = ("grant", "claim_answer", "heartbeat_answer", "stop")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ANSWER_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_ANSWER_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    grant: Grant
    claim_answer: ClaimAnswer
    heartbeat_answer: HeartbeatAnswer
    stop: Stop
    def __init__(self, grant: _Optional[_Union[Grant, _Mapping]] = ..., claim_answer: _Optional[_Union[ClaimAnswer, _Mapping]] = ..., heartbeat_answer: _Optional[_Union[HeartbeatAnswer, _Mapping]] = ..., stop: _Optional[_Union[Stop, _Mapping]] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("claim_id", "fence", "type", "queue", "request", "correlation_id", "labels", "lease", "attempt_timeout", "deadline_time", "headers")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_TIME_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    claim_id: str
    fence: Fence
    type: str
    queue: str
    request: _operation_pb2.Payload
    correlation_id: str
    labels: _containers.ScalarMap[str, str]
    lease: _duration_pb2.Duration
    attempt_timeout: _duration_pb2.Duration
    deadline_time: _timestamp_pb2.Timestamp
    headers: _containers.ScalarMap[str, str]
    def __init__(self, claim_id: _Optional[str] = ..., fence: _Optional[_Union[Fence, _Mapping]] = ..., type: _Optional[str] = ..., queue: _Optional[str] = ..., request: _Optional[_Union[_operation_pb2.Payload, _Mapping]] = ..., correlation_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., attempt_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., deadline_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., headers: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ClaimAnswer(_message.Message):
    __slots__ = ("claim_id", "granted", "more")
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    claim_id: str
    granted: int
    more: bool
    def __init__(self, claim_id: _Optional[str] = ..., granted: _Optional[int] = ..., more: _Optional[bool] = ...) -> None: ...

class HeartbeatAnswer(_message.Message):
    __slots__ = ("number", "stale", "cancelled")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    number: int
    stale: _containers.RepeatedCompositeFieldContainer[Fence]
    cancelled: _containers.RepeatedCompositeFieldContainer[Fence]
    def __init__(self, number: _Optional[int] = ..., stale: _Optional[_Iterable[_Union[Fence, _Mapping]]] = ..., cancelled: _Optional[_Iterable[_Union[Fence, _Mapping]]] = ...) -> None: ...

class Stop(_message.Message):
    __slots__ = ("stale", "cancelled")
    STALE_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    stale: _containers.RepeatedCompositeFieldContainer[Fence]
    cancelled: _containers.RepeatedCompositeFieldContainer[Fence]
    def __init__(self, stale: _Optional[_Iterable[_Union[Fence, _Mapping]]] = ..., cancelled: _Optional[_Iterable[_Union[Fence, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("worker", "announcement", "progress", "succeeded", "failed", "released", "heartbeat", "process_died", "marker")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCEMENT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    PROCESS_DIED_FIELD_NUMBER: _ClassVar[int]
    MARKER_FIELD_NUMBER: _ClassVar[int]
    worker: str
    announcement: Announcement
    progress: ProgressReport
    succeeded: Success
    failed: Failure
    released: Release
    heartbeat: WorkerHeartbeat
    process_died: ProcessDeath
    marker: Marker
    def __init__(self, worker: _Optional[str] = ..., announcement: _Optional[_Union[Announcement, _Mapping]] = ..., progress: _Optional[_Union[ProgressReport, _Mapping]] = ..., succeeded: _Optional[_Union[Success, _Mapping]] = ..., failed: _Optional[_Union[Failure, _Mapping]] = ..., released: _Optional[_Union[Release, _Mapping]] = ..., heartbeat: _Optional[_Union[WorkerHeartbeat, _Mapping]] = ..., process_died: _Optional[_Union[ProcessDeath, _Mapping]] = ..., marker: _Optional[_Union[Marker, _Mapping]] = ...) -> None: ...

class Announcement(_message.Message):
    __slots__ = ("types",)
    TYPES_FIELD_NUMBER: _ClassVar[int]
    types: _containers.RepeatedCompositeFieldContainer[TypeAnnouncement]
    def __init__(self, types: _Optional[_Iterable[_Union[TypeAnnouncement, _Mapping]]] = ...) -> None: ...

class TypeAnnouncement(_message.Message):
    __slots__ = ("name", "queue", "description", "timeouts", "retry_policy")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TIMEOUTS_FIELD_NUMBER: _ClassVar[int]
    RETRY_POLICY_FIELD_NUMBER: _ClassVar[int]
    name: str
    queue: str
    description: str
    timeouts: _operation_pb2.Timeouts
    retry_policy: _operation_pb2.RetryPolicy
    def __init__(self, name: _Optional[str] = ..., queue: _Optional[str] = ..., description: _Optional[str] = ..., timeouts: _Optional[_Union[_operation_pb2.Timeouts, _Mapping]] = ..., retry_policy: _Optional[_Union[_operation_pb2.RetryPolicy, _Mapping]] = ...) -> None: ...

class ProgressReport(_message.Message):
    __slots__ = ("fence", "number", "progress")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    fence: Fence
    number: int
    progress: _operation_pb2.Progress
    def __init__(self, fence: _Optional[_Union[Fence, _Mapping]] = ..., number: _Optional[int] = ..., progress: _Optional[_Union[_operation_pb2.Progress, _Mapping]] = ...) -> None: ...

class Success(_message.Message):
    __slots__ = ("fence", "number", "result")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    fence: Fence
    number: int
    result: _operation_pb2.Payload
    def __init__(self, fence: _Optional[_Union[Fence, _Mapping]] = ..., number: _Optional[int] = ..., result: _Optional[_Union[_operation_pb2.Payload, _Mapping]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("fence", "number", "error", "permanent", "retry_delay")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PERMANENT_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    fence: Fence
    number: int
    error: _status_pb2.Status
    permanent: bool
    retry_delay: _duration_pb2.Duration
    def __init__(self, fence: _Optional[_Union[Fence, _Mapping]] = ..., number: _Optional[int] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., permanent: _Optional[bool] = ..., retry_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Release(_message.Message):
    __slots__ = ("fence", "number", "reason")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    fence: Fence
    number: int
    reason: str
    def __init__(self, fence: _Optional[_Union[Fence, _Mapping]] = ..., number: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class WorkerHeartbeat(_message.Message):
    __slots__ = ("connection_id", "number", "fences", "types", "free_slots", "total_slots", "unreadable_messages", "zombies", "leaving", "earlier_connection_ids")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    FREE_SLOTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SLOTS_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ZOMBIES_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    EARLIER_CONNECTION_IDS_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    number: int
    fences: _containers.RepeatedCompositeFieldContainer[Fence]
    types: _containers.RepeatedScalarFieldContainer[str]
    free_slots: int
    total_slots: int
    unreadable_messages: int
    zombies: int
    leaving: bool
    earlier_connection_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, connection_id: _Optional[str] = ..., number: _Optional[int] = ..., fences: _Optional[_Iterable[_Union[Fence, _Mapping]]] = ..., types: _Optional[_Iterable[str]] = ..., free_slots: _Optional[int] = ..., total_slots: _Optional[int] = ..., unreadable_messages: _Optional[int] = ..., zombies: _Optional[int] = ..., leaving: _Optional[bool] = ..., earlier_connection_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ProcessDeath(_message.Message):
    __slots__ = ("detail",)
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    detail: str
    def __init__(self, detail: _Optional[str] = ...) -> None: ...

class Marker(_message.Message):
    __slots__ = ("time", "server")
    TIME_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    server: str
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., server: _Optional[str] = ...) -> None: ...

class Changes(_message.Message):
    __slots__ = ("server", "operations")
    SERVER_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    server: str
    operations: _containers.RepeatedCompositeFieldContainer[ChangedOperation]
    def __init__(self, server: _Optional[str] = ..., operations: _Optional[_Iterable[_Union[ChangedOperation, _Mapping]]] = ...) -> None: ...

class ChangedOperation(_message.Message):
    __slots__ = ("namespace", "operation_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    operation_id: str
    def __init__(self, namespace: _Optional[str] = ..., operation_id: _Optional[str] = ...) -> None: ...

class LocalFrame(_message.Message):
    __slots__ = ("hello", "consume", "token", "claim", "report", "confirm", "message")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CONSUME_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    hello: LocalHello
    consume: LocalConsume
    token: LocalToken
    claim: Claim
    report: LocalReport
    confirm: LocalConfirm
    message: WorkerMessage
    def __init__(self, hello: _Optional[_Union[LocalHello, _Mapping]] = ..., consume: _Optional[_Union[LocalConsume, _Mapping]] = ..., token: _Optional[_Union[LocalToken, _Mapping]] = ..., claim: _Optional[_Union[Claim, _Mapping]] = ..., report: _Optional[_Union[LocalReport, _Mapping]] = ..., confirm: _Optional[_Union[LocalConfirm, _Mapping]] = ..., message: _Optional[_Union[WorkerMessage, _Mapping]] = ...) -> None: ...

class LocalHello(_message.Message):
    __slots__ = ("connection_id",)
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    def __init__(self, connection_id: _Optional[str] = ...) -> None: ...

class LocalConsume(_message.Message):
    __slots__ = ("kinds",)
    KINDS_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedCompositeFieldContainer[Token]
    def __init__(self, kinds: _Optional[_Iterable[_Union[Token, _Mapping]]] = ...) -> None: ...

class LocalToken(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: Token
    def __init__(self, token: _Optional[_Union[Token, _Mapping]] = ...) -> None: ...

class LocalReport(_message.Message):
    __slots__ = ("number", "event")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    number: int
    event: Event
    def __init__(self, number: _Optional[int] = ..., event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class LocalConfirm(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...
