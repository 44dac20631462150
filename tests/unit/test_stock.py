"""How many warm stores there should be."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from stores.model import Desired, Engine, Phase, Store
from stores.stock import plan

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
RELEASES = {Engine.MEDUSA: "medusa-2", Engine.WOOCOMMERCE: "woocommerce-2"}


def warm(number: int, **changes: object) -> Store:
    usual: dict[str, object] = {
        "id": UUID(int=number),
        "type": Engine.MEDUSA,
        "status": Phase.WARM,
        "namespace": f"store-{number}",
        "release": "medusa-2",
        "created_at": NOW,
        "requested_at": NOW - timedelta(minutes=number),
        "updated_at": NOW,
    }
    return Store.model_validate(usual | changes)


def planned(
    stores: list[Store], *, size: int, demand: int = 0, cap: int = 5, calm: bool = True
) -> tuple[bool, list[int]]:
    wanted = plan(
        stores,
        releases=RELEASES,
        sizes={Engine.MEDUSA: size},
        cap=cap,
        demand={Engine.MEDUSA: demand},
        calm=calm,
    )
    assert wanted.add in ((), (Engine.MEDUSA,)), "nothing is wanted of WooCommerce"
    return bool(wanted.add), [store_id.int for store_id in wanted.retire]


def test_a_stock_is_filled_one_store_at_a_time() -> None:
    assert planned([], size=5) == (True, [])
    assert planned([warm(0, status=Phase.PROVISIONING)], size=5) == (False, [])
    assert planned([warm(0), warm(1, status=Phase.PROVISIONING)], size=5) == (False, [])
    assert planned([warm(0), warm(1)], size=5) == (True, [])


def test_while_owners_ask_for_stores_only_an_empty_stock_is_filled() -> None:
    assert planned([warm(0)], size=2, calm=False) == (False, [])
    assert planned([], size=2, calm=False) == (True, [])
    assert planned([warm(0, status=Phase.PROVISIONING)], size=2, calm=False) == (False, [])


def test_what_is_missing_is_what_could_not_be_handed_out_now() -> None:
    stores = [warm(0), warm(1, status=Phase.PROVISIONING)]
    wanted = plan(stores, releases=RELEASES, sizes={Engine.MEDUSA: 3}, cap=5, demand={}, calm=True)
    assert wanted.short == 2


def test_each_engine_is_filled_for_itself() -> None:
    growing = warm(0, status=Phase.PROVISIONING)
    sizes = {Engine.MEDUSA: 2, Engine.WOOCOMMERCE: 2}
    assert plan([growing], releases=RELEASES, sizes=sizes, cap=5, demand={}, calm=True).add == (Engine.WOOCOMMERCE,)


def test_a_full_stock_is_left_alone() -> None:
    assert planned([warm(0), warm(1)], size=2) == (False, [])


def test_a_taken_store_is_made_anew() -> None:
    taken = warm(0, owner="alice", name="shop", status=Phase.PROVISIONING)
    assert planned([taken, warm(1)], size=2) == (True, [])


def test_a_size_of_zero_drains_the_stock_whatever_the_demand() -> None:
    assert planned([warm(0), warm(1, status=Phase.PROVISIONING)], size=0, demand=9) == (False, [0, 1])


@pytest.mark.parametrize(("demand", "cap", "grows"), [(0, 5, False), (1, 5, False), (2, 5, True), (9, 1, False)])
def test_demand_widens_the_stock_up_to_its_cap(demand: int, cap: int, grows: bool) -> None:
    assert planned([warm(0)], size=1, demand=demand, cap=cap) == (grows, [])


def test_what_is_complete_stays_when_there_is_too_much() -> None:
    stores = [warm(0, status=Phase.PROVISIONING), warm(1), warm(2)]
    assert planned(stores, size=2) == (False, [0])


def test_an_older_release_or_a_failed_store_is_replaced() -> None:
    stores = [warm(0, release="medusa-1"), warm(1, status=Phase.FAILED), warm(2)]
    assert planned(stores, size=2) == (True, [0, 1])


def test_what_is_already_going_is_not_retired_again() -> None:
    assert planned([warm(0, desired=Desired.ABSENT, status=Phase.DELETING)], size=0) == (False, [])
