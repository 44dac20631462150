"""Urumi on a cluster as `make deploy` installs it, for the tests that go through Knative and the ingress."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import yaml

from stores import helm
from tests.e2e.conftest import FIGURES, INGRESS, kubectl, objects
from tests.support import ROOT, eventually

SYSTEM = "urumi-system"
FUNCTIONS = ("create", "delete", "reconcile", "status")
API_HOST = "api.localhost"
PREFIX = "knative-"  # of the names of these tests' stores: all others are somebody's
Store = dict[str, Any]


def run(*arguments: str) -> str:
    """knative/deploy.py, as make runs it."""
    command = [sys.executable, str(ROOT / "knative" / "deploy.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def installed() -> Iterator[None]:
    """The platform runs meanwhile. One that was there stays as it was; ours goes with everything in it."""
    was_there = kubectl("get", "namespace", SYSTEM, check=False).returncode == 0
    began = time.monotonic()
    try:
        run("deploy")
        FIGURES["deploy: seconds until the platform runs"].append(time.monotonic() - began)
        yield
    finally:
        if not was_there:
            run("undeploy", "--stores")


def first_token() -> str:
    """The administrator's, which the chart draws."""
    secret = json.loads(kubectl("get", "secret", "urumi-first-token", "-n", SYSTEM, "-o", "json").stdout)
    return base64.b64decode(secret["data"]["token"]).decode()


class Api:
    """The one address, as a merchant with a token sees it."""

    def __init__(self, token: str) -> None:
        headers = {"Host": API_HOST, "Authorization": f"Bearer {token}"}
        self.http = httpx.Client(base_url=f"http://{INGRESS}", headers=headers, timeout=60)

    def has_its_routes(self) -> bool:
        """Whether each function answers at this address; an ingress controller learns of routes late."""
        nobody = {"Authorization": ""}
        answers = (
            self.http.post("/api/stores", headers=nobody),
            self.http.delete(f"/api/stores/{uuid4()}", headers=nobody),
            self.http.get("/api/stores", headers=nobody),
        )
        return all(each.status_code == 401 for each in answers)

    def create(self, engine: str = "medusa") -> Store:
        response = self.http.post("/api/stores", json={"name": f"{PREFIX}{uuid4().hex[:8]}", "type": engine})
        assert response.status_code == 202, (response.status_code, response.headers, response.text)
        return dict(response.json())

    def store(self, store: Store) -> Store | None:
        response = self.http.get(f"/api/stores/{store['id']}")
        return None if response.status_code == 404 else dict(response.json())

    def stores(self) -> list[Store]:
        """All stores that the token sees; fewer than a page."""
        response = self.http.get("/api/stores", params={"limit": 200})
        assert response.status_code == 200, response.text
        return list(response.json()["items"])

    def ready(self, store: Store, *, seconds: float = 300) -> Store:
        def is_ready() -> Store | None:
            now = self.store(store)
            return now if now and now.get("status") == "ready" else None

        return dict(eventually(is_ready, seconds=seconds, every=0.5))

    def delete(self, store: Store, *, seconds: float = 180) -> None:
        assert self.http.delete(f"/api/stores/{store['id']}").status_code in (202, 404)
        eventually(lambda: self.store(store) is None, seconds=seconds, every=0.5)


def pods(function: str) -> list[Store]:
    return objects("pods", "-n", SYSTEM, "-l", f"serving.knative.dev/service={function}")


def asleep(function: str) -> bool:
    """No pod of it is left but those that are on their way out, which takes Knative's proxy half a minute."""
    return all("deletionTimestamp" in pod["metadata"] for pod in pods(function))


def inside(*arguments: str) -> str:
    """`python -m stores.cli` in the cluster, as `make cli` runs it."""
    return run("cli", *arguments)


def assert_whole(api: Api) -> None:
    """Every store has one namespace and one release, and no namespace of this platform is without a store."""
    platform = json.loads(kubectl("get", "configmap", "urumi-platform", "-n", SYSTEM, "-o", "json").stdout)
    namespaces = objects("namespaces", "-l", f"urumi.dev/platform={platform['data']['id']}")
    found = [(each["metadata"]["labels"]["urumi.dev/store"], each["metadata"]["name"]) for each in namespaces]
    expected = {store["id"]: store["namespace"] for store in api.stores()}
    assert sorted(found) == sorted(expected.items())
    listed = subprocess.run([helm.binary("helm"), "list", "-A", "-o", "json"], capture_output=True, check=True).stdout
    releases = [(each["namespace"], each["name"], each["status"]) for each in json.loads(listed)]
    ours = [(namespace, "store", "deployed") for namespace in expected.values()]
    assert sorted(each for each in releases if each[0] in expected.values()) == sorted(ours)


def post_to_broker(event: dict[str, str], body: str = "{}") -> None:
    """One CloudEvent in binary mode, from a pod that may talk to the broker."""
    headers = {f"ce-{name}": value for name, value in event.items()} | {"content-type": "application/json"}
    program = (
        "import os, urllib.request as u;"
        f"print(u.urlopen(u.Request(os.environ['K_SINK'], {body.encode()!r}, {headers!r})).status)"
    )
    with operator() as pod:
        assert kubectl("exec", "-n", SYSTEM, pod, "--", "python", "-c", program).stdout.strip() == "202"


@contextmanager
def operator(*command: str) -> Iterator[str]:
    """A pod like `make cli`'s, for what the command line has no word for; its name. Does nothing but `command`."""
    name = f"operator-{uuid4().hex[:6]}"
    service = json.loads(kubectl("get", "ksvc", "create", "-n", SYSTEM, "-o", "json").stdout)
    template = service["spec"]["template"]["spec"]
    (container,) = template["containers"]
    keys = ("image", "imagePullPolicy", "env", "envFrom", "securityContext", "resources", "volumeMounts")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SYSTEM, "labels": {"urumi.dev/component": "operator"}},
        "spec": {
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": 300,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {key: container[key] for key in keys} | {"name": "cli", "command": [*command] or ["sleep", "300"]}
            ],
            "volumes": template["volumes"],
        },
    }
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump(pod))
    try:
        kubectl("wait", "-n", SYSTEM, f"pod/{name}", "--for=condition=Ready", "--timeout=90s")
        yield name
    finally:
        kubectl("delete", "pod", "-n", SYSTEM, name, "--wait=false")
