"""The API's own description."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from stores import openapi
from stores.http import Api
from stores.model import RESERVED_NAMES, name_problem
from tests.support import FUNCTIONS

DOCUMENT = openapi.document()


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def routes(function: str) -> set[tuple[str, str]]:
    spec = importlib.util.spec_from_file_location(f"routes_of_{function}", FUNCTIONS / function / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    api: Api = module.api
    found = set()
    for rule in api._map.iter_rules():
        words = re.search(r"<any\(([^)]*)\):\w+>", rule.rule)
        paths = [rule.rule.replace(words[0], word.strip()) for word in words[1].split(",")] if words else [rule.rule]
        found |= {
            (method, re.sub(r"<uuid:(\w+)>", r"{\1}", path))
            for path in paths
            for method in (rule.methods or set()) - {"HEAD"}
        }
    return found


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    OPENAPI_31_VALIDATOR.validate(DOCUMENT)


def test_it_is_json() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


def test_every_reference_leads_somewhere() -> None:
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    found = set(references(DOCUMENT))
    assert found
    assert {reference.rpartition("/")[2] for reference in found} <= set(DOCUMENT["components"]["schemas"])


def test_it_describes_exactly_what_the_functions_answer() -> None:
    described = {(method, path) for method, path, _ in operations()}
    answered = routes("create") | routes("delete") | routes("status")
    machines = {("GET", "/api/openapi.json"), ("GET", "/metrics")}
    assert described == answered - machines


@pytest.mark.parametrize(("method", "path", "operation"), [*operations()], ids=[f"{m} {p}" for m, p, _ in operations()])
def test_every_operation_says_what_it_needs_and_how_it_fails(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert ("401" in operation["responses"]) == (path != "/api/health")
    assert "503" in operation["responses"]
    assert ("404" in operation["responses"]) == ("{store_id}" in path)
    assert [p["name"] for p in operation["parameters"] if p["in"] == "path"] == ["store_id"] * ("{store_id}" in path)
    for status, response in operation["responses"].items():
        media = "application/json" if status.startswith("2") else "application/problem+json"
        assert list(response["content"]) == [media], (method, status)


def test_it_tells_the_whole_rule_of_names() -> None:
    rule = DOCUMENT["components"]["schemas"]["StoreRequest"]["properties"]["name"]
    for name in [
        *RESERVED_NAMES,
        "ab",
        "abc",
        "a-c",
        "-bc",
        "ab-",
        "aBc",
        "a" * 40,
        "a" * 41,
        "xn--a",
        "a.b",
        "corner",
    ]:
        fits = re.search(rule["pattern"], name) and rule["minLength"] <= len(name) <= rule["maxLength"]
        assert bool(fits and name not in rule["not"]["enum"]) == (name_problem(name) is None), name
