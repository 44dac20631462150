"""What the platform needs goes away while a store is made: the store comes all the same, and nothing comes twice."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest

from tests.e2e.conftest import kubectl, objects
from tests.e2e.knative import PREFIX, SYSTEM, Api, Store, assert_whole
from tests.support import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("deployed")]

Figure = Callable[[str, float], None]
Remark = Callable[[str], None]

STOP_API, START_API = (os.environ.get(f"URUMI_E2E_{verb}_API", "") for verb in ("STOP", "START"))
AWAY = 30  # seconds


def exists(*what: str) -> bool:
    return bool(kubectl("get", *what, "-o", "name", "--ignore-not-found").stdout)


def kill_reconcile() -> None:
    """Its pods, without the time that they would like to finish what they do."""
    killed = kubectl(
        "delete", "pod", "-n", SYSTEM, "-l", "serving.knative.dev/service=reconcile", "--grace-period=0", "--force"
    )
    assert "deleted" in killed.stdout


class Patient:
    """A caller who tries again as a 503 asks them to, and counts the answers."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.answers: Counter[int] = Counter()

    def asks(self, method: str, path: str, **options: object) -> httpx.Response:
        response = self.api.http.request(method, path, **options)  # type: ignore[arg-type]
        self.answers[response.status_code] += 1
        if response.status_code == 503:
            assert response.headers["Content-Type"] == "application/problem+json"
            assert 0 < int(response.headers["Retry-After"]) <= 60
        return response

    def creates(self) -> Store:
        """One store, however often it has to be asked for."""
        options = {
            "json": {"name": f"{PREFIX}{uuid4().hex[:8]}", "type": "medusa"},
            "headers": {"Idempotency-Key": str(uuid4())},
        }

        def accepted() -> Store | None:
            response = self.asks("POST", "/api/stores", **options)
            assert response.status_code in (202, 503), response.text
            return dict(response.json()) if response.status_code == 202 else None

        return dict(eventually(accepted, seconds=120, every=0.2))

    def sees_ready(self, store: Store, *, seconds: float) -> Store:
        def is_ready() -> Store | None:
            response = self.asks("GET", f"/api/stores/{store['id']}")
            assert response.status_code in (200, 503), response.text
            return dict(response.json()) if response.json()["status"] == "ready" else None

        return dict(eventually(is_ready, seconds=seconds, every=0.2))


def healed(store: Store) -> bool:
    """Whether reconcile found a release of helm's that was not finished."""
    logs = kubectl("logs", "-n", SYSTEM, "-l", "serving.knative.dev/service=reconcile", "-c", "function", "--tail=-1")
    return any(store["id"] in line and '"heal"' in line for line in logs.stdout.splitlines())


def test_reconcile_killed_in_the_middle_costs_no_store(api: Api, figure: Figure, remark: Remark) -> None:
    store = api.create()
    eventually(lambda: exists("namespace", store["namespace"]), seconds=60)
    kill_reconcile()
    unfinished = ("secrets", "-n", store["namespace"], "-l", "owner=helm,status=pending-install")
    eventually(lambda: exists(*unfinished), seconds=60)
    kill_reconcile()
    ready = api.ready(store)
    remark(f"reconcile killed twice: helm {'died in the middle and was healed' if healed(store) else 'ended in time'}")
    figure("reconcile killed twice: seconds from request to ready", ready["time_to_ready_seconds"])
    assert_whole(api)
    api.delete(store)
    assert_whole(api)


def test_a_restart_of_postgresql_costs_no_store(api: Api, figure: Figure, remark: Remark) -> None:
    """503 with Retry-After while it is away, and what was refused so was not half done."""
    caller = Patient(api)
    begun = api.create()
    eventually(lambda: exists("namespace", begun["namespace"]), seconds=60)
    (before,) = objects("pods", "-n", SYSTEM, "--field-selector", "metadata.name=postgres-0")
    kubectl("delete", "pod", "postgres-0", "-n", SYSTEM, "--wait=false")
    began = time.monotonic()
    eventually(lambda: caller.asks("GET", "/api/stores").status_code == 503, seconds=30)
    asked = caller.creates()
    figure("postgresql restarted: seconds until a store is accepted again", time.monotonic() - began)
    (after,) = objects("pods", "-n", SYSTEM, "--field-selector", "metadata.name=postgres-0")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    for store in (begun, asked):
        ready = caller.sees_ready(store, seconds=300)
        figure("postgresql restarted: seconds from request to ready", ready["time_to_ready_seconds"])
    remark(f"postgresql restarted: answers to callers by status {dict(caller.answers)}")
    assert_whole(api)
    for store in (begun, asked):
        api.delete(store)
    assert_whole(api)


@pytest.mark.skipif(
    not (STOP_API and START_API),
    reason="URUMI_E2E_STOP_API and URUMI_E2E_START_API do not say how to stop and start this cluster's API server",
)
def test_an_api_server_away_for_half_a_minute_costs_no_store(api: Api, figure: Figure, remark: Remark) -> None:
    """Merchants do not notice: they ask for stores and look at them, and the stores come when it is back."""
    caller = Patient(api)
    begun = api.create()
    eventually(lambda: exists("namespace", begun["namespace"]), seconds=60)
    try:
        subprocess.run(shlex.split(STOP_API), check=True, timeout=60)
        until = time.monotonic() + AWAY
        assert kubectl("version", check=False).returncode != 0, "the API server is still there"
        asked = caller.creates()
        while time.monotonic() < until:
            assert caller.asks("GET", f"/api/stores/{asked['id']}").status_code == 200
            time.sleep(0.2)
    finally:
        subprocess.run(shlex.split(START_API), check=True, timeout=300)
    back = time.monotonic()
    for store in (begun, asked):
        caller.sees_ready(store, seconds=400)
    figure("API server away for 30 s: seconds from its return until both stores are ready", time.monotonic() - back)
    remark(f"API server away for {AWAY} s: answers to callers by status {dict(caller.answers)}")
    assert_whole(api)
    for store in (begun, asked):
        api.delete(store)
    assert_whole(api)
