"""Tokens of an OpenID Connect provider that really runs, beside our own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError
from werkzeug.test import TestResponse

from stores import oidc
from stores.settings import settings
from tests.functions.conftest import Api, Gateway
from tests.identity import CLIENT, Provider, new_provider
from tests.support import ROOT, World, clean_environment

ADA = {"email": "ada@example.com", "email_verified": True}
BEN = {"email": "ben@example.com", "email_verified": True}
STORES = "/api/stores"

Ask = Callable[[str], TestResponse]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = new_provider()
    with provider.running():
        yield provider


@pytest.fixture(scope="module")
def stranger() -> Iterator[Provider]:
    """A provider that Urumi does not trust, good as it may be."""
    provider = new_provider()
    with provider.running():
        yield provider


@pytest.fixture(autouse=True)
def trust(world: World, provider: Provider) -> Iterator[None]:
    oidc._keys.cache_clear()
    world.configure(oidc_issuer=provider.issuer, oidc_audience=CLIENT, oidc_admins='["root@example.com"]')
    yield
    oidc._keys.cache_clear()


@pytest.fixture
def signed_in(gateway: Gateway, provider: Provider) -> Callable[..., Api]:
    """Somebody with an ID token of the provider; further claims win over the standard ones."""

    def sign_in(user: str, **claims: Any) -> Api:
        return Api(gateway, provider.id_token(user, **claims))

    return sign_in


@pytest.fixture
def ask(gateway: Gateway) -> Ask:
    """What the status function answers to a token."""
    return lambda token: Api(gateway, token).get(STORES)


def refused(response: TestResponse) -> bool:
    detail = response.get_json()["detail"]
    return (response.status_code, detail) == (401, "This sign-in is not valid or has expired. Sign in again.")


def me(api: Api) -> dict[str, str]:
    answer: dict[str, str] = api.get("/api/platform").get_json()["me"]
    return answer


# --- who is let in, and as whom -----------------------------------------------------------------------------------


def test_two_people_who_signed_in_have_stores_of_their_own(signed_in: Callable[..., Api]) -> None:
    ada, ben = signed_in("a1", **ADA), signed_in("b2", **BEN)
    store_id = ada.ready("corner")
    assert ada.get(f"{STORES}/{store_id}").get_json()["owner"] == "ada@example.com"
    for path in (f"{STORES}/{store_id}", f"{STORES}/{store_id}/events", f"{STORES}/{store_id}/credentials"):
        assert ben.get(path).status_code == 404
    assert ben("DELETE", f"{STORES}/{store_id}").status_code == 404
    assert ben.get(STORES).get_json()["items"] == []
    assert ada("DELETE", f"{STORES}/{store_id}").status_code == 202


def test_an_api_token_for_an_address_sees_the_stores_of_who_signed_in_with_it(
    world: World, gateway: Gateway, signed_in: Callable[..., Api]
) -> None:
    created = signed_in("a1", **ADA).create("corner").get_json()["id"]
    script = Api(gateway, world.token("ada@example.com"))
    assert [item["id"] for item in script.get(STORES).get_json()["items"]] == [created]


def test_an_address_that_nobody_verified_counts_for_nothing(signed_in: Callable[..., Api]) -> None:
    for claims in ({"email": "root@example.com"}, {"email": "root@example.com", "email_verified": False}):
        assert me(signed_in("m5", **claims)) == {"owner": "sub:m5", "role": "owner"}


def test_a_subject_that_looks_like_an_address_or_a_name_is_neither(signed_in: Callable[..., Api]) -> None:
    assert me(signed_in("root@example.com")) == {"owner": "sub:root@example.com", "role": "owner"}
    assert me(signed_in("alice", email="alice", email_verified=True)) == {"owner": "sub:alice", "role": "owner"}


def test_an_admin_is_whom_the_settings_name(world: World, signed_in: Callable[..., Api]) -> None:
    store_id = signed_in("a1", **ADA).ready("corner")
    root = signed_in("r0", email="root@example.com", email_verified=True)
    assert me(root) == {"owner": "root@example.com", "role": "admin"}
    assert root.get(f"{STORES}/{store_id}").status_code == 200
    world.configure(oidc_admins='["sub:m5"]')
    assert me(signed_in("m5"))["role"] == "admin"
    assert me(root)["role"] == "owner"


def test_our_own_tokens_work_as_before(api: Api, admin: Api) -> None:
    assert me(api) == {"owner": "alice", "role": "owner"}
    assert me(admin) == {"owner": "root", "role": "admin"}
    assert Api(api.gateway, "urumi_made-up").get(STORES).status_code == 401


def test_an_access_token_that_is_a_jwt_is_taken(signed_in: Callable[..., Api]) -> None:
    """Its audiences are several, and it was given to us."""
    assert signed_in("a1", **ADA, aud=["account", CLIENT], azp=CLIENT).get(STORES).status_code == 200


def test_clocks_may_differ_a_little(signed_in: Callable[..., Api]) -> None:
    now = int(time.time())
    assert signed_in("a1", exp=now - 10).get(STORES).status_code == 200
    assert signed_in("a1", nbf=now + 10, iat=now + 10).get(STORES).status_code == 200


# --- who is not ---------------------------------------------------------------------------------------------------

BAD_CLAIMS: dict[str, Callable[[], dict[str, Any]]] = {
    "another audience": lambda: {"aud": "another-app"},
    "no audience": lambda: {"aud": None},
    "an empty audience": lambda: {"aud": []},
    "several audiences, given to another": lambda: {"aud": [CLIENT, "another-app"], "azp": "another-app"},
    "several audiences, given to nobody in particular": lambda: {"aud": [CLIENT, "another-app"]},
    "another issuer's name": lambda: {"iss": "https://accounts.example.com"},
    "no issuer": lambda: {"iss": None},
    "expired": lambda: {"exp": int(time.time()) - 60},
    "without an end": lambda: {"exp": None},
    "not valid yet": lambda: {"nbf": int(time.time()) + 60},
    "issued in the future": lambda: {"iat": int(time.time()) + 60},
    "nonsense for an end": lambda: {"exp": "never"},
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_the_issuers_signature_alone_is_not_enough(signed_in: Callable[..., Api], name: str) -> None:
    assert refused(signed_in("a1", **ADA, **BAD_CLAIMS[name]()).get(STORES)), name


def test_another_providers_token_is_refused_even_in_our_issuers_name(
    ask: Ask, stranger: Provider, provider: Provider
) -> None:
    assert refused(ask(stranger.id_token("a1", **ADA)))
    assert refused(ask(stranger.id_token("a1", **ADA, iss=provider.issuer)))


def encoded(part: object) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_forged_tokens_are_refused(ask: Ask, stranger: Provider, provider: Provider) -> None:
    good = provider.id_token("a1", **ADA)
    assert ask(good).status_code == 200
    header, payload, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    kid = jwt.get_unverified_header(good)["kid"]
    key = oidc._keys(provider.issuer)._keys[kid].key
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = {
        "other claims": f"{header}.{encoded(claims | {'email': 'root@example.com'})}.{signature}",
        "no signature": f"{header}.{payload}.",
        "another signature": f"{header}.{payload}.{stranger.id_token('a1').split('.')[2]}",
        "alg none": f"{encoded({'alg': 'none', 'kid': kid})}.{payload}.",
        "alg None": f"{encoded({'alg': 'None', 'kid': kid})}.{payload}.{signature}",
        "the public key as HMAC's secret": _hmac({"alg": "HS256", "kid": kid}, claims, pem),
        "another algorithm than the key's": f"{encoded({'alg': 'ES256', 'kid': kid})}.{payload}.{signature}",
        "a key of their own in the header": _own_key(kid, claims),
        "a logout token": f"{encoded({'alg': 'RS256', 'kid': kid, 'typ': 'logout+jwt'})}.{payload}.{signature}",
        "a header that only they understand": f"{encoded({'alg': 'RS256', 'kid': kid, 'crit': ['x'], 'x': 1})}."
        f"{payload}.{signature}",
    }
    for name, token in forged.items():
        assert refused(ask(token)), name


def _hmac(header: dict[str, str], claims: dict[str, Any], secret: bytes) -> str:
    signed = f"{encoded(header)}.{encoded(claims)}"
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def _own_key(kid: str, claims: dict[str, Any]) -> str:
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(own.public_key()))
    return jwt.encode(claims, own, algorithm="RS256", headers={"kid": kid, "jwk": jwk})


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "...",
        "eyJhbGciOiJSUzI1NiJ9.e30.eA",
        f"{encoded(b'[' * 4000)}.e30.eA",
        f"{encoded({'alg': 'RS256', 'kid': 7})}.e30.eA",
        f"{encoded({'alg': ['RS256'], 'kid': 'x'})}.e30.eA",
        f"{encoded({'alg': 'RS256', 'kid': None})}.e30.eA",
        f"{encoded([])}.e30.eA",
    ],
)
def test_nonsense_is_refused(ask: Ask, token: str) -> None:
    assert refused(ask(token))


def test_without_an_issuer_only_our_own_tokens_are_taken(
    ask: Ask, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = provider.id_token("a1", **ADA)
    assert ask(token).status_code == 200
    monkeypatch.delenv("URUMI_OIDC_ISSUER")
    settings.cache_clear()
    assert ask(token).status_code == 401


def test_a_token_is_never_logged(world: World, ask: Ask, provider: Provider, capfd: pytest.CaptureFixture[str]) -> None:
    world.configure(log_level="DEBUG")
    good, bad = provider.id_token("a1", **ADA), provider.id_token("a1", aud="another-app")
    assert [ask(good).status_code, ask(bad).status_code] == [200, 401]
    logged = "".join(capfd.readouterr())
    assert "InvalidAudienceError" in logged, "the operator is told which part was wrong"
    for token in (good, bad):
        assert not any(part in logged for part in token.split("."))


# --- the issuer's keys --------------------------------------------------------------------------------------------


class Issuer:
    """Counts what is asked of the provider, and lets time pass."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.requests: list[str] = []
        self._now, real = time.monotonic(), oidc._get
        patch.setattr(oidc.time, "monotonic", lambda: self._now)
        patch.setattr(oidc, "_get", lambda url: self.requests.append(url) or real(url))  # type: ignore[func-returns-value]

    def later(self, seconds: float) -> None:
        self._now += seconds


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Issuer:
    return Issuer(monkeypatch)


