"""A store from stock through Knative and the ingress: what an owner waits for after the click, and with all asleep."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.bench import cold_starts
from tests.e2e.conftest import kubectl, visit
from tests.e2e.knative import SYSTEM, Api, Store, operator, run
from tests.support import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

STOCK = 3
ALONE = 20  # claims, each when the stock is full again
ROWS = 5  # of as many claims as there are stores in stock
ASLEEP = 24  # claims with all asleep, every eighth of them without the watch
PODS = 6

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
    for _ in range(ALONE):
        wait_for_stock(stocked, STOCK)
        ready, seconds = seconds_from_click(stocked)
        figure("knative: warm, click to ready, functions awake, seconds", seconds)
        stocked.http.delete(f"/api/stores/{ready['id']}")


def test_right_behind_another_it_waits_for_the_ingress_controller_too(stocked: Api, figure: Figure) -> None:
    """Traefik, as it comes, takes up a change at once and the next one two seconds later."""
    for _ in range(ROWS):
        wait_for_stock(stocked, STOCK)
        row = [seconds_from_click(stocked) for _ in range(STOCK)]
        for _, seconds in row[1:]:
            figure("knative: warm, click to ready, right behind another, seconds", seconds)
        for ready, _ in row:
            stocked.http.delete(f"/api/stores/{ready['id']}")


def test_with_every_function_asleep_it_takes_some_seconds_more(stocked: Api, figure: Figure) -> None:
    """Every eighth without the watch, which wakes reconcile together with create."""
    with cold_starts.sleepy():
        for number in range(ASLEEP):
            wait_for_stock(stocked, STOCK)
            watched = number % 8 != 7
            cold_starts.set_watch(work=watched)
            with cold_starts.unswept():
                cold_starts.wait_until_all_sleep(seconds=300)
                ready, seconds = seconds_from_click(stocked)
            how = "all asleep" if watched else "all asleep, without the watch"
            figure(f"knative: warm, click to ready, {how}, seconds", seconds)
            cold_starts.set_watch(work=True)
            stocked.http.delete(f"/api/stores/{ready['id']}")


CONNECT = """
import socket, time
from stores import net
began = time.perf_counter()
address = ("postgres.urumi-system.svc.cluster.local", 5432)
{}
print(time.perf_counter() - began)
"""


def test_a_new_pods_first_connection_does_not_wait_a_second_for_the_policies(api: Api, figure: Figure) -> None:
    """Alternately by the socket as it is and by stores.net, each in a pod that has just started."""
    assert api.http.get("/api/health").status_code == 200
    ways = {"by stores.net": "net.connect(*address, seconds=9)", "by socket": "socket.create_connection(address)"}
    took: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(PODS):
        for way, code in ways.items():
            with operator("sh", "-c", 'python -c "$0"; exec sleep 300', CONNECT.format(code)) as pod:
                eventually(lambda pod=pod: kubectl("logs", "-n", SYSTEM, pod, check=False).stdout.strip(), seconds=60)
                took[way].append(float(kubectl("logs", "-n", SYSTEM, pod).stdout))
                figure(f"knative: a new pod's first connection, {way}, seconds", took[way][-1])
    assert statistics.median(took["by stores.net"]) < statistics.median(took["by socket"])
