"""What status answers: each view reads the database and shows what the caller may see."""

from collections.abc import Iterator
from typing import Annotated
from uuid import UUID

import flask
from prometheus_client import CollectorRegistry, exposition
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from pydantic import BaseModel, ConfigDict, Field

from stores import api, db, dead_letters, engines, http, lifecycle
from stores.model import Engine, Phase
from stores.settings import settings

BUCKETS = [1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 600.0]


class Paging(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200)] = 50


class StoreQuery(Paging):
    """The list's parameters."""

    status: Phase | None = None
    cursor: UUID | None = None


class AuditQuery(Paging):
    cursor: Annotated[int | None, Field(ge=1, lt=2**63)] = None


def stores(call: http.Call) -> flask.Response:
    query = http.parse(StoreQuery, call.request.args.to_dict())
    owner = call.caller.sees
    with db.connection() as conn:
        page = db.page(conn, owner=owner, status=query.status, before=query.cursor, limit=query.limit + 1)
        counts = db.counts(conn, owner)
    items = [api.StoreView.of(store) for store in page[: query.limit]]
    cursor = str(items[-1].id) if len(page) > query.limit else None
    return http.answer(api.StoreList(items=items, next_cursor=cursor, counts=counts))


def store(call: http.Call) -> flask.Response:
    with db.connection() as conn:
        found = lifecycle.owned(conn, call.caller, call.store_id)
        steps = db.steps_of(conn, found)
    return http.answer(api.StoreDetail.model_validate(api.StoreView.of(found).model_dump() | {"steps": steps}))


def events(call: http.Call) -> flask.Response:
    query = http.parse(Paging, call.request.args.to_dict())
    with db.connection() as conn:
        found = lifecycle.owned(conn, call.caller, call.store_id)
        rows = db.events_of(conn, found, limit=query.limit)
    return http.answer(api.StoreEvents.model_validate({"items": rows}))


def credentials(call: http.Call) -> flask.Response:
    return http.answer(api.Credentials.model_validate(lifecycle.reveal(call.origin, call.store_id)))


def audit(call: http.Call) -> flask.Response:
    query = http.parse(AuditQuery, call.request.args.to_dict())
    with db.connection() as conn:
        rows = db.audit_page(conn, user=call.caller.sees, before=query.cursor, limit=query.limit + 1)
    cursor = str(rows[query.limit - 1]["id"]) if len(rows) > query.limit else None
    return http.answer(api.Audit.model_validate({"items": rows[: query.limit], "next_cursor": cursor}))


def platform(call: http.Call) -> flask.Response:
    conf = settings()
    with db.connection() as conn:
        used = db.living_stores(conn, call.caller.owner)
        ready, age, warm = db.times_to_ready(conn, call.caller.sees), db.sweep_age(conn), db.warm_stock(conn)
    return http.answer(
        api.Platform(
            cluster=conf.cluster,
            url_template=engines.store_url(conf, engines.host_of(conf, "{name}")),
            engines=[
                api.EngineView(type=engine, title=recipe.title, description=recipe.description)
                for engine, recipe in engines.RECIPES.items()
            ],
            me=api.Me(owner=call.caller.owner, role=call.caller.role),
            quota=api.Quota(limit=conf.stores_per_owner, used=used),
            time_to_ready=api.TimeToReady.model_validate(ready),
            sweep_age_seconds=age,
            warm=warm,
        )
    )


def health(_: http.Call) -> flask.Response:
    with db.connection() as conn:
        conn.execute("select 1")
    return http.answer(api.Health(status="ok", database="ok", cluster=settings().cluster))


def metrics(_: http.Call) -> flask.Response:
    class FromDatabase:
        def collect(self) -> Iterator[Metric]:
            yield from _families()

    registry = CollectorRegistry()
    registry.register(FromDatabase())
    return flask.Response(exposition.generate_latest(registry), content_type=exposition.CONTENT_TYPE_PLAIN_0_0_4)


def _families() -> list[Metric]:
    with db.connection() as conn:
        rows = db.metrics(conn, BUCKETS)
        age = db.sweep_age(conn)
    stores_total = GaugeMetricFamily("stores_total", "Stores, by status and engine.", labels=["status", "type"])
    known = {(status, engine): count for status, engine, count in rows["stores"]}
    for status in Phase:
        for engine in Engine:
            if status is not Phase.DELETED:
                stores_total.add_metric([status, engine], known.get((status, engine), 0))
    duration = HistogramMetricFamily(
        "provisioning_duration_seconds", "Request to the first answer of the store's own address.", labels=["type"]
    )
    for engine, count, total, counts in rows["durations"]:
        buckets = [(str(le), float(n)) for le, n in zip(BUCKETS, counts, strict=False)] + [("+Inf", float(count))]
        duration.add_metric([engine], buckets, sum_value=total)
    errors = CounterMetricFamily("store_creation_errors_total", "Refused or failed creations.", labels=["reason"])
    for reason, count in rows["errors"]:
        errors.add_metric([reason or "unknown"], count)
    sweep = GaugeMetricFamily("urumi_sweep_age_seconds", "Since the last complete sweep.")
    if age is not None:
        sweep.add_metric([], age)
    letters = GaugeMetricFamily("urumi_dead_letters", "Events that were neither delivered nor sent again.")
    letters.add_metric([], dead_letters.count())
    return [stores_total, duration, errors, sweep, letters]
