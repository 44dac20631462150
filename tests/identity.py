"""An OpenID Connect provider as a process of its own, and how a person signs in with it in a browser."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from playwright.sync_api import Page, expect

from tests.support import ROOT, clean_environment, eventually, free_ports

CLIENT = "urumi-dashboard"
CLIENT_SECRET = "made up"
REDIRECT = "http://localhost/oauth2callback"


@dataclass(frozen=True)
class Provider:
    """Its address, which is also its name as an issuer."""

    port: int

    @property
    def issuer(self) -> str:
        return f"http://localhost:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """A process with a key of its own; the next one at this address has another key."""
        command = [sys.executable, "-W", "ignore", "-m", "tests.oidc_server"]
        process = subprocess.Popen(
            [*command, "--port", str(self.port), "--host", "localhost"],
            cwd=ROOT,
            env=clean_environment(PYTHONPATH="functions"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(self._answers, seconds=30)
            yield
        finally:
            process.terminate()
            process.wait(10)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.issuer}/jwks").is_success
        except httpx.TransportError:
            return False

    def knows(self, user: str, **claims: Any) -> None:
        """Sets what it says about a user."""
        httpx.put(f"{self.issuer}/users/{quote(user)}", json=claims).raise_for_status()

    def id_token(self, user: str, **claims: Any) -> str:
        """Signs a user in as a browser and the dashboard's server would. The claims win over the standard ones."""
        self.knows(user, **claims)
        answer = httpx.post(
            f"{self.issuer}/oauth2/authorize",
            params={
                "response_type": "code", "client_id": CLIENT, "redirect_uri": REDIRECT, "scope": "openid profile email",
            },
            data={"sub": user},
        )  # fmt: skip
        answer = httpx.post(
            f"{self.issuer}/oauth2/token",
            data={
                "grant_type": "authorization_code", "redirect_uri": REDIRECT,
                "code": httpx.URL(answer.headers["Location"]).params["code"],
            },
            auth=(CLIENT, CLIENT_SECRET),
        )  # fmt: skip
        token: str = answer.raise_for_status().json()["id_token"]
        return token


def new_provider() -> Provider:
    return Provider(free_ports(1))


def sign_in(page: Page, user: str, *, button: str = "Sign in") -> None:
    """From the dashboard to the provider's page and back."""
    page.get_by_role("button", name=button, exact=True).click()
    page.locator("input[name=sub]").fill(user)
    page.get_by_role("button", name="Authorize").click()


def sign_out(page: Page, user: str) -> None:
    page.get_by_role("button", name=user).click()
    page.get_by_role("menuitem", name="Sign out").click()
    page.get_by_role("button", name="End session").click()
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
