"""A cluster in PostgreSQL tables: the same interface as the real one, realistic delays, faults on demand.

For `make run` without Kubernetes and for tests; every screen says so. Its memory is the schema `simulator`, so it
survives a restart of any process, as a real cluster does.
"""

import html
from collections.abc import Iterable, Mapping
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from psycopg.rows import dict_row

from stores import db, engines
from stores.errors import ClusterError
from stores.model import GONE, Engine, Namespace, Observation, Problem, Release, Store
from stores.settings import settings

DATABASE_SECONDS = 1.0
NAMESPACE_REMOVAL_SECONDS = 2.0

FAULTS = {
    "image-pull": Problem("image-pull", "The engine's image cannot be pulled: simulated registry says not found."),
    "volume-pending": Problem("volume-pending", "No volume could be bound: simulated storage class has no space."),
    "crash": Problem("crash-loop", "A part of the store keeps crashing (simulated)."),
    "unreachable": Problem("unreachable", "The store runs, but its address does not answer (simulated)."),
}

_OBSERVE = b"""
select n.*, f.kind as fault,
       extract(epoch from clock_timestamp() - installed_at)::float8 as age,
       extract(epoch from clock_timestamp() - deleting_at)::float8 as deleting_for
from simulator.namespaces n
left join stores s on s.id = n.store_id
left join simulator.faults f on f.store_name = s.name
where """


class SimulatedCluster:
    """See model.Cluster for what each method promises."""

    def observe(self, store: Store) -> Observation:
        with db.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(_OBSERVE + b"n.name = %s", (store.namespace,)).fetchone()
        return self._seen(row) if row else Observation()

    def observe_all(self) -> Mapping[str, Observation]:
        with db.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_OBSERVE + b"n.platform = (select id from platform)").fetchall()
        return {row["name"]: seen for row in rows if (seen := self._seen(row)) != GONE}

    def _seen(self, row: dict[str, Any]) -> Observation:
        speed = settings().simulated_speed
        if row["deleting_for"] is not None:
            if row["deleting_for"] * speed >= NAMESPACE_REMOVAL_SECONDS:
                return GONE
            return Observation(namespace=Namespace.TERMINATING, volumes=1)
        age = (row["age"] or 0.0) * speed
        installed, fault = row["release"] is not None, row["fault"]
        up = installed and age >= engines.RECIPES[Engine(row["type"])].simulated_seconds
        broken = fault in ("image-pull", "volume-pending", "crash")
        return Observation(
            namespace=Namespace.ACTIVE,
            prepared=row["prepared"],
            release=Release.DEPLOYED if installed else Release.ABSENT,
            release_version=row["release"],
            database=installed and age >= DATABASE_SECONDS and fault != "volume-pending",
            workloads=up and not broken and not row["asleep"],
            asleep=row["asleep"],
            host=row["host"],
            identity=row["identity"],
            reachable=up and fault is None,
            volumes=1 if installed else 0,
            problem=FAULTS.get(fault),
        )

    def prepare(self, store: Store) -> None:
        self._write(
            "prepare",
            store.namespace,
            "insert into simulator.namespaces (name, store_id, type, platform, prepared, identity, password)"
            " values (%s, %s, %s, (select id from platform), true, %s, %s)"
            " on conflict (name) do update set store_id = excluded.store_id, type = excluded.type, prepared = true,"
            "  identity = excluded.identity, password = excluded.password, release = null, installed_at = null,"
            "  host = null, deleting_at = null"
            "  where namespaces.deleting_at < clock_timestamp() - make_interval(secs => %s)",
            (
                store.namespace,
                store.id,
                store.type,
                store.identity if store.owner else 0,
                engines.draw_password(),
                NAMESPACE_REMOVAL_SECONDS / settings().simulated_speed,
            ),
        )

    def install(self, store: Store) -> None:
        with db.connection() as conn:
            fault = conn.execute("select kind from simulator.faults where store_name = %s", (store.name,)).fetchone()
        if fault and fault[0] == "install-error":
            raise ClusterError("Helm could not install the chart: simulated error.", cause="install-error")
        self._write(
            "install",
            store.namespace,
            "update simulator.namespaces set release = %s, installed_at = coalesce(installed_at, clock_timestamp()),"
            " host = %s, shop_name = %s where name = %s",
            (store.release, store.host, store.name, store.namespace),
        )

    def heal(self, store: Store) -> None:
        raise ClusterError(f"{store.namespace}: the simulated cluster knows no stuck releases.")

    def route(self, store: Store) -> None:
        self._write(
            "route", store.namespace, "update simulator.namespaces set host = %s where name = %s",
            (store.host, store.namespace),
        )  # fmt: skip

    def personalise(self, store: Store) -> None:
        self._write(
            "personalise",
            store.namespace,
            "update simulator.namespaces set identity = %s, shop_name = %s, password = %s where name = %s",
            (store.identity, store.name, engines.draw_password(), store.namespace),
        )

    def credentials(self, store: Store) -> dict[str, str]:
        with db.connection() as conn:
            row = conn.execute(
                "select password from simulator.namespaces where name = %s", (store.namespace,)
            ).fetchone()
        if row is None:
            raise ClusterError("The store's secret is gone.")
        user = engines.admin_email(store) if engines.RECIPES[store.type].login == "admin-email" else "admin"
        return {"user": user, "password": row[0]}

    def scale(self, store: Store, *, awake: bool) -> None:
        self._write(
            "wake" if awake else "sleep",
            store.namespace,
            "update simulator.namespaces set asleep = %s, installed_at = clock_timestamp() where name = %s",
            (not awake, store.namespace),
        )

    def uninstall(self, store: Store) -> None:
        self._write(
            "uninstall",
            store.namespace,
            "update simulator.namespaces set release = null, installed_at = null, host = null where name = %s",
            (store.namespace,),
        )

    def room(self) -> Mapping[Engine, int]:
        return dict.fromkeys(Engine, 100_000)

    def delete_namespace(self, namespace: str) -> None:
        self._write(
            "delete-namespace",
            namespace,
            "update simulator.namespaces set deleting_at = clock_timestamp(), host = null"
            " where name = %s and deleting_at is null",
            (namespace,),
        )

    def _write(self, action: str, namespace: str, query: str, parameters: tuple[object, ...]) -> None:
        with db.transaction() as tx:
            if tx.execute(query.encode(), parameters).rowcount:
                tx.execute("insert into simulator.actions (action, namespace) values (%s, %s)", (action, namespace))


PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root {{ color-scheme: light dark; font: 16px/1.6 system-ui, sans-serif }}
body {{ margin: 0; display: grid; min-height: 100vh; place-items: center }}
main {{ max-width: 34rem; padding: 2rem }} h1 {{ font-size: 2.2rem; margin: 0 0 .5rem }}
.label {{ border: 2px solid #b4540a; color: #b4540a; border-radius: .4rem; padding: .2rem .6rem; font-weight: 600 }}
</style></head><body><main>
<p><span class="label">Simulated store</span></p><h1>{title}</h1>
<p>{text}</p></main></body></html>"""


def shop_front(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What stands in for the ingress: the page behind a simulated store's address, found by its Host."""
    host = environ.get("HTTP_HOST", "").partition(":")[0].lower()
    with db.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_OBSERVE + b"n.host = %s and n.deleting_at is null", (host,)).fetchone()
    seen = SimulatedCluster()._seen(row) if row else Observation()
    if row is None or not seen.reachable:
        status, title, text = "404 Not Found", "No store here", "No simulated store answers at this address."
    else:
        recipe = engines.RECIPES[Engine(row["type"])]
        status, title = "200 OK", row["shop_name"]
        text = (
            f"A {recipe.title} shop would answer here. This page comes from Urumi's simulated cluster, because no "
            "Kubernetes was reachable when Urumi was started: nothing can be ordered."
        )
    body = PAGE.format(title=html.escape(title), text=html.escape(text)).encode()
    start_response(status, [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
