"""Places real WooCommerce orders with cash on delivery over HTTP and finds them as the shop's admin.

Standard library only. What is done and checked:

1. guest, Store API: products -> cart (Nonce, Cart-Token) -> add-item -> update-customer -> checkout with ``cod``
2. guest: the order-received page that the checkout answered with, on the store's own host
3. admin: login by cookie, the order in wp-admin's list, the order by the wc/v3 REST API

``classic`` also orders by the short-code checkout (``?wc-ajax=checkout``), on a page made for it and
removed afterwards.

    STORE_PASSWORD=... python tests/e2e/woo_order.py http://shop.localhost --user admin --connect 127.0.0.1:80

``--connect`` sends every request to that address and keeps the Host header (and the TLS name): for an ingress whose
hosts have no DNS. Prints one JSON document; exit status 0 only if every check held.
"""

from __future__ import annotations

import argparse
import html
import http.client
import http.cookiejar
import json
import os
import re
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, TypeVar

Json = Any
T = TypeVar("T")

ADDRESS = {
    "first_name": "Ada",
    "last_name": "Buyer",
    "company": "",
    "address_1": "1 Market St",
    "address_2": "",
    "city": "San Francisco",
    "state": "CA",
    "postcode": "94105",
    "country": "US",
    "phone": "4155550100",
}
NOTE = "placed by woo_order"