def test_keys_are_fetched_once_and_again_after_a_while(ask: Ask, provider: Provider, issuer: Issuer) -> None:
    token = provider.id_token("a1")
    assert {ask(token).status_code for _ in range(5)} == {200}
    assert len(issuer.requests) == 2, "the discovery document and the keys"
    issuer.later(oidc.FRESH + 1)
    assert {ask(token).status_code for _ in range(5)} == {200}
    assert len(issuer.requests) == 4


def test_made_up_key_ids_cannot_flood_the_issuer(ask: Ask, provider: Provider, issuer: Issuer) -> None:
    payload = provider.id_token("a1").split(".")[1]
    for n in range(30):
        assert refused(ask(f"{encoded({'alg': 'RS256', 'kid': f'made-up-{n}'})}.{payload}.eA"))
    assert len(issuer.requests) == 2
    issuer.later(oidc.PAUSE + 1)
    assert refused(ask(f"{encoded({'alg': 'RS256', 'kid': 'made-up'})}.{payload}.eA"))
    assert len(issuer.requests) == 4


def test_a_new_key_is_found_and_the_old_one_forgotten(world: World, ask: Ask, issuer: Issuer) -> None:
    provider = new_provider()
    world.configure(oidc_issuer=provider.issuer)
    with provider.running():
        old = provider.id_token("a1")
        assert ask(old).status_code == 200
    with provider.running():
        new = provider.id_token("a1")
        assert refused(ask(new)), "the keys were fetched a moment ago"
        issuer.later(oidc.PAUSE + 1)
        assert ask(new).status_code == 200
        assert refused(ask(old))


