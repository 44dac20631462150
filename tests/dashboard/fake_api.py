"""The platform's API in memory: the contract that the dashboard is written against, without functions or database.

`FakeApi` is an httpx handler. Its clock stands still unless a test moves it, and stores follow the clock.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

TOKEN = "urumi_test"
OTHER_TOKEN = "eyJ.id.token"
RESERVED = {"admin", "api", "www"}
QUOTA = 5
STEPS = (("namespace", 0.4), ("chart", 1.1), ("database", 6.0), ("app", 24.0), ("reachable", 2.5))
TIME_TO_READY = sum(seconds for _, seconds in STEPS)
TIME_TO_DELETE = 7.0

Json = dict[str, Any]


def problem(status: int, detail: str, *, retry_after: int | None = None, **more: Any) -> httpx.Response:
    """An application/problem+json answer."""
    headers = {"Content-Type": "application/problem+json"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    body = {"type": "about:blank", "title": "Refused", "status": status, "detail": detail, **more}
    return httpx.Response(status, headers=headers, content=json.dumps(body))


@dataclass
class FakeStore:
    """A store, as much as the API tells of it."""

    name: str
    type: str
    created_at: datetime
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    forced: str | None = None
    error: tuple[str, str] | None = None
    attempt: int = 1
    deleted_at: datetime | None = None
    credentials_left: int = 1


class FakeApi:
    """Every route that the dashboard uses."""

    def __init__(self, *, simulated: bool = False, role: str = "admin") -> None:
        self.now = datetime.now(UTC)
        self.simulated = simulated
        self.role = role
        self.stores: list[FakeStore] = []
        self.audit: list[Json] = []
        self.keys: dict[str, tuple[Json, str]] = {}
        self.requests: list[httpx.Request] = []
        self.instead: dict[tuple[str, str], httpx.Response | Exception] = {}
        self.sweep_age: float | None = 12.0

    def answer_instead(self, method: str, path: str, answer: httpx.Response | Exception) -> None:
        """From now on answer every request whose path begins so with this."""
        self.instead[method, path] = answer

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def add(self, name: str, *, type: str = "woocommerce", age: float = 3600, **more: Any) -> FakeStore:
        """Put a store there that was made `age` seconds ago."""
        store = FakeStore(name=name, type=type, created_at=self.now - timedelta(seconds=age), **more)
        self.stores.append(store)
        return store

    def sent(self, method: str, path: str = "") -> list[httpx.Request]:
        """The requests of this method whose path contains this."""
        return [each for each in self.requests if each.method == method and path in each.url.path]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        for (method, path), answer in self.instead.items():
            if request.method == method and request.url.path.startswith(path):
                if isinstance(answer, Exception):
                    raise answer
                return answer
        if request.headers.get("Authorization") not in {f"Bearer {TOKEN}", f"Bearer {OTHER_TOKEN}"}:
            return problem(401, "The token is missing or wrong.")
        return self.route(request)

    def route(self, request: httpx.Request) -> httpx.Response:
        """Find who answers."""
        routes: list[tuple[str, str, Callable[..., httpx.Response]]] = [
            ("GET", r"/api/platform", self.get_platform),
            ("GET", r"/api/audit", self.get_audit),
            ("GET", r"/api/stores", self.list_stores),
            ("POST", r"/api/stores", self.create_store),
            ("GET", r"/api/stores/([^/]+)", self.get_store),
            ("DELETE", r"/api/stores/([^/]+)", self.delete_store),
            ("POST", r"/api/stores/([^/]+)/retry", self.retry_store),
            ("GET", r"/api/stores/([^/]+)/events", self.get_events),
            ("GET", r"/api/stores/([^/]+)/credentials", self.get_credentials),
            ("POST", r"/api/stores/([^/]+)/credentials", self.rotate_credentials),
        ]
        for method, pattern, answer in routes:
            match = re.fullmatch(pattern, request.url.path)
            if match and request.method == method:
                if not match.groups():
                    return answer(request)
                store = self.find(match[1])
                return answer(store) if store else problem(404, "There is no such store.")
        return problem(404, "There is nothing here.")

    def find(self, store_id: str) -> FakeStore | None:
        """A store that is not gone."""
        return next((each for each in self.stores if each.id == store_id and self.status(each) != "deleted"), None)

    def status(self, store: FakeStore) -> str:
        """A store's status, from the clock."""
        if store.deleted_at:
            done = self.now - store.deleted_at >= timedelta(seconds=TIME_TO_DELETE)
            return "deleted" if done else "deleting"
        if store.forced:
            return store.forced
        return "ready" if self.elapsed(store) >= TIME_TO_READY else "provisioning"

    def elapsed(self, store: FakeStore) -> float:
        """Seconds since a store was asked for."""
        return (self.now - store.created_at).total_seconds()

    def describe(self, store: FakeStore) -> Json:
        """A store as JSON."""
        status = self.status(store)
        up = status in {"ready", "degraded", "asleep"}
        reason, message = store.error or (None, None)
        return {
            "id": store.id,
            "name": store.name,
            "type": store.type,
            "status": status,
            "desired": "absent" if store.deleted_at else "present",
            "namespace": f"store-{store.id.replace('-', '')[:12]}",
            "host": f"{store.name}.localhost",
            "url": f"http://{store.name}.localhost:8080" if up else None,
            "helm_release": "store",
            "owner": "merchant@example.com",
            "created_at": store.created_at.isoformat(),
            "updated_at": (store.deleted_at or store.created_at).isoformat(),
            "ready_at": (store.created_at + timedelta(seconds=TIME_TO_READY)).isoformat() if up else None,
            "deadline_at": (store.created_at + timedelta(minutes=10)).isoformat(),
            "next_try_at": (self.now + timedelta(seconds=15)).isoformat() if message else None,
            "time_to_ready_seconds": TIME_TO_READY if up else None,
            "attempt": store.attempt,
            "error_reason": reason,
            "error_message": message,
        }

    def steps(self, store: FakeStore) -> list[Json]:
        """The steps begun so far."""
        begun, steps = store.created_at, []
        for name, seconds in STEPS:
            ended = begun + timedelta(seconds=seconds)
            done = ended <= self.now and not (store.forced == "failed" and name == "app")
            if begun <= self.now:
                steps.append(
                    {
                        "name": name,
                        "started_at": begun.isoformat(),
                        "ended_at": ended.isoformat() if done else None,
                        "seconds": seconds if done else None,
                        "detail": None,
                    }
                )
            if not done:
                break
            begun = ended
        return steps

    def get_platform(self, _request: httpx.Request) -> httpx.Response:
        """GET /api/platform."""
        ready = [each for each in self.stores if self.status(each) == "ready"]
        return httpx.Response(
            200,
            json={
                "cluster": "simulated" if self.simulated else "kubernetes",
                "url_template": "http://{name}.localhost:8080",
                "engines": [
                    {"type": "woocommerce", "title": "WooCommerce", "description": "WordPress with a shop."},
                    {"type": "medusa", "title": "Medusa", "description": "Headless commerce with a fast storefront."},
                ],
                "me": {"owner": "merchant@example.com", "role": self.role},
                "quota": {"limit": QUOTA, "used": self.used()},
                "time_to_ready": {
                    "n": len(ready),
                    "p50": TIME_TO_READY if ready else None,
                    "p95": TIME_TO_READY * 1.4 if ready else None,
                },
                "sweep_age_seconds": self.sweep_age,
                "warm": {"woocommerce": 2, "medusa": 0},
            },
        )

    def used(self) -> int:
        """How much of the quota is in use."""
        return sum(self.status(each) != "deleted" for each in self.stores)

    def list_stores(self, request: httpx.Request) -> httpx.Response:
        """GET /api/stores."""
        there = [each for each in self.stores if self.status(each) != "deleted"]
        counts: dict[str, int] = {}
        for each in there:
            counts[self.status(each)] = counts.get(self.status(each), 0) + 1
        wanted = request.url.params.get("status")
        chosen = sorted(there, key=lambda each: each.created_at, reverse=True)
        chosen = [each for each in chosen if wanted in {None, self.status(each)}]
        start, limit = int(request.url.params.get("cursor", 0)), int(request.url.params.get("limit", 20))
        following = str(start + limit) if len(chosen) > start + limit else None
        items = [self.describe(each) for each in chosen[start : start + limit]]
        return httpx.Response(200, json={"items": items, "next_cursor": following, "counts": counts})

    def create_store(self, request: httpx.Request) -> httpx.Response:
        """POST /api/stores."""
        body = json.loads(request.content)
        key = request.headers.get("Idempotency-Key")
        if key in self.keys:
            earlier, store_id = self.keys[key]
            if earlier != body:
                return problem(422, "This key was used for another store.")
            return httpx.Response(202, json=self.describe(next(each for each in self.stores if each.id == store_id)))
        if body["name"] in RESERVED:
            message = f"{body['name']} is reserved."
            return problem(422, "The request is wrong.", errors=[{"field": "name", "message": message}])
        if any(each.name == body["name"] and self.status(each) != "deleted" for each in self.stores):
            return problem(409, f"The name {body['name']} is taken.")
        if self.used() >= QUOTA:
            return problem(429, f"You have {QUOTA} stores, which is your quota.", retry_after=60)
        store = self.add(body["name"], type=body["type"], age=0)
        if key:
            self.keys[key] = (body, store.id)
        self.record("create", store)
        return httpx.Response(202, json=self.describe(store))

    def record(self, action: str, store: FakeStore, outcome: str = "accepted", reason: str | None = None) -> None:
        """Write an entry of the audit log."""
        self.audit.insert(
            0,
            {
                "time": self.now.isoformat(),
                "user": "merchant@example.com",
                "action": action,
                "store_id": store.id,
                "store_name": store.name,
                "outcome": outcome,
                "reason": reason,
                "ip": "192.0.2.7",
            },
        )

    def get_audit(self, request: httpx.Request) -> httpx.Response:
        """GET /api/audit."""
        start, limit = int(request.url.params.get("cursor", 0)), int(request.url.params.get("limit", 20))
        following = str(start + limit) if len(self.audit) > start + limit else None
        return httpx.Response(200, json={"items": self.audit[start : start + limit], "next_cursor": following})

    def get_store(self, store: FakeStore) -> httpx.Response:
        """GET /api/stores/{id}."""
        return httpx.Response(200, json={**self.describe(store), "steps": self.steps(store)})

    def delete_store(self, store: FakeStore) -> httpx.Response:
        """DELETE /api/stores/{id}."""
        store.deleted_at = store.deleted_at or self.now
        self.record("delete", store)
        return httpx.Response(202, json=self.describe(store))

    def retry_store(self, store: FakeStore) -> httpx.Response:
        """POST /api/stores/{id}/retry."""
        if self.status(store) != "failed":
            return problem(409, "Only a failed store can be retried.")
        store.forced, store.error, store.created_at, store.attempt = None, None, self.now, store.attempt + 1
        self.record("retry", store)
        return httpx.Response(202, json=self.describe(store))

    def get_events(self, store: FakeStore) -> httpx.Response:
        """GET /api/stores/{id}/events."""
        items = [
            {"time": store.created_at.isoformat(), "type": "store.requested", "message": f"{store.name} was asked for"}
        ]
        if self.status(store) == "ready":
            ready = store.created_at + timedelta(seconds=TIME_TO_READY)
            items.insert(0, {"time": ready.isoformat(), "type": "store.ready", "message": "A shopper can order"})
        return httpx.Response(200, json={"items": items})

    def get_credentials(self, store: FakeStore) -> httpx.Response:
        """GET /api/stores/{id}/credentials."""
        if self.status(store) != "ready":
            return problem(409, "The store is not ready.")
        if store.credentials_left < 1:
            return problem(410, "The credentials were shown already.")
        store.credentials_left -= 1
        self.record("credentials", store)
        url = f"http://{store.name}.localhost:8080/wp-admin"
        return httpx.Response(200, json={"admin_url": url, "user": "merchant", "password": "correct-horse-battery"})

    def rotate_credentials(self, store: FakeStore) -> httpx.Response:
        """POST /api/stores/{id}/credentials."""
        store.credentials_left = 1
        self.record("rotate", store)
        return httpx.Response(202, json={})
