"""The four functions as functions-framework serves them, behind one address."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import functions_framework
import pytest
from werkzeug.test import Client, TestResponse

from stores import events
from tests.support import FUNCTIONS, World

TARGETS = {
    "create": "create_store",
    "delete": "delete_store",
    "reconcile": "reconcile_stores",
    "status": "store_status",
}


class Gateway:
    """What an ingress does in front of the functions: chooses one by method and path."""

    def __init__(self) -> None:
        self.apps: dict[str, Any] = {}
        for name, target in TARGETS.items():
            self.apps[name] = functions_framework.create_app(  # type: ignore[no-untyped-call]
                target, str(FUNCTIONS / name / "main.py")
            )

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        method = environ["REQUEST_METHOD"]
        if environ["PATH_INFO"] == "/":
            name = "reconcile"
        else:
            name = {"POST": "create", "DELETE": "delete"}.get(method, "status")
        return self.apps[name](environ, start_response)


class Api:
    """A caller of the API with a token of their own."""

    def __init__(self, gateway: Gateway, token: str | None) -> None:
        self.gateway, self.token = gateway, token
        self.http = Client(gateway)

    def __call__(self, method: str, path: str, **arguments: Any) -> TestResponse:
        headers = dict(arguments.pop("headers", {}))
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        peer = {"REMOTE_ADDR": "127.0.0.1"}
        return self.http.open(path, method=method, headers=headers, environ_base=peer, **arguments)

    def get(self, path: str, **arguments: Any) -> TestResponse:
        return self("GET", path, **arguments)

    def create(self, name: str = "corner", type: str = "woocommerce", **arguments: Any) -> TestResponse:
        return self("POST", "/api/stores", json={"name": name, "type": type}, **arguments)

    def ready(self, name: str = "corner", type: str = "woocommerce") -> UUID:
        """The id of a store that was asked for and reconciled."""
        store_id = UUID(self.create(name, type).get_json()["id"])
        self.sweep()
        assert self.get(f"/api/stores/{store_id}").get_json()["status"] == "ready"
        return store_id

    def sweep(self) -> TestResponse:
        headers, body = events.hint(events.SWEEP_DUE, source="/sweep")
        return self.event(headers, body)

    def event(self, headers: dict[str, str], body: bytes) -> TestResponse:
        return self.http.post("/", data=body, headers=headers)


@pytest.fixture(scope="session")
def gateway() -> Iterator[Gateway]:
    """functions-framework writes FUNCTION_* into the environment and sets up logging: both are put back."""
    environment, handlers, level = dict(os.environ), list(logging.getLogger().handlers), logging.getLogger().level
    yield Gateway()
    os.environ.clear()
    os.environ.update(environment)
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


@pytest.fixture
def api(world: World, gateway: Gateway) -> Api:
    """Alice's."""
    return Api(gateway, world.token("alice"))


@pytest.fixture
def bob(world: World, gateway: Gateway) -> Api:
    return Api(gateway, world.token("bob"))


@pytest.fixture
def admin(world: World, gateway: Gateway) -> Api:
    return Api(gateway, world.token("root", "admin"))
