"""Warm stores: claimed at once, by one owner each, and made anew."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from stores import db, lifecycle
from stores.errors import PlatformFull
from stores.model import Action, Phase
from tests.support import World, eventually, origin


def nobodys(world: World) -> int:
    return int(world.value("select count(*) from stores where owner is null and desired = 'present'"))


def fill(world: World, size: int, engine: str = "medusa") -> list[UUID]:
    """A stock of this size, made by sweeps as on a platform that nobody asks for anything."""
    world.configure(warm=f'{{"{engine}": {size}}}', warm_cap=max(size, 5))

    def full() -> list[UUID]:
        lifecycle.sweep()
        rows = world.rows("select id from stores where status = 'warm'")
        return [row[0] for row in rows] if len(rows) == size else []

    stock: list[UUID] = eventually(full, seconds=30)
    return stock


def test_a_claimed_store_skips_what_was_done_before_it_was_asked_for(world: World) -> None:
    stock = fill(world, 1)
    store = world.ready("mine", type="medusa")
    assert store.id in stock
    assert store.from_warm
    assert store.time_to_ready is not None
    assert world.actions(store) == ["prepare", "install", "personalise", "route"]
    shop, host = world.rows("select shop_name, host from simulator.namespaces where name = %s", store.namespace)[0]
    assert (shop, host) == ("mine", "mine.localhost")


def test_no_warm_store_is_handed_out_twice_under_a_hundred_claims_at_once(world: World) -> None:
    stock = fill(world, 8)
    with ThreadPoolExecutor(12) as pool:
        claimed = list(pool.map(lambda n: world.create(f"shop-{n}", type="medusa", owner=f"owner-{n}"), range(100)))
    assert len(set(claimed)) == 100
    assert set(stock) <= set(claimed)
    for store_id in claimed:
        world.settle(store_id, Phase.READY)
    passwords = world.rows("select password from simulator.namespaces n join stores s on s.namespace = n.name"
                           " where s.owner is not null")  # fmt: skip
    assert len({row[0] for row in passwords}) == 100


def test_an_owner_sees_neither_the_stock_nor_pays_for_it_from_the_quota(world: World) -> None:
    fill(world, 3)
    with db.connection() as conn:
        assert db.page(conn, owner=None, status=None, before=None, limit=50) == []
        assert db.living_stores(conn, "alice") == 0


def test_a_taken_store_is_made_anew_when_its_owner_has_it_and_nobody_asks_for_more(world: World) -> None:
    fill(world, 2)
    store_id = world.create("mine", type="medusa")
    lifecycle.sweep()
    assert world.store(store_id).from_warm
    assert nobodys(world) == 1, "others may be claimed just now"
    world.rows("update stores set created_at = now() - interval '11 seconds' where id = %s", store_id)
    world.settle(store_id, Phase.READY)
    lifecycle.sweep()
    assert nobodys(world) == 2


def test_an_empty_stock_waits_for_nobody_but_the_owner_who_took_the_last_one(world: World) -> None:
    fill(world, 1)
    store_id = world.create("mine", type="medusa")
    assert lifecycle.replenish() == 1
    assert nobodys(world) == 0
    world.settle(store_id, Phase.READY)
    lifecycle.replenish()
    assert nobodys(world) == 1


def test_while_an_owner_waits_nothing_is_added_to_a_stock_unless_for_too_long(world: World) -> None:
    fill(world, 1)
    world.configure(warm='{"medusa": 2}')
    world.fault("slow", "crash")
    slow = world.create("slow", type="woocommerce")
    lifecycle.converge(store_id=slow)
    world.rows("update stores set created_at = now() - interval '59 seconds', requested_at = created_at")
    lifecycle.sweep()
    assert nobodys(world) == 1
    world.rows("update stores set requested_at = now() - interval '61 seconds' where id = %s", slow)
    lifecycle.sweep()
    assert nobodys(world) == 2


def test_stores_are_made_one_after_the_other(world: World) -> None:
    world.configure(warm='{"medusa": 2}', simulated_speed=1e-9)
    for _ in range(3):
        lifecycle.sweep()
    ((first,),) = world.rows("select id from stores")
    world.configure(simulated_speed=1e9)
    world.settle(first, Phase.WARM)
    lifecycle.sweep()
    assert nobodys(world) == 2


def test_the_stock_is_drained_when_it_is_switched_off(world: World) -> None:
    fill(world, 2)
    world.configure(warm="{}")

    def gone() -> bool:
        lifecycle.sweep()
        return world.namespaces() == []

    assert eventually(gone, seconds=20)


def test_stock_of_an_older_release_is_never_handed_out_and_is_replaced(world: World) -> None:
    old = fill(world, 2)
    world.configure(image_tag="0.2.0")
    assert world.create("mine", type="medusa") not in old
    fresh = fill(world, 2)
    assert not set(old) & set(fresh)


def test_a_claimed_store_that_does_not_come_to_life_is_exchanged_for_a_new_one(world: World) -> None:
    fill(world, 1)
    world.configure(warm="{}")
    store_id = world.create("mine", type="medusa")
    before = world.store(store_id)
    world.fault("mine", "crash")
    world.rows("update stores set requested_at = now() - interval '1 minute' where id = %s", store_id)
    assert lifecycle.converge(store_id=store_id) is Action.WAIT
    world.fault("mine", None)
    after = world.settle(store_id, Phase.READY)
    assert after.namespace != before.namespace
    assert not after.from_warm

    def only_one() -> bool:
        lifecycle.sweep()
        return world.namespaces() == [after.namespace]

    assert eventually(only_one, seconds=20)


def test_a_full_platform_says_so_at_once_and_writes_nothing(world: World) -> None:
    world.rows('update platform set room = \'{"medusa": 1, "woocommerce": 5}\', room_at = now()')
    world.create("first", type="medusa")
    with pytest.raises(PlatformFull) as refused:
        lifecycle.request(origin(), lifecycle.StoreRequest(name="second", type="medusa"))
    assert refused.value.status == 503
    assert refused.value.retry_after > 0
    world.create("third", type="woocommerce")
    assert world.value("select count(*) from stores") == 2
