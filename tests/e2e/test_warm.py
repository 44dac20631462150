"""Stores from stock on a real cluster: how long an owner waits, what a burst does, what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from tests.e2e import medusa_order, woo_order
from tests.e2e.conftest import INGRESS, Owner, images_built, objects, platform, visit
from tests.support import eventually

STOCK = 3
CLAIMS = 20


@pytest.fixture(scope="module")
def stocked() -> Iterator[Owner]:
    settings = json.dumps({"medusa": STOCK})
    with platform(URUMI_WARM=settings, URUMI_WARM_CAP=str(STOCK)) as owner:
        yield owner


def warm(owner: Owner, engine: str = "medusa") -> int:
    return int(owner.http.get(f"{owner.urumi.status_url}/api/platform").json()["warm"][engine])


def wait_for_stock(owner: Owner, size: int = STOCK, *, engine: str = "medusa", seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while warm(owner, engine) < size:
        assert time.monotonic() < until, f"{warm(owner, engine)} of {size} warm stores after {seconds} s"
        time.sleep(0.5)


def test_an_owner_waits_seconds_for_a_store_from_stock(stocked: Owner, figure: Callable[[str, float], None]) -> None:
    for run in range(CLAIMS):
        wait_for_stock(stocked)
        began = time.monotonic()
        store = stocked.create(f"warm-{run}", "medusa")
        while visit(store["host"]).status_code != 200:
            assert time.monotonic() - began < 60
            time.sleep(0.02)
        figure("medusa: warm, POST to a page at its address, seconds", time.monotonic() - began)
        ready = stocked.ready(store, seconds=60)
        assert ready["from_warm"]
        figure("medusa: warm, POST to ready, seconds", ready["time_to_ready_seconds"])
        assert f"warm-{run}" in visit(store["host"]).text, "the shop has its owner's name on it"
        if run == 0:
            access = stocked.credentials(store)
            order = medusa_order.order(ready["url"], user=access["user"], password=access["password"], connect=INGRESS)
            assert f"warm-{run}" in visit(store["host"], f"/order/{order.id}").text
        stocked.delete(store)


def test_an_owner_waits_seconds_for_a_woocommerce_store_from_stock(figure: Callable[[str, float], None]) -> None:
    if "urumi-woocommerce" not in images_built():
        pytest.skip("the WooCommerce image was not built: set URUMI_WORDPRESS_SOURCES, then `make images`")
    with platform(URUMI_WARM='{"woocommerce": 2}', URUMI_WARM_CAP="2") as owner:
        for run in range(CLAIMS):
            wait_for_stock(owner, 2, engine="woocommerce")
            store = owner.create(f"warm-woo-{run}", "woocommerce")
            ready = owner.ready(store, seconds=60)
            assert ready["from_warm"]
            figure("woocommerce: warm, POST to ready, seconds", ready["time_to_ready_seconds"])
            assert f"warm-woo-{run}" in visit(store["host"]).text
            if run == 0:
                access = owner.credentials(store)
                report = woo_order.place_orders(
                    ready["url"], user=access["user"], password=access["password"], connect=INGRESS
                )
                assert report.ok, report.error
            owner.delete(store)


@pytest.mark.slow
def test_a_burst_larger_than_the_stock_is_served_all_the_same(stocked: Owner, remark: Callable[[str], None]) -> None:
    wait_for_stock(stocked)
    with ThreadPoolExecutor(10) as pool:
        stores = list(pool.map(lambda n: stocked.create(f"burst-{n}", "medusa"), range(10)))
    assert len({store["namespace"] for store in stores}) == 10, "no store twice"
    ready = [stocked.ready(store, seconds=500) for store in stores]
    from_stock = [each for each in ready if each["from_warm"]]
    assert len(from_stock) == STOCK
    for each in ready:
        assert each["name"] in visit(each["host"]).text
    fastest = max(each["time_to_ready_seconds"] for each in from_stock)
    slowest = max(each["time_to_ready_seconds"] for each in ready)
    remark(f"burst of 10 on a stock of {STOCK}: warm ones within {fastest:.1f} s, all within {slowest:.1f} s")
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda store: stocked.delete(store, seconds=300), stores))
    wait_for_stock(stocked)


def kill_reconcile(owner: Owner) -> None:
    for process in psutil.Process(owner.urumi.process.pid).children(recursive=True):
        if "functions/reconcile/main.py" in " ".join(process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)


def claimed_identity(namespace: str) -> str:
    found = [n for n in objects("ns") if n["metadata"]["name"] == namespace]
    return str(found[0]["metadata"]["annotations"]["urumi.dev/identity"])


def routed(namespace: str) -> bool:
    return bool(objects("ingress", "-n", namespace))


def personalised(namespace: str) -> bool:
    return claimed_identity(namespace) != "0"


KILLED_BETWEEN: dict[str, Callable[[str], bool]] = {
    "claim and identity": lambda _: True,
    "identity and ingress": personalised,
    "ingress and ready": routed,
}


@pytest.mark.parametrize("moment", KILLED_BETWEEN)
def test_reconcile_killed_between(moment: str, stocked: Owner) -> None:
    wait_for_stock(stocked, 1)
    store = stocked.create(f"killed-{moment.split()[0]}", "medusa")
    eventually(lambda: KILLED_BETWEEN[moment](store["namespace"]), seconds=30, every=0.01)
    kill_reconcile(stocked)
    ready = stocked.ready(store, seconds=120)
    assert ready["name"] in visit(ready["host"]).text
    access = stocked.credentials(store)
    medusa_order.order(ready["url"], user=access["user"], password=access["password"], connect=INGRESS)
    living: list[dict[str, Any]] = stocked.http.get(f"{stocked.urumi.status_url}/api/stores").json()["items"]
    assert [each["name"] for each in living] == [store["name"]], "exactly one store"
    namespaces = [n["metadata"]["name"] for n in objects("ns", "-l", f"urumi.dev/store={store['id']}")]
    assert namespaces == [ready["namespace"]]
    stocked.delete(store)
