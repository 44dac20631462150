"""One journey in a real browser through a running Urumi: create, ready, visit the shop, delete, gone.

It runs against URUMI_DASHBOARD_URL when that is set, else against an Urumi of its own.
"""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

# A store on a real cluster may have to pull images first.
READY_WITHIN = float(os.environ.get("URUMI_JOURNEY_SECONDS", "120")) * 1000

pytestmark = pytest.mark.browser


@pytest.fixture
def dashboard(request: pytest.FixtureRequest) -> str:
    """Where the dashboard is."""
    given = os.environ.get("URUMI_DASHBOARD_URL")
    return given or str(request.getfixturevalue("running_urumi").dashboard_url)


@pytest.fixture
def pictures() -> Path:
    """Where the pictures of the journey go."""
    folder = Path(os.environ.get("URUMI_ARTIFACTS", ".urumi/artifacts"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def create(page: Page, name: str) -> None:
    """Fill in the new store dialog as a merchant would, a slip of the finger included."""
    page.get_by_role("button", name="New store").click()
    field = page.get_by_label("Name", exact=True)
    field.fill("My Shop")
    expect(page.get_by_text("Only a to z, 0 to 9 and hyphens")).to_be_visible()
    expect(page.get_by_role("button", name="Create store")).to_be_disabled()
    field.fill(name)
    expect(page.get_by_text(re.compile(rf"https?://{name}\."))).to_be_visible()
    page.get_by_role("button", name="Create store").click()


def test_a_merchant_creates_a_store_visits_it_and_deletes_it(
    dashboard: str, browser: BrowserContext, pictures: Path
) -> None:
    name = f"journey-{uuid.uuid4().hex[:8]}"
    page = browser.new_page()
    crashes: list[str] = []
    page.on("pageerror", lambda error: crashes.append(str(error)))
    page.goto(dashboard)
    expect(page.get_by_role("heading", name="Stores")).to_be_visible()
    create(page, name)

    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.get_by_text("Namespace in", exact=False)).to_be_visible()
    page.screenshot(path=pictures / "journey-provisioning.png")
    link = page.get_by_role("link", name="Open store")
    expect(link).to_be_visible(timeout=READY_WITHIN)
    page.screenshot(path=pictures / "journey-ready.png")

    with browser.expect_page() as opened:
        link.click()
    shop = opened.value
    expect(shop.locator("body")).not_to_be_empty()
    assert shop.evaluate("performance.getEntriesByType('navigation')[0].responseStatus") == 200
    shop.screenshot(path=pictures / "journey-shop.png")
    shop.close()

    page.get_by_role("tab", name="Access").click()
    page.get_by_role("button", name="Reveal").click()
    expect(page.get_by_role("link", name="Open the admin")).to_be_visible()

    page.get_by_text("Danger zone").click()
    delete = page.get_by_role("button", name="Delete this store")
    expect(delete).to_be_disabled()
    page.get_by_label(f"Type {name} to confirm").fill(name)
    delete.click()
    expect(page.get_by_text(f"{name} is gone")).to_be_visible(timeout=60_000)
    page.screenshot(path=pictures / "journey-gone.png")
    page.get_by_role("link", name="Back to your stores").click()
    expect(page.get_by_role("heading", name="Stores")).to_be_visible()
    expect(page.get_by_text(name, exact=True)).to_have_count(0)
    assert crashes == []
