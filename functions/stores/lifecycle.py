"""The life of a store: request, converge, retire; and the sweep that guarantees it.

    create  -> request()    writes the intent, answers 202
    delete  -> retire()     writes the opposite intent, answers 202
    reconcile -> converge() one store: lock, observe, decide, act once, record; again while there is something to do
              -> sweep()    all stores: deadlines, lost events, drift, stuck releases, orphans in both directions

Nothing here remembers where it was: every step follows from the row and from what the cluster shows, so a process may
be killed at any point and the next call goes on from there.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection

from stores import db, engines, stock
from stores.api import StoreRequest, StoreView
from stores.auth import Caller
from stores.errors import (
    Busy,
    ClusterError,
    Conflict,
    Gone,
    Invalid,
    NameTaken,
    NotFound,
    PlatformFull,
    QuotaExceeded,
    RateLimited,
    Unavailable,
    UrumiError,
)
from stores.logs import log, traceparent
from stores.model import (
    CLUSTER_ACTIONS,
    GONE,
    Action,
    Cluster,
    Decision,
    Desired,
    Phase,
    Problem,
    Store,
    decide,
    namespace_of,
    steps,
)
from stores.settings import settings

WAKING = 6.0  # seconds in which a function that leaves zero has written what its caller wants
SETTLED = frozenset({Action.NOTHING, Action.WAIT})
CLUSTER_AWAY = Problem("cluster-away", "The cluster did not answer until the deadline. Retry, or delete the store.")


@dataclass(frozen=True)
class Origin:
    """Whose request it is and where it came from, for the audit log."""

    caller: Caller
    ip: str | None


# --- what owners ask for ------------------------------------------------------------------------------------------


def request(origin: Origin, wanted: StoreRequest, *, key: str | None = None) -> tuple[UUID, int, dict[str, Any]]:
    """Writes the wish for a store, all or nothing: returns its id, version and the answer.

    Idempotent under `key`: the same key and body give the first answer again. Raises Invalid (key used for another
    body), NameTaken, QuotaExceeded, RateLimited, Unavailable.
    """
    owner, conf = origin.caller.owner, settings()
    digest = hashlib.sha256(json.dumps(wanted.model_dump(mode="json"), sort_keys=True).encode()).digest()
    with audited(origin, "create", store_name=wanted.name), db.transaction() as tx:
        db.lock_owner(tx, owner)
        if key is not None and (first := db.replay(tx, owner=owner, key=key)) is not None:
            if first[0] != digest:
                raise Invalid("This Idempotency-Key was used for another request.", fields={"Idempotency-Key": "used"})
            return UUID(first[1]["id"]), 0, first[1]
        if db.name_is_taken(tx, wanted.name):
            raise NameTaken(f"A store named “{wanted.name}” exists already. Choose another name.")
        if db.living_stores(tx, owner) >= conf.stores_per_owner:
            raise QuotaExceeded(
                f"You have {conf.stores_per_owner} stores, as many as allowed. Delete one first.", retry_after=60
            )
        if wait := db.seconds_until_next_creation(tx, owner=owner, interval=conf.creation_interval):
            raise RateLimited(
                f"One store can be created every {conf.creation_interval:.0f} seconds. Try again in {wait:.0f} s.",
                retry_after=wait,
            )
        store = _claim_or_insert(tx, owner, wanted)
        response = StoreView.of(store).model_dump(mode="json")
        if key is not None:
            db.remember(tx, owner=owner, key=key, digest=digest, store_id=store.id, response=response)
        db.event(tx, store_id=store.id, type="requested", message=f"{owner} asked for a {store.type} store.")
        db.audit(
            tx, user=owner, action="create", outcome="accepted", store_id=store.id, store_name=store.name, ip=origin.ip
        )
    return store.id, store.version, response


def _claim_or_insert(tx: Connection, owner: str, wanted: StoreRequest) -> Store:
    """A warm store if there is one, else a new row, provided the cluster has room for it."""
    conf = settings()
    row: dict[str, Any] = {
        "owner": owner,
        "name": wanted.name,
        "engine": wanted.type,
        "host": engines.host_of(conf, wanted.name),
        "release": engines.wanted_release(conf, wanted.type),
        "deadline": conf.deadline,
        "traceparent": traceparent.get(),
    }
    claimed = db.claim_warm(tx, **row)
    if claimed is not None:
        return claimed
    room = db.room_for(tx, wanted.type)
    if room is not None and room <= 0:
        raise PlatformFull("The platform has no room for another store just now. Try again later.", retry_after=60)
    return db.insert_store(tx, **row)


def retire(origin: Origin, store_id: UUID) -> Store:
    """Writes the wish that a store be gone. Idempotent until it is. Raises NotFound, Unavailable."""
    with audited(origin, "delete", store_id=store_id), db.transaction() as tx:
        store = owned(tx, origin.caller, store_id, lock=True)
        if store.desired is not Desired.ABSENT:
            store = db.retire(tx, store.id, traceparent=traceparent.get())
            db.event(tx, store_id=store.id, type="retired", message=f"{origin.caller.owner} deleted the store.")
        _accepted(tx, origin, "delete", store)
    return store


def retry(origin: Origin, store_id: UUID) -> Store:
    """A new attempt at a failed store, with a new deadline. Raises NotFound, Conflict, Unavailable."""
    conf = settings()
    with audited(origin, "retry", store_id=store_id), db.transaction() as tx:
        store = owned(tx, origin.caller, store_id, lock=True)
        if store.status is not Phase.FAILED:
            raise Conflict(f"Only a failed store can be retried; this one is {store.status}.")
        store = db.try_again(
            tx,
            store.id,
            release=engines.wanted_release(conf, store.type),
            deadline=conf.deadline,
            traceparent=traceparent.get(),
        )
        db.event(tx, store_id=store.id, type="retried", message=f"{origin.caller.owner} asked for another attempt.")
        _accepted(tx, origin, "retry", store)
    return store


def rotate(origin: Origin, store_id: UUID) -> Store:
    """Asks for a new administrator's password. Raises NotFound, Conflict, Unavailable."""
    with audited(origin, "rotate-credentials", store_id=store_id), db.transaction() as tx:
        store = owned(tx, origin.caller, store_id, lock=True)
        if store.status is not Phase.READY:
            raise Conflict(f"A new password can be drawn while the store is ready; it is {store.status}.")
        store = db.want_identity(tx, store.id)
        db.event(tx, store_id=store.id, type="rotated", message=f"{origin.caller.owner} asked for a new password.")
        _accepted(tx, origin, "rotate-credentials", store)
    return store


