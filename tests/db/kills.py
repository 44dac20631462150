"""A process whose children are killed (SIGKILL) right before or right after their n-th write to PostgreSQL.

Started by test_kill.py. Reads one JSON command a line, answers with one JSON object a line. Every command forks twice
from this warm process: the first child plays the scenario and is killed on the way, the second goes on from whatever
is left, undisturbed, and tells how everything ended.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import Composable

from stores import auth, db, engines, lifecycle, logs, simulator  # noqa: F401 (imported before the fork, not in each child)
from stores.api import StoreRequest
from stores.errors import Busy, Conflict
from stores.model import Desired, Engine, Phase, Store
from stores.settings import settings

ORIGIN = lifecycle.Origin(auth.Caller("alice", "owner"), "203.0.113.9")
WRITE = re.compile(r"\s*(insert|update|delete)\b", re.IGNORECASE)


class Writes:
    """Counts every INSERT, UPDATE, DELETE and COMMIT that this process sends, and ends it at one of them."""

    def __init__(self, number: int | None, *, after: bool) -> None:
        self.seen: list[str] = []
        self._death = (number, after)
        self._lock = threading.Lock()

    def before(self, what: str) -> int:
        with self._lock:
            self.seen.append(" ".join(what.split())[:60])
            number = len(self.seen) - 1
        self._die_if((number, False))
        return number

    def after(self, number: int) -> None:
        self._die_if((number, True))

    def _die_if(self, moment: tuple[int, bool]) -> None:
        if moment == self._death:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """From now on. psycopg sends statements by Cursor.execute and COMMIT by Connection._exec_command."""
        execute, command = psycopg.Cursor.execute, psycopg.Connection._exec_command

        def watched_execute(cursor: psycopg.Cursor[Any], query: Any, *args: Any, **more: Any) -> Any:
            text = query.as_string(cursor) if isinstance(query, Composable) else query
            text = text.decode() if isinstance(text, bytes) else text
            if not WRITE.match(text):
                return execute(cursor, query, *args, **more)
            number = self.before(text)
            result = execute(cursor, query, *args, **more)
            self.after(number)
            return result

        def watched_command(
            conn: psycopg.Connection[Any], text: Any, *args: Any, **more: Any
        ) -> Generator[Any, Any, Any]:
            if text != b"COMMIT":
                result = yield from command(conn, text, *args, **more)
                return result
            number = self.before("COMMIT")
            result = yield from command(conn, text, *args, **more)
            self.after(number)
            return result

        psycopg.Cursor.execute = watched_execute  # type: ignore[method-assign,assignment]
        psycopg.Connection._exec_command = watched_command  # type: ignore[method-assign,assignment]


# --- scenarios ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """`prepare` is undisturbed, `play` is killed somewhere, `finish` goes on from there."""

    prepare: Callable[[str], UUID | None]
    play: Callable[[str, Any], object]
    finish: Callable[[str, Any], UUID]


def row(store_id: UUID) -> Store:
    with db.connection() as conn:
        found = db.load(conn, store_id=store_id)
    assert found is not None
    return found[0]


def sweep_until(store_id: UUID, *until: Phase) -> UUID:
    for _ in range(400):
        if row(store_id).status in until and lifecycle.sweep().get("skipped") is None:
            return store_id
        if lifecycle.sweep().get("skipped"):
            time.sleep(0.005)  # the lock of a killed sweep lasts until PostgreSQL notices
    raise TimeoutError(f"{row(store_id)!r}")


def ask(name: str) -> UUID:
    return lifecycle.request(ORIGIN, StoreRequest(name=name, type=Engine.MEDUSA), key=name)[0]


def made(name: str) -> UUID:
    return sweep_until(ask(name), Phase.READY)


def claimed(name: str) -> UUID:
    """A store from stock whose owner has just asked for it."""
    with db.transaction() as tx:
        warm = db.add_warm(
            tx, engine=Engine.MEDUSA, release=engines.wanted_release(settings(), Engine.MEDUSA), deadline=600
        )
    while row(warm.id).status is not Phase.WARM:
        lifecycle.converge(store_id=warm.id)
    store_id = ask(name)
    assert store_id == warm.id
    return store_id


def retired(name: str) -> UUID:
    store_id = made(name)
    lifecycle.retire(ORIGIN, store_id)
    return store_id


def fault(name: str, kind: str | None) -> None:
    with db.connection() as conn:
        conn.execute("delete from simulator.faults where store_name = %s", (name,))
        if kind:
            conn.execute("insert into simulator.faults values (%s, %s)", (name, kind))
        conn.execute("update stores set next_try_at = null where name = %s", (name,))


def overdue(store_id: UUID) -> None:
    with db.connection() as conn:
        conn.execute("update stores set deadline_at = now() where id = %s", (store_id,))


def failed(name: str) -> UUID:
    fault(name, "crash")
    store_id = ask(name)
    lifecycle.sweep()
    overdue(store_id)
    sweep_until(store_id, Phase.FAILED)
    fault(name, None)
    with db.connection() as conn:  # as if it were still down: what is tested is the retry
        conn.execute("update simulator.namespaces set release = 'old' where store_id = %s", (store_id,))
    return store_id


def broken(name: str) -> UUID:
    fault(name, "install-error")
    return ask(name)


def give_up(name: str, store_id: UUID) -> UUID:
    lifecycle.sweep()
    overdue(store_id)
    with db.connection() as conn:
        conn.execute("update stores set next_try_at = null where name = %s", (name,))
    return sweep_until(store_id, Phase.FAILED)


def slept(name: str) -> UUID:
    store_id = made(name)
    with db.transaction() as tx:
        db.want_desired(tx, store_id, Desired.ASLEEP)
    return store_id


def orphaned(name: str) -> UUID:
    """A store whose row says deleted while its namespace is still there."""
    store_id = made(name)
    with db.connection() as conn:
        conn.execute("delete from store_credentials where store_id = %s", (store_id,))
        conn.execute(
            "update stores set desired = 'absent', status = 'deleted', deleted_at = now() where id = %s", (store_id,)
        )
    return store_id


def sweep_until_no_orphan(_name: str, store_id: UUID) -> UUID:
    for _ in range(400):
        if lifecycle.sweep().get("strays") == 0:
            return store_id
    raise TimeoutError("the orphan stays")


def rotated(name: str) -> UUID:
    store_id = made(name)
    lifecycle.rotate(ORIGIN, store_id)
    return store_id


def again(action: Callable[[lifecycle.Origin, UUID], object], *until: Phase) -> Callable[[str, UUID], UUID]:
    """An owner who got no answer asks again, and all goes its way."""

    def finish(_: str, store_id: UUID) -> UUID:
        with suppress(Conflict):  # the first attempt was kept
            action(ORIGIN, store_id)
        return sweep_until(store_id, *until)

    return finish


def converge(*until: Phase) -> Callable[[str, UUID], UUID]:
    def play(_: str, store_id: UUID) -> UUID:
        return sweep_until(store_id, *until)

    return play


def sealed_again(_: str, store_id: UUID) -> UUID:
    while row(store_id).sealed_identity != row(store_id).identity:
        try:
            lifecycle.converge(store_id=store_id)
        except Busy:
            time.sleep(0.005)
    return store_id


SCENARIOS = {
    "request": Scenario(
        prepare=lambda _: None,
        play=lambda name, _: ask(name),
        finish=lambda name, _: sweep_until(ask(name), Phase.READY),
    ),
    "create": Scenario(prepare=ask, play=converge(Phase.READY), finish=converge(Phase.READY)),
    "claim": Scenario(prepare=claimed, play=converge(Phase.READY), finish=converge(Phase.READY)),
    "give up": Scenario(prepare=broken, play=give_up, finish=give_up),
    "retry": Scenario(
        prepare=failed,
        play=lambda _, store_id: lifecycle.retry(ORIGIN, store_id),
        finish=again(lifecycle.retry, Phase.READY),
    ),
    "sleep": Scenario(prepare=slept, play=converge(Phase.ASLEEP), finish=converge(Phase.ASLEEP)),
    "rotate": Scenario(prepare=rotated, play=sealed_again, finish=sealed_again),
    "retire": Scenario(
        prepare=made,
        play=lambda _, store_id: lifecycle.retire(ORIGIN, store_id),
        finish=again(lifecycle.retire, Phase.DELETED),
    ),
    "delete": Scenario(prepare=retired, play=converge(Phase.DELETED), finish=converge(Phase.DELETED)),
    "orphan": Scenario(prepare=orphaned, play=sweep_until_no_orphan, finish=sweep_until_no_orphan),
}


# --- how it ended -------------------------------------------------------------------------------------------------

VOLATILE = {"id", "owner", "name", "host", "namespace", "version", "traceparent", "failures"}


def written(name: str) -> list[int]:
    """How much of a request is in the database: nothing, or one of each."""
    with db.connection() as conn:
        store = "(select id from stores where name = %(name)s)"
        queries = [
            "select count(*) from stores where name = %(name)s",
            "select count(*) from idempotency_keys where key = %(name)s",
            f"select count(*) from store_events where type = 'requested' and store_id in {store}",  # noqa: S608
            "select count(*) from audit_logs where action = 'create' and store_name = %(name)s",
        ]
        return [conn.execute(query.encode(), {"name": name}).fetchone()[0] for query in queries]  # type: ignore[index]


def state(store_id: UUID) -> dict[str, Any]:
    """Everything about a store but times, ids, names and random values."""
    with db.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:

        def rows(query: str) -> list[dict[str, Any]]:
            return cursor.execute(query.encode(), {"id": store_id}).fetchall()

        (store,) = rows("select * from stores where id = %(id)s")
        spaces = rows("select * from simulator.namespaces where store_id = %(id)s")
        sealed = rows("select sealed from store_credentials where store_id = %(id)s")
        opened = [json.loads(lifecycle._fernet().decrypt(bytes(c["sealed"])))["password"] for c in sealed]
        visible = {
            name: (value is not None) if name.endswith("_at") or name == "time_to_ready" else value
            for name, value in store.items()
            if name not in VOLATILE
        }
        return {
            "store": visible,
            "steps": rows(
                "select attempt, step, position, ended_at is not null as ended from store_steps"
                " where store_id = %(id)s order by attempt, position"
            ),
            "events": [e["type"] for e in rows("select type from store_events where store_id = %(id)s order by id")],
            "namespaces": [
                {name: space[name] for name in ("prepared", "identity", "release", "asleep", "type")}
                | {"host": space["host"] == store["host"], "removed": space["deleting_at"] is not None}
                for space in spaces
            ],
            "sealed password opens the shop": [password == spaces[0]["password"] for password in opened],
            "keys": len(rows("select from idempotency_keys where store_id = %(id)s")),
            "orphans": len(rows("select from orphans")),
            "done in the cluster": [
                a["action"]
                for a in rows(
                    "select action from simulator.actions where namespace ="
                    " (select namespace from stores where id = %(id)s) order by id"
                )
            ],
        }


# --- the process --------------------------------------------------------------------------------------------------


def forked(work: Callable[[Callable[[Any], None]], object]) -> tuple[int, list[Any]]:
    """Runs `work` in a child; what it reported before it ended, and how it ended (-9: killed)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        status = 1
        try:
            work(lambda thing: os.write(writing, json.dumps(thing, default=str).encode() + b"\n"))  # type: ignore[arg-type]
            status = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        reports = [json.loads(line) for line in pipe]
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), reports


def play(command: dict[str, Any]) -> dict[str, Any]:
    scenario, name = SCENARIOS[command["scenario"]], command["name"]

    def first(report: Callable[[Any], None]) -> None:
        store_id = scenario.prepare(name)
        report(store_id)
        writes = Writes(command["number"], after=command["after"])
        writes.watch()
        scenario.play(name, store_id)
        report(list(writes.seen))

    def second(report: Callable[[Any], None]) -> None:
        report(written(name))
        report(state(scenario.finish(name, UUID(prepared) if prepared else None)))

    ended, reports = forked(first)
    if not reports:
        return {"ended": ended, "error": "could not be prepared"}
    prepared = reports[0]
    finished, found = forked(second)
    if finished != 0:
        return {"ended": ended, "error": "could not be finished"}
    return {"ended": ended, "writes": reports[1:], "written": found[0], "state": found[1]}


if __name__ == "__main__":
    logs.configure()
    for line in sys.stdin:
        print(json.dumps(play(json.loads(line)), default=str), flush=True)
