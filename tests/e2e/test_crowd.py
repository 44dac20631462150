"""Twenty stores at once, with the real Kubernetes API, Helm and events.

What runs in the stores is a stand-in (tests/e2e/stand_in): twenty of a real engine are more than a small node holds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
import yaml

from tests.e2e.conftest import kubectl, leftovers
from tests.e2e.knative import SYSTEM, Api, Store, assert_whole, operator
from tests.support import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("deployed")]

CHART = Path(__file__).parent / "stand_in"
ENGINE = "woocommerce"  # the engine that is stood in for
CHARTS = "/stand-in-charts"
OWNERS, EACH = 10, 2


@pytest.fixture
def stand_in() -> Iterator[None]:
    """reconcile has the stand-in for the engine's chart, as long as this lasts."""
    files = {str(file.relative_to(CHART)): file.read_text(encoding="utf-8") for file in CHART.rglob("*.*")}
    keys = {path.replace("/", "."): path for path in files}
    name = "stand-in-charts"
    chart = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": SYSTEM},
        "data": {key: files[path] for key, path in keys.items()},
    }
    items = [{"key": key, "path": f"{ENGINE}/{path}"} for key, path in keys.items()]
    service = json.loads(kubectl("get", "ksvc", "reconcile", "-n", SYSTEM, "-o", "json").stdout)
    before = service["spec"]["template"]
    changed: dict[str, Any] = json.loads(json.dumps(before))
    (container,) = changed["spec"]["containers"]
    container["env"].append({"name": "URUMI_CHARTS", "value": CHARTS})
    container["volumeMounts"].append({"name": "charts", "mountPath": CHARTS, "readOnly": True})
    changed["spec"]["volumes"].append({"name": "charts", "configMap": {"name": name, "items": items}})
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump(chart))
    try:
        replace_template(changed)
        yield
    finally:
        kubectl("delete", "revision", "-n", SYSTEM, replace_template(before))
        kubectl("delete", "configmap", "-n", SYSTEM, name)


def replace_template(template: dict[str, Any]) -> str:
    """Another revision of reconcile, which gets all of its events from now on; the revision that got them before."""
    service = ("ksvc", "reconcile", "-n", SYSTEM)
    before = kubectl("get", *service, "-o", "jsonpath={.status.latestReadyRevisionName}").stdout
    patch = [{"op": "replace", "path": "/spec/template", "value": template}]
    kubectl("patch", *service, "--type=json", "-p", json.dumps(patch))
    kubectl("wait", *service, "--for=condition=Ready", "--timeout=120s")
    return before


@pytest.fixture
def owners() -> Iterator[list[Api]]:
    """Merchants with a token each, drawn by the command line in the cluster and valid for a day."""
    crowd = uuid4().hex[:6]
    names = " ".join(f"crowd-{crowd}-{number}" for number in range(OWNERS))
    draw = f"for owner in {names}; do python -m stores.cli token create --days 1 --owner $owner; done"
    with operator() as pod:
        drawn = kubectl("exec", "-n", SYSTEM, pod, "--", "sh", "-c", draw).stdout.split()
    owners = [Api(token) for token in drawn]
    yield owners
    for owner in owners:
        owner.http.close()


@pytest.mark.usefixtures("stand_in")
def test_twenty_stores_asked_for_at_once_are_neither_lost_nor_doubled(
    api: Api, owners: list[Api], figure: Callable[[str, float], None], remark: Callable[[str], None]
) -> None:
    assert [owner.stores() for owner in owners] == [[]] * OWNERS
    assert api.http.post("/api/stores", json={}).status_code == 422  # create is awake
    together = Barrier(OWNERS * EACH)

    def ask(owner: Api) -> tuple[float, Store]:
        together.wait(timeout=30)
        began = time.monotonic()
        store = owner.create(ENGINE)
        return time.monotonic() - began, store

    began = time.monotonic()
    with ThreadPoolExecutor(OWNERS * EACH) as threads:
        answers = list(threads.map(ask, owners * EACH))
    ids = {store["id"] for _, store in answers}
    assert len(ids) == OWNERS * EACH
    for seconds, _ in answers:
        figure("crowd of 20 (stand-in): seconds from POST to 202", seconds)
    try:
        ours = wait_for(api, ids, lambda found: all(store["status"] == "ready" for store in found), seconds=400)
        figure("crowd of 20 (stand-in): seconds until all are ready", time.monotonic() - began)
        assert len(ours) == OWNERS * EACH
        for store in ours:
            figure("crowd of 20 (stand-in): seconds from request to ready", store["time_to_ready_seconds"])
        assert [len(owner.stores()) for owner in owners] == [EACH] * OWNERS
        assert_whole(api)
    finally:
        began = time.monotonic()
        for identifier in ids:
            assert api.http.delete(f"/api/stores/{identifier}").status_code in (202, 404)
        wait_for(api, ids, lambda found: found == [], seconds=400)
        figure("crowd of 20 (stand-in): seconds until all are gone", time.monotonic() - began)
    assert [left for store in ours for left in leftovers(store["namespace"]).values() if left] == []
    assert_whole(api)
    remark(f"crowd: {OWNERS * EACH} stores of {OWNERS} owners; each ran a stand-in for its engine, not a shop")


def wait_for(api: Api, ids: set[str], hold: Callable[[list[Store]], bool], *, seconds: float) -> list[Store]:
    """Those of the stores that are left, as soon as something holds of them all."""

    def look() -> tuple[list[Store]] | None:
        found = [store for store in api.stores() if store["id"] in ids]
        assert not [store["error_message"] for store in found if store["status"] == "failed"]
        return (found,) if hold(found) else None

    found: tuple[list[Store]] = eventually(look, seconds=seconds, every=1)
    return found[0]
