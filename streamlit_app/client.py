"""Urumi's functions, as the dashboard calls them.

Every call returns a frozen dataclass or raises one of these:

    ApiError
    ├── Unreachable          no answer came
    │   ├── Down             nothing listens at the address
    │   └── TooSlow          connected, but the answer did not come in time
    ├── BadAnswer            an answer came, but it is not ours
    └── Refused              problem+json; the message is the problem's detail
        ├── Unauthorized     401, no token or a wrong one
        ├── NotFound         404, no such store, or another owner's
        ├── Conflict         409, the name is taken, or the store is in the wrong state
        ├── Gone             410, credentials that were shown already
        ├── Invalid          400, 413, 415, 422; `fields` says which input is wrong
        ├── TooMany          429, quota or rate; `retry_after` seconds
        └── Unavailable      503, the database is away; `retry_after` seconds
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

# A function that slept needs a second or two before it answers, a node that pulls its image longer; a refused
# connection needs no patience at all.
TIMEOUT = httpx.Timeout(connect=2, read=20, write=5, pool=2)

# The functions' server drops idle connections after 2 s. A POST sent on one that is just being closed is lost, so
# connections are given up before that.
LIMITS = httpx.Limits(max_connections=50, keepalive_expiry=1)

T = TypeVar("T")


class ApiError(Exception):
    """A call to the platform that gave no result."""

    fields: Mapping[str, str] = MappingProxyType({})


class Unreachable(ApiError):
    """No answer came."""


class Down(Unreachable):
    """Nothing listens at the function's address."""


class TooSlow(Unreachable):
    """The function was reached but did not answer in time."""


class BadAnswer(ApiError):
    """The answer is not one of Urumi's: a proxy's error page, or another version of the API."""


