"""Tokens of one OpenID Connect issuer: ID tokens, or access tokens that are JWTs.

auth.py imports this at the first such token: a function that never meets one never pays for these libraries.
"""

import math
import time
from functools import cache
from threading import Lock
from typing import Any

import httpx
import jwt
from pydantic import BaseModel

from stores.errors import Unauthorized, Unavailable
from stores.logs import log
from stores.settings import settings

# With HS* the public key would be the secret; `none` needs no key at all.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
# at+jwt is RFC 9068's access token. An issuer signs other things too, a logout token say: no proof of who calls.
TYPES = {"jwt", "at+jwt", "application/at+jwt"}
# Seconds by which the issuer's clock may differ from ours.
LEEWAY = 30
# Seconds for each phase of a request to the issuer.
TIMEOUT = 3
# Seconds after which keys are fetched anew, and for how long they serve when the issuer is away.
FRESH, USABLE = 300, 3600
# Seconds between two fetches, successful or not: made-up key ids cannot make us flood the issuer.
PAUSE = 5


class _Discovery(BaseModel):
    issuer: str
    jwks_uri: str


class _KeySet(BaseModel):
    keys: list[dict[str, Any]]


class _Keys:
    """The issuer's public keys by their id. A key that is not among them is worth a fetch: issuers rotate keys."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._lock = Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = self._tried = -math.inf

    def find(self, kid: str) -> jwt.PyJWK:
        """Raises PyJWKClientError when the issuer has no such key, Unavailable when it cannot be asked."""
        now = time.monotonic()
        age = now - self._fetched
        usable = kid in self._keys and age < USABLE
        # One caller fetches. Others wait for it, but not those who have a key that will do.
        if not (usable and age < FRESH) and self._lock.acquire(blocking=not usable):
            try:
                if now - self._tried > PAUSE:
                    self._tried = now
                    self._fetch()
            finally:
                self._lock.release()
        key = self._keys.get(kid)
        if key is not None and now - self._fetched < USABLE:
            return key
        if self._fetched < self._tried:
            raise Unavailable("The sign-in service does not answer. Try again in a few seconds.", retry_after=PAUSE)
        raise jwt.PyJWKClientError("no such key")

    def _fetch(self) -> None:
        try:
            address = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
            discovery = _Discovery.model_validate_json(_get(address))
            if discovery.issuer != self._issuer:
                raise ValueError(f"{address} is the document of another issuer, {discovery.issuer}")
            found = jwt.PyJWKSet(_KeySet.model_validate_json(_get(discovery.jwks_uri)).keys)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, jwt.PyJWTError) as error:
            log.warning("the OIDC issuer's keys could not be fetched", extra={"fields": {"error": str(error)}})
            return
        self._keys = {key.key_id: key for key in found if key.key_id and key.public_key_use in (None, "sig")}
        self._fetched = self._tried


def _get(url: str) -> bytes:
    """Follows no redirect: the issuer's address is the one that was configured."""
    return httpx.get(url, timeout=TIMEOUT).raise_for_status().content


@cache
def _keys(issuer: str) -> _Keys:
    return _Keys(issuer)


def holder(token: str) -> tuple[str, str]:
    """Owner and role of a valid token. Raises Unauthorized, or Unavailable while the issuer cannot be asked."""
    conf = settings()
    assert conf.oidc_issuer is not None
    try:
        claims = _verified(token, issuer=conf.oidc_issuer, audience=conf.oidc_audience or "")
    except jwt.PyJWTError as error:
        # The error's kind helps the operator; neither its text nor the token belongs in a log.
        log.info("OIDC token refused", extra={"fields": {"error": type(error).__name__}})
        raise Unauthorized("This sign-in is not valid or has expired. Sign in again.") from None
    owner = _owner(claims)
    return owner, "admin" if owner in conf.oidc_admins else "owner"


def _verified(token: str, *, issuer: str, audience: str) -> dict[str, Any]:
    header = jwt.get_unverified_header(token)
    if str(header.get("typ", "JWT")).lower() not in TYPES or header.get("alg") not in ALGORITHMS:
        raise jwt.InvalidTokenError("neither an ID token nor an access token")
    claims: dict[str, Any] = jwt.decode(
        token,
        _keys(issuer).find(header.get("kid", "")),
        algorithms=ALGORITHMS,
        issuer=issuer,
        audience=audience,
        leeway=LEEWAY,
        options={"require": ["iss", "aud", "sub", "exp", "iat"], "enforce_minimum_key_length": True},
    )
    if claims["aud"] not in (audience, [audience]) and claims.get("azp") != audience:
        raise jwt.InvalidAudienceError("for several audiences, and given to another")
    return claims


def _owner(claims: dict[str, Any]) -> str:
    """A verified e-mail address: people, the audit log and URUMI_OIDC_ADMINS know it, and an API token for the same
    owner sees the same stores. Without one the subject, marked: it must not pass for somebody's address or name.
    """
    email = claims.get("email")
    if claims.get("email_verified") is True and isinstance(email, str) and "@" in email:
        return email
    return f"sub:{claims['sub']}"
