import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from rejoinder.v1 import operation_pb2 as _operation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubmitRequest(_message.Message):
    __slots__ = ("namespace", "type", "payload", "request_id", "operation_id", "correlation_id", "labels", "priority", "delay", "due_time", "timeouts", "retry_policy", "retention", "wait_timeout", "validate_only")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    TIMEOUTS_FIELD_NUMBER: _ClassVar[int]
    RETRY_POLICY_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    WAIT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    type: str
    payload: _operation_pb2.Payload
    request_id: str
    operation_id: str
    correlation_id: str
    labels: _containers.ScalarMap[str, str]
    priority: int
    delay: _duration_pb2.Duration
    due_time: _timestamp_pb2.Timestamp
    timeouts: _operation_pb2.Timeouts
    retry_policy: _operation_pb2.RetryPolicy
    retention: _duration_pb2.Duration
    wait_timeout: _duration_pb2.Duration
    validate_only: bool
    def __init__(self, namespace: _Optional[str] = ..., type: _Optional[str] = ..., payload: _Optional[_Union[_operation_pb2.Payload, _Mapping]] = ..., request_id: _Optional[str] = ..., operation_id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., priority: _Optional[int] = ..., delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., timeouts: _Optional[_Union[_operation_pb2.Timeouts, _Mapping]] = ..., retry_policy: _Optional[_Union[_operation_pb2.RetryPolicy, _Mapping]] = ..., retention: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wait_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class SubmitResponse(_message.Message):
    __slots__ = ("operation", "deduplicated", "cursor")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    DEDUPLICATED_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    operation: _operation_pb2.Operation
    deduplicated: bool
    cursor: str
    def __init__(self, operation: _Optional[_Union[_operation_pb2.Operation, _Mapping]] = ..., deduplicated: _Optional[bool] = ..., cursor: _Optional[str] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ("namespace", "operation_id", "view", "wait_timeout", "wait_for", "cursor")
    class View(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VIEW_UNSPECIFIED: _ClassVar[GetStatusRequest.View]
        VIEW_BASIC: _ClassVar[GetStatusRequest.View]
        VIEW_FULL: _ClassVar[GetStatusRequest.View]
    VIEW_UNSPECIFIED: GetStatusRequest.View
    VIEW_BASIC: GetStatusRequest.View
    VIEW_FULL: GetStatusRequest.View
    class WaitFor(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        WAIT_FOR_UNSPECIFIED: _ClassVar[GetStatusRequest.WaitFor]
        WAIT_FOR_TERMINAL: _ClassVar[GetStatusRequest.WaitFor]
        WAIT_FOR_CHANGE: _ClassVar[GetStatusRequest.WaitFor]
    WAIT_FOR_UNSPECIFIED: GetStatusRequest.WaitFor
    WAIT_FOR_TERMINAL: GetStatusRequest.WaitFor
    WAIT_FOR_CHANGE: GetStatusRequest.WaitFor
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    WAIT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    WAIT_FOR_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    operation_id: str
    view: GetStatusRequest.View
    wait_timeout: _duration_pb2.Duration
    wait_for: GetStatusRequest.WaitFor
    cursor: str
    def __init__(self, namespace: _Optional[str] = ..., operation_id: _Optional[str] = ..., view: _Optional[_Union[GetStatusRequest.View, str]] = ..., wait_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wait_for: _Optional[_Union[GetStatusRequest.WaitFor, str]] = ..., cursor: _Optional[str] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("operation", "cursor", "timed_out", "poll_after")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    POLL_AFTER_FIELD_NUMBER: _ClassVar[int]
    operation: _operation_pb2.Operation
    cursor: str
    timed_out: bool
    poll_after: _duration_pb2.Duration
    def __init__(self, operation: _Optional[_Union[_operation_pb2.Operation, _Mapping]] = ..., cursor: _Optional[str] = ..., timed_out: _Optional[bool] = ..., poll_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchStatusRequest(_message.Message):
    __slots__ = ("namespace", "operation_id", "cursor", "from_start", "heartbeat_interval")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    FROM_START_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    operation_id: str
    cursor: str
    from_start: bool
    heartbeat_interval: _duration_pb2.Duration
    def __init__(self, namespace: _Optional[str] = ..., operation_id: _Optional[str] = ..., cursor: _Optional[str] = ..., from_start: _Optional[bool] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchStatusResponse(_message.Message):
    __slots__ = ("cursor", "revision", "gap", "snapshot", "transition", "progress", "heartbeat", "drain")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    TRANSITION_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    revision: int
    gap: bool
    snapshot: _operation_pb2.Operation
    transition: _operation_pb2.Transition
    progress: _operation_pb2.ProgressUpdate
    heartbeat: _operation_pb2.Heartbeat
    drain: _operation_pb2.Drain
    def __init__(self, cursor: _Optional[str] = ..., revision: _Optional[int] = ..., gap: _Optional[bool] = ..., snapshot: _Optional[_Union[_operation_pb2.Operation, _Mapping]] = ..., transition: _Optional[_Union[_operation_pb2.Transition, _Mapping]] = ..., progress: _Optional[_Union[_operation_pb2.ProgressUpdate, _Mapping]] = ..., heartbeat: _Optional[_Union[_operation_pb2.Heartbeat, _Mapping]] = ..., drain: _Optional[_Union[_operation_pb2.Drain, _Mapping]] = ...) -> None: ...

class CancelOperationRequest(_message.Message):
    __slots__ = ("namespace", "operation_id", "reason")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    operation_id: str
    reason: str
    def __init__(self, namespace: _Optional[str] = ..., operation_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelOperationResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: _operation_pb2.Operation
    def __init__(self, operation: _Optional[_Union[_operation_pb2.Operation, _Mapping]] = ...) -> None: ...

class ListOperationsRequest(_message.Message):
    __slots__ = ("namespace", "states", "types", "queues", "correlation_id", "labels", "error_reason", "create_time_from", "create_time_before", "view", "page_size", "page_token")
    class View(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VIEW_UNSPECIFIED: _ClassVar[ListOperationsRequest.View]
        VIEW_BASIC: _ClassVar[ListOperationsRequest.View]
        VIEW_FULL: _ClassVar[ListOperationsRequest.View]
    VIEW_UNSPECIFIED: ListOperationsRequest.View
    VIEW_BASIC: ListOperationsRequest.View
    VIEW_FULL: ListOperationsRequest.View
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FROM_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_BEFORE_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    states: _containers.RepeatedScalarFieldContainer[_operation_pb2.Operation.State]
    types: _containers.RepeatedScalarFieldContainer[str]
    queues: _containers.RepeatedScalarFieldContainer[str]
    correlation_id: str
    labels: _containers.ScalarMap[str, str]
    error_reason: str
    create_time_from: _timestamp_pb2.Timestamp
    create_time_before: _timestamp_pb2.Timestamp
    view: ListOperationsRequest.View
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_operation_pb2.Operation.State, str]]] = ..., types: _Optional[_Iterable[str]] = ..., queues: _Optional[_Iterable[str]] = ..., correlation_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., error_reason: _Optional[str] = ..., create_time_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., view: _Optional[_Union[ListOperationsRequest.View, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListOperationsResponse(_message.Message):
    __slots__ = ("operations", "next_page_token")
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[_operation_pb2.Operation]
    next_page_token: str
    def __init__(self, operations: _Optional[_Iterable[_Union[_operation_pb2.Operation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteOperationRequest(_message.Message):
    __slots__ = ("namespace", "operation_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    operation_id: str
    def __init__(self, namespace: _Optional[str] = ..., operation_id: _Optional[str] = ...) -> None: ...

class DeleteOperationResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTypesRequest(_message.Message):
    __slots__ = ("namespace",)
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    def __init__(self, namespace: _Optional[str] = ...) -> None: ...

class ListTypesResponse(_message.Message):
    __slots__ = ("types", "limits")
    TYPES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    types: _containers.RepeatedCompositeFieldContainer[_operation_pb2.OperationType]
    limits: _operation_pb2.Limits
    def __init__(self, types: _Optional[_Iterable[_Union[_operation_pb2.OperationType, _Mapping]]] = ..., limits: _Optional[_Union[_operation_pb2.Limits, _Mapping]] = ...) -> None: ...
