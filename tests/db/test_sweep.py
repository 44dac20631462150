"""The sweep's price: it does not grow with stores that need nothing."""

from __future__ import annotations

import time

import pytest

from stores import db, lifecycle
from stores.model import Phase
from tests.support import Postgres, Statements, World


@pytest.mark.parametrize("count", [10, 1000])
def test_a_sweep_over_ready_stores_takes_few_statements_and_little_time(
    world: World, postgres: Postgres, facts: list[str], count: int
) -> None:
    world.many_ready(count)
    statements = Statements(postgres, world.database)
    found = statements.during(lifecycle.sweep)
    statements.stop()
    assert 4 <= len(found) <= 10, found

    times = []
    for _ in range(3):
        began = time.monotonic()
        assert lifecycle.sweep() == {"stores": count, "strays": 0}
        times.append(time.monotonic() - began)
    assert min(times) <= 2
    facts.append(f"sweep over {count} ready stores: {len(found)} statements, {min(times):.3f} s (best of 3)")


def test_a_sweep_looks_after_the_one_store_among_many_that_needs_it(world: World) -> None:
    world.many_ready(200)
    store_id = world.create("needy")
    assert lifecycle.sweep()["stores"] == 201
    assert world.store(store_id).status is Phase.READY
    assert world.rows("select distinct action from simulator.actions order by action") == [("install",), ("prepare",)]


@pytest.mark.usefixtures("world")
def test_a_second_sweep_leaves_the_first_alone() -> None:
    with db.sweep_lock() as held:
        assert held is not None
        assert lifecycle.sweep() == {"skipped": 1}
    assert "skipped" not in lifecycle.sweep()


def test_one_store_that_breaks_a_sweep_does_not_stop_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [world.create(f"corner-{n}") for n in range(3)]
    converge = lifecycle.converge_once

    def broken(conn: object, store_id: object) -> object:
        if store_id == ids[1]:
            raise ZeroDivisionError
        return converge(conn, store_id)  # type: ignore[arg-type]

    monkeypatch.setattr(lifecycle, "converge_once", broken)
    assert lifecycle.sweep()["error"] == 1
    assert [world.store(store_id).status for store_id in ids] == [Phase.READY, Phase.PROVISIONING, Phase.READY]


def test_what_does_not_fit_into_a_call_is_left_to_the_next(world: World) -> None:
    ids = [world.create(f"corner-{n}") for n in range(3)]
    world.configure(budget=-1)
    assert lifecycle.sweep()["postponed"] == 3
    world.configure(budget=20)
    lifecycle.sweep()
    assert {world.store(store_id).status for store_id in ids} == {Phase.READY}


@pytest.mark.usefixtures("world")
def test_the_age_of_the_last_sweep_is_known() -> None:
    with db.connection() as conn:
        assert db.sweep_age(conn) is None
        lifecycle.sweep()
        age = db.sweep_age(conn)
    assert age is not None
    assert 0 <= age < 5
