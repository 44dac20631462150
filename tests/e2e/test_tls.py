"""HTTPS: cert-manager proves each host by HTTP-01, every address answers with its certificate, plain http leads there.

Needs cert-manager and Pebble, an ACME server for tests, behind the ClusterIssuer that URUMI_E2E_ISSUER names. The chart
makes an issuer of its own from that one's server, as it would from the address of a public authority.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import yaml
from cryptography.x509 import Certificate, load_pem_x509_certificate
from playwright.sync_api import expect

from tests.e2e import medusa_order, woo_order
from tests.e2e.chromium import chromium, shoot, visitor
from tests.e2e.conftest import FIGURES, INGRESS, images_built, kubectl
from tests.e2e.knative import SYSTEM, Api, Store, first_token, run
from tests.identity import CLIENT
from tests.support import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.browser, pytest.mark.usefixtures("deployed")]

ISSUER = os.environ.get("URUMI_E2E_ISSUER", "pebble")
HTTPS = (INGRESS.partition(":")[0], int(os.environ.get("URUMI_E2E_HTTPS_PORT", "443")))
CONNECT = f"{HTTPS[0]}:{HTTPS[1]}"
# A domain of its own: all plain http below it is led to https, and other tests' stores are elsewhere.
DOMAIN = "tls.localhost"
DASHBOARD, API = f"app.{DOMAIN}", f"api.{DOMAIN}"
NAMESPACE = "urumi-test-tls"
SIGN_IN = "urumi-test-tls"
Figure = Callable[[str, float], None]


# --- the authority ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Authority:
    """An ACME server: its directory, whose certificate it shows itself, and what its own certificates lead to."""

    server: str
    shown_by: str
    root: str
    intermediate: Certificate

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.root)


@pytest.fixture(scope="module")
def authority() -> Authority:
    found = kubectl("get", "clusterissuer", ISSUER, "-o", "json", check=False)
    if found.returncode:
        pytest.skip(f"no cert-manager with a ClusterIssuer {ISSUER} (URUMI_E2E_ISSUER): {found.stderr.strip()}")
    acme = json.loads(found.stdout)["spec"]["acme"]
    name, namespace = str(urlsplit(acme["server"]).hostname).split(".")[:2]
    management = f"/api/v1/namespaces/{namespace}/services/https:{name}:15000/proxy"
    return Authority(
        server=acme["server"],
        shown_by=base64.b64decode(acme["caBundle"]).decode(),
        root=kubectl("get", "--raw", f"{management}/roots/0").stdout,
        intermediate=load_pem_x509_certificate(
            kubectl("get", "--raw", f"{management}/intermediates/0").stdout.encode()
        ),
    )


# --- the platform -------------------------------------------------------------------------------------------------


def gateway() -> str:
    """A Gateway with a listener for HTTPS, as whoever runs the cluster makes it. Its ports are Traefik's own."""
    everywhere = {"namespaces": {"from": "All"}}
    shown = {"kind": "Secret", "name": "api-tls", "namespace": SYSTEM}
    return yaml.safe_dump_all([
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
         "metadata": {"name": "public", "namespace": NAMESPACE},
         "spec": {"gatewayClassName": "traefik", "listeners": [
             {"name": "http", "protocol": "HTTP", "port": 8000, "allowedRoutes": everywhere},
             {"name": "https", "protocol": "HTTPS", "port": 8443, "allowedRoutes": everywhere,
              "tls": {"mode": "Terminate", "certificateRefs": [shown]}}]}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SIGN_IN, "namespace": SYSTEM},
         "stringData": {"secrets.toml": "[auth]\nredirect_uri = 'https://nowhere'\ncookie_secret = 'made up'\n"}},
    ])  # fmt: skip


