"""The Python SDK of Rejoinder: submit a request now, get the answer later.

    with Client("localhost:50051") as client:
        operation = client.submit("reports.generate", {"rows": 10})
        print(operation.result(timeout=60))

`AsyncClient` has the same names, awaitable. `rejoinder_client.errors` draws the tree of errors.
"""

from rejoinder_client.actions import Interruption, WatchOptions
from rejoinder_client.aio import AsyncClient, AsyncHandle
from rejoinder_client.client import Client, Handle
from rejoinder_client.errors import (
    AlreadyExists,
    BackPressure,
    InvalidRequest,
    NotFound,
    OperationCancelled,
    OperationError,
    OperationFailed,
    OperationTimedOut,
    PermissionDenied,
    RejoinderError,
    Unauthenticated,
    Unavailable,
    WaitTimeout,
)
from rejoinder_client.payload import Payload
from rejoinder_client.requests import ListOptions, SubmitOptions
from rejoinder_client.views import (
    Attempt,
    Failure,
    Limits,
    Operation,
    OperationType,
    Progress,
    RetryPolicy,
    State,
    Submission,
    Timeouts,
    Transition,
    Update,
    UpdateKind,
    WaitingReason,
)

__all__ = [
    "AlreadyExists",
    "AsyncClient",
    "AsyncHandle",
    "Attempt",
    "BackPressure",
    "Client",
    "Failure",
    "Handle",
    "Interruption",
    "InvalidRequest",
    "Limits",
    "ListOptions",
    "NotFound",
    "Operation",
    "OperationCancelled",
    "OperationError",
    "OperationFailed",
    "OperationTimedOut",
    "OperationType",
    "Payload",
    "PermissionDenied",
    "Progress",
    "RejoinderError",
    "RetryPolicy",
    "State",
    "Submission",
    "SubmitOptions",
    "Timeouts",
    "Transition",
    "Unauthenticated",
    "Unavailable",
    "Update",
    "UpdateKind",
    "WaitTimeout",
    "WaitingReason",
    "WatchOptions",
]