def sleep(origin: Origin, store_id: UUID) -> Store:
    """Wants a store scaled to zero, its data kept. Idempotent. Raises NotFound, Conflict (not ready), Unavailable."""
    return _want(origin, store_id, Desired.ASLEEP, allowed=(Phase.READY, Phase.DEGRADED, Phase.ASLEEP))


def wake(origin: Origin, store_id: UUID) -> Store:
    """Wants a sleeping store back. Idempotent. Raises NotFound, Conflict, Unavailable."""
    return _want(origin, store_id, Desired.PRESENT, allowed=(Phase.READY, Phase.DEGRADED, Phase.ASLEEP))


def _want(origin: Origin, store_id: UUID, desired: Desired, *, allowed: tuple[Phase, ...]) -> Store:
    action = "sleep" if desired is Desired.ASLEEP else "wake"
    with audited(origin, action, store_id=store_id), db.transaction() as tx:
        store = owned(tx, origin.caller, store_id, lock=True)
        if store.status not in allowed:
            raise Conflict(f"A store can {action} once it is ready; this one is {store.status}.")
        if store.desired is not desired:
            store = db.want_desired(tx, store.id, desired)
            db.event(tx, store_id=store.id, type=action, message=f"{origin.caller.owner} asked the store to {action}.")
        _accepted(tx, origin, action, store)
    return store


