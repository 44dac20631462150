"""The API as callers meet it: every answer, and every way to be refused."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from werkzeug.test import TestResponse

from stores import again, db, lifecycle, stock
from stores.model import Phase
from tests.functions.conftest import Api, Gateway
from tests.support import Postgres, World, eventually


def problem(response: TestResponse, status: int) -> dict[str, Any]:
    """The document of a refusal, which is always problem+json."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    document: dict[str, Any] = response.get_json(force=True)
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


# --- create -------------------------------------------------------------------------------------------------------


def test_asking_for_a_store_is_answered_at_once_with_the_store(api: Api) -> None:
    response = api.create("corner", "medusa")
    store = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/api/stores/{store['id']}"
    assert response.headers["Cache-Control"] == "no-store"
    assert (store["name"], store["type"], store["status"], store["owner"]) == (
        "corner",
        "medusa",
        "provisioning",
        "alice",
    )
    assert re.fullmatch(r"store-[0-9a-f]{12}", store["namespace"])
    assert store["host"] == "corner.localhost"
    assert store["url"] is None
    assert store["deadline_at"] > store["created_at"]


@pytest.mark.parametrize("body", [b"", b"{", b"name=corner", b"\xff\xfe", b"[" * 60_000])
def test_a_body_that_is_no_json_is_a_bad_request(api: Api, body: bytes) -> None:
    problem(api("POST", "/api/stores", data=body, content_type="application/json"), 400)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "corner", "type": "medusa", "admin": True}, "admin"),
        ({"name": "Corner", "type": "medusa"}, "name"),
        ({"name": "admin", "type": "medusa"}, "name"),
        ({"name": "ab", "type": "medusa"}, "name"),
        ({"name": 7, "type": "medusa"}, "name"),
        ({"name": None, "type": "medusa"}, "name"),
        ({"name": "corner", "type": "shopify"}, "type"),
        ({"name": "corner"}, "type"),
        ({"type": "medusa"}, "name"),
        ([], "body"),
        ("corner", "body"),
    ],
)
def test_a_wrong_field_is_named(api: Api, world: World, body: Any, field: str) -> None:
    document = problem(api("POST", "/api/stores", json=body), 422)
    assert field in [error["field"] for error in document["errors"]]
    assert all(error["message"] for error in document["errors"])
    assert world.value("select count(*) from stores") == 0


def test_all_wrong_fields_are_named_at_once(api: Api) -> None:
    document = problem(api("POST", "/api/stores", json={"name": "X", "type": "y", "z": 1}), 422)
    assert {error["field"] for error in document["errors"]} == {"name", "type", "z"}


@pytest.mark.parametrize("size", [64 * 1024 + 1, 2 * 1024 * 1024])
def test_a_body_that_is_too_large_is_refused(api: Api, size: int) -> None:
    problem(api("POST", "/api/stores", data=b" " * size, content_type="application/json"), 413)


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"])
def test_a_body_that_is_not_declared_as_json_is_refused(api: Api, media: str) -> None:
    problem(api("POST", "/api/stores", data=b'{"name": "corner", "type": "medusa"}', content_type=media), 415)


def test_json_with_a_charset_is_json(api: Api) -> None:
    body = b'{"name": "corner", "type": "medusa"}'
    assert api("POST", "/api/stores", data=body, content_type="application/json; charset=utf-8").status_code == 202


def test_a_name_that_is_taken_is_refused_whoever_has_it(api: Api, bob: Api) -> None:
    api.create("corner")
    for caller in (api, bob):
        document = problem(caller.create("corner"), 409)
        assert document["type"] == "urn:urumi:problem:name-taken"
        assert "corner" in document["detail"]


def test_a_sixth_store_is_refused_with_a_time_to_come_back(api: Api, world: World) -> None:
    world.configure(stores_per_owner=5)
    for n in range(5):
        assert api.create(f"corner-{n}").status_code == 202
    response = api.create("corner-5")
    assert problem(response, 429)["type"] == "urn:urumi:problem:quota-exceeded"
    assert int(response.headers["Retry-After"]) > 0
    assert world.value("select count(*) from stores") == 5


def test_a_second_store_within_a_minute_is_refused_with_a_time_to_come_back(api: Api, bob: Api, world: World) -> None:
    world.configure(creation_interval=60)
    assert api.create("corner").status_code == 202
    response = api.create("another")
    assert problem(response, 429)["type"] == "urn:urumi:problem:rate-limited"
    assert 55 <= int(response.headers["Retry-After"]) <= 61
    assert bob.create("another").status_code == 202, "the limit is each owner's own"


