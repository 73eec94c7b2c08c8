"""Checks requests: protobuf comes in, values that the rest of the server may trust go out.

Pure functions. Each collects everything that is wrong with its request before it raises InvalidField.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Protocol

from rejoinder.v1.operation_service_pb2 import (
    CancelOperationRequest,
    GetStatusRequest,
    ListOperationsRequest,
    WatchStatusRequest,
)
from rejoinder_server import check_fields, check_times
from rejoinder_server.check_fields import Faults
from rejoinder_server.check_submit import SubmitDraft, submission
from rejoinder_server.cursor import Cursor, PageToken, decode_for, decode_page_token, encode_page_token
from rejoinder_server.limits import Limits
from rejoinder_server.operation import SECOND, Instant, Key, Operation, Span, State
from rejoinder_server.store.port import Query
from rejoinder_server.watch import WatchRequest

__all__ = [
    "Limits",
    "ListDraft",
    "StatusDraft",
    "SubmitDraft",
    "cancel_reason",
    "listing",
    "namespace",
    "operation_key",
    "status_request",
    "submission",
    "watch_request",
]

DEFAULT_HEARTBEAT: Span = 15 * SECOND
MIN_HEARTBEAT: Span = SECOND
MAX_HEARTBEAT: Span = 300 * SECOND
DEFAULT_PAGE_SIZE = 100
MAX_ALTERNATIVES = 100
"""Most states, types or queues that one listing may name."""

_DIGEST_CHARACTERS = 16


class InNamespace(Protocol):
    """A request about a namespace."""

    namespace: str


class OfOperation(InNamespace, Protocol):
    """A request about one operation."""

    operation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusDraft:
    """A checked GetStatusRequest.

    Attributes:
        is_full: Whether to show the request payload.
        wait_timeout: How long the answer may wait, within the limit; 0 answers at once.
        wait_for_change: Whether any visible change ends the wait, not only the terminal state.
        cursor: The place that a change is counted from; None means the present.
    """

    key: Key
    is_full: bool
    wait_timeout: Span
    wait_for_change: bool
    cursor: Cursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDraft:
    """A checked ListOperationsRequest.

    Attributes:
        query: What to ask of the store; its limit is the page's size.
        query_digest: Digest of the filters, for the next page's token.
        is_full: Whether to show payloads and attempts.
    """

    query: Query
    query_digest: str
    is_full: bool

    def token_after(self, operation: Operation) -> str:
        """Return the page token of what follows an operation."""
        return encode_page_token(PageToken(operation.create_time, operation.operation_id, self.query_digest))


def namespace(request: InNamespace) -> str:
    """Check the namespace of a request that has nothing else to check."""
    faults = Faults()
    name = check_fields.namespace(request.namespace, faults)
    faults.raise_any()
    return name


def operation_key(request: OfOperation) -> Key:
    """Check the names in a request that has nothing else to check."""
    faults = Faults()
    key = _key(request, faults)
    faults.raise_any()
    return key


def status_request(request: GetStatusRequest, limits: Limits) -> StatusDraft:
    """Check a request for an operation's state."""
    faults = Faults()
    key = _key(request, faults)
    _check_enum("view", request.view, GetStatusRequest.View.values(), faults)
    _check_enum("wait_for", request.wait_for, GetStatusRequest.WaitFor.values(), faults)
    wait_timeout = check_times.wait(request, faults, limits)
    faults.raise_any()
    return StatusDraft(
        key=key,
        is_full=request.view == GetStatusRequest.VIEW_FULL,
        wait_timeout=wait_timeout,
        wait_for_change=request.wait_for == GetStatusRequest.WAIT_FOR_CHANGE,
        cursor=decode_for(key, request.cursor) if request.cursor else None,
    )


def watch_request(request: WatchStatusRequest) -> WatchRequest:
    """Check a request for a stream of changes."""
    faults = Faults()
    key = _key(request, faults)
    if request.from_start and request.cursor:
        faults.add("from_start", "is given together with a cursor; leave one of them out")
    heartbeat = DEFAULT_HEARTBEAT
    if request.HasField("heartbeat_interval"):
        heartbeat = check_times.span(
            request.heartbeat_interval, "heartbeat_interval", faults, least=MIN_HEARTBEAT, most=MAX_HEARTBEAT
        )
    faults.raise_any()
    cursor = decode_for(key, request.cursor) if request.cursor else None
    return WatchRequest(key, cursor, request.from_start, heartbeat)


def cancel_reason(request: CancelOperationRequest) -> str:
    """Check why an operation is to be stopped."""
    faults = Faults()
    reason = check_fields.sentence("reason", request.reason, faults)
    faults.raise_any()
    return reason


def listing(request: ListOperationsRequest, limits: Limits) -> ListDraft:
    """Check a request for a page of operations."""
    faults = Faults()
    _check_enum("view", request.view, ListOperationsRequest.View.values(), faults)
    if request.page_size < 0:
        faults.add("page_size", f"is {request.page_size}; it takes 1 to {limits.max_page_size}, or 0 for the default")
    query = _query(request, limits, faults)
    faults.raise_any()
    filters = asdict(replace(query, limit=0))
    digest = sha256(json.dumps(filters, sort_keys=True).encode()).hexdigest()[:_DIGEST_CHARACTERS]
    if request.page_token:
        token = decode_page_token(request.page_token, query_digest=digest)
        query = replace(query, before=(token.create_time, token.operation_id))
    return ListDraft(query=query, query_digest=digest, is_full=request.view == ListOperationsRequest.VIEW_FULL)


def _query(request: ListOperationsRequest, limits: Limits, faults: Faults) -> Query:
    """Return the first page's query; its filters are in one order, whatever the caller's."""
    known = {int(state): state for state in State}
    for field, given in (("states", request.states), ("types", request.types), ("queues", request.queues)):
        if len(given) > MAX_ALTERNATIVES:
            faults.add(field, f"has {len(given)} entries, the limit is {MAX_ALTERNATIVES}")
    states = sorted(set(request.states))
    for state in states:
        _check_enum("states", state, known, faults)
    return Query(
        namespace=check_fields.namespace(request.namespace, faults),
        states=[known[state] for state in states if state in known],
        types=sorted({check_fields.type_name(name, faults, "types") for name in request.types}),
        queues=sorted({check_fields.foreign_id("queues", queue, faults) for queue in request.queues}),
        correlation_id=check_fields.foreign_id("correlation_id", request.correlation_id, faults),
        labels=check_fields.labels(request.labels, limits, faults),
        error_reason=check_fields.foreign_id("error_reason", request.error_reason, faults),
        create_time_from=_time(request, "create_time_from", faults),
        create_time_before=_time(request, "create_time_before", faults),
        limit=min(request.page_size or DEFAULT_PAGE_SIZE, limits.max_page_size),
    )


def _time(request: ListOperationsRequest, name: str, faults: Faults) -> Instant | None:
    return check_times.instant(getattr(request, name), name, faults) if request.HasField(name) else None


def _key(request: OfOperation, faults: Faults) -> Key:
    return Key(
        check_fields.namespace(request.namespace, faults), check_fields.operation_id(request.operation_id, faults)
    )


def _check_enum(field: str, value: int, known: Iterable[int], faults: Faults) -> None:
    if value not in known:
        faults.add(field, f"is {value}, which this server does not know; leave it out, or ask a newer server")
