"""What a store can reach and what can reach it, tried with real packets; and what its namespace refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Owner, kubectl, objects, visit

IMAGE = f"{os.environ.get('URUMI_IMAGE_PREFIX', 'dev.local/')}urumi-medusa:{os.environ.get('URUMI_IMAGE_TAG', '0.1.0')}"
STRANGER = "urumi-test-stranger"

# Tries each host:port from inside a pod; prints which of them took a TCP connection within two seconds.
KNOCK = """
const net = require("node:net")
const knock = (target) => new Promise((done) => {
  const cut = target.lastIndexOf(":")
  const socket = net.connect({ host: target.slice(0, cut), port: Number(target.slice(cut + 1)), timeout: 2000 })
  const end = (open) => { socket.destroy(); done([target, open]) }
  socket.on("connect", () => end(true)).on("timeout", () => end(false)).on("error", () => end(false))
})
Promise.all(JSON.parse(process.argv[1]).map(knock)).then((all) => console.log(JSON.stringify(Object.fromEntries(all))))
"""


def reachable(namespace: str, pod: str, targets: list[str]) -> dict[str, bool]:
    """Which targets a pod can open a TCP connection to."""
    arguments = ["exec", "-n", namespace, pod, "--", "node", "-e", KNOCK, json.dumps(targets)]
    answer: dict[str, bool] = json.loads(kubectl(*arguments).stdout)
    assert set(answer) == set(targets)
    return answer


def pods(namespace: str) -> dict[str, dict[str, Any]]:
    """A store's pods by component."""
    return {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod
        for pod in objects("pods", "-n", namespace)
        if pod["status"]["phase"] == "Running"
    }


def doors(namespace: str) -> list[str]:
    """Every port of every pod and Service of a store."""
    found = [
        f"{pod['status']['podIP']}:{port['containerPort']}"
        for pod in pods(namespace).values()
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
    ]
    for service in objects("services", "-n", namespace):
        if service["spec"]["clusterIP"] != "None":
            found += [f"{service['spec']['clusterIP']}:{port['port']}" for port in service["spec"]["ports"]]
    return sorted(set(found))


@pytest.fixture(scope="module")
def two_stores(owner: Owner) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    stores = [owner.create(name, "medusa") for name in ("fence-one", "fence-two")]
    yield owner.ready(stores[0]), owner.ready(stores[1])
    for store in stores:
        owner.delete(store)


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    """A pod in a namespace without any policy, which listens on 5432 as a database of the platform would."""
    listen = "require('node:net').createServer().listen(5432); setTimeout(() => 0, 1e8)"
    kubectl("create", "namespace", STRANGER)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stranger", "namespace": STRANGER},
        "spec": {
            "containers": [{"name": "node", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
                            "command": ["node", "-e", listen]}],
            "terminationGracePeriodSeconds": 0,
        },
    }  # fmt: skip
    kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    kubectl("wait", "-n", STRANGER, "pod/stranger", "--for=condition=Ready", "--timeout=60s")
    yield json.loads(kubectl("get", "pod", "-n", STRANGER, "stranger", "-o", "json").stdout)["status"]["podIP"]
    kubectl("delete", "namespace", STRANGER, "--wait=false")


def outside(stranger: str) -> list[str]:
    """What no store may reach: API server, node, metadata service, another part of the platform."""
    service = json.loads(kubectl("get", "service", "kubernetes", "-o", "json").stdout)["spec"]["clusterIP"]
    endpoint = objects("endpointslices", "-l", "kubernetes.io/service-name=kubernetes")[0]
    addresses = objects("nodes")[0]["status"]["addresses"]
    node = next(a["address"] for a in addresses if a["type"] == "InternalIP")
    return [
        f"{service}:443",
        f"{endpoint['endpoints'][0]['addresses'][0]}:{endpoint['ports'][0]['port']}",
        f"{node}:10250",
        f"{stranger}:5432",
    ]


def test_a_store_is_fenced_in_and_out_and_only_its_policies_do_it(
    two_stores: tuple[dict[str, Any], dict[str, Any]], stranger: str, remark: Callable[[str], None]
) -> None:
    one, two = (store["namespace"] for store in two_stores)
    inside = pods(one)
    backend = inside["backend"]["metadata"]["name"]
    strange = doors(two)
    forbidden = outside(stranger)
    own = [f"{inside[part]['status']['podIP']}:{port}" for part, port in (("database", 5432), ("cache", 6379))]
    assert len(strange) >= 6

    assert reachable(one, backend, own) == dict.fromkeys(own, True), "a backend reaches its own database and cache"
    assert reachable(one, backend, ["database:5432"]) == {"database:5432": True}, "by name, so DNS works"
    metadata = "169.254.169.254:80"
    fenced = reachable(one, backend, [*strange, *forbidden, metadata])
    assert fenced == dict.fromkeys([*strange, *forbidden, metadata], False), "nothing else, from a store's pod"
    knocks = reachable(STRANGER, "stranger", strange)
    assert knocks == dict.fromkeys(strange, False), "and nobody reaches a store's pod"
    assert visit(two_stores[1]["host"]).status_code == 200, "but shoppers through the ingress"

    for namespace in (one, two):
        kubectl("delete", "networkpolicy", "--all", "-n", namespace)
    open_now = reachable(one, backend, [*strange, *forbidden])
    assert open_now == dict.fromkeys([*strange, *forbidden], True), "without the policies the same knocks are answered"
    assert all(reachable(STRANGER, "stranger", strange).values())
    remark(f"fences: {len(strange)} doors of another store and {len(forbidden)} of the cluster, shut by policies alone")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a pod that runs as root": (
        {"containers": [{"name": "x", "image": IMAGE, "resources": {"limits": {"cpu": "10m", "memory": "16Mi"}},
                         "securityContext": {"runAsUser": 0}}]},
        "violates PodSecurity",
    ),
    "a pod without limits": (
        {"securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
         "containers": [{"name": "x", "image": IMAGE, "securityContext": {
             "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}]},
        "limit",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_store_namespace_refuses(what: str, two_stores: tuple[dict[str, Any], dict[str, Any]]) -> None:
    spec, why = REFUSED[what]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "intruder"}, "spec": spec}
    answer = kubectl("create", "-n", two_stores[0]["namespace"], "-f", "-", stdin=json.dumps(pod), check=False)
    assert answer.returncode != 0
    assert why in answer.stderr, answer.stderr


def test_a_store_namespace_refuses_one_volume_too_many(two_stores: tuple[dict[str, Any], dict[str, Any]]) -> None:
    namespace = two_stores[0]["namespace"]
    answers = []
    for number in range(3):
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": f"extra-{number}"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
        }
        answers.append(kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(claim), check=False))
    assert answers[-1].returncode != 0
    assert "exceeded quota" in answers[-1].stderr
