"""The public contract: each rpc is check, store, answer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeAlias
from uuid import uuid4

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration

from rejoinder.v1 import operation_service_pb2 as pb
from rejoinder.v1.operation_service_pb2_grpc import OperationServiceServicer
from rejoinder_server import check, convert, lifecycle
from rejoinder_server.announcer import Announcer
from rejoinder_server.batcher import Batcher
from rejoinder_server.clock import StoreClock
from rejoinder_server.cursor import cursor_of, encode
from rejoinder_server.directory import DirectoryReader
from rejoinder_server.editor import Editor
from rejoinder_server.errors import (
    KeyPurged,
    OperationIdTaken,
    PurgedOperation,
    RequestIdReused,
    Unfinished,
    UnknownOperation,
    UnknownType,
)
from rejoinder_server.hub import Hub, wait
from rejoinder_server.lifecycle import Edit
from rejoinder_server.metrics import Metrics
from rejoinder_server.operation import (
    SECOND,
    Acceptance,
    Key,
    Operation,
    RetryPolicy,
    Span,
    Timeouts,
    TypeRecord,
    layered,
)
from rejoinder_server.reader import Reader
from rejoinder_server.store.port import ByKey, Moment, Store, Submission
from rejoinder_server.view import View
from rejoinder_server.watch import Watch

log = structlog.get_logger(__name__)

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

DEFAULT_QUEUE = "default"
"""Queue of operations whose type no worker has announced yet."""

MOST_SUBMITS = 256
"""Submits that share a commit at most."""

MOST_PAGE_BYTES = 4 * 1024 * 1024 - 64 * 1024
"""Operations of one page, so that the response stays below the 4 MiB that clients take."""

DEADLINE_MARGIN_SECONDS = 0.5
"""A long poll answers this long before its caller's deadline."""

RECHECK_SECONDS = 15.0
"""A long poll reads again after this long, in case a wake-up was lost."""