def test_a_repeated_request_with_its_key_gets_the_same_answer(api: Api, world: World) -> None:
    world.configure(stores_per_owner=1, creation_interval=60)
    first = api.create(headers={"Idempotency-Key": "k-1"})
    second = api.create(headers={"Idempotency-Key": "k-1"})
    assert (second.status_code, second.get_json()) == (202, first.get_json())
    assert second.headers["Location"] == first.headers["Location"]
    assert world.value("select count(*) from stores") == 1


def test_a_key_that_was_used_for_another_request_is_refused(api: Api) -> None:
    api.create("corner", headers={"Idempotency-Key": "k-1"})
    document = problem(api.create("another", headers={"Idempotency-Key": "k-1"}), 422)
    assert document["errors"][0]["field"] == "Idempotency-Key"
    problem(api.create("corner", "medusa", headers={"Idempotency-Key": "k-1"}), 422)


@pytest.mark.parametrize("key", ["", "k" * 201, "two words", "schl\xfcssel"])
def test_a_key_that_cannot_be_kept_is_refused(api: Api, key: str) -> None:
    problem(api.create(headers={"Idempotency-Key": key}), 422)


# --- who is calling -----------------------------------------------------------------------------------------------

EVERYWHERE = [
    ("POST", "/api/stores"),
    ("POST", f"/api/stores/{uuid4()}/retry"),
    ("POST", f"/api/stores/{uuid4()}/credentials"),
    ("DELETE", f"/api/stores/{uuid4()}"),
    ("GET", "/api/stores"),
    ("GET", f"/api/stores/{uuid4()}"),
    ("GET", f"/api/stores/{uuid4()}/events"),
    ("GET", f"/api/stores/{uuid4()}/credentials"),
    ("GET", "/api/audit"),
    ("GET", "/api/platform"),
]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer urumi_wrong", "Bearer \xfc"])
@pytest.mark.usefixtures("world")
def test_without_a_valid_token_there_is_no_way_in(gateway: Gateway, header: str | None) -> None:
    for method, path in EVERYWHERE:
        response = Api(gateway, None)(method, path, headers={} if header is None else {"Authorization": header})
        problem(response, 401)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("ended", ["revoked_at", "expires_at"])
def test_a_token_that_was_revoked_or_has_expired_is_not_valid(api: Api, world: World, ended: str) -> None:
    assert api.get("/api/stores").status_code == 200
    world.rows(f"update api_tokens set {ended} = now()")  # noqa: S608
    problem(api.get("/api/stores"), 401)


def test_a_token_is_nowhere_in_the_database(api: Api, world: World) -> None:
    assert api.token is not None
    text = " ".join(str(row) for row in world.rows("select api_tokens::text from api_tokens"))
    assert api.token not in text
    assert api.token.removeprefix("urumi_") not in text


@pytest.mark.parametrize("path", ["/api/health", "/api/openapi.json", "/metrics"])
@pytest.mark.usefixtures("world")
def test_machines_need_no_token(gateway: Gateway, path: str) -> None:
    assert Api(gateway, None).get(path).status_code == 200


def test_another_owners_store_is_not_there(api: Api, bob: Api) -> None:
    store_id = bob.ready()
    paths = [
        (method, path.rpartition("stores/")[2].partition("/")[2]) for method, path in EVERYWHERE if "/stores/" in path
    ]
    for method, rest in paths:
        problem(api(method, f"/api/stores/{store_id}/{rest}".rstrip("/")), 404)
    assert api.get("/api/stores").get_json()["items"] == []
    assert api.get("/api/stores").get_json()["counts"] == {}
    assert bob.get(f"/api/stores/{store_id}").get_json()["status"] == "ready"
    assert bob.get(f"/api/stores/{store_id}/credentials").status_code == 200


def test_an_admin_sees_everybodys(api: Api, bob: Api, admin: Api) -> None:
    api.create("of-alice")
    bob.create("of-bob")
    items = admin.get("/api/stores").get_json()["items"]
    assert {(item["name"], item["owner"]) for item in items} == {("of-alice", "alice"), ("of-bob", "bob")}
    assert {entry["user"] for entry in admin.get("/api/audit").get_json()["items"]} == {"alice", "bob"}
    assert {entry["user"] for entry in api.get("/api/audit").get_json()["items"]} == {"alice"}
    assert admin("DELETE", f"/api/stores/{items[0]['id']}").status_code == 202


