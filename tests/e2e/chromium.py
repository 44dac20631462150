"""A browser for the tests on a real cluster, which trusts certificates that no public authority knows."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.conftest import ARTIFACTS
from tests.e2e.medusa_browser import find_chromium

PATIENCE = 30_000  # milliseconds: a function may have to start first
expect.set_options(timeout=PATIENCE)


def pin(certificate: Certificate) -> str:
    """Names a certificate's key as Chromium does."""
    digest = Hash(SHA256())
    digest.update(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return base64.b64encode(digest.finalize()).decode()


@contextmanager
def chromium(trusted: Certificate) -> Iterator[Browser]:
    """Chromium, to which that certificate and those that it has signed are as good as public ones."""
    switches = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    switches.append(f"--ignore-certificate-errors-spki-list={pin(trusted)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=switches)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visitor(browser: Browser) -> Iterator[Page]:
    """A page with cookies of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(PATIENCE)
    try:
        yield context.new_page()
    finally:
        context.close()


def shoot(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
