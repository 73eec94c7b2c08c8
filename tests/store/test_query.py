from dataclasses import replace
from typing import Any

import pytest

from rejoinder_server.operation import State
from rejoinder_server.store.port import Query, Store
from tests.support.operations import BEGIN, acceptance, moved, purged
from tests.support.storing import changed, stored, stored_all


async def listed(store: Store, **fields: Any) -> list[str]:
    defaults: dict[str, Any] = {"namespace": "default", "limit": 100}
    query = Query(**defaults | fields)
    return [operation.operation_id for operation in await store.query(query)]


async def test_the_newest_comes_first_and_ids_decide_between_equals(store: Store) -> None:
    for name, create_time in (("a", 1), ("b", 2), ("d", 2), ("c", 2), ("e", 0)):
        await stored(store, operation_id=name, create_time=create_time)
    assert ["d", "c", "b", "a", "e"] == await listed(store)


async def test_states_do_not_change_the_order(store: Store) -> None:
    for index, state in enumerate(State):
        await stored(store, operation_id=str(index), state=state, create_time=index)
    assert ["5", "4", "3", "2", "1", "0"] == await listed(store)
    assert ["5", "4", "3"] == await listed(store, limit=3)


async def test_a_listing_is_of_one_namespace(store: Store) -> None:
    await stored(store, operation_id="mine", namespace="mine")
    await stored(store, operation_id="other", namespace="other")
    assert ["mine"] == await listed(store, namespace="mine")


async def test_tombstones_are_not_listed(store: Store) -> None:
    await changed(store, await stored(store, correlation_id="same"), lambda it: purged(it, at=BEGIN))
    assert ([], []) == (await listed(store), await listed(store, correlation_id="same"))


FILTERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "state": ({"state": State.RUNNING}, {"states": [State.RUNNING]}),
    "states": ({"state": State.RUNNING}, {"states": [State.RUNNING, State.FAILED, State.RUNNING]}),
    "type": ({"type": "a.a"}, {"types": ["a.a", "z.z"]}),
    "queue": ({"queue": "a"}, {"queues": ["z", "a", "a"]}),
    "correlation id": ({"correlation_id": "mine"}, {"correlation_id": "mine"}),
    "label": ({"labels": {"team": "blue", "other": "1"}}, {"labels": {"team": "blue"}}),
    "labels": ({"labels": {"a": "1", "b": "2", "c": "3"}}, {"labels": {"b": "2", "a": "1"}}),
    "odd label": ({"labels": {'q"u\\o♥': "'%"}}, {"labels": {'q"u\\o♥': "'%"}}),
    "error reason": ({"error_reason": "MINE"}, {"error_reason": "MINE"}),
    "from": ({"create_time": 20}, {"create_time_from": 20, "create_time_before": 1000}),
    "before": ({"create_time": 20}, {"create_time_before": 21}),
    "all at once": (
        {"type": "a.a", "labels": {"a": "1"}, "correlation_id": "x", "state": State.FAILED, "create_time": 20},
        {
            "types": ["a.a"],
            "labels": {"a": "1"},
            "correlation_id": "x",
            "states": [State.FAILED],
            "create_time_from": 20,
            "create_time_before": 21,
            "before": (20, "z"),
        },
    ),
}


@pytest.mark.parametrize(("fields", "filters"), FILTERS.values(), ids=FILTERS)
async def test_a_filter_selects_what_it_says(store: Store, fields: dict[str, Any], filters: dict[str, Any]) -> None:
    await stored(store, operation_id="mine", **fields)
    others = {"create_time": 5000} if "create_time_from" in filters or "create_time_before" in filters else {}
    await stored(store, operation_id="other", labels={"team": "red", "blue": "team", "a": "2"}, **others)
    assert ["mine"] == await listed(store, **filters)


async def test_a_range_of_time_has_its_beginning_and_not_its_end(store: Store) -> None:
    for time in (10, 20, 30):
        await stored(store, operation_id=str(time), create_time=time)
    assert ["20", "10"] == await listed(store, create_time_from=10, create_time_before=30)


@pytest.mark.parametrize("filters", [{}, {"correlation_id": "same"}], ids=["all", "by correlation id"])
async def test_pages_through_equal_times_have_everything_once(store: Store, filters: dict[str, Any]) -> None:
    states = list(State)
    names = [f"{index:02}" for index in range(20)]
    for index, name in enumerate(names):
        await stored(store, operation_id=name, create_time=index // 10, state=states[index % 6], correlation_id="same")
    pages: list[list[str]] = []
    before: tuple[int, str] | None = None
    while page := await store.query(Query(namespace="default", limit=3, before=before, **filters)):
        pages.append([operation.operation_id for operation in page])
        before = (page[-1].create_time, page[-1].operation_id)
    assert [3, 3, 3, 3, 3, 3, 2] == [len(page) for page in pages]
    assert names[::-1] == [name for page in pages for name in page]


async def ended(store: Store, name: str, *, result: int = 0, request: int = 0, create_time: int) -> None:
    """Store an operation with a result and a request of so many bytes."""
    [accepted] = await stored_all(
        store, acceptance(operation_id=name, create_time=create_time, request=bytes(request), correlation_id="same")
    )
    await changed(store, accepted, lambda it: moved(it, state=State.SUCCEEDED, result=bytes(result)))


@pytest.mark.parametrize("filters", [{}, {"correlation_id": "same"}], ids=["all", "by correlation id"])
async def test_a_listing_without_outcomes_has_all_but_results(store: Store, filters: dict[str, Any]) -> None:
    await ended(store, "a", result=10, create_time=1)
    [whole] = await store.query(Query(namespace="default", limit=9, **filters))
    [bare] = await store.query(Query(namespace="default", limit=9, with_outcomes=False, **filters))
    [measured] = await store.query(Query(namespace="default", limit=9, with_outcomes=False, most_bytes=1, **filters))
    assert whole.result == bytes(10)
    assert (replace(whole, result=None), bare) == (bare, measured)


@pytest.mark.parametrize("filters", [{}, {"correlation_id": "same"}], ids=["all", "by correlation id"])
async def test_a_listing_ends_after_the_operation_that_exceeds_its_bytes(store: Store, filters: dict[str, Any]) -> None:
    for index, name in enumerate("edcba"):
        await ended(store, name, result=1000 + index, request=500, create_time=index)
    found = {most: await listed(store, most_bytes=most, **filters) for most in (10**6, 4505, 4508, 4509, 3006)}
    assert found == {10**6: [*"abcde"], 4505: [*"abc"], 4508: [*"abc"], 4509: [*"abcd"], 3006: [*"ab"]}


async def test_the_first_operation_never_ends_a_listing(store: Store) -> None:
    for index in range(3):
        await ended(store, str(index), result=1000, create_time=index)
    assert ["2", "1"] == await listed(store, most_bytes=10)


async def test_what_is_not_read_is_not_counted(store: Store) -> None:
    for index in range(4):
        await ended(store, str(index), result=1000, request=1000, create_time=index)
    assert ["3", "2", "1", "0"] == await listed(store, most_bytes=10, with_outcomes=False)


async def test_errors_and_progress_are_counted_in_every_listing(store: Store) -> None:
    for index in range(4):
        await stored(store, operation_id=str(index), create_time=index, error=bytes(50), progress=bytes(50))
    assert ["3", "2"] == await listed(store, most_bytes=199, with_outcomes=False)
    assert ["3", "2", "1"] == await listed(store, most_bytes=200, with_outcomes=False)