WISHES = {"retry": retry, "credentials": rotate, "sleep": sleep, "wake": wake}


def reveal(origin: Origin, store_id: UUID) -> dict[str, str]:
    """The administrator's user and password, once. Raises NotFound, Conflict (not ready), Gone (shown), Unavailable."""
    with audited(origin, "read-credentials", store_id=store_id), db.transaction() as tx:
        store = owned(tx, origin.caller, store_id, lock=True)
        if store.sealed_identity != store.identity or store.ready_at is None:
            raise Conflict("The password is not there yet. Try again when the store is ready, in a few seconds.")
        sealed = db.take_credentials(tx, store.id)
        if sealed is None:
            raise Gone("The password was shown once already. Ask for a new one.")
        _accepted(tx, origin, "read-credentials", store)
    opened: dict[str, str] = json.loads(_fernet().decrypt(sealed))
    admin = engines.store_url(settings(), store.host or "") + engines.RECIPES[store.type].admin_path
    return {"admin_url": admin, **opened}


def upgrade(*, name: str | None = None) -> list[str]:
    """Wants every living store (or the one named so) on today's chart and settings; returns the names that differ.

    Writes the wish only; the sweep upgrades, a few stores at a time.
    """
    with db.transaction() as tx:
        wanted = {engine: engines.wanted_release(settings(), engine) for engine in engines.RECIPES}
        return db.want_release(tx, wanted, name=name)


def owned(tx: Connection, caller: Caller, store_id: UUID, *, lock: bool = False) -> Store:
    """A living store of the caller's. Raises NotFound also for another owner's: its existence is none of theirs."""
    if lock:
        db.lock_row(tx, store_id)
    store = db.find(tx, store_id=store_id, owner=caller.sees)
    if store is None:
        raise NotFound("You have no store with this id.")
    return store


def _accepted(tx: Connection, origin: Origin, action: str, store: Store) -> None:
    db.audit(
        tx,
        user=origin.caller.owner,
        action=action,
        outcome="accepted",
        store_id=store.id,
        store_name=store.name,
        ip=origin.ip,
    )


@contextmanager
def audited(
    origin: Origin, action: str, *, store_id: UUID | None = None, store_name: str | None = None
) -> Iterator[None]:
    """Notes a refused attempt, in a transaction of its own since the refused one is rolled back."""
    try:
        yield
    except UrumiError as error:
        if not isinstance(error, Unavailable):
            with db.connection() as conn:
                db.audit(
                    conn,
                    user=origin.caller.owner,
                    action=action,
                    outcome="refused",
                    store_id=store_id,
                    store_name=store_name,
                    reason=error.reason,
                    ip=origin.ip,
                )
        raise


# --- what reconcile does ------------------------------------------------------------------------------------------


def converge(*, store_id: UUID | None = None, namespace: str | None = None) -> Action:
    """Brings one store as far as it can be brought without waiting; returns what it ended with.

    Idempotent. Starts no action after the budget (seconds) is used up. An unknown store is Action.NOTHING. Raises
    Busy when another call has the store, Unavailable when PostgreSQL is away.
    """
    until = time.monotonic() + settings().budget
    with db.connection() as conn:
        found = db.load(conn, store_id=store_id, namespace=namespace)
    if found is None:
        return Action.NOTHING
    with db.store_lock(found[0].id) as conn:
        while True:
            action = converge_once(conn, found[0].id)
            if action in SETTLED or action is Action.MARK_DELETED or time.monotonic() > until:
                break
    return action


def fresh_wishes() -> Iterator[UUID]:
    """The stores asked for from WAKING seconds ago until in WAKING seconds, each once, as soon as its row is there."""
    until = time.monotonic() + WAKING
    met: set[UUID] = set()
    while time.monotonic() < until:
        with db.connection() as conn:
            fresh = [each for each in db.asked_for_lately(conn, WAKING) if each not in met]
        met.update(fresh)
        yield from fresh
        time.sleep(0.1)