class OrderFailed(Exception):
    """A check did not hold; the message says which and what was found."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


class Browser:
    """One visitor: a cookie jar, no automatic redirect, optionally another address to connect to."""

    def __init__(
        self, base: str, *, connect: str | None = None, tls: ssl.SSLContext | None = None, timeout: float = 60
    ) -> None:
        self.base = base.rstrip("/")
        self._timeout = timeout
        self.jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(strict_domain=False))
        host, _, port = (connect or "").rpartition(":")
        address = (host.strip("[]"), int(port)) if connect else None
        context = tls or ssl.create_default_context()

        class Plain(http.client.HTTPConnection):
            def connect(self) -> None:
                self.sock = socket.create_connection(address or (self.host, self.port), self.timeout)

        class Secure(http.client.HTTPSConnection):
            def connect(self) -> None:
                raw = socket.create_connection(address or (self.host, self.port), self.timeout)
                self.sock = context.wrap_socket(raw, server_hostname=self.host)

        class PlainHandler(urllib.request.HTTPHandler):
            def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
                return self.do_open(Plain, req)

        class SecureHandler(urllib.request.HTTPSHandler):
            def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
                return self.do_open(Secure, req, context=context)

        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            PlainHandler(),
            SecureHandler(context=context),
            _NoRedirect(),
            urllib.request.HTTPCookieProcessor(self.jar),
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Json = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Message, str]:
        """Status, headers and text of one request; ``path`` may be a whole URL."""
        url = path if "://" in path else self.base + path
        data: bytes | None = None
        sent = {"User-Agent": "woo_order", "Accept": "*/*", **(headers or {})}
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        elif form is not None:
            data, sent["Content-Type"] = urllib.parse.urlencode(form).encode(), "application/x-www-form-urlencoded"
        request = urllib.request.Request(url, data=data, headers=sent, method=method)
        try:
            answer = self._opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError as refused:
            answer = refused
        with answer:
            return answer.status, answer.headers, answer.read().decode("utf-8", "replace")

    def json(
        self, method: str, path: str, *, body: Json = None, headers: Mapping[str, str] | None = None
    ) -> tuple[Json, Message]:
        """The JSON document of a request that must succeed."""
        status, sent, text = self.call(method, path, body=body, headers=headers)
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if status not in (200, 201) or document is None:
            raise OrderFailed(f"{method} {path}: {status} {text[:400]!r} location={sent.get('Location')}")
        return document, sent

    def page(self, path: str) -> tuple[int, str, str]:
        """Status, final address and text of a page, after at most five redirects."""
        for _ in range(6):
            status, headers, text = self.call("GET", path)
            if status not in (301, 302, 303, 307, 308):
                return status, path, text
            path = urllib.parse.urljoin(path if "://" in path else self.base + path, headers["Location"])
        raise OrderFailed(f"too many redirects at {path}: often an https/siteurl mismatch behind the ingress")


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """What is bought: a product of the Store API, how often, and for whom."""

    product: Mapping[str, Json]
    quantity: int
    email: str


@dataclass(kw_only=True)
class Report:
    """What was found, step by step, with the seconds of each step."""

    base: str
    ok: bool = False
    error: str | None = None
    facts: dict[str, Json] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def step(self, name: str, act: Callable[[], T]) -> T:
        """Runs ``act``, timed; what goes wrong on the wire becomes a failure that names the step."""
        start = time.monotonic()
        try:
            return act()
        except (OSError, KeyError, http.client.HTTPException) as problem:
            raise OrderFailed(f"{name}: {problem!r}") from problem
        finally:
            self.seconds[name] = round(time.monotonic() - start, 2)


def find_product(guest: Browser, sku: str | None = None) -> dict[str, Json]:
    """A simple product that can be bought."""
    query = "?per_page=20" + (f"&sku={urllib.parse.quote(sku)}" if sku else "")
    products, _ = guest.json("GET", "/wp-json/wc/store/v1/products" + query)
    for product in products:
        if product["is_purchasable"] and product["is_in_stock"] and product["type"] == "simple":
            return dict(product)
    raise OrderFailed(f"no simple purchasable product in stock among {len(products)}")


def order_by_store_api(guest: Browser, buy: Purchase) -> dict[str, Json]:
    """An order as the block checkout's JavaScript places it."""
    api = "/wp-json/wc/store/v1"
    _, headers = guest.json("GET", f"{api}/cart")
    if not headers.get("Nonce") or not headers.get("Cart-Token"):
        raise OrderFailed("GET cart gave no Nonce/Cart-Token header (does the ingress drop them?)")
    auth = {"Nonce": headers["Nonce"], "Cart-Token": headers["Cart-Token"]}
    item = {"id": buy.product["id"], "quantity": buy.quantity}
    cart, _ = guest.json("POST", f"{api}/cart/add-item", body=item, headers=auth)
    if sum(item["quantity"] for item in cart["items"]) != buy.quantity:
        raise OrderFailed(f"cart holds {cart['items']}")
    addresses = {"billing_address": {**ADDRESS, "email": buy.email}, "shipping_address": ADDRESS}
    cart, _ = guest.json("POST", f"{api}/cart/update-customer", body=addresses, headers=auth)
    rates = [rate for package in cart["shipping_rates"] for rate in package["shipping_rates"]]
    if cart["needs_shipping"] and not rates:
        raise OrderFailed("the cart needs shipping and no rate is offered: no shipping zone?")
    if "cod" not in cart["payment_methods"]:
        raise OrderFailed(f"cod is not among the payment methods {cart['payment_methods']}")
    payment = {"payment_method": "cod", "payment_data": [], "customer_note": NOTE}
    order, _ = guest.json("POST", f"{api}/checkout", body={**addresses, **payment}, headers=auth)
    if order["payment_result"]["payment_status"] != "success":
        raise OrderFailed(f"payment_result {order['payment_result']}")
    return {
        "id": order["order_id"],
        "key": order["order_key"],
        "redirect": order["payment_result"]["redirect_url"],
        "rates": [f"{rate['rate_id']} {rate['price']}" for rate in rates],
    }


def order_by_classic_checkout(guest: Browser, admin: Browser, nonce: str, buy: Purchase) -> dict[str, Json]:
    """An order by the short-code checkout, on a page that exists only meanwhile."""
    page, _ = admin.json(
        "POST",
        "/wp-json/wp/v2/pages",
        headers={"X-WP-Nonce": nonce},
        body={"title": "Classic checkout", "status": "publish", "content": "[woocommerce_checkout]"},
    )
    try:
        guest.page(f"/?add-to-cart={buy.product['id']}&quantity={buy.quantity}")
        status, _, text = guest.page(f"/?page_id={page['id']}")
        found = re.search(r'name="woocommerce-process-checkout-nonce" value="([0-9a-f]+)"', text)
        if not found:
            raise OrderFailed(f"short-code checkout page: {status}, no checkout nonce")
        rate = re.search(r'name="shipping_method\[0\]"[^>]*value="([^"]+)"', text)
        form = {f"billing_{key}": value for key, value in ADDRESS.items()} | {
            "billing_email": buy.email,
            "payment_method": "cod",
            "order_comments": NOTE,
            "shipping_method[0]": rate.group(1) if rate else "",
            "woocommerce-process-checkout-nonce": found.group(1),
            "_wp_http_referer": "/?wc-ajax=update_order_review",
        }
        _, _, answer = guest.call("POST", "/?wc-ajax=checkout", form=form)
        try:
            document = json.loads(answer)
        except ValueError as broken:
            raise OrderFailed(f"wc-ajax=checkout answers {answer[:400]!r}") from broken
        if document.get("result") != "success":
            raise OrderFailed(f"wc-ajax=checkout: {str(document)[:400]}")
        return {"id": document["order_id"], "redirect": document["redirect"]}
    finally:
        admin.call("DELETE", f"/wp-json/wp/v2/pages/{page['id']}?force=true", headers={"X-WP-Nonce": nonce})