# --- paths and methods --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "path"),
    [
        ("create", "/api/nothing"),
        ("create", "/"),
        ("delete", "/api/stores/not-an-id"),
        ("status", "/api/stores/not-an-id"),
        ("status", "/api/stores/%00"),
        ("status", "/metrics/x"),
    ],
)
def test_an_unknown_path_is_not_found(api: Api, function: str, path: str) -> None:
    method = {"create": "POST", "delete": "DELETE", "status": "GET"}[function]
    response = api.gateway.apps[function].test_client().open(path, method=method)
    problem(response, 404)


@pytest.mark.parametrize(
    ("function", "path", "allowed"),
    [
        ("create", "/api/stores", "POST"),
        ("delete", f"/api/stores/{uuid4()}", "DELETE"),
        ("status", "/api/stores", "GET, HEAD"),
        ("status", "/metrics", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_allowed_is_told_which_ones_are(api: Api, function: str, path: str, allowed: str) -> None:
    response = api.gateway.apps[function].test_client().open(path, method="PATCH")
    problem(response, 405)
    assert response.headers["Allow"] == allowed


def test_a_request_id_is_given_back_and_made_where_there_is_none(api: Api) -> None:
    assert api.get("/api/stores", headers={"X-Request-Id": "mine"}).headers["X-Request-Id"] == "mine"
    assert len(api.get("/api/stores").headers["X-Request-Id"]) == 16


# --- one store's way ----------------------------------------------------------------------------------------------


def test_a_store_is_shown_with_its_steps_and_its_history(api: Api) -> None:
    store_id = api.ready()
    store = api.get(f"/api/stores/{store_id}").get_json()
    assert store["url"] == "http://corner.localhost"
    assert store["time_to_ready_seconds"] > 0
    assert [step["name"] for step in store["steps"]] == ["namespace", "chart", "database", "app", "identity", "address"]
    assert all(step["seconds"] is not None for step in store["steps"])
    events = api.get(f"/api/stores/{store_id}/events").get_json()["items"]
    assert [event["type"] for event in events] == ["ready", "requested"], "newest first"
    assert len(api.get(f"/api/stores/{store_id}/events?limit=1").get_json()["items"]) == 1


def test_a_store_is_deleted_and_then_not_there(api: Api) -> None:
    store_id = api.ready()
    response = api("DELETE", f"/api/stores/{store_id}")
    assert response.status_code == 202
    assert response.get_json()["status"] == "deleting"
    assert api("DELETE", f"/api/stores/{store_id}").status_code == 202, "asking again is fine"
    for _ in range(3):
        api.sweep()
    problem(api("DELETE", f"/api/stores/{store_id}"), 404)
    problem(api.get(f"/api/stores/{store_id}"), 404)
    assert api.get("/api/stores").get_json()["items"] == []


def test_only_a_failed_store_is_tried_again(api: Api, world: World) -> None:
    store_id = api.ready()
    problem(api("POST", f"/api/stores/{store_id}/retry"), 409)
    world.rows("delete from simulator.namespaces")
    api.sweep()
    assert api.get(f"/api/stores/{store_id}").get_json()["error_reason"] == "namespace-lost"
    response = api("POST", f"/api/stores/{store_id}/retry")
    assert response.status_code == 202
    assert response.get_json()["attempt"] == 2
    api.sweep()
    assert api.get(f"/api/stores/{store_id}").get_json()["status"] == "ready"


def test_a_store_sleeps_and_wakes_when_its_owner_says_so(api: Api, bob: Api, world: World) -> None:
    store = world.ready("mine")
    asleep = api("POST", f"/api/stores/{store.id}/sleep")
    assert (asleep.status_code, asleep.get_json()["desired"]) == (202, "asleep")
    assert api("POST", f"/api/stores/{store.id}/sleep").status_code == 202, "asking twice is no other wish"
    assert world.settle(store.id, Phase.ASLEEP).ready_at == store.ready_at
    assert api("POST", f"/api/stores/{store.id}/wake").status_code == 202
    assert world.settle(store.id, Phase.READY).time_to_ready == store.time_to_ready
    assert bob("POST", f"/api/stores/{store.id}/sleep").status_code == 404
    unborn = world.create("unborn")
    assert api("POST", f"/api/stores/{unborn}/sleep").status_code == 409


def test_a_password_is_shown_once_and_a_new_one_on_request(api: Api, world: World) -> None:
    store_id = api.create().get_json()["id"]
    path = f"/api/stores/{store_id}/credentials"
    problem(api.get(path), 409)
    api.sweep()
    first = api.get(path)
    assert first.status_code == 200
    assert first.headers["Cache-Control"] == "no-store"
    assert first.get_json()["admin_url"] == "http://corner.localhost/wp-admin/"
    assert first.get_json()["password"] == world.value("select password from simulator.namespaces")
    problem(api.get(path), 410)
    assert api("POST", path).status_code == 202
    problem(api.get(path), 409)
    api.sweep()
    headers, body = event("dev.urumi.store.requested", subject=store_id)
    api.event(headers, body)
    second = api.get(path).get_json()
    assert second["password"] == world.value("select password from simulator.namespaces")
    assert second["password"] != first.get_json()["password"]


# --- lists --------------------------------------------------------------------------------------------------------


def test_stores_come_newest_first_in_pages(api: Api) -> None:
    for n in range(5):
        api.create(f"corner-{n}")
    names: list[str] = []
    cursor, pages = "", 0
    while True:
        page = api.get(f"/api/stores?limit=2{cursor}").get_json()
        names += [item["name"] for item in page["items"]]
        pages += 1
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert names == [f"corner-{n}" for n in (4, 3, 2, 1, 0)]
    assert pages == 3


def test_stores_can_be_asked_for_by_status(api: Api) -> None:
    api.ready("one")
    api.create("two")
    assert [item["name"] for item in api.get("/api/stores?status=ready").get_json()["items"]] == ["one"]
    assert api.get("/api/stores").get_json()["counts"] == {"ready": 1, "provisioning": 1}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("status=happy", "status"),
        ("page=2", "page"),
    ],
)
def test_a_wrong_parameter_is_named(api: Api, query: str, field: str) -> None:
    document = problem(api.get(f"/api/stores?{query}"), 422)
    assert [error["field"] for error in document["errors"]] == [field]


def test_the_platform_tells_what_it_offers_and_who_asks(api: Api, admin: Api) -> None:
    api.ready()
    platform = api.get("/api/platform").get_json()
    assert platform["cluster"] == "simulated"
    assert platform["url_template"] == "http://{name}.localhost"
    assert {engine["type"] for engine in platform["engines"]} == {"woocommerce", "medusa"}
    assert platform["me"] == {"owner": "alice", "role": "owner"}
    assert platform["quota"] == {"limit": 1000, "used": 1}
    assert platform["time_to_ready"]["n"] == 1
    assert platform["sweep_age_seconds"] < 10
    assert admin.get("/api/platform").get_json()["me"]["role"] == "admin"


def test_health_says_what_works(api: Api) -> None:
    assert api.get("/api/health").get_json() == {"status": "ok", "database": "ok", "cluster": "simulated"}


# --- audit --------------------------------------------------------------------------------------------------------


def test_every_attempt_is_noted_the_refused_ones_too(api: Api, bob: Api, world: World) -> None:
    store_id = api.ready()
    api.create("corner")
    world.configure(stores_per_owner=1)
    api.create("another")
    api("POST", f"/api/stores/{store_id}/retry")
    api.get(f"/api/stores/{store_id}/credentials")
    api.get(f"/api/stores/{store_id}/credentials")
    api("POST", f"/api/stores/{store_id}/credentials")
    api("DELETE", f"/api/stores/{store_id}")
    bob("DELETE", f"/api/stores/{store_id}")
    api("POST", "/api/stores", json={"name": "No Label", "type": "medusa"})
    entries = api.get("/api/audit").get_json()["items"]
    assert [(entry["action"], entry["outcome"], entry["reason"]) for entry in reversed(entries)] == [
        ("create", "accepted", None),
        ("create", "refused", "name-taken"),
        ("create", "refused", "quota-exceeded"),
        ("retry", "refused", "conflict"),
        ("read-credentials", "accepted", None),
        ("read-credentials", "refused", "gone"),
        ("rotate-credentials", "accepted", None),
        ("delete", "accepted", None),
        ("create", "refused", "invalid"),
    ]
    assert [entry["store_name"] for entry in reversed(entries)][:3] == ["corner", "corner", "another"]
    (refused,) = bob.get("/api/audit").get_json()["items"]
    assert (refused["action"], refused["reason"], refused["store_id"]) == ("delete", "not-found", str(store_id))


@pytest.mark.parametrize(
    ("proxies", "forwarded", "noted"),
    [
        (0, None, "127.0.0.1"),
        (0, "198.51.100.7", "127.0.0.1"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "10.9.9.9, 198.51.100.7", "198.51.100.7"),
        (2, "198.51.100.7, 10.0.0.1", "198.51.100.7"),
        (5, "198.51.100.7", "198.51.100.7"),
    ],
)
def test_the_address_in_the_audit_log_is_the_one_that_a_trusted_proxy_saw(
    api: Api, world: World, proxies: int, forwarded: str | None, noted: str
) -> None:
    world.configure(proxies=proxies)
    api.create(headers={"X-Forwarded-For": forwarded} if forwarded else {})
    assert api.get("/api/audit").get_json()["items"][0]["ip"] == noted


def test_the_audit_log_comes_in_pages(api: Api) -> None:
    for n in range(3):
        api.create(f"corner-{n}")
    first = api.get("/api/audit?limit=2").get_json()
    second = api.get(f"/api/audit?limit=2&cursor={first['next_cursor']}").get_json()
    assert [entry["store_name"] for entry in first["items"] + second["items"]] == ["corner-2", "corner-1", "corner-0"]
    assert second["next_cursor"] is None


# --- PostgreSQL is away -------------------------------------------------------------------------------------------


def test_while_postgresql_is_away_everything_says_so_and_nothing_is_half_done(
    api: Api, world: World, postgres: Postgres
) -> None:
    store_id = api.ready()
    with postgres.stopped():
        calls = [
            lambda: api.create("another", headers={"Idempotency-Key": "k"}),
            lambda: api.get("/api/stores"),
            lambda: api("DELETE", f"/api/stores/{store_id}"),
            lambda: api.get("/api/health"),
            lambda: api.get("/metrics"),
            api.sweep,
            lambda: api.event(*event("dev.urumi.store.requested", subject=str(store_id))),
        ]
        with ThreadPoolExecutor(len(calls)) as threads:
            answers = list(threads.map(lambda call: call(), calls))
        for response in answers:
            problem(response, 503)
            assert int(response.headers["Retry-After"]) > 0
    assert world.value("select count(*) from stores") == 1
    assert world.value("select count(*) from audit_logs") == 1
    assert api.create("another", headers={"Idempotency-Key": "k"}).status_code == 202
    assert api.sweep().status_code == 204
    assert api.get("/api/stores").get_json()["counts"] == {"ready": 2}


def test_when_postgresql_goes_away_in_the_middle_of_a_request_nothing_of_it_is_kept(
    api: Api, world: World, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_ = db.event
    stopped = postgres.stopped()

    def stop_then_write(*args: Any, **more: Any) -> None:
        stopped.__enter__()
        event_(*args, **more)

    monkeypatch.setattr(db, "event", stop_then_write)
    response = api.create(headers={"Idempotency-Key": "k"})
    stopped.__exit__(None, None, None)
    problem(response, 503)
    for table in ("stores", "idempotency_keys", "store_events", "audit_logs"):
        assert world.value(f"select count(*) from {table}") == 0, table  # noqa: S608
    monkeypatch.setattr(db, "event", event_)
    assert api.create(headers={"Idempotency-Key": "k"}).status_code == 202


# --- events -------------------------------------------------------------------------------------------------------


def event(type_: str, **attributes: str) -> tuple[dict[str, str], bytes]:
    headers = {"ce-specversion": "1.0", "ce-id": str(uuid4()), "ce-source": "/test", "ce-type": type_}
    headers |= {f"ce-{name}": value for name, value in attributes.items()}
    return headers | {"content-type": "application/json"}, b"{}"


def test_an_event_is_answered_with_204_and_nothing_else(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Knative's broker turns any other answer that is no event into an error, and sends the event again for ever."""
    monkeypatch.setattr(lifecycle, "WAKING", 0.0)
    store = api.create().get_json()
    for headers, body in (
        event("dev.urumi.store.requested", subject=store["id"]),
        event("dev.urumi.store.retired", subject=store["id"]),
        event("dev.urumi.store.requested", subject=str(uuid4())),
        event("dev.urumi.sweep.due"),
        event("dev.urumi.cluster.changed", subject=store["namespace"]),
        event("dev.urumi.cluster.changed", subject="kube-system"),
        event("dev.urumi.cluster.caller-came", subject="create"),
    ):
        response = api.event(headers, body)
        assert (response.status_code, response.data) == (204, b""), headers["ce-type"]
        assert "Content-Type" not in response.headers or not response.data
    assert api.get(f"/api/stores/{store['id']}").get_json()["status"] == "ready"


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, b"hello"), event("com.example.other"), event("dev.urumi.store.requested", subject="x"), ({}, b"")],
)
def test_what_is_no_event_is_refused_for_good(api: Api, headers: dict[str, str], body: bytes) -> None:
    problem(api.event(headers, body), 400)


