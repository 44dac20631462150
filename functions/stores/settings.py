"""All settings, read from the environment (prefix URUMI_) at first use. README.md has the same table in words."""

from functools import cache
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stores.model import Engine


class Settings(BaseSettings):
    """Each field's comment gives unit and reason."""

    model_config = SettingsConfigDict(env_prefix="URUMI_", frozen=True, extra="ignore")

    # PostgreSQL for the functions: a role that may read and write rows, and nothing else.
    database_url: SecretStr = SecretStr("postgresql://urumi_app@localhost/urumi")
    # PostgreSQL for `cli migrate` alone: the tables' owner.
    database_owner_url: SecretStr | None = None
    # Fernet key that seals administrators' passwords between reconcile and their owner's one look at them.
    credentials_key: SecretStr | None = None

    # The OpenID Connect issuer whose tokens are taken beside our own. Unset: only our own are.
    oidc_issuer: str | None = None
    # Whom its tokens must be for: the dashboard's client id.
    oidc_audience: str | None = None
    # Its users who are admins: verified e-mail addresses, or `sub:<subject>`, as the audit log shows them.
    oidc_admins: frozenset[str] = frozenset()

    # Which cluster reconcile works on.
    cluster: Literal["simulated", "kubernetes"] = "simulated"
    # Where CloudEvents go; Knative's SinkBinding sets K_SINK. Without it the sweep alone does the work.
    sink: str | None = Field(default=None, validation_alias=AliasChoices("URUMI_SINK", "K_SINK"))
    # Where the watch wakes reconcile, past the broker, whose every hop may look names up. Unset: the sink.
    reconcile_url: str | None = None

    # A store named `shop` is at <scheme>://shop.<domain>[:port].
    domain: str = "localhost"
    scheme: Literal["http", "https"] = "http"
    port: int | None = None
    # HOST:PORT of the ingress controller, to try a store's address without DNS. Unset: ask DNS.
    ingress_address: str | None = None
    # Passed on to the charts.
    ingress_class: str = "traefik"
    ingress_namespace: str = "ingress"
    ingress_annotations: dict[str, str] = {}
    tls_issuer: str | None = None
    tls_secret: str | None = None
    storage_class: str = ""
    # What one store may use at most (a ResourceQuota); the charts ask for far less.
    store_quota: dict[str, str] = {
        "requests.cpu": "1",
        "requests.memory": "1Gi",
        "limits.cpu": "12",
        "limits.memory": "4Gi",
        "persistentvolumeclaims": "3",
        "requests.storage": "50Gi",
        "pods": "12",
        "services.nodeports": "0",
        "services.loadbalancers": "0",
    }
    image_prefix: str = "dev.local/"
    image_tag: str = "0.1.0"
    charts: Path = Path(__file__).resolve().parents[2] / "charts"
    # For `cli migrate` alone: the id that this platform's stores carry as their label. Unset: the database draws one.
    platform_id: UUID | None = None
    # The namespace that this platform lives in; stores' policies let its reconcile pods in.
    platform_namespace: str = "urumi-system"
    # Bind this ClusterRole in each store's namespace, to reconcile's account. Unset: our own rights suffice.
    store_role: str | None = None
    service_account: str = "urumi-reconcile"

    # How many stores an owner may have at once (failed ones hold resources and count).
    stores_per_owner: int = 5
    # Seconds between two creations by one owner; 0 means no limit.
    creation_interval: float = 60
    # Seconds from request to `failed`.
    deadline: float = 600
    # Seconds for which a namespace that no row knows is left alone before the sweep removes it.
    orphan_grace: float = 600
    # Seconds after which one call to reconcile starts no further action; functions-framework drains for 30.
    budget: float = 20
    # Stores that a sweep works on at the same time; helm is the heavy part.
    parallel: int = 4
    # Warm stores kept per engine: complete, nobody's yet.
    warm: dict[Engine, int] = {}
    # The most of them per engine, however many were asked for in the last ten minutes.
    warm_cap: int = 5

    # Trusted proxies in front, for the client's address in the audit log: the n-th from the right of X-Forwarded-For.
    proxies: int = 0
    log_level: str = "INFO"
    # Divides the simulated cluster's delays.
    simulated_speed: float = 1.0

    @model_validator(mode="after")
    def _trust_in_an_issuer_is_well_founded(self) -> Self:
        if self.oidc_issuer is not None:
            address = urlsplit(self.oidc_issuer)
            if address.scheme != "https" and address.hostname not in {"localhost", "127.0.0.1"}:
                raise ValueError("URUMI_OIDC_ISSUER must be an https:// address: its keys come from there.")
            if not self.oidc_audience:
                raise ValueError("URUMI_OIDC_ISSUER needs URUMI_OIDC_AUDIENCE: whom its tokens must be for.")
        return self


@cache
def settings() -> Settings:
    return Settings()
