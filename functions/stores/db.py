"""PostgreSQL, the platform's only memory. Each function owns its SQL; all times are the database's.

The pool opens at first use: functions-framework imports the app before gunicorn forks, and a pool's threads do not
survive a fork.
"""

import atexit
import hashlib
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool, PoolTimeout

from stores import net
from stores.errors import Busy, NameTaken, Unavailable
from stores.model import Desired, Engine, Phase, Problem, Store
from stores.settings import settings

COLUMNS = sql.SQL(", ").join(sql.Identifier(name) for name in Store.model_fields)
CONNECT = 3  # seconds for a connection
AWAY = "The platform's database does not answer. Nothing was changed; try again in a few seconds."


def pool() -> ConnectionPool[Connection]:
    """The process's connections; opened by the first caller, checked before each use so that a restart heals."""
    with _opening:  # a cold start's first requests come at once, and `cache` alone would open a pool for each
        return _pool()


_opening = Lock()


@cache
def _pool() -> ConnectionPool[Connection]:
    url = settings().database_url.get_secret_value()
    opened: ConnectionPool[Connection] = ConnectionPool(
        url,
        connection_class=_PoolConnection,
        kwargs={"autocommit": True, "application_name": "urumi", "connect_timeout": CONNECT},
        min_size=1,
        # Each thread of reconcile and of its sweep holds one for the store's lock; the simulated cluster needs another.
        max_size=32,
        timeout=3,
        reconnect_timeout=5,
        check=ConnectionPool.check_connection,
        open=True,
    )
    atexit.register(opened.close)  # else the pool's threads hold up the process's end for seconds
    return opened


