"""Buys something in a WooCommerce shop with a real browser, as a shopper does.

Front page -> product -> cart -> block checkout with cash on delivery -> order received, with a screenshot of each.

    python tests/e2e/woo_browser.py http://shop.localhost --screenshots /tmp/shots [--phone]

Needs Playwright's Python package and a Chromium on the PATH; prints the order's number.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, TimeoutError, expect, sync_playwright

SHOPPER = {
    "First name": "Ada",
    "Last name": "Buyer",
    "Address": "1 Market St",
    "City": "San Francisco",
    "ZIP Code": "94105",
}


def find_chromium() -> str:
    """The browser's path."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(name):
            return path
    raise FileNotFoundError("no Chromium on the PATH: install the package `chromium`")


def buy(page: Page, base: str, shots: Path | None = None, prefix: str = "") -> int:
    """Orders the first product of the front page; answers the order's number."""

    def shoot(name: str) -> None:
        if shots:
            shots.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=shots / f"{prefix}{name}.png", full_page=True)

    page.goto(base)
    expect(page.get_by_role("link", name="Shop now")).to_be_visible()
    _load_pictures(page)
    shoot("1-home")
    page.locator("li.product h2 a").first.click()
    page.get_by_role("button", name="Add to cart").first.click()
    expect(page.locator(".woocommerce-message, .wc-block-components-notice-banner.is-success")).to_be_visible()
    page.wait_for_load_state("networkidle")
    shoot("2-product")
    page.goto(base.rstrip("/") + "/cart/")
    proceed = page.get_by_role("link", name="Proceed to Checkout")
    expect(proceed).to_be_visible()
    shoot("3-cart")
    proceed.click()
    _fill_checkout(page)
    shoot("4-checkout")
    _place(page)
    expect(page.get_by_text("Thank you. Your order has been received.")).to_be_visible()
    shoot("5-received")
    found = re.search(r"/order-received/(\d+)/", page.url)
    if found is None:
        raise AssertionError(f"no order number in {page.url}")
    return int(found.group(1))


def _load_pictures(page: Page) -> None:
    """Scrolls through the page, as pictures load only when they come into view."""
    page.evaluate("""async () => {
        for (let y = 0; y < document.body.scrollHeight; y += 400) {
            window.scrollTo(0, y); await new Promise(done => setTimeout(done, 60));
        }
        window.scrollTo(0, 0);
    }""")
    page.wait_for_load_state("networkidle")


def _fill_checkout(page: Page) -> None:
    page.get_by_label("Email address").fill("ada@example.com")
    form = page.locator("#shipping")
    for label, value in SHOPPER.items():
        form.get_by_label(label, exact=True).fill(value)
    expect(page.get_by_text("Standard delivery").first).to_be_visible()
    expect(page.get_by_text("Cash on delivery").first).to_be_visible()
    # The block sends the address on its own, and drops an order that is placed before the answer.
    page.keyboard.press("Tab")
    page.wait_for_timeout(1500)
    page.wait_for_load_state("networkidle")


def _place(page: Page) -> None:
    """Presses the button, and again when nothing comes of it, as a shopper would."""
    for _ in range(3):
        page.get_by_role("button", name="Place Order").click()
        with contextlib.suppress(TimeoutError):
            return page.wait_for_url(re.compile(r"/order-received/\d+/"), timeout=20_000)
    raise AssertionError(f"three times pressed, and still at {page.url}")


def order(base: str, *, shots: Path | None = None, phone: bool = False, arguments: list[str] | None = None) -> int:
    """Starts a browser and orders; ``arguments`` are further switches of Chromium."""
    switches = ["--no-sandbox", "--disable-background-networking", *(arguments or [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=switches)
        try:
            context = browser.new_context(
                viewport={"width": 390, "height": 844} if phone else {"width": 1280, "height": 900},
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
    parser.add_argument("--screenshots", type=Path, help="the directory for the pictures")
    parser.add_argument("--phone", action="store_true", help="with the width of a phone")
    given = parser.parse_args()
    print(order(given.base, shots=given.screenshots, phone=given.phone))
    return 0


if __name__ == "__main__":
    sys.exit(main())
