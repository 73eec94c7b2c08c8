"""Garbage that somebody puts into the queues by hand: counted, kept as dead letters, and everything else goes on."""

import pytest

from tests.integration.conftest import Target
from tests.support.raw_rabbit import publish
from tests.support.waiting import eventually_sync

NOT_PROTOBUF = b"\xff\xff\xff\xff"
BODIES = (NOT_PROTOBUF, b"", b'{"type": "test.echo"}')


@pytest.mark.parametrize("source", ["claims", "events"])
def test_garbage_among_claims_or_events_is_counted_and_kept(target: Target, source: str) -> None:
    pids, before = target.pids, target.count("rejoinder_unreadable_messages_total", source=source)
    target.dead_letters()
    publish(target.broker_url, f"rejoinder.1.{source}", *BODIES)
    eventually_sync(
        lambda: target.count("rejoinder_unreadable_messages_total", source=source) == before + len(BODIES), timeout=20
    )
    letters = target.await_dead_letters(len(BODIES))
    assert sorted(BODIES) == sorted(letter.body for letter in letters)
    assert {f"rejoinder.1.{source}"} == {letter.headers["rejoinder-source"] for letter in letters}
    errors = {letter.body: letter.headers["rejoinder-error"] for letter in letters}
    assert "The bytes are not the expected protobuf message." == errors[NOT_PROTOBUF]
    assert all(errors.values())
    target.assert_works()
    assert pids == target.pids


def test_garbage_among_tokens_is_counted_by_the_workers_and_kept(target: Target) -> None:
    pids, before = target.pids, target.count("rejoinder_worker_unreadable_messages")
    target.dead_letters()
    queue = "rejoinder.1.work.test.test.echo"
    publish(target.broker_url, queue, *BODIES)
    letters = target.await_dead_letters(len(BODIES))
    assert sorted(BODIES) == sorted(letter.body for letter in letters)
    assert {queue} == {letter.headers["rejoinder-source"] for letter in letters}
    # Both servers tell the sum over all workers.
    expected = before + len(target.deployment.servers) * len(BODIES)
    eventually_sync(lambda: target.count("rejoinder_worker_unreadable_messages") == expected, timeout=20)
    target.assert_works()
    assert pids == target.pids


def test_a_token_of_another_type_is_garbage_too(target: Target) -> None:
    target.dead_letters()
    token = b"\n\x04test\x12\ttest.work"  # queue and type of other work than its queue is for
    publish(target.broker_url, "rejoinder.1.work.test.test.echo", token)
    [letter] = target.await_dead_letters(1)
    assert (token, "The token names other work than its queue.") == (letter.body, letter.headers["rejoinder-error"])
    target.assert_works()


def test_a_thousand_pieces_of_garbage_do_not_keep_an_operation_waiting(target: Target) -> None:
    operations = [target.caller.submit("test.echo", str(index)) for index in range(20)]
    for source in ("claims", "events"):
        publish(target.broker_url, f"rejoinder.1.{source}", *[NOT_PROTOBUF] * 500)
    assert [str(index) for index in range(20)] == [target.caller.finished(each).result.json for each in operations]
