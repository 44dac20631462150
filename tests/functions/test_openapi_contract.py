"""Schemathesis throws what the OpenAPI document allows, and what it does not, at the four functions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from schemathesis import GenerationMode

from stores import lifecycle, openapi
from stores.model import Phase as Status
from tests.functions.conftest import Api, Gateway
from tests.support import Database, Postgres, World, environment, forget, origin


@pytest.fixture(scope="module")
def owner(postgres: Postgres, template: Database, gateway: Gateway) -> Iterator[Api]:
    """An owner with stores in several states."""
    database = postgres.create(template=template)
    before = dict(os.environ)
    os.environ.update(environment(database))
    forget()
    world = World(database)
    api = Api(gateway, world.token())
    world.ready("ready-one")
    world.fault("failed-one", "crash")
    failed = world.create("failed-one")
    lifecycle.converge(store_id=failed)
    world.rows("update stores set deadline_at = now() where id = %s", failed)
    world.settle(failed, Status.FAILED)
    lifecycle.retire(origin(), world.create("deleting-one"))
    yield api
    forget()
    os.environ.clear()
    os.environ.update(before)
    postgres.drop(database)


OPERATIONS = [(method, path) for path, item in openapi.document()["paths"].items() for method in item]


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[f"{m.upper()} {p}" for m, p in OPERATIONS])
def test_every_answer_is_one_that_the_document_promises(owner: Api, method: str, path: str, facts: list[str]) -> None:
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", owner.gateway)
    operation = schema[path][method]
    codes: Counter[int] = Counter()
    keys: set[str | None] = set()
    ids = [item["id"] for item in owner.get("/api/stores").get_json()["items"]]

    def about_a_store_of_ours(case: Any) -> Any:
        if "store_id" in case.path_parameters:
            case.path_parameters["store_id"] = ids[len(codes) % len(ids)]
        return case

    valid, wrong = operation.as_strategy(GenerationMode.POSITIVE), operation.as_strategy(GenerationMode.NEGATIVE)

    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=valid | valid.map(about_a_store_of_ours) | wrong)
    def play(case: Any) -> None:
        key = (case.headers or {}).get("Idempotency-Key")
        assume(key is None or key not in keys)  # for another request it is refused, which no schema can say
        keys.add(key)
        response = case.call_and_validate(headers={"Authorization": f"Bearer {owner.token}"})
        codes[response.status_code] += 1

    play()
    facts.append(f"schemathesis: {method.upper()} {path}: {dict(sorted(codes.items()))}")
