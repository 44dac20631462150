"""Buys something in a Medusa store with a real browser, as a shopper does.

Front page -> product -> cart -> checkout with payment on invoice -> confirmation, with a screenshot of each; then finds
the same order as the shop's admin when a user is given.

    STORE_PASSWORD=... python -m tests.e2e.medusa_browser http://shop.localhost --user admin@shop.localhost \\
        --screenshots /tmp/shots [--phone] [--dark]

Needs Playwright's Python package and a Chromium on the PATH; prints the order's id.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e import medusa_order

SHOPPER = {
    "E-mail": "ada@example.com",
    "First name": "Ada",
    "Last name": "Buyer",
    "Street and number": "Lagerstrasse 1",
    "Postcode": "10115",
    "Town": "Berlin",
}


def find_chromium() -> str:
    """The browser's path."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(name):
            return path
    raise FileNotFoundError("no Chromium on the PATH: install the package `chromium`")


def buy(page: Page, base: str, shots: Path | None = None, prefix: str = "") -> str:
    """Orders two of the first product of the front page; answers the order's id."""

    def shoot(name: str) -> None:
        if shots:
            shots.mkdir(parents=True, exist_ok=True)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=shots / f"{prefix}{name}.png", full_page=True)

    page.goto(base)
    cards = page.locator("a[href^='/products/']")
    expect(cards.first).to_be_visible()
    for card in cards.all():
        card.scroll_into_view_if_needed()
    shoot("1-home")
    cards.first.click()
    page.get_by_label("Quantity", exact=True).fill("2")
    shoot("2-product")
    page.get_by_role("button", name="Add to cart").click()
    page.wait_for_url(re.compile(r"/cart$"))
    expect(page.get_by_role("heading", name="Cart")).to_be_visible()
    shoot("3-cart")
    page.get_by_role("link", name="Check out").click()
    for label, value in SHOPPER.items():
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label("Country").select_option("de")
    page.get_by_label("Standard delivery").check()
    shoot("4-checkout")
    page.get_by_role("button", name="Place order").click()
    page.wait_for_url(re.compile(r"/order/[^/]+$"))
    expect(page.get_by_role("heading", name="Thank you, Ada")).to_be_visible()
    expect(page.get_by_text("Lagerstrasse 1")).to_be_visible()
    shoot("5-order")
    found = re.search(r"/order/([^/]+)$", page.url)
    if found is None:
        raise AssertionError(f"no order id in {page.url}")
    return found.group(1)


def order(
    base: str,
    *,
    shots: Path | None = None,
    phone: bool = False,
    dark: bool = False,
    arguments: list[str] | None = None,
) -> str:
    """Starts a browser and orders; ``arguments`` are further switches of Chromium."""
    switches = ["--no-sandbox", "--disable-background-networking", *(arguments or [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=switches)
        try:
            context = browser.new_context(
                viewport={"width": 390, "height": 844} if phone else {"width": 1280, "height": 900},
                color_scheme="dark" if dark else "light",
                ignore_https_errors=True,
            )
            context.set_default_timeout(30_000)
            return buy(context.new_page(), base, shots, "phone-" if phone else "")
        finally:
            browser.close()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("base", help="the store's URL as its visitors see it")
    parser.add_argument("--user", help="the admin's e-mail address, whose password is in STORE_PASSWORD")
    parser.add_argument("--connect", help="ADDRESS:PORT for the admin's look at the order")
    parser.add_argument("--screenshots", type=Path, help="the directory for the pictures")
    parser.add_argument("--phone", action="store_true", help="with the width of a phone")
    parser.add_argument("--dark", action="store_true", help="with the dark colours")
    given = parser.parse_args()
    placed = order(given.base, shots=given.screenshots, phone=given.phone, dark=given.dark)
    if given.user:
        store = medusa_order.Store(given.base, connect=given.connect)
        token = medusa_order.login(store, given.user, os.environ["STORE_PASSWORD"])
        if medusa_order.as_admin(store, token, placed)["id"] != placed:
            print(f"the admin does not see {placed}", file=sys.stderr)
            return 1
    print(placed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
