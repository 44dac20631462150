"""What an engine is. A third one is a chart, an image and an entry here."""

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stores.model import Engine, Store
from stores.settings import Settings

SECRET_NAME = "store-secrets"  # noqa: S105 (the name of a Secret, not a secret)
INTERNAL_PORT = 8081


def _password() -> str:
    return secrets.token_urlsafe(18)


def _key() -> str:
    return secrets.token_hex(32)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One engine: which chart and images, where its admin is, what it must be given that nobody else knows."""

    title: str
    description: str
    chart: str
    version: str  # the chart's; a test holds it equal to Chart.yaml
    images: Mapping[str, str]  # part -> image name, after the prefix
    admin_path: str
    login: str  # the key of the Secret that holds what the administrator signs in as
    secrets: Mapping[str, Callable[[], str]]  # drawn once per store
    footprint: tuple[float, float, int]  # cores and MiB that a store requests, and its pods; a test asks the chart
    simulated_seconds: float  # how long the simulated cluster takes to start it


_SALTS = ("auth-key", "secure-auth-key", "logged-in-key", "nonce-key")
RECIPES: Mapping[Engine, Recipe] = {
    Engine.WOOCOMMERCE: Recipe(
        title="WooCommerce",
        description="WordPress with WooCommerce: themes, pages and a blog beside the shop.",
        chart="woocommerce",
        version="0.1.0",
        images={"web": "urumi-woocommerce"},
        admin_path="/wp-admin/",
        login="admin-user",
        secrets={
            "database-password": _password,
            **{name: _key for key in _SALTS for name in (key, key.replace("-key", "-salt"))},
        },
        footprint=(0.05, 250, 2),
        simulated_seconds=4,
    ),
    Engine.MEDUSA: Recipe(
        title="Medusa",
        description="A headless shop: a fast storefront, an API for everything, a modern admin.",
        chart="medusa",
        version="0.1.0",
        images={"backend": "urumi-medusa", "storefront": "urumi-medusa-storefront"},
        admin_path="/app",
        login="admin-email",
        secrets={
            "database-password": _password,
            "jwt-secret": _key,
            "cookie-secret": _key,
            "publishable-key": lambda: f"pk_{secrets.token_hex(24)}",
        },
        footprint=(0.1, 550, 4),
        simulated_seconds=6,
    ),
}


def draw_secrets(store: Store) -> dict[str, str]:
    """Fresh values for a store's Secret, keys as the charts name them. Call once per store: volumes remember them."""
    drawn = {name: draw() for name, draw in RECIPES[store.type].secrets.items()}
    return drawn | {
        "admin-user": "admin",
        "admin-email": admin_email(store),
        "admin-password": _password(),
        "identity-token": _key(),
    }


def draw_password() -> str:
    return _password()


def admin_email(store: Store) -> str:
    """The owner's address when their name is one, else a placeholder under the store's own host."""
    if store.owner and "@" in store.owner:
        return store.owner
    return f"admin@{store.host or 'store.invalid'}"


def owner_label(owner: str | None) -> str:
    """A label value that tells owners apart without saying who they are (labels are no place for addresses)."""
    return hashlib.sha256(owner.encode()).hexdigest()[:16] if owner else "nobody"


def store_url(settings: Settings, host: str) -> str:
    return f"{settings.scheme}://{host}" + (f":{settings.port}" if settings.port else "")


def host_of(settings: Settings, name: str) -> str:
    return f"{name}.{settings.domain}"


def wanted_release(settings: Settings, engine: Engine) -> str:
    """Names chart and settings, so that a store knows when it runs something else than what is wanted."""
    recipe = RECIPES[engine]
    digest = hashlib.sha256(json.dumps(_common(settings, recipe), sort_keys=True).encode()).hexdigest()
    return f"{recipe.chart}-{recipe.version}-{digest[:8]}"


def values(settings: Settings, store: Store) -> dict[str, Any]:
    """The Helm values of one store. Names of Secrets, never secrets: Helm keeps values in its release."""
    host = store.host or ""
    return _common(settings, RECIPES[store.type]) | {
        "store": {
            "id": str(store.id),
            "name": store.name or "",
            "host": host,
            "url": store_url(settings, host) if host else "",
            "owner": owner_label(store.owner),
        }
    }


def _common(settings: Settings, recipe: Recipe) -> dict[str, Any]:
    return {
        "ingress": {
            "className": settings.ingress_class,
            "annotations": dict(settings.ingress_annotations),
            "controllerNamespace": settings.ingress_namespace,
            "tls": {
                "enabled": settings.scheme == "https",
                "secretName": settings.tls_secret or "",
                "clusterIssuer": settings.tls_issuer or "",
            },
        },
        "secretName": SECRET_NAME,
        "images": {
            part: {"repository": f"{settings.image_prefix}{name}", "tag": settings.image_tag}
            for part, name in recipe.images.items()
        },
        "persistence": {"storageClass": settings.storage_class},
        "platform": {"namespace": settings.platform_namespace},
    }
