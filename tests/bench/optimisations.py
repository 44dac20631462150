"""What each optimisation is worth: the same stores with and without it, alternately, in one run on one cluster.

    KUBECONFIG=… python tests/bench/optimisations.py [--claims 8] [--stores 3] [--ingress 127.0.0.1:80] [--out bench]

Needs `make images`. reconcile runs in this process, PostgreSQL comes from its wheel. In the rows `claim` a store is put
back into stock after each claim, so that all meet one and the same running store; in `first claim` each has a new one.
What makes up the way through Knative is measured by tests/e2e/test_warm_knative.py, with and without it, too.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stores import apiserver, cluster, db, engines, helm, lifecycle, model  # noqa: E402
from stores.api import StoreRequest  # noqa: E402
from stores.errors import Busy  # noqa: E402
from stores.model import Action, Decision, Engine, Phase, Store  # noqa: E402
from stores.settings import settings  # noqa: E402
from tests import support  # noqa: E402 (the path has to be set first)
from tests.e2e.conftest import images_built  # noqa: E402

Variant = Callable[[], AbstractContextManager[Any]]


def rendered_at_the_claim() -> AbstractContextManager[Any]:
    """helm renders the Ingress when it is needed, not when the store is made."""

    def route(self: cluster.KubernetesCluster, store: Store) -> None:
        conf = settings()
        for manifest in helm.template(
            release=store.helm_release, chart=conf.charts / engines.RECIPES[store.type].chart,
            namespace=store.namespace, values=engines.values(conf, store), only="ingress.yaml",
        ):  # fmt: skip
            self._apply(f"{cluster.NETWORK}/namespaces/{store.namespace}/ingresses", manifest)

    return patch.object(cluster.KubernetesCluster, "route", route)


def sealed_before_the_route() -> AbstractContextManager[Any]:
    def decide(store: Store, *rest: Any) -> Decision:
        decision = model.decide(store, *rest)
        seals = decision.action is Action.ROUTE and store.sealed_identity != store.identity
        return Decision(Action.SEAL) if seals else decision

    return patch.object(lifecycle, "decide", decide)


@contextmanager
def one_call_after_another() -> Iterator[None]:
    one = lambda _: ThreadPoolExecutor(1)  # noqa: E731
    with patch.object(cluster, "ThreadPoolExecutor", one), patch.object(apiserver, "ThreadPoolExecutor", one):
        yield


def started_by_helm_alone() -> AbstractContextManager[Any]:
    return patch.object(cluster.KubernetesCluster, "_start", lambda *_: None)


@contextmanager
def changed_chart(change: Callable[[str], str]) -> Iterator[None]:
    """The charts with each template changed."""
    with support.folder("charts") as copy:
        shutil.copytree(ROOT / "charts", copy, dirs_exist_ok=True)
        files = [file for engine in Engine for file in (copy / engine / "templates").glob("*.yaml")]
        before = [file.read_text(encoding="utf-8") for file in files]
        after = [change(text) for text in before]
        assert before != after, "there is nothing of that kind in the charts"
        for file, text in zip(files, after, strict=True):
            file.write_text(text, encoding="utf-8")
        with patch.object(lifecycle, "settings", lambda: changed), patch.object(cluster, "settings", lambda: changed):
            changed = settings().model_copy(update={"charts": copy})
            yield


def probed_every_ten_seconds() -> AbstractContextManager[Any]:
    return changed_chart(lambda text: text.replace("periodSeconds: 1\n", "periodSeconds: 10\n"))


def without_compiled_code() -> AbstractContextManager[Any]:
    off = '            - {name: NODE_COMPILE_CACHE, value: ""}\n            - name: DATABASE_HOST\n'
    return changed_chart(lambda text: text.replace("            - name: DATABASE_HOST\n", off))


def without_a_first_page() -> AbstractContextManager[Any]:
    """The storefront cannot ask itself for a page when the backend answers."""
    code = (
        "const real = fetch; globalThis.fetch = (url, ...rest) =>"
        " String(url).startsWith('http://127.') ? Promise.reject(Error('left out')) : real(url, ...rest)"
    )
    deaf = f"--import=data:text/javascript;base64,{base64.b64encode(code.encode()).decode()}"
    where = "            - name: MEDUSA_BACKEND_URL\n"
    return changed_chart(
        lambda text: text.replace(where, f'            - {{name: NODE_OPTIONS, value: "{deaf}"}}\n{where}')
    )


def started_by(script: str) -> AbstractContextManager[Any]:
    """WooCommerce's start script, changed by sed."""
    start = f"sed '{script}' /opt/urumi/start.sh >/tmp/start.sh && exec sh /tmp/start.sh"
    where = "          envFrom:\n            - configMapRef: {name: identity}\n"
    return changed_chart(lambda text: text.replace(where, f"          command: [sh, -c, {json.dumps(start)}]\n{where}"))


