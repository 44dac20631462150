"""/metrics, read with Prometheus's own parser."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stores.model import Phase
from tests.functions.conftest import Api
from tests.support import World


def metrics(api: Api) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = api.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def stores(api: Api, status: str, type: str = "woocommerce") -> float:
    return metrics(api)["stores_total", (("status", status), ("type", type))]


def test_stores_are_counted_from_their_first_moment_to_their_last(api: Api) -> None:
    assert stores(api, "provisioning") == 0, "a series is there before its first store"
    store_id = api.create().get_json()["id"]
    assert (stores(api, "provisioning"), stores(api, "ready")) == (1, 0)
    api.sweep()
    assert (stores(api, "provisioning"), stores(api, "ready")) == (0, 1)
    assert stores(api, "ready", "medusa") == 0
    api("DELETE", f"/api/stores/{store_id}")
    assert (stores(api, "ready"), stores(api, "deleting")) == (0, 1)
    for _ in range(3):
        api.sweep()
    found = metrics(api)
    assert {value for (name, _), value in found.items() if name == "stores_total"} == {0}
    statuses = {dict(labels)["status"] for name, labels in found if name == "stores_total"}
    assert statuses == set(Phase) - {Phase.DELETED}


def test_time_to_ready_is_a_histogram_that_outlives_its_stores(api: Api, world: World) -> None:
    name, woocommerce = "provisioning_duration_seconds", ("type", "woocommerce")
    for n, seconds in enumerate([0.5, 4.0, 700.0]):
        store_id = api.ready(f"corner-{n}")
        world.rows("update stores set time_to_ready = %s where id = %s", seconds, store_id)
        api("DELETE", f"/api/stores/{store_id}")
    for _ in range(3):
        api.sweep()
    found = metrics(api)
    assert found[f"{name}_count", (woocommerce,)] == 3
    assert found[f"{name}_sum", (woocommerce,)] == pytest.approx(704.5)
    buckets = {dict(labels)["le"]: value for (sample, labels), value in found.items() if sample == f"{name}_bucket"}
    assert buckets["1.0"] == 1
    assert buckets["5.0"] == 2
    assert buckets["600.0"] == 2
    assert buckets["+Inf"] == 3
    assert list(buckets.values()) == sorted(buckets.values()), "buckets are cumulative"


def test_refused_and_failed_creations_are_counted_by_reason(api: Api, world: World) -> None:
    def errors() -> dict[str, float]:
        return {
            dict(labels)["reason"]: value
            for (name, labels), value in metrics(api).items()
            if name == "store_creation_errors_total"
        }

    assert errors() == {}
    world.fault("corner", "crash")
    api.create()
    api.create()
    assert errors() == {"name-taken": 1}
    api.sweep()
    world.rows("update stores set deadline_at = now()")
    api.sweep()
    assert errors() == {"name-taken": 1, "crash-loop": 1}


def test_the_age_of_the_last_sweep_is_told(api: Api) -> None:
    assert ("urumi_sweep_age_seconds", ()) not in metrics(api)
    api.sweep()
    assert 0 <= metrics(api)["urumi_sweep_age_seconds", ()] < 10
