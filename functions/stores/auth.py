"""Who is calling. API tokens are `urumi_` and 256 random bits; PostgreSQL knows only their SHA-256.

With URUMI_OIDC_ISSUER set, tokens of that OpenID Connect issuer are taken too.
"""

import secrets
from dataclasses import dataclass

from stores import db
from stores.errors import Unauthorized
from stores.settings import settings

PREFIX = "urumi_"


@dataclass(frozen=True)
class Caller:
    owner: str
    role: str

    @property
    def sees(self) -> str | None:
        """Whose stores the caller sees; None means everybody's."""
        return None if self.role == "admin" else self.owner


def new_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def authenticate(authorization: str | None) -> Caller:
    """The holder of a bearer token. Raises Unauthorized without saying which part was wrong."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("Send an API token: Authorization: Bearer urumi_…")
    token = token.strip()
    if settings().oidc_issuer and not token.startswith(PREFIX):
        from stores import oidc

        return Caller(*oidc.holder(token))
    with db.connection() as conn:
        holder = db.token_holder(conn, token)
    if holder is None:
        raise Unauthorized("This token is not valid, has expired or was revoked. Ask for a new one.")
    return Caller(*holder)
