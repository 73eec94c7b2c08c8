"""The bounds that requests are checked against; ListTypes tells them to callers."""

from dataclasses import dataclass

from rejoinder_server.operation import SECOND, Span

DAY: Span = 24 * 3600 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one server.

    Attributes:
        max_payload_bytes: Longest body of a request or a result.
        max_labels: Most labels of an operation.
        max_label_key_length: Longest label key, in characters.
        max_label_value_length: Longest label value, in characters.
        max_wait_timeout: Longest wait of a call; longer ones are cut to it.
        max_delay: Longest delay, or distance of a due time.
        max_timeout: Longest timeout and backoff.
        max_retention: Longest retention.
        max_attempts: Most attempts of a retry policy.
        max_page_size: Most operations in a page of a listing; larger pages are cut to it.
    """

    max_payload_bytes: int = 1024 * 1024
    max_labels: int = 16
    max_label_key_length: int = 63
    max_label_value_length: int = 128
    max_wait_timeout: Span = 60 * SECOND
    max_delay: Span = 365 * DAY
    max_timeout: Span = 365 * DAY
    max_retention: Span = 365 * DAY
    max_attempts: int = 1000
    max_page_size: int = 1000
