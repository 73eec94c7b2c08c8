"""The Dramatiq broker whose messages are granted attempts.

Nothing is stored or sent here. A message enters a queue only when its attempt was granted for a slot that is free, so
Dramatiq's prefetching finds nothing to prefetch, and what a worker thread gets starts at once.
"""

import queue
from collections.abc import Iterable, Sequence
from typing import Any

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.errors import QueueNotFound
from dramatiq.middleware import Middleware

from rejoinder_worker.execution import Execution
from rejoinder_worker.registry import Handler


class GrantedMessage(MessageProxy):
    """A Dramatiq message with the execution that it stands for."""

    def __init__(self, execution: Execution) -> None:
        grant = execution.attempt.grant
        super().__init__(
            dramatiq.Message(
                queue_name=execution.queue,
                actor_name=grant.type,
                args=execution.arguments,
                kwargs={},
                options={},
                message_id=f"{grant.fence.operation_id}/{grant.fence.attempt}",
            )
        )
        self.execution = execution


class GrantConsumer(dramatiq.Consumer):
    """Yields the messages of one queue.

    Args:
        messages: The queue.
        timeout: Longest wait for a message, in milliseconds.
    """

    def __init__(self, messages: "queue.SimpleQueue[GrantedMessage]", *, timeout: int) -> None:
        self._messages = messages
        self._timeout_seconds = timeout / 1000

    def __next__(self) -> MessageProxy | None:
        try:
            return self._messages.get(timeout=self._timeout_seconds)
        except queue.Empty:
            return None

    def ack(self, message: MessageProxy) -> None:
        """Make sure that the attempt has an end; usually the reporting middleware has given it one."""
        _execution_of(message).end(None)

    def nack(self, message: MessageProxy) -> None:
        """Make sure that the attempt has an end, also for a message that no actor took."""
        _execution_of(message).end(None)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Leave them: the shutdown has released what did not begin."""


class GrantBroker(dramatiq.Broker):
    """A Dramatiq broker that is fed with granted attempts.

    Args:
        handlers: Become actors.
        middleware: The user's own, outermost first; it stands inside the reporting middleware.
    """

    def __init__(self, handlers: Sequence[Handler], *, middleware: Sequence[Middleware]) -> None:
        # Outermost, so that its first hook runs before and its last one after all others, and sees what they raise.
        super().__init__(middleware=[Reporting(), *middleware])
        self.queues: dict[str, queue.SimpleQueue[GrantedMessage]] = {}
        self._executions: dict[tuple[str, int], Execution] = {}
        for handler in handlers:
            dramatiq.Actor(
                self._run,
                broker=self,
                actor_name=handler.type,
                queue_name=handler.queue,
                priority=0,
                options=dict(handler.options),
            )

    def start(self, execution: Execution) -> None:
        """Have a worker thread run a granted attempt."""
        self._executions[execution.arguments] = execution
        self.queues[execution.queue].put(GrantedMessage(execution))

    def forget(self, execution: Execution) -> None:
        """Drop an attempt that has ended."""
        self._executions.pop(execution.arguments, None)

    def declare_queue(self, queue_name: str) -> None:
        """Make a queue, once."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = queue.SimpleQueue()
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30000) -> GrantConsumer:  # noqa: ARG002 - Dramatiq's signature; there is never anything to prefetch
        """Make the consumer of a queue.

        Raises:
            QueueNotFound: No handler has this queue.
        """
        try:
            return GrantConsumer(self.queues[queue_name], timeout=timeout)
        except KeyError:
            raise QueueNotFound(queue_name) from None  # type: ignore[no-untyped-call] # Dramatiq's

    def enqueue(self, message: "dramatiq.Message[Any]", *, delay: int | None = None) -> "dramatiq.Message[Any]":  # noqa: ARG002 - Dramatiq's signature
        """Refuse: work is submitted to a server.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            f"a message for {message.actor_name!r} cannot be sent from a Rejoinder worker; submit an operation instead"
        )

    def _run(self, uid: str, attempt: int) -> None:
        self._executions[uid, attempt].run()


class Reporting(Middleware):
    """Gives every attempt its start and its end."""

    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Begin, unless the attempt must not start any more.

        Raises:
            NotStarted: It must not; Dramatiq skips the message.
        """
        _execution_of(message).begin()

    def after_process_message(
        self,
        broker: dramatiq.Broker,  # noqa: ARG002 - Dramatiq's signature
        message: MessageProxy,
        *,
        result: object = None,  # noqa: ARG002 - the execution has it, encoded
        exception: BaseException | None = None,
    ) -> None:
        """End with what the handler, or another middleware, made of it."""
        _execution_of(message).end(exception)

    def after_skip_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:  # noqa: ARG002 - Dramatiq's signature
        """End without having run."""
        _execution_of(message).end(None)


def _execution_of(message: MessageProxy) -> Execution:
    if not isinstance(message, GrantedMessage):
        raise TypeError(f"not a granted message: {message!r}")
    return message.execution
