"""The shapes of the HTTP API: what goes in, what comes out. openapi.py describes them to the world."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from stores import engines
from stores.model import RESERVED_NAMES, Desired, Engine, Phase, Store, name_problem
from stores.settings import settings


def _valid_name(name: str) -> str:
    if problem := name_problem(name):
        raise ValueError(problem)
    return name


class StoreRequest(BaseModel):
    """What a merchant asks for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[
        str,
        AfterValidator(_valid_name),
        Field(
            min_length=3,
            max_length=40,
            json_schema_extra={  # for readers of the OpenAPI document; name_problem says the same in sentences
                "pattern": r"^(?!xn--)[a-z0-9][a-z0-9-]{1,38}[a-z0-9]$",
                "not": {"enum": sorted(RESERVED_NAMES)},
            },
            description="The store's title and the first part of its host name; some words are reserved: "
            + ", ".join(sorted(RESERVED_NAMES)),
            examples=["my-store"],
        ),
    ]
    type: Annotated[Engine, Field(strict=False, description="The engine that runs the shop.")]


class StoreView(BaseModel):
    """A store as its owner sees it."""

    id: UUID
    name: str
    type: Engine
    status: Phase
    desired: Desired
    namespace: str
    host: str
    url: str | None = Field(description="The shop's address, once it is ready.")
    helm_release: str
    owner: str
    created_at: datetime
    requested_at: datetime = Field(description="When it was last asked for: its creation, or its owner's retry.")
    updated_at: datetime
    ready_at: datetime | None
    deadline_at: datetime | None = Field(description="When provisioning is given up.")
    next_try_at: datetime | None = Field(description="When an action that failed is tried again.")
    time_to_ready_seconds: float | None
    from_warm: bool = Field(description="Whether the store came from stock.")
    attempt: int
    error_reason: str | None
    error_message: str | None = Field(description="What holds the store up, in plain words.")

    @classmethod
    def of(cls, store: Store) -> "StoreView":
        host = store.host or ""
        return cls(
            **store.model_dump(include=set(cls.model_fields) - {"name", "host", "owner"}),
            name=store.name or "",
            host=host,
            owner=store.owner or "",
            url=engines.store_url(settings(), host) if store.ready_at is not None else None,
            time_to_ready_seconds=store.time_to_ready,
        )


class Step(BaseModel):
    name: str
    started_at: datetime
    ended_at: datetime | None
    seconds: float | None
    detail: str | None


class StoreDetail(StoreView):
    """One store with the steps of its current attempt."""

    steps: list[Step]


class StoreList(BaseModel):
    items: list[StoreView]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page.")
    counts: dict[str, int] = Field(description="How many stores there are in each status.")


class StoreEvent(BaseModel):
    time: datetime
    type: str
    message: str


class StoreEvents(BaseModel):
    items: list[StoreEvent]


class Credentials(BaseModel):
    """Shown once. POST to the same address draws a new password."""

    admin_url: str
    user: str
    password: str


class AuditEntry(BaseModel):
    time: datetime
    user: str
    action: str
    store_id: UUID | None
    store_name: str | None
    outcome: Literal["accepted", "refused"]
    reason: str | None
    ip: str | None


class Audit(BaseModel):
    items: list[AuditEntry]
    next_cursor: str | None


class Me(BaseModel):
    owner: str
    role: str


class Quota(BaseModel):
    limit: int
    used: int


class EngineView(BaseModel):
    type: Engine
    title: str
    description: str


class TimeToReady(BaseModel):
    """Seconds from request to ready, over the last 30 days."""

    n: int
    p50: float | None
    p95: float | None


class Platform(BaseModel):
    cluster: Literal["simulated", "kubernetes"]
    url_template: str = Field(examples=["http://{name}.localhost"])
    engines: list[EngineView]
    me: Me
    quota: Quota
    time_to_ready: TimeToReady
    sweep_age_seconds: float | None = Field(description="Since the last complete sweep; null before the first.")
    warm: dict[str, int] = Field(description="Stores in stock, by engine.")


class Health(BaseModel):
    status: Literal["ok"]
    database: Literal["ok"]
    cluster: Literal["simulated", "kubernetes"]


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = None
