"""Signing in at the deployed dashboard: a browser, the ingress, and an OpenID Connect provider in the cluster.

Browser, dashboard and functions know the provider under one address, which is https with a certificate that only those
trust who were told to: the browser by its key, the platform by its value `authorities`.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import files
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import Browser, Page, WebSocket, expect

from tests.certificate import self_signed
from tests.e2e.chromium import chromium, shoot, visitor
from tests.e2e.conftest import ARTIFACTS, kubectl, leftovers
from tests.e2e.knative import PREFIX, SYSTEM, Api, Store, run
from tests.e2e.medusa_browser import buy
from tests.identity import CLIENT, CLIENT_SECRET, sign_in
from tests.support import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.browser, pytest.mark.usefixtures("deployed")]

DASHBOARD = "http://dashboard.localhost"
HOST = "sign-in.localhost"
NAMESPACE = "urumi-test-sign-in"
SECRET = "urumi-test-sign-in"
ADA, BEN = "ada@example.com", "ben@example.com"
MINUTES = 10  # longer than any proxy on the way waits by itself
IMAGE = (
    f"{os.environ.get('URUMI_IMAGE_PREFIX', 'dev.local/')}urumi-functions:{os.environ.get('URUMI_IMAGE_TAG', '0.1.0')}"
)


# --- the provider -------------------------------------------------------------------------------------------------


def packages(*names: str) -> bytes:
    """What the provider needs and the functions' image lacks: pure Python, as one archive."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as pack:
        for name in names:
            for file in files(name) or []:
                if file.suffix != ".pyc" and ".." not in file.parts:
                    pack.write(Path(str(file.locate())), str(file))
        pack.write(ROOT / "tests" / "oidc_server.py", "oidc_server.py")
    return archive.getvalue()


def provider(tls: dict[str, str]) -> str:
    """The provider as Kubernetes' objects: it knows two people."""
    metadata = {"name": "provider", "namespace": NAMESPACE, "labels": {"app": "provider"}}
    people = [{"sub": who.partition("@")[0], "email": who, "email_verified": True} for who in (ADA, BEN)]
    claims = [argument for person in people for argument in ("--user-claims", json.dumps(person))]
    unpack = 'python -m zipfile -e /packages/all.zip /tmp/packages && exec python /tmp/packages/oidc_server.py "$@"'
    container = {
        "name": "provider", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", unpack, "provider", "--host", "0.0.0.0", "--port", "8080", *claims],  # noqa: S104
        # The ingress controller speaks https for it and says so in X-Forwarded-Proto.
        "env": [{"name": "FORWARDED_ALLOW_IPS", "value": "*"}, {"name": "PYTHONWARNINGS", "value": "ignore"}],
        "readinessProbe": {"httpGet": {"path": "/jwks", "port": 8080}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "packages", "mountPath": "/packages"}],
    }  # fmt: skip
    backend = {"service": {"name": "provider", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return yaml.safe_dump_all([
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": {"all.zip": base64.b64encode(
            packages("authlib", "joserfc", "htpy", "oidc-provider-mock")).decode()}},
        {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "stringData": tls},
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {
            "containers": [container], "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "packages", "configMap": {"name": "provider"}}]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata,
         "spec": {"selector": metadata["labels"], "ports": [{"port": 80, "targetPort": 8080}]}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": {
            "ingressClassName": "traefik", "tls": [{"hosts": [HOST], "secretName": "provider"}],
            "rules": [{"host": HOST, "http": {"paths": [path]}}]}},
    ])  # fmt: skip


SECRETS_TOML = f"""
[auth]
redirect_uri = "{DASHBOARD}/oauth2callback"
cookie_secret = "made up, and long enough for a signature"
client_id = "{CLIENT}"
client_secret = "{CLIENT_SECRET}"
server_metadata_url = "https://{HOST}/.well-known/openid-configuration"
expose_tokens = ["id"]
"""


@pytest.fixture(scope="module")
def trusted(deployed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[x509.Certificate]:  # noqa: ARG001
    """The deployed platform signs people in with a provider of this certificate, and then no more."""
    known, private = self_signed(HOST)
    pem = known.public_bytes(Encoding.PEM).decode()
    values = tmp_path_factory.mktemp("sign-in") / "values.yaml"
    values.write_text(yaml.safe_dump({
        "authorities": pem,
        "functions": {"signIn": {"issuer": f"https://{HOST}", "audience": CLIENT}},
        "dashboard": {"signInSecret": SECRET},
    }))  # fmt: skip
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET, "namespace": SYSTEM},
              "stringData": {"secrets.toml": SECRETS_TOML}}  # fmt: skip
    try:
        kubectl("apply", "--server-side", "-f", "-", stdin=provider({"tls.crt": pem, "tls.key": private}))
        kubectl("apply", "-f", "-", stdin=yaml.safe_dump(secret))
        kubectl("wait", "-n", NAMESPACE, "pod/provider", "--for=condition=Ready", "--timeout=90s")
        run("deploy", "--values", str(values))
        yield known
    finally:
        run("deploy")
        kubectl("delete", "secret", "-n", SYSTEM, SECRET, "--ignore-not-found")
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