def login(admin: Browser, user: str, password: str) -> str:
    """Logs in by cookie; answers the nonce for the REST API."""
    admin.call("GET", "/wp-login.php")  # sets the test cookie
    form = {"log": user, "pwd": password, "wp-submit": "Log In", "testcookie": "1"}
    form["redirect_to"] = admin.base + "/wp-admin/"
    status, headers, text = admin.call("POST", "/wp-login.php", form=form)
    if status != 302 or not any(cookie.name.startswith("wordpress_logged_in_") for cookie in admin.jar):
        error = re.search(r'id="login_error"[^>]*>(.*?)</div>', text, re.S)
        why = re.sub("<[^>]+>", "", error.group(1)).strip() if error else headers.get("Location")
        raise OrderFailed(f"login: {status} {why}")
    status, _, nonce = admin.call("GET", "/wp-admin/admin-ajax.php?action=rest-nonce")
    if status != 200 or not re.fullmatch(r"[0-9a-f]{10}", nonce):
        raise OrderFailed(f"rest-nonce: {status} {nonce[:100]!r}")
    return nonce


def find_in_wp_admin(admin: Browser, order_id: int) -> dict[str, str]:
    """The row of an order in wp-admin's list, as the merchant reads it."""
    status, at = 0, ""
    for path in ("/wp-admin/admin.php?page=wc-orders", "/wp-admin/edit.php?post_type=shop_order"):
        status, at, text = admin.page(path)
        row = re.search(rf'<tr id="(?:order|post)-{order_id}"[^>]*>.*?</tr>', text, re.S)
        if status == 200 and row:
            return {
                "page": path,
                "row": re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", row.group(0)))).strip()[:160],
            }
    raise OrderFailed(f"order {order_id} is in no order list of wp-admin (last page: {status} {at})")


def check_order(order: Mapping[str, Json], buy: Purchase) -> dict[str, Json]:
    """Compares an order of the REST API with what was bought."""
    prices = buy.product["prices"]
    unit = int(prices["price"]) / 10 ** prices["currency_minor_unit"]
    lines = sum(float(line["total"]) for line in order["line_items"])
    total = lines + float(order["shipping_total"]) + float(order["total_tax"])
    problems = []
    if order["payment_method"] != "cod":
        problems.append(f"payment_method {order['payment_method']}")
    if order["status"] != "processing":
        problems.append(f"status {order['status']}")
    if [(line["product_id"], line["quantity"]) for line in order["line_items"]] != [(buy.product["id"], buy.quantity)]:
        problems.append(f"line items {order['line_items']}")
    if abs(lines - unit * buy.quantity) > 0.005 or abs(float(order["total"]) - total) > 0.005:
        problems.append(f"total {order['total']} of {buy.quantity} x {unit}, shipping {order['shipping_total']}")
    if not order["shipping_lines"]:
        problems.append("no shipping line")
    if problems:
        raise OrderFailed("; ".join(problems))
    return {key: order[key] for key in ("number", "status", "total", "currency", "shipping_total", "created_via")}


def check_product_page(guest: Browser, product: Mapping[str, Json]) -> None:
    """A guest sees the product at the address that the store gives it."""
    link = str(product["permalink"])
    if not link.startswith(guest.base + "/"):
        raise OrderFailed(
            f"the store calls itself {link}, not {guest.base}: siteurl/home or X-Forwarded-Proto is wrong"
        )
    status, _, text = guest.page(link)
    if status != 200 or product["name"] not in html.unescape(text) or "woocommerce-coming-soon" in text:
        why = "the store is in Coming soon mode" if "coming-soon" in text else text[:200]
        raise OrderFailed(f"a guest does not see {link}: {status}, {why}")


