"""Who is looking: the one place that knows where a user's token comes from.

With an [auth] section in Streamlit's secrets people sign in with OpenID Connect and their ID token is the bearer
(.streamlit/secrets.toml.example shows the section). Without one, as on a developer's machine, URUMI_TOKEN is.

Streamlit keeps people signed in for 30 days and never looks at the token again. The platform does, on every call: when
it has expired the answer is 401, and the page offers to sign in again.
"""

from __future__ import annotations

import os

import streamlit as st


def sign_in_configured() -> bool:
    """Whether people sign in here, rather than share the development token."""
    return st.secrets.load_if_toml_exists() and "auth" in st.secrets


def signed_in() -> bool:
    """Whether there is somebody to act for."""
    return not sign_in_configured() or bool(st.user.get("is_logged_in"))


def token() -> str:
    """The bearer token of whoever is looking; empty when there is none.

    Raises LookupError that says what is missing from the configuration.
    """
    if sign_in_configured():
        tokens = st.user.tokens.to_dict()
        if "id" not in tokens:
            raise LookupError('The [auth] section of secrets.toml has no expose_tokens = ["id"].')
        return tokens["id"]
    return os.environ.get("URUMI_TOKEN", "")


def name() -> str:
    """How to call whoever is signed in."""
    return str(st.user.get("email") or st.user.get("name") or "Signed in")
