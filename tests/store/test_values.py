import random
from dataclasses import replace
from typing import Any

import pytest

from rejoinder_server.operation import RetryPolicy, State, Timeouts, Transition, TypeRecord, WorkerRecord
from rejoinder_server.store.port import ByKey, DataRefused, HistorySpan, Store, Writes
from tests.support.operations import BEGIN, acceptance, moved, operation
from tests.support.storing import changed, read_one, stored, stored_all

SMALLEST, LARGEST = -(2**63), 2**63 - 1

FULL: dict[str, Any] = {
    "state": State.FAILED,
    "revision": LARGEST - 1,
    "sequence": LARGEST - 2,
    "attempt": 7,
    "result": bytes(range(256)),
    "error": b"\x00error",
    "error_reason": "REASON",
    "progress": b"progress",
    "progress_revision": 12,
    "progress_time": BEGIN + 1,
    "correlation_id": "völlig ♥ beliebig 🎈",
    "labels": {"team": "blue", "ünïcode": '♥ \\u0000 "quoted"', "empty": ""},
    "priority": -100,
    "fingerprint": "2:abc",
    "headers": {"traceparent": "00-1-2-03"},
    "update_time": BEGIN + 2,
    "due_time": LARGEST,
    "start_time": SMALLEST,
    "end_time": BEGIN + 4,
    "expire_time": BEGIN + 5,
    "cancel_request_time": BEGIN + 6,
    "cancel_reason": "no longer needed",
    "timeouts": Timeouts(queue=1, attempt=2, total=LARGEST),
    "retry_policy": RetryPolicy(max_attempts=3, initial_backoff=4, backoff_multiplier=1.1, max_backoff=5),
    "retention": 6,
    "failures": 8,
    "grant_nonce": "grant",
    "worker": "worker",
    "connection_id": "connection",
    "grant_time": BEGIN + 7,
    "lease_time": BEGIN + 8,
    "reported": 9,
}


async def test_every_field_of_an_operation_comes_back(store: Store) -> None:
    given = operation(**FULL)
    await stored_all(store, replace(acceptance(), operation=given))
    assert given == await read_one(store, given.key)


async def test_every_field_of_an_operation_can_change_but_its_identity(store: Store) -> None:
    before = await stored(store)
    fields = {name: value for name, value in FULL.items() if name != "revision"}
    after = operation(**FULL | fields | {"operation_id": before.operation_id, "uid": before.uid})
    await changed(store, before, lambda it: replace(moved(it), after=after))
    assert after == await read_one(store, before.key)


async def test_every_field_of_a_transition_comes_back(store: Store) -> None:
    given = acceptance()
    noted = Transition(
        uid=given.operation.uid,
        namespace=given.operation.namespace,
        sequence=LARGEST,
        revision=LARGEST,
        nonce="nonce ♥",
        state=State.TIMED_OUT,
        attempt=LARGEST,
        time=SMALLEST,
        error=b"\x00",
        worker="worker",
        reason="REASON",
    )
    await stored_all(store, replace(given, transition=noted))
    assert [[noted]] == await store.history([HistorySpan(given.operation.namespace, given.operation.uid, 0, LARGEST)])


async def test_every_field_of_a_type_comes_back(store: Store) -> None:
    given = TypeRecord(
        name="reports.generate",
        queue="reports",
        description="Writes ♥ reports.",
        timeouts=Timeouts(queue=1, attempt=2, total=3),
        retry_policy=RetryPolicy(max_attempts=4, initial_backoff=5, backoff_multiplier=6.5, max_backoff=7),
        last_seen_time=LARGEST,
    )
    await store.transact(ByKey([]), lambda _rows, _moment: Writes(types={given.name: given}))
    assert [given] == await store.types()


async def test_every_field_of_a_worker_comes_back(store: Store) -> None:
    given = WorkerRecord(
        worker="worker ♥",
        connection_id="connection",
        types=("a.b", "a.c"),
        free_slots=1,
        total_slots=2,
        zombies=3,
        unreadable_messages=LARGEST,
        lease_time=SMALLEST,
    )
    await store.transact(ByKey([]), lambda _rows, _moment: Writes(workers={given.worker: given}))
    assert [given] == await store.workers()


async def test_a_request_of_a_mebibyte_comes_back(store: Store) -> None:
    request = random.Random(1).randbytes(2**20)
    given = acceptance(request=request)
    await stored_all(store, given)
    assert [request] == await store.requests([(given.operation.namespace, given.operation.uid)])


async def test_a_result_of_a_mebibyte_comes_back(store: Store) -> None:
    result = random.Random(1).randbytes(2**20)
    after = await changed(store, await stored(store), lambda it: moved(it, state=State.SUCCEEDED, result=result))
    assert after == await read_one(store, after.key)


REFUSED: dict[str, dict[str, Any]] = {
    "a NUL character": {"cancel_reason": "a\0b"},
    "a NUL character in a label": {"labels": {"team": "a\0b"}},
    "a NUL character in a header's name": {"headers": {"a\0b": "value"}},
    "half a surrogate pair": {"worker": "\ud800"},
    "half a surrogate pair in a label": {"labels": {"team": "\ud800"}},
    "a number above 64 bits": {"due_time": LARGEST + 1},
    "a number below 64 bits": {"due_time": SMALLEST - 1},
}


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED)
async def test_a_value_that_no_store_can_hold_is_refused_and_nothing_is_submitted(
    store: Store, fields: dict[str, Any]
) -> None:
    innocent = acceptance()
    with pytest.raises(DataRefused):
        await store.submit([innocent, acceptance(**fields)])
    assert await read_one(store, innocent.operation.key) is None


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED)
async def test_a_value_that_no_store_can_hold_is_refused_and_nothing_is_changed(
    store: Store, fields: dict[str, Any]
) -> None:
    innocent, guilty = await stored_all(store, acceptance(), acceptance())

    with pytest.raises(DataRefused):
        await store.transact(
            ByKey([innocent.key, guilty.key]),
            lambda rows, _moment: Writes(
                changes=[moved(it, **fields) if it.key == guilty.key else moved(it, failures=1) for it in rows]
            ),
        )
    assert [innocent, guilty] == await store.read([innocent.key, guilty.key])


async def test_a_store_works_on_after_a_value_was_refused(store: Store) -> None:
    with pytest.raises(DataRefused):
        await store.submit([acceptance(cancel_reason="\0")])
    await stored(store)
