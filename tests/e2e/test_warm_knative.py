"""A store from stock through Knative and the ingress: what an owner waits for after the click, and with all asleep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.bench import cold_starts
from tests.e2e.conftest import visit
from tests.e2e.knative import FUNCTIONS, Api, Store, asleep, run
from tests.support import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

STOCK = 3
ROWS, ASLEEP = 4, 3  # rows of as many claims as there are stores in stock; claims with all asleep

Figure = Callable[[str, float], None]


@pytest.fixture(scope="module")
def stocked(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The platform with Medusa stores in stock; without any afterwards."""
    values: Path = tmp_path_factory.mktemp("values") / "warm.yaml"
    values.write_text(yaml.safe_dump({"functions": {"warm": {"medusa": STOCK}, "warmCap": STOCK}}), encoding="utf-8")
    run("deploy", "--values", str(values))
    yield api
    run("deploy")


def wait_for_stock(api: Api, size: int) -> None:
    eventually(lambda: api.http.get("/api/platform").json()["warm"]["medusa"] >= size, seconds=300, every=1)


def seconds_from_click(api: Api) -> tuple[Store, float]:
    """A claimed store that is ready; the seconds from POST to 202, and those from its row to ready, which overlap."""
    began = time.monotonic()
    store = api.create()
    accepted = time.monotonic() - began
    ready = api.ready(store)
    assert ready["from_warm"]
    assert ready["name"] in visit(ready["host"]).text, "the shop has its owner's name on it"
    return ready, accepted + ready["time_to_ready_seconds"]


def test_a_store_from_stock_is_there_seconds_after_the_click(stocked: Api, figure: Figure) -> None:
    for _ in range(ROWS):
        wait_for_stock(stocked, STOCK)
        row = [seconds_from_click(stocked) for _ in range(STOCK)]
        for ready, seconds in row:
            figure("knative: warm, click to ready, functions awake, seconds", seconds)
            stocked.http.delete(f"/api/stores/{ready['id']}")


def test_with_every_function_asleep_it_takes_some_seconds_more(stocked: Api, figure: Figure) -> None:
    wait_for_stock(stocked, ASLEEP)
    with cold_starts.sleepy() as revisions:
        for _ in range(ASLEEP):
            eventually(
                lambda: all(cold_starts.asleep(revisions[each]) for each in FUNCTIONS) and all(map(asleep, FUNCTIONS)),
                seconds=180,
                every=0.2,
            )
            ready, seconds = seconds_from_click(stocked)
            figure("knative: warm, click to ready, all asleep, seconds", seconds)
            stocked.http.delete(f"/api/stores/{ready['id']}")
