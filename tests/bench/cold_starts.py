"""Measures how long a caller waits for a function that sleeps: the whole way through the API's address, from no pod.

    KUBECONFIG=... python tests/bench/cold_starts.py [--out bench] [--starts 12] [--ingress 127.0.0.1:80]

Needs `make deploy`. Lets the functions sleep seconds after a request, and sets that back at the end.
reconcile has no address outside, so a pod of the platform calls it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stores import helm
from tests.bench.ranks import percentile

SYSTEM = "urumi-system"
SLEEPY = {"autoscaling.knative.dev/window": "6s", "autoscaling.knative.dev/scale-down-delay": "0s"}
# Refused after the function is fully there: without a token, or with an event of an unknown type.
CALLS = {
    "create": ("POST", "/api/stores", 401),
    "delete": ("DELETE", f"/api/stores/{UUID(int=0)}", 401),
    "status": ("GET", "/api/health", 200),
}
FUNCTIONS = (*CALLS, "reconcile")
SETTLED = 3.0  # seconds after the last pod's end
ODD = 10.0  # seconds that call for a reason
RECONCILE = "http://reconcile.urumi-system.svc"  # as in knative/base/watch.yaml
EVENT = (
    "import sys, time, urllib.error as e, urllib.request as u; began = time.monotonic();"
    "call = u.Request(sys.argv[1], b'{}', {'ce-id': '1', 'ce-source': '/bench',"
    " 'ce-specversion': '1.0', 'ce-type': 'dev.urumi.nothing', 'content-type': 'application/json'})\n"
    "try: u.urlopen(call, timeout=60)\n"
    "except e.HTTPError as answer: assert answer.code == 400, answer.code\n"
    "print(time.monotonic() - began)"
)


def kubectl(*arguments: str) -> str:
    return subprocess.run([helm.binary("kubectl"), *arguments], capture_output=True, text=True, check=True).stdout


def asleep(*functions: str) -> bool:
    """No pod of them is left, of no revision, not even one on its way out, which takes half a minute.

    To delete that one by force would be quicker, but the next caller then often waits until it has really ended.
    """
    label = f"serving.knative.dev/service in ({', '.join(functions)})"
    return not kubectl("get", "pods", "-n", SYSTEM, "-l", label, "-o", "name")


def call(function: str, ingress: str) -> float:
    """Seconds until the answer."""
    if function == "reconcile":
        dashboard = ("exec", "-n", SYSTEM, "deploy/dashboard", "--", "python", "-c", EVENT, RECONCILE)
        return float(kubectl(*dashboard))
    method, path, expected = CALLS[function]
    connection = http.client.HTTPConnection(ingress, timeout=60)
    began = time.monotonic()
    connection.request(method, path, headers={"Host": "api.localhost"})
    status = connection.getresponse().status
    seconds = time.monotonic() - began
    connection.close()
    assert status == expected, f"{function} answered {status}"
    return seconds


def set_watch(*, work: bool) -> None:
    """Whether it wakes reconcile. It stays in any case: what functions refer to is at hand where its pod is."""
    url = RECONCILE if work else "http://localhost:1"
    kubectl("set", "env", "deployment/watch", "-n", SYSTEM, f"URUMI_RECONCILE_URL={url}")
    kubectl("rollout", "status", "deployment/watch", "-n", SYSTEM, "--timeout=60s")


@contextmanager
def unswept() -> Iterator[None]:
    """No sweep, which wakes reconcile once a minute, begins meanwhile."""

    def suspend(value: bool) -> None:
        kubectl("patch", "cronjob", "sweep", "-n", SYSTEM, "-p", json.dumps({"spec": {"suspend": value}}))

    suspend(True)
    try:
        yield
    finally:
        suspend(False)


@contextmanager
def alone() -> Iterator[None]:
    """Nobody but us wakes a function: no sweep, and no watch that wakes reconcile too."""
    with unswept():
        set_watch(work=False)
        try:
            yield
        finally:
            set_watch(work=True)


def wait_until_all_sleep(*, seconds: float) -> None:
    """Until no pod of any function has been there for a while."""
    end = time.monotonic() + seconds
    since = time.monotonic()
    while time.monotonic() - since < SETTLED:
        assert time.monotonic() < end, f"some function was still awake after {seconds} s"
        if not asleep(*FUNCTIONS):
            since = time.monotonic()
        time.sleep(0.2)


@contextmanager
def sleepy() -> Iterator[None]:
    """Lets the functions sleep soon, as long as this lasts."""
    before = {name: service(name)["spec"]["template"]["metadata"]["annotations"] for name in FUNCTIONS}
    try:
        for name in FUNCTIONS:
            annotate(name, dict(SLEEPY))
        wait_for_revisions()
        yield
    finally:
        for name, annotations in before.items():
            annotate(name, {key: annotations.get(key) for key in SLEEPY})
        wait_for_revisions()


def service(function: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl("get", "ksvc", function, "-n", SYSTEM, "-o", "json"))
    return found


def annotate(function: str, annotations: dict[str, str | None]) -> None:
    patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    kubectl("patch", "ksvc", function, "-n", SYSTEM, "--type=merge", "-p", json.dumps(patch))


def wait_for_revisions() -> None:
    """Until each function's newest revision gets all of its requests."""
    for name in FUNCTIONS:
        kubectl("wait", "ksvc", name, "-n", SYSTEM, "--for=condition=Ready", "--timeout=120s")


def measure(starts: int, ingress: str, *, seconds: float) -> dict[str, list[float]]:
    """One start after the other, of whichever function sleeps; as many of each as asked for, or as the time allows."""
    found: dict[str, list[float]] = {name: [] for name in FUNCTIONS}
    awake = dict.fromkeys(FUNCTIONS, time.monotonic())  # when each was seen so last
    until = time.monotonic() + seconds
    with sleepy(), alone():
        while any(len(each) < starts for each in found.values()) and time.monotonic() < until:
            for name, each in found.items():
                if not asleep(name):
                    awake[name] = time.monotonic()
                elif len(each) < starts and time.monotonic() - awake[name] > SETTLED:
                    each.append(call(name, ingress))
                    print(f"{name:<10} {each[-1]:6.2f} s   load {os.getloadavg()[0]:.1f}", flush=True)
                    if each[-1] > ODD:
                        print(kubectl("get", "pods,events", "-n", SYSTEM, "--sort-by=.metadata.creationTimestamp"))
            time.sleep(0.2)
    return found


def summary(seconds: list[float]) -> dict[str, Any]:
    return {
        "n": len(seconds), "p50": statistics.median(seconds), "p95": percentile(seconds, 0.95), "max": max(seconds),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--starts", type=int, default=12)
    parser.add_argument("--ingress", default=os.environ.get("URUMI_INGRESS_ADDRESS", "127.0.0.1:80"))
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    measured = measure(arguments.starts, arguments.ingress, seconds=arguments.starts * 60)
    found = {name: summary(seconds) for name, seconds in measured.items()}
    for name, figures in found.items():
        print(
            f"{name:<10} n={figures['n']} p50={figures['p50']:.2f} p95={figures['p95']:.2f} max={figures['max']:.2f} s"
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = {"cpus": os.cpu_count(), "load": load, "seconds": found}
    (arguments.out / "cold-starts.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
