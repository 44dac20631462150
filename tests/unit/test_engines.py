"""What an engine is, and what its chart is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from pydantic import SecretStr

from stores import engines
from stores.engines import RECIPES
from stores.model import Engine, Store
from stores.settings import Settings
from tests.unit.test_decide import NOW

CHARTS = Path(__file__).parents[2] / "charts"


def store(engine: Engine, **changes: Any) -> Store:
    fields: dict[str, Any] = {
        "id": UUID("01936000-0000-7000-8000-0123456789ab"),
        "owner": "alice@example.com",
        "name": "corner",
        "host": "corner.localhost",
        "type": engine,
        "namespace": "store-0123456789ab",
        "release": engines.wanted_release(Settings(), engine),
        "created_at": NOW,
        "requested_at": NOW,
        "updated_at": NOW,
    }
    return Store.model_validate(fields | changes)


def paths(document: Any, prefix: str = "") -> list[str]:
    """The dotted name of every value."""
    if not isinstance(document, dict) or not document:
        return [prefix]
    return [path for key, value in document.items() for path in paths(value, f"{prefix}.{key}".lstrip("."))]


def test_every_engine_has_a_recipe() -> None:
    assert set(RECIPES) == set(Engine)


@pytest.mark.parametrize("engine", Engine)
def test_the_recipes_version_is_its_charts(engine: Engine) -> None:
    chart = CHARTS / RECIPES[engine].chart / "Chart.yaml"
    assert RECIPES[engine].version == yaml.safe_load(chart.read_text(encoding="utf-8"))["version"]


@pytest.mark.parametrize("engine", Engine)
def test_the_chart_takes_every_value_that_reconcile_gives(engine: Engine) -> None:
    file = CHARTS / RECIPES[engine].chart / "values.schema.json"
    if not file.exists():
        pytest.skip("the chart has no schema yet")
    schema = json.loads(file.read_text(encoding="utf-8"))

    def check(values: dict[str, Any], part: dict[str, Any], where: str) -> None:
        while "$ref" in part:
            part = schema["$defs"][part["$ref"].rpartition("/")[2]]
        properties = part.get("properties", {})
        if part.get("additionalProperties", True) is False:
            assert set(values) <= set(properties), f"{where}: {set(values) - set(properties)}"
        for key, value in values.items():
            if isinstance(value, dict) and key in properties:
                check(value, properties[key], f"{where}.{key}")

    check(engines.values(Settings(), store(engine)), schema, engine)


@pytest.mark.parametrize("engine", Engine)
def test_values_hold_the_name_of_the_secret_and_no_secret(engine: Engine) -> None:
    one = store(engine)
    drawn = engines.draw_secrets(one)
    values = engines.values(
        Settings(credentials_key=SecretStr("the-key"), database_url=SecretStr("postgresql://a:hunter2@db/u")), one
    )
    text = json.dumps(values)
    assert values["secretName"] == engines.SECRET_NAME
    for name in set(drawn) - {"admin-user", "admin-email"}:
        assert drawn[name] not in text, name
    assert "hunter2" not in text
    assert "the-key" not in text
    suspicious = [p for p in paths(values) if any(word in p.lower() for word in ("password", "token", "salt"))]
    assert suspicious == []


@pytest.mark.parametrize("engine", Engine)
def test_values_do_not_say_who_the_owner_is(engine: Engine) -> None:
    assert "alice" not in json.dumps(engines.values(Settings(), store(engine)))


@pytest.mark.parametrize("engine", Engine)
def test_each_store_has_secrets_of_its_own(engine: Engine) -> None:
    first, second = engines.draw_secrets(store(engine)), engines.draw_secrets(store(engine))
    assert set(first) == set(second)
    assert [key for key in first if first[key] == second[key]] == ["admin-user", "admin-email"]
    assert all(len(value) >= 24 for key, value in first.items() if key not in ("admin-user", "admin-email"))


def test_what_the_charts_need_is_drawn() -> None:
    common = {"admin-email", "admin-user", "admin-password", "database-password", "identity-token"}
    medusa = set(engines.draw_secrets(store(Engine.MEDUSA)))
    woocommerce = set(engines.draw_secrets(store(Engine.WOOCOMMERCE)))
    assert medusa == common | {"jwt-secret", "cookie-secret", "publishable-key"}
    salts = {f"{key}-{end}" for key in ("auth", "secure-auth", "logged-in", "nonce") for end in ("key", "salt")}
    assert woocommerce == common | salts
    assert engines.draw_secrets(store(Engine.MEDUSA))["publishable-key"].startswith("pk_")


@pytest.mark.parametrize("engine", Engine)
def test_another_setting_is_another_release_and_another_store_is_not(engine: Engine) -> None:
    release = engines.wanted_release(Settings(), engine)
    assert engines.wanted_release(Settings(), engine) == release
    assert engines.wanted_release(Settings(image_tag="9.9.9"), engine) != release
    assert release.startswith(f"{RECIPES[engine].chart}-{RECIPES[engine].version}-")
    assert len(release) <= 63, "it is a label's value"


def test_an_address_is_made_of_scheme_name_domain_and_port() -> None:
    conf = Settings(domain="shops.example", scheme="https")
    assert engines.store_url(conf, engines.host_of(conf, "corner")) == "https://corner.shops.example"
    assert engines.store_url(Settings(port=8080), "corner.localhost") == "http://corner.localhost:8080"


def test_a_warm_store_has_neither_name_nor_address() -> None:
    values = engines.values(Settings(), store(Engine.MEDUSA, owner=None, name=None, host=None))["store"]
    assert (values["name"], values["host"], values["url"], values["owner"]) == ("", "", "", "nobody")


def test_the_administrator_is_the_owner_when_that_is_an_address() -> None:
    assert engines.admin_email(store(Engine.MEDUSA)) == "alice@example.com"
    assert engines.admin_email(store(Engine.MEDUSA, owner="alice")) == "admin@corner.localhost"


@pytest.mark.parametrize("owner", ["alice@example.com", "Ünïcode Person", "x" * 300])
def test_an_owners_label_is_a_legal_value_that_tells_owners_apart(owner: str) -> None:
    label = engines.owner_label(owner)
    assert label.isalnum()
    assert len(label) <= 63
    assert label != engines.owner_label(owner + "2")
