"""Places a real order in a Medusa store over HTTP and finds it as the shop's admin.

Standard library only. What is done and checked, all on the store's own host:

1. admin: login; the publishable key, unless it is given
2. shopper, store API: region -> products -> cart -> line item -> address -> delivery -> manual payment -> complete,
   twice, which must give one order
3. admin API: the same order, its total and its lines

    STORE_PASSWORD=... python tests/e2e/medusa_order.py http://shop.localhost --user admin@shop.localhost \\
        --connect 127.0.0.1:80

``--connect`` sends every request to that address and keeps the Host header (and the TLS name): for an ingress whose
hosts have no DNS. Prints one JSON document; exit status 0 only if every check held.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import sys
import time
import urllib.parse
from dataclasses import asdict, dataclass
from typing import Any

Json = Any

ADDRESS = {
    "first_name": "Ada",
    "last_name": "Buyer",
    "address_1": "Lagerstrasse 1",
    "city": "Berlin",
    "postal_code": "10115",
    "country_code": "de",
}


class OrderFailed(Exception):
    """A check did not hold; the message says which and what was found."""


@dataclass(frozen=True)
class Order:
    """An order as both sides see it."""

    id: str
    number: int
    total: float
    currency: str
    payment_status: str
    seconds: float


class Store:
    """A Medusa store at its public address, optionally connected to at another one."""

    def __init__(
        self, base: str, *, connect: str | None = None, tls: ssl.SSLContext | None = None, timeout: float = 60
    ) -> None:
        parts = urllib.parse.urlsplit(base)
        self.host = parts.netloc
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._name = parts.hostname or ""
        self._connect = connect or f"{self._name}:{parts.port or (443 if self._tls else 80)}"
        self._timeout = timeout

    def call(
        self, method: str, path: str, body: Json = None, **headers: str
    ) -> tuple[int, Json, http.client.HTTPMessage]:
        """One request; answers status, parsed body and headers. Underscores in header names become dashes."""
        address, _, port = self._connect.rpartition(":")
        connection: http.client.HTTPConnection
        if self._tls:
            connection = _Tls(address, int(port), name=self._name, context=self._tls, timeout=self._timeout)
        else:
            connection = http.client.HTTPConnection(address, int(port), timeout=self._timeout)
        try:
            connection.request(
                method,
                path,
                None if body is None else json.dumps(body),
                {
                    "Host": self.host,
                    "Content-Type": "application/json",
                    **{name.replace("_", "-"): value for name, value in headers.items()},
                },
            )
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        try:
            return response.status, json.loads(text), response.headers
        except ValueError:
            return response.status, text, response.headers

    def ask(self, method: str, path: str, body: Json = None, **headers: str) -> Json:
        """One request that has to succeed; answers the parsed body."""
        status, answer, _ = self.call(method, path, body, **headers)
        if status >= 300:
            raise OrderFailed(f"{method} {path.split('?')[0]}: {status} {json.dumps(answer)[:400]}")
        return answer


class _Tls(http.client.HTTPSConnection):
    """TLS to one address under another's name."""

    def __init__(self, host: str, port: int, *, name: str, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._server_name, self._server_context = name, context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._server_context.wrap_socket(self.sock, server_hostname=self._server_name)


def login(store: Store, email: str, password: str) -> str:
    """The admin API's bearer token."""
    token = store.ask("POST", "/auth/user/emailpass", {"email": email, "password": password}).get("token")
    if not token:
        raise OrderFailed("the login answered without a token")
    return str(token)


def publishable_key(store: Store, token: str) -> str:
    """The key that the storefront sends with each request; it is public by design."""
    keys = store.ask("GET", "/admin/api-keys?type=publishable&limit=1", Authorization=f"Bearer {token}")["api_keys"]
    return str(keys[0]["token"])


def place(store: Store, key: str, *, quantity: int = 2) -> Order:
    """Orders the first product as a shopper; completing the cart twice must give the same order."""
    began = time.monotonic()

    def ask(method: str, path: str, body: Json = None) -> Json:
        return store.ask(method, f"/store{path}", body, X_Publishable_Api_Key=key)

    region = ask("GET", "/regions")["regions"][0]
    listed = ask("GET", f"/products?limit=1&region_id={region['id']}&fields=title,*variants.calculated_price")[
        "products"
    ]
    if not listed:
        raise OrderFailed("the store API lists no product")
    variant = listed[0]["variants"][0]
    cart = ask("POST", "/carts", {"region_id": region["id"], "email": "ada@example.com"})["cart"]["id"]
    ask("POST", f"/carts/{cart}/line-items", {"variant_id": variant["id"], "quantity": quantity})
    ask("POST", f"/carts/{cart}", {"shipping_address": ADDRESS, "billing_address": ADDRESS})
    delivery = ask("GET", f"/shipping-options?cart_id={cart}")["shipping_options"][0]
    ask("POST", f"/carts/{cart}/shipping-methods", {"option_id": delivery["id"]})
    payment = ask("POST", "/payment-collections", {"cart_id": cart})["payment_collection"]["id"]
    ask("POST", f"/payment-collections/{payment}/payment-sessions", {"provider_id": "pp_system_default"})
    done = ask("POST", f"/carts/{cart}/complete", {})
    if done.get("type") != "order":
        raise OrderFailed(f"completing the cart gave {done.get('type')}: {done.get('error')}")
    order = done["order"]
    seconds = time.monotonic() - began
    expected = quantity * variant["calculated_price"]["calculated_amount"] + delivery["amount"]
    if order["total"] != expected:
        raise OrderFailed(f"the order's total is {order['total']}, not {expected}")
    again = ask("POST", f"/carts/{cart}/complete", {})["order"]["id"]
    if again != order["id"]:
        raise OrderFailed(f"completing the cart again gave another order: {again}, not {order['id']}")
    return Order(order["id"], order["display_id"], order["total"], order["currency_code"], "", seconds)


def as_admin(store: Store, token: str, order_id: str) -> Json:
    """The order in the admin API."""
    return store.ask("GET", f"/admin/orders/{order_id}", Authorization=f"Bearer {token}")["order"]


def order(
    base: str,
    *,
    user: str,
    password: str,
    key: str | None = None,
    connect: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> Order:
    """Places an order and finds it as the admin; the whole of what this module is for."""
    store = Store(base, connect=connect, tls=tls)
    token = login(store, user, password)
    placed = place(store, key or publishable_key(store, token))
    seen = as_admin(store, token, placed.id)
    if (seen["id"], seen["total"]) != (placed.id, placed.total):
        raise OrderFailed(f"the admin sees {seen['id']} with {seen['total']}, not {placed.id} with {placed.total}")
    listed = store.ask("GET", "/admin/orders?limit=20&order=-display_id&fields=id", Authorization=f"Bearer {token}")
    if placed.id not in [each["id"] for each in listed["orders"]]:
        raise OrderFailed(f"the admin's list of orders lacks {placed.id}")
    return Order(**{**asdict(placed), "payment_status": seen["payment_status"]})


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("base", help="the store's URL as its visitors see it")
    parser.add_argument("--user", required=True, help="the admin's e-mail address; the password is in STORE_PASSWORD")
    parser.add_argument("--key", help="the publishable key; asked of the admin API when left out")
    parser.add_argument("--connect", help="ADDRESS:PORT to connect to instead of the store's host")
    given = parser.parse_args()
    try:
        placed = order(
            given.base, user=given.user, password=os.environ["STORE_PASSWORD"], key=given.key, connect=given.connect
        )
    except OrderFailed as failure:
        print(f"order failed: {failure}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(placed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