def with_one_worker() -> AbstractContextManager[Any]:
    return started_by('s/-DFOREGROUND/-c "StartServers 1" -DFOREGROUND/')


def without_opcache_files() -> AbstractContextManager[Any]:
    return started_by("s/ln -sfn .*/true/")


def with_two_cores() -> AbstractContextManager[Any]:
    values = lambda engine, store: usual(engine, store) | {"resources": {"backend": {"limits": {"cpu": "2"}}}}  # noqa: E731
    usual = engines.values
    return patch.object(engines, "values", values)


CLAIMS: Mapping[str, Variant] = {
    "as it is": nullcontext,
    "Ingress rendered by helm at the claim": rendered_at_the_claim,
    "password sealed before the route": sealed_before_the_route,
    "API calls one after another": one_call_after_another,
}
COLDS: Mapping[str, Variant] = {
    "as it is": nullcontext,
    "API calls one after another": one_call_after_another,
    "objects applied by helm alone": started_by_helm_alone,
    "start probed every 10 s, not every second": probed_every_ten_seconds,
    "without V8's compiled code in the image": without_compiled_code,
    "two cores for the backend, not one": with_two_cores,
}
COLDS_WOO: Mapping[str, Variant] = {
    "as it is": nullcontext,
    "Apache begins with one worker": with_one_worker,
    "without PHP's compiled code in the image": without_opcache_files,
}


class Bench:
    """One platform, reconciled by this process."""

    def __init__(self, world: support.World) -> None:
        self.world = world
        self.origin = support.origin("bench")

    def until(self, store_id: UUID, *phases: Phase, seconds: float = 300) -> Store:
        end = time.monotonic() + seconds
        while (store := self.world.store(store_id)).status not in phases:
            assert time.monotonic() < end, f"still {store.status} after {seconds} s: {store.error_message}"
            try:
                if lifecycle.converge(store_id=store_id) is Action.WAIT:
                    time.sleep(0.1)  # as long as a change in the cluster takes to become an event
            except Busy:
                time.sleep(0.1)
        return store

    def ask(self, name: str, engine: Engine = Engine.MEDUSA) -> float:
        """Seconds from the request to ready."""
        wanted = StoreRequest(name=name, type=engine)
        store = self.until(lifecycle.request(self.origin, wanted)[0], Phase.READY)
        assert store.time_to_ready is not None
        return store.time_to_ready

    def add(self) -> UUID:
        """A store that is nobody's, and not there yet."""
        with db.transaction() as tx:
            release = engines.wanted_release(lifecycle.settings(), Engine.MEDUSA)
            return db.add_warm(tx, engine=Engine.MEDUSA, release=release, deadline=600).id

    def stock(self) -> Store:
        """A store that is complete and nobody's."""
        return self.until(self.add(), Phase.WARM)

    def put_back(self, store: Store) -> None:
        """Makes a claimed store nobody's again, as far as a claim can tell."""
        kubernetes = lifecycle.cluster()
        assert isinstance(kubernetes, cluster.KubernetesCluster)
        kubernetes._delete(f"{cluster.NETWORK}/namespaces/{store.namespace}/ingresses/store")
        self.world.rows(
            "update stores set owner = null, name = null, host = null, status = 'warm', from_warm = false,"
            " ready_at = null, time_to_ready = null, version = version + 1 where id = %s",
            store.id,
        )
        time.sleep(3)  # the ingress controller's pause between two changes, so that claims meet a quiet one

    def remove(self, store_id: UUID) -> None:
        self.world.rows("update stores set owner = 'bench', name = coalesce(name, 'stock') where id = %s", store_id)
        lifecycle.retire(self.origin, store_id)
        self.until(store_id, Phase.DELETED)


def measure_claims(bench: Bench, count: int) -> dict[str, list[float]]:
    store, seconds = bench.stock(), {name: [] for name in CLAIMS}  # type: dict[str, list[float]]
    for run in range(-1, count):  # the first round warms everything and does not count
        for number, (name, variant) in enumerate(CLAIMS.items()):
            with variant():
                taken = bench.ask(f"claim-{run + 1}-{number}")
            if run >= 0:
                seconds[name].append(taken)
            bench.put_back(store)
    bench.remove(store.id)
    return {f"claim, {name}": values for name, values in seconds.items()}