class OperationService(OperationServiceServicer):
    """Serves the contract.

    Args:
        refuse_unknown_types: Whether a type that no worker has announced is refused, once any has been.
        timeouts, retry_policy, retention: In effect where neither the submit nor the handler says.
    """

    def __init__(
        self,
        *,
        editor: Editor,
        reader: Reader,
        hub: Hub,
        view: View,
        watch: Watch,
        directory: DirectoryReader,
        announcer: Announcer,
        clock: StoreClock,
        metrics: Metrics,
        random: Random,
        limits: check.Limits,
        timeouts: Timeouts,
        retry_policy: RetryPolicy,
        retention: Span,
        refuse_unknown_types: bool,
    ) -> None:
        self._editor = editor
        self._store: Store = editor.store
        self._reader = reader
        self._hub = hub
        self._view = view
        self._watch = watch
        self._directory = directory
        self._announcer = announcer
        self._clock = clock
        self._metrics = metrics
        self._random = random
        self._limits = limits
        self._timeouts = timeouts
        self._retry_policy = retry_policy
        self._retention = retention
        self._refuse_unknown_types = refuse_unknown_types
        self._submits: Batcher[Acceptance, Submission] = Batcher(self._store_together, most=MOST_SUBMITS)

    async def close(self) -> None:
        """Wait for submits whose callers have gone."""
        await self._submits.close()

    async def Submit(self, request: pb.SubmitRequest, context: Context) -> pb.SubmitResponse:
        """Store an operation durably and answer at once."""
        draft = check.submission(request, self._limits, self._clock.now())
        acceptance = self._accept(draft, await self._type(draft.type), _headers(context))
        if draft.validate_only:
            return pb.SubmitResponse(
                operation=await self._view.message(acceptance.operation), cursor=encode(cursor_of(acceptance.operation))
            )
        submission = await self._submits(acceptance)
        operation = _settle(acceptance, submission)
        if not submission.is_new:
            self._metrics.deduplicated.inc()
        if draft.wait_timeout:
            operation, _ = await self._await(operation.key, _is_terminal, draft.wait_timeout, context)
        return pb.SubmitResponse(
            operation=await self._view.message(operation, with_attempts=operation.sequence > 1),
            deduplicated=not submission.is_new,
            cursor=encode(cursor_of(operation)),
        )

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        """Answer the operation as it is, or wait for a change first."""
        query = check.status_request(request, self._limits)
        operation = await self._reader.read(query.key)
        seen = query.cursor or cursor_of(operation)

        def done(now: Operation) -> bool:
            is_changed = (now.uid, now.revision) != (seen.uid, seen.revision)
            return now.state.is_terminal or (query.wait_for_change and is_changed)

        is_done = done(operation)
        if query.wait_timeout and not is_done:
            operation, is_done = await self._await(query.key, done, query.wait_timeout, context)
        return pb.GetStatusResponse(
            operation=await self._view.message(operation, with_request=query.is_full, with_attempts=True),
            cursor=encode(cursor_of(operation)),
            timed_out=bool(query.wait_timeout) and not is_done,
            poll_after=None if operation.state.is_terminal else self._poll_after(operation),
        )

    async def WatchStatus(  # type: ignore[override] # a coroutine that writes, so that its cleanup runs in time
        self, request: pb.WatchStatusRequest, context: Context
    ) -> None:
        """Stream the operation's changes until it is terminal."""
        await self._watch.stream(check.watch_request(request), context.write)

    async def CancelOperation(self, request: pb.CancelOperationRequest, context: Context) -> pb.CancelOperationResponse:
        """End a waiting operation, ask a running one to stop."""
        key, reason = check.operation_key(request), check.cancel_reason(request)
        operation = await self._edit(key, lambda edit: edit.cancel(reason))
        log.info("cancel asked for", operation_id=key.operation_id, state=operation.state.name)
        return pb.CancelOperationResponse(operation=await self._view.message(operation, with_attempts=True))

    async def ListOperations(self, request: pb.ListOperationsRequest, context: Context) -> pb.ListOperationsResponse:
        """Answer one page of a namespace's operations, newest first."""
        listing = check.listing(request, self._limits)
        # One more than the page, in number or in bytes, tells whether another page follows.
        query = replace(
            listing.query,
            limit=listing.query.limit + 1,
            with_outcomes=listing.is_full,
            most_bytes=MOST_PAGE_BYTES,
        )
        found = await self._store.query(query)
        page = found[: listing.query.limit]
        messages = await self._view.messages(page, with_request=listing.is_full, with_attempts=listing.is_full)
        response = pb.ListOperationsResponse()
        size = 0
        for message in messages:
            size += message.ByteSize() + 16
            if size > MOST_PAGE_BYTES and response.operations:
                break
            response.operations.append(message)
        count = len(response.operations)
        if count < len(found):
            response.next_page_token = listing.token_after(page[count - 1])
        return response

    async def DeleteOperation(self, request: pb.DeleteOperationRequest, context: Context) -> pb.DeleteOperationResponse:
        """Purge a terminal operation; its tombstone remains."""
        key = check.operation_key(request)

        def purge(edit: Edit) -> None:
            if edit.operation.state.is_terminal:
                edit.purge()

        operation = await self._edit(key, purge)
        if operation.purged_time is None:
            raise Unfinished(key.operation_id)
        log.info("deleted", operation_id=key.operation_id)
        return pb.DeleteOperationResponse()

    async def ListTypes(self, request: pb.ListTypesRequest, context: Context) -> pb.ListTypesResponse:
        """Answer the known types, who serves them, and the limits in force."""
        namespace = check.namespace(request)
        directory = await self._directory.read(is_latest=True)
        counts = {row.type: row.count for row in await self._store.waiting() if row.namespace == namespace}
        return pb.ListTypesResponse(
            types=[
                convert.type_message(
                    record,
                    workers=[worker for worker in directory.workers if record.name in worker.types],
                    waiting_count=counts.get(record.name, 0),
                )
                for record in directory.types.values()
            ],
            limits=convert.limits_message(self._limits),
        )

    async def _type(self, name: str) -> TypeRecord | None:
        """Return what workers announced of a type; None when it is accepted unknown.

        Raises:
            UnknownType: It is refused.
        """
        directory = await self._directory.read()
        if name not in directory.types:
            directory = await self._directory.read(is_latest=True)
        if (record := directory.types.get(name)) is not None:
            return record
        if directory.types and self._refuse_unknown_types:
            raise UnknownType(name, known=directory.types)
        return None

    def _accept(self, draft: check.SubmitDraft, record: TypeRecord | None, headers: Mapping[str, str]) -> Acceptance:
        """Begin the operation, with every default pinned."""
        now = self._clock.now()
        operation_id = draft.operation_id or uuid4().hex
        announced = record or TypeRecord(name=draft.type, queue=DEFAULT_QUEUE, last_seen_time=now)
        return lifecycle.accept(
            namespace=draft.namespace,
            operation_id=operation_id,
            uid=uuid4().hex,
            type=draft.type,
            queue=announced.queue,
            request=draft.request,
            request_id=draft.request_id or uuid4().hex,
            fingerprint=draft.fingerprint,
            correlation_id=draft.correlation_id or operation_id,
            labels=draft.labels,
            priority=draft.priority,
            headers=headers,
            due_time=now if draft.due_time is None else draft.due_time,
            timeouts=layered(draft.timeouts, announced.timeouts, self._timeouts),
            retry_policy=layered(draft.retry_policy, announced.retry_policy, self._retry_policy),
            retention=draft.retention or self._retention,
            now=now,
            random=self._random,
        )

    async def _store_together(self, acceptances: Sequence[Acceptance]) -> Sequence[Submission]:
        submissions = await self._store.submit(acceptances)
        self._announcer.accepted(submission.operation for submission in submissions if submission.is_new)
        return submissions

    async def _edit(self, key: Key, verb: Callable[[Edit], None]) -> Operation:
        """Apply a verb to one operation and return what it is then.

        Raises:
            UnknownOperation, PurgedOperation: There is no such operation, or not any more.
        """
        seen: list[Edit] = []

        def edit_one(edit: Edit, _: Moment) -> None:
            seen.append(edit)
            if edit.operation.purged_time is None:
                verb(edit)

        writes = await self._editor.each(ByKey([key]), edit_one)
        if not seen:
            raise UnknownOperation(key.operation_id)
        if (purged := seen[-1].before.purged_time) is not None:
            raise PurgedOperation(key.operation_id, purged)
        self._announcer.changed(writes.changes, stop=True)
        return seen[-1].operation

    async def _await(
        self, key: Key, done: Callable[[Operation], bool], timeout: Span, context: Context
    ) -> tuple[Operation, bool]:
        """Wait until an operation is as wanted; return it as it is then, and whether it is."""
        seconds = timeout / SECOND
        if (remaining := context.time_remaining()) is not None:
            seconds = min(seconds, remaining - DEADLINE_MARGIN_SECONDS)
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        with self._hub.subscribe(key) as flag:
            while True:
                flag.clear()
                operation = await self._reader.read(key)
                if done(operation):
                    return operation, True
                if clock() >= end or self._hub.is_draining:
                    return operation, False
                await wait(flag, min(end - clock(), RECHECK_SECONDS))

    def _poll_after(self, operation: Operation) -> Duration:
        """Return a hint: a tenth of the operation's age, between half a second and ten."""
        age = self._clock.now() - operation.create_time
        return convert.duration(min(max(age // 10, SECOND // 2), 10 * SECOND))


def _is_terminal(operation: Operation) -> bool:
    return operation.state.is_terminal


def _settle(acceptance: Acceptance, submission: Submission) -> Operation:
    """Return the operation that a submit is answered with.

    Raises:
        RequestIdReused, OperationIdTaken, KeyPurged: The keys stand for something else, or for something purged.
    """
    wanted, found = acceptance.operation, submission.operation
    if submission.is_new:
        return found
    is_same_key = (found.type, found.request_id) == (wanted.type, wanted.request_id)
    if found.purged_time is not None:
        raise KeyPurged("request_id" if is_same_key else "operation_id", found.operation_id, found.purged_time)
    if not is_same_key:
        raise OperationIdTaken(found.operation_id)
    if found.fingerprint != wanted.fingerprint:
        raise RequestIdReused(wanted.request_id, found.operation_id)
    return found


def _headers(context: Context) -> dict[str, str]:
    """Return the trace context of a call."""
    metadata = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
    return {name: metadata[name] for name in ("traceparent", "tracestate") if name in metadata}
