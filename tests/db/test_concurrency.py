"""Many at once: exactly as much happens as when they come one after another."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from stores import db, lifecycle
from stores.api import StoreRequest
from stores.errors import Busy, NameTaken, QuotaExceeded, UrumiError
from stores.model import Engine, Phase
from tests.support import World, origin

AT_ONCE = 50


def outcomes(work: Callable[[int], Any]) -> list[Any]:
    """What each of 50 threads got: a result, or the type of the error."""

    def one(number: int) -> Any:
        try:
            return work(number)
        except UrumiError as error:
            return type(error)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(one, range(AT_ONCE)))


@pytest.mark.parametrize("owners", [1, AT_ONCE])
def test_of_fifty_requests_for_one_name_one_gets_it(world: World, owners: int) -> None:
    found = outcomes(lambda n: bool(world.create("corner", owner=f"owner-{n % owners}")))
    assert Counter(found) == {True: 1, NameTaken: AT_ONCE - 1}
    assert world.value("select count(*) from stores") == 1
    assert world.value("select count(*) from store_events") == 1
    assert world.rows("select outcome, count(*) from audit_logs group by outcome order by outcome") == [
        ("accepted", 1),
        ("refused", AT_ONCE - 1),
    ]


def test_fifty_requests_with_one_key_make_one_store_and_get_one_answer(world: World) -> None:
    wanted = StoreRequest(name="corner", type=Engine.MEDUSA)
    found = outcomes(lambda _: lifecycle.request(origin(), wanted, key="k")[2])
    assert all(answer == found[0] for answer in found)
    assert found[0]["name"] == "corner"
    assert world.value("select count(*) from stores") == 1


def test_fifty_requests_by_one_owner_get_as_many_stores_as_allowed(world: World) -> None:
    world.configure(stores_per_owner=5)
    found = outcomes(lambda n: bool(world.create(f"corner-{n}")))
    assert Counter(found) == {True: 5, QuotaExceeded: AT_ONCE - 5}
    assert world.value("select count(*) from stores") == 5


def test_a_password_is_shown_to_one_of_fifty(world: World) -> None:
    store = world.ready()
    found = outcomes(lambda _: lifecycle.reveal(origin(), store.id)["password"])
    assert len([password for password in found if isinstance(password, str)]) == 1


def test_eight_sweeps_at_once_do_no_step_twice(world: World) -> None:
    ids = [world.create(f"corner-{n}") for n in range(6)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: lifecycle.sweep(), range(8)))
    assert any("skipped" not in summary for summary in found)
    lifecycle.sweep()
    for store_id in ids:
        store = world.store(store_id)
        assert store.status is Phase.READY
        assert world.actions(store) == ["prepare", "install"]
        assert world.events(store_id) == ["requested", "ready"]


def test_events_and_sweeps_at_once_do_no_step_twice(world: World) -> None:
    ids = [world.create(f"corner-{n}") for n in range(4)]

    def one(work: Callable[[], object]) -> bool:
        try:
            work()
        except Busy:
            return False  # Knative sends the event again
        return True

    dice = random.Random(7)
    for _ in range(2):
        work: list[Callable[[], object]] = [lifecycle.sweep] * 8
        work += [partial(lifecycle.converge, store_id=store_id) for store_id in ids for _ in range(4)]
        dice.shuffle(work)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(one, work))
    lifecycle.sweep()
    for store_id in ids:
        store = world.store(store_id)
        assert store.status is Phase.READY
        assert world.actions(store) == ["prepare", "install"]


def test_a_store_that_is_worked_on_is_busy_for_everybody_else(world: World) -> None:
    store_id = world.create()
    with db.store_lock(store_id), pytest.raises(Busy):
        lifecycle.converge(store_id=store_id)
    lifecycle.converge(store_id=store_id)


def test_as_many_calls_as_a_pod_has_threads_do_not_wait_for_each_others_connections(world: World) -> None:
    ids = [world.create(f"corner-{n}") for n in range(14)]
    with ThreadPoolExecutor(14) as threads:
        list(threads.map(lambda store_id: lifecycle.converge(store_id=store_id), ids))
    assert {world.store(store_id).status for store_id in ids} == {Phase.READY}


@pytest.mark.usefixtures("world")
def test_the_first_calls_of_a_process_share_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    class SlowPool(ConnectionPool):
        def __init__(self, *args: Any, **more: Any) -> None:
            opened.append(1)
            time.sleep(0.05)
            super().__init__(*args, **more)

    monkeypatch.setattr(db, "ConnectionPool", SlowPool)
    with ThreadPoolExecutor(8) as threads:
        pools = list(threads.map(lambda _: db.pool(), range(8)))
    assert len(opened) == 1
    assert all(pool is pools[0] for pool in pools)