def converge_once(conn: Connection, store_id: UUID) -> Action:
    """One turn: observe, decide, one bounded action, record. The caller holds the store's lock."""
    found = db.load(conn, store_id=store_id)
    if found is None:
        return Action.NOTHING
    store, now = found
    if store.status is Phase.DELETED:
        return Action.NOTHING
    try:
        seen = cluster().observe(store)
    except ClusterError as error:
        log.warning("cluster not observed", extra={"fields": {"store": store.id, "error": error.detail}})
        return _give_up_if_overdue(conn, store)
    decision = decide(store, seen, now)
    db.record_steps(conn, store, list(steps(store, seen)))
    if decision.action in CLUSTER_ACTIONS:
        return _act(conn, store, decision.action)
    if decision.action is Action.REPLACE:
        db.replace_claimed(conn, store, namespace=namespace_of(uuid4()))
    _record(conn, store, decision)
    if decision.action not in SETTLED:
        log.info("store changed", extra={"fields": {"store": store.id, "action": decision.action}})
    return decision.action


def _act(conn: Connection, store: Store, action: Action) -> Action:
    started = time.monotonic()
    try:
        _perform(conn, store, action)
    except ClusterError as error:
        log.warning("action failed", extra={"fields": {"store": store.id, "action": action, "error": error.detail}})
        db.note_failure(conn, store, Problem(error.cause, error.detail))
        return Action.WAIT
    seconds = round(time.monotonic() - started, 3)
    log.info("action done", extra={"fields": {"store": store.id, "action": action, "seconds": seconds}})
    if store.failures and action is not Action.SEAL:
        db.change(conn, store, failures=0, next_try_at=None, error_reason=None, error_message=None)
    return action


def _perform(conn: Connection, store: Store, action: Action) -> None:
    on = cluster()
    match action:
        case Action.PREPARE:
            on.prepare(store)
        case Action.INSTALL:
            on.install(store)
        case Action.HEAL:
            on.heal(store)
        case Action.ROUTE:
            on.route(store)
        case Action.PERSONALISE:
            on.personalise(store)
        case Action.SEAL:
            sealed = _fernet().encrypt(json.dumps(on.credentials(store)).encode())
            db.seal_credentials(conn, store, sealed)
        case Action.SLEEP | Action.WAKE:
            on.scale(store, awake=action is Action.WAKE)
        case Action.UNINSTALL:
            on.uninstall(store)
        case Action.DELETE_NAMESPACE:
            on.delete_namespace(store.namespace)


def _record(conn: Connection, store: Store, decision: Decision) -> None:
    """Writes what was achieved. Each write holds only if nobody changed the row since it was read."""
    with conn.transaction():
        match decision.action:
            case Action.MARK_READY:
                ready = db.mark_ready(conn, store)
                message = "The store takes orders."
                if store.ready_at is None:
                    message = f"The store takes orders, {ready.time_to_ready:.1f} s after it was asked for."
                db.event(conn, store_id=store.id, type="ready", message=message)
            case Action.MARK_WARM:
                db.change(conn, store, status=Phase.WARM, error_reason=None, error_message=None)
            case Action.MARK_ASLEEP:
                db.change(conn, store, status=Phase.ASLEEP, error_reason=None, error_message=None)
                db.event(conn, store_id=store.id, type="asleep", message="The store sleeps; its data is kept.")
            case Action.MARK_DEGRADED | Action.MARK_FAILED:
                status = Phase.FAILED if decision.action is Action.MARK_FAILED else Phase.DEGRADED
                problem = decision.problem
                assert problem is not None
                db.change(conn, store, status=status, error_reason=problem.reason, error_message=problem.message)
                db.event(conn, store_id=store.id, type=status, message=problem.message)
            case Action.MARK_DELETED:
                db.mark_deleted(conn, store)
                db.event(conn, store_id=store.id, type="deleted", message="Nothing of the store is left.")
            case Action.WAIT:
                db.note_problem(conn, store, decision.problem)


