"""delete: writes that an owner wants a store gone. Needs PostgreSQL and the event sink; knows nothing of Kubernetes."""

import flask
import functions_framework

from stores import http, lifecycle
from stores.api import StoreView
from stores.events import StoreRetired

api = http.Api()


@api.route("DELETE", "/api/stores/<uuid:store_id>")
def delete(call: http.Call) -> flask.Response:
    store = lifecycle.retire(call.origin, call.store_id)
    response = http.answer(StoreView.of(store), 202)
    return http.emit_after(response, StoreRetired(store_id=store.id, version=store.version))


@functions_framework.http
def delete_store(request: flask.Request) -> flask.Response:
    return api.handle(request)