@contextmanager
def while_another_is_made(bench: Bench) -> Iterator[None]:
    """Another store's containers start meanwhile."""
    with ThreadPoolExecutor(1) as threads:
        other = bench.add()
        made = threads.submit(bench.until, other, Phase.WARM)
        begun = "select 1 from store_steps where store_id = %s and step = 'chart' and ended_at is not null"
        support.eventually(lambda: bench.world.rows(begun, other), seconds=60, every=0.1)
        yield
        made.result()
    bench.remove(other)


def measure_first_claims(bench: Bench, count: int) -> dict[str, list[float]]:
    """Each with a store of its own, made in the same way."""
    variants: Mapping[str, tuple[Variant, Variant]] = {  # how the store is made, and what goes on at the claim
        "as it is": (nullcontext, nullcontext),
        "first page made for the first visitor": (without_a_first_page, nullcontext),
        "while another store is being made": (nullcontext, partial(while_another_is_made, bench)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for run in range(count):
        for number, (name, (variant, meanwhile)) in enumerate(variants.items()):
            with variant():
                store = bench.stock()
                time.sleep(5)  # what its start leaves to be done is done
                with meanwhile():
                    seconds[name].append(bench.ask(f"first-{run}-{number}"))
                bench.remove(store.id)
    return {f"first claim, {name}": values for name, values in seconds.items()}


def measure_colds(bench: Bench, count: int, engine: Engine, variants: Mapping[str, Variant]) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for run in range(count):
        for number, (name, variant) in enumerate(variants.items()):
            wanted = f"{engine}-{run}-{number}"
            with variant():
                seconds[name].append(bench.ask(wanted, engine))
            ((store_id,),) = bench.world.rows("select id from stores where name = %s", wanted)
            bench.remove(store_id)
    return {f"cold {engine}, {name}": values for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--claims", type=int, default=8)
    parser.add_argument("--stores", type=int, default=3, help="new ones for each variant that needs some")
    parser.add_argument("--ingress", default="127.0.0.1:80")
    parser.add_argument("--out", type=Path, default=ROOT / "bench")
    arguments = parser.parse_args()
    results: dict[str, list[float]] = {}
    loads = [round(os.getloadavg()[0], 1)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    file: Path = arguments.out / "optimisations.json"
    print(f"{os.cpu_count()} cores, load {loads[0]} before; seconds from request to ready")
    with support.folder("optimisations") as state:
        postgres = support.Postgres(state, safe=True)
        try:
            database = postgres.create()
            db.migrate(database.owner_url, database.app_url, simulator=False)
            more = {"URUMI_CLUSTER": "kubernetes", "URUMI_INGRESS_ADDRESS": arguments.ingress}
            os.environ.update(support.environment(database, **more))
            bench = Bench(support.World(database))
            woo = COLDS_WOO if "urumi-woocommerce" in images_built() else {}
            if not woo:
                print(
                    "WooCommerce is left out, its image was not built: set URUMI_WORDPRESS_SOURCES, then `make images`."
                )
            for measure in (
                partial(measure_claims, count=arguments.claims),
                partial(measure_first_claims, count=arguments.stores),
                partial(measure_colds, count=arguments.stores, engine=Engine.MEDUSA, variants=COLDS),
                partial(measure_colds, count=arguments.stores, engine=Engine.WOOCOMMERCE, variants=woo),
            ):
                results |= (measured := measure(bench))
                show(measured)
                loads.append(round(os.getloadavg()[0], 1))
                # After each part: what comes later may fail, and these took their time.
                report = {"cores": os.cpu_count(), "load": loads, "seconds": results}
                file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        finally:
            support.forget()
            postgres.close()


def show(measured: Mapping[str, list[float]]) -> None:
    """A line for each variant; the last figure is its median in terms of that of `as it is`."""
    for name, values in measured.items():
        whole = statistics.median(measured[name.partition(", ")[0] + ", as it is"])
        middle = statistics.median(values)
        span = f"min={min(values):6.2f} p50={middle:6.2f} max={max(values):6.2f}"
        print(f"{name:<58} n={len(values):<3} {span}  x {middle / whole:.2f}", flush=True)


if __name__ == "__main__":
    main()
