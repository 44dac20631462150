"""What goes wrong on a real cluster, and that the store ends right all the same, or says plainly why not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.e2e import medusa_order
from tests.e2e.conftest import INGRESS, Owner, kubectl, leftovers, objects, platform

HELM = "owner=helm"


def release_status(namespace: str) -> str:
    """Helm's own word on the newest revision, from its record's labels."""
    records = objects("secrets", "-n", namespace, "-l", HELM)
    labels = [record["metadata"]["labels"] for record in records]
    return max(labels, key=lambda each: int(each["version"]), default={"status": "none"})["status"]


def kill_helm(owner: Owner, namespace: str, verb: str, *, status: str, seconds: float = 30) -> None:
    """SIGKILL to the helm that works on a namespace, once its record has reached a status."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for process in psutil.Process(owner.urumi.process.pid).children(recursive=True):
            try:
                line = process.cmdline()
            except psutil.Error:
                continue
            if verb in line and namespace in line and release_status(namespace) == status:
                os.kill(process.pid, signal.SIGKILL)
                return
        time.sleep(0.01)
    pytest.fail(f"no helm {verb} was seen at {status} within {seconds} s")


def upgrade(owner: Owner, name: str) -> None:
    """Wants the store on another release, as `cli upgrade` does after a change of settings."""
    database = f"postgresql://postgres@/urumi?host={owner.urumi.state / 'postgres'}"
    annotations = json.dumps({"example.com/changed": str(time.time())})
    environment = os.environ | {"URUMI_DATABASE_URL": database, "URUMI_INGRESS_ANNOTATIONS": annotations}
    command = [sys.executable, "-m", "stores.cli", "upgrade", "--name", name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert name in done.stdout


def test_helm_killed_in_every_phase_costs_neither_the_store_nor_its_data(
    owner: Owner, remark: Callable[[str], None]
) -> None:
    store = owner.create("killed-helm", "medusa")
    kill_helm(owner, store["namespace"], "upgrade", status="pending-install")
    ready = owner.ready(store)
    remark(f"helm killed at pending-install: ready after {ready['time_to_ready_seconds']:.1f} s")
    volumes = {claim["metadata"]["uid"] for claim in objects("pvc", "-n", store["namespace"])}
    access = owner.credentials(store)
    order = medusa_order.order(ready["url"], user=access["user"], password=access["password"], connect=INGRESS)

    upgrade(owner, "killed-helm")
    kill_helm(owner, store["namespace"], "upgrade", status="pending-upgrade")
    owner.wait(store, lambda _: release_status(store["namespace"]) == "deployed", seconds=90)
    ready = owner.ready(store)
    assert {claim["metadata"]["uid"] for claim in objects("pvc", "-n", store["namespace"])} == volumes
    again = medusa_order.order(ready["url"], user=access["user"], password=access["password"], connect=INGRESS)
    assert again.number == order.number + 1, "the first order is still there"

    owner.http.delete(f"{owner.urumi.delete_url}/api/stores/{store['id']}")
    kill_helm(owner, store["namespace"], "uninstall", status="uninstalling")
    owner.delete(store)
    assert leftovers(store["namespace"]) == {"namespaces": [], "volumes": [], "releases": []}


def test_the_database_killed_during_set_up_costs_nothing(owner: Owner) -> None:
    store = owner.create("killed-database", "medusa")

    def database_runs(_: dict[str, Any]) -> bool:
        pods = objects("pods", "-n", store["namespace"], "-l", "app.kubernetes.io/component=database")
        return any(pod["status"]["phase"] == "Running" for pod in pods)

    owner.wait(store, database_runs, seconds=60)
    kubectl("delete", "pod", "-n", store["namespace"], "database-0", "--grace-period=0", "--force")
    ready = owner.ready(store)
    access = owner.credentials(store)
    medusa_order.order(ready["url"], user=access["user"], password=access["password"], connect=INGRESS)
    owner.delete(store)


TROUBLES: dict[str, tuple[dict[str, str], str, str]] = {
    "an image that cannot be pulled": ({"URUMI_IMAGE_TAG": "no-such-tag"}, "image-pull", "cannot be pulled"),
    "a volume that cannot bind": ({"URUMI_STORAGE_CLASS": "no-such-class"}, "volume-pending", "no-such-class"),
    "a quota that is too small": (
        {"URUMI_STORE_QUOTA": '{"requests.memory": "64Mi", "limits.memory": "128Mi", "pods": "2"}'},
        "quota",
        "quota is too small",
    ),
}


@pytest.mark.parametrize("what", TROUBLES)
def test_the_owner_is_told_plainly_within_15_seconds_about(what: str, figure: Callable[[str, float], None]) -> None:
    settings, reason, words = TROUBLES[what]
    with platform(URUMI_DEADLINE="25", **settings) as owner:
        store = owner.create("in-trouble", "medusa")
        began = time.monotonic()
        told = owner.wait(
            store, lambda now: now["error_reason"] == reason and words in now["error_message"], seconds=15
        )
        figure(f"told of {what}, seconds", time.monotonic() - began)
        assert told["status"] == "provisioning", "it goes on trying until the deadline"
        failed = owner.wait(store, lambda now: now["status"] == "failed", seconds=60)
        assert failed["error_reason"] == reason
        assert words in failed["error_message"]
        owner.delete(store)
        assert leftovers(store["namespace"]) == {"namespaces": [], "volumes": [], "releases": []}
