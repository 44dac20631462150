"""The dashboard with the platform's API replaced by one in memory; a browser for the tests that run all of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

HERE = Path(__file__).parent
APP = HERE.parents[1] / "streamlit_app"
for folder in (HERE, APP):  # the dashboard runs as a script, with its own folder on the path
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import client  # noqa: E402
import fake_api  # noqa: E402
import streamlit as st  # noqa: E402
from looking import Open  # noqa: E402
from playwright.sync_api import BrowserContext, expect, sync_playwright  # noqa: E402
from streamlit.testing.v1 import AppTest  # noqa: E402


@pytest.fixture
def platform() -> fake_api.FakeApi:
    """A platform on Kubernetes with no store yet, seen by an administrator."""
    return fake_api.FakeApi()


@pytest.fixture(autouse=True)
def wired(platform: fake_api.FakeApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every call of the dashboard ends at the fake platform."""
    monkeypatch.setattr(client, "open_http", lambda: httpx.Client(transport=httpx.MockTransport(platform)))
    monkeypatch.setenv("URUMI_API_URL", "http://urumi.test")
    monkeypatch.setenv("URUMI_TOKEN", fake_api.TOKEN)
    for part in ("CREATE", "DELETE", "STATUS"):
        monkeypatch.delenv(f"URUMI_{part}_URL", raising=False)
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def open_app() -> Open:
    """Open a page of the dashboard in a new session: open_app(), open_app("store", id=...)."""

    def opened(
        page: str | None = None, *, tab: str | None = None, user: dict[str, Any] | None = None, **query: str
    ) -> AppTest:
        at = AppTest.from_file(str(APP / "streamlit_app.py"), default_timeout=20)
        at.user = user or {}
        if page:
            at.run()
            at.switch_page(f"app_pages/{page}.py")
        for name, value in query.items():
            at.query_params[name] = value
        if tab:
            at.session_state["tab"] = tab
        return at.run()

    return opened


@pytest.fixture
def browser() -> Iterator[BrowserContext]:
    """A fresh browser profile."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium on the PATH; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=found,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
        )
        context = chromium.new_context(viewport={"width": 1280, "height": 860})
        context.set_default_timeout(20_000)
        expect.set_options(timeout=20_000)  # a page is drawn part by part, slowly where others use the machine
        yield context
        chromium.close()
