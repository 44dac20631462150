"""The main job on a real cluster: ask for a store, watch it become ready, open it, delete it."""

import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from queue import Queue
from uuid import uuid4

import yaml

from stores import events
from tests.e2e.conftest import Owner, kubectl, leftovers, objects, visit
from tests.support import eventually, posted_to


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
    """By the watch, to a sink of ours. What it finds at its start, and a note more on something, is no change."""
    name = f"store-{uuid4().hex[-12:]}"
    told: Queue[events.Converge] = Queue()

    def take(headers: dict[str, str], body: bytes) -> int:
        event = events.decode(headers, body)
        if isinstance(event, events.Converge) and event.namespace == name:
            told.put(event)
        return 204

    labels = {events.STORE_LABEL: str(uuid4())}
    workload = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "idle", "namespace": name, "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "idle"}},
            "template": {
                "metadata": {"labels": {"app": "idle"}},
                "spec": {"containers": [{"name": "idle", "image": "idle"}]},
            },
        },
    }
    kubectl("create", "namespace", name)
    try:
        kubectl("label", "namespace", name, f"{events.STORE_LABEL}={labels[events.STORE_LABEL]}")
        kubectl("apply", "-f", "-", stdin=yaml.safe_dump(workload))
        # A process, so that its threads end with the test.
        command = [sys.executable, "-m", "stores.cli", "watch"]
        with posted_to(take) as sink, subprocess.Popen(command, env=os.environ | {"K_SINK": sink}) as watching:
            try:
                replicas = itertools.count(1)

                def scale() -> bool:
                    kubectl("scale", "statefulset/idle", "-n", name, f"--replicas={next(replicas)}")
                    return not told.empty()

                eventually(scale)
                eventually(lambda: drain(told) == 0, seconds=20, every=2)
                kubectl("annotate", "statefulset/idle", "-n", name, "noted=1")
                kubectl("annotate", "namespace", name, "noted=1")
                kubectl("delete", "statefulset/idle", "-n", name)
                eventually(lambda: not told.empty(), seconds=20)
                assert drain(told) == 1, "the removal, not the notes"
                kubectl("delete", "namespace", name, "--wait=false")
                eventually(lambda: not told.empty(), seconds=20)
            finally:
                watching.terminate()
                assert watching.wait(10) == 0
    finally:
        kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


def drain(queue: Queue[events.Converge]) -> int:
    """How many were there."""
    return len([queue.get() for _ in range(queue.qsize())])