def _give_up_if_overdue(conn: Connection, store: Store) -> Action:
    """Without a view of the cluster there is only the clock to decide on."""
    overdue = store.deadline_at is not None and db.now(conn) >= store.deadline_at
    if store.status is Phase.PROVISIONING and overdue:
        _record(conn, store, Decision(Action.MARK_FAILED, CLUSTER_AWAY))
        return Action.MARK_FAILED
    return Action.WAIT


def sweep() -> dict[str, int]:
    """Looks after every store; returns how many needed what. Idempotent; only one runs at a time.

    The cost does not grow with healthy stores: one query, one paged LIST per kind, and then only what needs work.
    """
    until = time.monotonic() + settings().budget
    with db.sweep_lock() as conn:
        if conn is None:
            return {"skipped": 1}
        stores = db.all_living(conn)
        now = db.now(conn)
        namespaces = cluster().observe_all()
        needy = [s for s in stores if needs_work(s, decide(s, namespaces.get(s.namespace, GONE), now))]
        with ThreadPoolExecutor(settings().parallel) as workers:
            found = Counter(workers.map(lambda store: _converge_quietly(store, until), needy))
        known = {store.namespace for store in stores}
        # A namespace made after the stores were read is not an orphan; quarantine outlasts any such race.
        strays = [name for name in namespaces if name not in known]
        for name in db.quarantine(conn, strays, grace=settings().orphan_grace):
            log.warning("orphaned namespace removed", extra={"fields": {"namespace": name}})
            cluster().delete_namespace(name)
            found["orphan-removed"] += 1
        if settings().warm or any(store.owner is None for store in stores):
            found["stock_short"] = replenish(until)
        summary = {"stores": len(stores), "strays": len(strays), **found}
        db.record_sweep(conn, summary, cluster().room())
        return summary


def replenish(until: float | None = None) -> int:
    """Brings the stock of warm stores to its size; returns how many it is short of. Idempotent.

    `until` is when no store is begun any more, by the monotonic clock; by default when the budget is used up.
    """
    conf = settings()
    until = until or time.monotonic() + conf.budget
    with db.stock_lock() as tx:
        if tx is None:
            return 0
        releases = {engine: engines.wanted_release(conf, engine) for engine in engines.RECIPES}
        wanted = stock.plan(
            db.stock(tx), releases=releases, sizes=conf.warm, cap=conf.warm_cap, demand=db.demand(tx),
            calm=db.calm(tx, stock.CALM),
        )  # fmt: skip
        db.retire_warm(tx, wanted.retire)
        added = [
            db.add_warm(tx, engine=engine, release=releases[engine], deadline=conf.deadline)
            for engine in (() if db.handing_over(tx) else wanted.add)
            if (db.room_for(tx, engine) or 0) > 0
        ]
    for store in added:
        _converge_quietly(store, until)
    return wanted.short


def needs_work(store: Store, decision: Decision) -> bool:
    """Unsettled stores always do: their address is tried and their problem named only by a look at each alone."""
    return store.status in (Phase.PROVISIONING, Phase.DELETING, Phase.DEGRADED) or decision.action is not Action.NOTHING


def _converge_quietly(store: Store, until: float) -> str:
    if time.monotonic() > until:
        return "postponed"
    try:
        return converge(store_id=store.id)
    except Busy:
        return "busy"
    except Exception:
        log.exception("sweep could not converge a store", extra={"fields": {"store": store.id}})
        return "error"


@cache
def cluster() -> Cluster:
    """The cluster of this process. The real one is imported only where it is used: it is slow to import."""
    if settings().cluster == "kubernetes":
        from stores.cluster import KubernetesCluster

        with db.connection() as conn:
            return KubernetesCluster(platform=db.platform_id(conn))
    from stores.simulator import SimulatedCluster

    return SimulatedCluster()


@cache
def _fernet() -> Any:
    from cryptography.fernet import Fernet

    key = settings().credentials_key
    if key is None:
        raise RuntimeError("URUMI_CREDENTIALS_KEY is not set; `python -m stores.cli key` draws one.")
    return Fernet(key.get_secret_value())
