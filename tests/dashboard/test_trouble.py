"""What stands there when the platform does not answer as it should, and who may look at all."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import call as mock_call
from unittest.mock import patch

import fake_api
import httpx
import pytest
import streamlit as st
from looking import Open, labels, text_of
from streamlit.runtime.secrets import Secrets

DOWN = httpx.ConnectError("refused")
SLOW = httpx.ReadTimeout("asleep")
AWAY = fake_api.problem(503, "The database does not answer.", retry_after=5)
ADA = {"is_logged_in": True, "email": "ada@example.com", "tokens": {"id": fake_api.OTHER_TOKEN}}
PAGES = [None, "store", "activity", "platform"]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    ("answer", "title", "advice"),
    [
        (DOWN, "The platform does not answer", "Nothing answers at http://urumi.test."),
        (SLOW, "The platform is slow to wake", "did not answer within 20 seconds"),
        (AWAY, "The platform's database is away", "Worth another try in 5 s."),
        (fake_api.problem(401, "No."), "The platform does not accept this token", "URUMI_TOKEN"),
        (httpx.Response(200, text="hello"), "The platform answered something unexpected", "of one version"),
    ],
)
def test_every_page_explains_a_platform_in_trouble_and_comes_back(
    open_app: Open,
    platform: fake_api.FakeApi,
    page: str | None,
    answer: httpx.Response | Exception,
    title: str,
    advice: str,
) -> None:
    store = platform.add("corner-books")
    platform.answer_instead("GET", "/api", answer)
    at = open_app(page, id=store.id)
    text = text_of(at)
    assert title in text
    assert advice in text
    platform.instead.clear()
    at.button(key="platform_again").click().run()
    assert not at.error
    assert at.title


@pytest.mark.parametrize(
    ("page", "path", "key"),
    [(None, "/api/stores", "board"), ("store", "/api/stores", "store"), ("activity", "/api/audit", "activity")],
)
def test_a_part_in_trouble_leaves_the_frame_and_can_be_retried(
    open_app: Open, platform: fake_api.FakeApi, page: str | None, path: str, key: str
) -> None:
    store = platform.add("corner-books")
    platform.record("create", store)
    platform.answer_instead("GET", path, AWAY)
    at = open_app(page, id=store.id)
    assert "The platform's database is away" in text_of(at)
    platform.instead.clear()
    at.button(key=f"{key}_again").click().run()
    assert not at.error
    assert "corner-books" in text_of(at) + "".join(frame.value.to_csv() for frame in at.dataframe)


def test_a_platform_that_takes_its_time_is_said_to_be_waking(open_app: Open, platform: fake_api.FakeApi) -> None:
    with patch.object(st, "spinner") as spinner:
        open_app("store", id=platform.add("corner-books").id)
    assert spinner.call_args_list
    assert all(call == mock_call("Waking the platform", show_time=True) for call in spinner.call_args_list)


def test_events_in_trouble_leave_the_rest_of_the_store(open_app: Open, platform: fake_api.FakeApi) -> None:
    store = platform.add("corner-books")
    platform.answer_instead("GET", f"/api/stores/{store.id}/events", SLOW)
    at = open_app("store", tab="Activity", id=store.id)
    assert at.title[0].value == "corner-books"
    assert "The platform is slow to wake" in text_of(at)


def test_a_missing_address_is_named(open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("URUMI_API_URL")
    assert "URUMI_CREATE_URL is not set" in text_of(open_app()).replace("\\", "")


def test_the_token_never_reaches_the_page(open_app: Open, platform: fake_api.FakeApi) -> None:
    platform.answer_instead("GET", "/api", fake_api.problem(401, "No."))
    assert fake_api.TOKEN not in text_of(open_app())


@pytest.fixture
def sign_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit's secrets with an identity provider in them."""
    (tmp_path / "secrets.toml").write_text(
        '[auth]\nredirect_uri = "http://localhost/oauth2callback"\ncookie_secret = "x"\nclient_id = "urumi"\n'
        'client_secret = "x"\nserver_metadata_url = "http://localhost/none"\nexpose_tokens = ["id"]\n'
    )
    st.config.set_option("secrets.files", [str(tmp_path / "secrets.toml")])
    monkeypatch.setattr(st, "secrets", Secrets())


@pytest.mark.usefixtures("sign_in")
def test_signed_out_people_see_a_button_and_nothing_else(open_app: Open, platform: fake_api.FakeApi) -> None:
    at = open_app(user={"is_logged_in": False})
    assert labels(at, "button") == ["Sign in"]
    assert not platform.requests


@pytest.mark.usefixtures("sign_in")
def test_whoever_signed_in_is_named_and_their_id_token_is_the_bearer(
    open_app: Open, platform: fake_api.FakeApi
) -> None:
    at = open_app(user=ADA)
    assert "ada@example.com" in text_of(at)
    assert {request.headers["Authorization"] for request in platform.requests} == {f"Bearer {fake_api.OTHER_TOKEN}"}


@pytest.mark.usefixtures("sign_in")
def test_signing_out_leads_back_to_the_sign_in_button(open_app: Open) -> None:
    at = open_app(user=ADA)
    at.menu_button(key="account").click("Sign out").run()
    assert labels(at, "button") == ["Sign in"]


@pytest.mark.usefixtures("sign_in")
def test_a_sign_in_that_has_ended_can_be_renewed(open_app: Open, platform: fake_api.FakeApi) -> None:
    platform.answer_instead("GET", "/api", fake_api.problem(401, "Expired."))
    at = open_app(user=ADA)
    assert "Your sign-in has ended" in text_of(at)
    assert "Sign in again" in labels(at, "button")


@pytest.mark.usefixtures("sign_in")
def test_a_missing_setting_of_sign_in_is_named(open_app: Open, platform: fake_api.FakeApi) -> None:
    at = open_app(user={**ADA, "tokens": {}})
    assert "of secrets.toml has no expose" in text_of(at)
    assert not platform.requests


def test_without_an_identity_provider_nobody_signs_in(open_app: Open) -> None:
    assert not open_app().get("menu_button")
