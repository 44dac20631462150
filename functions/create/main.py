"""create: writes what owners want to have. Needs PostgreSQL and the event sink; knows nothing of Kubernetes."""

import flask
import functions_framework

from stores import http, lifecycle
from stores.api import StoreRequest, StoreView
from stores.events import StoreRequested

api = http.Api()


@api.route("POST", "/api/stores")
def create(call: http.Call) -> flask.Response:
    with lifecycle.audited(call.origin, "create"):
        wanted, _ = call.body(StoreRequest)
        key = http.idempotency_key(call.request)
    store_id, version, document = lifecycle.request(call.origin, wanted, key=key)
    response = http.answer(document, 202)
    response.headers["Location"] = f"/api/stores/{store_id}"
    return http.emit_after(response, StoreRequested(store_id=store_id, version=version))


@api.route("POST", "/api/stores/<uuid:store_id>/<any(retry, credentials, sleep, wake):wish>")
def change(call: http.Call) -> flask.Response:
    store = lifecycle.WISHES[call.arguments["wish"]](call.origin, call.store_id)
    event = StoreRequested(store_id=store.id, version=store.version)
    return http.emit_after(http.answer(StoreView.of(store), 202), event)


@functions_framework.http
def create_store(request: flask.Request) -> flask.Response:
    return api.handle(request)
