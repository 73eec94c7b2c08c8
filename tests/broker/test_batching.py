"""How much is taken together."""

from collections import deque

import pytest

from rejoinder_broker.batching import take_batch


@pytest.mark.parametrize(
    ("waiting", "batch"),
    [
        ([], []),
        ([5, 5], [5, 5]),
        ([5, 6], [5]),
        ([11, 1], [11]),
        ([1, 11], [1]),
        ([1, 1, 1, 1], [1, 1, 1]),
    ],
)
def test_a_batch_is_bounded_in_number_and_in_bytes_and_takes_at_least_one(waiting: list[int], batch: list[int]) -> None:
    left = deque(waiting)
    assert batch == take_batch(left, most=3, most_bytes=10, size=lambda size: size)
    assert waiting == batch + list(left)
