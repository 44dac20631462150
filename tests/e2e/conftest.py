"""Fixtures of the tests on a real cluster. They fail, not skip, when there is none: `make e2e` promises a cluster."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest

from stores import helm
from tests.bench.ranks import percentile
from tests.support import RunningUrumi, eventually, folder, start_urumi

if TYPE_CHECKING:
    from tests.e2e.knative import Api

ARTIFACTS = Path(os.environ.get("URUMI_ARTIFACTS", ".urumi/artifacts")).resolve()
INGRESS = os.environ.get("URUMI_INGRESS_ADDRESS", "127.0.0.1:80")
FIGURES: dict[str, list[float]] = defaultdict(list)
REMARKS: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The deployed platform comes last: its sweep is no part of what the other tests measure."""
    items.sort(key=lambda item: "deployed" in getattr(item, "fixturenames", ()))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The figures that the tests measured, in the open, whether or not they passed."""
    if not FIGURES and not REMARKS:
        return
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    terminalreporter.section(f"figures ({os.cpu_count()} CPUs, load {load})")
    for name, values in FIGURES.items():
        p95 = f"p95={percentile(values, 0.95):8.2f}" if len(values) >= 10 else ""
        terminalreporter.write_line(
            f"{name:<58} n={len(values):<3} p50={statistics.median(values):8.2f}  {p95:<12}  max={max(values):8.2f}"
        )
    for remark in REMARKS:
        terminalreporter.write_line(remark)
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    (ARTIFACTS / "e2e-figures.json").write_text(json.dumps(FIGURES, indent=1), encoding="utf-8")


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [helm.binary("kubectl"), *arguments], input=stdin, capture_output=True, text=True, check=check, timeout=120
    )


def objects(kind: str, *arguments: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(kubectl("get", kind, "-o", "json", *arguments).stdout)["items"]
    return items


def leftovers(namespace: str) -> dict[str, list[str]]:
    """Everything in the cluster that still belongs to a store's namespace."""
    releases = json.loads(
        subprocess.run(
            [helm.binary("helm"), "list", "-A", "-o", "json"], capture_output=True, text=True, check=True
        ).stdout
    )
    volumes = [v for v in objects("pv") if (v["spec"].get("claimRef") or {}).get("namespace") == namespace]
    return {
        "namespaces": [n["metadata"]["name"] for n in objects("ns") if n["metadata"]["name"] == namespace],
        "volumes": [v["metadata"]["name"] for v in volumes],
        "releases": [r["name"] for r in releases if r["namespace"] == namespace],
    }


def images_built() -> set[str]:
    """The names of the images that `make images` built here, as it noted them."""
    noted = Path(".urumi/images")
    return set(noted.read_text(encoding="utf-8").split()) if noted.exists() else set()


def visit(host: str, path: str = "/", **options: Any) -> httpx.Response:
    """A page of a store, through the ingress, under the store's own host."""
    return httpx.get(f"http://{INGRESS}{path}", headers={"Host": host}, timeout=20, **options)


