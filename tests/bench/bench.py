"""Measures what merchants and operators wait for; prints a table and writes bench/core.json.

    python tests/bench/bench.py [--out bench] [--requests 100]

create and list: one functions-framework worker each, over real HTTP, PostgreSQL from its wheel, the sink answered at
once by a process of its own. sweep: over ready stores that need nothing. import: fresh interpreters.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stores import db, lifecycle  # noqa: E402
from tests import support  # noqa: E402 (the path has to be set first)
from tests.bench.ranks import percentile  # noqa: E402

TARGETS = {"create": "create_store", "status": "store_status"}


def summary(seconds: list[float], *, limit_ms: float | None = None) -> dict[str, float | int | None]:
    return {
        "n": len(seconds),
        "p50_ms": round(statistics.median(seconds) * 1000, 2),
        "p95_ms": round(percentile(seconds, 0.95) * 1000, 2),
        "p99_ms": round(percentile(seconds, 0.99) * 1000, 2),
        "max_ms": round(max(seconds) * 1000, 2),
        "aim_p99_ms": limit_ms,
    }


@contextmanager
def sink() -> Iterator[str]:
    """A process that takes every event at once."""

    class Broker(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Broker)
    pid = os.fork()
    if pid == 0:
        server.serve_forever()
    server.server_close()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


@contextmanager
def function(name: str, environment: dict[str, str]) -> Iterator[str]:
    """One function as it is served in its container: gunicorn with one worker."""
    port = support.free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "functions_framework", "--source", f"functions/{name}/main.py", "--target",
         TARGETS[name], "--host", "127.0.0.1", "--port", str(port)],
        cwd=ROOT,
        env=support.clean_environment(**environment, THREADS="4", WORKERS="1", PYTHONPATH=str(support.FUNCTIONS)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        support.eventually(lambda: answers(url), seconds=30)
        yield url
    finally:
        process.terminate()
        process.wait(40)


def answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=1)
    except httpx.TransportError:
        return False
    return True


def timed(count: int, request: Callable[[int], httpx.Response], *, expect: int) -> list[float]:
    """Seconds of `count` requests, one after another, after ten that do not count."""
    seconds = []
    for number in range(-10, count):
        began = time.perf_counter()
        response = request(number)
        taken = time.perf_counter() - began
        assert response.status_code == expect, response.text
        if number >= 0:
            seconds.append(taken)
    return seconds


def measure_requests(world: support.World, environment: dict[str, str], count: int) -> dict[str, Any]:
    world.many_ready(1000)
    world.rows("update stores set owner = 'alice'")
    world.rows("analyze")
    with ExitStack() as stack:
        address = stack.enter_context(sink())
        settings = environment | {"URUMI_SINK": address}
        create = stack.enter_context(function("create", settings))
        status = stack.enter_context(function("status", settings))
        merchant = stack.enter_context(httpx.Client(headers={"Authorization": f"Bearer {world.token('bob')}"}))
        owner = stack.enter_context(httpx.Client(headers={"Authorization": f"Bearer {world.token('alice')}"}))

        def ask(number: int) -> httpx.Response:
            body = {"name": f"bench-{number % 100000}", "type": "medusa"}
            return merchant.post(f"{create}/api/stores", json=body)

        def walk(_: int) -> httpx.Response:
            return owner.get(f"{status}/api/stores?limit=200")

        def first(_: int) -> httpx.Response:
            return owner.get(f"{status}/api/stores")

        return {
            "create, warm": summary(timed(count, ask, expect=202), limit_ms=50),
            "list of 1000 stores, first page of 50": summary(timed(count, first, expect=200), limit_ms=50),
            "list of 1000 stores, page of 200": summary(timed(count, walk, expect=200), limit_ms=50),
            "8 at once: create": throughput(lambda n: ask(10_000 + n), 8 * count),
            "8 at once: first page of 50": throughput(first, 8 * count),
        }


def throughput(request: Callable[[int], httpx.Response], count: int, *, clients: int = 8) -> dict[str, Any]:
    """`count` requests by as many clients at once; a refusal ends the measurement."""

    def one(number: int) -> float:
        began = time.perf_counter()
        request(number).raise_for_status()
        return time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        seconds = list(threads.map(one, range(count)))
    return summary(seconds) | {"requests_per_s": round(count / (time.perf_counter() - began), 1)}


def measure_sweep(world: support.World, postgres: support.Postgres, stores: int) -> dict[str, Any]:
    world.rows("truncate stores cascade")
    world.rows("truncate simulator.namespaces")
    world.many_ready(stores)
    world.rows("analyze")
    statements = support.Statements(postgres, world.database)
    found = statements.during(lifecycle.sweep)
    statements.stop()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        result = lifecycle.sweep()
        seconds.append(time.perf_counter() - began)
        assert result["stores"] == stores
    return summary(seconds) | {"statements": len(found), "aim_s": 2 if stores == 1000 else None}


def measure_import(name: str) -> dict[str, Any]:
    source = f"functions/{name}/main.py"
    script = f"from functions_framework import create_app; create_app({TARGETS[name]!r}, {source!r})"
    # The image holds compiled code, so what is measured is no compiler.
    environment = support.clean_environment(PYTHONPATH=str(support.FUNCTIONS), PYTHONDONTWRITEBYTECODE="")
    cpu, wall = [], []
    for _ in range(5):
        before, began = os.times(), time.perf_counter()
        subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=True)
        after = os.times()
        wall.append(time.perf_counter() - began)
        cpu.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return {"n": 5, "cpu_s": round(min(cpu), 3), "wall_s": round(min(wall), 3), "aim_s": 0.6}


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "bench", help="folder for core.json")
    parser.add_argument("--requests", type=int, default=100)
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    load = os.getloadavg()
    with support.folder("bench") as state:
        postgres = support.Postgres(state, safe=True)
        try:
            database = postgres.create()
            db.migrate(database.owner_url, database.app_url, simulator=True)
            environment = support.environment(database)
            os.environ.update(environment)
            world = support.World(database)
            results |= measure_requests(world, environment, arguments.requests)
            for stores in (100, 1000, 10_000):
                results[f"sweep over {stores} ready stores"] = measure_sweep(world, postgres, stores)
        finally:
            support.forget()
            postgres.close()
    for name in TARGETS:
        results[f"import of {name}"] = measure_import(name)
    report = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.system(),
            "load_average": {"before": [round(x, 2) for x in load], "after": [round(x, 2) for x in os.getloadavg()]},
        },
        "results": results,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "core.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report["machine"]))
    for name, result in results.items():
        shown = "  ".join(f"{key} {value}" for key, value in result.items() if value is not None)
        print(f"{name:42} {shown}")


if __name__ == "__main__":
    main()
