"""The fingerprint: what "the same content" means for a request id."""

import json
from collections.abc import Mapping
from hashlib import sha256

from rejoinder.v1.operation_pb2 import Payload
from rejoinder_server.operation import Instant, RetryPolicy, Span, Timeouts

VERSION = 1
"""Grows when the listed fields or their form change; a digest of another version says nothing about equality."""

_DIGEST_CHARACTERS = 40


def fingerprint(
    payload: Payload,
    *,
    type: str,
    operation_id: str,
    correlation_id: str,
    labels: Mapping[str, str],
    priority: int,
    delay: Span | None,
    due_time: Instant | None,
    timeouts: Timeouts,
    retry_policy: RetryPolicy,
    retention: Span | None,
) -> str:
    """Digest what a submit asks for, as it was asked for.

    In are: the type; the payload's body byte for byte, its content type and its message type; operation id and
    correlation id as given, empty when left out; the labels in any order; the priority; the delay or the due time as
    given, not what they come to; timeouts, retry policy and retention as given, not what is in effect.

    Not in are `wait_timeout` and `validate_only`, which change the answer and not the operation, and the namespace, in
    which request ids are unique anyway.

    The payload is the one that is stored, so a `value` counts as the JSON text that it became.
    """
    body = payload.data if payload.WhichOneof("body") == "data" else payload.json.encode()
    fields = {
        "type": type,
        "body_kind": payload.WhichOneof("body"),
        "body": sha256(body).hexdigest(),
        "content_type": payload.content_type,
        "message_type": payload.message_type,
        "operation_id": operation_id,
        "correlation_id": correlation_id,
        "labels": dict(labels),
        "priority": priority,
        "delay": delay,
        "due_time": due_time,
        "timeouts": [timeouts.queue, timeouts.attempt, timeouts.total],
        "retry_policy": [
            retry_policy.max_attempts,
            retry_policy.initial_backoff,
            retry_policy.backoff_multiplier,
            retry_policy.max_backoff,
        ],
        "retention": retention,
    }
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return f"{VERSION}:{sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]}"
