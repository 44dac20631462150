"""The API's OpenAPI 3.1 description, made from the pydantic models and the table below."""

from functools import cache
from typing import Any

import flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from stores import api, http

Model = type[BaseModel]
REF = "#/components/schemas/{model}"

STORE_ID = {
    "name": "store_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"},
}  # fmt: skip
KEY = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "The same key and body give the same store, however often it is sent.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
}  # fmt: skip
LIMIT = {
    "name": "limit", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 1, "maximum": 200},
}  # fmt: skip
STATUSES = ["provisioning", "ready", "failed", "warm", "degraded", "asleep", "deleting", "deleted"]
STATUS = {"name": "status", "in": "query", "required": False, "schema": {"type": "string", "enum": STATUSES}}
STORE_CURSOR = {
    "name": "cursor", "in": "query", "required": False, "schema": {"type": "string", "format": "uuid"},
}  # fmt: skip
AUDIT_CURSOR = {
    "name": "cursor", "in": "query", "required": False,
    "schema": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
}  # fmt: skip

WRITES: list[tuple[str, str, str, Model, list[dict[str, Any]], list[int]]] = [
    ("post", "/api/stores", "Ask for a store", api.StoreView, [KEY], [400, 409, 413, 415, 422, 429]),
    ("delete", "/api/stores/{store_id}", "Ask for a store's removal", api.StoreView, [STORE_ID], [404]),
    ("post", "/api/stores/{store_id}/retry", "Try a failed store again", api.StoreView, [STORE_ID], [404, 409]),
    ("post", "/api/stores/{store_id}/credentials", "Draw a new password", api.StoreView, [STORE_ID], [404, 409]),
    ("post", "/api/stores/{store_id}/sleep", "Scale to zero, keep the data", api.StoreView, [STORE_ID], [404, 409]),
    ("post", "/api/stores/{store_id}/wake", "Bring a sleeping store back", api.StoreView, [STORE_ID], [404, 409]),
]
READS: list[tuple[str, str, Model, list[dict[str, Any]], list[int]]] = [
    ("/api/stores", "Your stores, newest first", api.StoreList, [STATUS, STORE_CURSOR, LIMIT], [422]),
    ("/api/stores/{store_id}", "One store with its steps", api.StoreDetail, [STORE_ID], [404]),
    ("/api/stores/{store_id}/events", "What happened to it", api.StoreEvents, [STORE_ID, LIMIT], [404, 422]),
    ("/api/stores/{store_id}/credentials", "The password, once", api.Credentials, [STORE_ID], [404, 409, 410]),
    ("/api/audit", "Who asked for what", api.Audit, [AUDIT_CURSOR, LIMIT], [422]),
    ("/api/platform", "What the platform offers", api.Platform, [], []),
]
SUMMARIES = {
    400: "The body is not JSON", 401: "No token, or not a valid one", 404: "No such store of yours",
    409: "The name is taken, or the store's state does not allow it", 410: "Already shown",
    413: "The body is too large",    415: "The body is not declared as JSON", 422: "A field is wrong; each is named",
    429: "Quota or rate limit; Retry-After tells when", 503: "PostgreSQL is away; Retry-After tells when",
}  # fmt: skip


@cache
def document() -> dict[str, Any]:
    """The whole description; made once per process."""
    models: list[Model] = [
        api.StoreRequest, api.StoreView, api.StoreDetail, api.StoreList, api.StoreEvents, api.Credentials, api.Audit,
        api.Platform, api.Health, api.Problem,
    ]  # fmt: skip
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=REF)
    paths: dict[str, dict[str, Any]] = {}
    for method, path, summary, model, parameters, codes in WRITES:
        operation = _operation(summary, "202", model, parameters, codes)
        if path == "/api/stores":
            content = {"application/json": {"schema": {"$ref": REF.format(model="StoreRequest")}}}
            operation["requestBody"] = {"required": True, "content": content}
        paths.setdefault(path, {})[method] = operation
    for path, summary, model, parameters, codes in READS:
        paths.setdefault(path, {})["get"] = _operation(summary, "200", model, parameters, codes)
    health = _operation("Whether the platform works", "200", api.Health, [], [])
    del health["responses"]["401"]
    paths["/api/health"] = {"get": health | {"security": []}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Urumi", "version": "1", "description": "Online stores on Kubernetes in seconds."},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API token (`urumi_…`), or a token of the configured OpenID Connect issuer.",
                },
            },
        },
    }


def _operation(
    summary: str, code: str, model: Model, parameters: list[dict[str, Any]], codes: list[int]
) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}}
    responses: dict[str, Any] = {
        str(status): {"description": SUMMARIES[status], "content": problem} for status in [*codes, 401, 503]
    }
    content = {"application/json": {"schema": {"$ref": REF.format(model=model.__name__)}}}
    responses[code] = {"description": summary, "content": content}
    return {"summary": summary, "parameters": parameters, "responses": responses}


def serve(_: http.Call) -> flask.Response:
    return http.answer(document())