# --- the browser --------------------------------------------------------------------------------------------------


@pytest.fixture
def browser(trusted: x509.Certificate) -> Iterator[Browser]:
    with chromium(trusted) as browser:
        yield browser


@contextmanager
def signed_in(browser: Browser, user: str) -> Iterator[Page]:
    """The dashboard's first page, as somebody sees it who has just signed in."""
    with visitor(browser) as page:
        page.goto(DASHBOARD)
        sign_in(page, user.partition("@")[0])
        expect(page.get_by_role("button", name=user)).to_be_visible()
        yield page


class Life:
    """That of one page: it must not be loaded anew, and its one websocket must stay open."""

    def __init__(self, page: Page) -> None:
        self._page, self._sockets, self._began = page, list[WebSocket](), time.monotonic()
        page.on("websocket", lambda socket: self._sockets.append(socket))
        page.reload()
        expect(page.get_by_role("heading", name="Stores")).to_be_visible()
        page.evaluate("window.isTheSame = true")

    def seconds(self) -> float:
        """How long it has been; fails when the page was loaded anew or its websocket was cut."""
        assert self._page.evaluate("window.isTheSame"), "the page was loaded anew"
        assert [socket.is_closed() for socket in self._sockets] == [False], "one websocket, and still open"
        return time.monotonic() - self._began


def create(page: Page) -> str:
    """Asks for a Medusa store; its name."""
    name = f"{PREFIX}{uuid4().hex[:8]}"
    page.get_by_role("button", name="New store").first.click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("radio", name="Medusa").click()
    expect(page.get_by_text(f"http://{name}.localhost")).to_be_visible()
    expect(page.get_by_text("A headless shop")).to_be_visible()
    shoot(page, "sign-in-new")
    page.get_by_role("button", name="Create store").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    return name


def delete(page: Page, name: str) -> None:
    """Removes the store that the page shows, and waits until it is gone."""
    page.get_by_text("Danger zone").click()
    page.get_by_label(f"Type {name} to confirm").fill(name)
    page.get_by_role("button", name="Delete this store").click()
    expect(page.get_by_text(f"{name} is gone")).to_be_visible(timeout=120_000)


def named(api: Api, name: str) -> Store:
    """A store by its name, as the administrator finds it."""
    (found,) = [each for each in api.http.get("/api/stores").json()["items"] if each["name"] == name]
    return dict(found)


# --- what holds ---------------------------------------------------------------------------------------------------


def test_who_signs_in_makes_a_store_sells_and_removes_it_on_one_page_that_is_never_loaded_anew(
    browser: Browser, api: Api, figure: Callable[[str, float], None]
) -> None:
    with signed_in(browser, ADA) as page, signed_in(browser, BEN) as bens:
        life = Life(page)
        name = create(page)
        expect(page.get_by_text("Namespace in")).to_be_visible(timeout=90_000)
        shoot(page, "sign-in-provisioning")
        link = page.get_by_role("link", name="Open store")
        expect(link).to_be_visible(timeout=240_000)
        expect(page.get_by_text("Ready in", exact=True)).to_be_visible()
        shoot(page, "sign-in-ready")

        with page.context.expect_page() as opened:
            link.click()
        shop = opened.value
        order = buy(shop, f"http://{name}.localhost", ARTIFACTS / "signed-in")
        assert order.startswith("order_")

        store = named(api, name)
        assert store["owner"] == ADA
        entries = [e for e in api.http.get("/api/audit").json()["items"] if e["store_name"] == name]
        assert [(e["user"], e["action"], e["outcome"]) for e in entries] == [(ADA, "create", "accepted")]

        bens.reload()
        expect(bens.get_by_text("Your first store is one name away")).to_be_visible()
        bens.goto(f"{DASHBOARD}/store?id={store['id']}")
        expect(bens.get_by_text("There is no such store")).to_be_visible()
        shoot(bens, "sign-in-of-another")

        expect(page.get_by_text("created 1 min ago")).to_be_visible(timeout=120_000)
        delete(page, name)
        shoot(page, "sign-in-gone")
        figure("dashboard: seconds on one page, one websocket", life.seconds())
        assert leftovers(store["namespace"]) == {"namespaces": [], "volumes": [], "releases": []}


@pytest.mark.slow
def test_a_page_stays_live_for_ten_minutes(browser: Browser, api: Api, figure: Callable[[str, float], None]) -> None:
    with signed_in(browser, ADA) as page:
        life = Life(page)
        name = create(page)
        expect(page.get_by_role("link", name="Open store")).to_be_visible(timeout=240_000)
        for minute in range(1, MINUTES + 1):
            expect(page.get_by_text(re.compile(rf"created {minute} min ago"))).to_be_visible(timeout=120_000)
        shoot(page, "sign-in-after-ten-minutes")
        assert life.seconds() > MINUTES * 60
        store = named(api, name)
        assert api.http.post(f"/api/stores/{store['id']}/sleep").status_code == 202
        expect(page.get_by_text("Asleep").first).to_be_visible(timeout=60_000)
        shoot(page, "sign-in-asleep")
        delete(page, name)
        figure("dashboard: seconds on one page, one websocket", life.seconds())
