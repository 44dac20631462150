"""What status answers: each view reads the database and shows what the caller may see."""

from typing import Annotated
from uuid import UUID

import flask
from pydantic import BaseModel, ConfigDict, Field

from stores import api, db, engines, http, lifecycle
from stores.model import Phase
from stores.settings import settings


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
    from stores import metrics  # Prometheus' library takes its time to load, and no merchant's request needs it

    return flask.Response(metrics.text(), content_type=metrics.CONTENT_TYPE)