def values(authority: Authority) -> str:
    return yaml.safe_dump({
        "domain": DOMAIN,
        "authorities": authority.shown_by + authority.root,
        "tls": {"server": authority.server},
        "functions": {"signIn": {"issuer": f"https://sign-in.{DOMAIN}", "audience": CLIENT}, "creationInterval": 0},
        "dashboard": {"signInSecret": SIGN_IN, "replicas": 1},
        "ingress": {"namespace": "ingress"},
        # A volume that is there already keeps its size.
        "database": {"size": "5Gi"},
        "monitoring": {"operator": False},
    })  # fmt: skip


@pytest.fixture(scope="module")
def secured(authority: Authority, deployed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:  # noqa: ARG001
    """The platform as in production, with a certificate for each host, and then as it was."""
    file = tmp_path_factory.mktemp("tls") / "values.yaml"
    file.write_text(values(authority))
    try:
        kubectl("apply", "-f", "-", stdin=gateway())
        run("deploy", "--overlay", "prod", "--values", str(file), "--gateway", f"{NAMESPACE}/public")
        yield
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=60s")
        run("deploy")
        # cert-manager leaves alone what an Ingress no longer asks for.
        for kind, *names in (
            ("certificate", "dashboard-tls", "api-tls"),
            ("secret", "dashboard-tls", "api-tls", SIGN_IN),
        ):
            kubectl("delete", kind, "-n", SYSTEM, *names, "--ignore-not-found")


def client(host: str, authority: Authority, **headers: str) -> httpx.Client:
    """Speaks https to a host through the ingress, and believes only the authority's certificate for that host."""
    return httpx.Client(
        base_url=f"https://{CONNECT}",
        headers={"Host": host, **headers},
        verify=authority.trust,
        event_hooks={"request": [lambda request: request.extensions.update(sni_hostname=host)]},
        timeout=60,
    )


class SecureApi(Api):
    """The API at its address in production."""

    def __init__(self, authority: Authority) -> None:
        self.http = client(API, authority, Authorization=f"Bearer {first_token()}")


@pytest.fixture(scope="module")
def api(secured: None, authority: Authority) -> Iterator[Api]:  # noqa: ARG001
    began = time.monotonic()
    eventually(lambda: certificate(API, authority), seconds=120, every=0.5)
    FIGURES["tls: seconds from the end of deploy to the API's certificate"].append(time.monotonic() - began)
    api = SecureApi(authority)
    eventually(lambda: api.http.get("/api/health").status_code == 200, seconds=30, every=0.5)
    yield api
    api.http.close()


@pytest.fixture(scope="module")
def stores(api: Api) -> Iterator[dict[str, Store]]:
    """One store of each engine whose image is there, by its engine, as it was at the moment when it became ready."""
    engines = ["medusa", *(["woocommerce"] if "urumi-woocommerce" in images_built() else [])]
    asked = {engine: api.create(engine) for engine in engines}
    try:
        yield {engine: api.ready(store) for engine, store in asked.items()}
    finally:
        for store in asked.values():
            api.http.delete(f"/api/stores/{store['id']}")
        for store in asked.values():
            api.delete(store)


# --- looking ------------------------------------------------------------------------------------------------------


def certificate(host: str, authority: Authority) -> dict[str, Any] | None:
    """The certificate that a host answers with, its chain verified; None while it is none of the authority's."""
    try:
        with (
            socket.create_connection(HTTPS, timeout=10) as plain,
            authority.trust.wrap_socket(plain, server_hostname=host) as wire,
        ):
            return dict(wire.getpeercert() or {})
    except ssl.SSLCertVerificationError:
        return None


def https(host: str, path: str, authority: Authority) -> httpx.Response:
    with client(host, authority) as visitor:
        return visitor.get(path)


def plain(host: str, path: str) -> tuple[int, str]:
    """What plain http answers, and where it leads."""
    answer = httpx.get(f"http://{INGRESS}{path}", headers={"Host": host}, timeout=20)
    return answer.status_code, answer.headers.get("Location", "")


# --- what holds ---------------------------------------------------------------------------------------------------


def test_a_store_is_ready_when_its_address_answers_with_its_own_certificate(
    stores: dict[str, Store], authority: Authority, figure: Figure
) -> None:
    for engine, store in stores.items():
        shown = certificate(store["host"], authority)
        assert shown is not None
        assert shown["subjectAltName"] == (("DNS", store["host"]),)
        assert store["url"] == f"https://{store['host']}"
        assert https(store["host"], "/", authority).status_code == 200
        figure(f"tls: {engine}, POST to ready with a certificate, seconds", store["time_to_ready_seconds"])


def test_platform_and_stores_lead_plain_http_to_https(stores: dict[str, Store], authority: Authority) -> None:
    eventually(lambda: certificate(DASHBOARD, authority), seconds=120, every=0.5)
    for host in (DASHBOARD, API, *(store["host"] for store in stores.values())):
        assert plain(host, "/api/health?a=b") == (301, f"https://{host}/api/health?a=b")
    assert https(DASHBOARD, "/", authority).status_code == 200
    assert https(API, "/api/health", authority).json()["status"] == "ok"
    assert plain(f"{uuid4().hex[:8]}.elsewhere.localhost", "/")[0] == 404, "other domains are none of ours"


def test_the_dashboard_works_over_https(secured: None, authority: Authority) -> None:  # noqa: ARG001
    eventually(lambda: certificate(DASHBOARD, authority), seconds=120, every=0.5)
    with chromium(authority.intermediate) as browser, visitor(browser) as page:
        page.goto(f"http://{DASHBOARD}")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert page.url == f"https://{DASHBOARD}/"
        shoot(page, "tls-dashboard")


def test_medusas_admin_is_signed_in_to_over_https_with_a_cookie_that_stays_there(
    stores: dict[str, Store], api: Api, authority: Authority
) -> None:
    store = stores["medusa"]
    access = api.http.get(f"/api/stores/{store['id']}/credentials").json()
    with chromium(authority.intermediate) as browser, visitor(browser) as page:
        page.goto(f"http://{store['host']}/app")
        page.get_by_placeholder("Email").fill(access["user"])
        page.get_by_placeholder("Password").fill(access["password"])
        page.get_by_role("button", name="Continue with Email").click()
        expect(page.get_by_role("heading", name="Orders")).to_be_visible()
        shoot(page, "tls-medusa-admin")
        cookies = {each["name"]: each for each in page.context.cookies()}
        assert cookies["connect.sid"]["secure"]
        assert cookies["connect.sid"]["httpOnly"]
    order = medusa_order.order(
        store["url"], user=access["user"], password=access["password"], connect=CONNECT, tls=authority.trust
    )
    assert order.total > 0


def test_wordpress_is_signed_in_to_over_https_with_cookies_that_stay_there(
    stores: dict[str, Store], api: Api, authority: Authority
) -> None:
    if "woocommerce" not in stores:
        pytest.skip("the WooCommerce image was not built: set URUMI_WORDPRESS_SOURCES, then `make images`")
    store = stores["woocommerce"]
    access = api.http.get(f"/api/stores/{store['id']}/credentials").json()
    admin = woo_order.Browser(store["url"], connect=CONNECT, tls=authority.trust)
    woo_order.login(admin, access["user"], access["password"])
    session = [cookie for cookie in admin.jar if cookie.name.startswith(("wordpress_sec_", "wordpress_logged_in_"))]
    assert len({cookie.name for cookie in session}) == 2
    assert all(cookie.secure for cookie in session)
    status, at, text = admin.page("/wp-admin/")
    assert (status, at.partition("?")[0]) == (200, "/wp-admin/"), text[:300]
    report = woo_order.place_orders(
        store["url"], user=access["user"], password=access["password"], connect=CONNECT, tls=authority.trust
    )
    assert report.ok, report.error