def test_an_issuer_that_is_away_is_no_reason_to_sign_in_again(world: World, ask: Ask, issuer: Issuer) -> None:
    provider = new_provider()
    world.configure(oidc_issuer=provider.issuer)
    with provider.running():
        token = provider.id_token("a1")
    for _ in range(5):
        response = ask(token)
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) >= oidc.PAUSE
        assert response.get_json()["detail"] == "The sign-in service does not answer. Try again in a few seconds."
    assert len(issuer.requests) == 1, "who waits for a dead issuer waits once"
    with provider.running():
        issuer.later(oidc.PAUSE + 1)
        assert ask(provider.id_token("a1")).status_code == 200


def test_known_keys_serve_while_the_issuer_is_away_but_not_for_ever(world: World, ask: Ask, issuer: Issuer) -> None:
    provider = new_provider()
    world.configure(oidc_issuer=provider.issuer)
    with provider.running():
        token = provider.id_token("a1")
        assert ask(token).status_code == 200
    issuer.later(oidc.FRESH + 1)
    assert ask(token).status_code == 200
    issuer.later(oidc.USABLE)
    assert ask(token).status_code == 503


def test_who_has_a_known_key_does_not_wait_while_another_asks_the_issuer(
    ask: Ask, provider: Provider, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = provider.id_token("a1")
    assert ask(token).status_code == 200
    issuer.later(oidc.FRESH + 1)
    asked, answered, real = threading.Event(), threading.Event(), oidc._get

    def slow(url: str) -> bytes:
        asked.set()
        assert answered.wait(30)
        return real(url)

    monkeypatch.setattr(oidc, "_get", slow)
    first = threading.Thread(target=ask, args=(token,))
    first.start()
    try:
        assert asked.wait(30)
        assert ask(token).status_code == 200
        assert first.is_alive()
    finally:
        answered.set()
        first.join()


def test_a_crowd_asks_the_issuer_once(ask: Ask, provider: Provider, issuer: Issuer) -> None:
    token = provider.id_token("a1")
    with ThreadPoolExecutor(8) as crowd:
        assert {response.status_code for response in crowd.map(ask, [token] * 8)} == {200}
    assert len(issuer.requests) == 2


def test_an_issuer_that_hangs_costs_seconds(world: World, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "TIMEOUT", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        world.configure(oidc_issuer=f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert ask(f"{encoded({'alg': 'RS256', 'kid': 'x'})}.e30.eA").status_code == 503
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/.well-known/openid-configuration", {"issuer": "https://accounts.example.com", "jwks_uri": "{issuer}/jwks"}),
        ("/.well-known/openid-configuration", {"issuer": "{issuer}", "jwks_uri": "nowhere"}),
        ("/.well-known/openid-configuration", []),
        ("/jwks", {"keys": []}),
        ("/jwks", {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "x", "alg": "nonsense"}]}),
        ("/jwks", "keys"),
    ],
)
def test_an_issuer_that_answers_nonsense_is_away(
    ask: Ask, provider: Provider, monkeypatch: pytest.MonkeyPatch, path: str, answer: object
) -> None:
    token, real = provider.id_token("a1"), oidc._get
    text = json.dumps(answer).replace("{issuer}", provider.issuer).encode()
    monkeypatch.setattr(oidc, "_get", lambda url: text if httpx.URL(url).path == path else real(url))
    assert ask(token).status_code == 503


@pytest.mark.parametrize(
    ("issuer", "audience", "complaint"),
    [
        ("http://accounts.example.com", CLIENT, "must be an https:// address"),
        ("accounts.example.com", CLIENT, "must be an https:// address"),
        ("https://accounts.example.com", "", "needs URUMI_OIDC_AUDIENCE"),
    ],
)
def test_settings_that_would_trust_too_much_are_refused(
    world: World, issuer: str, audience: str, complaint: str
) -> None:
    world.configure(oidc_issuer=issuer, oidc_audience=audience)
    with pytest.raises(ValidationError, match=complaint):
        settings()


def test_functions_start_without_what_only_sign_in_needs() -> None:
    """A cold start must not pay for it."""
    mains = [str(ROOT / "functions" / name / "main.py") for name in ("create", "delete", "status")]
    program = f"import runpy, sys\nfor main in {mains}: runpy.run_path(main)\nprint(*sys.modules)"
    environment = clean_environment(PYTHONPATH=str(ROOT / "functions"))
    loaded = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True).split()
    assert "stores.auth" in loaded
    assert not {"stores.oidc", "jwt", "httpx", "cryptography"} & set(loaded)
