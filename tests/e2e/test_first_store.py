"""The main job on a real cluster: ask for a store, watch it become ready, open it, delete it."""

import re
import time
from collections.abc import Callable
from queue import Queue
from threading import Thread
from uuid import uuid4

from stores.cluster import WATCHED, KubernetesCluster
from stores.events import STORE_LABEL
from tests.e2e.conftest import Owner, kubectl, leftovers, objects, visit
from tests.support import eventually


def test_a_medusa_store_lives_from_request_to_removal(owner: Owner, figure: Callable[[str, float], None]) -> None:
    began = time.monotonic()
    store = owner.create("first-store", "medusa")
    figure("POST to 202, seconds", time.monotonic() - began)

    ready = owner.ready(store)
    figure("medusa: POST to ready, seconds", ready["time_to_ready_seconds"])
    for step in ready["steps"]:
        figure(f"medusa: step {step['name']}, seconds", step["seconds"])

    namespace = [n for n in objects("ns") if n["metadata"]["name"] == store["namespace"]]
    assert namespace[0]["metadata"]["labels"]["urumi.dev/store"] == store["id"]
    page = visit(ready["host"])
    assert page.status_code == 200
    products = re.findall(r'href="(/products/[^"]+)"', page.text)
    assert len(set(products)) >= 3, page.text[:2000]
    assert "first-store" in page.text
    assert visit(ready["host"], products[0]).status_code == 200

    figure("medusa: DELETE to nothing left, seconds", owner.delete(store))
    assert leftovers(store["namespace"]) == {"namespaces": [], "volumes": [], "releases": []}
    assert visit(ready["host"]).status_code == 404


def test_changes_of_a_stores_objects_are_told_as_they_happen() -> None:
    """What `make run` takes events from; the first list, of what was there before, is no change."""
    name = f"store-{uuid4().hex[-12:]}"
    told: Queue[str] = Queue()

    def listen() -> None:
        for changed in KubernetesCluster(platform=uuid4()).changes(WATCHED[-1]):
            told.put(changed)

    def change() -> bool:
        kubectl("annotate", "namespace", name, f"changed={time.time()}", "--overwrite")
        return name in drain(told)

    kubectl("create", "namespace", name)
    try:
        kubectl("label", "namespace", name, f"{STORE_LABEL}={uuid4()}")
        Thread(target=listen, daemon=True).start()
        eventually(change)
        kubectl("delete", "namespace", name, "--wait=false")
        eventually(lambda: name in drain(told), seconds=20)
    finally:
        kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


def drain(queue: Queue[str]) -> list[str]:
    return [queue.get() for _ in range(queue.qsize())]