class _PoolConnection(Connection):
    """Over TCP it tries anew when a first packet gets lost, see stores.net."""

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Any:
        where = conninfo_to_dict(conninfo)
        host, port = str(where.get("host", "")), int(where.get("port") or 5432)
        if not host or host.startswith("/") or "," in host:  # a socket file, or several servers: libpq's to choose
            return super().connect(conninfo, **options)
        plain = super().connect

        def connect(left: float) -> Connection:
            # libpq would hold all threads while it looks the name up.
            found = [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
            there = {"host": ",".join([host] * len(found)), "hostaddr": ",".join(found)}
            return plain(conninfo, **options | there | {"connect_timeout": max(1, round(left))})

        return net.first(connect, seconds=CONNECT, what="PostgreSQL")


@contextmanager
def connection() -> Iterator[Connection]:
    """A connection in autocommit mode. Raises Unavailable when PostgreSQL is away."""
    try:
        with pool().connection() as conn:
            yield conn
    except (psycopg.OperationalError, PoolTimeout) as error:
        raise Unavailable(AWAY) from error


@contextmanager
def transaction() -> Iterator[Connection]:
    """One transaction, all or nothing. Raises Unavailable when PostgreSQL is away."""
    with connection() as conn, conn.transaction():
        yield conn


# --- what create and delete write ---------------------------------------------------------------------------------


def lock_owner(tx: Connection, owner: str) -> None:
    """Makes an owner's requests queue up until the transaction ends: quotas are counted, then used."""
    tx.execute("select pg_advisory_xact_lock(hashtextextended(%s, 1))", (owner,))


def replay(tx: Connection, *, owner: str, key: str) -> tuple[bytes, dict[str, Any]] | None:
    """The digest and the answer of the request that first used this idempotency key."""
    row = tx.execute(
        "select digest, response from idempotency_keys where owner = %s and key = %s", (owner, key)
    ).fetchone()
    return None if row is None else (bytes(row[0]), row[1])


def remember(tx: Connection, *, owner: str, key: str, digest: bytes, store_id: UUID, response: dict[str, Any]) -> None:
    """Keeps the answer for repeats; forgets those of more than a day ago."""
    tx.execute("delete from idempotency_keys where owner = %s and created_at < now() - interval '1 day'", (owner,))
    tx.execute(
        "insert into idempotency_keys (owner, key, digest, store_id, response) values (%s, %s, %s, %s, %s)",
        (owner, key, digest, store_id, Jsonb(response)),
    )


def name_is_taken(tx: Connection, name: str) -> bool:
    row = tx.execute("select from stores where name = %s and deleted_at is null", (name,)).fetchone()
    return row is not None


def living_stores(tx: Connection, owner: str) -> int:
    """How many stores count against the owner's quota: all that are not yet gone, failed ones included."""
    row = tx.execute("select count(*) from stores where owner = %s and deleted_at is null", (owner,)).fetchone()
    assert row is not None
    return int(row[0])


def seconds_until_next_creation(tx: Connection, *, owner: str, interval: float) -> float:
    """0 when the owner may create a store now. A deleted store counts: the limit is on requests.

    now() would be the transaction's start, which may lie before a creation that the owner's lock made us wait for.
    """
    row = tx.execute(
        "select extract(epoch from max(requested_at) + make_interval(secs => %s) - clock_timestamp()) from stores"
        " where owner = %s and attempt = 1 and requested_at > clock_timestamp() - make_interval(secs => %s)",
        (interval, owner, interval),
    ).fetchone()
    return max(0.0, float(row[0])) if row and row[0] is not None else 0.0


def insert_store(
    tx: Connection,
    *,
    owner: str,
    name: str,
    engine: Engine,
    host: str,
    release: str,
    deadline: float,
    traceparent: str | None,
) -> Store:
    """A new row. Raises NameTaken when another request took the name in this very moment."""
    try:
        return _one(
            tx,
            sql.SQL(
                "insert into stores (id, namespace, owner, name, type, host, release, deadline_at, traceparent)"
                " select id, 'store-' || right(replace(id::text, '-', ''), 12), %s, %s, %s, %s, %s,"
                " now() + make_interval(secs => %s), %s from uuidv7() as id returning {}"
            ).format(COLUMNS),
            (owner, name, engine, host, release, deadline, traceparent),
        )
    except psycopg.errors.UniqueViolation:
        raise NameTaken(f"A store named “{name}” exists already. Choose another name.") from None


def claim_warm(
    tx: Connection,
    *,
    owner: str,
    name: str,
    engine: Engine,
    host: str,
    release: str,
    deadline: float,
    traceparent: str | None,
) -> Store | None:
    """A warm store of the newest release made this owner's, or None when there is none. No two callers get the same."""
    try:
        return _maybe(
            tx,
            sql.SQL(
                "update stores set owner = %s, name = %s, host = %s, status = 'provisioning', from_warm = true,"
                " identity = identity + 1, created_at = now(), requested_at = now(), updated_at = now(),"
                " deadline_at = now() + make_interval(secs => %s), traceparent = %s, failures = 0, next_try_at = null,"
                " error_reason = null, error_message = null, version = version + 1"
                " where id = (select id from stores where status = 'warm' and desired = 'present' and type = %s"
                "  and release = %s and owner is null order by id limit 1 for update skip locked) returning {}"
            ).format(COLUMNS),
            (owner, name, host, deadline, traceparent, engine, release),
        )
    except psycopg.errors.UniqueViolation:
        raise NameTaken(f"A store named “{name}” exists already. Choose another name.") from None


def add_warm(tx: Connection, *, engine: Engine, release: str, deadline: float) -> Store:
    return _one(
        tx,
        sql.SQL(
            "insert into stores (id, namespace, type, release, deadline_at)"
            " select id, 'store-' || right(replace(id::text, '-', ''), 12), %s, %s, now() + make_interval(secs => %s)"
            " from uuidv7() as id returning {}"
        ).format(COLUMNS),
        (engine, release, deadline),
    )


def retire_warm(tx: Connection, store_ids: Iterable[UUID]) -> None:
    """Those that were claimed meanwhile are left alone."""
    tx.execute(
        "update stores set desired = 'absent', status = 'deleting', retired_at = now(), updated_at = now(),"
        " failures = 0, next_try_at = null, error_reason = null, error_message = null, version = version + 1"
        " where id = any(%s) and owner is null and desired = 'present'",
        (list(store_ids),),
    )


def replace_claimed(conn: Connection, store: Store, *, namespace: str) -> Store:
    """Gives the owner's store a namespace of its own to be built in; the claimed one goes, under a row of its own."""
    with conn.transaction():
        changed = change(
            conn, store, namespace=namespace, from_warm=False, failures=0, next_try_at=None, error_reason=None,
            error_message=None, sealed_identity=0,
        )  # fmt: skip
        conn.execute("delete from store_credentials where store_id = %s", (store.id,))
        conn.execute(
            "insert into stores (namespace, type, release, desired, status, retired_at)"
            " values (%s, %s, %s, 'absent', 'deleting', now())",
            (store.namespace, store.type, store.release),
        )
    return changed


@contextmanager
def stock_lock() -> Iterator[Connection | None]:
    """One transaction that alone may change the stock's size; None when another does so already."""
    with transaction() as tx:
        row = tx.execute("select pg_try_advisory_xact_lock(5)").fetchone()
        yield tx if row and row[0] else None


def stock(tx: Connection) -> list[Store]:
    """All stores that are nobody's."""
    with tx.cursor(row_factory=class_row(Store)) as cursor:
        return cursor.execute(
            sql.SQL("select {} from stores where owner is null and deleted_at is null").format(COLUMNS)
        ).fetchall()


def handing_over(tx: Connection) -> bool:
    """Whether an owner waits for a store that was claimed a moment ago."""
    row = tx.execute(
        "select from stores where from_warm and status = 'provisioning' and desired = 'present'"
        " and requested_at > now() - interval '30 seconds' limit 1"
    ).fetchone()
    return row is not None


def calm(tx: Connection, seconds: float) -> bool:
    """Whether no store was asked for so lately, and none of the last minute is still on its way to its owner."""
    row = tx.execute(
        "select from stores where owner is not null and (created_at > now() - make_interval(secs => %s)"
        " or status = 'provisioning' and desired = 'present' and requested_at > now() - interval '1 minute') limit 1",
        (seconds,),
    ).fetchone()
    return row is None


def demand(tx: Connection) -> dict[str, int]:
    """How many stores of each engine were asked for in the last ten minutes."""
    rows = tx.execute(
        "select type, count(*) from stores where owner is not null and created_at > now() - interval '10 minutes'"
        " group by type"
    )
    return dict(rows.fetchall())


def room_for(tx: Connection, engine: Engine) -> int | None:
    """How many more stores fit: what the last sweep saw less what was begun since. None when that is not known."""
    row = tx.execute(
        "select (room ->> %s)::int - (select count(*) from stores where type = %s and not from_warm"
        "  and created_at > room_at) from platform where room_at > now() - interval '10 minutes'",
        (engine, engine),
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def find(tx: Connection, *, store_id: UUID, owner: str | None) -> Store | None:
    """A living store, of this owner unless owner is None (an admin's view)."""
    return _maybe(
        tx,
        sql.SQL(
            "select {} from stores where id = %s and deleted_at is null and owner is not null"
            " and (%s::text is null or owner = %s)"
        ).format(COLUMNS),
        (store_id, owner, owner),
    )


def lock_row(tx: Connection, store_id: UUID) -> None:
    """Holds the row until the transaction ends, so that what was just read stays true."""
    tx.execute("select from stores where id = %s for update", (store_id,))


def retire(tx: Connection, store_id: UUID, *, traceparent: str | None) -> Store:
    """Sets the intent `absent`. Whatever reconcile is doing ends at its next write."""
    return _one(
        tx,
        sql.SQL(
            "update stores set desired = 'absent', status = 'deleting', retired_at = now(), updated_at = now(),"
            " traceparent = %s, failures = 0, next_try_at = null, error_reason = null, error_message = null,"
            " version = version + 1 where id = %s returning {}"
        ).format(COLUMNS),
        (traceparent, store_id),
    )


def try_again(tx: Connection, store_id: UUID, *, release: str, deadline: float, traceparent: str | None) -> Store:
    """A new attempt with a new deadline, from whatever is there. A lost namespace's password is lost with it."""
    tx.execute("delete from store_credentials where store_id = %s", (store_id,))
    return _one(
        tx,
        sql.SQL(
            "update stores set status = 'provisioning', attempt = attempt + 1, requested_at = now(),"
            " updated_at = now(),"
            " deadline_at = now() + make_interval(secs => %s), release = %s, traceparent = %s, ready_at = null,"
            " sealed_identity = 0,"
            " failures = 0, next_try_at = null, error_reason = null, error_message = null, version = version + 1"
            " where id = %s returning {}"
        ).format(COLUMNS),
        (deadline, release, traceparent, store_id),
    )


def want_identity(tx: Connection, store_id: UUID) -> Store:
    """Asks for a new administrator's password; the old one is forgotten here at once."""
    tx.execute("delete from store_credentials where store_id = %s", (store_id,))
    return _one(
        tx,
        sql.SQL(
            "update stores set identity = identity + 1, updated_at = now(), version = version + 1"
            " where id = %s returning {}"
        ).format(COLUMNS),
        (store_id,),
    )


def want_desired(tx: Connection, store_id: UUID, desired: Desired) -> Store:
    return _one(
        tx,
        sql.SQL(
            "update stores set desired = %s, updated_at = now(), version = version + 1 where id = %s returning {}"
        ).format(COLUMNS),
        (desired, store_id),
    )


def want_release(tx: Connection, wanted: Mapping[Engine, str], *, name: str | None) -> list[str]:
    rows = tx.execute(
        "update stores set release = wanted.release, updated_at = now(), version = version + 1"
        " from unnest(%s::text[], %s::text[]) as wanted (type, release)"
        " where stores.type = wanted.type and stores.release <> wanted.release and desired <> 'absent'"
        " and deleted_at is null and (%s::text is null or name = %s) returning coalesce(name, namespace)",
        ([*wanted], [*wanted.values()], name, name),
    )
    return [row[0] for row in rows]


def audit(
    tx: Connection,
    *,
    user: str,
    action: str,
    outcome: str,
    store_id: UUID | None = None,
    store_name: str | None = None,
    reason: str | None = None,
    ip: str | None = None,
) -> None:
    tx.execute(
        "insert into audit_logs (user_id, action, store_id, store_name, outcome, reason, ip_address)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        (user, action, store_id, store_name, outcome, reason, ip),
    )


def event(tx: Connection, *, store_id: UUID, type: str, message: str) -> None:
    """A line of the store's own history, as its owner reads it."""
    tx.execute("insert into store_events (store_id, type, message) values (%s, %s, %s)", (store_id, type, message))


# --- what reconcile writes ----------------------------------------------------------------------------------------


@contextmanager
def store_lock(store_id: UUID) -> Iterator[Connection]:
    """The one right to work on a store, held by a connection: it ends with the process that holds it.

    All writes go over the same connection, so a holder that lost it cannot write. Raises Busy when taken.
    """
    with connection() as conn:
        row = conn.execute("select pg_try_advisory_lock(hashtextextended(%s, 2))", (str(store_id),)).fetchone()
        if row is None or not row[0]:
            raise Busy("Another call works on this store just now.")
        try:
            yield conn
        finally:
            if not conn.closed:
                conn.execute("select pg_advisory_unlock_all()")


@contextmanager
def sweep_lock() -> Iterator[Connection | None]:
    """None when another sweep is under way; it will see what this one would have seen."""
    with connection() as conn:
        row = conn.execute("select pg_try_advisory_lock(3)").fetchone()
        if row is None or not row[0]:
            yield None
            return
        try:
            yield conn
        finally:
            if not conn.closed:
                conn.execute("select pg_advisory_unlock_all()")


def load(
    conn: Connection, *, store_id: UUID | None = None, namespace: str | None = None
) -> tuple[Store, datetime] | None:
    """A store as it is now, dead or alive, and the database's clock."""
    store = _maybe(
        conn,
        sql.SQL("select {} from stores where id = %s or namespace = %s").format(COLUMNS),
        (store_id, namespace),
    )
    return None if store is None else (store, now(conn))


def asked_for_lately(conn: Connection, seconds: float) -> list[UUID]:
    rows = conn.execute(
        "select id from stores where status = 'provisioning' and deleted_at is null and owner is not null"
        " and desired = 'present' and requested_at > clock_timestamp() - make_interval(secs => %s)",
        (seconds,),
    )
    return [row[0] for row in rows]


def now(conn: Connection) -> datetime:
    row = conn.execute("select clock_timestamp()").fetchone()
    assert row is not None
    time: datetime = row[0]
    return time


def all_living(conn: Connection) -> list[Store]:
    with conn.cursor(row_factory=class_row(Store)) as cursor:
        return cursor.execute(
            sql.SQL("select {} from stores where deleted_at is null order by id").format(COLUMNS)
        ).fetchall()


def change(conn: Connection, store: Store, **columns: object) -> Store:
    """Writes these columns, provided nobody wrote the row since `store` was read. Raises Busy otherwise."""
    assignments = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in columns)
    changed = _maybe(
        conn,
        sql.SQL(
            "update stores set {}, updated_at = clock_timestamp(), version = version + 1"
            " where id = %s and version = %s returning {}"
        ).format(assignments, COLUMNS),
        (*columns.values(), store.id, store.version),
    )
    if changed is None:
        raise Busy("The store was changed meanwhile.")
    return changed


def mark_ready(conn: Connection, store: Store) -> Store:
    """The one place where time to ready is taken: click (or retry) to the first answer of the store's own address."""
    first = store.ready_at is None
    changed = change(
        conn, store, status=Phase.READY, failures=0, next_try_at=None, error_reason=None, error_message=None
    )
    if not first:
        return changed
    return _one(
        conn,
        sql.SQL(
            "update stores set ready_at = clock_timestamp(),"
            " time_to_ready = extract(epoch from clock_timestamp() - requested_at) where id = %s returning {}"
        ).format(COLUMNS),
        (store.id,),
    )


def mark_deleted(conn: Connection, store: Store) -> Store:
    """The row stays as a tombstone for audit and idempotency; its name is free again."""
    conn.execute("delete from store_credentials where store_id = %s", (store.id,))
    changed = change(conn, store, status=Phase.DELETED, next_try_at=None, error_reason=None, error_message=None)
    conn.execute("update stores set deleted_at = clock_timestamp() where id = %s", (store.id,))
    return changed


def note_problem(conn: Connection, store: Store, problem: Problem | None) -> Store:
    """What holds the store up just now; written (and told to its owner) only when it changes."""
    reason, message = (problem.reason, problem.message) if problem else (None, None)
    if (store.error_reason, store.error_message) == (reason, message):
        return store
    with conn.transaction():
        if problem and store.error_reason != problem.reason:
            event(conn, store_id=store.id, type="problem", message=problem.message)
        return change(conn, store, error_reason=reason, error_message=message)


def note_failure(conn: Connection, store: Store, problem: Problem) -> Store:
    """An action failed: try again after 1, 2, 4 ... 30 seconds."""
    with conn.transaction():
        if (store.error_reason, store.error_message) != (problem.reason, problem.message):
            event(conn, store_id=store.id, type="problem", message=problem.message)
        changed = change(
            conn, store, failures=store.failures + 1, error_reason=problem.reason, error_message=problem.message
        )
        return _one(
            conn,
            sql.SQL(
                "update stores set next_try_at = clock_timestamp() + make_interval(secs => %s)"
                " where id = %s returning {}"
            ).format(COLUMNS),
            (float(min(30, 2 ** min(store.failures, 5))), changed.id),
        )


def record_steps(conn: Connection, store: Store, steps: list[tuple[str, bool]]) -> None:
    """Starts the first step that is not done and ends those that are. Idempotent: a step starts and ends once."""
    started = [s for i, s in enumerate(steps) if all(done for _, done in steps[:i])]
    conn.execute(
        "insert into store_steps (store_id, attempt, step, position, started_at, ended_at)"
        " select %s, %s, s.step, s.position,"
        "  case when s.position %% 10 > 0 then clock_timestamp() when %s = 'absent' then %s::timestamptz else %s end,"
        "  case when s.done then clock_timestamp() end"
        " from unnest(%s::text[], %s::smallint[], %s::boolean[]) as s (step, position, done)"
        " on conflict (store_id, attempt, step) do update set ended_at = excluded.ended_at"
        " where store_steps.ended_at is null and excluded.ended_at is not null",
        (
            store.id, store.attempt, store.desired, store.retired_at, store.requested_at,
            [name for name, _ in started],
            [(10 if store.desired is Desired.ABSENT else 0) + i for i in range(len(started))],
            [done for _, done in started],
        ),
    )  # fmt: skip


def seal_credentials(conn: Connection, store: Store, sealed: bytes) -> Store:
    with conn.transaction():
        conn.execute(
            "insert into store_credentials (store_id, sealed) values (%s, %s)"
            " on conflict (store_id) do update set sealed = excluded.sealed, created_at = now()",
            (store.id, sealed),
        )
        return change(conn, store, sealed_identity=store.identity)


def quarantine(conn: Connection, namespaces: list[str], *, grace: float) -> list[str]:
    """Notes namespaces that no living store has; returns those noted longer than `grace` seconds ago."""
    rows = conn.execute(
        "with known as (delete from orphans where not namespace = any(%(names)s)),"
        " noted as (insert into orphans (namespace) select unnest(%(names)s::text[])"
        "  on conflict (namespace) do update set namespace = excluded.namespace returning namespace, seen_at)"
        " select namespace from noted where seen_at <= now() - make_interval(secs => %(grace)s)",
        {"names": namespaces, "grace": grace},
    )
    return [row[0] for row in rows]


def record_sweep(conn: Connection, found: Mapping[str, int], room: Mapping[Engine, int]) -> None:
    """What a complete sweep found, and how many more stores of each engine fit."""
    conn.execute(
        "update platform set swept_at = clock_timestamp(), sweep = %s, room = %s, room_at = clock_timestamp()",
        (Jsonb(dict(found)), Jsonb(dict(room))),
    )


def platform_id(conn: Connection) -> UUID:
    row = conn.execute("select id from platform").fetchone()
    assert row is not None
    identifier: UUID = row[0]
    return identifier


def name_platform(conn: Connection, identifier: UUID) -> None:
    """Gives this platform the id by which the cluster's admission policy knows its stores. Idempotent.

    Raises RuntimeError when stores carry another one.
    """
    named = conn.execute(
        "update platform set id = %(id)s where id = %(id)s or not exists (select from stores)", {"id": identifier}
    )
    if not named.rowcount:
        raise RuntimeError(f"The stores of this database belong to platform {platform_id(conn)}: deploy with that id.")


# --- what status reads --------------------------------------------------------------------------------------------


def page(conn: Connection, *, owner: str | None, status: str | None, before: UUID | None, limit: int) -> list[Store]:
    """Newest first; the last id of a page is the cursor of the next."""
    with conn.cursor(row_factory=class_row(Store)) as cursor:
        return cursor.execute(
            sql.SQL(
                "select {} from stores where deleted_at is null and owner is not null"
                " and (%s::text is null or owner = %s) and (%s::text is null or status = %s)"
                " and (%s::uuid is null or (created_at, id) < (select created_at, id from stores where id = %s))"
                " order by created_at desc, id desc limit %s"
            ).format(COLUMNS),
            (owner, owner, status, status, before, before, limit),
        ).fetchall()


def counts(conn: Connection, owner: str | None) -> dict[str, int]:
    rows = conn.execute(
        "select status, count(*) from stores where deleted_at is null and owner is not null"
        " and (%s::text is null or owner = %s) group by status",
        (owner, owner),
    )
    return {status: count for status, count in rows}


def steps_of(conn: Connection, store: Store) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select step as name, started_at, ended_at, detail,"
            " extract(epoch from ended_at - started_at)::float8 as seconds from store_steps"
            " where store_id = %s and attempt = %s order by position",
            (store.id, store.attempt),
        ).fetchall()