def test_an_event_that_is_too_large_is_refused(api: Api) -> None:
    headers, _ = event("dev.urumi.sweep.due")
    problem(api.event(headers, b" " * (2 * 1024 * 1024)), 413)


def test_an_event_for_a_store_that_is_worked_on_is_sent_again_later(api: Api) -> None:
    store_id = api.create().get_json()["id"]
    with db.store_lock(store_id):
        response = api.event(*event("dev.urumi.store.requested", subject=store_id))
        problem(response, 409)
    assert api.event(*event("dev.urumi.store.requested", subject=store_id)).status_code == 204


def test_a_store_that_waits_is_looked_at_again_without_another_event(
    world: World, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "SECONDS", 0.1)
    world.configure(simulated_speed=4)
    store = api.create().get_json()
    for _ in range(3):
        api.event(*event("dev.urumi.store.requested", subject=store["id"]))
    assert len(again._due) == 1, "however many events there were"
    eventually(lambda: api.get(f"/api/stores/{store['id']}").get_json()["status"] == "ready", seconds=10)
    eventually(lambda: not again._due, seconds=2)


def test_reconcile_begins_with_what_a_waking_function_writes_before_its_event_comes(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "WAKING", 3.0)
    assert api.event(*event("dev.urumi.cluster.caller-came", subject="create")).status_code == 204
    store = api.create().get_json()
    eventually(lambda: api.get(f"/api/stores/{store['id']}").get_json()["status"] == "ready", seconds=3)
    eventually(lambda: not again._due, seconds=5)