class Refused(ApiError):
    """The platform said no; `str(error)` is its own explanation."""

    def __init__(
        self,
        detail: str,
        *,
        fields: Mapping[str, str] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.fields = fields or {}
        self.retry_after = retry_after


class Unauthorized(Refused):
    """No token, or one that the platform does not know."""


class NotFound(Refused):
    """No such store for this owner."""


class Conflict(Refused):
    """The name is taken, or the store is not in a state that allows this."""


class Gone(Refused):
    """Credentials that were shown already."""


class Invalid(Refused):
    """The request is wrong; `fields` maps each wrong input to what is wrong with it."""


class TooMany(Refused):
    """The owner's quota or rate limit is reached."""


class Unavailable(Refused):
    """The function runs but its database does not answer."""


REFUSALS: dict[int, type[Refused]] = {
    400: Invalid,
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: TooMany,
    503: Unavailable,
}


@dataclass(frozen=True)
class Step:
    """One timed step of a store's way up or down."""

    name: str
    started_at: datetime
    ended_at: datetime | None
    seconds: float | None
    detail: str | None


@dataclass(frozen=True)
class Store:
    """A store as the platform describes it."""

    id: str
    name: str
    type: str
    status: str
    namespace: str
    host: str
    url: str | None
    helm_release: str | None
    owner: str
    created_at: datetime
    updated_at: datetime
    ready_at: datetime | None
    deadline_at: datetime | None
    time_to_ready_seconds: float | None
    attempt: int
    error_reason: str | None
    error_message: str | None
    next_try_at: datetime | None = None
    from_warm: bool = False
    steps: tuple[Step, ...] = ()

    @property
    def moving(self) -> bool:
        """Whether the platform is working on it now."""
        return self.status in {"provisioning", "deleting"}


@dataclass(frozen=True)
class Page:
    """One page of stores, and how many there are of each status in all."""

    items: tuple[Store, ...]
    next_cursor: str | None
    counts: dict[str, int]


@dataclass(frozen=True)
class Event:
    """Something that happened to a store."""

    time: datetime
    type: str
    message: str


@dataclass(frozen=True)
class AuditEntry:
    """Something that somebody asked for."""

    time: datetime
    user: str
    action: str
    store_id: str | None
    store_name: str | None
    outcome: str
    reason: str | None
    ip: str | None


@dataclass(frozen=True)
class Engine:
    """A kind of store that can be made."""

    type: str
    title: str
    description: str


@dataclass(frozen=True)
class Platform:
    """The platform itself, as this user may see it."""

    cluster: str
    url_template: str
    engines: tuple[Engine, ...]
    owner: str
    role: str
    quota_limit: int
    quota_used: int
    ready_n: int
    ready_p50: float | None
    ready_p95: float | None
    sweep_age_seconds: float | None
    warm: dict[str, int]

    @property
    def simulated(self) -> bool:
        """Whether the stores exist in memory only."""
        return self.cluster == "simulated"

    @property
    def quota_left(self) -> int:
        """How many more stores this user may have."""
        return max(0, self.quota_limit - self.quota_used)


@dataclass(frozen=True)
class Credentials:
    """How the merchant signs in to the store's admin. Shown once."""

    admin_url: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Addresses:
    """Where the three functions that the dashboard calls are."""

    create: str
    delete: str
    status: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Addresses:
        """Read URUMI_{CREATE,DELETE,STATUS}_URL; URUMI_API_URL stands in for each that is missing.

        Raises LookupError that names what is missing.
        """
        shared = environment.get("URUMI_API_URL", "")
        found = {}
        for part in ("create", "delete", "status"):
            variable = f"URUMI_{part.upper()}_URL"
            url = environment.get(variable) or shared
            if not url:
                raise LookupError(f"{variable} is not set, nor is URUMI_API_URL.")
            found[part] = url.rstrip("/")
        return cls(**found)


def open_http() -> httpx.Client:
    """The connection pool that all sessions share. It carries no token: that belongs to a call."""
    return httpx.Client(timeout=TIMEOUT, limits=LIMITS, headers={"Accept": "application/json"})


@dataclass(frozen=True)
class Api:
    """The platform on behalf of one user."""

    http: httpx.Client = field(repr=False)
    addresses: Addresses
    token: str = field(repr=False)

    def platform(self) -> Platform:
        """The cluster, the engines, and this user's role and quota."""
        found = self._call("GET", self.addresses.status, "/api/platform")
        with _Reading("/api/platform"):
            return Platform(
                cluster=found["cluster"],
                url_template=found["url_template"],
                engines=tuple(_build(Engine, engine) for engine in found["engines"]),
                owner=found["me"]["owner"],
                role=found["me"]["role"],
                quota_limit=found["quota"]["limit"],
                quota_used=found["quota"]["used"],
                ready_n=found["time_to_ready"]["n"],
                ready_p50=found["time_to_ready"]["p50"],
                ready_p95=found["time_to_ready"]["p95"],
                sweep_age_seconds=found["sweep_age_seconds"],
                warm=dict(found["warm"]),
            )

    def stores(self, *, status: str | None = None, cursor: str | None = None, limit: int = 12) -> Page:
        """One page of stores, newest first."""
        found = self._call("GET", self.addresses.status, "/api/stores", status=status, cursor=cursor, limit=limit)
        with _Reading("/api/stores"):
            items = tuple(_store(item) for item in found["items"])
            return Page(items=items, next_cursor=found["next_cursor"], counts=dict(found["counts"]))

    def store(self, store_id: str) -> Store:
        """One store with its steps."""
        return self._store("GET", self.addresses.status, f"/api/stores/{_part(store_id)}")

    def events(self, store_id: str) -> tuple[Event, ...]:
        """What happened to a store, newest first."""
        found = self._call("GET", self.addresses.status, f"/api/stores/{_part(store_id)}/events")
        with _Reading("/api/stores/…/events"):
            return tuple(_build(Event, item) for item in found["items"])

    def audit(self, *, cursor: str | None = None, limit: int = 100) -> tuple[tuple[AuditEntry, ...], str | None]:
        """Who asked for what, newest first, and the cursor of the next page."""
        found = self._call("GET", self.addresses.status, "/api/audit", cursor=cursor, limit=limit)
        with _Reading("/api/audit"):
            return tuple(_build(AuditEntry, item) for item in found["items"]), found["next_cursor"]

    def credentials(self, store_id: str) -> Credentials:
        """The admin's credentials. The platform answers once; then it raises Gone until new ones are drawn."""
        found = self._call("GET", self.addresses.status, f"/api/stores/{_part(store_id)}/credentials")
        with _Reading("/api/stores/…/credentials"):
            return _build(Credentials, found)

    def create(self, *, name: str, engine: str, idempotency_key: str) -> Store:
        """Ask for a store. The same key and body again give the same store, so it is safe to repeat."""
        body = {"name": name, "type": engine}
        headers = {"Idempotency-Key": idempotency_key}
        return self._store("POST", self.addresses.create, "/api/stores", body=body, headers=headers)

    def retry(self, store_id: str) -> Store:
        """Have the platform try a failed store again."""
        return self._store("POST", self.addresses.create, f"/api/stores/{_part(store_id)}/retry")

    def rotate(self, store_id: str) -> None:
        """Draw a new admin password; `credentials` then answers once more."""
        self._call("POST", self.addresses.create, f"/api/stores/{_part(store_id)}/credentials")

    def delete(self, store_id: str) -> Store:
        """Ask for a store's removal, with everything in it."""
        return self._store("DELETE", self.addresses.delete, f"/api/stores/{_part(store_id)}")

    def _store(
        self,
        method: str,
        base: str,
        path: str,
        *,
        body: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Store:
        found = self._call(method, base, path, body=body, headers=headers)
        with _Reading("/api/stores/…"):
            return _store(found)

    def _call(
        self,
        method: str,
        base: str,
        path: str,
        *,
        body: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        **query: str | int | None,
    ) -> dict[str, Any]:
        try:
            response = self.http.request(
                method,
                base + path,
                params={name: value for name, value in query.items() if value is not None},
                json=body,
                headers={"Authorization": f"Bearer {self.token}", **(headers or {})},
            )
        except (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout) as error:
            raise TooSlow(f"{base} did not answer within {TIMEOUT.read:.0f} seconds.") from error
        except httpx.HTTPError as error:
            raise Down(f"Nothing answers at {base}.") from error
        if response.is_success:
            return _json(response)
        raise _refusal(response)


def _part(store_id: str) -> str:
    """An id as one part of a path: it comes from the browser's address bar."""
    return quote(store_id, safe="")


class _Reading:
    """Turns a missing or misshapen field into BadAnswer."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, KeyError):
            raise BadAnswer(f"The answer of {self.path} has no field {error}.") from error
        if isinstance(error, TypeError | ValueError | AttributeError):
            raise BadAnswer(f"The answer of {self.path} has an unexpected shape.") from error


def _build(kind: type[T], found: Mapping[str, Any]) -> T:
    """A dataclass from JSON. Fields that it does not know are left out: the API may grow."""
    known: dict[str, Any] = {}
    for each in dataclasses.fields(kind):  # type: ignore[arg-type]  # only dataclasses are passed
        if each.name not in found and each.default is not dataclasses.MISSING:
            continue
        value = found[each.name]
        if value is not None and (each.name == "time" or each.name.endswith("_at")):
            value = datetime.fromisoformat(value)
        known[each.name] = value
    return kind(**known)


def _store(found: Mapping[str, Any]) -> Store:
    steps = tuple(_build(Step, step) for step in found.get("steps", ()))
    return _build(Store, {**found, "steps": steps})


def _json(response: httpx.Response) -> dict[str, Any]:
    if not response.content:
        return {}
    try:
        found = response.json()
    except ValueError as error:
        raise BadAnswer(f"{response.request.url.host} answered {response.status_code} without JSON.") from error
    if not isinstance(found, dict):
        raise BadAnswer(f"{response.request.url.host} answered {response.status_code} with an unexpected shape.")
    return found


def _refusal(response: httpx.Response) -> ApiError:
    kind = REFUSALS.get(response.status_code)
    try:
        problem = _json(response)
    except BadAnswer as error:
        problem = {}
        if kind is not Unavailable:  # a gateway's own 503 has no JSON and still means: try again
            return error
    if kind is None:
        return BadAnswer(f"The platform answered {response.status_code}: {problem.get('detail') or 'no reason given'}")
    retry_after = response.headers.get("Retry-After", "")
    return kind(
        str(problem.get("detail") or problem.get("title") or "The platform gave no reason."),
        fields={each["field"]: each["message"] for each in problem.get("errors") or ()},
        retry_after=int(retry_after) if retry_after.isdecimal() else None,
    )