def events_of(conn: Connection, store: Store, *, limit: int) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select time, type, message from store_events where store_id = %s order by id desc limit %s",
            (store.id, limit),
        ).fetchall()


def audit_page(conn: Connection, *, user: str | None, before: int | None, limit: int) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select id, timestamp as time, user_id as user, action, store_id, store_name, outcome, reason,"
            " ip_address as ip from audit_logs where (%s::text is null or user_id = %s)"
            " and (%s::bigint is null or id < %s) order by id desc limit %s",
            (user, user, before, before, limit),
        ).fetchall()


def take_credentials(tx: Connection, store_id: UUID) -> bytes | None:
    """The sealed credentials, erased by being read."""
    row = tx.execute("delete from store_credentials where store_id = %s returning sealed", (store_id,)).fetchone()
    return None if row is None else bytes(row[0])


def sweep_age(conn: Connection) -> float | None:
    """Seconds since the last complete sweep."""
    row = conn.execute("select extract(epoch from clock_timestamp() - swept_at) from platform").fetchone()
    return None if row is None or row[0] is None else float(row[0])


def times_to_ready(conn: Connection, owner: str | None) -> dict[str, float | int | None]:
    """Of the last 30 days, in seconds."""
    row = conn.execute(
        "select count(*), percentile_cont(0.5) within group (order by time_to_ready),"
        " percentile_cont(0.95) within group (order by time_to_ready) from stores"
        " where ready_at > now() - interval '30 days' and (%s::text is null or owner = %s)",
        (owner, owner),
    ).fetchone()
    assert row is not None
    return {"n": row[0], "p50": row[1], "p95": row[2]}