class Owner:
    """A merchant with a token, and the four functions' addresses."""

    def __init__(self, urumi: RunningUrumi) -> None:
        self.urumi = urumi
        self.http = urumi.api()

    def create(self, name: str, engine: str) -> dict[str, Any]:
        response = self.http.post(f"{self.urumi.create_url}/api/stores", json={"name": name, "type": engine})
        assert response.status_code == 202, response.text
        return dict(response.json())

    def get(self, store: dict[str, Any]) -> dict[str, Any] | None:
        response = self.http.get(f"{self.urumi.status_url}/api/stores/{store['id']}")
        if response.status_code == 404:
            return None
        assert response.status_code == 200, response.text
        return dict(response.json())

    def wait(
        self, store: dict[str, Any], holds: Callable[[dict[str, Any]], object], *, seconds: float
    ) -> dict[str, Any]:
        """The store as soon as something holds of it."""
        until = time.monotonic() + seconds
        while True:
            now = self.get(store)
            assert now is not None, "the store is gone"
            if holds(now):
                return now
            assert time.monotonic() < until, f"after {seconds} s: {json.dumps(now, indent=1)}"
            time.sleep(0.25)

    def ready(self, store: dict[str, Any], *, seconds: float = 240) -> dict[str, Any]:
        return self.wait(store, lambda now: now["status"] == "ready", seconds=seconds)

    def credentials(self, store: dict[str, Any]) -> dict[str, str]:
        response = self.http.get(f"{self.urumi.status_url}/api/stores/{store['id']}/credentials")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def delete(self, store: dict[str, Any], *, seconds: float = 120) -> float:
        """Deletes and waits until nothing is left; seconds from the request to gone."""
        began = time.monotonic()
        response = self.http.delete(f"{self.urumi.delete_url}/api/stores/{store['id']}")
        assert response.status_code in (202, 404), response.text
        while self.get(store) is not None:
            assert time.monotonic() - began < seconds, f"not gone after {seconds} s: {self.get(store)}"
            time.sleep(0.25)
        return time.monotonic() - began


def start_real(state: Path, **settings: str) -> RunningUrumi:
    config = os.environ.get("KUBECONFIG", "")
    assert config, "KUBECONFIG is not set: the e2e tests need a real cluster. See README.md, “Tests”."
    return start_urumi(
        state,
        KUBECONFIG=config,
        URUMI_CLUSTER="kubernetes",
        URUMI_INGRESS_ADDRESS=INGRESS,
        **{name: value for name, value in os.environ.items() if name in ("URUMI_IMAGE_PREFIX", "URUMI_IMAGE_TAG")},
        **settings,
    )


def database(urumi: RunningUrumi) -> psycopg.Connection:
    """The platform's own database, as its owner."""
    return psycopg.connect(f"postgresql://postgres@/urumi?host={urumi.state / 'postgres'}", autocommit=True)


@contextmanager
def platform(**settings: str) -> Iterator[Owner]:
    """A platform of its own on the cluster, as `make run` starts it; its stores are removed with it."""
    with folder("e2e") as state:
        urumi = start_real(state, **settings)
        owner = Owner(urumi)
        try:
            yield owner
        finally:
            assert urumi.process.poll() is None, f"Urumi ended by itself:\n{urumi.log.read_text(errors='replace')}"
            for store in owner.http.get(f"{urumi.status_url}/api/stores").json()["items"]:
                owner.delete(store)
            owner.http.close()
            with database(urumi) as conn:
                ours = conn.execute("select id from platform").fetchone()
            urumi.stop()
            assert ours is not None
            # What was in stock is nobody's, so nobody deleted it.
            kubectl("delete", "namespace", "-l", f"urumi.dev/platform={ours[0]}", "--wait=false")
            ARTIFACTS.mkdir(parents=True, exist_ok=True)
            shutil.copy(state / "logs" / "reconcile.log", ARTIFACTS / f"reconcile-{time.time():.0f}.log")


@pytest.fixture(scope="session")
def owner() -> Iterator[Owner]:
    with platform() as owner:
        yield owner


@pytest.fixture(scope="session")
def deployed() -> Iterator[None]:
    """Urumi in the cluster, as `make deploy` installs it; once for all tests that want it."""
    from tests.e2e import knative

    with knative.installed():
        yield


@pytest.fixture(scope="session")
def api(deployed: None) -> Iterator[Api]:  # noqa: ARG001 (a fixture cannot be marked to use another)
    """The API's one address, as the administrator reaches it."""
    from tests.e2e import knative

    api = knative.Api(knative.first_token())
    eventually(api.has_its_routes, seconds=60, every=0.5)
    yield api
    for store in api.stores():
        if store["name"].startswith(knative.PREFIX):
            api.delete(store)
    api.http.close()


@pytest.fixture
def figure() -> Callable[[str, float], None]:
    """Notes a measured value for the summary."""
    return lambda name, value: FIGURES[name].append(value)


@pytest.fixture
def remark() -> Callable[[str], None]:
    return REMARKS.append
