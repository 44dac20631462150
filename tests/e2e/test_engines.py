"""Both engines on a real cluster: a shopper orders, the merchant finds the order, and nothing is left after delete."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.e2e import medusa_browser, medusa_order, woo_browser, woo_order
from tests.e2e.conftest import ARTIFACTS, INGRESS, Owner, images_built, kubectl, leftovers, objects, visit

ENGINES = ["woocommerce", "medusa"]
# Every legal shape of a name becomes a host.
NAMES = ["abc", "a-1", "123", "x" * 40, "a--b", "0-" + "long-name-" * 3 + "end", *(f"cold-{n}" for n in range(7, 11))]


def skip_without_image(engine: str) -> None:
    if engine == "woocommerce" and "urumi-woocommerce" not in images_built():
        pytest.skip(
            "the WooCommerce image was not built: set URUMI_WORDPRESS_SOURCES, or build where its official sources can "
            "be downloaded, then `make images`"
        )


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    skip_without_image(name)
    return name


def memory(quantity: str) -> float:
    """MiB of a Kubernetes quantity as the charts write them."""
    units = {"Mi": 1, "Gi": 1024, "Ki": 1 / 1024}
    return float(quantity[:-2]) * units[quantity[-2:]]


def processors(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


IDLE_SECONDS = 40  # the kubelet looks every 10 to 15


def usage(namespace: str) -> tuple[float, float]:
    """What a store's pods use, as their kubelets say: MiB of working set, CPU seconds since their start."""
    mebibytes = seconds = 0.0
    for node in objects("nodes"):
        path = f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary"
        for pod in json.loads(kubectl("get", "--raw", path).stdout)["pods"]:
            if pod["podRef"]["namespace"] == namespace:
                mebibytes += pod.get("memory", {}).get("workingSetBytes", 0) / 2**20
                seconds += pod.get("cpu", {}).get("usageCoreNanoSeconds", 0) / 1e9
    return mebibytes, seconds


REQUESTS_AIM = {"woocommerce": 250, "medusa": 550}  # MiB


def test_an_order_is_placed_in_a_browser_and_found_by_the_merchant(
    engine: str, owner: Owner, figure: Callable[[str, float], None], remark: Callable[[str], None]
) -> None:
    store = owner.create(f"orders-{engine}", engine)
    ready = owner.ready(store)
    access = owner.credentials(store)
    began = time.monotonic()
    if engine == "medusa":
        by_api = medusa_order.order(ready["url"], user=access["user"], password=access["password"], connect=INGRESS)
        in_browser = medusa_browser.order(ready["url"], shots=ARTIFACTS / engine)
        shop = medusa_order.Store(ready["url"], connect=INGRESS)
        token = medusa_order.login(shop, access["user"], access["password"])
        assert medusa_order.as_admin(shop, token, in_browser)["id"] == in_browser != by_api.id
        remark(f"medusa: order {in_browser} placed in a browser, found in the admin API; {by_api.id} by the store API")
    else:
        report = woo_order.place_orders(
            ready["url"], user=access["user"], password=access["password"], connect=INGRESS, classic=True
        )
        assert report.ok, report.error
        in_wordpress = woo_browser.order(ready["url"], shots=ARTIFACTS / engine)
        admin = woo_order.Browser(ready["url"], connect=INGRESS)
        woo_order.login(admin, access["user"], access["password"])
        found = woo_order.find_in_wp_admin(admin, in_wordpress)
        remark(f"woocommerce: order {in_wordpress} placed in a browser, in wp-admin's list: {found['row']}")
    figure(f"{engine}: three ways to order, seconds", time.monotonic() - began)

    pods = objects("pods", "-n", store["namespace"], "--field-selector=status.phase=Running")
    requests = [c["resources"]["requests"] for pod in pods for c in pod["spec"]["containers"]]
    total = sum(memory(each["memory"]) for each in requests)
    figure(f"{engine}: memory requests of a store, MiB", total)
    figure(f"{engine}: CPU requests of a store, cores", sum(processors(each["cpu"]) for each in requests))
    assert total <= REQUESTS_AIM[engine]
    mebibytes, before = usage(store["namespace"])
    time.sleep(IDLE_SECONDS)
    _, after = usage(store["namespace"])
    figure(f"{engine}: working set after the orders, MiB", mebibytes)
    figure(f"{engine}: CPU of an idle store, millicores", 1000 * (after - before) / IDLE_SECONDS)
    owner.delete(store)


def test_a_cold_store_of_any_name_is_ready_soon_and_gone_soon_after_its_delete(
    engine: str,
    owner: Owner,
    figure: Callable[[str, float], None],
) -> None:
    for name in NAMES:
        store = owner.create(name, engine)
        ready = owner.ready(store)
        assert ready["host"] == f"{name}.localhost"
        assert visit(ready["host"]).status_code == 200
        figure(f"{engine}: cold, POST to ready, seconds", ready["time_to_ready_seconds"])
        for step in ready["steps"]:
            figure(f"{engine}:   share of {step['name']}", step["seconds"])
        figure(f"{engine}: DELETE to nothing left, seconds", owner.delete(store))
        assert leftovers(store["namespace"]) == {"namespaces": [], "volumes": [], "releases": []}


def test_both_engines_run_at_once(owner: Owner, remark: Callable[[str], None]) -> None:
    skip_without_image("woocommerce")
    stores = [owner.create(f"both-{engine}", engine) for engine in ENGINES]
    ready = [owner.ready(store) for store in stores]
    times = ", ".join(f"{s['type']} {s['time_to_ready_seconds']:.1f} s" for s in ready)
    remark(f"asked for at the same moment: {times}")
    for store in stores:
        owner.delete(store)
