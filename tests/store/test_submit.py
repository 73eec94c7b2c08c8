from rejoinder_server.operation import Key
from rejoinder_server.store.port import HistorySpan, Store
from tests.support.operations import BEGIN, acceptance, purged
from tests.support.storing import changed, read_one, stored, stored_all


async def test_a_new_operation_is_stored_as_it_was_accepted(store: Store) -> None:
    given = acceptance(labels={"team": "blue"})
    [submission] = await store.submit([given])
    assert (given.operation, True) == (submission.operation, submission.is_new)
    assert given.operation == await read_one(store, given.operation.key)


async def test_a_new_operation_comes_with_its_first_transition(store: Store) -> None:
    given = acceptance()
    await stored_all(store, given)
    spans = [HistorySpan(given.operation.namespace, given.operation.uid, 0, 10)]
    assert [[given.transition]] == await store.history(spans)


async def test_a_new_operation_comes_with_its_request(store: Store) -> None:
    given = acceptance(request=b"\x00\xff payload")
    await stored_all(store, given)
    assert [b"\x00\xff payload"] == await store.requests([(given.operation.namespace, given.operation.uid)])


async def test_an_empty_batch_stores_nothing(store: Store) -> None:
    assert [] == await store.submit([])


async def test_a_batch_answers_in_its_own_order(store: Store) -> None:
    batch = [acceptance(request_id=f"request-{name}") for name in "zma"]
    submissions = await store.submit(batch)
    assert [each.operation for each in batch] == [each.operation for each in submissions]


async def test_a_request_id_that_exists_returns_its_operation(store: Store) -> None:
    first = await stored(store, request_id="same")
    [submission] = await store.submit([acceptance(request_id="same")])
    assert (first, False) == (submission.operation, submission.is_new)


async def test_an_operation_id_that_is_taken_returns_its_operation(store: Store) -> None:
    first = await stored(store, operation_id="same")
    [submission] = await store.submit([acceptance(operation_id="same")])
    assert (first, False) == (submission.operation, submission.is_new)


async def test_the_request_id_decides_before_the_operation_id(store: Store) -> None:
    by_request = await stored(store, request_id="same")
    await stored(store, operation_id="taken")
    [submission] = await store.submit([acceptance(request_id="same", operation_id="taken")])
    assert by_request == submission.operation


async def test_request_ids_are_separate_for_each_type(store: Store) -> None:
    await stored(store, request_id="same", type="a.one")
    [submission] = await store.submit([acceptance(request_id="same", type="a.two")])
    assert submission.is_new


async def test_all_keys_are_separate_for_each_namespace(store: Store) -> None:
    first = await stored(store, namespace="one", operation_id="same", request_id="same", uid="same")
    second = await stored(store, namespace="two", operation_id="same", request_id="same", uid="same")
    assert [first, second] == await store.read([Key("one", "same"), Key("two", "same")])


async def test_of_two_with_one_request_id_in_a_batch_the_first_is_stored(store: Store) -> None:
    batch = [acceptance(request_id="same"), acceptance(request_id="same")]
    submissions = await store.submit(batch)
    assert [(batch[0].operation, True), (batch[0].operation, False)] == [
        (each.operation, each.is_new) for each in submissions
    ]


async def test_of_two_with_one_operation_id_in_a_batch_one_is_stored(store: Store) -> None:
    batch = [acceptance(operation_id="same"), acceptance(operation_id="same")]
    submissions = await store.submit(batch)
    assert [False, True] == sorted(each.is_new for each in submissions)
    assert submissions[0].operation == submissions[1].operation


async def test_what_is_not_new_does_not_hinder_the_rest_of_its_batch(store: Store) -> None:
    first = await stored(store, request_id="same")
    batch = [acceptance(), acceptance(request_id="same"), acceptance(operation_id=first.operation_id), acceptance()]
    submissions = await store.submit(batch)
    assert [True, False, False, True] == [each.is_new for each in submissions]
    assert batch[3].operation == await read_one(store, batch[3].operation.key)


async def test_what_is_not_new_leaves_no_history_and_no_request(store: Store) -> None:
    await stored(store, request_id="same")
    again = acceptance(request_id="same")
    await store.submit([again])
    assert [[]] == await store.history([HistorySpan(again.operation.namespace, again.operation.uid, 0, 10)])
    assert [None] == await store.requests([(again.operation.namespace, again.operation.uid)])


async def test_a_tombstone_keeps_its_request_id(store: Store) -> None:
    tombstone = await changed(store, await stored(store, request_id="same"), lambda it: purged(it, at=BEGIN))
    [submission] = await store.submit([acceptance(request_id="same")])
    assert (tombstone, False) == (submission.operation, submission.is_new)


async def test_a_tombstone_keeps_its_operation_id(store: Store) -> None:
    tombstone = await changed(store, await stored(store, operation_id="same"), lambda it: purged(it, at=BEGIN))
    [submission] = await store.submit([acceptance(operation_id="same")])
    assert (tombstone, False) == (submission.operation, submission.is_new)


async def test_the_same_acceptance_again_is_still_new(store: Store) -> None:
    """A caller that does not know whether its commit took place may ask again."""
    given = acceptance()
    await store.submit([given])
    [submission] = await store.submit([given])
    assert submission.is_new


async def test_a_large_batch_is_stored(store: Store) -> None:
    batch = [acceptance() for _ in range(500)]
    await stored_all(store, *batch)
    assert [each.operation for each in batch] == await store.read([each.operation.key for each in batch])