def test_a_second_look_that_comes_too_early_is_taken_later(
    world: World, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "SECONDS", 0.1)
    world.configure(simulated_speed=1e-9)
    store = api.create().get_json()
    api.event(*event("dev.urumi.store.requested", subject=store["id"]))
    world.configure(simulated_speed=1e9)
    with db.store_lock(store["id"]):
        time.sleep(0.3)  # some looks, all in vain
        assert world.store(store["id"]).status is Phase.PROVISIONING
    eventually(lambda: world.store(store["id"]).status is Phase.READY, seconds=5)


def test_a_claimed_store_is_replaced_in_the_stock_without_a_sweep(
    world: World, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "SECONDS", 0.1)
    monkeypatch.setattr(stock, "CALM", 0.0)
    world.configure(warm='{"medusa": 1}')

    def in_stock() -> int:
        return int(world.value("select count(*) from stores where status = 'warm'"))

    eventually(lambda: api.sweep() and in_stock() == 1, seconds=10)
    store = api.create(type="medusa").get_json()
    assert in_stock() == 0
    api.event(*event("dev.urumi.store.requested", subject=store["id"]))
    assert world.store(store["id"]).from_warm
    eventually(lambda: in_stock() == 1, seconds=10)


# --- logs ---------------------------------------------------------------------------------------------------------


def test_logs_follow_a_request_and_never_hold_a_token_or_a_password(
    world: World, gateway: Gateway, capfd: pytest.CaptureFixture[str]
) -> None:
    world.configure(log_level="DEBUG", sink="http://127.0.0.1:9/away")
    api = Api(gateway, world.token())
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    response = api.create(headers={"traceparent": trace, "X-Request-Id": "r-1"})
    response.close()
    store_id = response.get_json()["id"]
    api.sweep()
    password = api.get(f"/api/stores/{store_id}/credentials").get_json()["password"]
    api("POST", "/api/stores", json={"name": "x", "password": "hunter2"})
    api("DELETE", f"/api/stores/{store_id}")
    api.sweep()
    written = capfd.readouterr().err
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    assert any(line.get("store") == store_id and line["message"] == "action done" for line in lines)
    (undelivered,) = [
        line for line in lines if line["message"].startswith("event not delivered") and line["request_id"] == "r-1"
    ]
    assert undelivered["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert api.token is not None
    for secret in (api.token, api.token.removeprefix("urumi_"), password, "hunter2"):
        assert secret not in written