def check_order_received(guest: Browser, order: Mapping[str, Json]) -> None:
    """The page after the checkout is on the store's own host and names the order."""
    if not order["redirect"].startswith(guest.base + "/"):
        raise OrderFailed(f"order-received page is at {order['redirect']}")
    status, _, text = guest.page(order["redirect"])
    if status != 200 or str(order["id"]) not in text:
        raise OrderFailed(f"order-received page: {status}, order number missing")


def check_refusals(admin: Browser, stranger: Browser) -> None:
    """Nobody orders without a cart or reads orders without a login and a nonce."""
    checkout = "/wp-json/wc/store/v1/checkout"
    if stranger.call("POST", checkout, body={"payment_method": "cod"})[0] < 400:
        raise OrderFailed("a checkout without nonce and cart was taken")
    for visitor in (admin, stranger):
        if visitor.call("GET", "/wp-json/wc/v3/orders")[0] not in (401, 403):
            raise OrderFailed("wc/v3 orders can be read without nonce or login")


def place_orders(
    base: str,
    *,
    user: str,
    password: str,
    connect: str | None = None,
    tls: ssl.SSLContext | None = None,
    sku: str | None = None,
    quantity: int = 2,
    email: str = "buyer@example.com",
    classic: bool = False,
    timeout: float = 60,
) -> Report:
    """Places the orders and verifies them; never raises for a store that is wrong, but says so in the report."""

    def visitor() -> Browser:
        return Browser(base, connect=connect, tls=tls, timeout=timeout)

    guest, admin, report = visitor(), visitor(), Report(base=base)
    start = time.monotonic()
    try:
        product = report.step("product", lambda: find_product(guest, sku))
        buy = Purchase(product=product, quantity=quantity, email=email)
        report.facts["product"] = {"id": product["id"], "name": product["name"], "price": product["prices"]["price"]}
        report.step("product page", lambda: check_product_page(guest, product))
        order = report.step("store-api order", lambda: order_by_store_api(guest, buy))
        report.step("order-received", lambda: check_order_received(guest, order))
        nonce = report.step("login", lambda: login(admin, user, password))
        orders = [order]
        if classic:
            orders.append(report.step("classic order", lambda: order_by_classic_checkout(visitor(), admin, nonce, buy)))
        for one in orders:
            _verify_as_admin(admin, nonce, one, buy, report)
        report.facts["orders"] = orders
        report.step("refusals", lambda: check_refusals(admin, visitor()))
        report.ok = True
    except OrderFailed as failure:
        report.error = str(failure)
    report.seconds["total"] = round(time.monotonic() - start, 2)
    return report


def _verify_as_admin(admin: Browser, nonce: str, order: dict[str, Json], buy: Purchase, report: Report) -> None:
    number = order["id"]
    order["wp_admin"] = report.step(f"wp-admin list {number}", lambda: find_in_wp_admin(admin, number))
    path = f"/wp-json/wc/v3/orders/{number}"
    found = report.step(f"wc/v3 {number}", lambda: admin.json("GET", path, headers={"X-WP-Nonce": nonce})[0])
    order["rest"] = check_order(found, buy)
    if order.setdefault("key", found["order_key"]) != found["order_key"]:
        raise OrderFailed("order_key differs between checkout and wc/v3")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("base", help="the store's URL as its visitors see it")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password-env", default="STORE_PASSWORD", help="the environment variable with the password")
    parser.add_argument("--connect", help="HOST:PORT to connect to instead of the URL's")
    parser.add_argument("--cafile", help="the CA certificates of an https store")
    parser.add_argument("--insecure", action="store_true", help="do not verify the certificate")
    parser.add_argument("--sku", help="buy this product instead of the first one")
    parser.add_argument("--quantity", type=int, default=2)
    parser.add_argument("--email", default="buyer@example.com")
    parser.add_argument("--classic", action="store_true", help="also order by the short-code checkout")
    parser.add_argument("--timeout", type=float, default=60)
    given = parser.parse_args()
    tls = ssl.create_default_context(cafile=given.cafile)
    if given.insecure:
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    report = place_orders(
        given.base,
        user=given.user,
        password=os.environ.get(given.password_env, ""),
        connect=given.connect,
        tls=tls,
        sku=given.sku,
        quantity=given.quantity,
        email=given.email,
        classic=given.classic,
        timeout=given.timeout,
    )
    json.dump({key: value for key, value in vars(report).items() if value is not None}, sys.stdout, indent=1)
    print()
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
