"""Signing in, in a real browser: dashboard, functions and an OpenID Connect provider all run."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.identity import CLIENT, CLIENT_SECRET, Provider, new_provider, sign_in, sign_out
from tests.support import RunningUrumi, folder, start_urumi

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = new_provider()
    with provider.running():
        yield provider


@pytest.fixture(scope="module")
def urumi(provider: Provider) -> Iterator[RunningUrumi]:
    """An Urumi whose dashboard and functions trust the provider."""
    port = provider.port + 1
    with folder("sign-in") as state:
        (state / "secrets.toml").write_text(
            f"""
            [auth]
            redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
            cookie_secret = "made up, and long enough for a signature"
            client_id = "{CLIENT}"
            client_secret = "{CLIENT_SECRET}"
            server_metadata_url = "{provider.issuer}/.well-known/openid-configuration"
            expose_tokens = ["id"]
            """,
            encoding="utf-8",
        )
        urumi = start_urumi(
            state,
            STREAMLIT_SECRETS_FILES=str(state / "secrets.toml"),
            URUMI_DASHBOARD_PORT=str(port),
            URUMI_OIDC_ISSUER=provider.issuer,
            URUMI_OIDC_AUDIENCE=CLIENT,
            URUMI_OIDC_ADMINS='["root@example.com"]',
        )
        try:
            yield urumi
        finally:
            urumi.stop()


def test_a_merchant_signs_in_creates_a_store_and_signs_out(
    urumi: RunningUrumi, provider: Provider, browser: BrowserContext
) -> None:
    provider.knows("a1", email="ada@example.com", email_verified=True)
    provider.knows("b2", email="ben@example.com", email_verified=True)
    provider.knows("r0", email="root@example.com", email_verified=True)
    page = browser.new_page()
    page.goto(urumi.dashboard_url)
    sign_in(page, "a1")
    page.get_by_role("button", name="New store").first.click()
    page.get_by_label("Name", exact=True).fill("adas-books")
    page.get_by_role("button", name="Create store").click()
    expect(page.get_by_role("link", name="Open store")).to_be_visible(timeout=60_000)
    sign_out(page, "ada@example.com")

    sign_in(page, "b2")
    expect(page.get_by_role("button", name="New store").first).to_be_visible()
    expect(page.get_by_text("adas-books")).to_have_count(0)
    expect(page.get_by_role("link", name="Platform")).to_have_count(0)
    sign_out(page, "ben@example.com")

    sign_in(page, "r0")
    expect(page.get_by_text("adas-books").first).to_be_visible()
    expect(page.get_by_role("link", name="Platform")).to_be_visible()


def test_when_a_token_has_expired_one_signs_in_again(
    urumi: RunningUrumi, provider: Provider, browser: BrowserContext
) -> None:
    """Streamlit's own check is lenient by two minutes, the platform's by half a one: between them lies this test."""
    carol = {"email": "carol@example.com", "email_verified": True}
    provider.knows("c3", **carol, exp=int(time.time()) - 45)
    page = browser.new_page()
    page.goto(urumi.dashboard_url)
    sign_in(page, "c3")
    expect(page.get_by_text("Your sign-in has ended")).to_be_visible()

    provider.knows("c3", **carol)
    sign_in(page, "c3", button="Sign in again")
    expect(page.get_by_role("button", name="New store").first).to_be_visible()
    expect(page.get_by_text("Your sign-in has ended")).to_have_count(0)
