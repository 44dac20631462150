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
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil

from stores import helm

SYSTEM = "urumi-system"
SLEEPY = {"autoscaling.knative.dev/window": "6s", "autoscaling.knative.dev/scale-down-delay": "0s"}
# Refused after the function is fully there: without a token, or with an event of an unknown type.
CALLS = {
    "create": ("POST", "/api/stores", 401),
    "delete": ("DELETE", f"/api/stores/{UUID(int=0)}", 401),
    "status": ("GET", "/api/health", 200),
}
EVENT = (
    "import time, urllib.error as e, urllib.request as u; began = time.monotonic();"
    "call = u.Request('http://reconcile.urumi-system.svc.cluster.local', b'{}', {'ce-id': '1', 'ce-source': '/bench',"
    " 'ce-specversion': '1.0', 'ce-type': 'dev.urumi.nothing', 'content-type': 'application/json'})\n"
    "try: u.urlopen(call, timeout=60)\n"
    "except e.HTTPError as answer: assert answer.code == 400, answer.code\n"
    "print(time.monotonic() - began)"
)


def kubectl(*arguments: str) -> str:
    return subprocess.run([helm.binary("kubectl"), *arguments], capture_output=True, text=True, check=True).stdout


def asleep(function: str) -> bool:
    """No pod of it is left. One on its way out does not count: it still answers what is under way to it."""
    return not kubectl("get", "pods", "-n", SYSTEM, "-l", f"serving.knative.dev/service={function}", "-o", "name")


def call(function: str, ingress: str) -> float:
    """Seconds until the answer."""
    if function == "reconcile":
        dashboard = ("exec", "-n", SYSTEM, "deploy/dashboard", "--", "python", "-c", EVENT)
        return float(kubectl(*dashboard))
    method, path, expected = CALLS[function]
    connection = http.client.HTTPConnection(ingress, timeout=60)
    began = time.monotonic()
    connection.request(method, path, headers={"Host": "api.localhost"})
    status = connection.getresponse().status
    seconds = time.monotonic() - began
    assert status == expected, f"{function} answered {status}"
    return seconds


def is_quiet() -> bool:
    """Nothing else works on this machine: a start takes as long as it takes to get a processor."""
    return psutil.cpu_percent(1) < 40


@contextmanager
def sleepy(function: str) -> Iterator[None]:
    """Lets a function sleep soon, as long as this lasts."""

    def annotate(annotations: dict[str, str | None]) -> None:
        patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        kubectl("patch", "ksvc", function, "-n", SYSTEM, "--type=merge", "-p", json.dumps(patch))

    service = json.loads(kubectl("get", "ksvc", function, "-n", SYSTEM, "-o", "json"))
    before = service["spec"]["template"]["metadata"]["annotations"]
    annotate(dict(SLEEPY))
    try:
        yield
    finally:
        annotate({key: before.get(key) for key in SLEEPY})


def measure(starts: int, ingress: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in [*CALLS, "reconcile"]}
    while any(len(seconds) < starts for seconds in found.values()):
        for name, seconds in found.items():
            if len(seconds) < starts and asleep(name) and is_quiet():
                seconds.append(call(name, ingress))
                print(f"{name:<10} {seconds[-1]:6.2f} s   load {os.getloadavg()[0]:.1f}", flush=True)
        time.sleep(1)
    return found


def summary(seconds: list[float]) -> dict[str, Any]:
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return {"n": len(ordered), "p50": statistics.median(ordered), "p95": p95, "max": ordered[-1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    parser.add_argument("--starts", type=int, default=12)
    parser.add_argument("--ingress", default=os.environ.get("URUMI_INGRESS_ADDRESS", "127.0.0.1:80"))
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with ExitStack() as stack:
        for name in (*CALLS, "reconcile"):
            stack.enter_context(sleepy(name))
        found = {name: summary(seconds) for name, seconds in measure(arguments.starts, arguments.ingress).items()}
    for name, figures in found.items():
        print(
            f"{name:<10} n={figures['n']} p50={figures['p50']:.2f} p95={figures['p95']:.2f} max={figures['max']:.2f} s"
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = {"cpus": os.cpu_count(), "load": load, "seconds": found}
    (arguments.out / "cold-starts.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
