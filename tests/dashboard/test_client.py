"""The client alone: what it asks, and what it makes of the answers."""

from __future__ import annotations

import client
import fake_api
import httpx
import pytest

ADDRESSES = client.Addresses(create="http://create.test", delete="http://delete.test", status="http://status.test")


def api(
    answer: httpx.Response | Exception | fake_api.FakeApi, *, seen: list[httpx.Request] | None = None
) -> client.Api:
    """A client whose every call gets this answer."""

    def handle(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if isinstance(answer, fake_api.FakeApi) else answer

    return client.Api(
        http=httpx.Client(transport=httpx.MockTransport(handle)), addresses=ADDRESSES, token=fake_api.TOKEN
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, client.Invalid),
        (401, client.Unauthorized),
        (404, client.NotFound),
        (409, client.Conflict),
        (410, client.Gone),
        (413, client.Invalid),
        (415, client.Invalid),
        (422, client.Invalid),
        (429, client.TooMany),
        (503, client.Unavailable),
        (418, client.BadAnswer),
        (500, client.BadAnswer),
    ],
)
def test_each_refusal_becomes_its_own_error_with_the_platforms_words(status: int, kind: type[client.ApiError]) -> None:
    with pytest.raises(kind, match="The reason") as caught:
        api(fake_api.problem(status, "The reason.")).store("x")
    assert type(caught.value) is kind


def test_wrong_fields_are_named() -> None:
    answer = fake_api.problem(422, "Wrong.", errors=[{"field": "name", "message": "is reserved"}])
    with pytest.raises(client.Invalid) as caught:
        api(answer).create(name="admin", engine="medusa", idempotency_key="k")
    assert caught.value.fields == {"name": "is reserved"}


@pytest.mark.parametrize(("header", "seconds"), [("30", 30), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("", None)])
def test_retry_after_is_read_when_it_is_a_number_of_seconds(header: str, seconds: int | None) -> None:
    answer = httpx.Response(429, headers={"Retry-After": header}, json={"detail": "Slow down."})
    with pytest.raises(client.TooMany) as caught:
        api(answer).platform()
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), client.Down),
        (httpx.ConnectTimeout("no route"), client.Down),
        (httpx.RemoteProtocolError("cut off"), client.Down),
        (httpx.ReadTimeout("asleep"), client.TooSlow),
    ],
)
def test_no_answer_is_told_apart_from_a_slow_one(error: Exception, kind: type[client.ApiError]) -> None:
    with pytest.raises(kind, match=r"http://status\.test"):
        api(error).platform()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>A proxy's page</html>"),
        httpx.Response(200, json=["a", "list"]),
        httpx.Response(200, json={"items": [{"id": "1"}], "next_cursor": None, "counts": {}}),
        httpx.Response(200, json={"items": 7, "next_cursor": None, "counts": {}}),
        httpx.Response(502, text="Bad gateway"),
    ],
)
def test_an_answer_that_is_not_ours_is_called_so(answer: httpx.Response) -> None:
    with pytest.raises(client.BadAnswer):
        api(answer).stores()


def test_a_gateways_plain_503_still_means_try_again() -> None:
    with pytest.raises(client.Unavailable):
        api(httpx.Response(503, text="no healthy upstream")).platform()


def test_fields_that_a_newer_platform_adds_are_ignored(platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books")
    answer = httpx.Response(200, json={**platform.describe(store), "steps": [], "colour": "green"})
    assert api(answer).store(store.id).name == "corner-books"


def test_each_call_goes_to_its_function_with_the_token(platform: fake_api.FakeApi) -> None:
    seen: list[httpx.Request] = []
    calls = api(platform, seen=seen)
    store = calls.create(name="corner-books", engine="woocommerce", idempotency_key="k-1")
    calls.store(store.id)
    calls.delete(store.id)
    assert [(each.method, each.url.host) for each in seen] == [
        ("POST", "create.test"),
        ("GET", "status.test"),
        ("DELETE", "delete.test"),
    ]
    assert {each.headers["Authorization"] for each in seen} == {f"Bearer {fake_api.TOKEN}"}
    assert seen[0].headers["Idempotency-Key"] == "k-1"


def test_an_id_from_the_address_bar_cannot_reach_another_route(platform: fake_api.FakeApi) -> None:
    seen: list[httpx.Request] = []
    with pytest.raises(client.NotFound):
        api(platform, seen=seen).store("../audit?limit=1#")
    assert seen[0].url.raw_path == b"/api/stores/..%2Faudit%3Flimit%3D1%23"


def test_one_address_stands_in_for_all_and_a_missing_one_is_named() -> None:
    one = client.Addresses.from_environment({"URUMI_API_URL": "http://a/", "URUMI_CREATE_URL": "http://c"})
    assert one == client.Addresses(create="http://c", delete="http://a", status="http://a")
    with pytest.raises(LookupError, match="URUMI_DELETE_URL"):
        client.Addresses.from_environment({"URUMI_CREATE_URL": "http://c"})


def test_secrets_do_not_show_in_a_repr() -> None:
    credentials = client.Credentials(admin_url="http://shop/admin", user="me", password="hunter2")
    assert "hunter2" not in repr(credentials)
    assert fake_api.TOKEN not in repr(api(httpx.Response(200)))


def test_time_outs_are_short_to_connect_and_patient_with_a_cold_function() -> None:
    assert (client.TIMEOUT.connect, client.TIMEOUT.read) == (2, 20)
