"""How many warm stores there should be."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from stores.model import Desired, Engine, Phase, Store
from stores.stock import PACE, plan

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


def planned(stores: list[Store], *, size: int, demand: int = 0, cap: int = 5) -> tuple[int, list[int]]:
    wanted = plan(
        stores,
        releases=RELEASES,
        sizes={Engine.MEDUSA: size},
        cap=cap,
        demand={Engine.MEDUSA: demand},
    )
    assert wanted.add[Engine.WOOCOMMERCE] == 0
    return wanted.add[Engine.MEDUSA], [store_id.int for store_id in wanted.retire]


def test_an_empty_stock_is_filled_a_few_at_a_time() -> None:
    assert planned([], size=5) == (PACE, [])
    growing = [warm(n, status=Phase.PROVISIONING) for n in range(PACE)]
    assert planned(growing, size=5) == (0, [])
    assert planned([warm(0), warm(1)], size=5) == (2, [])


def test_a_full_stock_is_left_alone() -> None:
    assert planned([warm(0), warm(1)], size=2) == (0, [])


def test_a_taken_store_is_made_anew() -> None:
    taken = warm(0, owner="alice", name="shop", status=Phase.PROVISIONING)
    assert planned([taken, warm(1)], size=2) == (1, [])


def test_a_size_of_zero_drains_the_stock_whatever_the_demand() -> None:
    assert planned([warm(0), warm(1, status=Phase.PROVISIONING)], size=0, demand=9) == (0, [0, 1])


@pytest.mark.parametrize(("demand", "cap", "expected"), [(0, 5, 1), (3, 5, 2), (9, 2, 2)])
def test_demand_widens_the_stock_up_to_its_cap(demand: int, cap: int, expected: int) -> None:
    added, _ = planned([], size=1, demand=demand, cap=cap)
    assert added == expected


def test_what_is_complete_stays_when_there_is_too_much() -> None:
    stores = [warm(0, status=Phase.PROVISIONING), warm(1), warm(2)]
    assert planned(stores, size=2) == (0, [0])


def test_an_older_release_or_a_failed_store_is_replaced() -> None:
    stores = [warm(0, release="medusa-1"), warm(1, status=Phase.FAILED), warm(2)]
    assert planned(stores, size=2) == (1, [0, 1])


def test_what_is_already_going_is_not_retired_again() -> None:
    assert planned([warm(0, desired=Desired.ABSENT, status=Phase.DELETING)], size=0) == (0, [])