def warm_stock(conn: Connection) -> dict[str, int]:
    rows = conn.execute("select type, count(*) from stores where status = 'warm' and desired = 'present' group by type")
    stock: dict[str, int] = {engine: 0 for engine in Engine}
    return stock | dict(rows.fetchall())


def metrics(conn: Connection, buckets: list[float]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows that /metrics is made of: everything is computed here, so scaling to zero loses nothing."""
    return {
        "stores": conn.execute(
            "select status, type, count(*) from stores where status <> 'deleted' group by status, type"
        ).fetchall(),
        "durations": conn.execute(
            "select type, count(*), sum(time_to_ready), array(select count(*) filter (where t <= le)"
            "  from unnest(%s::float8[]) as le, unnest(array_agg(time_to_ready)) as t group by le order by le)"
            " from stores where time_to_ready is not null group by type",
            (buckets,),
        ).fetchall(),
        "errors": conn.execute(
            "select reason, count(*) from audit_logs where action = 'create' and outcome = 'refused' group by reason"
            " union all select error_reason, count(*) from stores where status = 'failed' group by error_reason"
        ).fetchall(),
    }


# --- tokens -------------------------------------------------------------------------------------------------------


def token_digest(token: str) -> bytes:
    """SHA-256 suffices: tokens are 256 random bits, not passwords."""
    return hashlib.sha256(token.encode()).digest()


def token_holder(conn: Connection, token: str) -> tuple[str, str] | None:
    """Owner and role of a valid token."""
    row = conn.execute(
        "select owner, role from api_tokens where digest = %s and revoked_at is null"
        " and (expires_at is null or expires_at > now())",
        (token_digest(token),),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def add_token(conn: Connection, *, owner: str, role: str, token: str, days: int | None) -> UUID:
    row = conn.execute(
        "insert into api_tokens (owner, role, digest, expires_at)"
        " values (%s, %s, %s, now() + make_interval(days => %s)) returning id",
        (owner, role, token_digest(token), days),
    ).fetchone()
    assert row is not None
    identifier: UUID = row[0]
    return identifier


def keep_token(conn: Connection, *, owner: str, role: str, token: str) -> bool:
    """Makes a token known that was drawn elsewhere; False when it is known. Idempotent, and undoes no revocation."""
    return (
        conn.execute(
            "insert into api_tokens (owner, role, digest) values (%s, %s, %s) on conflict (digest) do nothing",
            (owner, role, token_digest(token)),
        ).rowcount
        == 1
    )


def revoke_token(conn: Connection, token_id: UUID) -> bool:
    return conn.execute("update api_tokens set revoked_at = now() where id = %s", (token_id,)).rowcount == 1


# --- migrations ---------------------------------------------------------------------------------------------------

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(owner_url: str, app_url: str, *, simulator: bool) -> list[str]:
    """Applies what is missing and gives the functions' role its rights; returns the names of what was applied.

    Idempotent, and safe when several start at once: an advisory lock makes them queue up. Raises RuntimeError when an
    applied file was changed since: write a new one instead.
    """
    applied = []
    with psycopg.connect(owner_url, connect_timeout=5) as conn:
        conn.execute("select pg_advisory_xact_lock(4)")
        conn.execute(
            "create table if not exists migrations (name text primary key, digest text not null,"
            " applied_at timestamptz not null default now())"
        )
        done: dict[str, str] = dict(conn.execute("select name, digest from migrations").fetchall())
        files = sorted(MIGRATIONS.glob("*.sql"))
        if simulator:
            files += sorted((MIGRATIONS / "simulator").glob("*.sql"))
        for file in files:
            text = file.read_text(encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            if file.name in done:
                if done[file.name] != digest:
                    raise RuntimeError(f"{file.name} was changed after it was applied. Put the change in a new file.")
                continue
            conn.execute(text.encode())
            conn.execute("insert into migrations (name, digest) values (%s, %s)", (file.name, digest))
            applied.append(file.name)
        _grant(conn, app_url, schemas=["public", "simulator"] if simulator else ["public"])
    return applied


def _grant(conn: Connection, app_url: str, *, schemas: list[str]) -> None:
    """The functions' role may read and write rows; it owns nothing, so it can neither drop nor alter a table."""
    app = conninfo_to_dict(app_url)
    role = sql.Identifier(str(app["user"]))
    exists = conn.execute("select from pg_roles where rolname = %s", (app["user"],)).fetchone() is not None
    login = sql.SQL("{} role {} login").format(sql.SQL("alter" if exists else "create"), role)
    if app.get("password"):
        login += sql.SQL(" password {}").format(sql.Literal(app["password"]))
    conn.execute(login)
    for schema in map(sql.Identifier, schemas):
        conn.execute(sql.SQL("grant usage on schema {} to {}").format(schema, role))
        conn.execute(
            sql.SQL("grant select, insert, update, delete on all tables in schema {} to {}").format(schema, role)
        )
        conn.execute(sql.SQL("grant usage on all sequences in schema {} to {}").format(schema, role))
    conn.execute(sql.SQL("revoke insert, update, delete on migrations from {}").format(role))
    # What was asked for and what happened is written once: nobody who speaks as the functions can rewrite it.
    written_once = "select tablename from pg_tables where tablename in ('audit_logs', 'store_events')"
    for (table,) in conn.execute(written_once).fetchall():
        conn.execute(sql.SQL("revoke update, delete on {} from {}").format(sql.Identifier(table), role))


def _one(conn: Connection, query: sql.Composed, parameters: tuple[object, ...]) -> Store:
    store = _maybe(conn, query, parameters)
    assert store is not None, "the row was locked or just written"
    return store


def _maybe(conn: Connection, query: sql.Composed, parameters: tuple[object, ...]) -> Store | None:
    with conn.cursor(row_factory=class_row(Store)) as cursor:
        return cursor.execute(query, parameters).fetchone()
