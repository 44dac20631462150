"""status: answers what there is. Reads PostgreSQL and nothing else."""

import flask
import functions_framework

from stores import http, openapi, views

api = http.Api()
api.route("GET", "/api/stores")(views.stores)
api.route("GET", "/api/stores/<uuid:store_id>")(views.store)
api.route("GET", "/api/stores/<uuid:store_id>/events")(views.events)
api.route("GET", "/api/stores/<uuid:store_id>/credentials")(views.credentials)
api.route("GET", "/api/audit")(views.audit)
api.route("GET", "/api/platform")(views.platform)
api.route("GET", "/api/health", public=True)(views.health)
api.route("GET", "/api/openapi.json", public=True)(openapi.serve)
api.route("GET", "/metrics", public=True)(views.metrics)


@functions_framework.http
def store_status(request: flask.Request) -> flask.Response:
    return api.handle(request)
